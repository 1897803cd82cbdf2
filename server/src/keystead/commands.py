"""What the command line can ask for, beside a running server (through the control socket) or without one.

A command is a name and a use case: most are the very use cases of the API, with the operator as the caller. Its
arguments are `workspace_id` (None: the default workspace) and `request`, which is decoded and checked as the body of an
operation is. So a command can do nothing that an operation would refuse, except for want of a permission.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from keystead.clock import Clock
from keystead.contract.apis import CreateApi, ListKeys, ListPage, UpdateApi
from keystead.contract.identities import ListIdentities
from keystead.contract.keys import DeleteKey, EmptyAnswer, GetKey, UpdateKey
from keystead.contract.operator import (
    FailedImport,
    FailedImportPage,
    ListFailedImports,
    ListRootKeys,
    RetryImports,
    RevokeRootKey,
    SetWorkspaceEnabled,
)
from keystead.contract.permissions import SetRolePermissions
from keystead.control import Command
from keystead.core.entities import QueuedKey
from keystead.http.decoding import BodyDecoder
from keystead.service.access import Caller
from keystead.service.apis import Apis
from keystead.service.failures import not_found
from keystead.service.identities import Identities
from keystead.service.imported_keys import ImportedKey
from keystead.service.keys import Keys
from keystead.service.migration_queue import MigrationQueue
from keystead.service.operator import Operator
from keystead.service.permissions import Permissions

T = TypeVar("T")


@dataclass(frozen=True)
class Commands:
    """The commands on one database."""

    clock: Clock
    operator: Operator
    apis: Apis
    keys: Keys
    identities: Identities
    permissions: Permissions
    migration_queue: MigrationQueue

    def by_name(self) -> Mapping[str, Command]:
        """Name → what does it."""
        return {
            "workspace.create": self._create_workspace,
            "workspace.list": _asked(ListPage, self.operator.workspaces),
            "workspace.set-enabled": _asked(SetWorkspaceEnabled, self._set_workspace_enabled),
            "root-key.create": self._create_root_key,
            "root-key.list": _asked(ListRootKeys, self.operator.root_keys),
            "root-key.revoke": _asked(RevokeRootKey, self._revoke_root_key),
            "api.list": self._called(ListPage, self.apis.list),
            "api.create": self._called(CreateApi, self.apis.create),
            "api.update": self._called(UpdateApi, self.apis.update),
            "key.list": self._called(ListKeys, self.keys.of_api),
            "key.show": self._called(GetKey, self.keys.get),
            "key.update": self._called(UpdateKey, self.keys.update),
            "key.delete": self._called(DeleteKey, self.keys.delete),
            "identity.list": self._called(ListIdentities, self.identities.page),
            "permission.list": self._called(ListPage, self.permissions.page),
            "role.list": self._called(ListPage, self.permissions.page_of_roles),
            "role.set-permissions": self._called(SetRolePermissions, self._set_role_permissions),
            "migration.failed": _asked(ListFailedImports, self._failed_imports),
            "migration.retry": _asked(RetryImports, self._retry_imports),
        }

    def _called(self, kind: type[T], use_case: Callable[[Caller, T], Awaitable[Any]]) -> Command:
        """A use case of the API, with the operator as its caller."""
        decoder = BodyDecoder(kind)

        async def run(arguments: dict[str, Any]) -> dict[str, Any]:
            request = _decoded(decoder, arguments)
            caller = await self.operator.acting_in(arguments.get("workspace_id"), self.clock.now_ms())
            return _plain(await use_case(caller, request))

        return run

    async def _create_workspace(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"id": await self.operator.create_workspace(arguments["name"], self.clock.now_ms())}

    async def _create_root_key(self, arguments: dict[str, Any]) -> dict[str, Any]:
        made = await self.operator.create_root_key(
            arguments["name"], arguments["permissions"], arguments.get("workspace_id"), self.clock.now_ms()
        )
        return {"keyId": made.key_id, "key": made.key}

    async def _set_workspace_enabled(self, request: SetWorkspaceEnabled) -> EmptyAnswer:
        return await self.operator.set_workspace_enabled(request, self.clock.now_ms())

    async def _revoke_root_key(self, request: RevokeRootKey) -> EmptyAnswer:
        return await self.operator.revoke_root_key(request, self.clock.now_ms())

    async def _set_role_permissions(self, caller: Caller, request: SetRolePermissions) -> dict[str, Any]:
        return {"permissions": await self.permissions.set_role_permissions(caller, request)}

    async def _failed_imports(self, request: ListFailedImports) -> FailedImportPage:
        found = await self.migration_queue.failed(request.cursor, request.limit)
        return FailedImportPage(list(map(_failed_import, found)), found[-1].seq if found else UNSET)

    async def _retry_imports(self, request: RetryImports) -> dict[str, int]:
        if request.id is None:
            return {"retried": await self.migration_queue.retry()}
        retried = await self.migration_queue.retry([request.id])
        if not retried:
            raise not_found("failed import", str(request.id))
        return {"retried": retried}


def _asked(kind: type[T], use_case: Callable[[T], Awaitable[Any]]) -> Command:
    """A use case of the operator's own."""
    decoder = BodyDecoder(kind)

    async def run(arguments: dict[str, Any]) -> dict[str, Any]:
        return _plain(await use_case(_decoded(decoder, arguments)))

    return run


def _decoded(decoder: BodyDecoder[T], arguments: dict[str, Any]) -> T:
    return decoder.decode(msgspec.json.encode(arguments.get("request", {})), "application/json")


def _plain(answer: Any) -> dict[str, Any]:
    """An answer as it would be on the wire, in plain types."""
    # Not with msgspec: free-form members may hold numbers that only the standard library reads.
    members: dict[str, Any] = json.loads(msgspec.json.encode(answer))
    return members


def _failed_import(queued: QueuedKey) -> FailedImport:
    item = msgspec.json.decode(queued.item, type=ImportedKey)
    return FailedImport(
        id=queued.seq,
        migration_id=queued.migration_id,
        workspace_id=queued.workspace_id,
        api_id=queued.api_id,
        key_id=item.key_id,
        name=item.name,
        queued_at=queued.created_at_ms,
        attempts=queued.attempts,
        reason=queued.error or "",
    )
