"""Counters of windows: exact on one node, each window counted on its own, and kept over a restart.

A counter is found by scope, name, duration and window number, so a clock that steps back meets the counter it left
behind and nobody is given a window twice. Expired counters go as new ones come, a few at a time.

Decisions are made from memory. What they store goes to `Slots`, which may lie in a file; there a counter is known by a
digest, and one that an earlier process left is recognised when it is asked for the first time.
"""

from array import array
from collections.abc import Sequence
from hashlib import blake2b
from heapq import heappop, heappush

from keystead.core.window import LimitDemand, LimitReading, accepts, reading, window_at
from keystead.limiters.counter_file import CHUNK_WORDS, SLOT_WORDS, UnreadableCounters
from keystead.limiters.slots import CHUNK_BITS, IN_CHUNK, LARGEST_WORD, Slots

_Counter = tuple[str, str, int, int]

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
        self._owners: list[_Counter | None] = []  # by slot; None for those that were not asked for since the start
        # Windows of one duration end together, so there are few instants for many counters.
        self._expiring: dict[int, array[int]] = {}
        self._instants: list[int] = []
        try:
            self._recover(now_ms)
        except UnreadableCounters as reason:
            self._recovered.clear()
            self._owners.clear()
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

    def _take(self, demand: LimitDemand, now_ms: int) -> LimitReading:
        window = window_at(now_ms, demand.duration_ms)
        counter = (demand.scope_id, demand.name, demand.duration_ms, window)
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
        digest = _digest(counter)
        if self._recovered:
            place = self._recovered.pop(digest, None)
            if place is not None:
                self._own(place, counter)
                return self._take(demand, now_ms)
        self._forget_expired(now_ms)
        accepted, used, window = accepts(0, demand), 0, counter[3]
        if accepted and demand.cost:
            used = demand.cost
            expires_ms = min((window + 1) * demand.duration_ms, LARGEST_WORD)
            place = self._slots.occupy(digest, expires_ms, used, now_ms)
            self._own(place, counter)
            self._expire_at(expires_ms, place)
        return reading(demand, accepted, used, window)

    def _own(self, place: int, counter: _Counter) -> None:
        self._places[counter] = place
        slot = place // SLOT_WORDS
        if slot == len(self._owners):
            self._owners.append(counter)
        else:
            self._owners[slot] = counter

    def _expire_at(self, expires_ms: int, place: int) -> None:
        places = self._expiring.get(expires_ms)
        if places is None:
            places = self._expiring[expires_ms] = array("q")
            heappush(self._instants, expires_ms)
        places.append(place)

    def _forget_expired(self, now_ms: int) -> None:
        # Two for each new counter: the number kept follows the number in use, and no call pays for a sweep.
        for _ in range(2):
            if not self._instants or self._instants[0] + _GRACE_MS > now_ms:
                return
            places = self._expiring[self._instants[0]]
            self._forget(places.pop())
            if not places:
                del self._expiring[heappop(self._instants)]

    def _forget(self, place: int) -> None:
        slot = place // SLOT_WORDS
        owner, self._owners[slot] = self._owners[slot], None
        if owner is None:
            self._recovered.pop(self._slots.digest(place), None)
        else:
            del self._places[owner]
        self._slots.release(place)

    def _recover(self, now_ms: int) -> None:
        for places, expiries, digests in self._slots.load(now_ms - _GRACE_MS):
            self._recovered.update(zip(digests, places, strict=True))
            for place, expires_ms in zip(places, expiries, strict=True):
                self._expire_at(expires_ms, place)
        self._owners.extend([None] * (len(self._chunks) * CHUNK_WORDS // SLOT_WORDS))


def _digest(counter: _Counter) -> bytes:
    scope_id, name, duration_ms, window = counter
    # The length says where the scope ends: no two counters are written alike.
    text = f"{duration_ms}:{window}:{len(scope_id)}:{scope_id}{name}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
