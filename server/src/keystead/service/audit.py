"""Audit entries of what callers change (contract keys-v1 Appendix B)."""

from collections.abc import Iterable

import msgspec

from keystead.core.entities import Api, AuditEntry, AuditResource, Identity, Key, Permission, Role
from keystead.core.ids import IdPrefix
from keystead.ports import Transaction
from keystead.service.access import Caller
from keystead.service.ids import Ids

KEYSPACE = "keyAuth"
"""What Appendix B calls a keyspace."""


def key_resource(key: Key, meta: dict[str, str] | None = None) -> AuditResource:
    """A key as the object of an entry."""
    return AuditResource("key", key.id, key.name, meta)


def api_resource(api: Api, meta: dict[str, str] | None = None) -> AuditResource:
    """An api as the object of an entry."""
    return AuditResource("api", api.id, api.name, meta)


def identity_resource(identity: Identity) -> AuditResource:
    """An identity as the object of an entry."""
    return AuditResource("identity", identity.id, identity.external_id)


def permission_resource(permission: Permission) -> AuditResource:
    """A permission as the object of an entry."""
    return AuditResource("permission", permission.id, permission.name, {"name": permission.name})


def role_resource(role: Role) -> AuditResource:
    """A role as the object of an entry."""
    return AuditResource("role", role.id, role.name, {"name": role.name})


def given_members(request: msgspec.Struct, id_member: str) -> dict[str, str]:
    """Every member that a request gives beside the id of its object, as JSON text, for the object's `meta`."""
    members = msgspec.json.decode(msgspec.json.encode(request), type=dict[str, msgspec.Raw])
    return {name: bytes(text).decode() for name, text in members.items() if name != id_member}


class Trail:
    """Writes a caller's entries into the transaction of the change they describe."""

    def __init__(self, tx: Transaction, caller: Caller, ids: Ids) -> None:
        self._tx = tx
        self._caller = caller
        self._ids = ids

    def add(self, event: str, description: str, *resources: AuditResource) -> None:
        """Add one entry."""
        self._tx.audit.add([self._entry(event, description, resources)])

    def links(self, event: str, pairs: Iterable[tuple[AuditResource, AuditResource]]) -> None:
        """Add one entry for each pair that was connected or disconnected."""
        verb = "Disconnected" if "disconnect" in event else "Connected"
        self._tx.audit.add(
            [self._entry(event, f"{verb} {left.id} and {right.id}", (left, right)) for left, right in pairs]
        )

    def _entry(self, event: str, description: str, resources: tuple[AuditResource, ...]) -> AuditEntry:
        origin = self._caller.origin
        return AuditEntry(
            id=self._ids.new(IdPrefix.AUDIT_ENTRY, origin.now_ms),
            workspace_id=self._caller.workspace_id,
            time_ms=origin.now_ms,
            event=event,
            actor_type="key",
            actor_id=self._caller.key_id,
            description=description,
            resources=resources,
            location=origin.client_address,
            user_agent=origin.user_agent,
        )
