"""Statements on the wrapped encryption keys of workspaces."""

import msgspec
from sqlalchemy import Connection, insert, select, update

from keystead.core.entities import DataKey
from keystead.stores import tables


class SqlDataKeys:
    """`ports.DataKeys` on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def current(self, workspace_id: str) -> DataKey | None:
        """See `ports.DataKeys.current`."""
        data_keys = tables.data_keys
        row = self._connection.execute(
            select(data_keys)
            .where(data_keys.c.workspace_id == workspace_id)
            .order_by(data_keys.c.created_at_ms.desc(), data_keys.c.id.desc())
            .limit(1)
        ).one_or_none()
        return DataKey(**row._mapping) if row else None

    def get(self, data_key_id: str) -> DataKey | None:
        """See `ports.DataKeys.get`."""
        row = self._connection.execute(
            select(tables.data_keys).where(tables.data_keys.c.id == data_key_id)
        ).one_or_none()
        return DataKey(**row._mapping) if row else None

    def insert(self, data_key: DataKey) -> None:
        """See `ports.DataKeys.insert`."""
        self._connection.execute(insert(tables.data_keys), msgspec.structs.asdict(data_key))

    def all(self) -> list[DataKey]:
        """See `ports.DataKeys.all`."""
        rows = self._connection.execute(select(tables.data_keys).order_by(tables.data_keys.c.id))
        return [DataKey(**row._mapping) for row in rows]

    def rewrap(self, data_key_id: str, wrapped: str, key_encryption_key_id: str) -> None:
        """See `ports.DataKeys.rewrap`."""
        self._connection.execute(
            update(tables.data_keys)
            .where(tables.data_keys.c.id == data_key_id)
            .values(wrapped=wrapped, key_encryption_key_id=key_encryption_key_id)
        )
