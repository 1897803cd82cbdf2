"""All models, enums, typed dicts and exceptions; each module is imported when one of its names is first used.

The table below is all there is at run time; type checkers read `__init__.pyi`. Tests hold the two together.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "addpermissionsop": """
        AddPermissionsPermissions AddPermissionsPermissionsTypedDict AddPermissionsRequestBody
        AddPermissionsRequestBodyTypedDict AddPermissionsResponse AddPermissionsResponseTypedDict
        ResponseBody ResponseBodyTypedDict
    """,
    "addrolesop": """
        AddRolesRequestBody AddRolesRequestBodyTypedDict AddRolesResponse AddRolesResponseBody
        AddRolesResponseBodyTypedDict AddRolesResponseTypedDict AddRolesRoles AddRolesRolesTypedDict
    """,
    "createapiop": """
        CreateAPIRequestBody CreateAPIRequestBodyTypedDict CreateAPIResponse CreateAPIResponseBody
        CreateAPIResponseBodyTypedDict CreateAPIResponseTypedDict
    """,
    "createidentityop": """
        CreateIdentityRatelimits CreateIdentityRatelimitsTypedDict CreateIdentityRequestBody
        CreateIdentityRequestBodyTypedDict CreateIdentityResponse CreateIdentityResponseBody
        CreateIdentityResponseBodyTypedDict CreateIdentityResponseTypedDict
    """,
    "createkeyop": """
        CreateKeyInterval CreateKeyRatelimit CreateKeyRatelimitTypedDict CreateKeyRefill
        CreateKeyRefillTypedDict CreateKeyRequestBody CreateKeyRequestBodyTypedDict
        CreateKeyResponse CreateKeyResponseBody CreateKeyResponseBodyTypedDict
        CreateKeyResponseTypedDict CreateKeyType
    """,
    "createpermissionop": """
        CreatePermissionRequestBody CreatePermissionRequestBodyTypedDict CreatePermissionResponse
        CreatePermissionResponseBody CreatePermissionResponseBodyTypedDict
        CreatePermissionResponseTypedDict Description DescriptionTypedDict Two
    """,
    "createroleop": """
        CreateRoleDescription CreateRoleDescriptionTypedDict CreateRoleRequestBody
        CreateRoleRequestBodyTypedDict CreateRoleResponse CreateRoleResponseBody
        CreateRoleResponseBodyTypedDict CreateRoleResponseTypedDict Description2
    """,
    "deleteapiop": """
        DeleteAPIRequestBody DeleteAPIRequestBodyTypedDict DeleteAPIResponse DeleteAPIResponseBody
        DeleteAPIResponseBodyTypedDict DeleteAPIResponseTypedDict
    """,
    "deleteidentityop": """
        DeleteIdentityRequestBody DeleteIdentityRequestBodyTypedDict DeleteIdentityResponse
        DeleteIdentityResponseBody DeleteIdentityResponseBodyTypedDict
        DeleteIdentityResponseTypedDict
    """,
    "deletekeyop": """
        DeleteKeyRequestBody DeleteKeyRequestBodyTypedDict DeleteKeyResponse DeleteKeyResponseBody
        DeleteKeyResponseBodyTypedDict DeleteKeyResponseTypedDict
    """,
    "deletekeysop": """
        DeleteKeysRequestBody DeleteKeysRequestBodyTypedDict DeleteKeysResponse
        DeleteKeysResponseBody DeleteKeysResponseBodyTypedDict DeleteKeysResponseTypedDict
    """,
    "deleteoverrideop": """
        DeleteOverrideRequestBody DeleteOverrideRequestBodyTypedDict DeleteOverrideResponse
        DeleteOverrideResponseBody DeleteOverrideResponseBodyTypedDict
        DeleteOverrideResponseTypedDict
    """,
    "deletepermissionop": """
        DeletePermissionRequestBody DeletePermissionRequestBodyTypedDict DeletePermissionResponse
        DeletePermissionResponseBody DeletePermissionResponseBodyTypedDict
        DeletePermissionResponseTypedDict
    """,
    "deleteroleop": """
        DeleteRoleRequestBody DeleteRoleRequestBodyTypedDict DeleteRoleResponse
        DeleteRoleResponseBody DeleteRoleResponseBodyTypedDict DeleteRoleResponseTypedDict
    """,
    "errbadrequest": """
        ErrBadRequest ErrBadRequestCode ErrBadRequestData Error ErrorTypedDict
    """,
    "errconflict": """
        ErrConflict ErrConflictCode ErrConflictData ErrConflictError ErrConflictErrorTypedDict
    """,
    "errdeleteprotected": """
        ErrDeleteProtected ErrDeleteProtectedCode ErrDeleteProtectedData ErrDeleteProtectedError
        ErrDeleteProtectedErrorTypedDict
    """,
    "errforbidden": """
        ErrForbidden ErrForbiddenCode ErrForbiddenData ErrForbiddenError ErrForbiddenErrorTypedDict
    """,
    "errinternalservererror": """
        ErrInternalServerError ErrInternalServerErrorCode ErrInternalServerErrorData
        ErrInternalServerErrorError ErrInternalServerErrorErrorTypedDict
    """,
    "errnotfound": """
        ErrNotFound ErrNotFoundCode ErrNotFoundData ErrNotFoundError ErrNotFoundErrorTypedDict
    """,
    "errpreconditionfailed": """
        ErrPreconditionFailed ErrPreconditionFailedCode ErrPreconditionFailedData
        ErrPreconditionFailedError ErrPreconditionFailedErrorTypedDict
    """,
    "errtoomanyrequests": """
        ErrTooManyRequests ErrTooManyRequestsCode ErrTooManyRequestsData ErrTooManyRequestsError
        ErrTooManyRequestsErrorTypedDict
    """,
    "errunauthorized": """
        ErrUnauthorized ErrUnauthorizedCode ErrUnauthorizedData ErrUnauthorizedError
        ErrUnauthorizedErrorTypedDict
    """,
    "getapiop": """
        GetAPIRequest GetAPIRequestTypedDict GetAPIResponse GetAPIResponseBody
        GetAPIResponseBodyTypedDict GetAPIResponseTypedDict
    """,
    "getidentityop": """
        GetIdentityRatelimits GetIdentityRatelimitsTypedDict GetIdentityRequest
        GetIdentityRequestTypedDict GetIdentityResponse GetIdentityResponseBody
        GetIdentityResponseBodyTypedDict GetIdentityResponseTypedDict
    """,
    "getkeyop": """
        GetKeyRequest GetKeyRequestTypedDict GetKeyResponse GetKeyResponseTypedDict
    """,
    "getoverrideop": """
        GetOverrideRequest GetOverrideRequestTypedDict GetOverrideResponse GetOverrideResponseBody
        GetOverrideResponseBodyTypedDict GetOverrideResponseTypedDict
    """,
    "getpermissionop": """
        GetPermissionRequest GetPermissionRequestTypedDict GetPermissionResponse
        GetPermissionResponseBody GetPermissionResponseBodyTypedDict GetPermissionResponseTypedDict
    """,
    "getroleop": """
        GetRoleRequest GetRoleRequestTypedDict GetRoleResponse GetRoleResponseBody
        GetRoleResponseBodyTypedDict GetRoleResponseTypedDict
    """,
    "getverificationsop": """
        GetVerificationsIdentity GetVerificationsIdentityTypedDict GetVerificationsRequest
        GetVerificationsRequestTypedDict GetVerificationsResponse GetVerificationsResponseBody
        GetVerificationsResponseBodyTypedDict GetVerificationsResponseTypedDict GroupBy
        GroupByTypedDict KeyID KeyIDTypedDict One Order OrderBy QueryParam2 Tag TagTypedDict
    """,
    "httpmetadata": """
        HTTPMetadata HTTPMetadataTypedDict
    """,
    "key": """
        Identity IdentityTypedDict Interval Key KeyTypedDict RatelimitModel RatelimitModelTypedDict
        Refill RefillTypedDict Type
    """,
    "keys_getverificationsop": """
        Granularity KeysGetVerificationsRequest KeysGetVerificationsRequestTypedDict
        KeysGetVerificationsResponse KeysGetVerificationsResponseBody
        KeysGetVerificationsResponseBodyTypedDict KeysGetVerificationsResponseTypedDict
        Verifications VerificationsTypedDict
    """,
    "limitop": """
        LimitRequestBody LimitRequestBodyTypedDict LimitResponse LimitResponseBody
        LimitResponseBodyTypedDict LimitResponseTypedDict Resources ResourcesTypedDict
    """,
    "listidentitiesop": """
        ListIdentitiesIdentities ListIdentitiesIdentitiesTypedDict ListIdentitiesRatelimits
        ListIdentitiesRatelimitsTypedDict ListIdentitiesRequest ListIdentitiesRequestTypedDict
        ListIdentitiesResponse ListIdentitiesResponseBody ListIdentitiesResponseBodyTypedDict
        ListIdentitiesResponseTypedDict
    """,
    "listkeysop": """
        ListKeysRequest ListKeysRequestTypedDict ListKeysResponse ListKeysResponseBody
        ListKeysResponseBodyTypedDict ListKeysResponseTypedDict
    """,
    "listoverridesop": """
        ListOverridesRequest ListOverridesRequestTypedDict ListOverridesResponse
        ListOverridesResponseBody ListOverridesResponseBodyTypedDict ListOverridesResponseTypedDict
        Overrides OverridesTypedDict
    """,
    "listpermissionsop": """
        ListPermissionsResponse ListPermissionsResponseBody ListPermissionsResponseBodyTypedDict
        ListPermissionsResponseTypedDict
    """,
    "listrolesop": """
        ListRolesResponse ListRolesResponseBody ListRolesResponseBodyTypedDict
        ListRolesResponseTypedDict
    """,
    "permissionquery": """
        And AndTypedDict Or OrTypedDict PermissionQuery PermissionQueryTypedDict
    """,
    "removepermissionsop": """
        RemovePermissionsPermissions RemovePermissionsPermissionsTypedDict
        RemovePermissionsRequestBody RemovePermissionsRequestBodyTypedDict RemovePermissionsResponse
        RemovePermissionsResponseBody RemovePermissionsResponseBodyTypedDict
        RemovePermissionsResponseTypedDict
    """,
    "removerolesop": """
        RemoveRolesRequestBody RemoveRolesRequestBodyTypedDict RemoveRolesResponse
        RemoveRolesResponseBody RemoveRolesResponseBodyTypedDict RemoveRolesResponseTypedDict
        RemoveRolesRoles RemoveRolesRolesTypedDict
    """,
    "sdkerror": """
        SDKError
    """,
    "security": """
        Security SecurityTypedDict
    """,
    "setoverrideop": """
        SetOverrideRequestBody SetOverrideRequestBodyTypedDict SetOverrideResponse
        SetOverrideResponseBody SetOverrideResponseBodyTypedDict SetOverrideResponseTypedDict
    """,
    "setpermissionsop": """
        SetPermissionsPermissions SetPermissionsPermissionsTypedDict SetPermissionsRequestBody
        SetPermissionsRequestBodyTypedDict SetPermissionsResponse SetPermissionsResponseBody
        SetPermissionsResponseBodyTypedDict SetPermissionsResponseTypedDict
    """,
    "setrolesop": """
        SetRolesRequestBody SetRolesRequestBodyTypedDict SetRolesResponse SetRolesResponseBody
        SetRolesResponseBodyTypedDict SetRolesResponseTypedDict SetRolesRoles SetRolesRolesTypedDict
    """,
    "updateidentityop": """
        UpdateIdentityIdentitiesRatelimits UpdateIdentityIdentitiesRatelimitsTypedDict
        UpdateIdentityRatelimits UpdateIdentityRatelimitsTypedDict UpdateIdentityRequestBody
        UpdateIdentityRequestBodyTypedDict UpdateIdentityResponse UpdateIdentityResponseBody
        UpdateIdentityResponseBodyTypedDict UpdateIdentityResponseTypedDict
    """,
    "updatekeyop": """
        Roles RolesTypedDict UpdateKeyInterval UpdateKeyPermissions UpdateKeyPermissionsTypedDict
        UpdateKeyRatelimit UpdateKeyRatelimitTypedDict UpdateKeyRefill UpdateKeyRefillTypedDict
        UpdateKeyRequestBody UpdateKeyRequestBodyTypedDict UpdateKeyResponse UpdateKeyResponseBody
        UpdateKeyResponseBodyTypedDict UpdateKeyResponseTypedDict UpdateKeyType
    """,
    "updateremainingop": """
        Op UpdateRemainingRequestBody UpdateRemainingRequestBodyTypedDict UpdateRemainingResponse
        UpdateRemainingResponseBody UpdateRemainingResponseBodyTypedDict
        UpdateRemainingResponseTypedDict
    """,
    "v1_livenessop": """
        Services ServicesTypedDict V1LivenessResponse V1LivenessResponseBody
        V1LivenessResponseBodyTypedDict V1LivenessResponseTypedDict
    """,
    "v1_migrations_createkeysop": """
        Hash HashTypedDict RequestBody RequestBodyTypedDict V1MigrationsCreateKeysInterval
        V1MigrationsCreateKeysRatelimit V1MigrationsCreateKeysRatelimitTypedDict
        V1MigrationsCreateKeysRefill V1MigrationsCreateKeysRefillTypedDict
        V1MigrationsCreateKeysResponse V1MigrationsCreateKeysResponseBody
        V1MigrationsCreateKeysResponseBodyTypedDict V1MigrationsCreateKeysResponseTypedDict
        V1MigrationsCreateKeysType Variant
    """,
    "v1_migrations_enqueuekeysop": """
        V1MigrationsEnqueueKeysHash V1MigrationsEnqueueKeysHashTypedDict
        V1MigrationsEnqueueKeysInterval V1MigrationsEnqueueKeysKeys
        V1MigrationsEnqueueKeysKeysTypedDict V1MigrationsEnqueueKeysRatelimit
        V1MigrationsEnqueueKeysRatelimitTypedDict V1MigrationsEnqueueKeysRefill
        V1MigrationsEnqueueKeysRefillTypedDict V1MigrationsEnqueueKeysRequestBody
        V1MigrationsEnqueueKeysRequestBodyTypedDict V1MigrationsEnqueueKeysResponse
        V1MigrationsEnqueueKeysResponseBody V1MigrationsEnqueueKeysResponseBodyTypedDict
        V1MigrationsEnqueueKeysResponseTypedDict V1MigrationsEnqueueKeysType
        V1MigrationsEnqueueKeysVariant
    """,
    "v1keysverifykeyrequest": """
        Authorization AuthorizationTypedDict RatelimitsModel RatelimitsModelTypedDict Remaining
        RemainingTypedDict V1KeysVerifyKeyRequest V1KeysVerifyKeyRequestRatelimit
        V1KeysVerifyKeyRequestRatelimitTypedDict V1KeysVerifyKeyRequestTypedDict
    """,
    "v1keysverifykeyresponse": """
        Code V1KeysVerifyKeyResponse V1KeysVerifyKeyResponseIdentity
        V1KeysVerifyKeyResponseIdentityTypedDict V1KeysVerifyKeyResponseRatelimit
        V1KeysVerifyKeyResponseRatelimitTypedDict V1KeysVerifyKeyResponseTypedDict
    """,
    "verifykeyop": """
        VerifyKeyResponse VerifyKeyResponseTypedDict
    """,
    "whoamiop": """
        WhoamiIdentity WhoamiIdentityTypedDict WhoamiRequestBody WhoamiRequestBodyTypedDict
        WhoamiResponse WhoamiResponseBody WhoamiResponseBodyTypedDict WhoamiResponseTypedDict
    """,
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
