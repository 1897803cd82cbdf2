"""Time slices, the spans that answer a query, and the zero rows between: against definitions a slice at a time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.core.series import (
    DAY_MS,
    HOUR_MS,
    ZERO,
    Group,
    SeriesQuery,
    SeriesRow,
    Slice,
    filled,
    gap_count,
    kept_from,
    next_slice,
    slice_start,
    spans,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COUNT = (1, *ZERO[1:])


def at(text: str) -> int:
    """The instant in ms."""
    return (datetime.fromisoformat(text + "+00:00") - EPOCH) // timedelta(milliseconds=1)


def naive_start(instant_ms: int, slice_: Slice) -> int:
    moment = EPOCH + timedelta(milliseconds=instant_ms)
    start = moment.replace(minute=0, second=0, microsecond=0)
    if slice_ is not Slice.HOUR:
        start = start.replace(hour=0)
    if slice_ is Slice.MONTH:
        start = start.replace(day=1)
    return (start - EPOCH) // timedelta(milliseconds=1)


INSTANTS = st.integers(at("0001-01-01T00:00"), at("9999-12-31T23:00"))
RANGES = st.tuples(st.integers(at("2023-11-01T00:00"), at("2024-05-01T00:00")), st.integers(1, 100 * DAY_MS))


@settings(deadline=None)
@given(INSTANTS, st.sampled_from(Slice))
def test_slices_start_where_the_calendar_says(instant_ms: int, slice_: Slice) -> None:
    """Hours, days and months of every year start where Python's calendar has them."""
    assert slice_start(instant_ms, slice_) == naive_start(instant_ms, slice_)


@settings(deadline=None)
@given(INSTANTS.filter(lambda instant_ms: instant_ms < at("9999-11-01T00:00")), st.sampled_from(Slice))
def test_the_next_slice_follows_without_a_gap(instant_ms: int, slice_: Slice) -> None:
    """The instant before a slice's end lies in it, and its end is the start of another."""
    start_ms = slice_start(instant_ms, slice_)
    end_ms = next_slice(start_ms, slice_)
    assert start_ms <= instant_ms < end_ms
    assert slice_start(end_ms - 1, slice_) == start_ms
    assert slice_start(end_ms, slice_) == end_ms


@pytest.mark.parametrize("instant_ms", [-253_402_300_799_999, 253_402_300_799_999])
def test_slices_reach_as_far_as_instants_do(instant_ms: int) -> None:
    """The first and the last instant that the contract allows lie in slices of every length."""
    for slice_ in Slice:
        assert slice_start(instant_ms, slice_) <= instant_ms < next_slice(slice_start(instant_ms, slice_), slice_)


def counts_for(query: SeriesQuery, hour_ms: int) -> bool:
    """Whether the events of an hour count, in the words of other-v1 §6.3."""
    if query.slice in (None, Slice.HOUR):
        return query.start_ms <= hour_ms <= query.end_ms
    date = naive_start(naive_start(hour_ms, query.slice), Slice.DAY)
    return naive_start(query.start_ms, Slice.DAY) <= date <= naive_start(query.end_ms, Slice.DAY)


@settings(deadline=None)
@given(RANGES, st.sampled_from([None, *Slice]))
def test_spans_hold_the_hours_that_count_and_each_once(range_: tuple[int, int], slice_: Slice | None) -> None:
    """Whatever the range, its spans are whole slices that hold every hour that counts once, and no other hour."""
    start_ms, length_ms = range_
    query = SeriesQuery("ks", start_ms, start_ms + length_ms, slice=slice_)
    held: list[int] = []
    for span in spans(query):
        assert slice_start(span.first_ms, span.slice) == span.first_ms
        assert slice_start(span.end_ms, span.slice) == span.end_ms
        assert slice_ is None or span.slice is slice_
        held += range(span.first_ms, span.end_ms, HOUR_MS)
    first_ms = naive_start(start_ms, Slice.MONTH) - 40 * DAY_MS
    hours = range(first_ms, query.end_ms + 40 * DAY_MS, HOUR_MS)
    assert sorted(held) == [hour_ms for hour_ms in hours if counts_for(query, hour_ms)]


def test_a_long_range_without_time_is_few_spans() -> None:
    """Whole months and days of a range are taken as such."""
    query = SeriesQuery("ks", at("2026-01-30T05:30"), at("2026-03-02T04:10"))
    assert spans(query) == [
        (Slice.HOUR, at("2026-01-30T06:00"), at("2026-01-31T00:00")),
        (Slice.DAY, at("2026-01-31T00:00"), at("2026-02-01T00:00")),
        (Slice.MONTH, at("2026-02-01T00:00"), at("2026-03-01T00:00")),
        (Slice.DAY, at("2026-03-01T00:00"), at("2026-03-02T00:00")),
        (Slice.HOUR, at("2026-03-02T00:00"), at("2026-03-02T05:00")),
    ]


@settings(deadline=None)
@given(RANGES, st.sampled_from(Slice), st.sets(st.integers(0, 120)), st.sampled_from([1, 2]))
def test_gaps_are_filled_as_if_looked_at_one_by_one(
    range_: tuple[int, int], slice_: Slice, places: set[int], rows_each: int
) -> None:
    """Every slice from the start's on and before the end's has a row: its own ones, or one zero row; none is lost."""
    start_ms, length_ms = range_
    query = SeriesQuery("ks", start_ms, start_ms + length_ms, slice=slice_, groups=frozenset({Group.KEY}))
    starts = [naive_start(start_ms, slice_)]
    while starts[-1] <= query.end_ms:
        starts.append(next_slice(starts[-1], slice_))
    with_events = [starts[place] for place in sorted(places) if place < len(starts)]
    rows = [SeriesRow(COUNT, time_ms, f"key_{n}") for time_ms in with_events for n in range(rows_each)]
    expected = []
    for slice_ms in starts:
        if slice_ms in with_events:
            expected += [row for row in rows if row.time_ms == slice_ms]
        elif slice_ms < naive_start(query.end_ms, slice_):
            expected.append(SeriesRow(ZERO, slice_ms, ""))
    found = list(filled(rows, query))
    assert found == expected
    assert len(found) - len(rows) <= gap_count(query)
    assert gap_count(query) == len(list(filled([], query)))


@pytest.mark.parametrize(
    "order", [{"order_by": "total"}, {"order_by": "time", "descending": True}, {"slice": None, "order_by": None}]
)
def test_rows_in_another_order_have_no_gaps(order: dict[str, object]) -> None:
    """Only a series in ascending order of time is filled."""
    query = SeriesQuery("ks", 0, DAY_MS, **{"slice": Slice.HOUR, **order})  # type: ignore[arg-type]
    assert gap_count(query) == 0
    assert list(filled([SeriesRow(COUNT, HOUR_MS)], query)) == [SeriesRow(COUNT, HOUR_MS)]


def test_a_zero_row_has_empty_values_for_what_is_grouped_by() -> None:
    """Filler has an empty key, tag or list, and no identity (§6.3)."""
    day = SeriesQuery("ks", 0, HOUR_MS, slice=Slice.HOUR, groups=frozenset({Group.KEY, Group.IDENTITY, Group.TAGS}))
    assert list(filled([], day)) == [SeriesRow(ZERO, 0, key_id="", identity_id=None, tags=())]
    tag = SeriesQuery("ks", 0, HOUR_MS, slice=Slice.HOUR, groups=frozenset({Group.TAG}))
    assert list(filled([], tag)) == [SeriesRow(ZERO, 0, tag="")]


def test_what_is_kept_begins_with_a_whole_day_or_month() -> None:
    """Hours and days go a day at a time, months a month at a time; 0 days keep everything."""
    now_ms = at("2026-11-23T14:30")
    assert kept_from(now_ms, Slice.HOUR, 1) == at("2026-11-22T00:00")
    assert kept_from(now_ms, Slice.DAY, 23) == at("2026-10-31T00:00")
    assert kept_from(now_ms, Slice.MONTH, 23) == at("2026-10-01T00:00")
    assert kept_from(now_ms, Slice.HOUR, 0) == 0
    assert kept_from(HOUR_MS, Slice.HOUR, 90) == 0
