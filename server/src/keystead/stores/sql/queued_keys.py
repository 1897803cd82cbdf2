"""Statements on the keys that wait to be imported."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, select, update

from keystead.core.entities import QueuedKey
from keystead.stores import tables


class SqlQueuedKeys:
    """`ports.QueuedKeys` on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, queued: Sequence[QueuedKey]) -> None:
        """See `ports.QueuedKeys.add`."""
        rows = [msgspec.structs.asdict(key) for key in queued]
        for row in rows:
            del row["seq"]
        if rows:
            self._connection.execute(insert(tables.queued_keys), rows)

    def due(self, now_ms: int, limit: int) -> list[QueuedKey]:
        """See `ports.QueuedKeys.due`."""
        return self._all(_in_order().where(tables.queued_keys.c.due_at_ms <= now_ms).limit(limit))

    def next_due_ms(self) -> int | None:
        """See `ports.QueuedKeys.next_due_ms`."""
        earliest: int | None = self._connection.execute(select(func.min(tables.queued_keys.c.due_at_ms))).scalar_one()
        return earliest

    def given_up(self, after_seq: int = 0, limit: int | None = None) -> list[QueuedKey]:
        """See `ports.QueuedKeys.given_up`."""
        queued = tables.queued_keys
        return self._all(_in_order().where(queued.c.due_at_ms.is_(None), queued.c.seq > after_seq).limit(limit))

    def reschedule(self, seq: int, attempts: int, due_at_ms: int | None, error: str | None) -> None:
        """See `ports.QueuedKeys.reschedule`."""
        statement = update(tables.queued_keys).where(tables.queued_keys.c.seq == seq)
        self._connection.execute(statement.values(attempts=attempts, due_at_ms=due_at_ms, error=error))

    def remove(self, seq: int) -> bool:
        """See `ports.QueuedKeys.remove`."""
        gone = self._connection.execute(delete(tables.queued_keys).where(tables.queued_keys.c.seq == seq))
        return gone.rowcount > 0

    def _all(self, statement: Select[Any]) -> list[QueuedKey]:
        return [QueuedKey(**row._mapping) for row in self._connection.execute(statement)]


def _in_order() -> Select[Any]:
    columns = (tables.queued_keys.c[name] for name in QueuedKey.__struct_fields__)
    # The index on the instant gives this order; by `seq` alone every look would sort all that is due.
    return select(*columns).order_by(tables.queued_keys.c.due_at_ms, tables.queued_keys.c.seq)
