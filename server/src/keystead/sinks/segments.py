"""The files of the verification log's spool: their names, and reading complete lines from a position on.

A segment is a file `<number>.jsonl` of lines, one event each (`keystead.core.events`). Numbers only grow, the
newest segment is the one being written, and every other is finished. Bytes once written never change, so a
position stays valid while lines are appended. What follows the last newline is a line being written or, in a
finished segment, one that a crash tore: no event either way, because its answer never left.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# Small, so that decoding a chunk keeps the interpreter lock from the event loop for less than a millisecond.
_CHUNK_BYTES = 64 * 1024
# A longer line is damage: nobody's event is that long, and its end would be looked for over and over.
_LONGEST_LINE_BYTES = 8 * 1024 * 1024
# A bad medium, a broken file system, a folder in place of a file: trying again does not help.
_DAMAGE = {errno.EIO, errno.EISDIR, getattr(errno, "EUCLEAN", errno.EIO)}


@dataclass(frozen=True, slots=True)
class Position:
    """Everything before byte `offset` of segment `segment`, and all segments before that one."""

    segment: int
    offset: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Complete lines of a segment and the position after them; without lines, the step into the next segment.

    `torn_bytes` is the length of the unfinished line such a step passes over.
    """

    segment: int
    lines: bytes
    position: Position
    torn_bytes: int = 0


class UnreadableSegment(Exception):
    """A finished segment that is damaged as a whole, so that reading it again will not help."""

    def __init__(self, number: int, cause: OSError) -> None:
        super().__init__(f"segment {number} of the verification log cannot be read: {cause}")
        self.number = number


def path_of(folder: Path, number: int) -> Path:
    """Where the segment with that number is."""
    return folder / f"{number:016d}.jsonl"


def numbers_in(folder: Path) -> list[int]:
    """The numbers of the segments in `folder`, ascending; other files do not matter."""
    names = (entry.removesuffix(".jsonl") for entry in os.listdir(folder) if entry.endswith(".jsonl"))
    return sorted(int(name) for name in names if name.isascii() and name.isdigit())


def set_aside(folder: Path, number: int) -> Path:
    """The new path of a damaged segment, under which nothing reads or deletes it."""
    aside = path_of(folder, number).with_suffix(".unreadable")
    path_of(folder, number).rename(aside)
    return aside


def read_from(folder: Path, position: Position) -> Iterator[Chunk]:
    """The chunks after `position`, to the end of what is complete now.

    Raises UnreadableSegment for damage, and OSError for what may pass, such as too many open files.
    """
    # Listed before anything is read: what has a successor in the list is complete already.
    numbers = [number for number in numbers_in(folder) if number >= position.segment]
    for number, successor in zip(numbers, [*numbers[1:], None], strict=True):
        offset = position.offset if number == position.segment else 0
        try:
            with path_of(folder, number).open("rb") as file:
                for chunk in _chunks(file, Position(number, offset)):
                    yield chunk
                    offset = chunk.position.offset
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            if successor is not None and error.errno in _DAMAGE:
                raise UnreadableSegment(number, error) from error
            raise
        if successor is not None:
            yield Chunk(number, b"", Position(successor, 0), max(size - offset, 0))


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
