"""What it costs that rate limits outlive a restart: `python -m benchmarks.limiter`, half a minute.

Times one `take` of the limiter with its counters in a file, of the same one in memory alone, and of a limiter that has
nothing but a dictionary, as ours had before: processor time of the thread that takes, so that other work on the machine
disturbs little. Rounds alternate; the least of each counts. Where a thread syncs meanwhile it is the median, because
what that costs is not in the least.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from pathlib import Path

from keystead.core.window import LimitDemand, LimitReading, accepts, reading, window_at
from keystead.limiters.counter_file import CounterFile
from keystead.limiters.slots import Slots
from keystead.limiters.syncing import Syncing
from keystead.limiters.windows import WindowLimiter
from keystead.ports import Limiter

ROUNDS = 40
CALLS = 10_000
COUNTERS = 5_000
OPEN_WINDOWS = 1_000_000
NOW_MS = 1_767_225_630_000
DAY_MS = 86_400_000
GRACE_MS = 60_000

_Counter = tuple[str, str, int, int]


class DictionaryLimiter:
    """What is compared with: the counters of this process in a dictionary, gone when it ends."""

    def __init__(self) -> None:
        self._used: dict[_Counter, int] = {}
        self._expiry: list[tuple[int, _Counter]] = []

    def take(self, demands: Sequence[LimitDemand], now_ms: int) -> list[LimitReading]:
        """See `ports.Limiter.take`."""
        return [self._take(demand, now_ms) for demand in demands]

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
        for _ in range(2):
            if not self._expiry or self._expiry[0][0] + GRACE_MS > now_ms:
                return
            self._used.pop(heappop(self._expiry)[1], None)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        number = 0

        def in_file() -> WindowLimiter:
            nonlocal number
            number += 1
            return WindowLimiter(Slots(CounterFile(Path(folder) / f"limits-{number}")), NOW_MS)

        kinds: dict[str, Callable[[], Limiter]] = {
            "dictionary": DictionaryLimiter,
            "in memory": WindowLimiter,
            "in a file": in_file,
        }
        print(f"ns a take, {CALLS} takes a round, {ROUNDS} rounds; beside the dictionary's in parentheses")
        _show("a counter in use", _rounds(kinds, [_demands(1) * CALLS]), min)
        _show(f"one of {COUNTERS} in use, at random", _rounds(kinds, [_at_random()]), min)

        _show("new counters", _rounds(kinds, (_demands(CALLS, f"{n}") for n in range(ROUNDS)), warm=False), min)
        _show("expired ones in their places", _rounds(kinds, _windows(), step_ms=200_000), min)

        slots = Slots(CounterFile(Path(folder) / "limits-synced"))
        limiter = WindowLimiter(slots, NOW_MS)
        kinds["synced"] = lambda: limiter
        syncing = Syncing(slots)
        syncing.start()
        figures = _rounds(kinds, [_at_random()], pace_s=0.0005)
        _show(f"one of {COUNTERS} at random, 100 at a time, the median", figures, statistics.median)
        syncing.stop()
        _show_start(Path(folder) / "limits-many")


def _show_start(path: Path) -> None:
    limiter = WindowLimiter(Slots(CounterFile(path)), NOW_MS)
    for demand in _demands(OPEN_WINDOWS):
        limiter.take(demand, NOW_MS)
    del limiter
    taken = []
    for _ in range(3):
        before = time.thread_time()
        limiter = WindowLimiter(Slots(CounterFile(path)), NOW_MS)
        taken.append(time.thread_time() - before)
        del limiter
    print(f"a start with {OPEN_WINDOWS} open windows: {min(taken):.2f} s", flush=True)


def _demands(count: int, prefix: str = "") -> list[tuple[LimitDemand]]:
    return [(LimitDemand("requests", f"key_3ZFTVMJ69MaQg71pn8{prefix}_{n}", 10**9, DAY_MS),) for n in range(count)]


def _at_random() -> list[tuple[LimitDemand]]:
    generator, demands = random.Random(1), _demands(COUNTERS)
    return [*demands, *(generator.choice(demands) for _ in range(CALLS - len(demands)))]


def _windows() -> Iterable[list[tuple[LimitDemand]]]:
    return [[(LimitDemand("requests", f"key_3ZFTVMJ69MaQg71pn8_{n}", 10**9, 100_000),) for n in range(CALLS)]]


def _rounds(
    kinds: dict[str, Callable[[], Limiter]],
    demands: Iterable[list[tuple[LimitDemand]]],
    *,
    warm: bool = True,
    step_ms: int = 0,
    pace_s: float = 0,
) -> dict[str, list[float]]:
    """Kind → ns a take in each round. The clock moves by `step_ms` a round; `pace_s` is a pause after 100 takes."""
    limiters = {kind: make() for kind, make in kinds.items()}
    given = list(demands)
    figures: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(ROUNDS + warm):
        for kind, limiter in limiters.items():
            taken = _time(limiter, given[number % len(given)], NOW_MS + number * step_ms, pace_s)
            if number >= warm:
                figures[kind].append(taken)
    return figures


def _time(limiter: Limiter, demands: list[tuple[LimitDemand]], now_ms: int, pace_s: float) -> float:
    total, take, part = 0, limiter.take, 100 if pace_s else len(demands)
    for start in range(0, len(demands), part):
        calls = demands[start : start + part]
        before = time.thread_time_ns()
        for demand in calls:
            take(demand, now_ms)
        total += time.thread_time_ns() - before
        time.sleep(pace_s)
    return total / len(demands)


def _show(title: str, figures: dict[str, list[float]], summary: Callable[[list[float]], float]) -> None:
    base = summary(figures["dictionary"])
    told = (
        f"{kind} {summary(ns):.0f} ({summary(ns) - base:+.0f}, {summary(ns) / base:.2f})"
        for kind, ns in figures.items()
    )
    print(f"{title}: " + ", ".join(told), flush=True)


if __name__ == "__main__":
    main()
