"""Adding counts to the tables of every length of time, by key and in total.

Rows arrive in a temporary table and are carried from there by one statement for each table of counts: much cheaper than
upserts sent one by one, and nearly all of it without the interpreter lock. The text is the same for SQLite and
PostgreSQL.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice

import msgspec
import sqlalchemy as sa

from keystead.core.series import COUNTED_OUTCOMES, DAY_MS, Slice, slice_start
from keystead.sinks import tables
from keystead.sinks.numbers import Numbers
from keystead.sinks.tables import COUNTERS

_ROWS_PER_CALL = 1_000


class Counted(msgspec.Struct, frozen=True, gc=False):
    """What a count is of: one of COUNTED_OUTCOMES, for a key, identity and tags, in the UTC hour from `hour_ms` on.

    Outside garbage collection, since tens of thousands of these a round would make the collector go through every
    object of the process, while nothing is answered.
    """

    hour_ms: int
    outcome: str
    tags: tuple[str, ...]
    keyspace_id: str
    key_id: str
    identity_id: str | None


Counts = Mapping[Counted, int]
"""What was counted → how often."""


_Total = tuple[int, int, int, int, int, int]
"""What a count in the totals is of: day_ms, keyspace_no, kind, member_no, hour_ms, outcome."""

_COLUMNS = {
    "arrived": ("day_ms", "keyspace_no", "key_no", "identity_no", "tag_list_no", "hour_ms", "outcome"),
    "arrived_totals": ("day_ms", "keyspace_no", "kind", "member_no", "hour_ms", "outcome"),
}
"""The temporary tables. They are ordered as they are read, so that nothing has to be sorted."""

_SUMS = ", ".join(
    f"SUM(CASE WHEN outcome = {number} THEN events ELSE 0 END)" for number in range(len(COUNTED_OUTCOMES))
)


def _add(source: str, table: sa.Table, **slices: str) -> sa.TextClause:
    """Add what arrived of one day to a table; `slices` are its columns for time, with what they are set to."""
    key = [column.name for column in table.primary_key]
    groups = ["day_ms", *(name for name in key if name not in ("day_ms", "slice_ms"))]
    if slices["slice_ms"] == "hour_ms":
        groups.append("hour_ms")
    values = ", ".join(slices.get(name, name) for name in key)
    counters = ", ".join(f"{counter} = {table.name}.{counter} + excluded.{counter}" for counter in COUNTERS)
    return sa.text(
        f"INSERT INTO {table.name} ({', '.join(key)}, {', '.join(COUNTERS)}) SELECT {values}, {_SUMS} "  # noqa: S608
        f"FROM {source} WHERE day_ms = :day_ms GROUP BY {', '.join(groups)} "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {counters}"
    )


# A day at a time, since a month's rows would come twice from two days.
_ADD_DAY = tuple(
    _add(source, by_length[slice_], slice_ms=start)
    for source, by_length in (("arrived", tables.BY_KEY), ("arrived_totals", tables.TOTALS))
    for slice_, start in ((Slice.HOUR, "hour_ms"), (Slice.DAY, "day_ms"), (Slice.MONTH, "CAST(:month_ms AS BIGINT)"))
)
_EMPTY = tuple(sa.text(f"DELETE FROM {name}") for name in _COLUMNS)  # noqa: S608


def merge(connection: sa.Connection, counts: Counts, numbers: Numbers) -> None:
    """Add the counts to every table, in the transaction of `connection`."""
    _learn(connection, counts, numbers)
    for table in _COLUMNS:
        connection.execute(_create(table, connection.dialect.name))
    totals: dict[_Total, int] = {}
    _send(connection, "arrived", _rows(counts, numbers, totals))
    _send(connection, "arrived_totals", ((*total, events) for total, events in totals.items()))
    for day_ms in {total[0] for total in totals}:
        for statement in _ADD_DAY:
            connection.execute(statement, {"day_ms": day_ms, "month_ms": slice_start(day_ms, Slice.MONTH)})
    for statement in _EMPTY:
        connection.execute(statement)


@cache
def _create(table: str, dialect: str) -> sa.TextClause:
    columns = _COLUMNS[table]
    return sa.text(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} ({', '.join(f'{column} BIGINT' for column in columns)}, "
        f"events BIGINT, PRIMARY KEY ({', '.join(columns)})){' WITHOUT ROWID' if dialect == 'sqlite' else ''}"
    )


def _learn(connection: sa.Connection, counts: Counts, numbers: Numbers) -> None:
    numbers.forget_if_many()
    numbers.learn_keyspaces(connection, {counted.keyspace_id for counted in counts})
    numbers.learn_keys(connection, {counted.key_id: counted.keyspace_id for counted in counts})
    numbers.learn_identities(connection, {counted.identity_id for counted in counts})
    keyspaces = numbers.keyspaces
    numbers.learn_tag_lists(connection, {(keyspaces[counted.keyspace_id], counted.tags) for counted in counts})


def _rows(counts: Counts, numbers: Numbers, totals: dict[_Total, int]) -> Iterator[tuple[int, ...]]:
    """The rows of `arrived`; on the way they are added up in `totals`."""
    outcomes = {outcome: number for number, outcome in enumerate(COUNTED_OUTCOMES)}
    keyspaces, keys = numbers.keyspaces, numbers.keys
    identities, tag_lists = numbers.identities, numbers.tag_lists
    for counted, events in counts.items():
        keyspace_no, identity_no = keyspaces[counted.keyspace_id], identities[counted.identity_id]
        tag_list_no = tag_lists[keyspace_no, counted.tags]
        hour_ms, outcome = counted.hour_ms, outcomes[counted.outcome]
        day_ms = hour_ms - hour_ms % DAY_MS
        whole = (day_ms, keyspace_no, tables.OF_KEYSPACE, 0, hour_ms, outcome)
        of_list = (day_ms, keyspace_no, tables.OF_TAG_LIST, tag_list_no, hour_ms, outcome)
        totals[whole] = totals.get(whole, 0) + events
        totals[of_list] = totals.get(of_list, 0) + events
        if identity_no:
            of_identity = (day_ms, keyspace_no, tables.OF_IDENTITY, identity_no, hour_ms, outcome)
            totals[of_identity] = totals.get(of_identity, 0) + events
        yield day_ms, keyspace_no, keys[counted.key_id], identity_no, tag_list_no, hour_ms, outcome, events


def _send(connection: sa.Connection, table: str, rows: Iterator[tuple[int, ...]]) -> None:
    """Insert rows into a temporary table, a bounded number at a time."""
    # Straight to the driver: SQLAlchemy's own parameters cost more than the rest of the merge.
    placeholder = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    placeholders = ", ".join([placeholder] * (len(_COLUMNS[table]) + 1))
    while part := list(islice(rows, _ROWS_PER_CALL)):
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({placeholders})", part)  # noqa: S608
