"""The HTTP clients this package opens itself: when first used, one for threads and one for each event loop."""

from __future__ import annotations

import os
import ssl
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any, Generic, TypeVar
from urllib.request import getproxies

import httpx

# Without `timeout_ms`: long enough for the largest migration, and never for ever. Seconds.
_TIMEOUT = httpx.Timeout(30, connect=5)
# All that may be open stay open. With httpx's 20 of 100, a thread that closes a surplus one may hit one that another
# thread has just been given: "Bad file descriptor".
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)

C = TypeVar("C", httpx.Client, httpx.AsyncClient)


class Pool(Generic[C]):
    """An HTTP client of our own, and requests made without what only clients with settings need.

    Beside `client.build_request` that saves a third of what an exchange costs in this process.
    """

    def __init__(self, client: C) -> None:
        self.client: C = client
        self.send: Callable[..., Any] = client.send
        self._headers = {name: client.headers[name] for name in ("accept-encoding", "connection")}
        self._timeout = client.timeout.as_dict()

    def build_request(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, Any] | None,
        content: str | None,
        data: None,
        files: None,
        headers: dict[str, str] | httpx.Headers,
        timeout: Any,
    ) -> httpx.Request:
        """The request that the client would build; the parameters are those the flow gives to any client."""
        if isinstance(headers, dict):
            all_headers: Any = self._headers | headers
        else:
            all_headers = httpx.Headers(self._headers)
            all_headers.update(headers)
        is_default = timeout is httpx.USE_CLIENT_DEFAULT
        return httpx.Request(
            method,
            _parsed(url),
            params=params,
            content=content,
            headers=all_headers,
            # A load balancer may set some.
            cookies=self.client.cookies or None,
            extensions={"timeout": dict(self._timeout) if is_default else httpx.Timeout(timeout).as_dict()},
        )


class Pools:
    """Opens clients on demand; closing leaves the object usable, a later call opens a new one.

    An asynchronous client belongs to the event loop it was opened in, since its connections do. Servers with and
    without TLS have clients of their own: loading the certificates of the authorities takes longer than all else.
    """

    def __init__(self) -> None:
        self.begin()
        _everywhere.add(self)

    def begin(self) -> None:
        """Have no clients, and close none that there were: a forked process shares theirs with its parent."""
        self._lock = threading.Lock()
        self._pools: dict[bool, Pool[httpx.Client]] = {}
        self._async_pools: weakref.WeakKeyDictionary[Any, dict[bool, Pool[httpx.AsyncClient]]]
        self._async_pools = weakref.WeakKeyDictionary()

    def pool(self, server: str) -> Pool[httpx.Client]:
        """The blocking client for this server, which any thread may use."""
        is_plain = server.startswith("http://")
        with self._lock:
            if is_plain not in self._pools:
                client = httpx.Client(timeout=_TIMEOUT, limits=_LIMITS, verify=_verify(is_plain))
                self._pools[is_plain] = Pool(client)
            return self._pools[is_plain]

    def async_pool(self, server: str) -> Pool[httpx.AsyncClient]:
        """The client of the running event loop for this server."""
        is_plain = server.startswith("http://")
        loop = _running_loop()
        with self._lock:
            pools = self._async_pools.setdefault(loop, {})
            if is_plain not in pools:
                self._forget_closed_loops()
                client = httpx.AsyncClient(timeout=_TIMEOUT, limits=_LIMITS, verify=_verify(is_plain))
                pools[is_plain] = Pool(client)
            return pools[is_plain]

    def _forget_closed_loops(self) -> None:
        # Their connections hold on to them, so they would stay, a file descriptor each; closing needs a loop that runs.
        for loop in list(self._async_pools):
            if loop is not _NO_LOOP and loop.is_closed():
                del self._async_pools[loop]

    def close(self) -> None:
        """Close the blocking clients."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.client.close()

    async def aclose(self) -> None:
        """Close the running loop's clients, and the blocking ones."""
        with self._lock:
            pools = self._async_pools.pop(_running_loop(), {})
        for pool in pools.values():
            await pool.client.aclose()
        self.close()

    def abandon(self) -> None:
        """Close what is still open although nobody asked to; failures are swallowed."""
        with suppress(Exception):
            self.close()
        with self._lock:
            left_open = list(self._async_pools.items())
            self._async_pools.clear()
        for loop, pools in left_open:
            for pool in pools.values():
                _abandon(loop, pool.client)


_everywhere: weakref.WeakSet[Pools] = weakref.WeakSet()


def _begin_after_fork() -> None:
    # Two processes that read from one connection get each other's answers.
    for pools in _everywhere:
        pools.begin()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_after_fork)


def _verify(is_plain: bool) -> bool | ssl.SSLContext:
    """How certificates are checked; without TLS by a context that trusts nobody, as it is made in no time.

    With proxies in the environment TLS may be needed all the same, to speak to one of them.
    """
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain and not getproxies() else True


@lru_cache(maxsize=256)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


class _NoLoop:
    """Stands for the event loop when it is not one of asyncio's."""


_NO_LOOP = _NoLoop()


def _running_loop() -> object:
    # Whoever has a loop of asyncio has imported it, and the others need not pay for it.
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return _NO_LOOP
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return _NO_LOOP


def _abandon(loop: object, client: httpx.AsyncClient) -> None:
    import asyncio

    if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running():
        with suppress(Exception):
            asyncio.run_coroutine_threadsafe(_aclose(client), loop)


async def _aclose(client: httpx.AsyncClient) -> None:
    with suppress(Exception):
        await client.aclose()
