"""A disk in memory that can fail, fill up, be slow, and lose what was not synced when the power goes.

Every file has two states: what the processes see, and what would be there after a loss of power. A write changes the
first one at once; `sync` carries it to the second. When the power goes, of the writes since then any subset has reached
the disk, each in any of its sectors. A killed process loses nothing it has written; the write it was in the middle of
stops at any byte.

A change (write, truncate, sync, delete, and what the verification log writes) is numbered in `changes`, and the server
can be killed in the middle of any of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from threading import get_ident

from proof.simulation.scheduler import Life, Scheduler

_SECTOR = 512

_READS_SEEN = 0.02
"""The share of reads that are steps; each would make most of a run."""


class Change(Enum):
    """What can be done to a disk, and fail."""

    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"


class Outcome(Enum):
    """What became of it."""

    DONE = 0
    FAILED = 1
    FULL = 2
    KILLED = 3
    """It was under way when the process was killed."""
    DEAD = 4
    """The process that asks is no more."""


@dataclass
class Fault:
    """The next `count` changes of that kind (any when None) to files whose name ends so fail."""

    change: Change | None
    name_ends: str
    count: int


class File:
    """A file: `data` as processes see it, `durable` as a loss of power leaves it, None when not even the name is."""

    def __init__(self, name: str, *, syncs_folder: bool) -> None:
        self.name = name
        self.data = bytearray()
        self.durable: bytearray | None = None
        self.unsynced: list[tuple[int, bytes | None]] = []
        """Since the last sync, in order: bytes at an offset, or None for the end of the file there."""
        self.syncs_folder = syncs_folder
        """The first sync makes the names in the folder durable as well."""

    def write(self, offset: int, data: bytes) -> None:
        """As processes see it."""
        if data:
            _put(self.data, offset, data)
            self.unsynced.append((offset, data))

    def truncate(self, size: int) -> None:
        """As processes see it."""
        _cut(self.data, size)
        self.unsynced.append((size, None))

    def sync(self) -> None:
        """Make what processes see durable."""
        if self.durable is None:
            self.durable = bytearray(self.data)
        else:
            for offset, data in self.unsynced:
                if data is None:
                    _cut(self.durable, offset)
                else:
                    _put(self.durable, offset, data)
        self.unsynced.clear()

    def sync_partly(self, random: Random) -> None:
        """Some of what was written becomes durable; the rest never will, unless it is written again."""
        durable = bytearray() if self.durable is None else self.durable
        for offset, data in self.unsynced:
            if data is None:
                if random.random() < 0.5:
                    _cut(durable, offset)
                continue
            for start, end in _sectors(offset, len(data)):
                if random.random() < 0.5:
                    _put(durable, start, data[start - offset : end - offset])
        self.durable = durable
        self.unsynced.clear()

    def lose_power(self, random: Random) -> None:
        """Become what the loss of power leaves."""
        self.sync_partly(random)
        assert self.durable is not None
        self.data = bytearray(self.durable)


class Disk:
    """The files of a world. `on_crash` kills the server."""

    def __init__(self, scheduler: Scheduler, random: Random, on_crash: Callable[[bool], None]) -> None:
        self.changes = 0
        """How many changes there were since the world began."""
        self.is_full = False
        self.failure_rate = 0.0
        """The share of changes that fail."""
        self.longest_sync_us = 2_000
        """A sync takes up to that long."""
        self._scheduler = scheduler
        self._random = random
        self._on_crash = on_crash
        self._files: dict[str, File] = {}
        self._deleted: dict[str, File] = {}
        self._faults: list[Fault] = []
        self._crash_at: int | None = None
        self._power_loss = False

    # ---- what scenarios plan

    def fill(self) -> None:
        """From now on no file can grow."""
        self._note("full")
        self.is_full = True

    def free(self) -> None:
        """There is space again."""
        self._note("free")
        self.is_full = False

    def fail_next(self, change: Change | None = None, name_ends: str = "", count: int = 1) -> None:
        """Let the next changes of that kind to such files fail, with part of them done."""
        self._note("will fail", change.value if change else "any", name_ends, count)
        self._faults.append(Fault(change, name_ends, count))

    def crash_at_change(self, number: int, *, power_loss: bool = False) -> None:
        """Kill the server in the middle of the change with that number, counted from now (1: the next one)."""
        self._note("crash at", number)
        self._crash_at = self.changes + number
        self._power_loss = power_loss

    def forget_plans(self) -> None:
        """No more crashes and failures; the disk is as full as it is."""
        self._faults.clear()
        self._crash_at = None
        self.failure_rate = 0.0

    # ---- what is done to it

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._files

    def open(self, name: str, *, create: bool, syncs_folder: bool) -> File | None:
        """The file, made if need be and wanted."""
        file = self._files.get(name)
        if file is None and create:
            file = File(name, syncs_folder=syncs_folder)
            self._files[name] = file
        return file

    def names(self) -> list[str]:
        """Of all files."""
        return sorted(self._files)

    def put(self, name: str, content: bytes) -> None:
        """A file that has been there for long."""
        file = self._files[name] = File(name, syncs_folder=False)
        file.write(0, content)
        file.sync()

    def content(self, name: str) -> bytes:
        """What processes see in a file."""
        return bytes(self._files[name].data)

    def copy(self, name: str, to: str) -> None:
        """Another file with what processes see in the first; nothing if there is none."""
        if name in self._files:
            self._files[to] = File(to, syncs_folder=False)
            self._files[to].data = bytearray(self._files[name].data)

    def forget(self, name: str) -> None:
        """Remove a file that no server knows of."""
        self._files.pop(name, None)

    def read(self, file: File, offset: int, size: int, life: Life | None) -> bytes | None:
        """Up to `size` bytes; None when the process that asks is no more."""
        if life is not None and life.is_dead:
            return None
        if self._random.random() < _READS_SEEN and not self.step():
            return None
        return bytes(file.data[offset : offset + size])

    def write(self, file: File, offset: int, data: bytes, life: Life | None) -> Outcome:
        """Write, or do part of it and fail."""
        grows = offset + len(data) > len(file.data)
        outcome = self._begin(Change.WRITE, file.name, life, offset, len(data), grows=grows)
        if outcome is Outcome.DONE:
            file.write(offset, data)
        elif outcome is not Outcome.DEAD:
            file.write(offset, data[: self.part(len(data))])
        return outcome

    def truncate(self, file: File, size: int, life: Life | None) -> Outcome:
        """Cut a file off, or leave it and fail."""
        outcome = self._begin(Change.TRUNCATE, file.name, life, size)
        if self._is_done(outcome):
            file.truncate(size)
        return outcome

    def sync(self, file: File, life: Life | None) -> Outcome:
        """Make a file durable, or part of it and fail."""
        outcome = self._begin(Change.SYNC, file.name, life)
        if outcome is Outcome.DONE:
            file.sync()
            if file.syncs_folder:
                file.syncs_folder = False
                self.sync_folder()
        elif outcome is Outcome.FAILED:
            # Of a process that was killed meanwhile the system goes on to keep what it has written.
            file.sync_partly(self._random)
        return outcome

    def delete(self, name: str, life: Life | None, *, durably: bool) -> Outcome:
        """Remove a file, or leave it and fail."""
        outcome = self._begin(Change.DELETE, name, life)
        if self._is_done(outcome):
            file = self._files.pop(name)
            if not durably and file.durable is not None:
                self._deleted[name] = file
            elif durably:
                self.sync_folder()
        return outcome

    def sync_folder(self) -> None:
        """Make the names durable."""
        self._deleted.clear()
        for file in self._files.values():
            if file.durable is None:
                file.durable = bytearray()

    def lose_power(self) -> None:
        """Leave what a loss of power leaves."""
        for name, file in self._deleted.items():
            if name not in self._files and self._random.random() < 0.5:
                self._files[name] = file
        self._deleted.clear()
        for name, file in list(self._files.items()):
            if file.durable is None and self._random.random() < 0.5:
                del self._files[name]
            else:
                file.lose_power(self._random)

    def change(self, change: Change, name: str, life: Life | None, *details: object, grows: bool = False) -> Outcome:
        """A change to a file that is kept elsewhere: a step, a number, perhaps a failure or the crash."""
        return self._begin(change, name, life, *details, grows=grows)

    def part(self, size: int) -> int:
        """How much of an interrupted write is done: often nothing or nearly all."""
        return min(size, max(0, self._random.choice((0, self._random.randrange(size + 1), size - 1))))

    def step(self) -> bool:
        """A step that changes nothing, such as taking a lock; False when the life has ended."""
        return self._is_outside() or self._scheduler.yield_()

    # ---- inside

    def _begin(self, change: Change, name: str, life: Life | None, *details: object, grows: bool = False) -> Outcome:
        if life is not None and life.is_dead:
            return Outcome.DEAD
        if life is None or self._is_outside():
            return Outcome.DONE
        scheduler = self._scheduler
        if change is Change.SYNC:
            # Most syncs are quick; now and then one takes as long as it may.
            scheduler.pause(round(self.longest_sync_us * self._random.random() ** 3))
        else:
            scheduler.yield_()
        self.changes += 1
        scheduler.trace.add(scheduler.now_us, scheduler.current.name, change.value, name, *details)
        if self._crash_at is not None and self.changes >= self._crash_at and not life.is_dead:
            self._crash_at = None
            self._on_crash(self._power_loss)
        if life.is_dead:
            return Outcome.KILLED
        if self._fails(change, name):
            return Outcome.FAILED
        return Outcome.FULL if grows and self.is_full else Outcome.DONE

    def _is_done(self, outcome: Outcome) -> bool:
        """For changes of which no part can be done."""
        return outcome is Outcome.DONE or (outcome is Outcome.KILLED and self._random.random() < 0.5)

    def _fails(self, change: Change, name: str) -> bool:
        for fault in self._faults:
            if fault.change in (None, change) and name.endswith(fault.name_ends):
                fault.count -= 1
                if not fault.count:
                    self._faults.remove(fault)
                return True
        return self.failure_rate > 0 and self._random.random() < self.failure_rate

    def _is_outside(self) -> bool:
        """Whether somebody asks who is no server: a look at the files from outside is one step."""
        me = self._scheduler.current
        # A connection may be closed by the collector, on any thread.
        return me.life is None or me.ident != get_ident()

    def _note(self, *what: object) -> None:
        self._scheduler.trace.add(self._scheduler.now_us, "disk", *what)


def _sectors(offset: int, size: int) -> list[tuple[int, int]]:
    """The parts of [offset, offset + size) that are written or not."""
    first = offset - offset % _SECTOR
    starts = range(first, offset + size, _SECTOR)
    return [(max(start, offset), min(start + _SECTOR, offset + size)) for start in starts]


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _cut(content: bytearray, size: int) -> None:
    if size < len(content):
        del content[size:]
