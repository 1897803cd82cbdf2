"""Reading the tables of counts (contract other-v1 §6.3, keys-v1 §3.8).

Which table answers: what is asked of one keyspace as a whole, of identities, or of lists of tags alone is read from the
totals; as soon as keys matter, or two of these at once, from the counts by key. The length of the slices is that of the
query's time, so a series per day never reads hours.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from keystead.core.series import COUNTED_OUTCOMES, DAY_MS, ZERO, Group, SeriesQuery, SeriesRow, Slice, Span, spans
from keystead.sinks import tables
from keystead.sinks.numbers import NAMES_PER_QUERY, parts
from keystead.sinks.tables import COUNTERS

_decode_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_ORDER_COLUMNS = dict(zip(COUNTED_OUTCOMES, COUNTERS, strict=True))

_COUNTED = len(COUNTERS)
_MEMBERS = SeriesRow._fields[1:]

# So many keys are likely a good part of all: reading their days whole took a ninth of the time (10,000 keys, 30 days).
_MAX_LOOKED_UP = 1_000

Condition = sa.ColumnElement[bool]


class _Filter(NamedTuple):
    """What counts, in numbers; None where the query does not care."""

    keyspace_no: int
    key_nos: Sequence[int] | None = None
    identity_no: int | None = None
    tags: tuple[str, ...] = ()


def read_series(connection: sa.Connection, query: SeriesQuery, at_most: int) -> list[SeriesRow]:
    """The rows that hold events, ordered and limited as the query says; at most so many.

    A query that groups by nothing has one row, of zeros if need be. Ties are broken by what is grouped by.
    """
    wanted = _resolve(connection, query)
    found = spans(query)
    if wanted is None or not found:
        return [] if query.slice or query.groups else [SeriesRow(ZERO)]
    return [_row(row) for row in connection.execute(_statement(query, wanted, found, at_most))]


def read_days(connection: sa.Connection, key_ids: Sequence[str], first_ms: int, end_ms: int) -> dict[int, list[int]]:
    """Start of the day → the counters, all keys together, for the days from `first_ms` on and before `end_ms`."""
    sums: dict[int, list[int]] = {}
    for keyspace_no, key_nos in _keys_by_keyspace(connection, key_ids):
        part = _part(Span(Slice.DAY, first_ms, end_ms), ("slice_ms",), _Filter(keyspace_no, key_nos))
        for day_ms, *counts in connection.execute(part):
            before = sums.get(day_ms, ZERO)
            sums[day_ms] = [int(a) + int(b) for a, b in zip(before, counts, strict=True)]
    return sums


def _keys_by_keyspace(connection: sa.Connection, key_ids: Sequence[str]) -> Iterator[tuple[int, Sequence[int]]]:
    keyspaces: dict[int, list[int]] = {}
    distinct = list(dict.fromkeys(key_ids))  # twice in two queries would count twice
    for part in parts(distinct, NAMES_PER_QUERY):
        query = sa.select(tables.keys.c.keyspace_no, tables.keys.c.no).where(tables.keys.c.key_id.in_(part))
        for keyspace_no, key_no in connection.execute(query):
            keyspaces.setdefault(keyspace_no, []).append(key_no)
    for keyspace_no, key_nos in keyspaces.items():
        for chunk in parts(key_nos, NAMES_PER_QUERY):
            yield keyspace_no, chunk


def _resolve(connection: sa.Connection, query: SeriesQuery) -> _Filter | None:
    """The filter in numbers; None when nothing can match, because no event has been counted for what it names."""
    keyspace_no = connection.scalar(
        sa.select(tables.keyspaces.c.no).where(tables.keyspaces.c.keyspace_id == query.keyspace_id)
    )
    if keyspace_no is None:
        return None
    key_nos = identity_no = None
    if query.key_ids:
        key_nos = [no for of, nos in _keys_by_keyspace(connection, query.key_ids) if of == keyspace_no for no in nos]
        if not key_nos:
            return None
    if query.identity_id is not None:
        known = sa.select(tables.identities.c.no).where(tables.identities.c.identity_id == query.identity_id)
        identity_no = connection.scalar(known)
        if identity_no is None:
            return None
    return _Filter(keyspace_no, key_nos, identity_no, query.tags)


def _statement(query: SeriesQuery, wanted: _Filter, found: Sequence[Span], at_most: int) -> sa.Select[Any]:
    """Sum, order and cut by number; only then look up what the numbers stand for."""
    members = _members(query)
    of_parts = ["tag_list_no" if member == "tag" else member for member in members]
    selected = [_part(span, of_parts, wanted, query.groups) for span in found]
    sums = _sums(selected, members)
    total = sum((sums.c[counter] for counter in COUNTERS[1:]), sums.c[COUNTERS[0]] + 0)
    order = [*_order(query, sums, total), *(sums.c[member] for member in members)]
    top = sa.select(sums).order_by(*order)
    top = top.limit(min(at_most, query.limit or at_most))
    cut = top.subquery("cut")
    return _named(cut, members, query)


def _members(query: SeriesQuery) -> list[str]:
    """The columns that rows are kept apart by."""
    members = ["slice_ms"] if query.slice else []
    members += ["key_no"] if Group.KEY in query.groups else []
    members += ["identity_no"] if Group.IDENTITY in query.groups else []
    members += ["tag_list_no"] if Group.TAGS in query.groups else []
    members += ["tag"] if Group.TAG in query.groups else []
    return members


def _sums(selected: Sequence[sa.Select[Any]], members: Sequence[str]) -> sa.Subquery:
    """The parts added up, and lists of tags taken apart where each tag is asked for."""
    if len(selected) == 1 and members and "tag" not in members:
        return selected[0].subquery("sums")
    every = sa.union_all(*selected).subquery("parts")
    tags = tables.tags.c
    columns = [tags.tag if member == "tag" else every.c[member] for member in members]
    sums = sa.select(*columns, *(sa.func.coalesce(sa.func.sum(every.c[name]), 0).label(name) for name in COUNTERS))
    if "tag" in members:
        sums = sums.join_from(every, tables.tags, tags.tag_list_no == every.c.tag_list_no)
    return sums.group_by(*columns).subquery("sums")


def _part(span: Span, members: Sequence[str], wanted: _Filter, groups: Collection[Group] = ()) -> sa.Select[Any]:
    """The counts of one span, by the columns `members`."""
    by_identity = Group.IDENTITY in groups or wanted.identity_no is not None
    by_tags = bool(wanted.tags) or "tag_list_no" in members
    if "key_no" in members or wanted.key_nos is not None or (by_identity and by_tags):
        table = tables.BY_KEY[span.slice]
        columns = dict(table.c.items())
        conditions = _conditions_by_key(table, span, wanted)
    else:
        table = tables.TOTALS[span.slice]
        columns = {**dict(table.c.items()), "identity_no": table.c.member_no, "tag_list_no": table.c.member_no}
        kind = tables.OF_IDENTITY if by_identity else tables.OF_TAG_LIST if by_tags else tables.OF_KEYSPACE
        conditions = _conditions_of_totals(table, kind, span, wanted)
    if Group.IDENTITY in groups:
        conditions.append(columns["identity_no"] > 0)
    if wanted.identity_no is not None:
        conditions.append(columns["identity_no"] == wanted.identity_no)
    conditions += [_carries(columns["tag_list_no"], wanted.keyspace_no, tag) for tag in wanted.tags]
    chosen = [columns[name] for name in members]
    sums = (sa.func.sum(table.c[counter]).label(counter) for counter in COUNTERS)
    named = (column.label(name) for name, column in zip(members, chosen, strict=True))
    part = sa.select(*named, *sums).where(table.c.keyspace_no == wanted.keyspace_no, *conditions)
    return part.group_by(*chosen) if chosen else part


def _conditions_by_key(table: sa.Table, span: Span, wanted: _Filter) -> list[Condition]:
    if span.slice is Slice.HOUR:
        place, first_ms = table.c.day_ms, span.first_ms - span.first_ms % DAY_MS
        of_hours = _in_span(table, span)
    else:
        place, first_ms = table.c.slice_ms, span.first_ms
        of_hours = []
    if wanted.key_nos is None:
        return [*_in_span(table, span), place >= first_ms, place < span.end_ms]
    if len(wanted.key_nos) > _MAX_LOOKED_UP:
        return [*_in_span(table, span), place >= first_ms, place < span.end_ms, table.c.key_no.in_(wanted.key_nos)]
    # One look-up for each key and day that there is, instead of reading all keys of these days. A condition on the day
    # itself would only tempt the database to do the latter.
    return [*of_hours, place.in_(_slices_with_events(span, wanted.keyspace_no)), table.c.key_no.in_(wanted.key_nos)]


def _conditions_of_totals(table: sa.Table, kind: int, span: Span, wanted: _Filter) -> list[Condition]:
    if wanted.identity_no is not None:
        return [
            table.c.kind == kind,
            table.c.slice_ms.in_(_slices_with_events(span, wanted.keyspace_no, whole_days=False)),
        ]
    return [table.c.kind == kind, *_in_span(table, span)]


def _slices_with_events(span: Span, keyspace_no: int, *, whole_days: bool = True) -> sa.Select[Any]:
    """The slices of the span in which the keyspace has any event; of hours the days, if these are asked for."""
    totals = tables.TOTALS[span.slice].alias("known")
    start_ms: sa.ColumnElement[Any] = totals.c.slice_ms
    if span.slice is Slice.HOUR and whole_days:
        start_ms = start_ms - start_ms % DAY_MS
    events = sa.select(start_ms).where(totals.c.keyspace_no == keyspace_no, totals.c.kind == tables.OF_KEYSPACE)
    return events.where(*_in_span(totals, span)).distinct()


def _in_span(table: sa.FromClause, span: Span) -> list[Condition]:
    return [table.c.slice_ms >= span.first_ms, table.c.slice_ms < span.end_ms, _is_kept(table, span.slice)]


def _is_kept(table: sa.FromClause, slice_: Slice) -> Condition:
    # In the statement itself, so that it sees either all of what is to be deleted or none.
    since = sa.select(tables.retention.c.from_ms).where(tables.retention.c.slice == slice_.value).scalar_subquery()
    return table.c.slice_ms >= since


def _carries(tag_list_no: sa.ColumnElement[Any], keyspace_no: int, tag: str) -> Condition:
    tags = tables.tags.c
    return tag_list_no.in_(sa.select(tags.tag_list_no).where(tags.keyspace_no == keyspace_no, tags.tag == tag))


def _order(query: SeriesQuery, sums: sa.Subquery, total: sa.ColumnElement[Any]) -> list[sa.ColumnElement[Any]]:
    if query.order_by is None or query.order_by == "time":
        by: sa.ColumnElement[Any] | None = sums.c.slice_ms if query.slice else None
    elif query.order_by == "total":
        by = total
    else:
        # Outcomes that never occur have no column: all rows are alike.
        by = sums.c[_ORDER_COLUMNS[query.order_by]] if query.order_by in _ORDER_COLUMNS else None
    if by is None:
        return []
    return [by.desc() if query.descending else by.asc()]


def _named(cut: sa.Subquery, members: Sequence[str], query: SeriesQuery) -> sa.Select[Any]:
    """The rows in their order, with what the numbers of keys, identities and lists stand for."""
    source: sa.FromClause = cut
    columns: dict[str, sa.ColumnElement[Any]] = dict.fromkeys(_MEMBERS, sa.null())
    if "slice_ms" in members:
        columns["time_ms"] = cut.c.slice_ms
    if "key_no" in members:
        source = source.join(tables.keys, tables.keys.c.no == cut.c.key_no)
        columns["key_id"] = tables.keys.c.key_id
    if "identity_no" in members:
        source = source.join(tables.identities, tables.identities.c.no == cut.c.identity_no)
        columns["identity_id"] = tables.identities.c.identity_id
    if "tag_list_no" in members:
        source = source.outerjoin(tables.tag_lists, tables.tag_lists.c.no == cut.c.tag_list_no)
        columns["tags"] = sa.func.coalesce(tables.tag_lists.c.tags, "[]")
    if "tag" in members:
        columns["tag"] = cut.c.tag
    total = sum((cut.c[counter] for counter in COUNTERS[1:]), cut.c[COUNTERS[0]] + 0)
    order = [*_order(query, cut, total), *(cut.c[member] for member in members)]
    named = (column.label(name) for name, column in columns.items())
    return sa.select(*(cut.c[counter] for counter in COUNTERS), *named).select_from(source).order_by(*order)


def _row(row: sa.Row[Any]) -> SeriesRow:
    time_ms, key_id, identity_id, tags, tag = row[_COUNTED:]
    counts = tuple(map(int, row[:_COUNTED]))
    return SeriesRow(counts, time_ms, key_id, identity_id, None if tags is None else _decode_tags(tags), tag)
