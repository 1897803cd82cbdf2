"""The analytics database: counts of verifications, added exactly once, and queried.

Counts and the position in the spool they stand for change in one transaction, and only if the stored position is
still the one the counts begin at. So whatever is killed when, and even if two processes transfer the same spool, no
event is counted twice and none is left out.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
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
"""The outcomes an event can have, in the order of the counters; each has a column of its name in lower case."""

_DAY_MS = 86_400_000
_ROWS_PER_CALL = 1_000
# SQLite takes 32,766 parameters in one statement.
_KEYS_PER_QUERY = 10_000

_COLUMNS = tuple(outcome.lower() for outcome in COUNTED_OUTCOMES)

# Written out rather than composed of dialect constructs: this upsert is the same text for SQLite and PostgreSQL.
_ADD_SUBJECT = sa.text(
    "INSERT INTO verification_subjects (workspace_id, keyspace_id, key_id, identity_id, external_id, tags) "
    "VALUES (:workspace_id, :keyspace_id, :key_id, :identity_id, :external_id, :tags) ON CONFLICT DO NOTHING"
)
_ADD_COUNTS = sa.text(
    f"INSERT INTO verifications_hourly (subject_id, hour_ms, {', '.join(_COLUMNS)}) "  # noqa: S608 (constants)
    f"SELECT id, :hour_ms, {', '.join(f':{column}' for column in _COLUMNS)} FROM verification_subjects "
    "WHERE key_id = :key_id AND identity_id = :identity_id AND external_id = :external_id AND tags = :tags "
    "ON CONFLICT (subject_id, hour_ms) DO UPDATE SET "
    + ", ".join(f"{column} = verifications_hourly.{column} + excluded.{column}" for column in _COLUMNS)
)


class Subject(NamedTuple):
    """What was verified: everything counts are kept apart by, except the hour and the outcome."""

    tags: tuple[str, ...]
    workspace_id: str
    keyspace_id: str
    key_id: str
    identity_id: str | None
    external_id: str | None


Counts = Mapping[tuple[int, Subject], Sequence[int]]
"""(start of the UTC hour in ms, subject) → how often, per outcome in the order of COUNTED_OUTCOMES."""


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
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 10000", "foreign_keys = ON"):
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
            for rows in _parts(counts):
                connection.execute(_ADD_SUBJECT, rows)
                connection.execute(_ADD_COUNTS, rows)

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


def _parts(counts: Counts) -> Iterator[list[dict[str, Any]]]:
    """The rows to add, a bounded number at a time."""
    rows: list[dict[str, Any]] = []
    for (hour_ms, subject), counted in counts.items():
        rows.append(_row(hour_ms, subject, counted))
        if len(rows) == _ROWS_PER_CALL:
            yield rows
            rows = []
    if rows:
        yield rows


def _row(hour_ms: int, subject: Subject, counted: Sequence[int]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(_COLUMNS, counted, strict=True))
    row["hour_ms"] = hour_ms
    row["workspace_id"] = subject.workspace_id
    row["keyspace_id"] = subject.keyspace_id
    row["key_id"] = subject.key_id
    row["identity_id"] = subject.identity_id or ""
    row["external_id"] = subject.external_id or ""
    row["tags"] = msgspec.json.encode(subject.tags).decode() if subject.tags else "[]"
    return row
