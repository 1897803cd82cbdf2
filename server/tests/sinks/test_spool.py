"""The spool: what is flushed is on disk once, whatever the disk does."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from keystead.clock import ManualClock
from keystead.core.errors import StartupError
from keystead.sinks import segments
from keystead.sinks.segments import Position
from keystead.sinks.spool import Spool

NOW_MS = 1_767_225_600_000


class Disk:
    """A write call that takes `free_bytes` and then says the disk is full."""

    def __init__(self) -> None:
        self.free_bytes: int | None = None
        self.calls = 0

    def write(self, fd: int, data: bytes) -> int:
        self.calls += 1
        if self.free_bytes is None:
            return os.write(fd, data)
        if self.free_bytes == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(fd, data[: self.free_bytes])
        self.free_bytes -= written
        return written


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def spool(tmp_path: Path, disk: Disk, clock: ManualClock) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool", segment_bytes=1000, max_buffered_bytes=50, clock=clock, write=disk.write)
    yield spool
    spool.close()


def content(folder: Path) -> list[bytes]:
    return [segments.path_of(folder, number).read_bytes() for number in segments.numbers_in(folder)]


def test_one_flush_is_one_write_of_all_lines(spool: Spool, disk: Disk) -> None:
    """Everything recorded since the last flush is written by one system call, and an empty flush makes none."""
    spool.record(b"one")
    spool.record(b"two")
    spool.flush()
    spool.flush()
    assert content(spool.folder) == [b"one\ntwo\n"]
    assert disk.calls == 1
    assert spool.recorded_events == 2


def test_only_the_owner_can_read_the_spool(spool: Spool) -> None:
    """Folder and segments are closed to other users of the machine, since events name customers."""
    assert spool.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in spool.folder.iterdir()} == {0o600}


def test_full_segment_is_followed_by_a_new_one(spool: Spool) -> None:
    """A segment that has reached its size is left, with higher numbers following even while the clock stands."""
    for _ in range(3):
        spool.record(b"x" * 999)
        spool.flush()
    assert segments.numbers_in(spool.folder) == [NOW_MS, NOW_MS + 1, NOW_MS + 2, NOW_MS + 3]
    assert content(spool.folder) == [b"x" * 999 + b"\n"] * 3 + [b""]
    spool.sync_finished()


def test_rotation_on_demand_takes_along_what_was_recorded(spool: Spool) -> None:
    """Rotating finishes the present segment with everything recorded before."""
    spool.record(b"one")
    assert spool.rotate()
    spool.record(b"two")
    spool.flush()
    assert content(spool.folder) == [b"one\n", b"two\n"]


def test_each_start_begins_a_segment_with_a_higher_number(tmp_path: Path) -> None:
    """What a killed process left is never appended to, also when the clock was set back meanwhile."""
    first = Spool(tmp_path, clock=ManualClock(NOW_MS))
    first.record(b"one")
    first.close()
    with segments.path_of(tmp_path, first.segment).open("ab") as file:
        file.write(b"torn")
    second = Spool(tmp_path, clock=ManualClock(NOW_MS - 5_000))
    second.record(b"two")
    second.close()
    assert second.segment == NOW_MS + 1
    chunks = [
        chunk
        for chunk in segments.read_from(tmp_path, Position(0, 0), second.segment)
        if chunk.lines or chunk.torn_bytes
    ]
    assert [(chunk.lines, chunk.torn_bytes) for chunk in chunks] == [(b"one\n", 0), (b"", 4), (b"two\n", 0)]


def test_short_writes_are_continued(tmp_path: Path) -> None:
    """A system call that writes less than asked is followed by others until everything is written."""
    spool = Spool(tmp_path, write=lambda fd, data: os.write(fd, data[:2]))
    spool.record(b"abcdef")
    spool.flush()
    assert content(tmp_path) == [b"abcdef\n"]
    spool.close()


def test_full_disk_tears_and_repeats_nothing(spool: Spool, disk: Disk) -> None:
    """Lines cut by a full disk are completed when there is room again: each is in the file exactly once."""
    disk.free_bytes = 6
    for line in (b"one", b"two", b"three"):
        spool.record(line)
    spool.flush()
    assert content(spool.folder) == [b"one\ntw"]
    assert spool.buffered_bytes == 8
    assert not spool.rotate()
    disk.free_bytes = None
    spool.record(b"four")
    spool.flush()
    assert content(spool.folder) == [b"one\ntwo\nthree\nfour\n"]
    assert (spool.buffered_bytes, spool.dropped_events, spool.recorded_events) == (0, 0, 4)


def test_memory_is_bounded_while_the_disk_is_full(spool: Spool, disk: Disk) -> None:
    """Beyond the bound the newest lines are dropped and counted; the older ones are written later, in order."""
    disk.free_bytes = 0
    for number in range(10):
        spool.record(b"line %d...." % number)  # 11 bytes each with its newline, 50 allowed
        spool.flush()
    assert (spool.buffered_bytes, spool.dropped_events, spool.recorded_events) == (44, 6, 4)
    disk.free_bytes = None
    spool.flush()
    assert content(spool.folder) == [b"".join(b"line %d....\n" % number for number in range(4))]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["flush", "rotate", "disk is fine"])), max_size=30))
def test_no_failure_of_the_disk_loses_repeats_or_reorders(steps: list[int | str]) -> None:
    """Wherever the disk stops and recovers, the segments together hold every line once, in order."""
    with TemporaryDirectory() as name:
        disk = Disk()
        spool = Spool(Path(name), segment_bytes=40, clock=ManualClock(NOW_MS), write=disk.write)
        lines = []
        for step in steps:
            lines.append(b"line %d" % len(lines))
            spool.record(lines[-1])
            if isinstance(step, int):
                disk.free_bytes = step
            elif step == "disk is fine":
                disk.free_bytes = None
            else:
                spool.rotate() if step == "rotate" else spool.flush()
        disk.free_bytes = None
        spool.close()
        for segment in content(Path(name)):
            assert segment == b"" or segment.endswith(b"\n")
        assert b"".join(content(Path(name))).split() == b" ".join(lines).split()


def test_full_disk_is_reported_once_a_minute(spool: Spool, disk: Disk, clock: ManualClock) -> None:
    """The log tells of a failing disk at once, then once a minute with what was lost, and of its recovery."""
    disk.free_bytes = 0
    with capture_logs() as logs:
        for _ in range(120):
            spool.record(b"a line of some length")
            spool.flush()
            clock.advance(1_000)
        disk.free_bytes = None
        spool.flush()
    events = [entry["event"] for entry in logs]
    assert events == ["verification_log_not_written"] * 2 + ["verification_log_written_again"]
    assert logs[1]["dropped_events"] == 58
    assert logs[0]["error"] == "[Errno 28] No space left on device"


def test_disk_on_the_edge_does_not_fill_the_log(spool: Spool, disk: Disk, clock: ManualClock) -> None:
    """A disk that fails and recovers with each event is told of as rarely as one that stays full."""
    with capture_logs() as logs:
        for _ in range(100):
            disk.free_bytes = 0
            spool.record(b"one")
            spool.flush()
            disk.free_bytes = None
            spool.flush()
            clock.advance(1_000)
    assert [entry["event"] for entry in logs] == ["verification_log_not_written", "verification_log_written_again"] * 2
    assert b"".join(content(spool.folder)) == b"one\n" * 100


def test_recovery_takes_few_system_calls(tmp_path: Path) -> None:
    """What waited in thousands of pieces is written by the mebibyte, since the event loop waits for it."""
    disk = Disk()
    spool = Spool(tmp_path, write=disk.write)
    disk.free_bytes = 0
    for number in range(2_500):
        spool.record(b"%01000d" % number)
        spool.flush()
    assert spool.buffered_events == 2_500
    disk.calls, disk.free_bytes = 0, None
    spool.flush()
    assert disk.calls <= 4
    assert b"".join(content(tmp_path)) == b"".join(b"%01000d\n" % number for number in range(2_500))
    assert (spool.buffered_events, spool.buffered_bytes) == (0, 0)
    spool.close()


def test_failing_rotation_lets_the_segment_grow(spool: Spool) -> None:
    """When no new segment can be made, events go on into the present one."""
    spool.record(b"one")
    spool.flush()
    hidden = spool.folder.with_name("hidden")
    spool.folder.rename(hidden)
    assert not spool.rotate()
    hidden.rename(spool.folder)
    spool.record(b"two")
    assert spool.rotate()
    assert content(spool.folder) == [b"one\ntwo\n", b""]


def test_lines_lost_at_close_are_reported(tmp_path: Path, disk: Disk) -> None:
    """Closing on a full disk ends, and says how many events could not be written; one cut in two is lost whole."""
    spool = Spool(tmp_path, write=disk.write)
    disk.free_bytes = 6
    for line in (b"one", b"two", b"three"):
        spool.record(line)
    with capture_logs() as logs:
        spool.close()
    assert logs[-1]["event"] == "verification_log_lost_events"
    assert logs[-1]["at_close"] == spool.lost_events == 2
    assert content(tmp_path) == [b"one\ntw"]


def test_a_disk_that_can_not_sync_does_not_stop_the_end(tmp_path: Path) -> None:
    """When the last sync fails the server's end goes on, and the log says so."""

    def fail(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool = Spool(tmp_path, fsync=fail)
    with capture_logs() as logs:
        spool.close()
    assert [entry["event"] for entry in logs] == ["verification_log_not_synced"]


def test_a_last_number_stops_the_start(tmp_path: Path) -> None:
    """A file that leaves no higher number stops the start and is named: what came after it would never be read."""
    segments.path_of(tmp_path, segments.LAST_NUMBER).touch()
    with pytest.raises(StartupError, match=str(segments.LAST_NUMBER)):
        Spool(tmp_path)


def test_unusable_folder_stops_the_start(tmp_path: Path) -> None:
    """A server that could not keep its verification log does not start, and says which folder it is about."""
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(StartupError, match=r"cannot be written to .*spool"):
        Spool(tmp_path / "spool")
