"""When counts are let go of: looked at after the rounds of the transfer, in its thread, a little at a time."""

from collections.abc import Callable, Mapping
from typing import Protocol

from keystead.clock import Clock
from keystead.core.series import Slice, kept_from

_ROWS_PER_STEP = 2_000
_STEPS_PER_RUN = 20


class Keeper(Protocol):
    """What holds the counts."""

    def keep(self, days: Mapping[Slice, int], now_ms: int) -> bool:
        """Let go of slices older than so many days; True if there is something more to delete than before."""

    def delete_some(self, max_rows: int) -> int:
        """Delete at most so many rows of slices that are not kept; how many they were, 0 when none are left."""


class Upkeep:
    """Keeps the counts of each length of slice for so many days, 0 for ever."""

    def __init__(self, counts: Keeper, clock: Clock, days: Mapping[Slice, int]) -> None:
        self._counts = counts
        self._clock = clock
        self._days = days
        self._kept_from: list[int] | None = None
        self._has_leftovers = True  # an earlier process may have ended in the middle

    def run(self, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Delete a bounded number of rows, in transactions of a few milliseconds; True if there may be more.

        Raises what the counts raise; nothing is lost by that but time.
        """
        now_ms = self._clock.now_ms()
        wanted = [kept_from(now_ms, slice_, self._days[slice_]) for slice_ in Slice]
        if wanted != self._kept_from:
            self._has_leftovers |= self._counts.keep(self._days, now_ms)
            self._kept_from = wanted
        for _ in range(_STEPS_PER_RUN):
            if not self._has_leftovers or is_stopping():
                break
            self._has_leftovers = self._counts.delete_some(_ROWS_PER_STEP) > 0
        return self._has_leftovers
