"""Keys issued elsewhere, on their way to becoming ours (contract other-v1 §5).

An item of a request becomes an `ImportedKey` once it has been checked. It holds no plaintext, so it may wait in the
queue as JSON; it has its id from the start, because a sealed secret is bound to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UNSET

from keystead.contract.fields import json_text, or_none
from keystead.contract.migrations import KeyFromElsewhere
from keystead.core.credits import Account
from keystead.core.entities import Identity, Key, Permission, Ratelimit, Role
from keystead.core.ids import IdPrefix
from keystead.core.verify import DEFAULT_LIMIT
from keystead.ports import Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, key_resource, keyspace_resource, permission_resource, role_resource
from keystead.service.failures import precondition_failed
from keystead.service.identities import create_identity
from keystead.service.ids import Ids

Named = TypeVar("Named", Permission, Role)

_NAMED_IN_MESSAGE = 20
_START_LENGTH = 4


class ImportedKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checked item. `limit` is (limit, duration in ms), `sealed` the ciphertext and the id of its data key.

    `roles` and `permissions` are names as given, each once; they are resolved when the key is made.
    """

    key_id: str
    hash: str
    start: str
    name: str | None = None
    owner_id: str | None = None
    external_id: str | None = None
    meta: str | None = None
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    expires_ms: int | None = None
    remaining: int | None = None
    refill_amount: int | None = None
    refill_day: int | None = None
    limit: tuple[int, int] | None = None
    enabled: bool = True
    environment: str | None = None
    sealed: tuple[str, str] | None = None


class Attachable(NamedTuple):
    """What items name: name → role, and name or slug → permission."""

    roles: Mapping[str, Role]
    permissions: Mapping[str, Permission]


def imported_key(
    item: KeyFromElsewhere,
    key_id: str,
    hash_: str,
    *,
    external_id: str | None,
    limit: tuple[int, int] | None,
    sealed: tuple[str, str] | None,
) -> ImportedKey:
    """The item as what will be made of it."""
    refill = or_none(item.refill)
    refill_day = None
    if refill is not None and refill.interval == "monthly":
        refill_day = 1 if refill.refill_day is UNSET else refill.refill_day
    return ImportedKey(
        key_id=key_id,
        hash=hash_,
        start=(item.plaintext or "")[:_START_LENGTH] if item.start is UNSET else item.start,
        name=or_none(item.name),
        owner_id=external_id or or_none(item.owner_id) or None,
        external_id=external_id,
        meta=json_text(item.meta),
        roles=_each_once(item.roles or []),
        permissions=_each_once(item.permissions or []),
        expires_ms=or_none(item.expires) or None,
        remaining=or_none(item.remaining),
        refill_amount=refill.amount if refill else None,
        refill_day=refill_day,
        limit=limit,
        enabled=item.enabled,
        environment=or_none(item.environment),
        sealed=sealed,
    )


def attachable(tx: Transaction, workspace_id: str, roles: Iterable[str], permissions: Iterable[str]) -> Attachable:
    """The roles of these names and the permissions of these slugs, else of these names (other-v1 §9.9).

    Raises PRECONDITION_FAILED, roles first, for what the workspace does not have.
    """
    role_names, permission_names = _each_once(roles), _each_once(permissions)
    found_roles = tx.roles.by_names(workspace_id, role_names)
    _refuse_unknown("roles", role_names, found_roles)
    by_slug = tx.permissions.by_slugs(workspace_id, permission_names)
    by_name = tx.permissions.by_names(workspace_id, [name for name in permission_names if name not in by_slug])
    found_permissions = by_name | by_slug
    _refuse_unknown("permissions", permission_names, found_permissions)
    return Attachable(found_roles, found_permissions)


def insert_imported(
    tx: Transaction, caller: Caller, ids: Ids, imported: Sequence[tuple[ImportedKey, str]], known: Attachable
) -> None:
    """Make the keys, each in the keyspace beside it, with what belongs to them and one audit entry per change.

    A new external id gets one identity, however many of the keys name it. Raises CONFLICT when a hash is known.
    """
    identities = _identities(
        tx, caller, ids, [item.external_id for item, _ in imported if item.external_id is not None]
    )
    made = [(item, _record(item, keyspace_id, caller, identities)) for item, keyspace_id in imported]
    tx.keys.insert_all([key for _, key in made])
    trail = Trail(tx, caller, ids)
    trail.each(
        "key.create",
        ((f"Created {key.id}", (key_resource(key), keyspace_resource(key.keyspace_id))) for _, key in made),
    )
    for item, key in made:
        if item.limit is not None:
            limit_id = ids.new(IdPrefix.RATELIMIT, caller.now_ms)
            tx.keys.put_limit(key, Ratelimit(limit_id, DEFAULT_LIMIT, *item.limit, auto_apply=True))
        if item.sealed is not None:
            tx.keys.put_ciphertext(key.id, *item.sealed)
    _attach(tx, trail, made, known)


def _attach(tx: Transaction, trail: Trail, made: Sequence[tuple[ImportedKey, Key]], known: Attachable) -> None:
    permission_pairs, role_pairs = [], []
    for item, key in made:
        permissions = _distinct(known.permissions[name] for name in item.permissions)
        tx.keys.connect_permissions(key, [permission.id for permission in permissions])
        permission_pairs += [(permission_resource(permission), key_resource(key)) for permission in permissions]
        roles = _distinct(known.roles[name] for name in item.roles)
        tx.keys.connect_roles(key, [role.id for role in roles])
        role_pairs += [(role_resource(role), key_resource(key)) for role in roles]
    trail.links("authorization.connect_permission_and_key", permission_pairs)
    trail.links("authorization.connect_role_and_key", role_pairs)


def _identities(tx: Transaction, caller: Caller, ids: Ids, external_ids: Iterable[str]) -> Mapping[str, Identity]:
    """External id → identity; made when there is none."""
    wanted = _each_once(external_ids)
    found = tx.identities.by_external_ids(wanted, caller.workspace_id)
    return {name: found.get(name) or create_identity(tx, caller, ids, name) for name in wanted}


def _record(item: ImportedKey, keyspace_id: str, caller: Caller, identities: Mapping[str, Identity]) -> Key:
    account = Account(
        remaining=item.remaining,
        refill_amount=item.refill_amount,
        refill_day=item.refill_day,
        last_refill_at_ms=None if item.refill_amount is None else caller.now_ms,
        considered_at_ms=caller.now_ms,
    )
    return Key(
        id=item.key_id,
        keyspace_id=keyspace_id,
        workspace_id=caller.workspace_id,
        hash=item.hash,
        start=item.start,
        created_at_ms=caller.now_ms,
        name=item.name,
        owner_id=item.owner_id,
        identity_id=None if item.external_id is None else identities[item.external_id].id,
        meta=item.meta,
        expires_ms=item.expires_ms,
        enabled=item.enabled,
        environment=item.environment,
        account=account,
    )


def _refuse_unknown(noun: str, names: Sequence[str], found: Mapping[str, object]) -> None:
    unknown = [name for name in names if name not in found]
    if unknown:
        shown = msgspec.json.encode(unknown[:_NAMED_IN_MESSAGE]).decode()
        rest = len(unknown) - _NAMED_IN_MESSAGE
        raise precondition_failed(f"unknown {noun}: {shown}{f' and {rest} more' if rest > 0 else ''}")


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _distinct(found: Iterable[Named]) -> list[Named]:
    """Two names may mean the same thing: a permission by its slug and by its name."""
    return list({item.id: item for item in found}.values())
