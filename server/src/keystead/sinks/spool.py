"""The verification log's local spool: events are on their way to disk before their answers leave.

Recording appends to a list; one flush per batch of answers writes what was recorded with one system call and no
fsync. So a killed process loses nothing it answered, while a machine that loses power may lose its last seconds.

While the disk takes no writes, lines wait in memory, up to a bound; lines beyond it are counted and reported, never
silently lost. An interrupted write goes on at the very byte where it stopped, so every line is stored exactly once.
"""

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from keystead.clock import Clock, SystemClock
from keystead.core.errors import StartupError
from keystead.core.pacing import Pace
from keystead.sinks import segments
from keystead.threads import SYSTEM_THREADS, Threads

_log = structlog.get_logger(__name__)

# What one system call is given after a disk has been full: lines waited by turns of the event loop, thousands of them.
_WRITE_BYTES = 1024 * 1024


class Spool:
    """Appends encoded events to the newest segment in a folder; each start begins a new one.

    `write` and `fsync` are the system calls, replaceable so that tests can fill the disk. Any thread may call any
    method, but `record` and `flush` are made for one, the event loop's.

    Raises StartupError when the folder cannot be written.
    """

    record: Callable[[bytes], None]
    """Takes one encoded event, without a newline, to be written by the next `flush`."""

    def __init__(
        self,
        folder: Path,
        *,
        above: int = 0,
        segment_bytes: int = 16 * 1024 * 1024,
        max_buffered_bytes: int = 64 * 1024 * 1024,
        clock: Clock | None = None,
        write: Callable[[int, bytes], int] = os.write,
        fsync: Callable[[int], None] = os.fsync,
        threads: Threads = SYSTEM_THREADS,
    ) -> None:
        self.folder = folder
        self._above = above
        self._segment_bytes = segment_bytes
        self._max_buffered_bytes = max_buffered_bytes
        self._clock = clock or SystemClock()
        self._write = write
        self._fsync = fsync
        self._lines: list[bytes] = []
        self.record = self._lines.append
        self._chunks: deque[bytes] = deque()  # more than one only while the disk takes no writes
        self._chunk_bytes = 0
        self._accepted_events = 0
        self._dropped_events = 0
        self._is_failing = False
        self._failure_pace = Pace()
        self._is_failure_told = False
        self._lost_events = 0
        self._lock = threads.lock()
        self._unsynced: list[int] = []
        self._sync_lock = threads.lock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segment, self._fd = self._create_segment()
        except OSError as error:
            raise StartupError(
                f"The verification log cannot be written to {folder}: {error.strerror}. Make the folder writable, "
                "or name another one."
            ) from error
        self._offset = 0

    @property
    def segment(self) -> int:
        """The number of the segment being written."""
        return self._segment

    @property
    def recorded_events(self) -> int:
        """Events flushed since the start: written, or waiting in memory for a disk that takes no writes."""
        return self._accepted_events

    @property
    def dropped_events(self) -> int:
        """Events lost since the start because the disk took no writes and memory was full."""
        return self._dropped_events

    @property
    def buffered_bytes(self) -> int:
        """Bytes waiting in memory for a disk that takes no writes; 0 when all is well."""
        return self._chunk_bytes

    @property
    def buffered_events(self) -> int:
        """Events waiting in memory for a disk that takes no writes; counted anew, for metrics and messages."""
        with self._lock:
            return self._count_buffered()

    @property
    def lost_events(self) -> int:
        """Events lost since the start: dropped, or still in memory when the spool was closed."""
        return self._dropped_events + self._lost_events

    def flush(self) -> None:
        """Write what was recorded. Never raises for a failing disk: lines then wait, and the next flush tries again."""
        with self._lock:
            if self._chunks:
                self._write_chunks()
            if self._lines:
                self._take_lines()
                self._write_chunks()
            if self._offset >= self._segment_bytes and not self._chunks:
                self._begin_segment()

    def rotate(self) -> bool:
        """Flush and begin a new segment, so that the present one is finished; False if the disk takes no writes."""
        self.flush()
        with self._lock:
            return not self._chunks and self._begin_segment()

    def sync_finished(self) -> None:
        """Make finished segments safe against power loss. Waits for the disk: not for the event loop's thread.

        Raises OSError when the disk refuses; the next call tries again.
        """
        with self._sync_lock:
            while self._unsynced:
                # One that is gone was transferred and deleted before it was our turn.
                with contextlib.suppress(FileNotFoundError):
                    self._sync(segments.path_of(self.folder, self._unsynced[0]))
                del self._unsynced[0]

    def close(self) -> None:
        """Write and sync everything; the spool takes no more events. Lines the disk refuses are lost and reported."""
        self.flush()
        with self._lock:
            self._lost_events = self._count_buffered()
            if self.lost_events:
                _log.error(
                    "verification_log_lost_events",
                    at_close=self._lost_events,
                    dropped=self._dropped_events,
                    folder=str(self.folder),
                )
            os.close(self._fd)
            self._fd = -1
            self._unsynced.append(self._segment)
        try:
            self.sync_finished()
            self._sync(self.folder)
        except OSError as error:
            _log.error("verification_log_not_synced", error=str(error), folder=str(self.folder))

    def _count_buffered(self) -> int:
        return sum(chunk.count(b"\n") for chunk in self._chunks)

    def _take_lines(self) -> None:
        """Move the recorded lines into a chunk to be written; what exceeds the bound is dropped and counted."""
        count = len(self._lines)
        lines = self._lines[:count]
        del self._lines[:count]
        if self._chunks:
            lines = self._lines_that_fit(lines)
            self._dropped_events += count - len(lines)
        if lines:
            chunk = b"\n".join(lines) + b"\n"
            self._chunks.append(chunk)
            self._chunk_bytes += len(chunk)
            self._accepted_events += len(lines)

    def _lines_that_fit(self, lines: list[bytes]) -> list[bytes]:
        free = self._max_buffered_bytes - self._chunk_bytes
        for index, line in enumerate(lines):
            free -= len(line) + 1
            if free < 0:
                return lines[:index]
        return lines

    def _write_chunks(self) -> None:
        while self._chunks:
            chunk = self._first_chunk()
            try:
                written = self._write(self._fd, chunk)
                if written == 0:
                    raise OSError(errno.EIO, "the system call wrote nothing")
            except OSError as error:
                self._is_failing = True
                self._report_failure(error)
                return
            self._offset += written
            self._chunk_bytes -= written
            if written == len(chunk):
                self._chunks.popleft()
            else:
                self._chunks[0] = chunk[written:]
        if self._is_failing:
            self._is_failing = False
            # Told in pairs: a disk on the edge may fail and recover with each event.
            if self._is_failure_told:
                self._is_failure_told = False
                _log.info("verification_log_written_again", dropped_events=self._dropped_events)

    def _first_chunk(self) -> bytes:
        """The next bytes to be written, joined from small chunks."""
        if len(self._chunks) == 1 or len(self._chunks[0]) >= _WRITE_BYTES:
            return self._chunks[0]
        parts, size = [], 0
        while self._chunks and size < _WRITE_BYTES:
            parts.append(self._chunks.popleft())
            size += len(parts[-1])
        self._chunks.appendleft(b"".join(parts))
        return self._chunks[0]

    def _report_failure(self, error: OSError) -> None:
        if not self._failure_pace.is_due(self._clock.now_ms() / 1000):
            return
        self._is_failure_told = True
        _log.error(
            "verification_log_not_written",
            error=str(error),
            folder=str(self.folder),
            buffered_bytes=self._chunk_bytes,
            dropped_events=self._dropped_events,
        )

    def _begin_segment(self) -> bool:
        try:
            segment, fd = self._create_segment()
        except OSError as error:
            # The present segment grows on instead; every flush tries again.
            self._report_failure(error)
            return False
        os.close(self._fd)
        self._unsynced.append(self._segment)
        self._segment, self._fd, self._offset = segment, fd, 0
        return True

    def _create_segment(self) -> tuple[int, int]:
        # The time, so that numbers grow even when somebody has emptied the folder, but above every number that is there
        # or was counted: a loss of power may take the newest name, bring back a deleted one, and set the clock back.
        last = max([self._above, *segments.numbers_in(self.folder)[-1:]])
        number = max(self._clock.now_ms(), last + 1)
        if number > segments.LAST_NUMBER:
            raise OSError(errno.EOVERFLOW, f"the segment {segments.LAST_NUMBER} leaves no number for another one")
        path = segments.path_of(self.folder, number)
        return number, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _sync(self, path: Path) -> None:
        # Without waiting, should somebody have put a pipe in its place.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            self._fsync(fd)
        finally:
            os.close(fd)
