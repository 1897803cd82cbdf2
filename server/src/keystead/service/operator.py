"""What the operator does from the machine itself: workspaces, root keys (DECISIONS "What v1 lacks").

Root keys are ordinary records in a workspace of the operator's own; no operation of the API reaches it.
"""

import re
from collections.abc import Sequence

import msgspec

from keystead.contract.fields import utf16_length
from keystead.contract.keys import CreatedKey
from keystead.core.entities import Api, AuditEntry, AuditResource, Key, Permission, Workspace
from keystead.core.errors import StartupError
from keystead.core.ids import IdPrefix
from keystead.core.permissions import EVERYTHING
from keystead.core.secrets import DEFAULT_BYTE_LENGTH, hash_secret, new_secret, start_of
from keystead.ports import Store, Transaction
from keystead.service.failures import bad_request, not_found
from keystead.service.ids import Ids

DEFAULT_WORKSPACE_ID = "ws_default"
OPERATOR_WORKSPACE_ID = "ws_operator"
ROOT_KEYS_API_ID = "api_root_keys"
ROOT_KEYS_KEYSPACE_ID = "ks_root_keys"
ROOT_KEY_PREFIX = "keystead"

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

    async def create_workspace(self, name: str, now_ms: int) -> str:
        """A new workspace; its id. Raises BAD_REQUEST for an empty or overlong name."""
        if not 1 <= utf16_length(name) <= 256:
            raise bad_request("name: must have 1 to 256 characters")
        workspace_id = self._ids.new(IdPrefix.WORKSPACE, now_ms)
        await self._store.write(lambda tx: self._insert_workspace(tx, workspace_id, name, now_ms))
        return workspace_id

    async def create_root_key(
        self, name: str, permissions: Sequence[str], workspace_id: str | None, now_ms: int
    ) -> CreatedKey:
        """A root key acting for a workspace, by default the default one; the only time its secret is shown.

        Raises BAD_REQUEST for a bad name or permission, NOT_FOUND for an unknown workspace.
        """
        if not 1 <= utf16_length(name) <= 256:
            raise bad_request("name: must have 1 to 256 characters")
        if not permissions:
            raise bad_request("permissions: at least one is needed")
        for permission in permissions:
            if not _PERMISSION.fullmatch(permission) or len(permission) > 128:
                raise bad_request(f"permissions: {permission} is neither * nor <resource>.<id or *>.<action>")
        secret = new_secret(ROOT_KEY_PREFIX, DEFAULT_BYTE_LENGTH, self._ids.random)
        for_workspace_id = workspace_id or DEFAULT_WORKSPACE_ID

        def insert(tx: Transaction) -> CreatedKey:
            if for_workspace_id == OPERATOR_WORKSPACE_ID or tx.workspaces.get(for_workspace_id) is None:
                raise not_found("workspace", for_workspace_id)
            key = self._insert_root_key(
                tx, secret, start_of(secret, ROOT_KEY_PREFIX), name, permissions, for_workspace_id, now_ms
            )
            return CreatedKey(key.id, secret)

        return await self._store.write(insert)

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
        entry = AuditEntry(
            id=self._ids.new(IdPrefix.AUDIT_ENTRY, now_ms),
            workspace_id=workspace_id,
            time_ms=now_ms,
            event=event,
            actor_type="operator",
            actor_id="operator",
            description=f"{event} {resource.id}",
            resources=(resource,),
        )
        tx.audit.add([entry])
