"""The server's files beside its databases: real files in the world's folder, changed only as the simulated disk says.

They are the verification log, which grows by writes, and the counters of rate limits, which are mapped into memory: a
killed process loses nothing of either, a loss of power what was not synced.
"""

import errno
import os
from pathlib import Path
from random import Random
from typing import NoReturn

from keystead.assembly import SystemCalls
from proof.simulation.disk import Change, Disk, Outcome
from proof.simulation.scheduler import Life, LifeEnded

VERIFICATION_LOG = "verification-log"
LIMITS = "limits"
"""How the disk calls them, in traces and for faults."""

_SHORT_WRITES = 0.05
_SECTOR = 512


class Files:
    """`spool_folder` and `limits_file` are those of the server's settings; both lie in `folder`."""

    def __init__(self, folder: Path, spool_folder: Path, limits_file: Path, disk: Disk, random: Random) -> None:
        self._folder = folder
        self._spool_folder = spool_folder
        self._limits_file = limits_file
        self._disk = disk
        self._random = random
        # By inode: how much of a segment is durable.
        self._synced_bytes: dict[int, int] = {}
        self._synced_limits = b""

    def calls(self, life: Life) -> SystemCalls:
        """The system calls of a life."""
        return SystemCalls(
            write=lambda fd, data: self._write(life, fd, data),
            fsync=lambda fd: self._sync_log(life, fd),
            fdatasync=lambda fd: self._sync_limits(life, fd),
            allocate=lambda fd, offset, size: self._allocate(life, fd, offset, size),
            remove=lambda path: self._remove(life, path),
        )

    def bury(self) -> None:
        """Close what an ended life has left open."""
        for name in os.listdir("/proc/self/fd"):
            try:
                is_ours = os.readlink(f"/proc/self/fd/{name}").startswith(f"{self._folder}/")
            except OSError:
                continue  # the one the list was read by
            if is_ours:
                os.close(int(name))

    def lose_power(self) -> None:
        """Leave what a loss of power leaves."""
        for path in sorted(self._spool_folder.glob("*.jsonl")):
            stat = path.stat()
            synced = min(self._synced_bytes.get(stat.st_ino, 0), stat.st_size)
            os.truncate(path, self._random.randint(synced, stat.st_size))
        if self._limits_file.exists():
            self._limits_file.write_bytes(self._mixed(self._limits_file.read_bytes()))

    def _mixed(self, content: bytes) -> bytes:
        """The counters, each sector as it was synced or as it was stored later."""
        synced = self._synced_limits.ljust(len(content), b"\0")
        if synced == content:
            return content
        mixed = bytearray(content)
        for start in range(0, len(content), _SECTOR):
            part = slice(start, start + _SECTOR)
            if content[part] != synced[part] and self._random.random() < 0.5:
                mixed[part] = synced[part]
        return bytes(mixed)

    def _write(self, life: Life, fd: int, data: bytes) -> int:
        size = len(data)
        outcome = self._disk.change(Change.WRITE, VERIFICATION_LOG, life, size, grows=True)
        if outcome is Outcome.DONE:
            wanted = self._random.randrange(size) + 1 if self._random.random() < _SHORT_WRITES else size
            return os.write(fd, data[:wanted])
        if outcome is Outcome.DEAD:
            _refuse(life, outcome)
        part = self._disk.part(size)
        written = os.write(fd, data[:part]) if part else 0
        if life.is_dead or not written:
            _refuse(life, outcome)
        return written

    def _sync_log(self, life: Life, fd: int) -> None:
        outcome = self._disk.change(Change.SYNC, VERIFICATION_LOG, life)
        if outcome is not Outcome.DONE:
            _refuse(life, outcome)
        stat = os.fstat(fd)
        self._synced_bytes[stat.st_ino] = stat.st_size

    def _sync_limits(self, life: Life, fd: int) -> None:
        outcome = self._disk.change(Change.SYNC, LIMITS, life)
        if outcome is not Outcome.DONE:
            _refuse(life, outcome)
        self._synced_limits = os.pread(fd, os.fstat(fd).st_size, 0)

    def _allocate(self, life: Life, fd: int, offset: int, size: int) -> None:
        outcome = self._disk.change(Change.WRITE, LIMITS, life, offset, size, grows=True)
        if outcome is not Outcome.DONE:
            _refuse(life, outcome)
        os.posix_fallocate(fd, offset, size)

    def _remove(self, life: Life, path: Path) -> None:
        outcome = self._disk.change(Change.DELETE, VERIFICATION_LOG, life)
        if outcome is not Outcome.DONE:
            _refuse(life, outcome)
        path.unlink()


def _refuse(life: Life, outcome: Outcome) -> NoReturn:
    """Raise what the system call raises, or what ends the caller with its process."""
    if life.is_dead and not life.is_unwinding:
        raise LifeEnded
    number = errno.ENOSPC if outcome is Outcome.FULL else errno.EIO
    raise OSError(number, os.strerror(number))
