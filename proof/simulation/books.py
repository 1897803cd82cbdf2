"""What the clients of a run know: every request with its answer, as calls on the objects of `model`."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from proof.linearizability import UNANSWERED, Call
from proof.simulation import model
from proof.simulation.model import (
    DAY_MS,
    DONE,
    MISSING,
    PASSED,
    REFUSED,
    Create,
    Delete,
    Demand,
    Grant,
    IsGone,
    IsUnlimited,
    Key,
    Limit,
    Link,
    Look,
    Operation,
    SetOverride,
    Spend,
    Take,
    Told,
    Top,
    Update,
    refill_of,
)
from proof.simulation.network import Answer

ROLE = "reader"
FIRST_GRANTED = frozenset({"documents.read"})
"""The permissions of the role at first."""

LATE = "documents.late"
"""A permission that some queued imports name, and that is made only when all lives are over."""

REPLAY_WITHIN_MS = 20 * 3_600_000
"""Answers are kept for a day; a request is not repeated later than this."""


@dataclass(eq=False)
class Subject:
    """A key that clients know: by its secret, and by its id once they were told it. `identity` is an external id."""

    number: int
    api_id: str
    secret: str = ""
    key_id: str = ""
    identity: str | None = None
    is_deleted: bool = False
    """Somebody has begun to delete it."""
    requests: "list[Request]" = field(default_factory=list)

    def __str__(self) -> str:
        return f"key {self.number} ({self.key_id or 'id unknown'})"


@dataclass(eq=False)
class Batch:
    """Keys that are imported together through the queue: of each item its key, None for one that can not be made."""

    number: int
    api_id: str
    subjects: list[Subject | None]

    def __str__(self) -> str:
        return f"batch {self.number}"


@dataclass(eq=False)
class Request:
    """A request as its client saw it. Instants are ticks of `Books`, `wall` what the server's clock went through.

    A batch has a part for each of its keys, a request of its own with the item as its members: it is under way until
    the queue has been seen worked off.
    """

    number: int
    life: int
    operation: str
    members: dict[str, Any]
    subject: Subject | Batch | str | None
    """The key, the batch or the namespace that it is about, the role, or the api that it deletes."""
    idempotency_key: str | None
    invoked: int
    sent_ms: int
    responded: float = math.inf
    wall: tuple[tuple[int, int], ...] = ()
    highest_ms: int = 0
    answer: Answer | None = None
    body: Any = None
    parts: "list[Request]" = field(default_factory=list)

    @property
    def status(self) -> int | None:
        """Of the answer; None without one."""
        return None if self.answer is None else self.answer.status

    @property
    def is_unavailable(self) -> bool:
        """Whether the server said that storage takes no writes."""
        return self.status == 503

    def __str__(self) -> str:
        # Secrets of a simulation are nobody's, but they make long lines.
        members = {name: value for name, value in self.members.items() if name not in ("key", "keyId", "plaintext")}
        told = "no answer" if self.answer is None else f"{self.status} {self.body}"
        repeated = f" repeatable {self.idempotency_key[-4:]}" if self.idempotency_key else ""
        return f"request {self.number}{repeated}: {self.operation} {self.subject or ''} {members} -> {told}"


class Books:
    """Everything that was sent and answered in a run."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.subjects: list[Subject] = []
        self.batches: list[Batch] = []
        self.life_ends: dict[int, int] = {}
        """Life → the tick of its end."""
        self.power_losses: dict[int, int] = {}
        """Life that lost power → the tick of its end."""
        self.counter_losses: list[int] = []
        """The ticks at which counters of limits were lost: by loss of power, or because their file had no room."""
        self.highest_ms = 0
        self.is_late_made = False
        """Whether there is the permission LATE."""
        self._tick = 0
        self._jumps: list[tuple[int, int, int]] = []
        self._queued: list[Request] = []
        """Parts of batches that may yet be made."""

    def tick(self) -> int:
        """The next instant: nothing else has it."""
        self._tick += 1
        return self._tick

    def jumped(self, before_ms: int, after_ms: int) -> None:
        """The server's clock was set."""
        self._jumps.append((self.tick(), before_ms, after_ms))
        self.saw(before_ms)
        self.saw(after_ms)

    def saw(self, now_ms: int) -> None:
        """The server's clock has shown this."""
        self.highest_ms = max(self.highest_ms, now_ms)

    def begin(
        self,
        life: int,
        operation: str,
        members: dict[str, Any],
        subject: Subject | Batch | str | None,
        now_ms: int,
        idempotency_key: str | None = None,
    ) -> Request:
        """A request that is being sent."""
        request = Request(len(self.requests), life, operation, members, subject, idempotency_key, self.tick(), now_ms)
        self.requests.append(request)
        if isinstance(subject, Subject):
            subject.requests.append(request)
        if isinstance(subject, Batch):
            self._begin_parts(request, subject)
        return request

    def _begin_parts(self, request: Request, batch: Batch) -> None:
        for item, subject in zip(request.members["keys"], batch.subjects, strict=True):
            if subject is not None:
                part = replace(request, members=item, subject=subject, parts=[])
                subject.requests.append(part)
                request.parts.append(part)
        self._queued += request.parts

    def end(self, request: Request, answer: Answer | None, body: Any, now_ms: int) -> None:
        """Its answer has come, or it is known that none will."""
        self.saw(now_ms)
        for done in (request, *request.parts):
            done.answer, done.body = answer, body
        if answer is not None:
            request.responded = self.tick()
        self._note_clock(request, now_ms)

    def worked_off(self, now_ms: int, failed: Collection[str] = ()) -> None:
        """What was to be made of the queue has been made; items of the names `failed` are left, and may be later."""
        self.saw(now_ms)
        tick = self.tick()
        for part in self._queued:
            self._note_clock(part, now_ms)
            if part.members["name"] not in failed:
                part.responded = tick
        self._queued = [part for part in self._queued if part.responded == math.inf]

    def _note_clock(self, request: Request, now_ms: int) -> None:
        """What the server's clock went through from its beginning until now."""
        request.highest_ms = self.highest_ms
        spans, begins_ms = [], request.sent_ms
        for tick, before_ms, after_ms in self._jumps:
            if request.invoked < tick:
                spans.append((begins_ms, max(begins_ms, before_ms)))
                begins_ms = after_ms
        request.wall = (*spans, (begins_ms, max(begins_ms, now_ms)))

    def ended(self, life: int, *, power_loss: bool, counters_lost: bool) -> None:
        """A life is over: what it has not answered it will not do any more."""
        self.life_ends[life] = self.tick()
        if power_loss or counters_lost:
            self.counter_losses.append(self._tick)
        if power_loss:
            self.power_losses[life] = self._tick
        for request in self.requests:
            if request.life == life and request.answer is None:
                request.responded = self._tick

    # ---- as calls on objects

    def of_key(self, subject: Subject) -> list[Call]:
        """Every call on a key, deletions of its api and changes of the role included."""
        about_all = [request for request in self.requests if request.subject in (subject.api_id, ROLE)]
        calls = []
        # A tick is one instant, so sorting is by time.
        for request in sorted([*subject.requests, *about_all], key=lambda request: request.invoked):
            is_queued = request.operation == "migrations.enqueueKeys"
            was_going = self._was_its_api_deleted(request) if is_queued else self._was_being_deleted(request)
            calls += _calls(request, _on_key(request, subject, was_going))
        return [*calls, *self._losses()]

    def of_namespace(self, name: str) -> list[Call]:
        """Every call on a namespace."""
        requests = [request for request in self.requests if request.subject == name]
        return [call for request in requests for call in _calls(request, _on_namespace(request))] + self._losses()

    def of_identity(self, external_id: str, limits: dict[str, tuple[int, int]]) -> list[Call]:
        """Every call on the limits of an identity: name → (limit, duration in ms)."""
        calls = []
        for request in self.requests:
            subject = request.subject
            if isinstance(subject, Subject) and subject.identity == external_id:
                calls += _calls(request, _on_identity(request, limits, self._was_being_deleted(request)))
        return calls + self._losses()

    def _was_being_deleted(self, request: Request) -> bool:
        """Whether a deletion of its key, or of the key's api, was under way at the same time."""
        subject = request.subject
        return isinstance(subject, Subject) and any(
            other.invoked < request.responded and request.invoked < other.responded
            for other in self.requests
            if (other.operation == "keys.deleteKey" and other.subject is subject)
            or (other.operation == "apis.deleteApi" and other.subject == subject.api_id)
        )

    def _was_its_api_deleted(self, request: Request) -> bool:
        """Whether a deletion of its key's api was under way at the same time."""
        subject = request.subject
        return isinstance(subject, Subject) and any(
            other.operation == "apis.deleteApi"
            and other.subject == subject.api_id
            and other.invoked < request.responded
            and request.invoked < other.responded
            for other in self.requests
        )

    def _losses(self) -> list[Call]:
        return [
            Call(tick, tick + 0.5, model.CountersLost(number=-1, seen={}, moments=(0,)), True)
            for tick in self.counter_losses
        ]


def _calls(request: Request, operations: Iterator[Operation]) -> list[Call]:
    calls = []
    for operation in operations:
        answer = UNANSWERED if operation.seen is None else True
        calls.append(Call(request.invoked, request.responded, operation, answer))
    return calls


def _common(request: Request, seen: Told | None, *durations_ms: int, instants: tuple[int, ...] = ()) -> dict[str, Any]:
    return {
        "number": request.number,
        "seen": seen,
        "moments": moments(request.wall, (DAY_MS, *durations_ms), instants),
        "highest_ms": request.highest_ms,
    }


def moments(
    wall: tuple[tuple[int, int], ...], durations_ms: tuple[int, ...], instants: tuple[int, ...] = ()
) -> tuple[int, ...]:
    """One instant of each part of the spans in which windows of these durations and `instants` make no difference."""
    found = set()
    for begin_ms, end_ms in wall:
        found.add(begin_ms)
        for duration_ms in durations_ms:
            found.update(range((begin_ms // duration_ms + 1) * duration_ms, end_ms + 1, duration_ms))
        found.update(instant for instant in instants if begin_ms < instant <= end_ms)
    return tuple(sorted(found))


def _on_key(request: Request, subject: Subject, was_being_deleted: bool) -> Iterator[Operation]:
    """What a request does to a key. One that was refused because storage takes no writes does nothing (see `model`)."""
    if request.operation == "keys.verifyKey":
        yield from _verification(request, subject, was_being_deleted)
        return
    if request.operation == "keys.getKey":
        if request.answer is not None:
            yield Look(**_common(request, _looked(request)))
        return
    if request.operation == "keys.getVerifications":
        return
    if request.operation == "migrations.enqueueKeys" and request.status == 202 and was_being_deleted:
        # It may have been too late for the queue to make it.
        yield Create(key=first_key(request.members), **_common(request, None))
        return
    change = _change(request, subject)
    if change is not None:
        yield change


def _change(request: Request, subject: Subject) -> Operation | None:
    common = {**_common(request, _answered(request)), "idempotency_key": request.idempotency_key}
    members = request.members
    match request.operation:
        case "keys.createKey" | "migrations.createKeys" | "migrations.enqueueKeys":
            if request.status == 404:  # its api was being deleted
                return None
            return Create(key=first_key(members), **common)
        case "keys.deleteKey":
            return Delete(**common)
        case "apis.deleteApi":
            # Which of two deletions was the first does not matter to the key.
            return None if request.status == 404 else Delete(with_api=True, **common)
        case "permissions.setRolePermissions":
            return Grant(names=frozenset(item["slug"] for item in members["permissions"]), **common)
        case "keys.updateKey":
            return Update(members=members, **common)
        case "keys.updateRemaining":
            return Top(op=members["op"], value=members["value"], **common)
    member = "permissions" if request.operation.endswith("Permissions") else "roles"
    verb = request.operation.removeprefix("keys.").removesuffix(member.capitalize())
    names = frozenset(item.get("slug") or item["name"] for item in members[member])
    return Link(member=member, verb=verb, names=names, **common)


def _answered(request: Request) -> Told | None:
    if request.answer is None:
        return None
    if request.status == 503:
        return {"answer": "unavailable"}
    if request.status not in (200, 202):
        return {"answer": {404: MISSING, 400: REFUSED, 409: "conflict"}.get(request.status or 0, request.status)}
    if request.operation == "keys.updateRemaining":
        return {"answer": DONE, "balance": request.body["remaining"]}
    if isinstance(request.body, list):
        return {"answer": DONE, "links": frozenset(item["name"] for item in request.body)}
    return {"answer": DONE}


def first_key(members: dict[str, Any]) -> Key:
    """A key as a request makes it."""
    limit = members.get("ratelimit")
    return Key(
        name=members.get("name"),
        enabled=members.get("enabled", True),
        expires_ms=members.get("expires"),
        permissions=frozenset(members.get("permissions", ())),
        roles=frozenset(members.get("roles", ())),
        limit=None if limit is None else (limit["limit"], limit.get("duration") or limit["refillInterval"]),
        remaining=members.get("remaining"),
        refill=refill_of(members.get("refill")),
    )


def _looked(request: Request) -> Told:
    if request.status == 404:
        return {"answer": MISSING}
    body = request.body
    refill, limit = body.get("refill"), body.get("ratelimit")
    record = (
        body.get("name"),
        body["enabled"],
        body.get("expires"),
        frozenset(body["permissions"]),
        frozenset(body["roles"]),
        None if limit is None else (limit["limit"], limit["duration"]),
        None if refill is None else (refill["amount"], refill["refillDay"]),
    )
    return {"answer": DONE, "record": record, "balance": body.get("remaining")}


def _demands(members: dict[str, Any]) -> tuple[Demand, ...]:
    demands = []
    if "ratelimit" in members:
        demands.append(Demand("default", members["ratelimit"]["cost"]))
    for entry in members.get("ratelimits", ()):
        demands.append(Demand(entry["name"], entry.get("cost", 1), entry.get("limit"), entry.get("duration")))
    return tuple(demands)


def _durations(request: Request, subject: Subject) -> tuple[int, ...]:
    """Of every limit that may have been in force."""
    durations = {demand.duration_ms for demand in _demands(request.members)}
    for other in subject.requests:
        limit = other.members.get("ratelimit")
        if isinstance(limit, dict) and "limit" in limit:
            durations.add(limit.get("duration") or limit["refillInterval"])
    return tuple(sorted(duration for duration in durations if duration))


def _expiries(subject: Subject) -> tuple[int, ...]:
    # A key has expired from the millisecond after on.
    return tuple({r.members["expires"] + 1 for r in subject.requests if r.members.get("expires")})


def _verification(request: Request, subject: Subject, was_being_deleted: bool) -> Iterator[Operation]:
    members, body = request.members, request.body
    screen: Told | None = None
    code = None
    if request.status == 200:
        code = body["code"]
        if code != "NOT_FOUND":
            screen = _screened(body, has_own_limits=subject.identity is None)
    if code != "NOT_FOUND" or was_being_deleted:
        # One that found no key took from no limit, unless it went while its credits were to be spent.
        common = _common(request, screen, *_durations(request, subject), instants=_expiries(subject))
        yield model.Screen(
            demands=_demands(members) if subject.identity is None else (),
            needed=members.get("authorization", {}).get("permissions"),
            **common,
        )
    cost = members.get("remaining", {}).get("cost", 1)
    if code is None:
        # 503: the limits may be taken, but nothing was spent.
        yield Spend(cost=cost, **_common(request, {"answer": "unavailable"} if request.answer else None))
    elif code == "NOT_FOUND":
        yield IsGone(**_common(request, {"verdict": "NOT_FOUND"}))
    elif code in ("VALID", "USAGE_EXCEEDED"):
        if "remaining" in body:
            told = {"balance": (code == "VALID", body["remaining"])}
            yield Spend(cost=cost, **_common(request, told))
        else:
            yield IsUnlimited(**_common(request, {"balance": None}))


def _screened(body: dict[str, Any], *, has_own_limits: bool) -> Told:
    members = (
        body.get("name"),
        body["enabled"],
        body.get("expires"),
        frozenset(body["permissions"]),
        frozenset(body["roles"]),
    )
    code = body["code"]
    if code not in ("VALID", "USAGE_EXCEEDED", "RATE_LIMITED"):
        return {"verdict": (code, *members)}
    told: dict[str, object] = {"verdict": (PASSED, *members)}
    if has_own_limits:
        told["limits"] = (code != "RATE_LIMITED", _reading(body.get("ratelimit")))
    return told


def _reading(limit: dict[str, int] | None) -> tuple[int, int, int] | None:
    return None if limit is None else (limit["limit"], limit["remaining"], limit["reset"])


def _on_identity(request: Request, limits: dict[str, tuple[int, int]], was_being_deleted: bool) -> Iterator[Operation]:
    if request.operation != "keys.verifyKey" or not request.members.get("ratelimits"):
        return
    demands = tuple(Demand(demand.name, demand.cost, *limits[demand.name]) for demand in _demands(request.members))
    seen: Told | None = None
    if request.status == 200:
        code = request.body["code"]
        if code in ("VALID", "USAGE_EXCEEDED", "RATE_LIMITED"):
            seen = {"limits": (code != "RATE_LIMITED", _reading(request.body.get("ratelimit")))}
        elif code != "NOT_FOUND" or not was_being_deleted:
            return
    yield Take(demands=demands, **_common(request, seen, *(duration for _, duration in limits.values())))


def _on_namespace(request: Request) -> Iterator[Operation]:
    members = request.members
    seen = _answered(request)
    if request.operation == "ratelimits.limit":
        if seen is not None and request.status == 200:
            body = request.body
            seen = {"limits": (body["success"], (body["limit"], body["remaining"], body["reset"]))}
        yield Limit(
            identifier=members["identifier"],
            limit=members["limit"],
            duration_ms=members["duration"],
            cost=members["cost"],
            **_common(request, seen, *NAMESPACE_DURATIONS_MS),
        )
        return
    allowance = (members["limit"], members["duration"]) if request.operation == "ratelimits.setOverride" else None
    yield SetOverride(
        identifier=members["identifier"],
        allowance=allowance,
        idempotency_key=request.idempotency_key,
        **_common(request, seen),
    )


NAMESPACE_DURATIONS_MS = (2_000, 10_000, 60_000)
"""What windows in namespaces may last."""
