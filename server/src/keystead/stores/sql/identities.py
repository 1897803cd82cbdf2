"""Statements on identities and their limits."""

from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from keystead.core.entities import Identity, Ratelimit
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.stores import tables
from keystead.stores.sql.keys import ratelimits_where
from keystead.stores.sql.touched import Touched


class SqlIdentities:
    """`ports.Identities` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, identity_id: str, workspace_id: str) -> Identity | None:
        """See `ports.Identities.get`."""
        return self._one(tables.identities.c.id == identity_id, workspace_id)

    def by_external_id(self, external_id: str, workspace_id: str) -> Identity | None:
        """See `ports.Identities.by_external_id`."""
        return self._one(tables.identities.c.external_id == external_id, workspace_id)

    def insert(self, identity: Identity, now_ms: int) -> None:
        """See `ports.Identities.insert`."""
        values = {**msgspec.structs.asdict(identity), "created_at_ms": now_ms}
        try:
            self._connection.execute(insert(tables.identities), values)
        except IntegrityError as error:
            message = f"identity {identity.external_id} already exists"
            raise KeysteadError(ErrorCode.CONFLICT, message) from error

    def limits(self, identity_id: str) -> list[Ratelimit]:
        """See `ports.Identities.limits`."""
        return ratelimits_where(self._connection, tables.ratelimits.c.identity_id == identity_id)

    def put_limit(self, identity_id: str, limit: Ratelimit) -> None:
        """See `ports.Identities.put_limit`."""
        self._touch_keys_of(identity_id)
        values = {**msgspec.structs.asdict(limit), "identity_id": identity_id}
        self._connection.execute(insert(tables.ratelimits), values)

    def _touch_keys_of(self, identity_id: str) -> None:
        statement = select(tables.keys.c.hash).where(tables.keys.c.identity_id == identity_id)
        self._touched.hashes.update(self._connection.execute(statement).scalars())

    def _one(self, condition: Any, workspace_id: str) -> Identity | None:
        columns = (tables.identities.c[name] for name in Identity.__struct_fields__)
        statement = select(*columns).where(condition, tables.identities.c.workspace_id == workspace_id)
        row = self._connection.execute(statement).one_or_none()
        return Identity(**row._mapping) if row else None
