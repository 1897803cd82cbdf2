"""How long counts are kept, and their deletion in small steps.

First the instant from which on counts are kept moves forward, and every reader stands by it at once; then what lies
before is deleted, a bounded number of rows in a transaction, so that no round of the transfer waits long. The instant
does not move back when a setting is raised: what is gone stays gone. Only when it is still to come, because the clock
was ahead, it becomes the present day's or month's: what is counted from then on is kept.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from keystead.core.series import Slice, kept_from, slice_start
from keystead.sinks import tables

_TABLES = [(slice_, by_length[slice_]) for by_length in (tables.BY_KEY, tables.TOTALS) for slice_ in Slice]


def keep(connection: sa.Connection, days: Mapping[Slice, int], now_ms: int) -> bool:
    """Let go of what is older than so many days, 0 days keep everything; True if there is anything more to delete."""
    moved = False
    for slice_ in Slice:
        from_ms = kept_from(now_ms, slice_, days[slice_])
        row = tables.retention.c
        back = sa.update(tables.retention).where(row.slice == slice_.value, row.from_ms > now_ms)
        whole = Slice.MONTH if slice_ is Slice.MONTH else Slice.DAY
        connection.execute(back.values(from_ms=slice_start(now_ms, whole)))
        update = sa.update(tables.retention).where(row.slice == slice_.value, row.from_ms < from_ms)
        moved |= connection.execute(update.values(from_ms=from_ms)).rowcount == 1
    return moved


def delete_some(connection: sa.Connection, max_rows: int) -> int:
    """Delete at most so many rows of counts that are no longer kept; how many they were, 0 when none are left."""
    kept = dict(tuple(row) for row in connection.execute(sa.select(tables.retention)))
    keyspaces = list(connection.scalars(sa.select(tables.keyspaces.c.no)))
    for slice_, table in _TABLES:
        if kept[slice_.value] == 0:
            continue
        for keyspace_no in keyspaces:
            deleted = _delete_from(connection, table, keyspace_no, kept[slice_.value], max_rows)
            if deleted:
                return deleted
    return 0


def _delete_from(connection: sa.Connection, table: sa.Table, keyspace_no: int, from_ms: int, max_rows: int) -> int:
    key = list(table.primary_key)
    time_ms = table.c.day_ms if "day_ms" in table.c else table.c.slice_ms
    some = sa.select(*key).where(table.c.keyspace_no == keyspace_no, time_ms < from_ms).limit(max_rows)
    if "kind" in table.c:
        # Given as well, so that the rows are found without a search: it comes before the time.
        some = some.where(table.c.kind.in_((tables.OF_KEYSPACE, tables.OF_IDENTITY, tables.OF_TAG_LIST)))
    return connection.execute(sa.delete(table).where(sa.tuple_(*key).in_(some))).rowcount
