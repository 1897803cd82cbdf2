"""What all groups of one client share."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import unkey_py
from unkey_py._version import __gen_version__, __openapi_doc_version__, __user_agent__, __version__
from unkey_py.types import UNSET, OptionalNullable
from unkey_py.utils import Logger, RetryConfig

if TYPE_CHECKING:
    from unkey_py._pools import Pools

# The published list names the vendor's service; a root key must never go there by default (D14).
SERVERS = ["http://127.0.0.1:3000"]


@dataclass
class SDKConfiguration:
    """Settings of a client; `client` and `async_client` are the caller's, None where the package opens its own.

    `timeout_ms` is in milliseconds. Connections are opened when first used, and closed when the last group and
    the client that share this object are gone.
    """

    client: unkey_py.HttpClient | None
    client_supplied: bool
    async_client: unkey_py.AsyncHttpClient | None
    async_client_supplied: bool
    debug_logger: Logger
    security: unkey_py.Security | Callable[[], unkey_py.Security] | None = None
    server_url: str | None = ""
    server_idx: int | None = 0
    language: str = "python"
    openapi_doc_version: str = __openapi_doc_version__
    sdk_version: str = __version__
    gen_version: str = __gen_version__
    user_agent: str = __user_agent__
    retry_config: OptionalNullable[RetryConfig] = field(default_factory=lambda: UNSET)
    timeout_ms: int | None = None
    _pools: Any = field(default=None, init=False, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def get_server_details(self) -> tuple[str, dict[str, str]]:
        """Address of the server without a trailing slash, and the values of its templates (there are none).

        Raises IndexError for a `server_idx` outside the list.
        """
        if self.server_url:
            return self.server_url.removesuffix("/"), {}
        return SERVERS[self.server_idx or 0], {}

    def server(self, server_url: str | None) -> str:
        """Address of the server of one call, which may name its own; without a trailing slash."""
        return (self.get_server_details()[0] if server_url is None else server_url).removesuffix("/")

    def token(self) -> str | None:
        """The token to send now, None to send the request anonymously; asks the caller's function, if any."""
        security = self.security() if callable(self.security) else self.security
        return None if security is None else security.bearer_auth

    def pools(self) -> Pools:
        """Home of the clients the package opens itself."""
        if self._pools is not None:
            return cast("Pools", self._pools)
        from unkey_py._pools import Pools

        with self._lock:
            if self._pools is None:
                pools = self._pools = Pools()
                weakref.finalize(self, pools.abandon)
            return cast("Pools", self._pools)

    def close(self) -> None:
        """Close the blocking client, unless the caller supplied it."""
        if self._pools is not None:
            self._pools.close()

    async def aclose(self) -> None:
        """Close both of this loop's clients, unless the caller supplied them."""
        if self._pools is not None:
            await self._pools.aclose()
