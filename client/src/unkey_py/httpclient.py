"""What a custom HTTP client must be able to do (sdk.md section 9)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import Thread
from typing import Any, Protocol, runtime_checkable

import httpx
from httpx._client import UseClientDefault
from httpx._types import (
    AuthTypes,
    CookieTypes,
    HeaderTypes,
    QueryParamTypes,
    RequestContent,
    RequestData,
    RequestExtensions,
    RequestFiles,
    TimeoutTypes,
)


@runtime_checkable
class HttpClient(Protocol):
    """A blocking client, such as `httpx.Client`; inherit from it or just have its methods."""

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: AuthTypes | UseClientDefault | None = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """The response to the request, its body read; called once per attempt."""
        ...

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        timeout: TimeoutTypes | UseClientDefault = httpx.USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> httpx.Request:
        """A request with the client's own defaults added; called once per operation. `timeout` is in seconds."""
        ...

    def close(self) -> None:
        """Release the connections; never called for a client that the caller supplied."""


@runtime_checkable
class AsyncHttpClient(Protocol):
    """A non-blocking client, such as `httpx.AsyncClient`; inherit from it or just have its methods."""

    async def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: AuthTypes | UseClientDefault | None = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: bool | UseClientDefault = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """The response to the request, its body read; called once per attempt."""
        ...

    def build_request(
        self,
        method: str,
        url: httpx.URL | str,
        *,
        content: RequestContent | None = None,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: Any | None = None,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
        cookies: CookieTypes | None = None,
        timeout: TimeoutTypes | UseClientDefault = httpx.USE_CLIENT_DEFAULT,
        extensions: RequestExtensions | None = None,
    ) -> httpx.Request:
        """A request with the client's own defaults added; called once per operation. `timeout` is in seconds."""
        ...

    async def aclose(self) -> None:
        """Release the connections; never called for a client that the caller supplied."""


class ClientOwner(Protocol):
    """Whatever holds two clients."""

    client: HttpClient | None
    async_client: AsyncHttpClient | None


def close_clients(
    owner: ClientOwner,
    sync_client: HttpClient | None,
    sync_client_supplied: bool,
    async_client: AsyncHttpClient | None,
    async_client_supplied: bool,
) -> None:
    """Make the owner forget its clients, and close those that were not supplied; failures are swallowed.

    While an event loop is running, the asynchronous client is closed by a thread with a loop of its own.
    """
    owner.client = owner.async_client = None
    if sync_client is not None and not sync_client_supplied:
        with suppress(Exception):
            sync_client.close()
    if async_client is not None and not async_client_supplied:

        def close() -> None:
            with suppress(Exception):
                asyncio.run(async_client.aclose())

        closer = Thread(target=close)
        closer.start()
        closer.join()
