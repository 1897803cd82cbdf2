"""The group `ratelimits`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_DELETE_OVERRIDE: Operation[models.DeleteOverrideResponse] = Operation(
    "deleteOverride",
    "POST",
    "/v1/ratelimits.deleteOverride",
    "DeleteOverrideRequestBody",
    "DeleteOverrideResponse",
    changes=True,
)
_LIMIT: Operation[models.LimitResponse] = Operation(
    "limit", "POST", "/v1/ratelimits.limit", "LimitRequestBody", "LimitResponse", spends=True
)


class Ratelimits(BaseSDK):
    """Ratelimits of your own requests, and deleting overrides.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def delete_override(
        self,
        *,
        request: models.DeleteOverrideRequestBody | models.DeleteOverrideRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteOverrideResponse:
        """Delete the override of an identifier in a namespace."""
        return self._call(_DELETE_OVERRIDE, request, retries, server_url, timeout_ms, http_headers)

    async def delete_override_async(
        self,
        *,
        request: models.DeleteOverrideRequestBody | models.DeleteOverrideRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteOverrideResponse:
        """`delete_override` without blocking."""
        return await self._call_async(_DELETE_OVERRIDE, request, retries, server_url, timeout_ms, http_headers)

    def limit(
        self,
        *,
        request: models.LimitRequestBody | models.LimitRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.LimitResponse:
        """Whether one more request of an identifier may pass; counts it if so.

        By default retried only where the server cannot have acted, because a repetition may count twice.
        """
        return self._call(_LIMIT, request, retries, server_url, timeout_ms, http_headers)

    async def limit_async(
        self,
        *,
        request: models.LimitRequestBody | models.LimitRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.LimitResponse:
        """`limit` without blocking."""
        return await self._call_async(_LIMIT, request, retries, server_url, timeout_ms, http_headers)
