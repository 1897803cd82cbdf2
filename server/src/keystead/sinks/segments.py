"""The files of the verification log's spool: their names, and reading complete lines from a position on.

A segment is a file `<number>.jsonl` of lines, one event each (`keystead.core.events`). Numbers only grow, the
newest segment is the one being written, and every other is finished. Bytes once written never change, so a
position stays valid while lines are appended. What follows the last newline is a line being written or, in a
finished segment, one that a crash tore: no event either way, because its answer never left.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Small, so that decoding a chunk keeps the interpreter lock from the event loop for less than a millisecond.
_CHUNK_BYTES = 64 * 1024
# A longer line is damage: nobody's event is that long, and its end would be looked for over and over.
_LONGEST_LINE_BYTES = 8 * 1024 * 1024
# A bad medium, a broken file system, a file that is gone, not ours or no file: trying again does not help.
_DAMAGE = {
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENOENT,
    errno.ENXIO,
    errno.EACCES,
    errno.EPERM,
    getattr(errno, "EUCLEAN", errno.EIO),
}
_NAME = re.compile(r"(\d{16})\.jsonl", re.ASCII)

LAST_NUMBER = 10**16 - 1
"""The highest number of a segment."""


@dataclass(frozen=True, slots=True)
class Position:
    """Everything before byte `offset` of segment `segment`, and all segments before that one."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Complete lines of a segment and the position after them; without lines, the step into the next segment.

    `torn_bytes` is the length of the unfinished line such a step passes over; negative when the segment has become
    shorter than what had been read of it.
    """

    segment: int
    lines: bytes
    position: Position
    torn_bytes: int = 0


class UnreadableSegment(Exception):
    """A segment that is damaged as a whole or missing, so that reading it again will not help.

    `successor` is the number of the next one, None for the segment being written.
    """

    def __init__(self, number: int, cause: OSError, successor: int | None) -> None:
        super().__init__(f"segment {number} of the verification log cannot be read: {cause}")
        self.number = number
        self.successor = successor


def path_of(folder: Path, number: int) -> Path:
    """Where the segment with that number is."""
    return folder / f"{number:016d}.jsonl"


def numbers_in(folder: Path) -> list[int]:
    """The numbers of the segments in `folder`, ascending; other files do not matter."""
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, os.listdir(folder)) if match)


def set_aside(folder: Path, number: int) -> Path:
    """The new path of a damaged segment, under which nothing reads or deletes it."""
    aside = path_of(folder, number).with_suffix(".unreadable")
    while os.path.lexists(aside):
        aside = aside.with_name(aside.name + "+")
    path_of(folder, number).rename(aside)
    return aside


Open = Callable[[Path], BinaryIO]


def open_segment(path: Path) -> BinaryIO:
    """The file for reading. Raises OSError, also for what is no regular file: it might never end, or never begin."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.ENXIO, "not a regular file", str(path))
    return open(descriptor, "rb")


def read_from(folder: Path, position: Position, newest: int, open_: Open = open_segment) -> Iterator[Chunk]:
    """The chunks after `position`, to the end of what is complete now; `newest` is the segment being written.

    What has a higher number was put there by somebody else, and is read when the spool has gone past it. Raises
    UnreadableSegment for damage, and OSError for what may pass, such as too many open files.
    """
    # These two must be there, so it is noticed when one is not.
    expected = {position.segment, newest} if position.segment else {newest}
    numbers = sorted(expected.union(number for number in numbers_in(folder) if position.segment <= number <= newest))
    for number, successor in zip(numbers, [*numbers[1:], None], strict=True):
        offset = position.offset if number == position.segment else 0
        try:
            with open_(path_of(folder, number)) as file:
                for chunk in _chunks(file, Position(number, offset)):
                    yield chunk
                    offset = chunk.position.offset
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            if error.errno in _DAMAGE:
                raise UnreadableSegment(number, error, successor) from error
            raise
        if successor is not None:
            yield Chunk(number, b"", Position(successor, 0), size - offset)


def _chunks(file: BinaryIO, position: Position) -> Iterator[Chunk]:
    offset, wanted = position.offset, _CHUNK_BYTES
    while True:
        file.seek(offset)
        data = file.read(wanted)
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) < wanted:
            return
        if end == 0 and wanted < _LONGEST_LINE_BYTES:
            wanted *= 2
            continue
        # Without a newline even now it is damage, handed on whole to be reported as such.
        end, wanted = end or len(data), _CHUNK_BYTES
        offset += end
        yield Chunk(position.segment, data[:end], Position(position.segment, offset))
