"""Series of verification counts: time slices, what a query asks for, and the zero rows between (contract other-v1 §6).

A slice is an hour, a day or a month of UTC, named by the instant it starts at. What is counted lies in whole slices, so
a query is first turned into the spans of slices that answer it; nothing here knows how they are stored.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

COUNTED_OUTCOMES = (
    "VALID",
    "FORBIDDEN",
    "USAGE_EXCEEDED",
    "RATE_LIMITED",
    "DISABLED",
    "INSUFFICIENT_PERMISSIONS",
    "EXPIRED",
)
"""The outcomes an event can have. Only identified keys make events, so two of the contract's never occur."""

Counts = tuple[int, ...]
"""How often each of COUNTED_OUTCOMES occurred, in that order."""

ZERO: Counts = (0,) * len(COUNTED_OUTCOMES)


class Slice(StrEnum):
    """The lengths of time that verifications are counted in."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Group(StrEnum):
    """What rows are kept apart by, besides time: `tags` is a whole list, `tag` each tag of it."""

    KEY = "key"
    IDENTITY = "identity"
    TAGS = "tags"
    TAG = "tag"


class SeriesQuery(msgspec.Struct, frozen=True):
    """What is asked of the counts of one keyspace.

    An event counts when its key is one of `key_ids` (if there are any), its identity is `identity_id` (if given) and
    it carries all `tags`. `order_by` is `time`, `total`, or an outcome; None is by ascending time, where there is one,
    and `descending` is for an order that is given. At most `limit` rows, None for all.
    """

    keyspace_id: str
    start_ms: int
    end_ms: int
    key_ids: tuple[str, ...] = ()
    identity_id: str | None = None
    tags: tuple[str, ...] = ()
    slice: Slice | None = None
    groups: frozenset[Group] = frozenset()
    order_by: str | None = None
    descending: bool = False
    limit: int | None = None

    @property
    def is_ascending_in_time(self) -> bool:
        """Whether rows have a time and come in its order, which is when gaps are filled."""
        return self.slice is not None and (self.order_by is None or (self.order_by == "time" and not self.descending))


class SeriesRow(NamedTuple):
    """Counts of one group; None for what the query does not group by."""

    counts: Counts
    time_ms: int | None = None
    key_id: str | None = None
    identity_id: str | None = None
    tags: tuple[str, ...] | None = None
    tag: str | None = None


class Span(NamedTuple):
    """The slices of one length that start at `first_ms` and later, but before `end_ms`."""

    slice: Slice
    first_ms: int
    end_ms: int


def slice_start(instant_ms: int, slice_: Slice) -> int:
    """The start of the slice that `instant_ms` lies in. Any year, before 1 too."""
    if slice_ is Slice.HOUR:
        return instant_ms - instant_ms % HOUR_MS
    if slice_ is Slice.DAY:
        return instant_ms - instant_ms % DAY_MS
    return _month_start(_month_of(instant_ms))


def next_slice(start_ms: int, slice_: Slice) -> int:
    """The start of the slice after the one that starts at `start_ms`."""
    if slice_ is Slice.MONTH:
        return _month_start(_month_of(start_ms) + 1)
    return start_ms + (HOUR_MS if slice_ is Slice.HOUR else DAY_MS)


def spans(query: SeriesQuery) -> list[Span]:
    """The slices that count for the query, each instant in at most one of them (§6.3).

    With a time dimension these are its slices. Without one it is the hours of the range; those that make up whole
    months and days come as months and days, which are fewer to add up.
    """
    if query.slice is None:
        return _covering(_first_start(query.start_ms, Slice.HOUR), slice_start(query.end_ms, Slice.HOUR) + HOUR_MS)
    # Hours are compared as instants, days and months as dates: a day that has begun counts whole.
    lowest_ms = query.start_ms if query.slice is Slice.HOUR else slice_start(query.start_ms, Slice.DAY)
    end_ms = next_slice(slice_start(query.end_ms, query.slice), query.slice)
    return _without_empty([Span(query.slice, _first_start(lowest_ms, query.slice), end_ms)])


def gap_count(query: SeriesQuery) -> int:
    """The most zero rows that `filled` can add."""
    if query.slice is None or not query.is_ascending_in_time:
        return 0
    first_ms, end_ms = slice_start(query.start_ms, query.slice), slice_start(query.end_ms, query.slice)
    if query.slice is Slice.MONTH:
        return _month_of(end_ms) - _month_of(first_ms)
    return (end_ms - first_ms) // (HOUR_MS if query.slice is Slice.HOUR else DAY_MS)


def filled(rows: Iterable[SeriesRow], query: SeriesQuery) -> Iterator[SeriesRow]:
    """The rows with a zero row for every slice from the start's on, and before the end's, that has none (§6.3).

    Only rows in ascending order of time have gaps; others come as they are. Lazy: `limit` applies to the result.
    """
    if query.slice is None or not query.is_ascending_in_time:
        yield from rows
        return
    due_ms, end_ms = slice_start(query.start_ms, query.slice), slice_start(query.end_ms, query.slice)
    for row in rows:
        assert row.time_ms is not None
        while due_ms < min(row.time_ms, end_ms):
            yield zero_row(query, due_ms)
            due_ms = next_slice(due_ms, query.slice)
        if due_ms == row.time_ms:
            due_ms = next_slice(due_ms, query.slice)
        yield row
    while due_ms < end_ms:
        yield zero_row(query, due_ms)
        due_ms = next_slice(due_ms, query.slice)


def zero_row(query: SeriesQuery, time_ms: int | None = None) -> SeriesRow:
    """A row without events: the empty value for what the query groups by, and no identity."""
    return SeriesRow(
        ZERO,
        time_ms,
        key_id="" if Group.KEY in query.groups else None,
        tags=() if Group.TAGS in query.groups else None,
        tag="" if Group.TAG in query.groups else None,
    )


def kept_from(now_ms: int, slice_: Slice, days: int) -> int:
    """The start of the oldest slice to keep when slices are kept for that many days; 0 days keep everything.

    Hours are kept by whole days, so that a day is there in full or not at all.
    """
    if days == 0:
        return 0
    return max(0, slice_start(now_ms - days * DAY_MS, Slice.MONTH if slice_ is Slice.MONTH else Slice.DAY))


def _covering(start_ms: int, end_ms: int) -> list[Span]:
    """The fewest spans that are [`start_ms`, `end_ms`), both whole hours."""
    first_day_ms, last_day_ms = _first_start(start_ms, Slice.DAY), slice_start(end_ms, Slice.DAY)
    if first_day_ms >= last_day_ms:
        return _without_empty([Span(Slice.HOUR, start_ms, end_ms)])
    first_month_ms, last_month_ms = _first_start(first_day_ms, Slice.MONTH), slice_start(last_day_ms, Slice.MONTH)
    if first_month_ms >= last_month_ms:
        days = [Span(Slice.DAY, first_day_ms, last_day_ms)]
    else:
        days = [
            Span(Slice.DAY, first_day_ms, first_month_ms),
            Span(Slice.MONTH, first_month_ms, last_month_ms),
            Span(Slice.DAY, last_month_ms, last_day_ms),
        ]
    return _without_empty(
        [Span(Slice.HOUR, start_ms, first_day_ms), *days, Span(Slice.HOUR, last_day_ms, end_ms)],
    )


def _without_empty(found: list[Span]) -> list[Span]:
    return [span for span in found if span.first_ms < span.end_ms]


def _first_start(instant_ms: int, slice_: Slice) -> int:
    """The first start of a slice at or after `instant_ms`."""
    start_ms = slice_start(instant_ms, slice_)
    return start_ms if start_ms == instant_ms else next_slice(start_ms, slice_)


# Months are numbered from January of year 0. The arithmetic is that of Howard Hinnant's `days_from_civil`: years begin
# in March there, so that the leap day is a year's last. Python's own dates end at year 1, and instants do not.


def _month_of(instant_ms: int) -> int:
    days = instant_ms // DAY_MS + 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    return (era * 400 + year_of_era) * 12 + (5 * day_of_year + 2) // 153 + 2


def _month_start(month: int) -> int:
    year, month_from_march = divmod(month - 2, 12)
    era, year_of_era = divmod(year, 400)
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + (153 * month_from_march + 2) // 5
    return (era * 146_097 + day_of_era - 719_468) * DAY_MS
