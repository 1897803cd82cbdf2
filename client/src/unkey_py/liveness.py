"""The group `liveness`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_CHECK: Operation[models.V1LivenessResponse] = Operation(
    "v1.liveness", "GET", "/v1/liveness", None, "V1LivenessResponse"
)


class Liveness(BaseSDK):
    """Health of the service.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def check(
        self,
        *,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.V1LivenessResponse:
        """Whether the service and its parts are up."""
        return self._call(_CHECK, None, retries, server_url, timeout_ms, http_headers)

    async def check_async(
        self,
        *,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.V1LivenessResponse:
        """`check` without blocking."""
        return await self._call_async(_CHECK, None, retries, server_url, timeout_ms, http_headers)
