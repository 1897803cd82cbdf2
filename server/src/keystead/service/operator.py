"""What the operator does from the machine itself: workspaces, root keys (DECISIONS "What v1 lacks").

Root keys are ordinary records in a workspace of the operator's own; no operation of the API reaches it.
"""

import re
from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from keystead.contract.apis import ListPage
from keystead.contract.fields import utf16_length
from keystead.contract.keys import CreatedKey, EmptyAnswer
from keystead.contract.operator import (
    ListedRootKey,
    ListedWorkspace,
    ListRootKeys,
    RevokeRootKey,
    RootKeyPage,
    SetWorkspaceEnabled,
    WorkspacePage,
)
from keystead.core.entities import Api, AuditResource, Key, KeyDetails, Permission, Workspace
from keystead.core.errors import StartupError
from keystead.core.ids import IdPrefix
from keystead.core.permissions import EVERYTHING
from keystead.core.secrets import DEFAULT_BYTE_LENGTH, hash_secret, new_secret, start_of
from keystead.ports import Store, Transaction
from keystead.service.access import Caller, Origin
from keystead.service.audit import Trail
from keystead.service.failures import bad_request, not_found
from keystead.service.ids import Ids

DEFAULT_WORKSPACE_ID = "ws_default"
OPERATOR_WORKSPACE_ID = "ws_operator"
ROOT_KEYS_API_ID = "api_root_keys"
ROOT_KEYS_KEYSPACE_ID = "ks_root_keys"
ROOT_KEY_PREFIX = "keystead"

_ACTOR = "operator"
_PERMISSION = re.compile(r"\*|[a-z]+\.[A-Za-z0-9_*.:\-]+\.[a-z_]+")


class Operator:
    """The operator's use cases; every change is in the audit log under the actor `operator`."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    async def set_up(self, now_ms: int) -> None:
        """Make the default workspace and the operator's own in an empty database."""

        def make(tx: Transaction) -> None:
            if tx.workspaces.is_empty():
                tx.workspaces.insert(Workspace(OPERATOR_WORKSPACE_ID, "operator", True, now_ms))
                tx.apis.insert(Api(ROOT_KEYS_API_ID, OPERATOR_WORKSPACE_ID, "root keys", now_ms, ROOT_KEYS_KEYSPACE_ID))
                self._insert_workspace(tx, DEFAULT_WORKSPACE_ID, "default", now_ms)

        await self._store.write(make)

    async def has_root_keys(self) -> bool:
        """Whether a root key has ever been made."""
        return await self._store.read(lambda tx: not tx.keys.is_empty(ROOT_KEYS_KEYSPACE_ID))

    async def acting_in(self, workspace_id: str | None, now_ms: int) -> Caller:
        """The operator as the caller of a use case, in that workspace or the default one; may do everything.

        Raises NOT_FOUND for an unknown workspace, and for the operator's own: its keys are not ordinary ones.
        """
        chosen = workspace_id or DEFAULT_WORKSPACE_ID
        await self._store.read(lambda tx: _workspace(tx, chosen))
        return operator_in(chosen, now_ms)

    async def create_workspace(self, name: str, now_ms: int) -> str:
        """A new workspace; its id. Raises BAD_REQUEST for an empty or overlong name."""
        if not 1 <= utf16_length(name) <= 256:
            raise bad_request("name: must have 1 to 256 characters")
        workspace_id = self._ids.new(IdPrefix.WORKSPACE, now_ms)
        await self._store.write(lambda tx: self._insert_workspace(tx, workspace_id, name, now_ms))
        return workspace_id

    def new_root_key(self) -> str:
        """A secret for `create_root_key`, for a caller who has to hand it over before it is in force."""
        return new_secret(ROOT_KEY_PREFIX, DEFAULT_BYTE_LENGTH, self._ids.random)

    async def create_root_key(
        self,
        name: str,
        permissions: Sequence[str],
        workspace_id: str | None,
        now_ms: int,
        secret: str | None = None,
    ) -> CreatedKey:
        """A root key acting for a workspace, by default the default one; the only time its secret is shown.

        `secret` comes from `new_root_key`, a fresh one by default. Raises BAD_REQUEST for a bad name or permission,
        NOT_FOUND for an unknown workspace.
        """
        if not 1 <= utf16_length(name) <= 256:
            raise bad_request("name: must have 1 to 256 characters")
        if not permissions:
            raise bad_request("permissions: at least one is needed")
        for permission in permissions:
            if not _PERMISSION.fullmatch(permission) or len(permission) > 128:
                raise bad_request(f"permissions: {permission} is neither * nor <resource>.<id or *>.<action>")
        plaintext = secret or self.new_root_key()
        for_workspace_id = workspace_id or DEFAULT_WORKSPACE_ID

        def insert(tx: Transaction) -> CreatedKey:
            _workspace(tx, for_workspace_id)
            key = self._insert_root_key(
                tx, plaintext, start_of(plaintext, ROOT_KEY_PREFIX), name, permissions, for_workspace_id, now_ms
            )
            return CreatedKey(key.id, plaintext)

        return await self._store.write(insert)

    async def workspaces(self, request: ListPage) -> WorkspacePage:
        """A page of the workspaces, by id, without the operator's own."""

        def page(tx: Transaction) -> WorkspacePage:
            # One more than asked for: the operator's own may be among them.
            found = [w for w in tx.workspaces.page(request.cursor, request.limit + 1) if w.id != OPERATOR_WORKSPACE_ID]
            shown = [ListedWorkspace(w.id, w.name, w.enabled, w.created_at_ms) for w in found[: request.limit]]
            return WorkspacePage(shown, tx.workspaces.count() - 1, shown[-1].id if shown else UNSET)

        return await self._store.read(page)

    async def set_workspace_enabled(self, request: SetWorkspaceEnabled, now_ms: int) -> EmptyAnswer:
        """Enable or disable a workspace, from the next request on. Raises NOT_FOUND."""

        def change(tx: Transaction) -> EmptyAnswer:
            workspace = _workspace(tx, request.id)
            if workspace.enabled != request.enabled:
                tx.workspaces.set_enabled(workspace.id, request.enabled)
                meta = {"enabled": msgspec.json.encode(request.enabled).decode()}
                resource = AuditResource("workspace", workspace.id, workspace.name, meta)
                self._note(tx, workspace.id, "workspace.update", resource, now_ms)
            return EmptyAnswer()

        return await self._store.write(change)

    async def root_keys(self, request: ListRootKeys) -> RootKeyPage:
        """A page of the root keys that are not revoked, by id, never with a secret. Raises NOT_FOUND."""

        def page(tx: Transaction) -> RootKeyPage:
            for_id = request.workspace_id
            if for_id is not None:
                _workspace(tx, for_id)
            found = tx.keys.page(ROOT_KEYS_KEYSPACE_ID, request.cursor, request.limit, for_workspace_id=for_id)
            shown = [_listed_root_key(details) for details in found]
            return RootKeyPage(shown, tx.keys.count(ROOT_KEYS_KEYSPACE_ID, for_id), shown[-1].id if shown else UNSET)

        return await self._store.read(page)

    async def revoke_root_key(self, request: RevokeRootKey, now_ms: int) -> EmptyAnswer:
        """Delete a root key softly; it is dead on the next request. Raises NOT_FOUND."""

        def revoke(tx: Transaction) -> EmptyAnswer:
            key = tx.keys.find(request.key_id)
            if key is None or key.for_workspace_id is None:
                raise not_found("root key", request.key_id)
            tx.keys.replace(msgspec.structs.replace(key, deleted_at_ms=now_ms, updated_at_ms=now_ms))
            self._note(tx, key.for_workspace_id, "key.delete", AuditResource("key", key.id, key.name), now_ms)
            return EmptyAnswer()

        return await self._store.write(revoke)

    async def ensure_root_key(self, secret: str, now_ms: int) -> None:
        """Guarantee a root key with this plaintext and the permission `*` for the default workspace.

        Raises StartupError when the plaintext belongs to a key that is anything less.
        """

        def ensure(tx: Transaction) -> None:
            key = tx.keys.by_hash(hash_secret(secret))
            if key is None:
                # Chosen by the operator, perhaps short: no part of it is kept for show.
                self._insert_root_key(tx, secret, "", "KEYSTEAD_ROOT_KEY", [EVERYTHING], DEFAULT_WORKSPACE_ID, now_ms)
                return
            fault = self._fault_of(tx, key, now_ms)
            if fault:
                raise StartupError(
                    f"The key given as KEYSTEAD_ROOT_KEY ({key.id}) {fault}. Give another one, or none. "
                    "Nothing was changed."
                )

        await self._store.write(ensure)

    def _fault_of(self, tx: Transaction, key: Key, now_ms: int) -> str | None:
        """What keeps `key` from being the root key the environment promises."""
        permissions = [*tx.keys.permissions(key.id)]
        for role in tx.keys.roles(key.id):
            permissions += tx.roles.permissions(role.id)
        faults = {
            "is revoked": key.deleted_at_ms is not None,
            "is not a root key": key.for_workspace_id is None,
            "is disabled": not key.enabled,
            "has expired": key.expires_ms is not None and key.expires_ms < now_ms,
            "acts for another workspace": key.for_workspace_id != DEFAULT_WORKSPACE_ID,
            "has limited credits": key.account.remaining is not None,
            "lacks the permission *": EVERYTHING not in {permission.slug for permission in permissions},
        }
        return next((fault for fault, holds in faults.items() if holds), None)

    def _insert_workspace(self, tx: Transaction, workspace_id: str, name: str, now_ms: int) -> None:
        tx.workspaces.insert(Workspace(workspace_id, name, True, now_ms))
        self._note(tx, workspace_id, "workspace.create", AuditResource("workspace", workspace_id, name), now_ms)

    def _insert_root_key(
        self,
        tx: Transaction,
        secret: str,
        start: str,
        name: str,
        permissions: Sequence[str],
        for_workspace_id: str,
        now_ms: int,
    ) -> Key:
        key = Key(
            id=self._ids.new(IdPrefix.KEY, now_ms),
            keyspace_id=ROOT_KEYS_KEYSPACE_ID,
            workspace_id=OPERATOR_WORKSPACE_ID,
            for_workspace_id=for_workspace_id,
            hash=hash_secret(secret),
            start=start,
            created_at_ms=now_ms,
            name=name,
        )
        tx.keys.insert(key)
        tx.keys.connect_permissions(key, [p.id for p in self._permissions(tx, permissions, now_ms)])
        meta = {"permissions": msgspec.json.encode(list(permissions)).decode()}
        self._note(tx, for_workspace_id, "key.create", AuditResource("key", key.id, name, meta), now_ms)
        return key

    def _permissions(self, tx: Transaction, slugs: Sequence[str], now_ms: int) -> list[Permission]:
        unique = list(dict.fromkeys(slugs))
        found = tx.permissions.by_slugs(OPERATOR_WORKSPACE_ID, unique)
        for slug in unique:
            if slug not in found:
                found[slug] = Permission(self._ids.new(IdPrefix.PERMISSION, now_ms), slug, slug)
                tx.permissions.insert(OPERATOR_WORKSPACE_ID, found[slug], now_ms)
        return [found[slug] for slug in unique]

    def _note(self, tx: Transaction, workspace_id: str, event: str, resource: AuditResource, now_ms: int) -> None:
        Trail(tx, operator_in(workspace_id, now_ms), self._ids).add(event, f"{event} {resource.id}", resource)


def operator_in(workspace_id: str, now_ms: int) -> Caller:
    """The operator acting in a workspace; the audit log will say so."""
    return Caller(_ACTOR, workspace_id, frozenset({EVERYTHING}), Origin(now_ms, ""), actor_type=_ACTOR)


def _workspace(tx: Transaction, workspace_id: str) -> Workspace:
    """A workspace for keys of customers. Raises NOT_FOUND."""
    workspace = tx.workspaces.get(workspace_id)
    if workspace is None or workspace_id == OPERATOR_WORKSPACE_ID:
        raise not_found("workspace", workspace_id)
    return workspace


def _listed_root_key(details: KeyDetails) -> ListedRootKey:
    key = details.key
    return ListedRootKey(
        id=key.id,
        name=key.name,
        workspace_id=key.for_workspace_id or "",
        permissions=list(details.permission_slugs),
        created_at=key.created_at_ms,
        enabled=key.enabled,
        start=key.start,
    )
