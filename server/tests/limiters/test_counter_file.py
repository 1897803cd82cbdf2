"""The file of counters: what is not one, what is damaged, and a disk that has no room."""

import errno
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keystead.core.errors import StartupError
from keystead.core.window import LimitDemand
from keystead.limiters.counter_file import CHUNK_BYTES, CounterFile
from keystead.limiters.slots import Slots
from keystead.limiters.windows import WindowLimiter

NOW_MS = 1_767_225_630_000
DAY_MS = 86_400_000
HEADER_BYTES = 65_536


class Disk:
    """The system call that asks for room; there is none while `is_full`."""

    def __init__(self) -> None:
        self.is_full = False

    def allocate(self, fd: int, offset: int, length: int) -> None:
        if self.is_full:
            # Some of it was to be had, as real disks have it.
            os.posix_fallocate(fd, offset, length // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(fd, offset, length)


def take(limiter: WindowLimiter, name: str, now_ms: int = NOW_MS) -> int:
    """Take one of ten a day; what is left."""
    return limiter.take([LimitDemand(name, "key_1", 10, DAY_MS)], now_ms)[0].remaining


def opened(path: Path, disk: Disk | None = None, now_ms: int = NOW_MS) -> tuple[WindowLimiter, Slots]:
    slots = Slots(CounterFile(path, allocate=(disk or Disk()).allocate))
    return WindowLimiter(slots, now_ms), slots


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Nobody else can read or change counters."""
    opened(tmp_path / "folder" / "limits")
    assert stat.S_IMODE((tmp_path / "folder" / "limits").stat().st_mode) == 0o600


def _not_ours(data: bytes) -> bytes:
    return b"SQLite format 3\0" + data[16:]


def _of_another_version(data: bytes) -> bytes:
    return data[:16] + struct.pack("=I", 2) + data[20:]


def _of_the_other_byte_order(data: bytes) -> bytes:
    return data[:16] + data[16:20][::-1] + data[20:]


def _cut_off(data: bytes) -> bytes:
    return data[: HEADER_BYTES + CHUNK_BYTES - 1]


def _cut_in_the_header(data: bytes) -> bytes:
    return data[:20]


def _with_a_negative_use(data: bytes) -> bytes:
    return data[:HEADER_BYTES] + b"\xff" * 8 + data[HEADER_BYTES + 8 :]


def _with_a_negative_expiry_behind_a_chunk(data: bytes) -> bytes:
    second = data[HEADER_BYTES:]
    return data + second[:8] + b"\xff" * 8 + second[16:]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_not_ours, "not a file of rate limits"),
        (_of_another_version, "another version"),
        (_of_the_other_byte_order, "another kind of machine"),
        (_cut_off, "cut off"),
        (_cut_in_the_header, "20 bytes"),
        (_with_a_negative_use, "no counter can have"),
        (_with_a_negative_expiry_behind_a_chunk, "no counter can have"),
    ],
)
def test_what_is_not_a_file_of_counters_is_set_aside(
    tmp_path: Path, damage: Callable[[bytes], bytes], reason: str
) -> None:
    """It is kept under another name each time, the log says why, and a new file counts from then on."""
    path = tmp_path / "limits"
    for number in ("", "-2"):
        limiter, slots = opened(path)
        assert take(limiter, "a") == 9
        slots.close()
        damaged = damage(path.read_bytes())
        path.write_bytes(damaged)
        with capture_logs() as logs:
            limiter, slots = opened(path)
        (entry,) = logs
        assert (entry["event"], entry["log_level"]) == ("limits_file_unreadable", "error")
        assert reason in entry["reason"]
        assert entry["kept_as"] == f"{path}.unreadable{number}"
        assert Path(entry["kept_as"]).read_bytes() == damaged
        assert len(limiter) == 0
        assert take(limiter, "a") == 9
        assert take(opened(path)[0], "a") == 8
        path.unlink()


def test_a_chunk_begun_when_the_disk_was_full_is_no_damage(tmp_path: Path) -> None:
    """What follows the last whole chunk was never used: counters before it are kept, nothing is reported."""
    limiter, slots = opened(tmp_path / "limits")
    take(limiter, "a")
    slots.close()
    with (tmp_path / "limits").open("ab") as file:
        file.write(bytes(1000))
    with capture_logs() as logs:
        assert take(opened(tmp_path / "limits")[0], "a") == 8
    assert logs == []


def test_a_file_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    """The message names the file and says what is wrong: here a folder in its place, a file in its folder's place."""
    (tmp_path / "limits").mkdir()
    with pytest.raises(StartupError, match=r"Rate limits cannot be kept in .*limits: Is a directory"):
        CounterFile(tmp_path / "limits")
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=r"Rate limits cannot be kept in .*file/limits"):
        CounterFile(tmp_path / "file" / "limits")


def test_without_room_counters_are_kept_in_memory_until_there_is_some(tmp_path: Path) -> None:
    """A full disk fails no call; it is told once a minute and counted, and room is used a second after it is there."""
    path, disk = tmp_path / "limits", Disk()
    disk.is_full = True
    limiter, slots = opened(path, disk)
    with capture_logs() as logs:
        for number in range(100):
            assert take(limiter, f"{number}", NOW_MS + number * 1000) == 9
    assert [entry["event"] for entry in logs] == ["limits_not_in_file", "limits_not_in_file"]
    assert slots.counters_in_memory == 100
    assert path.stat().st_size <= HEADER_BYTES
    assert len(opened(path)[0]) == 0

    disk.is_full = False
    with capture_logs() as logs:
        assert take(limiter, "after", NOW_MS + 101_000) == 9
    assert [entry["event"] for entry in logs] == ["limits_in_file_again"]
    assert slots.counters_in_memory == 0
    assert take(limiter, "0") == 8
    again = opened(path)[0]
    assert [take(again, name) for name in ("0", "99", "after")] == [7, 8, 8]


def test_chunks_that_began_in_memory_go_into_the_file_in_their_order(tmp_path: Path) -> None:
    """Counters of several chunks, before, during and after the lack of room, all come back."""
    path, disk, count = tmp_path / "limits", Disk(), 65_536
    limiter, _ = opened(path, disk)
    names = [f"{number}" for number in range(3 * count)]
    for number, name in enumerate(names):
        disk.is_full = number >= count
        take(limiter, name)
    assert len(opened(path)[0]) == count
    disk.is_full = False
    for second in (1, 2, 3):
        take(limiter, f"late {second}", NOW_MS + second * 1000)
    again = opened(path)[0]
    assert len(again) == 3 * count + 3
    for name in (names[0], names[count - 1], names[count], names[2 * count], names[-1], "late 1", "late 3"):
        assert take(again, name) == 8


def test_an_orderly_end_uses_room_that_is_there_by_then(tmp_path: Path) -> None:
    """Counters in memory go into the file at the end; when there is still no room the log says how many are lost."""
    path, disk = tmp_path / "limits", Disk()
    for is_full, events, remaining in ((True, ["limits_lost_at_close"], 9), (False, ["limits_in_file_again"], 8)):
        disk.is_full = True
        limiter, slots = opened(path, disk)
        assert take(limiter, "a") == 9
        disk.is_full = is_full
        with capture_logs() as logs:
            slots.close()
        assert [entry["event"] for entry in logs] == events
        assert take(opened(path)[0], "a") == remaining
        path.unlink()


def test_a_burst_does_not_keep_the_disk_for_ever(tmp_path: Path) -> None:
    """A start gives up the chunks behind the last one that is needed; without a counter, all of them."""
    path = tmp_path / "limits"
    limiter, _ = opened(path)
    take(limiter, "first")
    for number in range(70_000):
        limiter.take([LimitDemand(f"{number}", "key_1", 10, 1000)], NOW_MS)
    assert path.stat().st_size == HEADER_BYTES + 2 * CHUNK_BYTES
    limiter, _ = opened(path, now_ms=NOW_MS + 100_000)
    assert path.stat().st_size == HEADER_BYTES + CHUNK_BYTES
    assert len(limiter) == 1
    assert take(limiter, "second", NOW_MS + 100_000) == 9
    assert take(opened(path)[0], "first") == 8
    limiter, _ = opened(path, now_ms=NOW_MS + 2 * DAY_MS)
    assert path.stat().st_size == HEADER_BYTES
    assert take(limiter, "first", NOW_MS + 2 * DAY_MS) == 9
    assert take(opened(path, now_ms=NOW_MS + 2 * DAY_MS)[0], "first", NOW_MS + 2 * DAY_MS) == 8


def test_chunks_are_given_up_only_when_the_disk_knows_that_they_are_not_promised(tmp_path: Path) -> None:
    """A loss of power may keep the new length and the old header: then the file would pass for one that was cut off."""
    path, promised = tmp_path / "limits", [0]

    def sync(fd: int) -> None:
        os.fdatasync(fd)
        promised.append(struct.unpack("=q", os.pread(fd, 8, 24))[0])

    file = CounterFile(path, sync=sync)
    file.extend()
    file.extend()
    file.sync()
    file.sync()
    assert promised[-1] == 2
    file.truncate(1)
    assert promised[-1] == 1
    assert path.stat().st_size == HEADER_BYTES + CHUNK_BYTES
