"""The group `apis`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_CREATE: Operation[models.CreateAPIResponse] = Operation(
    "createApi", "POST", "/v1/apis.createApi", "CreateAPIRequestBody", "CreateAPIResponse", changes=True
)
_DELETE: Operation[models.DeleteAPIResponse] = Operation(
    "deleteApi",
    "POST",
    "/v1/apis.deleteApi",
    "DeleteAPIRequestBody",
    "DeleteAPIResponse",
    changes=True,
    refusals={429: ("ErrDeleteProtected", "ErrTooManyRequests")},
)
_DELETE_KEYS: Operation[models.DeleteKeysResponse] = Operation(
    "deleteKeys", "POST", "/v1/apis.deleteKeys", "DeleteKeysRequestBody", "DeleteKeysResponse", changes=True
)
_GET: Operation[models.GetAPIResponse] = Operation(
    "getApi", "GET", "/v1/apis.getApi", "GetAPIRequest", "GetAPIResponse"
)
_LIST_KEYS: Operation[models.ListKeysResponse] = Operation(
    "listKeys", "GET", "/v1/apis.listKeys", "ListKeysRequest", "ListKeysResponse"
)


class Apis(BaseSDK):
    """APIs, the homes of keys.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def create(
        self,
        *,
        request: models.CreateAPIRequestBody | models.CreateAPIRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateAPIResponse:
        """A new API, the home of keys."""
        return self._call(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    async def create_async(
        self,
        *,
        request: models.CreateAPIRequestBody | models.CreateAPIRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateAPIResponse:
        """`create` without blocking."""
        return await self._call_async(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    def delete(
        self,
        *,
        request: models.DeleteAPIRequestBody | models.DeleteAPIRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteAPIResponse:
        """Delete an API and all of its keys.

        Raises `ErrPreconditionFailed` if it is protected against deletion (D1).
        """
        return self._call(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    async def delete_async(
        self,
        *,
        request: models.DeleteAPIRequestBody | models.DeleteAPIRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteAPIResponse:
        """`delete` without blocking."""
        return await self._call_async(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    def delete_keys(
        self,
        *,
        request: models.DeleteKeysRequestBody | models.DeleteKeysRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteKeysResponse:
        """Delete all keys of an API; the answer has their number."""
        return self._call(_DELETE_KEYS, request, retries, server_url, timeout_ms, http_headers)

    async def delete_keys_async(
        self,
        *,
        request: models.DeleteKeysRequestBody | models.DeleteKeysRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteKeysResponse:
        """`delete_keys` without blocking."""
        return await self._call_async(_DELETE_KEYS, request, retries, server_url, timeout_ms, http_headers)

    def get(
        self,
        *,
        api_id: str,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetAPIResponse:
        """Name and workspace of an API."""
        return self._call(_GET, {"api_id": api_id}, retries, server_url, timeout_ms, http_headers)

    async def get_async(
        self,
        *,
        api_id: str,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetAPIResponse:
        """`get` without blocking."""
        return await self._call_async(_GET, {"api_id": api_id}, retries, server_url, timeout_ms, http_headers)

    def list_keys(
        self,
        *,
        request: models.ListKeysRequest | models.ListKeysRequestTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListKeysResponse:
        """Keys of an API, a page at a time: give the answer's `cursor` with the next request."""
        return self._call(_LIST_KEYS, request, retries, server_url, timeout_ms, http_headers)

    async def list_keys_async(
        self,
        *,
        request: models.ListKeysRequest | models.ListKeysRequestTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListKeysResponse:
        """`list_keys` without blocking."""
        return await self._call_async(_LIST_KEYS, request, retries, server_url, timeout_ms, http_headers)
