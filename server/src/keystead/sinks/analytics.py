"""The analytics database: counts of verifications, added exactly once, and queried.

Counts and the position in the spool they stand for change in one transaction, and only if the stored position is
still the one the counts begin at. So whatever is killed when, and even if two processes transfer the same spool, no
event is counted twice and none is left out.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from keystead.connect import Connect, connect_file
from keystead.core.series import DAY_MS, SeriesQuery, SeriesRow, Slice
from keystead.sinks import retention
from keystead.sinks.merge import Counts, merge
from keystead.sinks.numbers import MAX_REMEMBERED, Numbers
from keystead.sinks.segments import Position
from keystead.sinks.series import read_days, read_series
from keystead.sinks.tables import COUNTERS, spool_position

_VALID, _RATE_LIMITED, _USAGE_EXCEEDED = (COUNTERS.index(name) for name in ("valid", "rate_limited", "usage_exceeded"))


class DayCounts(NamedTuple):
    """How often keys were verified on the UTC day that starts at `day_ms`, by the outcomes that keys-v1 §3.8 tells."""

    day_ms: int
    success: int
    rate_limited: int
    usage_exceeded: int


class PositionMoved(Exception):
    """Somebody else has transferred the same part of the spool; nothing was added."""


def open_engine(file: Path, connect: Connect = connect_file) -> sa.Engine:
    """Connections to the SQLite file, durable at every commit; dispose of it at the end.

    The schema is brought up to date by `keystead.stores.migrate.upgrade(engine, tables.MIGRATIONS, tables.HEAD)`.
    """
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(file)),
        creator=lambda: connect(file),
        # Messages of failures are logged; the tags and ids in the parameters are customers' own.
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # FULL: the spool is deleted once a commit has returned, so that commit must outlive a loss of power.
        # 16 MiB of cache hold the pages of a day with very many keys, which round after round changes; a longer log
        # lets several rounds change them before they are written to their places.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -16384",
            "wal_autocheckpoint = 8000",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


class Analytics:
    """Counts of verifications in one database; every method may be called from any thread, `add` from one at a time."""

    def __init__(self, engine: sa.Engine, max_remembered: int = MAX_REMEMBERED) -> None:
        """`max_remembered`: of how many keys, identities and lists of tags the numbers are kept in memory."""
        self._engine = engine
        self._numbers = Numbers(max_remembered)

    def position(self) -> Position:
        """Up to where the spool is counted."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(spool_position.c.segment, spool_position.c.byte_offset)).one()
        return Position(row.segment, row.byte_offset)

    def add(self, counts: Counts, before: Position, after: Position) -> None:
        """Add what stands in the spool between two positions: all of it and the new position, or nothing.

        Raises PositionMoved if the stored position is not `before`.
        """
        try:
            with self._engine.begin() as connection:
                # First, because it takes the write lock: what it compares can not change until the commit.
                if not self._move_position(connection, before, after):
                    raise PositionMoved(f"the position is no longer {before}")
                if counts:
                    merge(connection, counts, self._numbers)
        except BaseException:
            self._numbers.forget()
            raise

    def verifications_by_day(self, key_ids: Sequence[str], start_ms: int, end_ms: int) -> list[DayCounts]:
        """The days that overlap [`start_ms`, `end_ms`] and have any count, ascending, all keys summed.

        Days that hold other outcomes only are left out. Any number of keys; unknown ones count nothing. Source:
        keys-v1 §3.8, with its [R] rules.
        """
        if start_ms > end_ms:
            return []
        # The whole of the first and of the last day, whatever part of them the range covers.
        first_ms, end_ms = start_ms - start_ms % DAY_MS, end_ms - end_ms % DAY_MS + DAY_MS
        with self._engine.connect() as connection:
            sums = read_days(connection, key_ids, first_ms, end_ms)
        days = (
            DayCounts(day_ms, counts[_VALID], counts[_RATE_LIMITED], counts[_USAGE_EXCEEDED])
            for day_ms, counts in sorted(sums.items())
        )
        return [day for day in days if any(day[1:])]

    def series(self, query: SeriesQuery, at_most: int) -> list[SeriesRow]:
        """The rows that hold events, ordered and limited as the query says, at most `at_most` of them.

        A query that groups by nothing has one row, of zeros if need be. Source: other-v1 §6.3.
        """
        with self._engine.connect() as connection:
            return read_series(connection, query, at_most)

    def keep(self, days: Mapping[Slice, int], now_ms: int) -> bool:
        """Let go of slices older than so many days at `now_ms`; 0 days keep them for ever.

        They are in no answer any more. True if there is something more to delete than before.
        """
        with self._engine.begin() as connection:
            return retention.keep(connection, days, now_ms)

    def delete_some(self, max_rows: int) -> int:
        """Delete at most so many rows of slices that are not kept; how many they were, 0 when none are left."""
        with self._engine.begin() as connection:
            return retention.delete_some(connection, max_rows)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _move_position(self, connection: sa.Connection, before: Position, after: Position) -> bool:
        moved = connection.execute(
            sa.update(spool_position)
            .where(spool_position.c.segment == before.segment, spool_position.c.byte_offset == before.offset)
            .values(segment=after.segment, byte_offset=after.offset)
        )
        return moved.rowcount == 1
