"""Credits: spending, topping up, refilling."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystead.core.credits import (
    DAY_MS,
    MAX_BALANCE,
    Account,
    BalanceChange,
    changed,
    due_boundary_ms,
    refilled,
    spend,
    with_balance,
)
from keystead.core.errors import KeysteadError

NOW_MS = 1_767_225_630_000
BALANCES = st.integers(min_value=0, max_value=MAX_BALANCE)
INSTANTS = st.integers(min_value=0, max_value=4_102_444_800_000)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@given(BALANCES, st.lists(st.integers(min_value=0, max_value=MAX_BALANCE), max_size=30))
def test_nothing_is_overspent(balance: int, costs: list[int]):
    """Whatever is asked for, what was accepted and what is left make up what was granted."""
    account, taken = Account(balance), 0
    for cost in costs:
        result, account = spend(account, cost, NOW_MS)
        taken += cost if result.accepted else 0
        assert result.remaining == account.remaining == balance - taken
        assert account.remaining is not None
        assert account.remaining >= 0


@given(BALANCES, BALANCES)
def test_a_refused_spend_changes_nothing(balance: int, cost: int):
    """A cost above the balance is refused, the balance stays and is reported (D4); any other is taken whole."""
    account = Account(balance)
    result, after = spend(account, cost, NOW_MS)
    assert result.accepted is (cost <= balance)
    assert (after is account) is (cost > balance or cost == 0)


def test_unlimited_accounts_always_pay():
    """Without a balance every cost is accepted and none is reported."""
    assert spend(Account(), 10**9, NOW_MS)[0].remaining is None


@pytest.mark.parametrize(
    ("day", "considered", "now", "due"),
    [
        (None, "2026-01-01T10:00", "2026-01-01T23:59:59", None),
        (None, "2026-01-01T10:00", "2026-01-02T00:00", "2026-01-02"),
        (None, "2026-01-01T10:00", "2026-01-09T12:00", "2026-01-09"),
        (15, "2026-01-01T10:00", "2026-01-14T23:59:59", None),
        (15, "2026-01-01T10:00", "2026-01-15T00:00", "2026-01-15"),
        (15, "2026-01-15T00:00", "2026-02-14T00:00", None),
        (15, "2026-01-15T00:00", "2026-04-01T00:00", "2026-03-15"),
        (31, "2026-02-01T00:00", "2026-02-27T23:00", None),
        (31, "2026-02-01T00:00", "2026-02-28T00:00", "2026-02-28"),
        (31, "2026-02-28T00:00", "2026-03-01T00:00", None),
        (30, "2028-02-01T00:00", "2028-02-29T00:00", "2028-02-29"),
        (1, "2025-12-05T00:00", "2026-01-01T00:00", "2026-01-01"),
        (31, "2025-12-31T00:00", "2026-01-30T00:00", None),
    ],
)
def test_when_a_refill_is_due(day: int | None, considered: str, now: str, due: str | None):
    """Boundaries are UTC midnights, clamped to the month's last day; only the latest one since the last look counts."""
    assert due_boundary_ms(day, ms(considered), ms(now)) == (ms(due) if due else None)


@given(st.none() | st.integers(min_value=1, max_value=31), INSTANTS, INSTANTS)
def test_a_boundary_lies_between(day: int | None, considered: int, now: int):
    """A due boundary is a midnight after what was considered and not after now."""
    boundary = due_boundary_ms(day, considered, now)
    if boundary is not None:
        assert considered < boundary <= now
        assert boundary % DAY_MS == 0


def test_a_refill_replaces_the_balance():
    """A lower balance becomes the amount; missed periods do not accumulate; the boundary is noted."""
    account = Account(3, 100, None, None, considered_at_ms=ms("2026-01-01T10:00"))
    after = refilled(account, ms("2026-01-05T07:00"))
    assert (after.remaining, after.last_refill_at_ms) == (100, ms("2026-01-05"))
    assert refilled(after, ms("2026-01-05T09:00")) is after


def test_a_balance_that_was_high_at_the_boundary_is_not_refilled_later_that_day():
    """What was not below the amount at midnight stays spent until the next midnight (§4.5)."""
    account = Account(100, 100, None, None, considered_at_ms=ms("2026-01-01T10:00"))
    morning = ms("2026-01-02T08:00")
    assert refilled(account, morning) is account
    _, account = spend(account, 60, morning)
    assert refilled(account, ms("2026-01-02T20:00")).remaining == 40
    assert refilled(account, ms("2026-01-03T00:00")).remaining == 100


@pytest.mark.parametrize("account", [Account(None, 100), Account(5)])
def test_nothing_to_refill(account: Account):
    """Unlimited keys and keys without a refill are left alone."""
    assert refilled(account, NOW_MS) is account


@given(st.none() | BALANCES, st.sampled_from(BalanceChange), st.integers(-(2**31), 2**31 - 1))
def test_changes_keep_the_bounds(balance: int | None, change: BalanceChange, value: int):
    """A change never leaves a balance below 0 or above 32 bits; what would is refused or floored (§3.7)."""
    account = Account(balance)
    try:
        after = changed(account, change, value, NOW_MS).remaining
    except KeysteadError:
        overflows = balance is not None and abs(balance) + abs(value) > MAX_BALANCE
        assert (change is BalanceChange.SET and value < 0) or balance is None or overflows
        return
    assert after is not None
    assert 0 <= after <= MAX_BALANCE
    if change is BalanceChange.SET:
        assert after == value
    else:
        assert balance is not None
        assert after == max(0, balance + (value if change is BalanceChange.INCREMENT else -value))


def test_unlimited_clears_the_refill():
    """Setting no balance removes the refill configuration with it (D5)."""
    assert with_balance(Account(5, 10, 3, 7, 0), None, NOW_MS) == Account(considered_at_ms=NOW_MS)
