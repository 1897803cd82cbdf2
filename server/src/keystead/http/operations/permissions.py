"""The operations of permissions and roles (contract other-v1 §2, DECISIONS)."""

from keystead.contract import keys, permissions
from keystead.core.errors import ErrorCode
from keystead.http.operations.entry import NOT_FOUND, POST, Needs, Operation

PERMISSIONS = (
    Operation(
        "permissions.createPermission",
        POST,
        "Create a permission.",
        permissions.CreatePermission,
        permissions.CreatedPermission,
        lambda services, caller, request: services.permissions.create(caller, request),
        needs=(Needs(("rbac.*.create_permission",)),),
        needs_known=True,
        errors=(ErrorCode.CONFLICT,),
        audit=("permission.create",),
    ),
    Operation(
        "permissions.createRole",
        POST,
        "Create a role.",
        permissions.CreateRole,
        permissions.CreatedRole,
        lambda services, caller, request: services.permissions.create_role(caller, request),
        needs=(Needs(("rbac.*.create_role",)),),
        needs_known=True,
        errors=(ErrorCode.CONFLICT,),
        audit=("role.create",),
    ),
    Operation(
        "permissions.setRolePermissions",
        POST,
        "Make the permissions of a role exactly these.",
        permissions.SetRolePermissions,
        list[keys.NamedObject],
        lambda services, caller, request: services.permissions.set_role_permissions(caller, request),
        needs=(
            Needs(("rbac.*.add_permission_to_role",), "a permission is newly attached"),
            Needs(("rbac.*.create_permission",), "a permission has to be created"),
            Needs(("rbac.*.remove_permission_from_role",), "a permission is detached"),
        ),
        errors=NOT_FOUND,
        audit=(
            "permission.create",
            "authorization.connect_role_and_permission",
            "authorization.disconnect_role_and_permission",
        ),
        extension=True,
    ),
)
