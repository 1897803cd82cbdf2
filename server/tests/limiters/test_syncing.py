"""Counters are made safe against power loss soon after they change, and at the end."""

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keystead.assembly import Application, Outside, SystemCalls, open_application, open_storage
from keystead.config import Settings
from keystead.core.window import LimitDemand
from keystead.limiters.counter_file import CounterFile
from keystead.limiters.slots import Slots
from keystead.limiters.syncing import Syncing
from keystead.limiters.windows import WindowLimiter


class Disk:
    """The system call that syncs, counted; it fails while `is_broken`."""

    def __init__(self) -> None:
        self.is_broken = False
        self.syncs = threading.Semaphore(0)
        self.failures = threading.Semaphore(0)

    def sync(self, _fd: int) -> None:
        if self.is_broken:
            self.failures.release()
            raise OSError(5, "Input/output error")
        self.syncs.release()


def syncing(folder: Path, disk: Disk) -> tuple[WindowLimiter, Syncing]:
    slots = Slots(CounterFile(folder / "limits", sync=disk.sync))
    assert disk.syncs.acquire(timeout=0)  # the header
    return WindowLimiter(slots), Syncing(slots, interval_s=0.001)


def take(limiter: WindowLimiter) -> None:
    limiter.take([LimitDemand("a", "key_1", 1_000_000, 1000)], 0)


def test_every_change_is_synced(tmp_path: Path) -> None:
    """A new counter and one that grows are synced without a call for it; while nothing changes nothing is."""
    disk = Disk()
    limiter, background = syncing(tmp_path, disk)
    background.start()
    for _ in range(3):
        take(limiter)
        assert disk.syncs.acquire(timeout=60)
    assert not disk.syncs.acquire(timeout=0.05)
    background.stop()


def test_the_end_syncs(tmp_path: Path) -> None:
    """What changed last is safe when `stop` has returned, whether the thread had come to it or not."""
    disk = Disk()
    limiter, background = syncing(tmp_path, disk)
    take(limiter)
    background.stop()
    assert disk.syncs.acquire(timeout=0)


def test_a_disk_that_does_not_sync_is_told_once_and_tried_again(tmp_path: Path) -> None:
    """Calls go on, the log says it once, and what changed meanwhile is synced when the disk does it again."""
    disk = Disk()
    limiter, background = syncing(tmp_path, disk)
    disk.is_broken = True
    with capture_logs() as logs:
        background.start()
        take(limiter)
        for _ in range(3):
            assert disk.failures.acquire(timeout=60)
        disk.is_broken = False
        assert disk.syncs.acquire(timeout=60)
        background.stop()
    assert [entry["event"] for entry in logs] == ["limits_not_synced", "limits_synced_again"]


@pytest.mark.parametrize("is_full", [True, False])
def test_an_end_that_loses_counters_is_told_by_the_exit_code(tmp_path: Path, is_full: bool) -> None:
    """Counters without room in their file at the end count as something lost, as events and audit entries do."""

    def allocate(fd: int, offset: int, length: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(fd, offset, length)

    settings = Settings(database_url=str(tmp_path / "keystead.db"))
    outside = Outside(calls=SystemCalls(allocate=allocate))

    async def live() -> Application:
        async with open_storage(settings, outside) as storage, open_application(storage) as application:
            take(application.limiter)
            assert not application.has_lost
        return application

    assert asyncio.run(live()).has_lost is is_full
