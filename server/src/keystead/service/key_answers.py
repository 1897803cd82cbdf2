"""A key as getKey, whoami and listKeys show it (contract keys-v1 §3.1, §3.2, other-v1 §1.3)."""

from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, UnsetType

from keystead.contract.apis import ListedKey
from keystead.contract.fields import or_unset
from keystead.contract.keys import (
    IdentityReference,
    IdentityWithMeta,
    KeyObject,
    KeyRatelimit,
    KeyRefill,
    WhoamiAnswer,
    json_object,
)
from keystead.core.credits import Account
from keystead.core.entities import Api, Identity, Key, KeyDetails, Ratelimit
from keystead.core.refills import with_refill
from keystead.core.verify import DEFAULT_LIMIT
from keystead.ports import Transaction


def key_answer(tx: Transaction, key: Key, api: Api, plaintext: str | None) -> KeyObject:
    """The key object; `key` has been brought up to date with `with_refill`."""
    return KeyObject(
        **_shown(key, api, _identity_of(tx, key), tx.keys.limits(key.id), plaintext),
        roles=[role.name for role in tx.keys.roles(key.id)],
        permissions=[permission.name for permission in tx.keys.permissions(key.id)],
    )


def listed_key(details: KeyDetails, api: Api, plaintext: str | None, now_ms: int) -> ListedKey:
    """The key as listKeys shows it at `now_ms` (other-v1 §1.3)."""
    key = with_refill(details.key, now_ms)
    return ListedKey(
        **_shown(key, api, details.identity, details.limits, plaintext),
        roles=list(details.role_names),
        permissions=list(details.permission_slugs),
        environment=or_unset(key.environment),
    )


def whoami_answer(tx: Transaction, key: Key) -> WhoamiAnswer:
    """The answer of whoami; an empty `meta` is left out here."""
    identity = _identity_of(tx, key)
    return WhoamiAnswer(
        id=key.id,
        created_at=key.created_at_ms,
        enabled=key.enabled,
        name=or_unset(key.name),
        remaining=or_unset(key.account.remaining),
        identity=IdentityReference(identity.id, identity.external_id) if identity else UNSET,
        meta=json_object(key.meta) if key.meta is not None and key.meta.strip("{} \t\r\n") else UNSET,
        environment=or_unset(key.environment),
    )


def _shown(
    key: Key, api: Api, identity: Identity | None, limits: Iterable[Ratelimit], plaintext: str | None
) -> dict[str, Any]:
    """The members that getKey and listKeys have in common."""
    own_default = next((limit for limit in limits if limit.name == DEFAULT_LIMIT), None)
    return {
        "id": key.id,
        "start": key.start,
        "api_id": api.id,
        "workspace_id": key.workspace_id,
        "created_at": key.created_at_ms,
        "enabled": key.enabled,
        "name": or_unset(key.name),
        "owner_id": or_unset(key.owner_id),
        "meta": json_object(key.meta) if key.meta is not None else UNSET,
        "updated_at": or_unset(key.updated_at_ms),
        "expires": or_unset(key.expires_ms),
        "remaining": or_unset(key.account.remaining),
        "refill": _refill(key.account),
        "ratelimit": _ratelimit(own_default) if own_default else UNSET,
        "plaintext": or_unset(plaintext),
        "identity": (
            IdentityWithMeta(identity.id, identity.external_id, json_object(identity.meta)) if identity else UNSET
        ),
    }


def _identity_of(tx: Transaction, key: Key) -> Identity | None:
    return tx.identities.get(key.identity_id, key.workspace_id) if key.identity_id else None


def _refill(account: Account) -> KeyRefill | UnsetType:
    if account.refill_amount is None:
        return UNSET
    return KeyRefill(
        interval="daily" if account.refill_day is None else "monthly",
        amount=account.refill_amount,
        refill_day=account.refill_day,
        last_refill_at=or_unset(account.last_refill_at_ms),
    )


def _ratelimit(limit: Ratelimit) -> KeyRatelimit:
    return KeyRatelimit(
        async_=False,
        limit=limit.limit,
        duration=limit.duration_ms,
        refill_rate=limit.limit,
        refill_interval=limit.duration_ms,
    )
