"""A due refill as the record and the audit entry it leaves behind (contract keys-v1 §4.5, Appendix B)."""

import msgspec

from keystead.core.credits import Account, refilled
from keystead.core.entities import AuditEntry, AuditResource, Key

SYSTEM_ACTOR = "system"


def with_refill(key: Key, now_ms: int) -> Key:
    """The record as if every refill had happened at its instant; the same object when none is due."""
    account = refilled(key.account, now_ms)
    return key if account is key.account else refilled_to(key, account)


def refilled_to(key: Key, account: Account) -> Key:
    """The record after a refill that made its account this one."""
    updated_at_ms = max(key.updated_at_ms or 0, account.last_refill_at_ms or 0)
    return msgspec.structs.replace(key, account=account, updated_at_ms=updated_at_ms)


def refill_entry(key: Key, entry_id: str) -> AuditEntry:
    """The audit entry of a refill that `with_refill` has applied to `key`; its time is the boundary."""
    return AuditEntry(
        id=entry_id,
        workspace_id=key.workspace_id,
        time_ms=key.account.last_refill_at_ms or 0,
        event="key.update",
        actor_type=SYSTEM_ACTOR,
        actor_id=SYSTEM_ACTOR,
        description=f"Refilled {key.id} to {key.account.remaining}",
        resources=(AuditResource("workspace", key.workspace_id), AuditResource("key", key.id, key.name)),
    )
