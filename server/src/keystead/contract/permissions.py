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


class SetRolePermissions(Struct, rename="camel"):
    """Body of setRolePermissions; an empty list clears."""

    role_id: Named
    permissions: list[PermissionSelector]
