"""Credits: spending, topping up and refilling a key's balance (contract keys-v1 §3.7, §4.5, DECISIONS D4 and D5).

A balance is never negative and never above what was granted. Refills are lazy: before anything reads or changes a
balance, `refilled` applies the latest due boundary once, as if it had been applied at that instant. The instant up to
which boundaries were considered is stored, because a balance that was not below the amount at the boundary must not be
refilled when it falls later that day.
"""

import calendar
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from keystead.core.errors import ErrorCode, KeysteadError

DAY_MS = 86_400_000
MAX_BALANCE = 2**31 - 1


class Account(msgspec.Struct, frozen=True, gc=False):
    """A key's credits. `remaining` None is unlimited; `refill_day` None with an amount is daily.

    `considered_at_ms` is the instant up to which refill boundaries have been considered.
    """

    remaining: int | None = None
    refill_amount: int | None = None
    refill_day: int | None = None
    last_refill_at_ms: int | None = None
    considered_at_ms: int = 0


class Spend(msgspec.Struct, frozen=True, gc=False):
    """What became of an attempt to spend: `remaining` is the balance after it, None when the key is unlimited."""

    accepted: bool
    remaining: int | None


class BalanceChange(StrEnum):
    """What `updateRemaining` does with its value (§3.7)."""

    INCREMENT = "increment"
    DECREMENT = "decrement"
    SET = "set"


def due_boundary_ms(refill_day: int | None, considered_at_ms: int, now_ms: int) -> int | None:
    """The latest refill boundary in (`considered_at_ms`, `now_ms`], or None.

    Daily boundaries (no day) are UTC midnights; monthly ones the midnight of the refill day, or of the month's last
    day when it is shorter.
    """
    boundary = now_ms // DAY_MS * DAY_MS if refill_day is None else _monthly_boundary_ms(refill_day, now_ms)
    return boundary if boundary > considered_at_ms else None


def _monthly_boundary_ms(refill_day: int, now_ms: int) -> int:
    today = datetime.fromtimestamp(now_ms / 1000, UTC)
    boundary = _boundary_in(today.year, today.month, refill_day)
    if boundary > now_ms:
        year, month = (today.year, today.month - 1) if today.month > 1 else (today.year - 1, 12)
        boundary = _boundary_in(year, month, refill_day)
    return boundary


def _boundary_in(year: int, month: int, refill_day: int) -> int:
    day = min(refill_day, calendar.monthrange(year, month)[1])
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1000


def refilled(account: Account, now_ms: int) -> Account:
    """The account with the latest due boundary applied; the same object when nothing is due.

    The balance is replaced by the amount if it is lower, never added to; missed periods do not accumulate.
    """
    if account.remaining is None or account.refill_amount is None:
        return account
    boundary = due_boundary_ms(account.refill_day, account.considered_at_ms, now_ms)
    if boundary is None or account.remaining >= account.refill_amount:
        return account
    return msgspec.structs.replace(
        account,
        remaining=account.refill_amount,
        last_refill_at_ms=boundary,
        considered_at_ms=now_ms,
    )


def spend(account: Account, cost: int, now_ms: int) -> tuple[Spend, Account]:
    """Take `cost` (≥ 0) from an account already `refilled`; refused, and unchanged, when it is more than there is."""
    if account.remaining is None:
        return Spend(True, None), account
    if cost > account.remaining:
        return Spend(False, account.remaining), account
    if cost == 0:
        return Spend(True, account.remaining), account
    after = account.remaining - cost
    considered_at_ms = max(now_ms, account.considered_at_ms)
    return Spend(True, after), msgspec.structs.replace(account, remaining=after, considered_at_ms=considered_at_ms)


def changed(account: Account, change: BalanceChange, value: int | None, now_ms: int) -> Account:
    """The account after `updateRemaining`, from one already `refilled`.

    Raises BAD_REQUEST for what §3.7 refuses. Setting None makes the key unlimited and clears its refill (D5).
    """
    if change is BalanceChange.SET:
        return with_balance(account, value, now_ms)
    if account.remaining is None:
        raise _bad("the key is unlimited, set a value first")
    if value is None:
        raise _bad(f"value: a number is needed to {change.value}")
    signed = value if change is BalanceChange.INCREMENT else -value
    return with_balance(account, max(0, account.remaining + signed), now_ms)


def with_balance(account: Account, remaining: int | None, now_ms: int) -> Account:
    """The account with the balance replaced; None is unlimited and clears the refill (D5).

    Raises BAD_REQUEST when the balance is negative or beyond 32 bits.
    """
    if remaining is None:
        return Account(considered_at_ms=now_ms)
    if not 0 <= remaining <= MAX_BALANCE:
        raise _bad(f"remaining: must be between 0 and {MAX_BALANCE}")
    return msgspec.structs.replace(account, remaining=remaining, considered_at_ms=max(now_ms, account.considered_at_ms))


def _bad(message: str) -> KeysteadError:
    return KeysteadError(ErrorCode.BAD_REQUEST, message)
