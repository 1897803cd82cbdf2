"""Counters of windows: exact on one node, each window counted on its own, and kept over a restart.

A counter is found by scope, name, duration and window number, so a clock that steps back meets the counter it left
behind and nobody is given a window twice. Expired counters go as new ones come, a few at a time.

Decisions are made from memory. What they store goes to `Slots`, which may lie in a file; there a counter is known by a
digest, and one that an earlier process left is recognised when it is asked for the first time.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from heapq import heappop, heappush

from keystead.core.window import LimitDemand, LimitReading, accepts, reading, window_at
from keystead.limiters.counter_file import UnreadableCounters
from keystead.limiters.slots import CHUNK_BITS, IN_CHUNK, Slots

_Counter = tuple[str, str, int, int]

_NUMBERS = struct.Struct("=qqq")

_LONGEST_NAME = 128
"""Whoever has one valid key names limits as they like: what stands for a longer name must not be as long."""

_GRACE_MS = 60_000
"""How long an expired counter is kept, for clocks that are set back."""


class WindowLimiter:
    """`ports.Limiter` with its counters in `slots`; it begins with those that are there at `now_ms`.

    Raises StartupError when the slots' file is damaged and no other one can be made.
    """

    def __init__(self, slots: Slots | None = None, now_ms: int = 0) -> None:
        self._slots = slots or Slots()
        self._chunks = self._slots.chunks
        self._places: dict[_Counter, int] = {}
        self._recovered: dict[bytes, int] = {}
        # Windows of one duration end together, so there are few instants for many counters. A digest stands for a
        # counter that nobody had asked for yet.
        self._expiring: dict[int, list[_Counter | bytes]] = {}
        self._instants: list[int] = []
        try:
            self._recover(now_ms)
        except UnreadableCounters as reason:
            self._recovered.clear()
            self._expiring.clear()
            self._instants.clear()
            self._slots.begin_anew(reason)

    def take(self, demands: Sequence[LimitDemand], now_ms: int) -> list[LimitReading]:
        """See `ports.Limiter.take`; atomic because it never suspends."""
        return [self._take(demand, now_ms) for demand in demands]

    def __len__(self) -> int:
        """How many counters there are."""
        return len(self._places) + len(self._recovered)

    @property
    def counters_in_memory(self) -> int:
        """How many of them an end of the process would lose, as their file has no room."""
        return self._slots.counters_in_memory

    @property
    def lost_counters(self) -> int:
        """How many the orderly end found no room for in their file."""
        return self._slots.lost

    def _take(self, demand: LimitDemand, now_ms: int) -> LimitReading:
        window = window_at(now_ms, demand.duration_ms)
        name = demand.name
        if len(name) > _LONGEST_NAME:
            name = _shortened(name)
        counter = (demand.scope_id, name, demand.duration_ms, window)
        place = self._places.get(counter)
        if place is None:
            return self._take_first(counter, demand, now_ms)
        chunk, at = self._chunks[place >> CHUNK_BITS], place & IN_CHUNK
        used: int = chunk[at]
        accepted = accepts(used, demand)
        if accepted and demand.cost:
            used += demand.cost
            chunk[at] = used
            self._slots.is_changed = True
        return reading(demand, accepted, used, window)

    def _take_first(self, counter: _Counter, demand: LimitDemand, now_ms: int) -> LimitReading:
        """Answer for a counter that this process has not used yet."""
        window = counter[3]
        digest = _digest(counter)
        expires_ms = (window + 1) * demand.duration_ms
        if self._recovered:
            place = self._recovered.pop(digest, None)
            if place is not None:
                self._places[counter] = place
                self._expiring_at(expires_ms).append(counter)
                return self._take(demand, now_ms)
        self._forget_expired(now_ms)
        accepted, used = accepts(0, demand), 0
        if accepted and demand.cost:
            used = demand.cost
            self._places[counter] = self._slots.occupy(digest, expires_ms, used, now_ms)
            self._expiring_at(expires_ms).append(counter)
        return reading(demand, accepted, used, window)

    def _expiring_at(self, expires_ms: int) -> list[_Counter | bytes]:
        expiring = self._expiring.get(expires_ms)
        if expiring is None:
            expiring = self._expiring[expires_ms] = []
            heappush(self._instants, expires_ms)
        return expiring

    def _forget_expired(self, now_ms: int) -> None:
        # Two for each new counter: the number kept follows the number in use, and no call pays for a sweep.
        for _ in range(2):
            if not self._instants or self._instants[0] + _GRACE_MS > now_ms:
                return
            expiring = self._expiring[self._instants[0]]
            self._forget(expiring.pop())
            if not expiring:
                del self._expiring[heappop(self._instants)]

    def _forget(self, counter: _Counter | bytes) -> None:
        # A digest that is not there any more is of a counter that was asked for: it expires under its name.
        place = self._recovered.pop(counter, None) if isinstance(counter, bytes) else self._places.pop(counter)
        if place is not None:
            self._slots.release(place)

    def _recover(self, now_ms: int) -> None:
        for places, expiries, digests in self._slots.load(now_ms - _GRACE_MS):
            self._recovered.update(zip(digests, places, strict=True))
            for digest, expires_ms in zip(digests, expiries, strict=True):
                self._expiring_at(expires_ms).append(digest)


def _shortened(name: str) -> str:
    # Longer than any name that is kept as it is: the two can not be equal.
    return "#" + blake2b(name.encode("utf-8", "surrogatepass")).hexdigest()


def _digest(counter: _Counter) -> bytes:
    scope_id, name, duration_ms, window = counter
    # The length says where the scope ends: no two counters are written alike.
    numbers = _NUMBERS.pack(duration_ms, window, len(scope_id))
    return blake2b(numbers + (scope_id + name).encode("utf-8", "surrogatepass")).digest()[:16]
