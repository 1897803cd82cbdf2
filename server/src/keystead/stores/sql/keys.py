"""Statements on keys, their limits, links and encrypted secrets."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from keystead.core.entities import Key, KeyDetails, Permission, Ratelimit, Role
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.stores import tables
from keystead.stores.sql.batches import batches
from keystead.stores.sql.key_pages import details_of
from keystead.stores.sql.rows import key_columns, key_of, limit_columns, limit_of
from keystead.stores.sql.touched import Touched


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
        return [key_of(row._mapping) for row in self._connection.execute(statement)]

    def page(
        self,
        keyspace_id: str,
        after_id: str,
        limit: int,
        *,
        identity_id: str | None = None,
        owner_id: str | None = None,
        for_workspace_id: str | None = None,
    ) -> list[KeyDetails]:
        """See `ports.Keys.page`."""
        keys = tables.keys.c
        conditions: list[ColumnElement[bool]] = []
        if identity_id is not None:
            conditions.append(keys.identity_id == identity_id)
        if owner_id is not None:
            conditions += [keys.workspace_id == _workspace_of(keyspace_id), keys.owner_id == owner_id]
        if for_workspace_id is not None:
            conditions.append(keys.for_workspace_id == for_workspace_id)
        # Of few keys among many, the index on the few is to be used: the keyspace's would lead through all of them.
        own_keyspace = _not_indexed(keys.keyspace_id) if conditions else keys.keyspace_id
        statement = _live_keys().where(own_keyspace == keyspace_id, keys.id > after_id, *conditions)
        rows = self._connection.execute(statement.order_by(keys.id).limit(limit))
        return details_of(self._connection, [key_of(row._mapping) for row in rows])

    def count(self, keyspace_id: str, for_workspace_id: str | None = None) -> int:
        """See `ports.Keys.count`."""
        if for_workspace_id is not None:
            keys = tables.keys.c
            of_keyspace = keys.for_workspace_id == for_workspace_id, _not_indexed(keys.keyspace_id) == keyspace_id
            statement = select(func.count()).where(*of_keyspace, keys.deleted_at_ms.is_(None))
            return self._connection.execute(statement).scalar_one()
        live_keys = select(tables.keyspaces.c.live_keys).where(tables.keyspaces.c.id == keyspace_id)
        return self._connection.execute(live_keys).scalar_one_or_none() or 0

    def known_hashes(self, hashes: Sequence[str]) -> set[str]:
        """See `ports.Keys.known_hashes`."""
        known: set[str] = set()
        for batch in batches(hashes):
            statement = select(tables.keys.c.hash).where(tables.keys.c.hash.in_(batch))
            known.update(self._connection.execute(statement).scalars())
        return known

    def is_empty(self, keyspace_id: str) -> bool:
        """See `ports.Keys.is_empty`."""
        return all(self._connection.execute(_some_of(keyspace_id, 1, live)).first() is None for live in (True, False))

    def insert(self, key: Key) -> None:
        """See `ports.Keys.insert`."""
        self.insert_all([key])

    def insert_all(self, keys: Sequence[Key]) -> None:
        """See `ports.Keys.insert_all`."""
        if not keys:
            return
        self._touched.hashes.update(key.hash for key in keys)
        try:
            self._connection.execute(insert(tables.keys), [key_columns(key) for key in keys])
        except IntegrityError as error:
            raise KeysteadError(ErrorCode.CONFLICT, "a key with this hash already exists") from error
        for keyspace_id, made in Counter(key.keyspace_id for key in keys if key.deleted_at_ms is None).items():
            self._count(keyspace_id, made)

    def replace(self, key: Key) -> None:
        """See `ports.Keys.replace`."""
        self._touched.hashes.add(key.hash)
        live = tables.keys.c.id == key.id, tables.keys.c.deleted_at_ms.is_(None)
        replaced = self._connection.execute(update(tables.keys).where(*live).values(key_columns(key)))
        if key.deleted_at_ms is not None:
            self._count(key.keyspace_id, -replaced.rowcount)

    def delete(self, key: Key) -> None:
        """See `ports.Keys.delete`."""
        self._touched.hashes.add(key.hash)
        self._remove(tables.keys.c.id == key.id, key.keyspace_id)

    def delete_some(self, keyspace_id: str, limit: int, now_ms: int) -> list[tuple[str, str | None]]:
        """See `ports.Keys.delete_some`."""
        self._touched.everything = True  # as in `remove_some`
        keys = tables.keys
        some = _some_of(keyspace_id, limit, live=True)
        statement = update(keys).where(keys.c.id.in_(some)).values(deleted_at_ms=now_ms, updated_at_ms=now_ms)
        rows = self._connection.execute(statement.returning(keys.c.id, keys.c.name)).all()
        self._count(keyspace_id, -len(rows))
        return [(row.id, row.name) for row in rows]

    def remove_some(self, keyspace_id: str, limit: int) -> list[tuple[str, str | None]]:
        """See `ports.Keys.remove_some`."""
        # Perhaps every key of an api: the cache rather forgets everything than remember so many hashes.
        self._touched.everything = True
        live, deleted = (tables.keys.c.id.in_(_some_of(keyspace_id, limit, live)) for live in (True, False))
        return self._remove(live, keyspace_id) or self._remove(deleted, keyspace_id)

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

    def _remove(self, condition: ColumnElement[bool], keyspace_id: str) -> list[tuple[str, str | None]]:
        """Remove the keyspace's keys that meet `condition`; their ids and names."""
        keys = tables.keys.c
        statement = delete(tables.keys).where(condition).returning(keys.id, keys.name, keys.deleted_at_ms)
        rows = self._connection.execute(statement).all()
        self._count(keyspace_id, -sum(row.deleted_at_ms is None for row in rows))
        return [(row.id, row.name) for row in rows]

    def _count(self, keyspace_id: str, more: int) -> None:
        """Note that there are so many more live keys, or fewer: whatever changes their number says it here."""
        if more:
            keyspaces = tables.keyspaces.c
            statement = update(tables.keyspaces).where(keyspaces.id == keyspace_id)
            self._connection.execute(statement.values(live_keys=keyspaces.live_keys + more))

    def _one(self, statement: Select[Any]) -> Key | None:
        row = self._connection.execute(statement).one_or_none()
        return key_of(row._mapping) if row else None

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
    statement = select(*limit_columns()).where(condition).order_by(tables.ratelimits.c.seq)
    return [limit_of(row._mapping) for row in connection.execute(statement)]


def _live_keys() -> Select[Any]:
    return select(tables.keys).where(tables.keys.c.deleted_at_ms.is_(None))


def _some_of(keyspace_id: str, limit: int, live: bool) -> Select[Any]:
    """The ids of some live keys of the keyspace, or of some deleted ones; each kind has an index of its own.

    In order of the ids, because then no statistics let SQLite search the whole table instead.
    """
    keys = tables.keys.c
    condition = keys.deleted_at_ms.is_(None) if live else keys.deleted_at_ms.is_not(None)
    return select(keys.id).where(keys.keyspace_id == keyspace_id, condition).order_by(keys.id).limit(limit)


def _workspace_of(keyspace_id: str) -> ScalarSelect[str]:
    return select(tables.keyspaces.c.workspace_id).where(tables.keyspaces.c.id == keyspace_id).scalar_subquery()


def _not_indexed(column: Column[str]) -> ColumnElement[str]:
    """The column's value, as an expression that no index is on."""
    return column.concat("")
