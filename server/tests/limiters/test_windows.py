"""Counters of windows, in memory and in a file."""

import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.core.window import LimitDemand
from keystead.limiters.counter_file import CHUNK_BYTES, CounterFile
from keystead.limiters.slots import Slots
from keystead.limiters.windows import WindowLimiter

DEMANDS = st.builds(
    LimitDemand,
    name=st.sampled_from(["a", "b"]),
    scope_id=st.sampled_from(["key_1", "id_1"]),
    limit=st.integers(0, 6),
    duration_ms=st.sampled_from([1, 10, 1000]),
    cost=st.integers(0, 4),
)
TAKES = st.tuples(DEMANDS, st.integers(-20, 30) | st.just(100_000))

DAY_MS = 86_400_000
NOW_MS = 1_767_225_630_000


class Model:
    """What each window has taken, in the simplest way."""

    def __init__(self) -> None:
        self.used: dict[tuple[str, str, int, int], int] = defaultdict(int)

    def check_take(self, limiter: WindowLimiter, demand: LimitDemand, now_ms: int) -> None:
        """Take from the limiter; its answer is the model's."""
        window = now_ms // demand.duration_ms
        counter = (demand.scope_id, demand.name, demand.duration_ms, window)
        (reading,) = limiter.take([demand], now_ms)
        used = self.used[counter]
        fits = used < demand.limit and used + demand.cost <= demand.limit
        assert reading.accepted is fits
        self.used[counter] += demand.cost if fits else 0
        assert reading.remaining == max(0, demand.limit - self.used[counter])
        assert reading.reset_ms == (window + 1) * demand.duration_ms


def opened(path: Path, now_ms: int = NOW_MS) -> tuple[WindowLimiter, Slots]:
    slots = Slots(CounterFile(path))
    return WindowLimiter(slots, now_ms), slots


def left(limiter: WindowLimiter, name: str, now_ms: int = NOW_MS, *, limit: int = 10, duration_ms: int = DAY_MS) -> int:
    """What is left of a limit, without taking from it."""
    return limiter.take([LimitDemand(name, "key_1", limit, duration_ms, 0)], now_ms)[0].remaining


@given(st.lists(TAKES, max_size=60))
def test_no_window_admits_more_than_its_limit(takes: list[tuple[LimitDemand, int]]) -> None:
    """Each demand is judged by what its window has taken, wherever the clock goes, and reports it truly."""
    limiter, model, now_ms = WindowLimiter(), Model(), 1_000_000
    for demand, step in takes:
        now_ms += step
        model.check_take(limiter, demand, now_ms)


@settings(max_examples=60, deadline=None)
@given(st.lists(TAKES | st.sampled_from(["crash", "stop"]), max_size=60))
def test_no_window_admits_more_than_its_limit_over_restarts(steps: list[tuple[LimitDemand, int] | str]) -> None:
    """The same holds when the server is stopped or killed between any two demands, however often."""
    with tempfile.TemporaryDirectory() as folder:
        path, model, now_ms = Path(folder) / "limits", Model(), 1_000_000
        limiter, slots = opened(path, now_ms)
        for step in steps:
            if isinstance(step, tuple):
                now_ms += step[1]
                model.check_take(limiter, step[0], now_ms)
                continue
            if step == "stop":
                slots.close()
            limiter, slots = opened(path, now_ms)


def test_demands_are_independent() -> None:
    """A limit that rejects does not give back what another one took (§4.4)."""
    limiter = WindowLimiter()
    open_, closed = LimitDemand("a", "key_1", 5, 1000), LimitDemand("b", "key_1", 0, 1000)
    first = limiter.take([open_, closed], 0)
    assert [reading.accepted for reading in first] == [True, False]
    assert limiter.take([open_], 0)[0].remaining == 3


@pytest.mark.parametrize("restarts", [False, True])
def test_expired_counters_are_forgotten(tmp_path: Path, restarts: bool) -> None:
    """Memory and the file follow the windows in use, not the windows there have ever been, nor those recovered."""
    limiter, _ = opened(tmp_path / "limits", 0)
    for number in range(20_000):
        if restarts and number % 5_000 == 2_500:
            limiter, _ = opened(tmp_path / "limits", number * 100)
        limiter.take([LimitDemand("a", f"key_{number}", 5, 1000)], number * 100)
    assert len(limiter) < 1500


def test_slots_are_used_again(tmp_path: Path) -> None:
    """A hundred thousand counters, of which few are open at a time, take no more than one chunk of the file."""
    limiter, _ = opened(tmp_path / "limits", 0)
    for number in range(100_000):
        limiter.take([LimitDemand("a", f"key_{number}", 5, 1000)], number * 100)
    assert (tmp_path / "limits").stat().st_size < 2 * CHUNK_BYTES


def test_counters_differ_in_every_part_of_their_name(tmp_path: Path) -> None:
    """After a restart, as before it, names that are alike when written one after the other are two counters."""
    demands = [
        LimitDemand("b", "a", 10, 1000, 1),
        LimitDemand("", "ab", 10, 1000, 2),
        LimitDemand("ab", "", 10, 1000, 3),
        LimitDemand("b", "a", 10, 2000, 4),
        LimitDemand("a:b", "1:", 10, 1000, 5),
        LimitDemand(":b", "1:a", 10, 1000, 6),
        LimitDemand("\ud800", "ä\0", 10, 1000, 7),
    ]
    opened(tmp_path / "limits", 0)[0].take(demands, 0)
    again = opened(tmp_path / "limits", 0)[0].take(demands, 0)
    assert [reading.remaining for reading in again[:5]] == [8, 6, 4, 2, 0]
    assert [reading.accepted for reading in again[5:]] == [False, False]


def test_long_names_take_little_memory() -> None:
    """A thousand limits with names of a hundred kilobytes are told apart and take under a megabyte together."""
    limiter = WindowLimiter()
    tracemalloc.start()
    try:
        for number in range(1_000):
            demand = LimitDemand("n" * 100_000 + str(number), "key_1", 1, 1000)
            assert [limiter.take([demand], 0)[0].accepted for _ in range(2)] == [True, False]
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_largest_numbers_are_kept(tmp_path: Path) -> None:
    """Limit, cost and duration may be as large as the contract lets them be, also over a restart."""
    largest = 2**63 - 1
    most = LimitDemand("a", "key_1", largest, largest, largest - 1)
    limiter, _ = opened(tmp_path / "limits")
    reading = limiter.take([most], NOW_MS)[0]
    assert (reading.accepted, reading.remaining, reading.reset_ms) == (True, 1, largest)
    again = opened(tmp_path / "limits")[0]
    assert left(again, "a", limit=largest, duration_ms=largest) == 1
    assert not again.take([most], NOW_MS)[0].accepted
    # The present window of a duration this long ends after what a word of the file can hold.
    late = LimitDemand("b", "key_1", 10, NOW_MS - 1, 4)
    again.take([late, LimitDemand("c", "key_1", 10, largest, 3)], largest - 1)
    last = opened(tmp_path / "limits", largest - 1)[0]
    assert left(last, "b", largest - 1, duration_ms=NOW_MS - 1) == 6
    assert left(last, "c", largest - 1, duration_ms=largest) == 7


def test_a_clock_set_back_meets_its_counter_after_a_restart_too(tmp_path: Path) -> None:
    """What expired less than a minute ago is still known when the server starts; what expired before is not."""
    for now_ms in (999, 1999):
        opened(tmp_path / "limits", 0)[0].take([LimitDemand("a", "key_1", 10, 1000, 4)], now_ms)
    after_a_minute = opened(tmp_path / "limits", 61_500)[0]
    assert [left(after_a_minute, "a", now_ms, duration_ms=1000) for now_ms in (999, 1999)] == [10, 6]


_TAKES_UNTIL_KILLED = """
import sys, time
from pathlib import Path
from keystead.core.window import LimitDemand
from keystead.limiters.counter_file import CounterFile
from keystead.limiters.slots import Slots
from keystead.limiters.syncing import Syncing
from keystead.limiters.windows import WindowLimiter
now_ms = int(sys.argv[2])
slots = Slots(CounterFile(Path(sys.argv[1])))
limiter = WindowLimiter(slots, now_ms)
Syncing(slots).start()
for number in range(10**9):
    limiter.take([
        LimitDemand("shared", "key_1", 10**9, 86_400_000),
        LimitDemand(f"own_{number}", "key_1", 10, 86_400_000, 3),
    ], now_ms)
    sys.stdout.write(f"{number}\\n")
    if number % 100 == 0:
        sys.stdout.flush()
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.21])
def test_a_kill_loses_nothing(tmp_path: Path, delay_s: float) -> None:
    """Whatever a process had taken when it was killed is known to the next one: every counter, to the unit."""
    arguments = [sys.executable, "-c", _TAKES_UNTIL_KILLED, str(tmp_path / "limits"), str(NOW_MS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        reported = child.stdout.readline()
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
        reported += child.stdout.read()
    count = reported.count(b"\n")
    limiter, _ = opened(tmp_path / "limits")
    assert 10**9 - left(limiter, "shared", limit=10**9) >= count > 0
    assert [left(limiter, f"own_{number}") for number in range(count)] == [7] * count
