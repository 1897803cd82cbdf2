"""Rows as entities, entities as rows."""

from typing import Any

import msgspec
from sqlalchemy import Column

from keystead.core.credits import Account
from keystead.core.entities import Identity, Key, Ratelimit
from keystead.stores import tables

_ACCOUNT_COLUMNS = {
    "remaining": "remaining",
    "refill_amount": "refill_amount",
    "refill_day": "refill_day",
    "last_refill_at_ms": "last_refill_at_ms",
    "refill_considered_at_ms": "considered_at_ms",
}


def key_of(row: Any) -> Key:
    """The key of a row of `keys`."""
    values = dict(row)
    account = Account(**{field: values.pop(column) for column, field in _ACCOUNT_COLUMNS.items()})
    return Key(**values, account=account)


def key_columns(key: Key) -> dict[str, Any]:
    """The row of a key."""
    values = msgspec.structs.asdict(key)
    account = values.pop("account")
    return values | {column: getattr(account, field) for column, field in _ACCOUNT_COLUMNS.items()}


def limit_columns() -> list[Column[Any]]:
    """The columns that `limit_of` reads."""
    return [tables.ratelimits.c[name] for name in Ratelimit.__struct_fields__]


def limit_of(row: Any) -> Ratelimit:
    """The limit of a row that has `limit_columns`; further ones are ignored."""
    return Ratelimit(**{name: row[name] for name in Ratelimit.__struct_fields__})


def identity_columns() -> list[Column[Any]]:
    """The columns that `identity_of` reads."""
    return [tables.identities.c[name] for name in Identity.__struct_fields__]


def identity_of(row: Any) -> Identity:
    """The identity of a row of `identity_columns`."""
    return Identity(**row)
