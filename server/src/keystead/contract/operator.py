"""Requests and answers of the operator's commands that no operation of the API has (DECISIONS "What v1 lacks")."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.apis import ListPage
from keystead.contract.fields import Named, PageLimit
from keystead.contract.permissions import PermissionObject


class ListRootKeys(ListPage, rename="camel"):
    """Request of `root-key list`; without `workspace_id` those for every workspace."""

    workspace_id: Named | None = None


class ListedRootKey(Struct, rename="camel"):
    """A root key; `start` is the beginning of its secret, empty for the one given as KEYSTEAD_ROOT_KEY."""

    id: str
    name: str | None
    workspace_id: str
    permissions: list[str]
    created_at: int
    enabled: bool
    start: str


class RootKeyPage(Struct, rename="camel"):
    """Answer of `root-key list`."""

    root_keys: list[ListedRootKey]
    total: int
    cursor: str | UnsetType = UNSET


class RevokeRootKey(Struct, rename="camel"):
    """Request of `root-key revoke`."""

    key_id: Named


class ListedWorkspace(Struct, rename="camel"):
    """A workspace; a disabled one answers nothing."""

    id: str
    name: str
    enabled: bool
    created_at: int


class WorkspacePage(Struct):
    """Answer of `workspace list`."""

    workspaces: list[ListedWorkspace]
    total: int
    cursor: str | UnsetType = UNSET


class SetWorkspaceEnabled(Struct, rename="camel"):
    """Request of `workspace enable` and `workspace disable`."""

    id: Named
    enabled: bool


class ListedRole(Struct):
    """A role with the slugs of its permissions; an empty `description` differs from none."""

    id: str
    name: str
    permissions: list[str]
    description: str | UnsetType = UNSET


class RolePage(Struct):
    """Answer of `role list`."""

    roles: list[ListedRole]
    total: int
    cursor: str | UnsetType = UNSET


class PermissionPage(Struct):
    """Answer of `permission list`."""

    permissions: list[PermissionObject]
    total: int
    cursor: str | UnsetType = UNSET


class ListFailedImports(Struct, rename="camel"):
    """Request of `migration failed`; `cursor` is the id of the last one seen."""

    limit: PageLimit = 100
    cursor: Annotated[int, Meta(ge=0)] = 0


class FailedImport(Struct, rename="camel"):
    """A queued key that could not be imported; `key_id` is the id it will have. No secret, and no hash of one."""

    id: int
    migration_id: str
    workspace_id: str
    api_id: str
    key_id: str
    name: str | None
    queued_at: int
    attempts: int
    reason: str


class FailedImportPage(Struct):
    """Answer of `migration failed`."""

    imports: list[FailedImport]
    cursor: int | UnsetType = UNSET


class RetryImports(Struct):
    """Request of `migration retry`; without `id` every failed import."""

    id: int | None = None
