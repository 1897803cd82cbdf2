"""The group `identities`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

# Validated into the model like any dict; a model as default would make every import pay for pydantic.
_NOTHING: models.UpdateIdentityRequestBodyTypedDict = {}

_CREATE: Operation[models.CreateIdentityResponse] = Operation(
    "createIdentity",
    "POST",
    "/v1/identities.createIdentity",
    "CreateIdentityRequestBody",
    "CreateIdentityResponse",
    changes=True,
)
_DELETE: Operation[models.DeleteIdentityResponse] = Operation(
    "deleteIdentity",
    "POST",
    "/v1/identities.deleteIdentity",
    "DeleteIdentityRequestBody",
    "DeleteIdentityResponse",
    changes=True,
)
_GET: Operation[models.GetIdentityResponse] = Operation(
    "getIdentity", "GET", "/v1/identities.getIdentity", "GetIdentityRequest", "GetIdentityResponse"
)
_LIST: Operation[models.ListIdentitiesResponse] = Operation(
    "listIdentities",
    "GET",
    "/v1/identities.listIdentities",
    "ListIdentitiesRequest",
    "ListIdentitiesResponse",
    is_paged=True,
)
_UPDATE: Operation[models.UpdateIdentityResponse] = Operation(
    "updateIdentity",
    "POST",
    "/v1/identities.updateIdentity",
    "UpdateIdentityRequestBody",
    "UpdateIdentityResponse",
    changes=True,
)


class Identities(BaseSDK):
    """Identities: owners of keys with shared limits.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def create(
        self,
        *,
        request: models.CreateIdentityRequestBody | models.CreateIdentityRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateIdentityResponse:
        """A new identity, known to you by `external_id`."""
        return self._call(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    async def create_async(
        self,
        *,
        request: models.CreateIdentityRequestBody | models.CreateIdentityRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateIdentityResponse:
        """`create` without blocking."""
        return await self._call_async(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    def delete(
        self,
        *,
        request: models.DeleteIdentityRequestBody | models.DeleteIdentityRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteIdentityResponse:
        """Delete an identity; its keys live on without it."""
        return self._call(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    async def delete_async(
        self,
        *,
        request: models.DeleteIdentityRequestBody | models.DeleteIdentityRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteIdentityResponse:
        """`delete` without blocking."""
        return await self._call_async(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    def get(
        self,
        *,
        identity_id: str | None = None,
        external_id: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetIdentityResponse:
        """An identity, by its id or by your `external_id`."""
        return self._call(
            _GET,
            {"identity_id": identity_id, "external_id": external_id},
            retries,
            server_url,
            timeout_ms,
            http_headers,
        )

    async def get_async(
        self,
        *,
        identity_id: str | None = None,
        external_id: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetIdentityResponse:
        """`get` without blocking."""
        return await self._call_async(
            _GET,
            {"identity_id": identity_id, "external_id": external_id},
            retries,
            server_url,
            timeout_ms,
            http_headers,
        )

    def list(
        self,
        *,
        environment: str | None = "default",
        limit: int | None = 100,
        cursor: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListIdentitiesResponse | None:
        """Identities, a page at a time; `next()` of the result gives the next page, None after the last.

        The next page is fetched with the per-call parameters of the first.
        """
        query = {"environment": environment, "limit": limit, "cursor": cursor}
        page = self._call(_LIST, query, retries, server_url, timeout_ms, http_headers)

        def next_page() -> models.ListIdentitiesResponse | None:
            if page.object is None or page.object.cursor is None:
                return None
            return self.list(
                environment=environment,
                limit=limit,
                cursor=page.object.cursor,
                retries=retries,
                server_url=server_url,
                timeout_ms=timeout_ms,
                http_headers=http_headers,
            )

        page.next = next_page
        return page

    async def list_async(
        self,
        *,
        environment: str | None = "default",
        limit: int | None = 100,
        cursor: str | None = None,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListIdentitiesResponse | None:
        """`list` without blocking."""
        query = {"environment": environment, "limit": limit, "cursor": cursor}
        page = await self._call_async(_LIST, query, retries, server_url, timeout_ms, http_headers)

        async def next_page() -> models.ListIdentitiesResponse | None:
            if page.object is None or page.object.cursor is None:
                return None
            return await self.list_async(
                environment=environment,
                limit=limit,
                cursor=page.object.cursor,
                retries=retries,
                server_url=server_url,
                timeout_ms=timeout_ms,
                http_headers=http_headers,
            )

        page.next = next_page
        return page

    def update(
        self,
        *,
        request: models.UpdateIdentityRequestBody | models.UpdateIdentityRequestBodyTypedDict = _NOTHING,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.UpdateIdentityResponse:
        """Change `meta` or the limits of an identity."""
        return self._call(_UPDATE, request, retries, server_url, timeout_ms, http_headers)

    async def update_async(
        self,
        *,
        request: models.UpdateIdentityRequestBody | models.UpdateIdentityRequestBodyTypedDict = _NOTHING,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.UpdateIdentityResponse:
        """`update` without blocking."""
        return await self._call_async(_UPDATE, request, retries, server_url, timeout_ms, http_headers)
