"""Counters in memory: exact on one node, each window counted on its own.

A counter is found by scope, name, duration and window number, so a clock that steps back meets the counter it left
behind and nobody is given a window twice. Expired counters go as new ones come, a few at a time.
"""

from collections.abc import Sequence
from heapq import heappop, heappush

from keystead.core.window import LimitDemand, LimitReading, accepts, reading, window_at

_Counter = tuple[str, str, int, int]

_GRACE_MS = 60_000
"""How long an expired counter is kept, for clocks that are set back."""


class MemoryLimiter:
    """`ports.Limiter` in this process's memory."""

    def __init__(self) -> None:
        self._used: dict[_Counter, int] = {}
        self._expiry: list[tuple[int, _Counter]] = []

    def take(self, demands: Sequence[LimitDemand], now_ms: int) -> list[LimitReading]:
        """See `ports.Limiter.take`; atomic because it never suspends."""
        return [self._take(demand, now_ms) for demand in demands]

    def __len__(self) -> int:
        return len(self._used)

    def _take(self, demand: LimitDemand, now_ms: int) -> LimitReading:
        window = window_at(now_ms, demand.duration_ms)
        counter = (demand.scope_id, demand.name, demand.duration_ms, window)
        used = self._used.get(counter)
        if used is None:
            used = 0
            self._forget_expired(now_ms)
        accepted = accepts(used, demand)
        if accepted and demand.cost:
            if used == 0:
                heappush(self._expiry, ((window + 1) * demand.duration_ms, counter))
            used += demand.cost
            self._used[counter] = used
        return reading(demand, accepted, used, window)

    def _forget_expired(self, now_ms: int) -> None:
        # Two for each new counter: the number kept follows the number in use, and no call pays for a sweep.
        for _ in range(2):
            if not self._expiry or self._expiry[0][0] + _GRACE_MS > now_ms:
                return
            self._used.pop(heappop(self._expiry)[1], None)
