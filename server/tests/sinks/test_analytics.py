"""From the spool to the analytics database, each event exactly once, and the counts by day."""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from keystead.clock import ManualClock
from keystead.core.events import encode_event, encode_subject
from keystead.core.series import COUNTED_OUTCOMES, DAY_MS, HOUR_MS, Group, SeriesQuery, Slice
from keystead.sinks import segments, tables
from keystead.sinks.analytics import Analytics, DayCounts, PositionMoved, open_engine
from keystead.sinks.merge import Counts
from keystead.sinks.numbers import Numbers
from keystead.sinks.segments import Position
from keystead.sinks.spool import Spool
from keystead.sinks.transfer import Lag, Transfer
from keystead.sinks.upkeep import Upkeep
from keystead.stores import migrate
from keystead.testing.schema import differences

NOW_MS = 1_767_225_600_000  # midnight


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("template") / "empty.db"
    engine = open_engine(file)
    migrate.upgrade(engine, tables.MIGRATIONS, tables.HEAD)
    engine.dispose()
    return file


class Process:
    """What one run of the server has open; `crash` drops it as kill -9 does."""

    def __init__(self, folder: Path, **transfer: int) -> None:
        self.engine = open_engine(folder / "analytics.db")
        self.analytics = Analytics(self.engine)
        above = self.analytics.position().segment
        self.spool = Spool(folder / "spool", above=above, segment_bytes=2_000, clock=ManualClock(NOW_MS))
        self.transfer = Transfer(self.spool, self.analytics, **transfer)

    def crash(self, torn: bytes = b"") -> None:
        os.write(self.spool._fd, torn)
        os.close(self.spool._fd)
        self.engine.dispose()

    def stop(self) -> None:
        self.spool.close()
        self.transfer.stop()
        self.analytics.close()


@pytest.fixture
def process(tmp_path: Path, empty_database: Path) -> Iterator[Process]:
    shutil.copy(empty_database, tmp_path / "analytics.db")
    process = Process(tmp_path)
    yield process
    process.stop()


def event(
    key_id: str = "key_1",
    outcome: str = "VALID",
    time_ms: int = NOW_MS,
    tags: tuple[str, ...] = (),
    identity_id: str | None = None,
) -> bytes:
    external_id = identity_id and f"external {identity_id}"
    return encode_event(
        time_ms, "req_1", outcome, tags, encode_subject("ws_1", "ks_1", key_id, identity_id, external_id)
    )


def send(process: Process, *lines: bytes) -> None:
    for line in lines:
        process.spool.record(line)
    process.spool.flush()


def totals(engine: sa.Engine) -> dict[str, int]:
    """Key → all its verifications, which every length of time must agree on, by key and in total."""
    found = []
    with engine.connect() as connection:
        for slice_ in Slice:
            counts = tables.BY_KEY[slice_]
            sums = sa.select(tables.keys.c.key_id, sa.func.sum(events_in(counts)))
            joined = sums.join_from(tables.keys, counts, tables.keys.c.no == counts.c.key_no)
            of_keys = dict(tuple(row) for row in connection.execute(joined.group_by(tables.keys.c.key_id)))
            whole = tables.TOTALS[slice_]
            for kind in (tables.OF_KEYSPACE, tables.OF_TAG_LIST):
                total = connection.scalar(sa.select(sa.func.sum(events_in(whole))).where(whole.c.kind == kind))
                assert (total or 0) == sum(of_keys.values())
            found.append(of_keys)
    assert found[0] == found[1] == found[2]
    return found[0]


def events_in(table: sa.Table) -> sa.ColumnElement[int]:
    """All counters of a row."""
    return sum((table.c[counter] for counter in tables.COUNTERS[1:]), table.c[tables.COUNTERS[0]] + 0)


def test_schema_is_what_the_migrations_make() -> None:
    """The tables in code and the analytics migrations describe the same database."""
    assert differences(tables.metadata, tables.MIGRATIONS, tables.HEAD) == []


def test_events_are_counted_by_hour_outcome_identity_and_tags(process: Process) -> None:
    """Every dimension keeps counts apart, later rounds add to earlier ones, and each outcome has its counter."""
    send(process, *(event(outcome=outcome) for outcome in COUNTED_OUTCOMES))
    assert not process.transfer.transfer_once()
    send(
        process,
        event(time_ms=NOW_MS + HOUR_MS - 1),
        event(time_ms=NOW_MS + HOUR_MS),
        event(tags=("b", 'a"\n')),
        event(identity_id="id_1"),
    )
    process.transfer.transfer_once()
    counts, names = tables.counts_hourly, (tables.identities, tables.tag_lists)
    with process.engine.connect() as connection:
        rows = connection.execute(
            sa.select(counts, tables.identities.c.identity_id, tables.tag_lists.c.tags)
            .outerjoin_from(counts, names[0], names[0].c.no == counts.c.identity_no)
            .outerjoin(names[1], names[1].c.no == counts.c.tag_list_no)
            .order_by("slice_ms", "identity_no", "tag_list_no")
        )
        found = [(row.day_ms, row.slice_ms, row.identity_id, row.tags, *row[6:13]) for row in rows]
        assert found == [
            (NOW_MS, NOW_MS, None, None, 2, 1, 1, 1, 1, 1, 1),
            (NOW_MS, NOW_MS, None, '["b","a\\"\\n"]', 1, 0, 0, 0, 0, 0, 0),
            (NOW_MS, NOW_MS, "id_1", None, 1, 0, 0, 0, 0, 0, 0),
            (NOW_MS, NOW_MS + HOUR_MS, None, None, 1, 0, 0, 0, 0, 0, 0),
        ]


def test_days_that_overlap_the_range_are_summed_over_keys(process: Process) -> None:
    """Whole UTC days touched by the range are counted, all keys together, ascending, zero days absent."""
    send(
        process,
        event("key_1", "VALID", NOW_MS - 1),
        event("key_1", "RATE_LIMITED", NOW_MS),
        event("key_2", "VALID", NOW_MS + DAY_MS - 1),
        event("key_2", "USAGE_EXCEEDED", NOW_MS + 2 * DAY_MS),
        event("key_2", "DISABLED", NOW_MS + DAY_MS),
        event("key_3", "VALID", NOW_MS),
    )
    process.transfer.transfer_once()
    by_day = process.analytics.verifications_by_day
    both = ["key_1", "key_2", "key_1", "key_unknown"]
    before, first, third = (
        DayCounts(NOW_MS - DAY_MS, 1, 0, 0),
        DayCounts(NOW_MS, 1, 1, 0),
        DayCounts(NOW_MS + 2 * DAY_MS, 0, 0, 1),
    )
    assert by_day(both, 0, NOW_MS * 2) == [before, first, third]
    assert by_day(both, NOW_MS + 5, NOW_MS + 5) == [first]
    assert by_day(both, NOW_MS - 1, NOW_MS) == [before, first]
    assert by_day(both, NOW_MS + DAY_MS - 1, NOW_MS + 2 * DAY_MS) == [first, third]
    assert by_day(both, NOW_MS + DAY_MS, NOW_MS + DAY_MS) == []
    assert by_day(both, NOW_MS + 1, NOW_MS) == []
    assert by_day([], 0, NOW_MS * 2) == []


def test_any_number_of_keys_can_be_asked_for(process: Process) -> None:
    """An owner with more keys than a statement takes parameters gets one sum over all of them."""
    send(process, event("key_0"), event("key_34999"), event("key_35000"))
    process.transfer.transfer_once()
    keys = [f"key_{number}" for number in range(35_000)]
    assert process.analytics.verifications_by_day(keys, NOW_MS, NOW_MS) == [DayCounts(NOW_MS, 2, 0, 0)]


def test_rounds_are_bounded(tmp_path: Path, empty_database: Path) -> None:
    """A long backlog is transferred in several rounds, by number of events or by bytes."""
    shutil.copy(empty_database, tmp_path / "analytics.db")
    for bound in ({"max_round_events": 10}, {"max_round_bytes": 1_000}):
        process = Process(tmp_path, **bound)
        for _ in range(3):
            send(process, *(event() for _ in range(20)))
            process.spool.rotate()
        rounds = 1
        while process.transfer.transfer_once():
            rounds += 1
        assert rounds == 4
        assert process.transfer.lag().transferred_events == 60
        process.stop()


def test_finished_segments_are_deleted_after_their_transfer(process: Process) -> None:
    """Only the segment being written remains once everything is transferred."""
    for _ in range(5):
        send(process, *(event() for _ in range(20)))
        process.spool.rotate()
    assert len(segments.numbers_in(process.spool.folder)) == 6
    process.transfer.transfer_once()
    assert segments.numbers_in(process.spool.folder) == [process.spool.segment]
    assert totals(process.engine) == {"key_1": 100}


def test_segments_outlive_a_commit_that_fails(process: Process) -> None:
    """Nothing is deleted before the commit that counts it has returned."""
    send(process, event())
    process.spool.rotate()
    send(process, event())
    process.spool.rotate()
    sa.event.listen(process.engine, "commit", kill)
    with pytest.raises(Killed):
        process.transfer.transfer_once()
    assert len(segments.numbers_in(process.spool.folder)) == 3
    sa.event.remove(process.engine, "commit", kill)
    process.transfer.transfer_once()
    assert totals(process.engine) == {"key_1": 2}


@pytest.mark.parametrize(
    "damage",
    [
        b"[1,2",
        b"",
        b"\0" * 500,
        b'[1,"req","VALID",[],"ws","ks","key\xff",null,null]',
        b'[1,"req","SURPRISED",[],"ws","ks","key",null,null]',
        b'[99999999999999999,"req","VALID",[],"ws","ks","key",null,null]',
        b'[1,"req","VALID",{},"ws","ks","key",null,null]',
        b"[" * 100_000,
    ],
)
def test_corrupt_line_is_reported_and_passed_over(process: Process, damage: bytes) -> None:
    """A damaged line costs that line only; it is counted and named in the log."""
    with capture_logs() as logs:
        send(process, event(), damage, event())
        process.transfer.transfer_once()
    assert totals(process.engine) == {"key_1": 2}
    expected = 0 if damage == b"" else 1  # an empty line says nothing and hides nothing
    assert process.transfer.lag().corrupt_lines == expected
    assert [entry["event"] for entry in logs] == ["verification_log_corrupt_lines"] * expected


def test_endless_line_does_not_stop_the_transfer(process: Process) -> None:
    """Megabytes without a newline, as a broken file system leaves them, are passed over and reported."""
    send(process, event())
    process.spool.rotate()
    first = segments.numbers_in(process.spool.folder)[0]
    with segments.path_of(process.spool.folder, first).open("ab") as file:
        file.write(b"\0" * 9_000_000)
    send(process, event())
    with capture_logs():
        while process.transfer.transfer_once():
            pass
    assert totals(process.engine) == {"key_1": 2}
    assert process.transfer.lag().corrupt_lines == 1
    assert segments.numbers_in(process.spool.folder) == [process.spool.segment]


def test_unreadable_segment_is_set_aside(process: Process) -> None:
    """A segment that cannot be read at all is kept under another name and reported, and the rest is transferred."""
    segments.path_of(process.spool.folder, 7).mkdir()
    send(process, event())
    with capture_logs() as logs:
        while process.transfer.transfer_once():
            pass
    assert totals(process.engine) == {"key_1": 1}
    assert process.transfer.lag().corrupt_segments == 1
    assert [entry["event"] for entry in logs] == ["verification_log_unreadable_segment"]
    assert (process.spool.folder / "0000000000000007.unreadable").is_dir()


@pytest.mark.parametrize("folder", ["emptied", "as a loss of power leaves it"])
def test_no_number_is_used_again(tmp_path: Path, empty_database: Path, folder: str) -> None:
    """Whatever becomes of folder and clock, new events are not mistaken for counted ones, nor counted ones for new."""
    shutil.copy(empty_database, tmp_path / "analytics.db")
    process = Process(tmp_path)
    send(process, event())
    process.transfer.transfer_once()
    counted = segments.path_of(process.spool.folder, process.spool.segment)
    content = counted.read_bytes()
    process.spool.rotate()
    send(process, event(), event())
    process.transfer.transfer_once()
    process.crash()
    segments.path_of(process.spool.folder, process.spool.segment).unlink()
    if folder != "emptied":
        counted.write_bytes(content)
    # Its clock is still where the first one's was.
    later = Process(tmp_path)
    send(later, event())
    while later.transfer.transfer_once():
        pass
    assert totals(later.engine) == {"key_1": 4}
    assert not counted.exists()
    later.crash()


def test_counts_are_not_added_from_a_moved_position(process: Process) -> None:
    """Of two that transfer the same part of the spool, the second adds nothing."""
    send(process, event())
    start = process.analytics.position()
    process.transfer.transfer_once()
    with pytest.raises(PositionMoved):
        process.analytics.add({}, start, Position(1, 1))
    assert process.analytics.position() == Position(process.spool.segment, len(event()) + 1)


def test_failing_database_only_makes_the_spool_grow(process: Process) -> None:
    """While the database takes nothing the thread lives and reports once, and afterwards nothing is missing."""
    with process.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE spool_position RENAME TO elsewhere"))
    send(process, event())
    with capture_logs() as logs:
        process.transfer.stop()
        process.transfer.stop()
    assert [entry["event"] for entry in logs] == ["verification_transfer_failed"]
    with process.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO spool_position"))
    process.transfer.transfer_once()
    assert totals(process.engine) == {"key_1": 1}


def test_lag_tells_what_is_waiting(process: Process) -> None:
    """Metrics see recorded, transferred and waiting events, and bytes left by an earlier process too."""
    send(process, event(), event())
    line_bytes = len(event()) + 1
    assert process.transfer.lag() == Lag(2, 0, 0, 0, 0, 2 * line_bytes)
    process.transfer.transfer_once()
    send(process, event())
    assert process.transfer.lag() == Lag(3, 2, 0, 0, 0, line_bytes)


def test_lag_sees_what_waits_behind_a_shortened_segment(tmp_path: Path, process: Process) -> None:
    """When a loss of power cut off what was counted already, events of the next segment still count as waiting."""
    send(process, event(), event())
    process.transfer.transfer_once()
    os.truncate(segments.path_of(process.spool.folder, process.spool.segment), 0)
    process.spool.rotate()
    send(process, event())
    assert process.transfer.lag().waiting_bytes == len(event()) + 1


def test_thread_transfers_and_stop_drains(tmp_path: Path, empty_database: Path) -> None:
    """The thread transfers by itself, and stopping counts everything flushed before, by whichever round."""
    shutil.copy(empty_database, tmp_path / "analytics.db")
    process = Process(tmp_path)
    transferred = threading.Event()
    add = process.analytics.add

    def add_and_tell(counts: Counts, before: Position, after: Position) -> None:
        add(counts, before, after)
        transferred.set()

    process.analytics.add = add_and_tell  # type: ignore[method-assign]
    process.transfer = Transfer(process.spool, process.analytics, interval_s=0.001)
    process.transfer.start()
    send(process, event())
    assert transferred.wait(timeout=30)
    send(process, event())
    process.transfer.stop()
    assert totals(process.engine) == {"key_1": 2}
    process.stop()


def test_counts_of_the_first_schema_are_carried_over(tmp_path: Path) -> None:
    """An upgrade keeps every count, by key, identity and tags, and makes days, months and totals of them."""
    engine = open_engine(tmp_path / "analytics.db")
    migrate.upgrade(engine, tables.MIGRATIONS, "0001")
    later_ms = NOW_MS + 31 * DAY_MS + HOUR_MS
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO verification_subjects VALUES (1, 'ws', 'ks', 'key_1', '', '', '[]'), "
            """(2, 'ws', 'ks', 'key_1', 'id_1', 'old name', '["b","a"]'), """
            """(3, 'ws', 'ks', 'key_1', 'id_1', 'new name', '["b","a"]'), (4, 'ws', 'ks_2', 'key_2', '', '', '["b"]')"""
        )
        connection.exec_driver_sql(
            "INSERT INTO verifications_hourly VALUES (1, ?, 1, 2, 3, 4, 5, 6, 7), (2, ?, 1, 0, 0, 0, 0, 0, 0), "
            "(3, ?, 1, 0, 0, 0, 0, 0, 0), (4, ?, 0, 0, 0, 1, 0, 0, 0), (1, ?, 1, 0, 0, 0, 0, 0, 0)",
            (NOW_MS, NOW_MS, NOW_MS, NOW_MS, later_ms),
        )
    migrate.upgrade(engine, tables.MIGRATIONS, tables.HEAD)
    assert totals(engine) == {"key_1": 31, "key_2": 1}
    analytics = Analytics(engine)

    def ask(slice_: Slice | None = None, *groups: Group, **more: Any) -> list[tuple[Any, ...]]:
        query = SeriesQuery("ks", 0, later_ms, slice=slice_, groups=frozenset(groups), **more)
        return [(*row[1:], sum(row.counts)) for row in analytics.series(query, 100)]

    assert ask(Slice.MONTH) == [(NOW_MS, *[None] * 4, 30), (NOW_MS + 31 * DAY_MS, *[None] * 4, 1)]
    assert ask(None, Group.IDENTITY) == [(None, None, "id_1", None, None, 2)]
    assert ask(None, Group.TAG, tags=("a",)) == [(None, None, None, None, "a", 2), (None, None, None, None, "b", 2)]
    assert ask(None, Group.KEY, identity_id="id_1") == [(None, "key_1", None, None, None, 2)]
    analytics.close()


def test_what_is_no_longer_kept_is_deleted_in_small_steps(process: Process) -> None:
    """Old slices are in no answer at once, their rows go a few at a time, and newer ones and other lengths stay."""
    old, new = (
        (event(f"key_{n}", tags=(f"t{n}",), identity_id="id_1") for n in range(2)),
        event(time_ms=NOW_MS + DAY_MS),
    )
    send(process, *old, new)
    process.transfer.transfer_once()
    days = {Slice.HOUR: 1, Slice.DAY: 0, Slice.MONTH: 0}
    hours = SeriesQuery("ks_1", NOW_MS, NOW_MS + 3 * DAY_MS, slice=Slice.HOUR)
    process.analytics.keep(days, NOW_MS + DAY_MS + HOUR_MS)  # a day that is not over for long enough
    assert len(process.analytics.series(hours, 100)) == 2
    assert process.analytics.keep(days, NOW_MS + 2 * DAY_MS)
    assert [row.time_ms for row in process.analytics.series(hours, 100)] == [NOW_MS + DAY_MS]
    # Two rows by key; one total of the keyspace, one of the identity, two of the lists.
    assert [process.analytics.delete_some(1) for _ in range(7)] == [1, 1, 1, 1, 1, 1, 0]
    assert rows_in(process.engine, tables.counts_hourly) == 1
    assert rows_in(process.engine, tables.totals_hourly) == 2
    assert rows_in(process.engine, tables.counts_daily) == 3
    # Raising the setting brings nothing back, and what arrives late is not answered either.
    assert not process.analytics.keep({**days, Slice.HOUR: 0}, NOW_MS + 2 * DAY_MS)
    send(process, event())
    process.transfer.transfer_once()
    assert [row.time_ms for row in process.analytics.series(hours, 100)] == [NOW_MS + DAY_MS]


def test_a_clock_that_was_far_ahead_does_not_hide_what_comes(process: Process) -> None:
    """Set right again, counts of the day are answered and stay, however long before what the clock had let go of."""
    days = {Slice.HOUR: 90, Slice.DAY: 400, Slice.MONTH: 800}
    process.analytics.keep(days, NOW_MS + 10_000 * DAY_MS)
    process.analytics.keep(days, NOW_MS)
    send(process, event())
    process.transfer.transfer_once()
    assert process.analytics.delete_some(100) == 0
    for slice_ in Slice:
        (row,) = process.analytics.series(SeriesQuery("ks_1", NOW_MS, NOW_MS + HOUR_MS, slice=slice_), 100)
        assert sum(row.counts) == 1


def rows_in(engine: sa.Engine, table: sa.Table) -> int:
    """How many rows a table has."""
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


class RecordedKeeper:
    """Counts that only remember what they were asked; `left` rows are to be deleted."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.kept: list[int] = []

    def keep(self, days: Mapping[Slice, int], now_ms: int) -> bool:
        self.kept.append(now_ms)
        return False

    def delete_some(self, max_rows: int) -> int:
        deleted = min(max_rows, self.left)
        self.left -= deleted
        return deleted


def test_upkeep_is_bounded_and_looks_again_when_a_day_is_over() -> None:
    """A run deletes a bounded number of rows, leftovers of an earlier process too, and asks for nothing new in vain."""
    clock, counts = ManualClock(NOW_MS), RecordedKeeper(100_000)
    upkeep = Upkeep(counts, clock, dict.fromkeys(Slice, 1))
    assert upkeep.run(lambda: True)
    assert counts.left == 100_000
    assert upkeep.run()
    assert counts.left == 60_000
    assert upkeep.run()
    assert not upkeep.run()
    assert counts.left == 0
    counts.left = 5
    assert not upkeep.run()
    assert counts.left == 5
    clock.advance(DAY_MS)
    upkeep.run()
    assert counts.kept == [NOW_MS, NOW_MS + DAY_MS]


def test_failing_upkeep_is_reported_and_tried_again(tmp_path: Path, empty_database: Path) -> None:
    """A failure while tidying leaves the thread and the transfer alive."""
    shutil.copy(empty_database, tmp_path / "analytics.db")
    process = Process(tmp_path)
    tidied = threading.Event()

    class Failing(RecordedKeeper):
        def keep(self, days: Mapping[Slice, int], now_ms: int) -> bool:
            self.kept.append(now_ms)
            if len(self.kept) == 1:
                raise OSError("the disk is away")
            tidied.set()
            return False

    upkeep = Upkeep(Failing(0), ManualClock(NOW_MS), dict.fromkeys(Slice, 1))
    process.transfer = Transfer(process.spool, process.analytics, interval_s=0.001, upkeep=upkeep)
    with capture_logs() as logs:
        process.transfer.start()
        assert tidied.wait(timeout=30)
        process.stop()
    assert [entry["event"] for entry in logs] == ["verification_upkeep_failed"]


def test_many_names_do_not_stay_in_memory(process: Process) -> None:
    """Numbers that were given are looked up again once too many are remembered, and stay what they were."""
    process.analytics = Analytics(process.engine, max_remembered=3)
    process.transfer = Transfer(process.spool, process.analytics)
    for _ in range(2):
        send(process, *(event(f"key_{n}", tags=(f"t{n}",), identity_id=f"id_{n}") for n in range(5)))
        process.transfer.transfer_once()
    assert totals(process.engine) == {f"key_{n}": 2 for n in range(5)}
    assert rows_in(process.engine, tables.keys) == rows_in(process.engine, tables.tag_lists) == 5
    assert rows_in(process.engine, tables.identities) == rows_in(process.engine, tables.tags) == 5


def test_lists_of_many_tags_do_not_stay_in_memory(process: Process) -> None:
    """Each tag of a list counts: ten of them are as much as ten keys."""
    numbers = Numbers(max_remembered=30)
    with process.engine.begin() as connection:
        numbers.learn_keyspaces(connection, ["ks_1"])
        for n in range(3):
            numbers.learn_tag_lists(connection, [(1, tuple(f"{n}-{m}" for m in range(10)))])
            numbers.forget_if_many()
    assert not numbers.tag_lists


class Killed(Exception):
    """The process ends here."""


def kill(*_: object) -> None:
    raise Killed


STEPS = st.one_of(
    st.just("record"),
    st.just("flush"),
    st.just("rotate"),
    st.just("transfer"),
    st.just("crash before commit"),
    st.just("crash before deletion"),
    st.tuples(st.just("crash"), st.integers(0, 200)),
)


@settings(max_examples=120, deadline=None)
@example(steps=["record", "rotate", "crash before commit"], events_per_record=1, max_round_events=20_000)
@example(steps=["record", ("crash", 200), "record"], events_per_record=1, max_round_events=7)
@given(
    steps=st.lists(STEPS, max_size=30),
    events_per_record=st.integers(1, 30),
    max_round_events=st.sampled_from([7, 20_000]),
)
def test_flushed_events_are_counted_exactly_once_whatever_is_killed(
    empty_database: Path, steps: list[str | tuple[str, int]], events_per_record: int, max_round_events: int
) -> None:
    """After any interleaving of work and crashes every flushed event is counted once, and nothing else is."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(empty_database, folder / "analytics.db")
        process = Process(folder, max_round_events=max_round_events)
        recorded: list[str] = []
        flushed: list[str] = []
        number = 0
        for step in steps:
            if step == "record":
                for _ in range(events_per_record):
                    number += 1
                    recorded.append(f"key_{number}")
                    process.spool.record(event(recorded[-1]))
            elif step in ("flush", "rotate"):
                process.spool.flush() if step == "flush" else process.spool.rotate()
                flushed += recorded
                recorded = []
            elif step == "transfer":
                process.transfer.transfer_once()
            else:
                torn = die(process, step)
                process.crash(event("key_torn")[:torn])
                process = Process(folder, max_round_events=max_round_events)
                recorded = []
        process.spool.flush()
        process.stop()
        engine = open_engine(folder / "analytics.db")
        assert totals(engine) == dict.fromkeys([*flushed, *recorded], 1)
        engine.dispose()


def die(process: Process, step: str | tuple[str, int]) -> int:
    """Bring a process to where it is killed; the bytes of a line it was writing."""
    if isinstance(step, tuple):
        return step[1]
    if step == "crash before commit":
        sa.event.listen(process.engine, "commit", kill)
    else:
        process.transfer._delete_segments_before = kill  # type: ignore[method-assign]
    with contextlib.suppress(Killed):
        process.transfer.transfer_once()
    return 0


def test_failures_do_not_tell_what_customers_wrote(tmp_path: Path) -> None:
    """The message of a failed statement, which goes to the log, holds none of its parameters."""
    engine = open_engine(tmp_path / "analytics.db")
    try:
        with engine.connect() as connection, pytest.raises(sa.exc.OperationalError) as failure:
            connection.execute(sa.text("INSERT INTO nowhere VALUES (:tag)"), {"tag": "what a customer wrote"})
        assert "what a customer wrote" not in str(failure.value)
    finally:
        engine.dispose()
