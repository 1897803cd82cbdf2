"""Where counters are kept: slots in a file, or in memory while there is no file or no room for it.

A place is the number of a slot's first word, counted over all chunks. Places stay what they are: a chunk that had to
begin in memory is copied into the file as a whole once there is room.
"""

import mmap
import struct
from array import array
from collections.abc import Iterator
from itertools import chain, compress

import structlog

from keystead.limiters.counter_file import CHUNK_BYTES, CHUNK_WORDS, SLOT_WORDS, CounterFile, UnreadableCounters

CHUNK_BITS = CHUNK_WORDS.bit_length() - 1
IN_CHUNK = CHUNK_WORDS - 1
LARGEST_WORD = 2**63 - 1

_EXPIRY_AND_DIGEST = struct.Struct("=q16s")
_DIGEST_ALONE = struct.Struct("=16x16s")
_TRY_EVERY_MS = 1000
_REPORT_EVERY_MS = 60_000

_log = structlog.get_logger(__name__)


class Slots:
    """The slots of a file, or without one slots in memory that end with the process.

    For one thread, but `sync` may run in another. `chunks[place >> CHUNK_BITS][place & IN_CHUNK]` is what a counter
    has used; whoever stores there sets `is_changed` afterwards.
    """

    def __init__(self, file: CounterFile | None = None) -> None:
        self.chunks: list[memoryview] = []
        self.is_changed = False
        self.lost = 0
        """Counters that `close` found no room for in the file."""
        self._file = file
        self._free = array("q")
        self._end = 0  # places from here on were never used
        self._chunks_in_memory = 0  # the last ones, that should be in the file
        self._tried_ms = self._reported_ms = -_REPORT_EVERY_MS

    @property
    def counters_in_memory(self) -> int:
        """Counters that a crash would lose, because there is no room for them in the file."""
        first = len(self.chunks) - self._chunks_in_memory
        return sum(used > 0 for chunk in self.chunks[first:] for used in chunk[::SLOT_WORDS].tolist())

    def occupy(self, digest: bytes, expires_ms: int, used: int, now_ms: int) -> int:
        """Keep a new counter, which `digest` (16 bytes) tells from all others; its place."""
        if self._chunks_in_memory and abs(now_ms - self._tried_ms) >= _TRY_EVERY_MS:
            self._move_into_file(now_ms)
        place = self._free.pop() if self._free else self._next_place(now_ms)
        chunk, at = self.chunks[place >> CHUNK_BITS], place & IN_CHUNK
        if expires_ms > LARGEST_WORD:  # as of the longest durations
            expires_ms = LARGEST_WORD
        # Killed in between, the slot is still a free one.
        _EXPIRY_AND_DIGEST.pack_into(chunk, (at + 1) * 8, expires_ms, digest)
        chunk[at] = used
        self.is_changed = True
        return place

    def release(self, place: int) -> None:
        """Forget the counter there; the place can be given to another one."""
        self.chunks[place >> CHUNK_BITS][place & IN_CHUNK] = 0
        self._free.append(place)

    def load(self, expired_ms: int) -> Iterator[tuple[list[int], list[int], list[bytes]]]:
        """Once, before anything else: the places, expiries and digests of the counters in the file, a chunk at a time.

        Those that expired up to `expired_ms` are forgotten, and so is room that nobody needs. Raises
        UnreadableCounters, then `begin_anew`; StartupError when the file cannot be mapped.
        """
        if self._file is None:
            return
        needed = 0
        for number in range(len(self._file)):
            data = self._file.read(number)
            self.chunks.append(self._file.map(number))
            words = memoryview(data).cast("q")
            uses, expiries = words[::SLOT_WORDS].tolist(), words[1::SLOT_WORDS].tolist()
            if min(uses) < 0 or min(expiries) < 0:
                raise UnreadableCounters("it holds numbers that no counter can have")
            kept = [used > 0 and expires_ms > expired_ms for used, expires_ms in zip(uses, expiries, strict=True)]
            if any(kept):
                needed = number + 1
            self._release_rest(number, uses, kept)
            # In bulk, because a file may hold millions.
            places = range(number * CHUNK_WORDS, (number + 1) * CHUNK_WORDS, SLOT_WORDS)
            digests = chain.from_iterable(_DIGEST_ALONE.iter_unpack(data))
            yield list(compress(places, kept)), list(compress(expiries, kept)), list(compress(digests, kept))
        self._give_up_chunks(self._file, needed)

    def begin_anew(self, reason: UnreadableCounters) -> None:
        """Set aside the file whose counters could not be loaded; there are none then. Raises StartupError."""
        assert self._file is not None
        self.chunks.clear()
        self._free, self._end = array("q"), 0
        self._file.set_aside(reason)

    def sync(self) -> None:
        """Make changes safe against power loss, if there are any. Waits for the disk.

        Raises OSError when that refuses; the next call tries again.
        """
        if self._file is None or not self.is_changed:
            return
        self.is_changed = False  # before: what is stored meanwhile may have missed this one
        try:
            self._file.sync()
        except OSError:
            self.is_changed = True
            raise

    def close(self) -> None:
        """Sync, and let go of the file; nothing may be stored afterwards. Raises OSError when the disk refuses."""
        if self._file is None:
            return
        for _ in range(self._chunks_in_memory):
            self._move_into_file(self._tried_ms)
        self.lost = self.counters_in_memory
        if self.lost:
            _log.error("limits_lost_at_close", counters=self.lost, file=str(self._file.path))
        self._file.close()

    def _release_rest(self, number: int, uses: list[int], kept: list[bool]) -> None:
        if all(kept):
            return
        chunk, first = self.chunks[number], number * CHUNK_WORDS
        for at, used, keep in zip(range(0, CHUNK_WORDS, SLOT_WORDS), uses, kept, strict=True):
            if keep:
                continue
            if used:
                chunk[at] = 0
            self._free.append(first + at)

    def _give_up_chunks(self, file: CounterFile, needed: int) -> None:
        """Keep only the first chunks, and use their first free places first, so that the next start can do it again."""
        self._end = needed * CHUNK_WORDS
        if needed < len(file):
            del self.chunks[needed:]
            file.truncate(needed)
        self._free = array("q", (place for place in reversed(self._free) if place < self._end))

    def _next_place(self, now_ms: int) -> int:
        place = self._end
        if place >> CHUNK_BITS == len(self.chunks):
            self.chunks.append(self._new_chunk(now_ms))
        self._end += SLOT_WORDS
        return place

    def _new_chunk(self, now_ms: int) -> memoryview:
        if self._file is not None:
            chunk = None if self._chunks_in_memory else self._extend_file(self._file, now_ms)
            if chunk is not None:
                return chunk
            self._chunks_in_memory += 1
        return memoryview(mmap.mmap(-1, CHUNK_BYTES)).cast("q")

    def _move_into_file(self, now_ms: int) -> None:
        """Copy the first chunk that is in memory into the file, if there is room now; the next one next time."""
        assert self._file is not None
        chunk = self._extend_file(self._file, now_ms)
        if chunk is None:
            return
        number = len(self.chunks) - self._chunks_in_memory
        chunk[:] = self.chunks[number]
        self.chunks[number] = chunk
        self._chunks_in_memory -= 1
        if not self._chunks_in_memory:
            _log.info("limits_in_file_again", file=str(self._file.path))

    def _extend_file(self, file: CounterFile, now_ms: int) -> memoryview | None:
        try:
            return file.extend()
        except OSError as error:
            self._tried_ms = now_ms
            if abs(now_ms - self._reported_ms) >= _REPORT_EVERY_MS:
                self._reported_ms = now_ms
                _log.error(
                    "limits_not_in_file",
                    error=str(error),
                    file=str(file.path),
                    counters_in_memory=self.counters_in_memory,
                )
            return None
