"""The analytics database: counts of verifications, added exactly once, and queried.

Counts and the position in the spool they stand for change in one transaction, and only if the stored position is
still the one the counts begin at. So whatever is killed when, and even if two processes transfer the same spool, no
event is counted twice and none is left out.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from keystead.sinks.segments import Position
from keystead.sinks.tables import spool_position, verification_subjects, verifications_hourly

COUNTED_OUTCOMES = (
    "VALID",
    "FORBIDDEN",
    "USAGE_EXCEEDED",
    "RATE_LIMITED",
    "DISABLED",
    "INSUFFICIENT_PERMISSIONS",
    "EXPIRED",
)
"""The outcomes an event can have; each has a column of its name, in lower case."""

_DAY_MS = 86_400_000
_ROWS_PER_CALL = 1_000
# SQLite takes 32,766 parameters in one statement.
_KEYS_PER_QUERY = 10_000

_COLUMNS = tuple(outcome.lower() for outcome in COUNTED_OUTCOMES)

_SUBJECT = ("workspace_id", "keyspace_id", "key_id", "identity_id", "external_id", "tags")

# Rows arrive in a temporary table and are merged from there by two statements: a third of the cost of two upserts
# per row, and nearly all of it without the interpreter lock. The text is the same for SQLite and PostgreSQL.
_CREATE_ARRIVED = sa.text(
    "CREATE TEMPORARY TABLE IF NOT EXISTS arrived (hour_ms BIGINT, outcome TEXT, events BIGINT, "
    + ", ".join(f"{column} TEXT" for column in _SUBJECT)
    + ")"
)
_ARRIVED_COLUMNS = 3 + len(_SUBJECT)
_EMPTY_ARRIVED = sa.text("DELETE FROM arrived")
_ADD_SUBJECTS = sa.text(
    f"INSERT INTO verification_subjects ({', '.join(_SUBJECT)}) "  # noqa: S608 (constants, here and below)
    f"SELECT {', '.join(_SUBJECT)} FROM arrived WHERE true ON CONFLICT DO NOTHING"
)
_ADD_COUNTS = sa.text(
    f"INSERT INTO verifications_hourly (subject_id, hour_ms, {', '.join(_COLUMNS)}) "  # noqa: S608
    "SELECT subject.id, hour_ms, "
    + ", ".join(f"SUM(CASE WHEN outcome = '{outcome}' THEN events ELSE 0 END)" for outcome in COUNTED_OUTCOMES)
    + " FROM arrived JOIN verification_subjects AS subject USING (key_id, identity_id, external_id, tags) "
    "WHERE true GROUP BY subject.id, hour_ms ON CONFLICT (subject_id, hour_ms) DO UPDATE SET "
    + ", ".join(f"{column} = verifications_hourly.{column} + excluded.{column}" for column in _COLUMNS)
)


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What a count is of: one of COUNTED_OUTCOMES, for a subject, in the UTC hour that starts at `hour_ms`.

    Outside garbage collection, since tens of thousands of these a round would make the collector go through every
    object of the process, while nothing is answered.
    """

    hour_ms: int
    outcome: str
    tags: tuple[str, ...]
    workspace_id: str
    keyspace_id: str
    key_id: str
    identity_id: str | None
    external_id: str | None


Counts = Mapping[Counted, int]
"""What was counted → how often."""


class DayCounts(NamedTuple):
    """How often keys were verified on the UTC day that starts at `day_ms`, by the outcomes that keys-v1 §3.8 tells."""

    day_ms: int
    success: int
    rate_limited: int
    usage_exceeded: int


class PositionMoved(Exception):
    """Somebody else has transferred the same part of the spool; nothing was added."""


def open_engine(file: Path) -> sa.Engine:
    """Connections to the SQLite file, durable at every commit; dispose of it at the end.

    The schema is brought up to date by `keystead.stores.migrate.upgrade(engine, tables.MIGRATIONS, tables.HEAD)`.
    """
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)))

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # FULL: the spool is deleted once a commit has returned, so that commit must outlive a loss of power.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "busy_timeout = 10000",
            "foreign_keys = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine


class Analytics:
    """Counts of verifications in one database; every method may be called from any thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def position(self) -> Position:
        """Up to where the spool is counted."""
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(spool_position.c.segment, spool_position.c.byte_offset)).one()
        return Position(row.segment, row.byte_offset)

    def add(self, counts: Counts, before: Position, after: Position) -> None:
        """Add what stands in the spool between two positions: all of it and the new position, or nothing.

        Raises PositionMoved if the stored position is not `before`.
        """
        with self._engine.begin() as connection:
            # First, because it takes the write lock: what it compares can not change until the commit.
            if not self._move_position(connection, before, after):
                raise PositionMoved(f"the position is no longer {before}")
            if counts:
                self._merge(connection, counts)

    def verifications_by_day(self, key_ids: Sequence[str], start_ms: int, end_ms: int) -> list[DayCounts]:
        """The days that overlap [`start_ms`, `end_ms`] and have any count, ascending, all keys summed.

        Days that hold other outcomes only are left out. Any number of keys; unknown ones count nothing. Source:
        keys-v1 §3.8, with its [R] rules.
        """
        if start_ms > end_ms:
            return []
        sums: dict[int, list[int]] = {}
        with self._engine.connect() as connection:
            distinct = list(dict.fromkeys(key_ids))  # twice in two queries would count twice
            for first in range(0, len(distinct), _KEYS_PER_QUERY):
                chunk = distinct[first : first + _KEYS_PER_QUERY]
                for day_ms, *counts in connection.execute(_days_of(chunk, start_ms, end_ms)):
                    before = sums.get(day_ms, (0, 0, 0))
                    sums[day_ms] = [int(a) + int(b) for a, b in zip(before, counts, strict=True)]
        return [DayCounts(day_ms, *counts) for day_ms, counts in sorted(sums.items()) if any(counts)]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _merge(self, connection: sa.Connection, counts: Counts) -> None:
        connection.execute(_CREATE_ARRIVED)
        # Straight to the driver: SQLAlchemy's own parameters cost more than the rest of the merge.
        placeholder = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        placeholders = ", ".join([placeholder] * _ARRIVED_COLUMNS)
        for rows in _parts(counts):
            connection.exec_driver_sql(f"INSERT INTO arrived VALUES ({placeholders})", rows)  # noqa: S608
        connection.execute(_ADD_SUBJECTS)
        connection.execute(_ADD_COUNTS)
        connection.execute(_EMPTY_ARRIVED)

    def _move_position(self, connection: sa.Connection, before: Position, after: Position) -> bool:
        moved = connection.execute(
            sa.update(spool_position)
            .where(spool_position.c.segment == before.segment, spool_position.c.byte_offset == before.offset)
            .values(segment=after.segment, byte_offset=after.offset)
        )
        return moved.rowcount == 1


def _days_of(key_ids: Sequence[str], start_ms: int, end_ms: int) -> sa.Select[Any]:
    hourly, subjects = verifications_hourly.c, verification_subjects.c
    day_ms = (hourly.hour_ms - hourly.hour_ms % _DAY_MS).label("day_ms")
    return (
        sa.select(
            day_ms, sa.func.sum(hourly.valid), sa.func.sum(hourly.rate_limited), sa.func.sum(hourly.usage_exceeded)
        )
        .join_from(verification_subjects, verifications_hourly, subjects.id == hourly.subject_id)
        .where(
            subjects.key_id.in_(key_ids),
            # The whole of the first and of the last day, whatever part of them the range covers.
            hourly.hour_ms >= start_ms - start_ms % _DAY_MS,
            hourly.hour_ms < end_ms - end_ms % _DAY_MS + _DAY_MS,
        )
        .group_by(day_ms)
    )


def _parts(counts: Counts) -> Iterator[list[tuple[Any, ...]]]:
    """The rows to add, a bounded number at a time."""
    entries = iter(counts.items())
    while rows := [_row(counted, events) for counted, events in islice(entries, _ROWS_PER_CALL)]:
        yield rows


def _row(counted: Counted, events: int) -> tuple[Any, ...]:
    """A row of `arrived`."""
    return (
        counted.hour_ms,
        counted.outcome,
        events,
        counted.workspace_id,
        counted.keyspace_id,
        counted.key_id,
        counted.identity_id or "",
        counted.external_id or "",
        msgspec.json.encode(counted.tags).decode() if counted.tags else "[]",
    )
