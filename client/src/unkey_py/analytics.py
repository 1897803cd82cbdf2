"""The group `analytics`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_GET_VERIFICATIONS: Operation[models.GetVerificationsResponse] = Operation(
    "getVerifications",
    "GET",
    "/v1/analytics.getVerifications",
    "GetVerificationsRequest",
    "GetVerificationsResponse",
    attribute="response_bodies",
)


class Analytics(BaseSDK):
    """Numbers of verifications.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def get_verifications(
        self,
        *,
        request: models.GetVerificationsRequest | models.GetVerificationsRequestTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetVerificationsResponse:
        """Numbers of verifications of an API by outcome, grouped and sorted as asked.

        Without `end`, up to now: the published release stops at the moment it was generated.
        """
        return self._call(_GET_VERIFICATIONS, request, retries, server_url, timeout_ms, http_headers)

    async def get_verifications_async(
        self,
        *,
        request: models.GetVerificationsRequest | models.GetVerificationsRequestTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetVerificationsResponse:
        """`get_verifications` without blocking."""
        return await self._call_async(_GET_VERIFICATIONS, request, retries, server_url, timeout_ms, http_headers)
