"""Counters of windows, in memory and in a file."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from keystead.core.window import LimitDemand
from keystead.limiters.windows import WindowLimiter

DEMANDS = st.builds(
    LimitDemand,
    name=st.sampled_from(["a", "b"]),
    scope_id=st.sampled_from(["key_1", "id_1"]),
    limit=st.integers(0, 6),
    duration_ms=st.sampled_from([1, 10, 1000]),
    cost=st.integers(0, 4),
)


@given(st.lists(st.tuples(DEMANDS, st.integers(-20, 30)), max_size=60))
def test_no_window_admits_more_than_its_limit(calls: list[tuple[LimitDemand, int]]):
    """Each demand is judged by what its window has taken, wherever the clock goes, and reports it truly."""
    limiter, now_ms, used = WindowLimiter(), 1_000_000, defaultdict(int)
    for demand, step in calls:
        now_ms += step
        window = now_ms // demand.duration_ms
        counter = (demand.scope_id, demand.name, demand.duration_ms, window)
        (reading,) = limiter.take([demand], now_ms)
        fits = used[counter] < demand.limit and used[counter] + demand.cost <= demand.limit
        assert reading.accepted is fits
        used[counter] += demand.cost if fits else 0
        assert reading.remaining == max(0, demand.limit - used[counter])
        assert reading.reset_ms == (window + 1) * demand.duration_ms


def test_demands_are_independent():
    """A limit that rejects does not give back what another one took (§4.4)."""
    limiter = WindowLimiter()
    open_, closed = LimitDemand("a", "key_1", 5, 1000), LimitDemand("b", "key_1", 0, 1000)
    first = limiter.take([open_, closed], 0)
    assert [reading.accepted for reading in first] == [True, False]
    assert limiter.take([open_], 0)[0].remaining == 3


def test_expired_counters_are_forgotten():
    """Memory follows the windows in use, not the windows there have ever been."""
    limiter = WindowLimiter()
    for number in range(20_000):
        limiter.take([LimitDemand("a", f"key_{number}", 5, 1000)], number * 100)
    assert len(limiter) < 1500
