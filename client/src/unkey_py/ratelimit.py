"""The group `ratelimit`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_GET_OVERRIDE: Operation[models.GetOverrideResponse] = Operation(
    "getOverride", "GET", "/v1/ratelimits.getOverride", "GetOverrideRequest", "GetOverrideResponse"
)
_LIST_OVERRIDES: Operation[models.ListOverridesResponse] = Operation(
    "listOverrides", "GET", "/v1/ratelimits.listOverrides", "ListOverridesRequest", "ListOverridesResponse"
)
_SET_OVERRIDE: Operation[models.SetOverrideResponse] = Operation(
    "setOverride", "POST", "/v1/ratelimits.setOverride", "SetOverrideRequestBody", "SetOverrideResponse", changes=True
)


class Ratelimit(BaseSDK):
    """Overrides of ratelimits: set, get and list.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def get_override(
        self,
        *,
        identifier: str,
        namespace_id: str | None = None,
        namespace_name: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetOverrideResponse:
        """The override of an identifier in a namespace, which is named by id or by name."""
        return self._call(
            _GET_OVERRIDE,
            {"identifier": identifier, "namespace_id": namespace_id, "namespace_name": namespace_name},
            retries,
            server_url,
            timeout_ms,
            http_headers,
        )

    async def get_override_async(
        self,
        *,
        identifier: str,
        namespace_id: str | None = None,
        namespace_name: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetOverrideResponse:
        """`get_override` without blocking."""
        return await self._call_async(
            _GET_OVERRIDE,
            {"identifier": identifier, "namespace_id": namespace_id, "namespace_name": namespace_name},
            retries,
            server_url,
            timeout_ms,
            http_headers,
        )

    def list_overrides(
        self,
        *,
        namespace_id: str | None = None,
        namespace_name: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListOverridesResponse:
        """Overrides of a namespace, a page at a time: give the answer's `cursor` with the next call."""
        return self._call(
            _LIST_OVERRIDES,
            {"namespace_id": namespace_id, "namespace_name": namespace_name, "limit": limit, "cursor": cursor},
            retries,
            server_url,
            timeout_ms,
            http_headers,
        )

    async def list_overrides_async(
        self,
        *,
        namespace_id: str | None = None,
        namespace_name: str | None = None,
        limit: int | None = 100,
        cursor: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListOverridesResponse:
        """`list_overrides` without blocking."""
        return await self._call_async(
            _LIST_OVERRIDES,
            {"namespace_id": namespace_id, "namespace_name": namespace_name, "limit": limit, "cursor": cursor},
            retries,
            server_url,
            timeout_ms,
            http_headers,
        )

    def set_override(
        self,
        *,
        request: models.SetOverrideRequestBody | models.SetOverrideRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.SetOverrideResponse:
        """Give an identifier, or a pattern with `*`, a limit of its own in a namespace."""
        return self._call(_SET_OVERRIDE, request, retries, server_url, timeout_ms, http_headers)

    async def set_override_async(
        self,
        *,
        request: models.SetOverrideRequestBody | models.SetOverrideRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.SetOverrideResponse:
        """`set_override` without blocking."""
        return await self._call_async(_SET_OVERRIDE, request, retries, server_url, timeout_ms, http_headers)
