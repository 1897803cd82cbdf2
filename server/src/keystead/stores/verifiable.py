"""A row of the verification look-up as the key that verification needs.

Every engine's look-up is one statement whose row has the fields of `LookupRow`, lists as JSON arrays.
"""

from functools import lru_cache
from sys import intern
from typing import NamedTuple

import msgspec

from keystead.core.addresses import AddressList
from keystead.core.answers import key_members
from keystead.core.entities import Identity, Key
from keystead.core.events import encode_subject
from keystead.core.verify import EffectiveLimit, VerifiableKey
from keystead.core.window import LimitDemand

_decode_texts = msgspec.json.Decoder(list[str]).decode
_decode_limits = msgspec.json.Decoder(list[tuple[str, int, int, int]]).decode

_EMPTY = "[]"


class LookupRow(NamedTuple):
    """What the look-up of a hash reads, in this order."""

    key_id: str
    keyspace_id: str
    workspace_id: str
    for_workspace_id: str | None
    workspace_enabled: int
    for_workspace_enabled: int | None
    enabled: int
    api_id: str
    ip_whitelist: str | None
    name: str | None
    owner_id: str | None
    meta: str | None
    expires_ms: int | None
    environment: str | None
    is_limited: int
    identity_id: str | None
    external_id: str | None
    identity_meta: str | None
    key_limits: str
    identity_limits: str
    permissions: str
    role_names: str
    role_permissions: str


def verifiable_key(row: LookupRow) -> VerifiableKey:
    """The key of a row. Texts that many keys share are kept once."""
    identity = None
    if row.identity_id is not None and row.external_id is not None:
        identity = Identity(row.identity_id, row.workspace_id, row.external_id, meta=row.identity_meta)
    limits = _effective_limits(row)
    permissions = tuple(dict.fromkeys(_texts(row.permissions) + _texts(row.role_permissions)))
    return VerifiableKey(
        key_id=row.key_id,
        workspace_id=intern(row.workspace_id),
        for_workspace_id=row.for_workspace_id,
        workspaces_enabled=bool(row.workspace_enabled) and row.for_workspace_enabled != 0,
        enabled=bool(row.enabled),
        api_id=intern(row.api_id),
        expires_ms=row.expires_ms,
        addresses=_addresses(row.ip_whitelist),
        permissions=_held(permissions),
        identity_id=row.identity_id,
        external_id=row.external_id,
        limits=limits,
        automatic=tuple(
            LimitDemand(limit.name, limit.scope_id, limit.limit, limit.duration_ms)
            for limit in limits
            if limit.auto_apply
        ),
        is_limited=bool(row.is_limited),
        members=key_members(_answer_record(row), identity, permissions, _texts(row.role_names)),
        subject=encode_subject(row.workspace_id, row.keyspace_id, row.key_id, row.identity_id, row.external_id),
    )


def _effective_limits(row: LookupRow) -> tuple[EffectiveLimit, ...]:
    """Identity-defined limits, then key-defined ones; a key's limit replaces the identity's of its name (§4.1)."""
    of_key = [EffectiveLimit(n, row.key_id, limit, ms, bool(auto)) for n, limit, ms, auto in _limits(row.key_limits)]
    if row.identity_id is None or row.identity_limits == _EMPTY:
        return tuple(of_key)
    names = {limit.name for limit in of_key}
    of_identity = [
        EffectiveLimit(n, row.identity_id, limit, ms, bool(auto))
        for n, limit, ms, auto in _limits(row.identity_limits)
        if n not in names
    ]
    return tuple(of_identity + of_key)


def _answer_record(row: LookupRow) -> Key:
    return Key(
        id=row.key_id,
        keyspace_id=row.keyspace_id,
        workspace_id=row.workspace_id,
        hash="",
        start="",
        created_at_ms=0,
        name=row.name,
        owner_id=row.owner_id,
        meta=row.meta,
        expires_ms=row.expires_ms,
        enabled=bool(row.enabled),
        environment=row.environment,
    )


@lru_cache(maxsize=4096)
def _held(slugs: tuple[str, ...]) -> frozenset[str]:
    """One set for all keys that hold the same: a set is a fifth of a key."""
    return frozenset(slugs)


def _texts(array: str) -> list[str]:
    return [] if array == _EMPTY else [intern(text) for text in _decode_texts(array)]


def _limits(array: str) -> list[tuple[str, int, int, int]]:
    return [] if array == _EMPTY else _decode_limits(array)


@lru_cache(maxsize=4096)
def _parsed_addresses(array: str) -> AddressList:
    return AddressList(_decode_texts(array))


def _addresses(array: str | None) -> AddressList | None:
    return _parsed_addresses(array) if array else None
