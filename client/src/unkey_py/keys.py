"""The group `keys`: its operations as data, and a typed method and its twin for each."""

from __future__ import annotations

from collections.abc import Mapping

from unkey_py import models, utils
from unkey_py._operation import Operation
from unkey_py.basesdk import BaseSDK
from unkey_py.types import UNSET, OptionalNullable

# Validated into the model like any dict; a model as default would make every import pay for pydantic.
_NOTHING: models.KeysGetVerificationsRequestTypedDict = {}

_GET: Operation[models.GetKeyResponse] = Operation(
    "getKey", "GET", "/v1/keys.getKey", "GetKeyRequest", "GetKeyResponse", attribute="key"
)
_WHOAMI: Operation[models.WhoamiResponse] = Operation(
    "whoami", "POST", "/v1/keys.whoami", "WhoamiRequestBody", "WhoamiResponse"
)
_DELETE: Operation[models.DeleteKeyResponse] = Operation(
    "deleteKey", "POST", "/v1/keys.deleteKey", "DeleteKeyRequestBody", "DeleteKeyResponse", changes=True
)
_CREATE: Operation[models.CreateKeyResponse] = Operation(
    "createKey", "POST", "/v1/keys.createKey", "CreateKeyRequestBody", "CreateKeyResponse", changes=True
)
_VERIFY: Operation[models.VerifyKeyResponse] = Operation(
    "verifyKey",
    "POST",
    "/v1/keys.verifyKey",
    "V1KeysVerifyKeyRequest",
    "VerifyKeyResponse",
    attribute="v1_keys_verify_key_response",
    spends=True,
)
_UPDATE: Operation[models.UpdateKeyResponse] = Operation(
    "updateKey", "POST", "/v1/keys.updateKey", "UpdateKeyRequestBody", "UpdateKeyResponse", changes=True
)
_UPDATE_REMAINING: Operation[models.UpdateRemainingResponse] = Operation(
    "updateRemaining",
    "POST",
    "/v1/keys.updateRemaining",
    "UpdateRemainingRequestBody",
    "UpdateRemainingResponse",
    changes=True,
)
_GET_VERIFICATIONS: Operation[models.KeysGetVerificationsResponse] = Operation(
    "keys.getVerifications",
    "GET",
    "/v1/keys.getVerifications",
    "KeysGetVerificationsRequest",
    "KeysGetVerificationsResponse",
)
_ADD_PERMISSIONS: Operation[models.AddPermissionsResponse] = Operation(
    "addPermissions",
    "POST",
    "/v1/keys.addPermissions",
    "AddPermissionsRequestBody",
    "AddPermissionsResponse",
    attribute="response_bodies",
    changes=True,
)
_REMOVE_PERMISSIONS: Operation[models.RemovePermissionsResponse] = Operation(
    "removePermissions",
    "POST",
    "/v1/keys.removePermissions",
    "RemovePermissionsRequestBody",
    "RemovePermissionsResponse",
    changes=True,
)
_SET_PERMISSIONS: Operation[models.SetPermissionsResponse] = Operation(
    "setPermissions",
    "POST",
    "/v1/keys.setPermissions",
    "SetPermissionsRequestBody",
    "SetPermissionsResponse",
    attribute="response_bodies",
    changes=True,
)
_ADD_ROLES: Operation[models.AddRolesResponse] = Operation(
    "addRoles",
    "POST",
    "/v1/keys.addRoles",
    "AddRolesRequestBody",
    "AddRolesResponse",
    attribute="response_bodies",
    changes=True,
)
_REMOVE_ROLES: Operation[models.RemoveRolesResponse] = Operation(
    "removeRoles", "POST", "/v1/keys.removeRoles", "RemoveRolesRequestBody", "RemoveRolesResponse", changes=True
)
_SET_ROLES: Operation[models.SetRolesResponse] = Operation(
    "setRoles",
    "POST",
    "/v1/keys.setRoles",
    "SetRolesRequestBody",
    "SetRolesResponse",
    attribute="response_bodies",
    changes=True,
)


class Keys(BaseSDK):
    """Keys: making, verifying and changing them.

    Every operation raises `pydantic.ValidationError` for a request that does not fit, the `models.Err…` of an
    error status, `models.SDKError` for any other answer, and httpx's exceptions when there is none (sdk.md
    section 10).
    """

    def get(
        self,
        *,
        key_id: str,
        decrypt: OptionalNullable[bool] = UNSET,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetKeyResponse:
        """The key without its plaintext; `decrypt` adds the plaintext of a recoverable key."""
        return self._call(_GET, {"key_id": key_id, "decrypt": decrypt}, retries, server_url, timeout_ms, http_headers)

    async def get_async(
        self,
        *,
        key_id: str,
        decrypt: OptionalNullable[bool] = UNSET,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.GetKeyResponse:
        """`get` without blocking."""
        return await self._call_async(
            _GET, {"key_id": key_id, "decrypt": decrypt}, retries, server_url, timeout_ms, http_headers
        )

    def whoami(
        self,
        *,
        request: models.WhoamiRequestBody | models.WhoamiRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.WhoamiResponse:
        """The key that a plaintext belongs to; spends nothing and counts nothing."""
        return self._call(_WHOAMI, request, retries, server_url, timeout_ms, http_headers)

    async def whoami_async(
        self,
        *,
        request: models.WhoamiRequestBody | models.WhoamiRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.WhoamiResponse:
        """`whoami` without blocking."""
        return await self._call_async(_WHOAMI, request, retries, server_url, timeout_ms, http_headers)

    def delete(
        self,
        *,
        request: models.DeleteKeyRequestBody | models.DeleteKeyRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteKeyResponse:
        """Revoke a key; it is refused from the next verification on."""
        return self._call(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    async def delete_async(
        self,
        *,
        request: models.DeleteKeyRequestBody | models.DeleteKeyRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.DeleteKeyResponse:
        """`delete` without blocking."""
        return await self._call_async(_DELETE, request, retries, server_url, timeout_ms, http_headers)

    def create(
        self,
        *,
        request: models.CreateKeyRequestBody | models.CreateKeyRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateKeyResponse:
        """A new key. Its plaintext is in the answer and cannot be had again, unless `recoverable`."""
        return self._call(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    async def create_async(
        self,
        *,
        request: models.CreateKeyRequestBody | models.CreateKeyRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.CreateKeyResponse:
        """`create` without blocking."""
        return await self._call_async(_CREATE, request, retries, server_url, timeout_ms, http_headers)

    def verify(
        self,
        *,
        request: models.V1KeysVerifyKeyRequest | models.V1KeysVerifyKeyRequestTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.VerifyKeyResponse:
        """Whether a key is good for a request; spends credits and counts against limits.

        A refusal is not an exception: `valid` is false and `code` tells why. By default retried only where the server
        cannot have acted, because a repetition may spend twice.
        """
        return self._call(_VERIFY, request, retries, server_url, timeout_ms, http_headers)

    async def verify_async(
        self,
        *,
        request: models.V1KeysVerifyKeyRequest | models.V1KeysVerifyKeyRequestTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.VerifyKeyResponse:
        """`verify` without blocking."""
        return await self._call_async(_VERIFY, request, retries, server_url, timeout_ms, http_headers)

    def update(
        self,
        *,
        request: models.UpdateKeyRequestBody | models.UpdateKeyRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.UpdateKeyResponse:
        """Change some settings of a key: absent members stay as they are, None clears."""
        return self._call(_UPDATE, request, retries, server_url, timeout_ms, http_headers)

    async def update_async(
        self,
        *,
        request: models.UpdateKeyRequestBody | models.UpdateKeyRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.UpdateKeyResponse:
        """`update` without blocking."""
        return await self._call_async(_UPDATE, request, retries, server_url, timeout_ms, http_headers)

    def update_remaining(
        self,
        *,
        request: models.UpdateRemainingRequestBody | models.UpdateRemainingRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.UpdateRemainingResponse:
        """Set, add to or take from the credits of a key; the answer has what is left."""
        return self._call(_UPDATE_REMAINING, request, retries, server_url, timeout_ms, http_headers)

    async def update_remaining_async(
        self,
        *,
        request: models.UpdateRemainingRequestBody | models.UpdateRemainingRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.UpdateRemainingResponse:
        """`update_remaining` without blocking."""
        return await self._call_async(_UPDATE_REMAINING, request, retries, server_url, timeout_ms, http_headers)

    def get_verifications(
        self,
        *,
        request: models.KeysGetVerificationsRequest | models.KeysGetVerificationsRequestTypedDict = _NOTHING,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.KeysGetVerificationsResponse:
        """Numbers of verifications of a key, or of all keys of an owner, by day."""
        return self._call(_GET_VERIFICATIONS, request, retries, server_url, timeout_ms, http_headers)

    async def get_verifications_async(
        self,
        *,
        request: models.KeysGetVerificationsRequest | models.KeysGetVerificationsRequestTypedDict = _NOTHING,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.KeysGetVerificationsResponse:
        """`get_verifications` without blocking."""
        return await self._call_async(_GET_VERIFICATIONS, request, retries, server_url, timeout_ms, http_headers)

    def add_permissions(
        self,
        *,
        request: models.AddPermissionsRequestBody | models.AddPermissionsRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.AddPermissionsResponse:
        """Add permissions to a key; the answer has all it has then."""
        return self._call(_ADD_PERMISSIONS, request, retries, server_url, timeout_ms, http_headers)

    async def add_permissions_async(
        self,
        *,
        request: models.AddPermissionsRequestBody | models.AddPermissionsRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.AddPermissionsResponse:
        """`add_permissions` without blocking."""
        return await self._call_async(_ADD_PERMISSIONS, request, retries, server_url, timeout_ms, http_headers)

    def remove_permissions(
        self,
        *,
        request: models.RemovePermissionsRequestBody | models.RemovePermissionsRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.RemovePermissionsResponse:
        """Take permissions from a key."""
        return self._call(_REMOVE_PERMISSIONS, request, retries, server_url, timeout_ms, http_headers)

    async def remove_permissions_async(
        self,
        *,
        request: models.RemovePermissionsRequestBody | models.RemovePermissionsRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.RemovePermissionsResponse:
        """`remove_permissions` without blocking."""
        return await self._call_async(_REMOVE_PERMISSIONS, request, retries, server_url, timeout_ms, http_headers)

    def set_permissions(
        self,
        *,
        request: models.SetPermissionsRequestBody | models.SetPermissionsRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.SetPermissionsResponse:
        """Give a key exactly these permissions; the answer has the new set."""
        return self._call(_SET_PERMISSIONS, request, retries, server_url, timeout_ms, http_headers)

    async def set_permissions_async(
        self,
        *,
        request: models.SetPermissionsRequestBody | models.SetPermissionsRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.SetPermissionsResponse:
        """`set_permissions` without blocking."""
        return await self._call_async(_SET_PERMISSIONS, request, retries, server_url, timeout_ms, http_headers)

    def add_roles(
        self,
        *,
        request: models.AddRolesRequestBody | models.AddRolesRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.AddRolesResponse:
        """Add roles to a key; the answer has all it has then."""
        return self._call(_ADD_ROLES, request, retries, server_url, timeout_ms, http_headers)

    async def add_roles_async(
        self,
        *,
        request: models.AddRolesRequestBody | models.AddRolesRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.AddRolesResponse:
        """`add_roles` without blocking."""
        return await self._call_async(_ADD_ROLES, request, retries, server_url, timeout_ms, http_headers)

    def remove_roles(
        self,
        *,
        request: models.RemoveRolesRequestBody | models.RemoveRolesRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.RemoveRolesResponse:
        """Take roles from a key."""
        return self._call(_REMOVE_ROLES, request, retries, server_url, timeout_ms, http_headers)

    async def remove_roles_async(
        self,
        *,
        request: models.RemoveRolesRequestBody | models.RemoveRolesRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.RemoveRolesResponse:
        """`remove_roles` without blocking."""
        return await self._call_async(_REMOVE_ROLES, request, retries, server_url, timeout_ms, http_headers)

    def set_roles(
        self,
        *,
        request: models.SetRolesRequestBody | models.SetRolesRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.SetRolesResponse:
        """Give a key exactly these roles; the answer has the new set."""
        return self._call(_SET_ROLES, request, retries, server_url, timeout_ms, http_headers)

    async def set_roles_async(
        self,
        *,
        request: models.SetRolesRequestBody | models.SetRolesRequestBodyTypedDict,
        retries: OptionalNullable[utils.RetryConfig] = UNSET,
        server_url: str | None = None,
        timeout_ms: int | None = None,
        http_headers: Mapping[str, str] | None = None,
    ) -> models.SetRolesResponse:
        """`set_roles` without blocking."""
        return await self._call_async(_SET_ROLES, request, retries, server_url, timeout_ms, http_headers)
