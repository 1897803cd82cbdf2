"""What a key, a namespace and the limits of an identity do when asked one thing after the other.

An operation here is one request, or the part of it that happens at one instant: a verification looks at the key and its
limits at one, and spends at another. Each says what it would tell in a given state at a given instant. What a client
was told comes in *aspects*, so that a check can leave some of them out:

* `answer`: whether it was done, or why not; `record`: what getKey shows; `balance`: credits;
* `verdict`: the key as a verification saw it; `limits`: whether limits let it pass, and what they told.

A client does not know the instant at which the server looked at its clock: an operation is tried at every instant of
`moments` that could make a difference. So the state of the search is a set of states. Nothing here shares code with the
server.
"""

import calendar
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

DAY_MS = 86_400_000
GRACE_MS = 60_000
"""How long the server keeps the counter of a window that is over, for clocks that are set back."""

MAX_BALANCE = 2**31 - 1

Told = Mapping[str, object]
Counter = tuple[str, int, int]
"""Name, duration in ms, number of the window."""

Counters = frozenset[tuple[Any, int]]
"""How much is used of each counter that is; absent is 0, UNKNOWN after a loss."""

UNKNOWN = -1

DONE = "done"
MISSING = "missing"
REFUSED = "refused"


class Key(NamedTuple):
    """A live key. `limit` is (limit, duration in ms) of its limit `default`, `refill` (amount, day or None)."""

    name: str | None = None
    enabled: bool = True
    expires_ms: int | None = None
    permissions: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    limit: tuple[int, int] | None = None
    remaining: int | None = None
    refill: tuple[int, int | None] | None = None
    considered_day: int = 0


class State(NamedTuple):
    """A key or its absence, its counters, and the answers kept for repeated calls: (Idempotency-Key, aspects).

    `granted` are the permissions of the one role that there is, which keys have through it.
    """

    key: Key | None = None
    granted: frozenset[str] = frozenset()
    used: Counters = frozenset()
    kept: frozenset[tuple[str, frozenset[tuple[str, object]]]] = frozenset()


@dataclass(eq=False, kw_only=True)
class Operation:
    """`seen` are the aspects of the answer, None when there was none; `moments` as above.

    `highest_ms` is the latest the server's clock had ever shown: counters that were over by then may be forgotten.
    """

    number: int
    seen: Told | None
    moments: tuple[int, ...]
    highest_ms: int = 0

    def outcomes(self, state: Any, now_ms: int) -> Iterable[tuple[Any, Told]]:
        """What may come of it: states afterwards, each with what is told then."""
        raise NotImplementedError

    def only_looks(self, states: frozenset[Any]) -> bool:
        """Whether it changes nothing, in any state that may come."""
        del states
        return False


class Possible(NamedTuple):
    """The states that a history may have led to. `is_odd` turns over with each step that may have changed something.

    That makes every such step a change in the eyes of the search, which would else take a step that changes nothing in
    one of its explanations for one that changes nothing in any.
    """

    states: frozenset[Any]
    is_odd: bool = False


def apply(possible: Possible, operation: Operation, without: frozenset[str]) -> tuple[Possible, bool]:
    """What an operation may lead to, and whether it fits at all, when aspects `without` do not count."""
    reached = set()
    states, is_odd = possible
    seen = operation.seen
    for state in states:
        for now_ms in operation.moments:
            for after, told in operation.outcomes(state, now_ms):
                if seen is None or all(told.get(a) == value for a, value in seen.items() if a not in without):
                    reached.add(after)
    return Possible(frozenset(reached), is_odd is operation.only_looks(states)), bool(reached)


# ---- changes of a key


@dataclass(eq=False, kw_only=True)
class Change(Operation):
    """A change; with an `Idempotency-Key` it happens once, and tells the same each time."""

    idempotency_key: str | None = None

    def outcomes(self, state: State, now_ms: int) -> Iterator[tuple[State, Told]]:
        """See `Operation`."""
        for key, told in state.kept:
            if key == self.idempotency_key:
                yield state, dict(told)
                return
        after, told_now = self.change(state, now_ms)
        if self.idempotency_key is not None and told_now["answer"] == DONE:
            after = after._replace(kept=after.kept | {(self.idempotency_key, frozenset(told_now.items()))})
        yield after, told_now

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """The change itself."""
        raise NotImplementedError


@dataclass(eq=False, kw_only=True)
class Create(Change):
    """Make the key."""

    key: Key

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """See `Change`."""
        if state.key is not None:
            return state, {"answer": "conflict"}
        return state._replace(key=self.key._replace(considered_day=now_ms // DAY_MS)), {"answer": DONE}


@dataclass(eq=False, kw_only=True)
class Delete(Change):
    """Delete the key, by itself or with its api: then it is done whether or not there is a key."""

    with_api: bool = False

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """See `Change`."""
        done = state.key is not None or self.with_api
        return state._replace(key=None), {"answer": DONE if done else MISSING}


@dataclass(eq=False, kw_only=True)
class Grant(Change):
    """Make these the permissions of the role."""

    names: frozenset[str]

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """See `Change`."""
        return state._replace(granted=self.names), {"answer": DONE, "links": self.names}


@dataclass(eq=False, kw_only=True)
class Update(Change):
    """updateKey with these members, by their names on the wire."""

    members: Mapping[str, Any]

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """See `Change`."""
        key, members = state.key, self.members
        if key is None:
            return state, {"answer": MISSING}
        if members.keys() & {"name", "expires", "remaining", "refill", "enabled"}:
            key = _refilled(key, now_ms)
        if "name" in members:
            key = key._replace(name=members["name"])
        if "expires" in members:
            key = key._replace(expires_ms=members["expires"] or None)
        if "enabled" in members:
            key = key._replace(enabled=members["enabled"])
        if "remaining" in members:
            key = _with_balance(key, members["remaining"], now_ms)
        if "refill" in members:
            refill = members["refill"]
            key = key._replace(refill=refill_of(refill))
            if refill is not None:
                key = key._replace(considered_day=max(key.considered_day, now_ms // DAY_MS))
        if "ratelimit" in members:
            limit = members["ratelimit"]
            key = key._replace(limit=None if limit is None else (limit["limit"], limit["duration"]))
        if "permissions" in members:
            key = key._replace(permissions=frozenset(item["slug"] for item in members["permissions"]))
        return state._replace(key=key), {"answer": DONE}


@dataclass(eq=False, kw_only=True)
class Top(Change):
    """updateRemaining."""

    op: str
    value: int | None

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """See `Change`."""
        if state.key is None:
            return state, {"answer": MISSING}
        key = _refilled(state.key, now_ms)
        balance = self.value
        if self.op != "set":
            if key.remaining is None or self.value is None:
                return state, {"answer": REFUSED}
            signed = self.value if self.op == "increment" else -self.value
            balance = max(0, key.remaining + signed)
            if balance > MAX_BALANCE:
                return state, {"answer": REFUSED}
        key = _with_balance(key, balance, now_ms)
        return state._replace(key=key), {"answer": DONE, "balance": balance}


@dataclass(eq=False, kw_only=True)
class Link(Change):
    """Attach, detach or set permissions or roles: `member` of the key, `verb` add, remove or set."""

    member: str
    verb: str
    names: frozenset[str]

    def change(self, state: State, now_ms: int) -> tuple[State, Told]:
        """See `Change`."""
        if state.key is None:
            return state, {"answer": MISSING}
        present: frozenset[str] = getattr(state.key, self.member)
        links = {"add": present | self.names, "remove": present - self.names, "set": self.names}[self.verb]
        told = {"answer": DONE} if self.verb == "remove" else {"answer": DONE, "links": links}
        return state._replace(key=state.key._replace(**{self.member: links})), told


# ---- looks at a key


@dataclass(eq=False, kw_only=True)
class Look(Operation):
    """getKey."""

    def outcomes(self, state: State, now_ms: int) -> Iterator[tuple[State, Told]]:
        """See `Operation`."""
        key = state.key
        if key is None:
            yield state, {"answer": MISSING}
            return
        record = (key.name, key.enabled, key.expires_ms, key.permissions, key.roles, key.limit, key.refill)
        yield state, {"answer": DONE, "record": record, "balance": _refilled(key, now_ms).remaining}

    def only_looks(self, states: frozenset[Any]) -> bool:
        """See `Operation`."""
        del states
        return True


@dataclass(eq=False, kw_only=True)
class IsUnlimited(Operation):
    """A verification that told no balance: the key had none."""

    def outcomes(self, state: State, now_ms: int) -> Iterator[tuple[State, Told]]:
        """See `Operation`."""
        yield state, {"balance": None if state.key is None else state.key.remaining}

    def only_looks(self, states: frozenset[Any]) -> bool:
        """See `Operation`."""
        del states
        return True


@dataclass(eq=False, kw_only=True)
class IsGone(Operation):
    """A verification that found no key."""

    def outcomes(self, state: State, now_ms: int) -> Iterator[tuple[State, Told]]:
        """See `Operation`."""
        yield state, {"verdict": "NOT_FOUND" if state.key is None else "found"}

    def only_looks(self, states: frozenset[Any]) -> bool:
        """See `Operation`."""
        del states
        return True


class Demand(NamedTuple):
    """What a verification takes from a limit; `limit` and `duration_ms` None for the key's own one."""

    name: str
    cost: int
    limit: int | None = None
    duration_ms: int | None = None


PASSED = "passed"


@dataclass(eq=False, kw_only=True)
class Screen(Operation):
    """The part of a verification before credits: the key itself, then its limits.

    Tells the verdict as (code or PASSED, name, enabled, expires, permissions, roles), and of limits (whether they
    let it pass, what is reported: (limit, remaining, reset)).
    """

    demands: tuple[Demand, ...]
    needed: str | None

    def outcomes(self, state: State, now_ms: int) -> Iterator[tuple[State, Told]]:
        """See `Operation`."""
        key = state.key
        if key is None:
            yield state, {"verdict": ("NOT_FOUND",)}
            return
        held = key.permissions | (state.granted if key.roles else frozenset())
        members = (key.name, key.enabled, key.expires_ms, held, key.roles)
        refusal = self._refusal(key, held, now_ms)
        if refusal is not None:
            yield state, {"verdict": (refusal, *members)}
            return
        verdict = (PASSED, *members)
        for used, limits in take(state.used, self._demands(key), now_ms, self.highest_ms, self.seen):
            yield state._replace(used=used), {"verdict": verdict, "limits": limits}

    def only_looks(self, states: frozenset[Any]) -> bool:
        """See `Operation`."""
        return not self.demands and all(state.key is None or state.key.limit is None for state in states)

    def _refusal(self, key: Key, held: frozenset[str], now_ms: int) -> str | None:
        if not key.enabled:
            return "DISABLED"
        if key.expires_ms is not None and key.expires_ms < now_ms:
            return "EXPIRED"
        return None if self.needed is None or self.needed in held else "INSUFFICIENT_PERMISSIONS"

    def _demands(self, key: Key) -> list[Demand]:
        asked = {demand.name: demand for demand in self.demands}
        if key.limit is None:
            return [demand for demand in asked.values() if demand.limit is not None]
        own = asked.pop("default", Demand("default", 1))
        if own.limit is None:
            own = Demand("default", own.cost, *key.limit)
        return [own, *asked.values()]


@dataclass(eq=False, kw_only=True)
class Spend(Operation):
    """The part of a verification that spends. Tells of the balance: (whether it was spent, what is left)."""

    cost: int

    def outcomes(self, state: State, now_ms: int) -> Iterator[tuple[State, Told]]:
        """See `Operation`."""
        if state.key is None:
            yield state, {"balance": None}
            return
        key = _refilled(state.key, now_ms)
        balance = key.remaining
        accepted = balance is None or self.cost <= balance
        if accepted and balance is not None and self.cost:
            balance -= self.cost
            key = key._replace(remaining=balance, considered_day=max(key.considered_day, now_ms // DAY_MS))
        yield state._replace(key=key), {"balance": (accepted, balance)}


# ---- limits


@dataclass(eq=False, kw_only=True)
class Take(Operation):
    """Take from the limits of an identity; the state is its counters. Tells `limits` as `Screen` does."""

    demands: tuple[Demand, ...]

    def outcomes(self, state: Counters, now_ms: int) -> Iterator[tuple[Counters, Told]]:
        """See `Operation`."""
        for used, limits in take(state, self.demands, now_ms, self.highest_ms, self.seen):
            yield used, {"limits": limits}


class NamespaceState(NamedTuple):
    """Overrides as (identifier, (limit, duration in ms)), counters by (identifier, limit), and kept answers."""

    overrides: frozenset[tuple[str, tuple[int, int]]] = frozenset()
    used: Counters = frozenset()
    kept: frozenset[tuple[str, frozenset[tuple[str, object]]]] = frozenset()


@dataclass(eq=False, kw_only=True)
class Limit(Operation):
    """ratelimits.limit. Overrides are exact, or `all*` for every other identifier that begins so."""

    identifier: str
    limit: int
    duration_ms: int
    cost: int

    def outcomes(self, state: NamespaceState, now_ms: int) -> Iterator[tuple[NamespaceState, Told]]:
        """See `Operation`."""
        overrides = dict(state.overrides)
        wild = next((held for text, held in overrides.items() if self._matches(text)), None)
        limit, duration_ms = overrides.get(self.identifier) or wild or (self.limit, self.duration_ms)
        # Here the limit's value is part of the counter's identity.
        demand = Demand(f"{self.identifier}/{limit}", self.cost, limit, duration_ms)
        for used, limits in take(state.used, [demand], now_ms, self.highest_ms, self.seen):
            yield state._replace(used=used), {"limits": limits}

    def _matches(self, text: str) -> bool:
        return text.endswith("*") and self.identifier.startswith(text[:-1])


@dataclass(eq=False, kw_only=True)
class SetOverride(Change):
    """setOverride, or deleteOverride when `allowance` is None."""

    identifier: str
    allowance: tuple[int, int] | None

    def change(self, state: Any, now_ms: int) -> tuple[Any, Told]:
        """See `Change`."""
        overrides = dict(state.overrides)
        if self.allowance is not None:
            overrides[self.identifier] = self.allowance
        elif overrides.pop(self.identifier, None) is None:
            return state, {"answer": MISSING}
        return state._replace(overrides=frozenset(overrides.items())), {"answer": DONE}


@dataclass(eq=False, kw_only=True)
class CountersLost(Operation):
    """By a loss of power counters become what they were a moment before, so what they hold is not known here."""

    def outcomes(self, state: Any, now_ms: int) -> Iterator[tuple[Any, Told]]:
        """See `Operation`."""
        counters = state.used if hasattr(state, "used") else state
        unknown = frozenset((counter, UNKNOWN) for counter, _ in counters)
        yield (state._replace(used=unknown) if hasattr(state, "used") else unknown), {}


def take(
    counters: Counters, demands: Iterable[Demand], now_ms: int, highest_ms: int, seen: Told | None
) -> Iterator[tuple[Counters, object]]:
    """The counters after taking from each limit, and (whether all let it pass, what is reported).

    Of several that refuse the first is reported; of several that pass, `default`, else the first. Several results where
    a counter may have been forgotten; what was seen where it is not known.
    """
    first = [(dict(counters), [])]
    results: list[tuple[dict[Any, int], list[tuple[Demand, bool, int, int]]]] = first  # type: ignore[assignment]
    for demand in demands:
        results = [step for used, readings in results for step in _taken(used, readings, demand, now_ms, highest_ms)]
    told = None if seen is None else seen.get("limits")
    for used, readings in results:
        if any(left == UNKNOWN for *_, left, _ in readings):
            yield _learnt(used, readings, now_ms, told)
        else:
            yield frozenset(used.items()), _reported(readings)


def _learnt(
    used: dict[Any, int], readings: list[tuple[Demand, bool, int, int]], now_ms: int, told: Any
) -> tuple[Counters, object]:
    """What an answer teaches about a counter that was not known, if it can be about one of these."""
    if told is None or told[1] is None:
        return frozenset(used.items()), told
    limit, left, reset_ms = told[1]
    for demand, _, known_left, its_reset_ms in readings:
        if (demand.limit, its_reset_ms) == (limit, reset_ms):
            if known_left == UNKNOWN and left and demand.duration_ms is not None and len(readings) == 1:
                used = {**used, (demand.name, demand.duration_ms, now_ms // demand.duration_ms): limit - left}
            return frozenset(used.items()), told
    return frozenset(used.items()), "of other limits"


def _taken(
    used: dict[Any, int], readings: list[Any], demand: Demand, now_ms: int, highest_ms: int
) -> Iterator[tuple[dict[Any, int], list[Any]]]:
    assert demand.limit is not None
    assert demand.duration_ms is not None
    window = now_ms // demand.duration_ms
    counter = (demand.name, demand.duration_ms, window)
    reset_ms = (window + 1) * demand.duration_ms
    present = used.get(counter, 0)
    if present == UNKNOWN:
        yield used, [*readings, (demand, True, UNKNOWN, reset_ms)]
        return
    forgotten = {0} if reset_ms + GRACE_MS <= highest_ms else set()
    for before in {present} | forgotten:
        passes = before < demand.limit and before + demand.cost <= demand.limit
        after = before + demand.cost if passes else before
        changed = {**used, counter: after} if after else {c: n for c, n in used.items() if c != counter}
        yield changed, [*readings, (demand, passes, max(0, demand.limit - after), reset_ms)]


def _reported(readings: list[tuple[Demand, bool, int, int]]) -> object:
    if not readings:
        return (True, None)
    refused = next((reading for reading in readings if not reading[1]), None)
    default = next((reading for reading in readings if reading[0].name == "default"), None)
    demand, _, left, reset_ms = refused or default or readings[0]
    return (refused is None, (demand.limit, left, reset_ms))


# ---- credits


def refill_of(refill: Mapping[str, Any] | None) -> tuple[int, int | None] | None:
    """A refill of a request as (amount, day or None for daily)."""
    if refill is None:
        return None
    return refill["amount"], (refill.get("refillDay", 1) if refill["interval"] == "monthly" else None)


def _refilled(key: Key, now_ms: int) -> Key:
    if key.remaining is None or key.refill is None:
        return key
    amount, day = key.refill
    today = now_ms // DAY_MS
    boundary = today if day is None else _last_on(day, today)
    if boundary <= key.considered_day or key.remaining >= amount:
        return key
    return key._replace(remaining=amount, considered_day=today)


def _last_on(day: int, today: int) -> int:
    """The latest day of the month `day`, or the month's last one, not after `today`; days since 1970."""
    on = datetime.fromtimestamp(today * 86_400, UTC).date()
    first = on.replace(day=1)
    for month in (first, (first - timedelta(days=1)).replace(day=1)):
        found = month.replace(day=min(day, calendar.monthrange(month.year, month.month)[1]))
        if found <= on:
            return (found - date(1970, 1, 1)).days
    raise AssertionError("a month has every day or a last one")


def _with_balance(key: Key, balance: int | None, now_ms: int) -> Key:
    if balance is None:
        return key._replace(remaining=None, refill=None, considered_day=now_ms // DAY_MS)
    return key._replace(remaining=balance, considered_day=max(key.considered_day, now_ms // DAY_MS))
