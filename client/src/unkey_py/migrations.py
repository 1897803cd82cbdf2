"""The group `migrations`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_CREATE_KEYS: Operation[models.V1MigrationsCreateKeysResponse] = Operation(
    "v1.migrations.createKeys",
    "POST",
    "/v1/migrations.createKeys",
    "RequestBody",
    "V1MigrationsCreateKeysResponse",
    is_list=True,
    changes=True,
)
_ENQUEUE: Operation[models.V1MigrationsEnqueueKeysResponse] = Operation(
    "v1.migrations.enqueueKeys",
    "POST",
    "/v1/migrations.enqueueKeys",
    "V1MigrationsEnqueueKeysRequestBody",
    "V1MigrationsEnqueueKeysResponse",
    success_status=202,
    changes=True,
)


class Migrations(BaseSDK):
    """Keys made elsewhere.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def create_keys(
        self,
        *,
        request: list[models.RequestBody] | list[models.RequestBodyTypedDict],
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.V1MigrationsCreateKeysResponse:
        """Take over keys made elsewhere, by plaintext or hash; the answer has their new ids in order."""
        return self._call(_CREATE_KEYS, request, retries, server_url, timeout_ms, http_headers)

    async def create_keys_async(
        self,
        *,
        request: list[models.RequestBody] | list[models.RequestBodyTypedDict],
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.V1MigrationsCreateKeysResponse:
        """`create_keys` without blocking."""
        return await self._call_async(_CREATE_KEYS, request, retries, server_url, timeout_ms, http_headers)

    def enqueue(
        self,
        *,
        request: models.V1MigrationsEnqueueKeysRequestBody | models.V1MigrationsEnqueueKeysRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.V1MigrationsEnqueueKeysResponse:
        """Hand in keys made elsewhere for taking over later."""
        return self._call(_ENQUEUE, request, retries, server_url, timeout_ms, http_headers)

    async def enqueue_async(
        self,
        *,
        request: models.V1MigrationsEnqueueKeysRequestBody | models.V1MigrationsEnqueueKeysRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.V1MigrationsEnqueueKeysResponse:
        """`enqueue` without blocking."""
        return await self._call_async(_ENQUEUE, request, retries, server_url, timeout_ms, http_headers)
