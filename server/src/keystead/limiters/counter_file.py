"""The file that counters lie in: a header, then chunks of slots, each chunk mapped into memory by itself.

What is stored in a mapped chunk belongs to the system's page cache from that moment on, so a killed process loses
none of it, and storing takes no system call. Only a loss of power takes what was not synced.

A slot is 32 bytes and never crosses a sector of the disk: how much of the counter is used (0: the slot is free), the
instant it expires, and the counter's digest. All numbers are of the machine's own byte order.
"""

import contextlib
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path

import structlog

from keystead.core.errors import StartupError

SLOT_WORDS = 4
"""Words of 8 bytes in a slot: used, expires_ms, and two of digest."""

CHUNK_WORDS = 65_536 * SLOT_WORDS
CHUNK_BYTES = CHUNK_WORDS * 8

_MAGIC = b"keystead-limits\n"
_VERSION = 1
_HEADER = struct.Struct("=16sIIq")
"""Magic, version, bytes of a slot, and how many chunks there are at least."""

_HEADER_BYTES = 65_536  # chunks begin at a page, however large the machine's pages are

_log = structlog.get_logger(__name__)


class UnreadableCounters(Exception):
    """Says why the contents of a file can not be taken for counters."""


class CounterFile:
    """The chunks of a file. One process at a time may have it open.

    A file that is no such file, or a damaged one, is set aside under another name and reported; a new one takes its
    place. `allocate` and `sync` are the system calls, replaceable so that tests can fill the disk.

    Raises StartupError when the file can be neither opened nor made.
    """

    def __init__(
        self,
        path: Path,
        *,
        allocate: Callable[[int, int, int], None] = os.posix_fallocate,
        sync: Callable[[int], None] = os.fdatasync,
    ) -> None:
        self.path = path
        self._allocate = allocate
        self._sync = sync
        self._fd = self._open()
        self._chunks = self._promised_chunks = 0
        self._has_header = False
        try:
            self._examine()
        except UnreadableCounters as reason:
            self.set_aside(reason)

    def __len__(self) -> int:
        """How many chunks there are."""
        return self._chunks

    def read(self, chunk: int) -> bytes:
        """The contents of a chunk. Raises UnreadableCounters when the disk does not give them."""
        # Not through the mapping: there a bad sector would end the process.
        return self._read(_offset(chunk), CHUNK_BYTES)

    def map(self, chunk: int) -> memoryview:
        """The chunk as words that can be read and stored. Raises StartupError."""
        try:
            return self._map(chunk)
        except OSError as error:
            raise self._refusal(error) from error

    def extend(self) -> memoryview:
        """Add a chunk of free slots and map it. Raises OSError, and adds none, when the disk has no room for it."""
        if not self._has_header:
            self._write_header()
        end = _offset(self._chunks)
        try:
            # A chunk without room on the disk could be mapped as well; storing in it would end the process.
            self._allocate(self._fd, end, CHUNK_BYTES)
            words = self._map(self._chunks)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self._chunks += 1
        return words

    def truncate(self, chunks: int) -> None:
        """Keep only so many chunks; those given up must not be mapped. Raises StartupError."""
        try:
            if chunks < self._promised_chunks:
                self._promise(chunks)
                # Before the cut: after a loss of power the old promise would have it pass for damage.
                self._sync(self._fd)
            os.ftruncate(self._fd, _offset(chunks))
        except OSError as error:
            raise self._refusal(error) from error
        self._chunks = chunks

    def sync(self) -> None:
        """Make what is stored safe against power loss. Waits for the disk. Raises OSError when that refuses."""
        chunks = self._chunks
        self._sync(self._fd)
        if chunks > self._promised_chunks:
            self._promise(chunks)

    def set_aside(self, reason: UnreadableCounters) -> None:
        """Keep the file under another name and begin a new one. Raises StartupError."""
        aside, number = Path(f"{self.path}.unreadable"), 1
        while aside.exists():
            number += 1
            aside = Path(f"{self.path}.unreadable-{number}")
        os.close(self._fd)
        try:
            self.path.rename(aside)
        except OSError as error:
            raise self._refusal(error) from error
        _log.error("limits_file_unreadable", reason=str(reason), file=str(self.path), kept_as=str(aside))
        self._fd = self._open()
        self._chunks = self._promised_chunks = 0
        self._begin()

    def close(self) -> None:
        """Sync, and let go of the file. Raises OSError when the disk refuses to sync."""
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> StartupError:
        return StartupError(
            f"Rate limits cannot be kept in {self.path}: {error.strerror}. Make the folder writable, or name another "
            "file."
        )

    def _examine(self) -> None:
        """Find how many chunks there are. Raises UnreadableCounters."""
        size = os.fstat(self._fd).st_size
        if size == 0:
            self._begin()
            return
        magic, version, slot_bytes, promised = _HEADER.unpack(self._read(0, _HEADER.size))
        if magic != _MAGIC:
            raise UnreadableCounters("not a file of rate limits")
        if (version, slot_bytes) != (_VERSION, SLOT_WORDS * 8):
            raise UnreadableCounters("written by another version of Keystead, or on another kind of machine")
        # What follows the last whole chunk was never used: the disk had no room for the rest.
        chunks = max(size - _HEADER_BYTES, 0) // CHUNK_BYTES
        if chunks < promised:
            raise UnreadableCounters(f"cut off: {promised} chunks were written, {chunks} are there")
        self._chunks, self._promised_chunks = chunks, promised
        self._has_header = True

    def _begin(self) -> None:
        self._has_header = False
        # On a full disk the first chunk tries it again.
        with contextlib.suppress(OSError):
            self._write_header()

    def _write_header(self) -> None:
        # Synced at once: after a loss of power a file of zeros would pass for a damaged one.
        os.pwrite(self._fd, _HEADER.pack(_MAGIC, _VERSION, SLOT_WORDS * 8, 0), 0)
        self._sync(self._fd)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._has_header = True

    def _promise(self, chunks: int) -> None:
        """Note in the header that so many chunks are on the disk, so that a file cut off is known for one."""
        os.pwrite(self._fd, struct.pack("=q", chunks), _HEADER.size - 8)
        self._promised_chunks = chunks

    def _map(self, chunk: int) -> memoryview:
        # Each mapping holds a descriptor of its own; the counters of a chunk weigh some 20 MB in the process, so there
        # are never many.
        return memoryview(mmap.mmap(self._fd, CHUNK_BYTES, offset=_offset(chunk))).cast("q")

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._fd, length, offset)
        except OSError as error:
            raise UnreadableCounters(f"the disk did not give it: {error.strerror}") from error
        if len(data) < length:
            raise UnreadableCounters(f"{len(data)} bytes where there should be {length}")
        return data


def _offset(chunk: int) -> int:
    return _HEADER_BYTES + chunk * CHUNK_BYTES
