"""The ledger of what clients were answered; `pages` has a page for each kind of object."""

import random
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from keystead.testing.connection import Answer, Connection
from proof.clients import Program, Request
from proof.crash.undecided import Count, Difference, expect

OUTCOMES = {
    "VALID": "valid",
    "USAGE_EXCEEDED": "usageExceeded",
    "RATE_LIMITED": "rateLimited",
    "DISABLED": "disabled",
    "EXPIRED": "expired",
}
"""Outcome of a verification → its member in analytics."""

_DAY_MS = 86_400_000
_LONGEST_PIPELINE = 4
_REPEATED_SHARE = 0.4
_REMEMBERED_ANSWERS = 40
_PATIENCE_S = 30


@dataclass(frozen=True)
class Deed:
    """A call and what it means: `acknowledged` is told the answer's JSON, `lost` whether the call will be repeated.

    `audit` are the entries it leaves (event, object's id, how many). Only a deed that `is_repeatable` may carry an
    Idempotency-Key; `repeated` is told the answer to its repetition after no answer. `status` is the answer's.
    """

    operation: str
    members: dict[str, Any]
    acknowledged: Callable[[Any], None]
    lost: Callable[[bool], None]
    audit: Sequence[tuple[str, str, int]] = ()
    is_repeatable: bool = False
    repeated: Callable[[Any], None] = field(default=lambda _: None)
    status: int = 200


@dataclass(frozen=True)
class Said:
    """A call with an Idempotency-Key, and the body of its answer, None if there was none."""

    deed: Deed
    idempotency_key: str
    body: bytes | None


class Page(Protocol):
    """One part of the ledger."""

    def deed(self, slot: int) -> Deed | None:
        """Something for that connection to do; None when this page has nothing at the moment."""

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """Compare with what the server has now, which decides what was open. Raises Difference."""


class Books:
    """What clients know of the server's state, by what they were answered.

    `clean` comparisons are those after an orderly end: nothing that is unanswered was done.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = random.Random(seed)
        self.prefix = f"crash{seed}"[:16]
        self.pages: list[tuple[Page, int]] = []
        self.acknowledged: Counter[str] = Counter()
        self.undecided = 0
        self.repeated = 0
        self.compared_events = 0
        self.audit: dict[tuple[str, str], Count] = defaultdict(Count)
        self.events: dict[str, dict[tuple[str, str], Count]] = {}
        self._markers: dict[str, dict[str, str]] = {}
        self._database = folder / "keystead.db"
        self._audit_found: Counter[tuple[str, str]] = Counter()
        self._audit_seq = 0
        self._unanswered: list[Said] = []
        self.answered: list[Said] = []
        self._calls = 0

    # --- Making the world

    def create_api(self, client: Connection, name: str, **members: Any) -> str:
        """An api whose verifications are counted in the ledger; its id."""
        api_id: str = client.post("apis.createApi", {"name": name, **members}).json["apiId"]
        self.audit["api.create", api_id].add(1)
        self.events[api_id] = defaultdict(Count)
        self._markers[api_id] = self.create_key(client, api_id)
        return api_id

    def create_key(self, client: Connection, api_id: str, **members: Any) -> dict[str, str]:
        """A key; the answer."""
        created: dict[str, str] = client.post(
            "keys.createKey", {"apiId": api_id, "prefix": self.prefix, **members}
        ).json
        self.audit["key.create", created["keyId"]].add(1)
        return created

    def event(self, api_id: str, key_id: str, outcome: str) -> Count:
        """How often the key was verified with that outcome."""
        return self.events[api_id][key_id, outcome]

    # --- What clients do

    def programs(self, slots: int) -> list[Program]:
        """A program for each slot: a few requests at a time, one behind the other."""
        return [lambda slot=slot: self._next_requests(slot) for slot in range(slots)]  # type: ignore[misc]

    def _next_requests(self, slot: int) -> list[Request]:
        wanted = self.random.choice([1, 1, 2, _LONGEST_PIPELINE])
        requests: list[Request] = []
        pages, weights = zip(*self.pages, strict=True)
        while len(requests) < wanted:
            (page,) = self.random.choices(pages, weights)
            deed = page.deed(slot)
            if deed is not None:
                requests.append(self.request(deed))
        return requests

    def request(self, deed: Deed) -> Request:
        """The deed as a request that enters its outcome into the ledger."""
        key = None
        if deed.is_repeatable and self.random.random() < _REPEATED_SHARE:
            self._calls += 1
            key = f"{self.prefix}-call-number-{self._calls:09}"

        def settle(answer: Answer | None) -> None:
            if answer is None:
                self._lose(deed, key)
                return
            expect(
                answer.status == deed.status,
                f"{deed.operation} {deed.members} was answered {answer.status} {answer.body!r}",
            )
            deed.acknowledged(answer.json)
            self.acknowledged[deed.operation] += 1
            for event, object_id, entries in deed.audit:
                self.audit[event, object_id].add(entries)
            if key is not None:
                self.answered.append(Said(deed, key, answer.body))

        return Request(deed.operation, deed.members, settle, key)

    def _lose(self, deed: Deed, key: str | None) -> None:
        self.undecided += 1
        deed.lost(key is not None)
        for event, object_id, entries in deed.audit:
            self.audit[event, object_id].lose(entries, is_repeated=key is not None)
        if key is not None:
            self._unanswered.append(Said(deed, key, None))

    # --- What must be true

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """Compare everything with a server that runs again; what it knows decides what was open. Raises Difference."""
        self.repeat(client)
        for page, _ in self.pages:
            page.compare(client, is_clean=is_clean)
        for api_id in self.events:
            self.compare_events(client, api_id, is_clean=is_clean)
        self.compare_audit(is_clean=is_clean)

    def compare_audit_from_the_start(self) -> None:
        """Read the whole audit log again: nothing that was there has gone. Raises Difference."""
        self._audit_seq = 0
        self._audit_found.clear()
        self.compare_audit(is_clean=True)

    def repeat(self, client: Connection) -> None:
        """Ask again, twice, for what was not answered, and for some of what was: it is done once and said again."""
        for said in self._unanswered:
            first = self._say_again(client, said)
            expect(self._say_again(client, said).body == first.body, f"{said.deed.operation}: the answer has changed")
            said.deed.repeated(first.json)
        remembered = self.random.sample(self.answered, min(len(self.answered), _REMEMBERED_ANSWERS))
        for said in remembered:
            expect(self._say_again(client, said).body == said.body, f"{said.deed.operation}: the answer has changed")
        self.repeated += len(self._unanswered) + len(remembered)
        self._unanswered = []
        self.answered = remembered

    def _say_again(self, client: Connection, said: Said) -> Answer:
        client.send(said.deed.operation, said.deed.members, idempotency_key=said.idempotency_key)
        answer = client.receive()
        wanted = said.deed.status
        expect(answer.status == wanted, f"{said.deed.operation} repeated: {answer.status} {answer.body!r}")
        return answer

    def compare_events(self, client: Connection, api_id: str, *, is_clean: bool) -> None:
        """Every answered verification is counted once, an unanswered one once or not. Raises Difference."""
        rows = self._counted_events(client, api_id)
        events = self.events[api_id]
        for key_id, outcome in list(events):
            found = rows.pop((key_id, outcome), 0)
            what = f"the number of verifications of {key_id} with {outcome}"
            events[key_id, outcome].settle(found, what, is_clean=is_clean)
        strays = {key: count for key, count in rows.items() if count}
        expect(not strays, f"verifications that nobody asked for: {strays}")
        self.compared_events = sum(count.acknowledged for counts in self.events.values() for count in counts.values())

    def _counted_events(self, client: Connection, api_id: str) -> dict[tuple[str, str], int]:
        """(key, outcome) → number, as analytics has them once it has all there are."""
        # Events are counted in the order of the spool: when the last one shows, so do all before it.
        marker = self._markers[api_id]
        client.post("keys.verifyKey", {"key": marker["key"]})
        wanted = self.event(api_id, marker["keyId"], "VALID")
        wanted.add(1)
        deadline_s = time.monotonic() + _PATIENCE_S
        # From two days ago on, should midnight pass meanwhile.
        query = {"apiId": api_id, "start": int(time.time() * 1000) - 2 * _DAY_MS, "groupBy": "key"}
        while True:
            rows = client.get("analytics.getVerifications", **query).json
            found = {(r["keyId"], outcome): r[name] for r in rows for outcome, name in OUTCOMES.items()}
            if found.get((marker["keyId"], "VALID"), 0) >= wanted.acknowledged:
                return found
            expect(time.monotonic() < deadline_s, "verifications are not counted")
            time.sleep(0.01)

    def compare_audit(self, *, is_clean: bool) -> None:
        """Every acknowledged change has its entries. Raises Difference."""
        self._read_audit()
        for key, count in self.audit.items():
            count.settle(self._audit_found[key], f"the number of audit entries {key}", is_clean=is_clean)

    def _read_audit(self) -> None:
        sql = """
            SELECT event, json_extract(value, '$.id'), count(*), max(seq) FROM audit_log, json_each(resources)
            WHERE seq > ? GROUP BY 1, 2
        """
        database = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            for event, object_id, entries, seq in database.execute(sql, (self._audit_seq,)).fetchall():
                self._audit_found[event, object_id] += entries
                self._audit_seq = max(self._audit_seq, seq)
        finally:
            database.close()


def ask_all(client: Connection, requests: Iterable[tuple[str, dict[str, Any], bool]]) -> list[Answer]:
    """The answers to many (operation, members or query, whether it is a POST), asked one behind the other."""
    answers: list[Answer] = []
    under_way = 0
    for operation, members, is_post in requests:
        client.send(operation, members if is_post else None, query=None if is_post else members)
        under_way += 1
        if under_way == 16:
            answers += [client.receive() for _ in range(under_way)]
            under_way = 0
    return answers + [client.receive() for _ in range(under_way)]


def everything_listed(client: Connection, operation: str, member: str, **query: Any) -> list[dict[str, Any]]:
    """Everything that a listing has, page after page. Raises Difference when that is not its total."""
    items: list[dict[str, Any]] = []
    page = client.get(operation, limit=100, **query).json
    while page[member]:
        items += page[member]
        page = client.get(operation, limit=100, cursor=page["cursor"], **query).json
    expect(len(items) == page["total"], f"{operation} lists {len(items)} and says that there are {page['total']}")
    return items


def expect_told(answer: dict[str, Any], **members: Any) -> None:
    """Raise a Difference unless the answer has these members; None stands for absent."""
    told = {name: answer.get(name) for name in members}
    if told != members:
        raise Difference(f"told {told}, it must be {members}")
