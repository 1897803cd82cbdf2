"""The group `permissions`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

_CREATE: Operation[models.CreatePermissionResponse] = Operation(
    "createPermission",
    "POST",
    "/v1/permissions.createPermission",
    "CreatePermissionRequestBody",
    "CreatePermissionResponse",
    changes=True,
)
_CREATE_ROLE: Operation[models.CreateRoleResponse] = Operation(
    "createRole", "POST", "/v1/permissions.createRole", "CreateRoleRequestBody", "CreateRoleResponse", changes=True
)
_DELETE: Operation[models.DeletePermissionResponse] = Operation(
    "deletePermission",
    "POST",
    "/v1/permissions.deletePermission",
    "DeletePermissionRequestBody",
    "DeletePermissionResponse",
    changes=True,
)
_DELETE_ROLE: Operation[models.DeleteRoleResponse] = Operation(
    "deleteRole", "POST", "/v1/permissions.deleteRole", "DeleteRoleRequestBody", "DeleteRoleResponse", changes=True
)
_GET: Operation[models.GetPermissionResponse] = Operation(
    "getPermission", "GET", "/v1/permissions.getPermission", "GetPermissionRequest", "GetPermissionResponse"
)
_GET_ROLE: Operation[models.GetRoleResponse] = Operation(
    "getRole", "GET", "/v1/permissions.getRole", "GetRoleRequest", "GetRoleResponse"
)
_LIST: Operation[models.ListPermissionsResponse] = Operation(
    "listPermissions",
    "GET",
    "/v1/permissions.listPermissions",
    None,
    "ListPermissionsResponse",
    attribute="response_bodies",
)
_LIST_ROLES: Operation[models.ListRolesResponse] = Operation(
    "listRoles", "GET", "/v1/permissions.listRoles", None, "ListRolesResponse", attribute="response_bodies"
)


class Permissions(BaseSDK):
    """Permissions and roles.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def create(
        self,
        *,
        request: models.CreatePermissionRequestBody | models.CreatePermissionRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreatePermissionResponse:
        """A new permission."""
        return self._call(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    async def create_async(
        self,
        *,
        request: models.CreatePermissionRequestBody | models.CreatePermissionRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreatePermissionResponse:
        """`create` without blocking."""
        return await self._call_async(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    def create_role(
        self,
        *,
        request: models.CreateRoleRequestBody | models.CreateRoleRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateRoleResponse:
        """A new role."""
        return self._call(_CREATE_ROLE, request, retries, server_url, timeout_ms, http_headers)

    async def create_role_async(
        self,
        *,
        request: models.CreateRoleRequestBody | models.CreateRoleRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateRoleResponse:
        """`create_role` without blocking."""
        return await self._call_async(_CREATE_ROLE, request, retries, server_url, timeout_ms, http_headers)

    def delete(
        self,
        *,
        request: models.DeletePermissionRequestBody | models.DeletePermissionRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeletePermissionResponse:
        """Delete a permission; roles and keys lose it at once."""
        return self._call(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    async def delete_async(
        self,
        *,
        request: models.DeletePermissionRequestBody | models.DeletePermissionRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeletePermissionResponse:
        """`delete` without blocking."""
        return await self._call_async(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    def delete_role(
        self,
        *,
        request: models.DeleteRoleRequestBody | models.DeleteRoleRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteRoleResponse:
        """Delete a role; keys lose it at once."""
        return self._call(_DELETE_ROLE, request, retries, server_url, timeout_ms, http_headers)

    async def delete_role_async(
        self,
        *,
        request: models.DeleteRoleRequestBody | models.DeleteRoleRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteRoleResponse:
        """`delete_role` without blocking."""
        return await self._call_async(_DELETE_ROLE, request, retries, server_url, timeout_ms, http_headers)

    def get(
        self,
        *,
        permission_id: str,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetPermissionResponse:
        """A permission."""
        return self._call(_GET, {"permission_id": permission_id}, retries, server_url, timeout_ms, http_headers)

    async def get_async(
        self,
        *,
        permission_id: str,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetPermissionResponse:
        """`get` without blocking."""
        return await self._call_async(
            _GET, {"permission_id": permission_id}, retries, server_url, timeout_ms, http_headers
        )

    def get_role(
        self,
        *,
        role_id: str,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetRoleResponse:
        """A role."""
        return self._call(_GET_ROLE, {"role_id": role_id}, retries, server_url, timeout_ms, http_headers)

    async def get_role_async(
        self,
        *,
        role_id: str,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetRoleResponse:
        """`get_role` without blocking."""
        return await self._call_async(_GET_ROLE, {"role_id": role_id}, retries, server_url, timeout_ms, http_headers)

    def list(
        self,
        *,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListPermissionsResponse:
        """All permissions."""
        return self._call(_LIST, None, retries, server_url, timeout_ms, http_headers)

    async def list_async(
        self,
        *,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListPermissionsResponse:
        """`list` without blocking."""
        return await self._call_async(_LIST, None, retries, server_url, timeout_ms, http_headers)

    def list_roles(
        self,
        *,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListRolesResponse:
        """All roles."""
        return self._call(_LIST_ROLES, None, retries, server_url, timeout_ms, http_headers)

    async def list_roles_async(
        self,
        *,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.ListRolesResponse:
        """`list_roles` without blocking."""
        return await self._call_async(_LIST_ROLES, None, retries, server_url, timeout_ms, http_headers)
