"""Permissions and roles of a workspace (contract other-v1 §2, DECISIONS for setRolePermissions)."""

from msgspec import UNSET

from keystead.contract.apis import ListPage
from keystead.contract.fields import or_none, or_unset
from keystead.contract.keys import EmptyAnswer, NamedObject
from keystead.contract.operator import ListedRole, PermissionPage, RolePage
from keystead.contract.permissions import (
    CreatedPermission,
    CreatedRole,
    CreatePermission,
    CreateRole,
    DeletePermission,
    DeleteRole,
    GetPermission,
    GetRole,
    PermissionObject,
    RoleObject,
    SetRolePermissions,
)
from keystead.core.entities import Permission, Role
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, permission_resource, role_resource
from keystead.service.changes import Changes
from keystead.service.failures import not_found
from keystead.service.ids import Ids
from keystead.service.links import (
    CREATE_PERMISSION,
    create_permission,
    create_role,
    permissions_of_role,
    refuse_all_empty,
    wanted_permissions,
)


class Permissions:
    """The use cases of permissions and roles."""

    def __init__(self, store: Store, changes: Changes, ids: Ids) -> None:
        self._store = store
        self._changes = changes
        self._ids = ids

    async def create(self, caller: Caller, request: CreatePermission) -> CreatedPermission:
        """A new permission. Raises CONFLICT when its slug is taken."""
        slug = request.name if request.slug is UNSET else request.slug
        description = or_none(request.description)

        def create(tx: Transaction) -> CreatedPermission:
            made = create_permission(tx, caller, self._ids, request.name, slug, description)
            return CreatedPermission(made.id)

        return await self._changes.write(caller, create)

    async def get(self, caller: Caller, request: GetPermission) -> PermissionObject:
        """The permission. Raises NOT_FOUND."""
        return _shown_permission(await self._store.read(lambda tx: _permission(tx, caller, request.permission_id)))

    async def all(self, caller: Caller) -> list[PermissionObject]:
        """Every permission of the workspace, in order of creation."""
        found = await self._store.read(lambda tx: tx.permissions.all(caller.workspace_id))
        return [_shown_permission(permission) for permission in found]

    async def page(self, caller: Caller, request: ListPage) -> PermissionPage:
        """A page of the workspace's permissions, by id."""

        def page(tx: Transaction) -> PermissionPage:
            found = tx.permissions.page(caller.workspace_id, request.cursor, request.limit)
            total = tx.permissions.count(caller.workspace_id)
            return PermissionPage(list(map(_shown_permission, found)), total, found[-1].id if found else UNSET)

        return await self._store.read(page)

    async def delete(self, caller: Caller, request: DeletePermission) -> EmptyAnswer:
        """Remove a permission, from keys and roles too (§2.4, D10). Raises NOT_FOUND."""

        def delete(tx: Transaction) -> EmptyAnswer:
            permission = _permission(tx, caller, request.permission_id)
            tx.permissions.delete(permission.id)
            trail = Trail(tx, caller, self._ids)
            trail.add("permission.delete", f"Deleted {permission.id}", permission_resource(permission))
            return EmptyAnswer()

        return await self._changes.write(caller, delete)

    async def create_role(self, caller: Caller, request: CreateRole) -> CreatedRole:
        """A new role without permissions. Raises CONFLICT when its name is taken."""
        description = or_none(request.description)

        def create(tx: Transaction) -> CreatedRole:
            return CreatedRole(create_role(tx, caller, self._ids, request.name, description).id)

        return await self._changes.write(caller, create)

    async def get_role(self, caller: Caller, request: GetRole) -> RoleObject:
        """The role, without its permissions. Raises NOT_FOUND."""
        return _shown_role(await self._store.read(lambda tx: _role(tx, caller, request.role_id)))

    async def all_roles(self, caller: Caller) -> list[RoleObject]:
        """Every role of the workspace, in order of creation."""
        found = await self._store.read(lambda tx: tx.roles.all(caller.workspace_id))
        return [_shown_role(role) for role in found]

    async def page_of_roles(self, caller: Caller, request: ListPage) -> RolePage:
        """A page of the workspace's roles with their permissions, by id."""

        def page(tx: Transaction) -> RolePage:
            found = tx.roles.page(caller.workspace_id, request.cursor, request.limit)
            roles = [
                ListedRole(r.id, r.name, [p.slug for p in tx.roles.permissions(r.id)], or_unset(r.description))
                for r in found
            ]
            return RolePage(roles, tx.roles.count(caller.workspace_id), found[-1].id if found else UNSET)

        return await self._store.read(page)

    async def delete_role(self, caller: Caller, request: DeleteRole) -> EmptyAnswer:
        """Remove a role; its keys stay, without it and what it gave them (§2.8, D10). Raises NOT_FOUND."""

        def delete(tx: Transaction) -> EmptyAnswer:
            role = _role(tx, caller, request.role_id)
            tx.roles.delete(role.id)
            Trail(tx, caller, self._ids).add("role.delete", f"Deleted {role.id}", role_resource(role))
            return EmptyAnswer()

        return await self._changes.write(caller, delete)

    async def set_role_permissions(self, caller: Caller, request: SetRolePermissions) -> list[NamedObject]:
        """Make a role's permissions exactly the selected ones; the new set.

        Raises NOT_FOUND, FORBIDDEN, BAD_REQUEST.
        """
        wanted = wanted_permissions(request.permissions)

        def change(tx: Transaction) -> list[NamedObject]:
            role = _role(tx, caller, request.role_id)
            refuse_all_empty("permissions", wanted)
            links = permissions_of_role(tx, role, caller, self._ids)
            return [NamedObject(p.id, p.name) for p in links.replace(wanted, [CREATE_PERMISSION])]

        return await self._changes.write(caller, change)


def _permission(tx: Transaction, caller: Caller, permission_id: str) -> Permission:
    found = tx.permissions.by_ids(caller.workspace_id, [permission_id])
    if permission_id not in found:
        raise not_found("permission", permission_id)
    return found[permission_id]


def _role(tx: Transaction, caller: Caller, role_id: str) -> Role:
    found = tx.roles.by_ids(caller.workspace_id, [role_id])
    if role_id not in found:
        raise not_found("role", role_id)
    return found[role_id]


def _shown_permission(permission: Permission) -> PermissionObject:
    return PermissionObject(permission.id, permission.name, permission.slug, or_unset(permission.description))


def _shown_role(role: Role) -> RoleObject:
    return RoleObject(role.id, role.name, or_unset(role.description))
