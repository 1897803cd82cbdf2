"""A spool whose files have been damaged: reported and passed over, never silently, never fatally."""

import contextlib
import errno
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from keystead.clock import ManualClock
from keystead.core.errors import StartupError
from keystead.core.events import encode_event, encode_subject
from keystead.sinks import segments
from keystead.sinks.merge import Counts
from keystead.sinks.segments import LAST_NUMBER, Position
from keystead.sinks.spool import Spool
from keystead.sinks.transfer import Transfer
from keystead.testing.server import NOW_MS, ServerInProcess


class Sink:
    """Counts in memory; it outlives the process."""

    def __init__(self) -> None:
        self.at = Position(0, 0)
        self.keys: Counter[str] = Counter()
        self.is_full = False

    def position(self) -> Position:
        return self.at

    def add(self, counts: Counts, before: Position, after: Position) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert before == self.at
        self.at = after
        for counted, events in counts.items():
            self.keys[counted.key_id] += events


class Site:
    """A spool and what is counted of it. Every event is of a key of its own: `event_7`."""

    def __init__(self, folder: Path, open_segment: segments.Open = segments.open_segment) -> None:
        self.folder = folder
        self.sink = Sink()
        self.recorded = 0
        self._open_segment = open_segment
        self.start()

    def start(self) -> None:
        """As a process does; after another one that was killed."""
        self.spool = Spool(self.folder, clock=ManualClock(NOW_MS))
        self.transfer = Transfer(self.spool, self.sink, open_segment=self._open_segment)

    def restart(self) -> None:
        os.close(self.spool._fd)
        self.start()

    def record(self, events: int = 5) -> list[str]:
        """Flushes events into the newest segment; their keys."""
        keys = [f"event_{self.recorded + number}" for number in range(events)]
        self.recorded += events
        for key in keys:
            self.spool.record(line(key))
        self.spool.flush()
        return keys

    def finish(self, events: int = 5) -> Path:
        """A finished segment with events."""
        self.record(events)
        path = segments.path_of(self.folder, self.spool.segment)
        assert self.spool.rotate()
        return path

    def run(self) -> list[str]:
        """Transfers all there is; what was logged."""
        with capture_logs() as logs:
            for _ in range(1_000):
                if not self.transfer.transfer_once():
                    return [log["event"] for log in logs]
        raise AssertionError("the transfer does not end")

    def expect(self, missing: set[int]) -> None:
        """Each event counted exactly once, but for those."""
        assert self.sink.keys == {f"event_{number}": 1 for number in set(range(self.recorded)) - missing}

    def reported(self) -> tuple[int, int]:
        """Corrupt lines and segments."""
        lag = self.transfer.lag()
        return lag.corrupt_lines, lag.corrupt_segments


def line(key_id: str) -> bytes:
    return encode_event(NOW_MS, f"req_{key_id}", "VALID", ("a",), encode_subject("ws_1", "ks_1", key_id, None, None))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "spool")


# Damage inside

OVERWRITE, ZEROS, TRUNCATE, INSERT, REMOVE = range(5)
damages = st.tuples(
    st.sampled_from([OVERWRITE, ZEROS, TRUNCATE, INSERT, REMOVE]),
    st.integers(0, 3),  # which segment; the last is the one being written
    st.floats(0, 1),  # where
    st.binary(min_size=1, max_size=40)
    | st.sampled_from([b"\n", b"\n\n", b"\xff", b'"', b"\0", line("event_0") + b"\n"]),
)


def damaged(content: bytes, kind: int, where: float, what: bytes) -> bytes:
    at = int(where * len(content))
    return {
        OVERWRITE: content[:at] + what[: len(content) - at] + content[at + len(what) :],
        ZEROS: content[:at] + b"\0" * min(len(content) - at, 97) + content[at + 97 :],
        TRUNCATE: content[:at],
        INSERT: content[:at] + what + content[at:],
        REMOVE: content[:at] + content[at + len(what) :],
    }[kind]


def are_events_otherwise(lines: list[bytes]) -> bool:
    """Whether lines are no events line by line, but read as a whole: one broken between its members, two on a line."""
    if any(b"][" in line for line in lines):
        return True
    for count in range(2, 6):
        for first in range(len(lines) - count + 1):
            with contextlib.suppress(ValueError):
                json.loads(b"\n".join(lines[first : first + count]))
                return True
    return False


@settings(max_examples=200, deadline=None)
@given(st.lists(damages, min_size=1, max_size=6), st.booleans())
def test_whatever_is_damaged_where_intact_lines_are_counted_once(
    found: list[tuple[int, int, float, bytes]], is_found_at_start: bool
) -> None:
    """Of any damaged bytes the whole lines count once, each damaged one is reported, and what follows is unharmed.

    A damaged line that is still an event counts as what it says: nothing can tell. So lines counted too many and lines
    reported are together those that were damaged.
    """
    with TemporaryDirectory() as name:
        site = Site(Path(name))
        paths = [site.finish(), site.finish(), site.finish(), segments.path_of(site.folder, site.spool.segment)]
        site.record()
        for kind, segment, where, what in found:
            paths[segment].write_bytes(damaged(paths[segment].read_bytes(), kind, where, what))
        originals = {line(f"event_{number}") for number in range(site.recorded)}
        lines = [line for path in paths for line in path.read_bytes().split(b"\n")[:-1] if line.strip()]
        tails = [path.read_bytes().rpartition(b"\n")[2] for path in paths]
        if is_found_at_start:
            site.restart()
        else:
            assert site.spool.rotate()
        later = [*site.record(), *site.record()]
        site.run()
        intact = [line for line in lines if line in originals]
        surplus = site.sink.keys.total() - len(intact) - len(later)
        assert all(site.sink.keys[key] == 1 for key in later)
        assert Counter(line(key) for key in site.sink.keys.elements()) >= Counter(intact)
        lag = site.transfer.lag()
        assert surplus >= 0
        if not are_events_otherwise(lines):
            assert surplus + lag.corrupt_lines == len(lines) - len(intact)
        assert lag.torn_lines == sum(tail != b"" for tail in tails)
        assert (lag.corrupt_segments, lag.waiting_bytes) == (0, 0)
        os.close(site.spool._fd)


def test_a_line_of_a_hundred_megabytes(site: Site) -> None:
    """It is passed over in pieces of bounded memory, reported, and what is behind it is counted."""
    path = site.finish()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"[" * 100_000_000 + content[len(content) // 2 :])
    site.record()
    assert "verification_log_corrupt_lines" in site.run()
    site.expect(missing={2})
    assert site.reported()[0] >= 1


def test_many_corrupt_lines_are_few_messages(site: Site) -> None:
    """A segment of nothing but damage does not fill the log: a message for each round."""
    path = site.finish()
    path.write_bytes(b"no event\n" * 100_000)
    site.record()
    assert site.run() == ["verification_log_corrupt_lines"]
    site.expect(missing=set(range(5)))
    assert site.reported() == (100_000, 0)


def test_damage_is_told_when_it_is_passed_over_not_before(site: Site) -> None:
    """While analytics takes nothing the same damage is met each second; it is told and counted once."""
    path = site.finish()
    path.write_bytes(b"no event\n" + path.read_bytes())
    site.sink.is_full = True
    with capture_logs() as logs:
        for _ in range(5):
            with pytest.raises(OSError, match="No space"):
                site.transfer.transfer_once()
    assert logs == []
    site.sink.is_full = False
    assert site.run() == ["verification_log_corrupt_lines"]
    site.expect(missing=set())
    assert site.reported() == (1, 0)


# Damage as a whole


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_endless_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def as_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("is_newest", [False, True])
@pytest.mark.parametrize("spoil", [as_folder, as_pipe, as_endless_link, as_link_to_itself])
def test_what_is_no_file_is_set_aside(site: Site, spoil: Callable[[Path], None], is_newest: bool) -> None:
    """Something else in a segment's place is kept under another name, reported, and stops neither transfer nor end.

    In place of the one being written too: from then on events go into a new one.
    """
    site.finish()
    path = segments.path_of(site.folder, site.spool.segment)
    if is_newest:
        site.record()
        spoil(path)
    else:
        spoil(site.finish())
    # Nor can some of these be synced.
    assert set(site.run()) - {"verification_log_not_synced"} == {"verification_log_unreadable_segment"}
    site.record()
    site.spool.close()
    site.run()
    site.expect(missing=set(range(5, 10)))
    assert site.reported() == (0, 1)
    assert os.path.lexists(path.with_suffix(".unreadable"))
    assert not os.path.lexists(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO])
def test_a_segment_that_may_not_be_read(tmp_path: Path, number: int) -> None:
    """A segment of another owner, or on a bad block, costs itself only, and keeps its bytes for who can read them."""
    bad: list[Path] = []

    def opener(path: Path) -> BinaryIO:
        if path in bad:
            raise OSError(number, os.strerror(number), str(path))
        return segments.open_segment(path)

    site = Site(tmp_path, opener)
    site.finish()
    bad.append(site.finish())
    content = bad[0].read_bytes()
    site.record()
    assert site.run() == ["verification_log_unreadable_segment"]
    site.expect(missing=set(range(5, 10)))
    assert bad[0].with_suffix(".unreadable").read_bytes() == content
    assert site.reported() == (0, 1)


def test_a_bad_block_in_the_middle(tmp_path: Path) -> None:
    """What could be read before it is counted, the rest is set aside and reported, and nothing is counted twice."""

    class BadBlock(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size) or b""

    bad: list[Path] = []
    site = Site(tmp_path, lambda path: BadBlock(path) if path in bad else path.open("rb"))  # type: ignore[arg-type, return-value]
    bad.append(site.finish(2_000))
    site.record()
    assert site.run() == ["verification_log_unreadable_segment"]
    counted = {int(key.removeprefix("event_")) for key in site.sink.keys}
    read = len(counted) - 5
    assert 0 < read < 2_000
    assert counted == {*range(read), *range(2_000, 2_005)}
    assert set(site.sink.keys.values()) == {1}


def test_what_may_pass_is_tried_again(tmp_path: Path) -> None:
    """Too many open files is no damage: nothing is set aside, and all is counted later."""
    is_exhausted = True

    def opener(path: Path) -> BinaryIO:
        if is_exhausted:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return segments.open_segment(path)

    site = Site(tmp_path, opener)
    site.finish()
    with pytest.raises(OSError, match="Too many open files"):
        site.transfer.transfer_once()
    is_exhausted = False
    assert site.run() == []
    site.expect(missing=set())
    assert site.reported() == (0, 0)


def test_a_segment_that_is_gone(site: Site) -> None:
    """The one that is being counted, and the one being written, are missed when somebody deletes them."""
    site.record()
    site.run()
    path = segments.path_of(site.folder, site.spool.segment)
    site.finish()
    path.unlink()
    site.record()
    assert site.run() == ["verification_log_missing_segment"]
    site.record()
    segments.path_of(site.folder, site.spool.segment).unlink()
    assert site.run() == ["verification_log_missing_segment"]
    site.record()
    assert site.run() == []
    site.expect(missing={*range(5, 10), *range(15, 20)})
    assert site.reported() == (0, 2)


def test_a_segment_that_has_become_shorter_than_what_was_read(site: Site) -> None:
    """A position behind the end of a file is reported; what is written afterwards is counted."""
    site.record()
    site.run()
    os.truncate(segments.path_of(site.folder, site.spool.segment), 10)
    site.restart()
    site.record()
    assert site.run() == ["verification_log_shortened_segment"]
    site.expect(missing=set())
    assert site.reported() == (0, 1)


def test_an_empty_segment_is_no_damage(site: Site) -> None:
    """A process that was killed before its first answer leaves one."""
    for _ in range(3):
        site.restart()
    site.record()
    assert site.run() == []
    site.expect(missing=set())


@pytest.mark.parametrize("is_there_at_start", [False, True])
def test_a_segment_from_the_future(site: Site, is_there_at_start: bool) -> None:
    """A higher number does not end the segment being written: each event counts once, the intruder's too."""
    site.record()
    future = segments.path_of(site.folder, NOW_MS + 10**9)
    future.write_bytes(line("event_future") + b"\n")
    if is_there_at_start:
        site.restart()
    site.run()
    site.record()
    site.run()
    assert site.spool.rotate()
    assert site.spool.segment > NOW_MS + 10**9
    site.record()
    site.run()
    assert site.sink.keys.pop("event_future") == 1
    site.expect(missing=set())
    assert site.reported() == (0, 0)


@pytest.mark.parametrize(
    "name", ["7.jsonl", f"{LAST_NUMBER + 1}.jsonl", "\uff17" * 16 + ".jsonl", "notes.txt", ".jsonl", "x"]
)
def test_other_files_do_not_matter(site: Site, name: str) -> None:
    """Names that are no segment's are left alone, whatever they look like."""
    (site.folder / name).write_bytes(b"something else")
    site.finish()
    site.restart()
    site.record()
    assert site.run() == []
    site.expect(missing=set())
    assert (site.folder / name).read_bytes() == b"something else"


def test_a_folder_behind_the_position_is_moved_away(site: Site) -> None:
    """What has a number already passed is deleted; what can not be is no reason to fail each second."""
    site.finish()
    site.run()
    segments.path_of(site.folder, 7).mkdir()
    assert site.run() == ["verification_log_segment_not_deleted"]
    assert site.run() == []
    site.record()
    site.run()
    site.expect(missing=set())


def test_nothing_set_aside_replaces_another(site: Site) -> None:
    """A second damaged segment of the same number, after the first was looked at and left, is kept beside it."""
    for _ in range(2):
        path = site.finish()
        path.unlink()
        path.mkdir()
        path.with_suffix(".unreadable").touch()
        site.run()
        assert path.with_name(path.with_suffix(".unreadable").name + "+").is_dir()


# The counts


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_database_of_counts_stops_the_start(tmp_path: Path, content: bytes) -> None:
    """As with the main database: the server does not start, names the file, and leaves it as it is."""
    file = tmp_path / "keystead-analytics.db"
    file.write_bytes(content)
    with pytest.raises(StartupError, match=r"keystead-analytics\.db"), ServerInProcess(tmp_path):
        pass
    assert file.read_bytes() == content


def test_a_truncated_database_of_counts_stops_the_start(tmp_path: Path) -> None:
    """A file cut in its first pages is refused with its name; the database beside it is not harmed."""
    with ServerInProcess(tmp_path):
        pass
    file = tmp_path / "keystead-analytics.db"
    shutil.copy(file, tmp_path / "whole")
    os.truncate(file, 6_000)
    with pytest.raises(StartupError, match=r"keystead-analytics\.db"), ServerInProcess(tmp_path):
        pass
    shutil.copy(tmp_path / "whole", file)
    with ServerInProcess(tmp_path):
        pass
