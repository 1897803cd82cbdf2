"""What hostile input may not do to a process behind the scenes: grow it, use up its files, make it complain."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import structlog

from proof.fuzz.violation import Violation

_MIB = 2**20
_FILES_OF_DATABASE = 24
_IDLE_CLIENTS = 10


class Watch:
    """Watches a server process. Memory counts from `warmed_up` on: before, caches and arenas fill."""

    def __init__(self, pid: int, log: Path, bound_mib: float) -> None:
        """`log` is where the process writes its log; memory may grow by `bound_mib`."""
        self._process = Path(f"/proc/{pid}")
        self._log = log
        self._bound_mib = bound_mib
        self._first_mib: float | None = None
        self._first_sockets, self._first_files = self.open()

    def memory_mib(self) -> float:
        """Resident memory."""
        return int((self._process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB

    def open(self) -> tuple[int, int]:
        """How many sockets, and how many other files, are open."""
        sockets = files = 0
        for entry in (self._process / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if str(entry.readlink()).startswith("socket:"):
                    sockets += 1
                else:
                    files += 1
        return sockets, files

    def warmed_up(self) -> None:
        """Memory may not grow much from here on."""
        self._first_mib = self.memory_mib()

    @property
    def growth_mib(self) -> float:
        """Memory gained since it was warm."""
        return 0.0 if self._first_mib is None else self.memory_mib() - self._first_mib

    def require_silence(self) -> None:
        """Violation if the log holds an error or a traceback."""
        require_no_errors(self._log)

    def require_bounds(self) -> None:
        """Violation if memory has grown beyond its bound."""
        if self.growth_mib > self._bound_mib:
            raise Violation(f"memory has grown by {self.growth_mib:.1f} MiB, allowed are {self._bound_mib:.0f}")

    async def require_files_returned(self, patience_s: float = 20.0) -> None:
        """Violation if, after a while, more sockets are open than at first, or files other than the database's."""
        deadline = time.monotonic() + patience_s
        while True:
            sockets, files = self.open()
            # Our own idle clients; the database is opened by each thread that reads it.
            if sockets <= self._first_sockets + _IDLE_CLIENTS and files <= self._first_files + _FILES_OF_DATABASE:
                return
            if time.monotonic() > deadline:
                raise Violation(
                    f"{sockets} sockets and {files} files are open, {self._first_sockets} and "
                    f"{self._first_files} at the start"
                )
            await asyncio.sleep(0.2)


@contextlib.contextmanager
def complaints_of_this_process() -> Iterator[list[str]]:
    """What servers in this process log as an error meanwhile, and what the running event loop complains of."""
    complaints: list[str] = []

    def note(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        complaints.append(repr(dict(event)))
        raise structlog.DropEvent

    loop = asyncio.get_running_loop()
    previous = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, note],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    loop.set_exception_handler(lambda _loop, context: complaints.append(repr(context)))
    try:
        yield complaints
    finally:
        loop.set_exception_handler(None)
        structlog.configure(**previous)


def require_no_errors(log: Path) -> None:
    """Violation if a log of JSON lines holds an error or a traceback."""
    for line in log.read_text(errors="replace").splitlines():
        if '"level": "error"' in line or '"level": "critical"' in line or "Traceback" in line:
            raise Violation(f"the log complains: {line[:3000]}")
