"""The waits between attempts, as arithmetic (sdk.md section 8)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unkey_py.utils import BackoffStrategy, RetryConfig
from unkey_py.utils.retries import waits


@given(
    initial=st.integers(0, 10_000),
    longest=st.integers(0, 100_000),
    exponent=st.floats(0, 5),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_formula(initial, longest, exponent, jitter):
    """Wait n is min(initial · exponent^n + jitter, longest), in seconds."""
    pauses = waits(BackoffStrategy(initial, longest, exponent, 1), lambda: 0, lambda: jitter, 0)
    for n, pause in enumerate(itertools.islice(pauses, 12)):
        assert pause == pytest.approx(min(initial / 1000 * exponent**n + jitter, longest / 1000))


def test_endless_waits_do_not_overflow():
    """However many retries there are, the wait stays at its longest."""
    pauses = waits(BackoffStrategy(1, 1000, 10, 1), lambda: 0, lambda: 0.0, 0)
    assert next(itertools.islice(pauses, 5000, None)) == 1


def test_time_is_counted_from_the_start():
    """No wait is given once more time has passed since the start than allowed."""
    clock = iter([1500, 3000, 3001])
    pauses = waits(BackoffStrategy(1, 1, 1, 2000), lambda: next(clock), lambda: 0.0, 1000)
    assert len(list(pauses)) == 2


def test_settings_are_mutable():
    """Settings take their values by position or by name and can be changed."""
    backoff = BackoffStrategy(1, max_interval=2, exponent=3, max_elapsed_time=4)
    config = RetryConfig("backoff", backoff, retry_connection_errors=True)
    config.backoff.max_interval = 9
    config.retry_connection_errors = False
    assert (backoff.initial_interval, backoff.max_interval, backoff.exponent, backoff.max_elapsed_time) == (1, 9, 3, 4)
    assert config != RetryConfig("backoff", backoff, False)
