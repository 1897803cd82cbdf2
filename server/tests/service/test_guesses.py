"""The bound on guessing: who is counted, who is refused and until when, and how much memory it may take."""

import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.service.guesses import WINDOW_MS, GuessBound

START_MS = 1_000 * WINDOW_MS


def refused(bound: GuessBound, address: str | None, now_ms: int = START_MS) -> bool:
    try:
        bound.admit(address, now_ms)
    except KeysteadError as failure:
        return (failure.code, failure.reason) == (ErrorCode.TOO_MANY_REQUESTS, Reason.RATE_LIMITED)
    return False


def guess(bound: GuessBound, address: str | None, times: int, now_ms: int = START_MS) -> None:
    for _ in range(times):
        bound.count(address, now_ms)


def test_an_address_is_refused_once_it_has_tried_its_number() -> None:
    """The bound is exact, and no other address pays for it."""
    bound = GuessBound(3)
    guess(bound, "192.0.2.1", 2)
    assert not refused(bound, "192.0.2.1")
    guess(bound, "192.0.2.1", 1)
    assert refused(bound, "192.0.2.1")
    assert not refused(bound, "192.0.2.2")


def test_the_minute_ends() -> None:
    """The refusal lasts to the last millisecond of the minute, `Retry-After` says how long that is, and no longer."""
    bound = GuessBound(1)
    guess(bound, "192.0.2.1", 1, START_MS + 1)
    end_ms = START_MS + WINDOW_MS
    assert refused(bound, "192.0.2.1", end_ms - 1)
    for now_ms, seconds in ((START_MS + 1, 60), (end_ms - 1_001, 2), (end_ms - 1_000, 1), (end_ms - 1, 1)):
        with pytest.raises(KeysteadError) as failure:
            bound.admit("192.0.2.1", now_ms)
        assert failure.value.retry_after_s == seconds
    assert not refused(bound, "192.0.2.1", end_ms)
    assert len(bound) == 0


def test_guesses_of_two_minutes_do_not_add_up() -> None:
    """The number is for each minute."""
    bound = GuessBound(2)
    guess(bound, "192.0.2.1", 1, START_MS + WINDOW_MS - 1)
    guess(bound, "192.0.2.1", 1, START_MS + WINDOW_MS)
    assert not refused(bound, "192.0.2.1", START_MS + WINDOW_MS)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("2001:db8::1%eth0", "2001:db8::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        (None, "nonsense", True),
        (None, "192.0.2.1", False),
    ],
)
def test_whose_guesses_are_counted_together(first: Any, second: Any, together: bool) -> None:
    """An IPv6 address counts by its /64, an IPv4 address by itself, all clients without a readable one as one."""
    bound = GuessBound(1)
    guess(bound, first, 1)
    assert refused(bound, second) is together


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"])
def test_exempt_addresses_are_never_counted(address: str) -> None:
    """The operator's own servers may meet any number of unknown keys, also while others are refused."""
    bound = GuessBound(1, ["10.0.0.0/8", "2001:db8::7"])
    guess(bound, "192.0.2.1", 1)
    guess(bound, address, 5)
    assert not refused(bound, address)
    assert len(bound) == 1
    assert refused(bound, "192.0.2.1")


def test_memory_is_bounded_and_those_without_a_place_are_bound_too() -> None:
    """However many addresses guess, few are remembered; the rest share one count instead of having none."""
    bound = GuessBound(5, max_sources=10)
    for n in range(10):
        guess(bound, f"192.0.2.{n}", 1)
    for n in range(5):
        assert not refused(bound, f"198.51.100.{n}")
        guess(bound, f"198.51.100.{n}", 1)
    assert len(bound) == 11
    assert refused(bound, "203.0.113.1")
    assert not refused(bound, "192.0.2.1")
    assert not refused(bound, "203.0.113.1", START_MS + WINDOW_MS)


def test_many_addresses_leave_no_growth() -> None:
    """What is remembered about the spelling of addresses is bounded as well, good ones included."""
    bound = GuessBound(1)
    guess(bound, "192.0.2.1", 1)
    for n in range(20_000):
        bound.admit(f"2001:db8:0:{n:x}::1", START_MS)
    assert len(bound._sources) <= 4096
    assert len(bound) == 1


def test_a_clock_that_is_set_back_begins_a_new_count() -> None:
    """Nobody stays refused until a clock that was wrong comes round again."""
    bound = GuessBound(1)
    guess(bound, "192.0.2.1", 1)
    assert not refused(bound, "192.0.2.1", START_MS - 3_600_000)


def test_the_log_names_some_addresses_and_no_more() -> None:
    """One line for an address and minute, ten addresses a minute, then one that there are more."""
    bound = GuessBound(2)
    with capture_logs() as lines:
        for n in range(50):
            guess(bound, f"192.0.2.{n}", 5)
    assert [line["event"] for line in lines] == ["guessing_refused"] * 11
    assert [line["address"] for line in lines[:10]] == [f"192.0.2.{n}" for n in range(10)]
    assert re.search("more addresses", lines[10]["address"])
