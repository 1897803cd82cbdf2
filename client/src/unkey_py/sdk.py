"""The client: `Unkey`."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any

import unkey_py
from unkey_py import models
from unkey_py.analytics import Analytics
from unkey_py.apis import Apis
from unkey_py.basesdk import BaseSDK
from unkey_py.identities import Identities
from unkey_py.keys import Keys
from unkey_py.liveness import Liveness
from unkey_py.migrations import Migrations
from unkey_py.permissions import Permissions
from unkey_py.ratelimit import Ratelimit
from unkey_py.ratelimits import Ratelimits
from unkey_py.sdkconfiguration import SDKConfiguration
from unkey_py.types import UNSET, OptionalNullable
from unkey_py.utils import Logger, RetryConfig, get_default_logger, remove_suffix, template_url


class Unkey(BaseSDK):
    """A client of one server, for threads and tasks alike; every operation has an `_async` twin.

    Connections are opened when first used. Leaving `with` closes those for threads, leaving `async with` those
    of the running event loop as well; used again, the client opens new ones. HTTP clients supplied by the
    caller are never closed.
    """

    def __init__(
        self,
        bearer_auth: str | Callable[[], str | None] | None = None,
        server_idx: int | None = None,
        server_url: str | None = None,
        url_params: dict[str, str] | None = None,
        client: unkey_py.HttpClient | None = None,
        async_client: unkey_py.AsyncHttpClient | None = None,
        retry_config: OptionalNullable[RetryConfig] = UNSET,
        timeout_ms: int | None = None,
        debug_logger: Logger | None = None,
    ) -> None:
        """Make a client; nothing is sent and no connection opened (sdk.md sections 3 to 5).

        `bearer_auth`: the root key, or a function that gives it anew for each operation; without it the
        environment's `UNKEY_BEARER_AUTH`, else requests are anonymous. `server_url`: the server, a path prefix
        is kept; without it the environment's `KEYSTEAD_URL`, else number `server_idx` of
        `sdkconfiguration.SERVERS`. `url_params`: values for `{name}` in `server_url`. `client`, `async_client`:
        used in place of the package's own. `retry_config`: in place of the default; None switches retrying
        off. `timeout_ms`: milliseconds for connecting, writing and reading each, not in total. `debug_logger`:
        receives two records per attempt, with secrets hidden.

        Raises `pydantic.ValidationError` for a token that is not a string, `AssertionError` for an HTTP client
        that lacks a method, `IndexError` for a `server_idx` outside the list.
        """
        _check_clients(client, async_client)
        if server_url:
            server_url = template_url(server_url, url_params or {})
        super().__init__(
            SDKConfiguration(
                client=client,
                client_supplied=client is not None,
                async_client=async_client,
                async_client_supplied=async_client is not None,
                debug_logger=get_default_logger() if debug_logger is None else debug_logger,
                security=_security(bearer_auth),
                server_url=remove_suffix(server_url or os.environ.get("KEYSTEAD_URL") or "", "/"),
                server_idx=server_idx,
                retry_config=retry_config,
                timeout_ms=timeout_ms,
            )
        )
        self.sdk_configuration.get_server_details()
        self.analytics = Analytics(self.sdk_configuration)
        self.apis = Apis(self.sdk_configuration)
        self.identities = Identities(self.sdk_configuration)
        self.keys = Keys(self.sdk_configuration)
        self.liveness = Liveness(self.sdk_configuration)
        self.migrations = Migrations(self.sdk_configuration)
        self.permissions = Permissions(self.sdk_configuration)
        self.ratelimit = Ratelimit(self.sdk_configuration)
        self.ratelimits = Ratelimits(self.sdk_configuration)

    def __enter__(self) -> Unkey:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sdk_configuration.close()

    async def __aenter__(self) -> Unkey:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.sdk_configuration.aclose()


def _security(bearer_auth: Any) -> models.Security | Callable[[], models.Security]:
    if callable(bearer_auth):
        return lambda: models.Security(bearer_auth=bearer_auth())
    if bearer_auth is None:
        bearer_auth = os.environ.get("UNKEY_BEARER_AUTH") or None
    return models.Security(bearer_auth=bearer_auth)


def _check_clients(client: Any, async_client: Any) -> None:
    # Not an assert statement: the published client promises the exception, also under `python -O`.
    if client is None and async_client is None:
        return
    from unkey_py.httpclient import AsyncHttpClient, HttpClient

    if client is not None and not issubclass(type(client), HttpClient):
        raise AssertionError("The provided client must implement the HttpClient protocol.")
    if async_client is not None and not issubclass(type(async_client), AsyncHttpClient):
        raise AssertionError("The provided async_client must implement the AsyncHttpClient protocol.")
