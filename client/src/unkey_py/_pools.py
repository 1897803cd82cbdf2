"""The HTTP clients this package opens itself: when first used, one for threads and one for each event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from contextlib import suppress
from typing import Any

import httpx

# Without `timeout_ms`: long enough for the largest migration, and never for ever. Seconds.
_TIMEOUT = httpx.Timeout(30, connect=5)


class Pools:
    """Opens clients on demand; closing leaves the object usable, a later call opens a new one.

    An asynchronous client belongs to the event loop it was opened in, since its connections do.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._async_clients: weakref.WeakKeyDictionary[Any, httpx.AsyncClient] = weakref.WeakKeyDictionary()

    def client(self) -> httpx.Client:
        """The blocking client, which any thread may use."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=_TIMEOUT)
            return self._client

    def async_client(self) -> httpx.AsyncClient:
        """The client of the running event loop."""
        loop = _running_loop()
        with self._lock:
            if loop not in self._async_clients:
                self._async_clients[loop] = httpx.AsyncClient(timeout=_TIMEOUT)
            return self._async_clients[loop]

    def close(self) -> None:
        """Close the blocking client."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the running loop's client, and the blocking one."""
        with self._lock:
            client = self._async_clients.pop(_running_loop(), None)
        if client is not None:
            await client.aclose()
        self.close()

    def abandon(self) -> None:
        """Close what is still open although nobody asked to; failures are swallowed."""
        with suppress(Exception):
            self.close()
        with self._lock:
            left_open = list(self._async_clients.items())
            self._async_clients.clear()
        for loop, client in left_open:
            if isinstance(loop, asyncio.AbstractEventLoop) and loop.is_running():
                with suppress(Exception):
                    asyncio.run_coroutine_threadsafe(_aclose(client), loop)


class _NoLoop:
    """Stands for the event loop when it is not one of asyncio's."""


_NO_LOOP = _NoLoop()


def _running_loop() -> object:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return _NO_LOOP


async def _aclose(client: httpx.AsyncClient) -> None:
    with suppress(Exception):
        await client.aclose()
