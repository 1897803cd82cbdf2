"""Requests and answers of the permission and role operations (contract other-v1 §2, DECISIONS)."""

from msgspec import UNSET, Struct, UnsetType

from keystead.contract.fields import Description, Identifier, Label, Named, Slug
from keystead.contract.keys import PermissionSelector


class CreatePermission(Struct):
    """Body of createPermission; the slug is the name when absent."""

    name: Identifier
    slug: Slug | UnsetType = UNSET
    description: Description | UnsetType = UNSET


class CreatedPermission(Struct, rename="camel"):
    """Answer of createPermission."""

    permission_id: str


class CreateRole(Struct):
    """Body of createRole."""

    name: Label
    description: Description | UnsetType = UNSET


class CreatedRole(Struct, rename="camel"):
    """Answer of createRole."""

    role_id: str


class GetPermission(Struct, rename="camel"):
    """Query of getPermission."""

    permission_id: Named


class PermissionObject(Struct):
    """A permission; an empty `description` differs from none."""

    id: str
    name: str
    slug: str
    description: str | UnsetType = UNSET


class DeletePermission(Struct, rename="camel"):
    """Body of deletePermission."""

    permission_id: str


class GetRole(Struct, rename="camel"):
    """Query of getRole."""

    role_id: Named


class RoleObject(Struct):
    """A role, without its permissions; an empty `description` differs from none."""

    id: str
    name: str
    description: str | UnsetType = UNSET


class DeleteRole(Struct, rename="camel"):
    """Body of deleteRole."""

    role_id: str


class SetRolePermissions(Struct, rename="camel"):
    """Body of setRolePermissions; an empty list clears."""

    role_id: Named
    permissions: list[PermissionSelector]
