"""Permissions and roles of a workspace (contract other-v1 §2, DECISIONS for setRolePermissions)."""

from msgspec import UNSET

from keystead.contract.fields import or_none
from keystead.contract.keys import NamedObject
from keystead.contract.permissions import (
    CreatedPermission,
    CreatedRole,
    CreatePermission,
    CreateRole,
    SetRolePermissions,
)
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
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

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    async def create(self, caller: Caller, request: CreatePermission) -> CreatedPermission:
        """A new permission. Raises CONFLICT when its slug is taken."""
        slug = request.name if request.slug is UNSET else request.slug
        description = or_none(request.description)
        made = await self._store.write(
            lambda tx: create_permission(tx, caller, self._ids, request.name, slug, description)
        )
        return CreatedPermission(made.id)

    async def create_role(self, caller: Caller, request: CreateRole) -> CreatedRole:
        """A new role without permissions. Raises CONFLICT when its name is taken."""
        description = or_none(request.description)
        made = await self._store.write(lambda tx: create_role(tx, caller, self._ids, request.name, description))
        return CreatedRole(made.id)

    async def set_role_permissions(self, caller: Caller, request: SetRolePermissions) -> list[NamedObject]:
        """Make a role's permissions exactly the selected ones; the new set.

        Raises NOT_FOUND, FORBIDDEN, BAD_REQUEST.
        """
        wanted = wanted_permissions(request.permissions)

        def change(tx: Transaction) -> list[NamedObject]:
            role = tx.roles.by_ids(caller.workspace_id, [request.role_id]).get(request.role_id)
            if role is None:
                raise not_found("role", request.role_id)
            refuse_all_empty("permissions", wanted)
            links = permissions_of_role(tx, role, caller, self._ids)
            return [NamedObject(p.id, p.name) for p in links.replace(wanted, [CREATE_PERMISSION])]

        return await self._store.write(change)
