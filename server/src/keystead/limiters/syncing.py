"""Makes counters safe against power loss, a moment after they change and beside the calls that change them."""

import structlog

from keystead.limiters.slots import Slots
from keystead.threads import SYSTEM_THREADS, Running, Threads

_log = structlog.get_logger(__name__)


class Syncing:
    """A thread that syncs `slots` every `interval_s` seconds if anything has changed."""

    def __init__(self, slots: Slots, *, interval_s: float = 0.05, threads: Threads = SYSTEM_THREADS) -> None:
        self._slots = slots
        self._interval_s = interval_s
        self._threads = threads
        self._stopping = threads.event()
        self._thread: Running | None = None
        self._is_failing = False

    def start(self) -> None:
        """Begin to sync in the background."""
        self._thread = self._threads.start(self._run, "limits-sync")

    def stop(self) -> None:
        """End the thread and let go of the file; what could not be synced is reported."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        try:
            self._slots.close()
        except OSError as error:
            _log.error("limits_not_synced", error=str(error))

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._sync()

    def _sync(self) -> None:
        try:
            self._slots.sync()
        except OSError as error:
            # Told once, not twenty times a second.
            if not self._is_failing:
                self._is_failing = True
                _log.error("limits_not_synced", error=str(error))
            return
        if self._is_failing:
            self._is_failing = False
            _log.info("limits_synced_again")
