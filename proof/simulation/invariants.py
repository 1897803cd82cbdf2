"""What must be true of every run, one check each; docs/guarantees.md cites them by name."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from proof.linearizability import NEVER, UNANSWERED, Call, Violation, violation
from proof.simulation.books import FIRST_GRANTED, LATE, Batch, Books, Request, Subject
from proof.simulation.model import DAY_MS, Change, NamespaceState, Possible, State, Told, apply

NO_OVERSPEND = "no-overspend"
NO_LOST_DECREMENT = "no-lost-or-doubled-decrement"
NO_CHANGE_MISSING = "no-acknowledged-change-missing"
NO_STALE_ANSWER = "no-stale-answer"
EVENTS_ONCE = "events-exactly-once"
LIMITS_HOLD = "limits-hold"
AUDIT = "audit-for-every-change"
IDEMPOTENCY = "idempotency"
UNAVAILABLE = "unavailable-means-nothing-done"
STARTS_AGAIN = "always-starts-again"

PROMISES = {
    NO_OVERSPEND: "What verifications of a key were granted to spend never exceeds what the key was given.",
    NO_LOST_DECREMENT: "A balance is what was given less what was spent, each once; what got no answer counts or not.",
    NO_CHANGE_MISSING: "Every request that begins after a change was acknowledged sees it, whatever has crashed since.",
    NO_STALE_ANSWER: "A verification that begins after a change was acknowledged never answers from before it.",
    EVENTS_ONCE: "Every answered verification of a key is counted once, with its outcome; others at most once.",
    LIMITS_HOLD: "No window admits more than its limit, and nothing is rejected that would have fitted.",
    AUDIT: "Every change has its audit entries, once; what changed nothing has none.",
    IDEMPOTENCY: "A request repeated with its Idempotency-Key is done once and told the same.",
    UNAVAILABLE: "Every request is answered with success, a refusal, or 503, and 503 means that nothing was done.",
    STARTS_AGAIN: "The server starts on whatever a crash has left.",
}
"""Each invariant in a sentence."""


_MAX_CONFIGURATIONS = 200_000


class Violated(AssertionError):
    """A promise was not kept. `invariant` is its name."""

    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {PROMISES[invariant]}\n{what}")
        self.invariant = invariant


@dataclass
class Observed:
    """What was read from a server at rest. `events` are counts by tags and outcome."""

    identity: str
    identity_limits: dict[str, tuple[int, int]]
    namespace: str
    events: dict[tuple[tuple[str, ...], str], int] = field(default_factory=dict)
    unreadable_apis: set[str] = field(default_factory=set)
    lost_events: int = 0
    """Events that were dropped and counted as such, or waited in memory for a disk that took none at a crash."""
    keys: set[str] = field(default_factory=set)
    audit: Sequence[Any] = ()
    queued: Sequence[tuple[str, str]] = ()
    """Of each item in the queue its name and why it has failed."""
    rests: list[float] = field(default_factory=list)
    """The ticks at which a server was at rest before."""


# ---- at every answer


def check_answer(books: Books, request: Request, failures: Sequence[str]) -> None:
    """What can be said of one answer as soon as it is there."""
    _check_form(request, failures)
    if isinstance(request.subject, Subject) and request.status == 200:
        _check_balance(books, request.subject)
    if request.idempotency_key is not None and request.status in (200, 202):
        _check_repetition(books, request)


def _check_form(request: Request, failures: Sequence[str]) -> None:
    """UNAVAILABLE: nothing failed that nobody took, and the answer has a form the contract knows."""
    if failures:
        raise Violated(UNAVAILABLE, f"a failure in the server that nobody took: {failures[0]}")
    status, body = request.status, request.body
    if status in (None, 202 if request.operation == "migrations.enqueueKeys" else 200):
        return
    error = body.get("error", {}) if isinstance(body, dict) else {}
    is_unavailable = status == 503 and error.get("reason") == "UNAVAILABLE"
    if not is_unavailable and (status not in (400, 404, 409) or "code" not in error or "requestId" not in error):
        raise Violated(UNAVAILABLE, str(request))


def _check_balance(books: Books, subject: Subject) -> None:
    """NO_OVERSPEND: by plain sums, whatever the order of things was."""
    granted, is_limited, spent = 0, True, 0
    refills = {0}
    days = 1 + (books.highest_ms - min(request.sent_ms for request in subject.requests)) // DAY_MS
    for request in subject.requests:
        members, status = request.members, request.status
        if request.operation == "keys.verifyKey":
            if status == 200 and request.body["valid"] and "remaining" in request.body:
                spent += members.get("remaining", {}).get("cost", 1)
            continue
        if status not in (None, 200, 202):
            continue
        refills.add((members.get("refill") or {}).get("amount", 0))
        if request.operation == "keys.updateRemaining":
            granted += (members["value"] or 0) if members["op"] != "decrement" else 0
            is_limited &= members["value"] is not None
        else:
            granted += members.get("remaining") or 0
    most = granted + days * max(refills)
    if is_limited and spent > most:
        raise Violated(NO_OVERSPEND, f"{subject}: {spent} credits were spent, {most} given\n{_lines(subject.requests)}")
    for request in subject.requests[-1:]:
        left = request.body.get("remaining", 0) if isinstance(request.body, dict) else 0
        if is_limited and left is not None and not 0 <= left <= most:
            raise Violated(NO_OVERSPEND, f"{subject}: {left} credits left, {most} given\n{_lines(subject.requests)}")


def _check_repetition(books: Books, request: Request) -> None:
    """IDEMPOTENCY: the same words as the first time."""
    for other in _same_change(books, request):
        if other.status == request.status and other.body != request.body:
            raise Violated(IDEMPOTENCY, f"{other}\n{request}")


def _same_change(books: Books, request: Request) -> list[Request]:
    return [other for other in books.requests if other.idempotency_key == request.idempotency_key]


# ---- when a server is at rest, after its start


def check_at_rest(books: Books, observed: Observed) -> None:
    """Everything that clients were told, and what can be read now."""
    check_histories(books, observed)
    check_events(books, observed)
    check_audit(books, observed)
    check_imports(books, observed)
    check_no_other_keys(books, observed)
    observed.rests.append(books.tick())


def check_histories(books: Books, observed: Observed) -> None:
    """Every object's history has an explanation in which each request happens at one instant while it is under way."""
    for subject in books.subjects:
        _explain(str(subject), books.of_key(subject), State(granted=FIRST_GRANTED))
    _explain(f"namespace {observed.namespace}", books.of_namespace(observed.namespace), NamespaceState())
    calls = books.of_identity(observed.identity, observed.identity_limits)
    _explain(f"limits of {observed.identity}", calls, frozenset())


def _explain(name: str, calls: Sequence[Call], initial: Any) -> None:
    wrong = _wrong(_strict(calls), initial)
    if wrong is None:
        return
    explaining = (invariant for invariant, relaxed in _RELAXATIONS if relaxed(calls, initial) is None)
    raise Violated(next(explaining, NO_CHANGE_MISSING), f"{name}: {_in_words(wrong)}")


def _wrong(calls: Sequence[Call], initial: Any, *without: str) -> Violation | None:
    possible = Possible(frozenset({initial}))
    return violation(calls, possible, partial(_apply, frozenset(without)), max_configurations=_MAX_CONFIGURATIONS)


def _apply(without: frozenset[str], possible: Possible, operation: Any) -> tuple[Possible, Any]:
    return apply(possible, operation, without)


def _is_unavailable(call: Call) -> bool:
    seen = call.request.seen  # type: ignore[attr-defined]
    return seen is not None and seen.get("answer") == "unavailable"


def _strict(calls: Sequence[Call]) -> list[Call]:
    """503: nothing happened."""
    return [call for call in calls if not _is_unavailable(call)]


def _if_unavailable_changed_something(calls: Sequence[Call], initial: Any) -> Violation | None:
    return _wrong([_perhaps_done(call) if _is_unavailable(call) else call for call in calls], initial)


def _perhaps_done(call: Call) -> Call:
    # Not only at once: what a log has kept may come back with the next start.
    return replace(call, request=_as_if_told(call.request, None), answer=UNANSWERED, responded=NEVER)


def _if_repetitions_are_done_again(calls: Sequence[Call], initial: Any) -> Violation | None:
    return _wrong([_unkept(call) for call in _strict(calls)], initial)


def _unkept(call: Call) -> Call:
    operation = call.request
    if isinstance(operation, Change) and operation.idempotency_key is not None:
        told = _as_if_told(operation, None if operation.seen is None else {})
        return replace(call, request=replace(told, idempotency_key=None))
    return call


def _as_if_told(operation: Any, seen: Told | None) -> Any:
    return replace(operation, seen=seen)


_RELAXATIONS: tuple[tuple[str, Callable[[Sequence[Call], Any], Violation | None]], ...] = (
    (UNAVAILABLE, _if_unavailable_changed_something),
    (LIMITS_HOLD, lambda calls, initial: _wrong(_strict(calls), initial, "limits")),
    (NO_STALE_ANSWER, lambda calls, initial: _wrong(_strict(calls), initial, "verdict", "limits")),
    (NO_LOST_DECREMENT, lambda calls, initial: _wrong(_strict(calls), initial, "balance")),
    (IDEMPOTENCY, _if_repetitions_are_done_again),
)
"""Which promise was broken: the one without which there is an explanation."""


def _in_words(wrong: Violation) -> str:
    last = [f"  {_call(call)}" for call in wrong.explained[-8:]]
    stuck = [f"  {_call(call)}" for call in wrong.stuck]
    state: Any = wrong.state
    return "\n".join(
        [
            f"{len(wrong.explained)} steps can be explained, the last of them:",
            *last,
            "then it is one of these:",
            *(f"  {possible}" for possible in state.states),
            "and none of these can be next:",
            *stuck,
        ]
    )


def _call(call: Call) -> str:
    operation: Any = call.request
    told = "no answer" if call.answer is UNANSWERED else operation.seen
    return f"{call.invoked}..{call.responded} {type(operation).__name__} of request {operation.number} -> {told}"


def check_events(books: Books, observed: Observed) -> None:
    """EVENTS_ONCE: by the tag that names the request."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for (tags, outcome), events in observed.events.items():
        counted[tags[0]][outcome] += events
    missing = []
    for request in books.requests:
        if not _is_counted(request, observed):
            continue
        events = counted.pop(request.members["tags"][0], Counter[str]())
        expected = _expected_outcome(request)
        if events.total() > (expected is not None) or (expected not in ("", None) and set(events) - {expected}):
            raise Violated(EVENTS_ONCE, f"{request}: counted as {dict(events)}")
        if expected and not events:
            missing.append(request)
    if counted:
        raise Violated(EVENTS_ONCE, f"counted, but never sent: {dict(counted)}")
    unexplained = [request for request in missing if not _lost_with_power(books, observed, request, missing)]
    if len(unexplained) > observed.lost_events:
        raise Violated(
            EVENTS_ONCE,
            f"{len(unexplained)} are not counted, {observed.lost_events} were told as lost:\n{_lines(unexplained)}",
        )


def _is_counted(request: Request, observed: Observed) -> bool:
    """Whether it is a verification whose count can be read."""
    subject = request.subject
    is_verification = request.operation == "keys.verifyKey" and isinstance(subject, Subject)
    return is_verification and subject.api_id not in observed.unreadable_apis


def _expected_outcome(request: Request) -> str | None:
    """The outcome that is counted; "" when there may be any, None when nothing must be counted."""
    if request.answer is None:
        return ""
    if request.status != 200 or request.body["code"] == "NOT_FOUND":
        return None
    return str(request.body["code"])


def _lost_with_power(books: Books, observed: Observed, request: Request, missing: Sequence[Request]) -> bool:
    """Whether an event may have gone with the power: nobody was at rest since, and nothing later was counted."""
    for tick in books.power_losses.values():
        if request.responded < tick and not any(request.responded < rest < tick for rest in observed.rests):
            later = [
                other
                for other in books.requests
                if other.life == request.life
                and other.invoked > request.responded
                and _is_counted(other, observed)
                and _expected_outcome(other)
            ]
            return all(other in missing for other in later)
    return False


_ENTRIES = {
    "keys.createKey": "key.create",
    "migrations.createKeys": "key.create",
    "keys.updateKey": "key.update",
    "keys.updateRemaining": "key.update",
    "keys.deleteKey": "key.delete",
    "apis.deleteApi": "api.delete",
    "ratelimits.setOverride": "ratelimit.set_override",
    "ratelimits.deleteOverride": "ratelimit.delete_override",
}
"""The entry that each change leaves exactly once; entries about links and what is made on the way come on top."""

_SIDE_ENTRIES = ("authorization.", "permission.create", "ratelimit.create", "ratelimit.update", "ratelimit.delete")


def check_audit(books: Books, observed: Observed) -> None:
    """AUDIT: entries carry the name of the request that made them, so each is laid at its door."""
    by_agent: dict[str, Counter[str]] = defaultdict(Counter)
    refills: Counter[tuple[str, int]] = Counter()
    for entry in observed.audit:
        if entry["actor_type"] == "system":
            refills[entry["description"].split()[1], entry["time_ms"]] += 1
        else:
            by_agent[entry["user_agent"]][entry["event"]] += 1
    for (key_id, time_ms), entries in refills.items():
        if entries > 1:
            raise Violated(AUDIT, f"the refill of {key_id} at {time_ms} has {entries} entries")
    for request in books.requests:
        _check_entries(books, request, by_agent)
    _check_links(books, observed)


def _check_entries(books: Books, request: Request, by_agent: dict[str, Counter[str]]) -> None:
    entries = by_agent.get(f"client {request.number}", Counter())
    main = _ENTRIES.get(request.operation)
    attempts = [request] if request.idempotency_key is None else _same_change(books, request)
    events = sum((by_agent.get(f"client {attempt.number}", Counter()) for attempt in attempts), Counter[str]())
    if request.status not in (None, 200) and entries:
        raise Violated(AUDIT, f"{request}: it changed nothing and has entries {dict(entries)}")
    if main is not None:
        is_done = any(attempt.status == 200 for attempt in attempts)
        allowed = (1,) if is_done else (0, 1)
        if events[main] not in allowed:
            raise Violated(
                IDEMPOTENCY if events[main] > 1 and len(attempts) > 1 else AUDIT,
                f"{_lines(attempts)}: {events[main]} entries {main}",
            )
        others = {event for event in entries if event != main and not event.startswith(_SIDE_ENTRIES)}
        if others - ({"key.delete"} if main == "api.delete" else set()):
            raise Violated(AUDIT, f"{request}: it has entries {dict(entries)}")


def _check_links(books: Books, observed: Observed) -> None:
    """Every link that is there was connected last, every other one disconnected or never made; no entry is twice."""
    del books
    linked: dict[tuple[str, ...], bool] = {}
    for entry in observed.audit:
        event = entry["event"]
        if not event.startswith("authorization."):
            continue
        pair = (event.partition("_")[2], entry["description"].partition(" ")[2])
        connects = "disconnect" not in event
        if linked.get(pair, False) == connects:
            raise Violated(AUDIT, f"{entry['description']} twice in a row")
        linked[pair] = connects


def check_imports(books: Books, observed: Observed) -> None:
    """NO_CHANGE_MISSING, AUDIT, IDEMPOTENCY, UNAVAILABLE: each item of a batch is a key once, or failed in the queue.

    That a key was made shows in its audit entry, whatever has become of the key.
    """
    created = [entry for entry in observed.audit if entry["event"] == "key.create"]
    made = Counter(resource.get("name") for entry in created for resource in json.loads(entry["resources"]))
    for batch in books.batches:
        _check_batch(books, batch, made, observed.queued)


def _check_batch(books: Books, batch: Batch, made: Counter[str], failed: Sequence[tuple[str, str]]) -> None:
    attempts = [request for request in books.requests if request.subject is batch]
    names = [item["name"] for item in attempts[0].members["keys"]]
    queued = Counter(name for name, _ in failed)
    there = [made[name] + queued[name] for name in names]
    is_done = any(attempt.status == 202 for attempt in attempts)
    may_be_done = any(attempt.answer is None for attempt in attempts)
    broken = ""
    if max(there) > 1:
        # A second one in the queue was queued twice, or the first was not taken from it.
        is_made_twice = max(made[name] for name in names) > 1
        broken = IDEMPOTENCY if len(attempts) > 1 else AUDIT if is_made_twice else NO_CHANGE_MISSING
    elif any(not _must_fail(books, batch, name, why) for name, why in failed if name in names):
        broken = NO_CHANGE_MISSING
    elif is_done and min(there) == 0:
        # Were a key missing, its history would have told.
        broken = AUDIT
    elif not is_done and max(there) and not may_be_done:
        broken = UNAVAILABLE
    elif max(there) != min(there):
        broken = NO_CHANGE_MISSING
    if broken:
        whys = {name: [why for other, why in failed if other == name] for name in names}
        told = [f"  {name}: made {made[name]} times, failed in the queue {whys[name]}" for name in names]
        raise Violated(broken, "\n".join([_lines(attempts), *told]))


def _must_fail(books: Books, batch: Batch, name: str, why: str) -> bool:
    """Whether the item can fail for that reason."""
    if why == "a key with this hash already exists":
        return name not in {f"key {subject.number}" for subject in batch.subjects if subject is not None}
    if why == f'unknown permissions: ["{LATE}"]':
        return not books.is_late_made
    is_doomed = any(request.subject == batch.api_id for request in books.requests)
    return is_doomed and why == f"api {batch.api_id} not found"


def check_no_other_keys(books: Books, observed: Observed) -> None:
    """NO_CHANGE_MISSING, the other way round: no key that nobody made."""
    known = {subject.key_id for subject in books.subjects}
    untold = sum(
        subject.key_id == "" and any(_may_have_happened(request) for request in subject.requests)
        for subject in books.subjects
    )
    if len(observed.keys - known) > untold:
        raise Violated(IDEMPOTENCY, f"keys that nobody made: {sorted(observed.keys - known)}")


def _may_have_happened(request: Request) -> bool:
    return request.answer is None and request.operation in ("keys.createKey", "migrations.createKeys")


def _lines(requests: Sequence[Request]) -> str:
    return "\n".join(f"  {request}" for request in requests[-20:])
