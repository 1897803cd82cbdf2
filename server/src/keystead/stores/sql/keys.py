"""Statements on keys, their limits, links and encrypted secrets."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from keystead.core.credits import Account
from keystead.core.entities import Key, Permission, Ratelimit, Role
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.stores import tables
from keystead.stores.sql.batches import batches
from keystead.stores.sql.touched import Touched

_ACCOUNT_COLUMNS = {
    "remaining": "remaining",
    "refill_amount": "refill_amount",
    "refill_day": "refill_day",
    "last_refill_at_ms": "last_refill_at_ms",
    "refill_considered_at_ms": "considered_at_ms",
}


class SqlKeys:
    """`ports.Keys` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, key_id: str, workspace_id: str) -> Key | None:
        """See `ports.Keys.get`."""
        return self._one(_live_keys().where(tables.keys.c.id == key_id, tables.keys.c.workspace_id == workspace_id))

    def find(self, key_id: str) -> Key | None:
        """See `ports.Keys.find`."""
        return self._one(_live_keys().where(tables.keys.c.id == key_id))

    def by_hash(self, hash_: str) -> Key | None:
        """See `ports.Keys.by_hash`."""
        return self._one(select(tables.keys).where(tables.keys.c.hash == hash_))

    def by_owner(self, owner_id: str, workspace_id: str) -> list[Key]:
        """See `ports.Keys.by_owner`."""
        statement = (
            _live_keys()
            .where(tables.keys.c.workspace_id == workspace_id, tables.keys.c.owner_id == owner_id)
            .order_by(tables.keys.c.id)
        )
        return [_key(row._mapping) for row in self._connection.execute(statement)]

    def is_empty(self, keyspace_id: str) -> bool:
        """See `ports.Keys.is_empty`."""
        statement = select(tables.keys.c.id).where(tables.keys.c.keyspace_id == keyspace_id).limit(1)
        return self._connection.execute(statement).first() is None

    def insert(self, key: Key) -> None:
        """See `ports.Keys.insert`."""
        self._touched.hashes.add(key.hash)
        try:
            self._connection.execute(insert(tables.keys), _key_columns(key))
        except IntegrityError as error:
            raise KeysteadError(ErrorCode.CONFLICT, "a key with this hash already exists") from error

    def replace(self, key: Key) -> None:
        """See `ports.Keys.replace`."""
        self._touched.hashes.add(key.hash)
        self._connection.execute(update(tables.keys).where(tables.keys.c.id == key.id).values(_key_columns(key)))

    def delete(self, key: Key) -> None:
        """See `ports.Keys.delete`."""
        self._touched.hashes.add(key.hash)
        self._connection.execute(delete(tables.keys).where(tables.keys.c.id == key.id))

    def limits(self, key_id: str) -> list[Ratelimit]:
        """See `ports.Keys.limits`."""
        return ratelimits_where(self._connection, tables.ratelimits.c.key_id == key_id)

    def put_limit(self, key: Key, limit: Ratelimit) -> None:
        """See `ports.Keys.put_limit`."""
        self._touched.hashes.add(key.hash)
        self.drop_limit(key, limit.name)
        self._connection.execute(insert(tables.ratelimits), {**msgspec.structs.asdict(limit), "key_id": key.id})

    def drop_limit(self, key: Key, name: str) -> None:
        """See `ports.Keys.drop_limit`."""
        self._touched.hashes.add(key.hash)
        self._connection.execute(
            delete(tables.ratelimits).where(tables.ratelimits.c.key_id == key.id, tables.ratelimits.c.name == name)
        )

    def permissions(self, key_id: str) -> list[Permission]:
        """See `ports.Keys.permissions`."""
        statement = (
            select(*(tables.permissions.c[name] for name in Permission.__struct_fields__))
            .join(tables.keys_permissions)
            .where(tables.keys_permissions.c.key_id == key_id)
            .order_by(tables.keys_permissions.c.seq)
        )
        return [Permission(**row._mapping) for row in self._connection.execute(statement)]

    def roles(self, key_id: str) -> list[Role]:
        """See `ports.Keys.roles`."""
        statement = (
            select(*(tables.roles.c[name] for name in Role.__struct_fields__))
            .join(tables.keys_roles)
            .where(tables.keys_roles.c.key_id == key_id)
            .order_by(tables.keys_roles.c.seq)
        )
        return [Role(**row._mapping) for row in self._connection.execute(statement)]

    def connect_permissions(self, key: Key, permission_ids: Iterable[str]) -> None:
        """See `ports.Keys.connect_permissions`."""
        self._link(tables.keys_permissions, key, "permission_id", permission_ids)

    def disconnect_permissions(self, key: Key, permission_ids: Iterable[str]) -> None:
        """See `ports.Keys.disconnect_permissions`."""
        self._unlink(tables.keys_permissions, key, "permission_id", permission_ids)

    def connect_roles(self, key: Key, role_ids: Iterable[str]) -> None:
        """See `ports.Keys.connect_roles`."""
        self._link(tables.keys_roles, key, "role_id", role_ids)

    def disconnect_roles(self, key: Key, role_ids: Iterable[str]) -> None:
        """See `ports.Keys.disconnect_roles`."""
        self._unlink(tables.keys_roles, key, "role_id", role_ids)

    def ciphertext(self, key_id: str) -> tuple[str, str] | None:
        """See `ports.Keys.ciphertext`."""
        encrypted = tables.encrypted_keys
        row = self._connection.execute(
            select(encrypted.c.ciphertext, encrypted.c.data_key_id).where(encrypted.c.key_id == key_id)
        ).one_or_none()
        return (row[0], row[1]) if row else None

    def put_ciphertext(self, key_id: str, ciphertext: str, data_key_id: str) -> None:
        """See `ports.Keys.put_ciphertext`."""
        values = {"key_id": key_id, "ciphertext": ciphertext, "data_key_id": data_key_id}
        self._connection.execute(insert(tables.encrypted_keys), values)

    def _one(self, statement: Select[Any]) -> Key | None:
        row = self._connection.execute(statement).one_or_none()
        return _key(row._mapping) if row else None

    def _link(self, links: Table, key: Key, column: str, ids: Iterable[str]) -> None:
        rows = [{"key_id": key.id, column: id_} for id_ in ids]
        if rows:
            self._touched.hashes.add(key.hash)
            self._connection.execute(insert(links), rows)

    def _unlink(self, links: Table, key: Key, column: str, ids: Iterable[str]) -> None:
        for gone in batches(ids):
            self._touched.hashes.add(key.hash)
            self._connection.execute(delete(links).where(links.c.key_id == key.id, links.c[column].in_(gone)))


def ratelimits_where(connection: Connection, condition: Any) -> list[Ratelimit]:
    """The limits that meet `condition`, in order of creation."""
    statement = (
        select(*(tables.ratelimits.c[name] for name in Ratelimit.__struct_fields__))
        .where(condition)
        .order_by(tables.ratelimits.c.seq)
    )
    return [Ratelimit(**row._mapping) for row in connection.execute(statement)]


def _live_keys() -> Select[Any]:
    return select(tables.keys).where(tables.keys.c.deleted_at_ms.is_(None))


def _key(row: Any) -> Key:
    values = dict(row)
    account = Account(**{field: values.pop(column) for column, field in _ACCOUNT_COLUMNS.items()})
    return Key(**values, account=account)


def _key_columns(key: Key) -> dict[str, Any]:
    values = msgspec.structs.asdict(key)
    account = values.pop("account")
    return values | {column: getattr(account, field) for column, field in _ACCOUNT_COLUMNS.items()}
