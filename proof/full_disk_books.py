"""What clients were told by a server whose disk fills and empties, and whether the server says the same afterwards."""

import itertools
import json
import random
import sqlite3
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from keystead.sinks.tables import COUNTERS, OF_KEYSPACE, totals_hourly
from keystead.testing.connection import Answer, Connection

GRANTED = 1_000_000_000
PATIENCE_S = 60.0


class Call(NamedTuple):
    """A call; `done` notes what a 200 means. `may_be_refused` with 503: it changes or spends something.

    `events_of` is the key of whose verification a 200 tells, if it does of one.
    """

    operation: str
    members: dict[str, Any] | list[Any]
    done: Callable[[Any], None]
    may_be_refused: bool
    events_of: str | None = None
    is_get: bool = False


class Books:
    """What must be there, by what was answered. For one server and its folder; any thread may call."""

    def __init__(self, url: str, root_key: str, seed: int) -> None:
        self.url = url
        self.root_key = root_key
        self.violations: list[str] = []
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.events = 0
        """Answers that leave a verification event."""
        self.lost_events = 0
        """Those that the server has said it lost, before it was started for the last time."""
        self.lost_in_all = 0
        """The same with what the running server said at the last check."""
        self.audited = 0
        self.lost_entries = 0
        self.slowest_s = 0.0
        self.verified: Counter[str] = Counter()
        self._expected: dict[str, set[str]] = {
            kind: set() for kind in ("keys", "permissions", "identities", "apis", "namespaces", "overrides")
        }
        self._balance = GRANTED
        self._refused_repeatable: list[tuple[str, str]] = []
        self._living: dict[str, str] = {}
        self._random = random.Random(seed)
        self._number = itertools.count()
        self._lock = threading.Lock()
        with self.connect() as client:
            self._set_up(client)

    def _set_up(self, client: Connection) -> None:
        def ask(operation: str, members: Any) -> Any:
            answer = client.post(operation, members)
            assert answer.status == 200, answer
            self.events += 1
            return answer.json

        self.api_id = ask("apis.createApi", {"name": "the api"})["apiId"]
        keys = {
            "free": {},
            "paid": {"remaining": GRANTED},
            "limited": {"ratelimit": {"limit": 1_000_000, "duration": 60_000}},
        }
        made = {
            name: ask("keys.createKey", {"apiId": self.api_id, "name": name, **more}) for name, more in keys.items()
        }
        self._ids = {name: key["keyId"] for name, key in made.items()}
        self._secrets = {name: key["key"] for name, key in made.items()}
        self._expected["keys"] |= set(keys)
        self._expected["apis"].add("the api")
        ask("ratelimits.limit", self._limit("here"))
        self._expected["namespaces"].add("here")

    def connect(self) -> Connection:
        """A connection to the server."""
        return Connection(self.url, self.root_key)

    # What clients do

    def work(self, until: Callable[[], bool], client: Connection, more: Callable[[], Any] = lambda: None) -> None:
        """One call after the other."""
        while not until():
            with self._lock:
                call = self._any_call()
            self.make(client, call)
            more()

    def make(self, client: Connection, call: Call) -> Answer:
        """Make a call, and note what it was answered."""
        repeatable = None
        if call.operation == "keys.createKey" and self._random.random() < 0.3:
            repeatable = f"repeatable-{call.members['name']:>020}"  # type: ignore[call-overload]
        begun_s = time.monotonic()
        if call.is_get:
            client.send(call.operation, None, query=call.members)  # type: ignore[arg-type]
        else:
            client.send(call.operation, call.members, idempotency_key=repeatable)
        answer = client.receive()
        with self._lock:
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
            self._note(call, answer, repeatable)
        return answer

    def _note(self, call: Call, answer: Answer, repeatable: str | None) -> None:
        self.statuses[call.operation, answer.status] += 1
        is_verification = call.operation == "keys.verifyKey"
        # Each use of the root key is an event, also when what it was used for is refused.
        self.events += 0 if is_verification or call.operation == "liveness" else 1
        if answer.status == 503 and call.may_be_refused:
            self._note_refusal(call, answer, repeatable)
        elif answer.status not in (200, 202):
            self.violations.append(f"{call.operation} was answered {answer.status}: {answer.body[:300]!r}")
        else:
            if call.events_of is not None:
                self.verified[call.events_of] += 1
                self.events += is_verification
            call.done(answer.json)

    def _note_refusal(self, call: Call, answer: Answer, repeatable: str | None) -> None:
        error = answer.json["error"]
        if (error["code"], error.get("reason")) != ("INTERNAL_SERVER_ERROR", "UNAVAILABLE") or not error["requestId"]:
            self.violations.append(f"{call.operation} was refused with {answer.body[:300]!r}")
        if repeatable is not None:
            self._refused_repeatable.append((repeatable, call.members["name"]))  # type: ignore[call-overload]

    def _any_call(self) -> Call:
        name = str(next(self._number))
        changes = [self._create, self._create, self._delete, self._import, self._enqueue, self._make_other]
        spends = [self._spend, self._spend, self._spend, self._add]
        reads = [self._verify, self._verify, self._verify_limited, self._limit_here, self._limit_here, self._read]
        return self._random.choice(self._random.choice([changes, spends, reads, reads]))(name)

    def _there(self, kind: str, *names: str) -> Callable[[Any], None]:
        return lambda _: self._expected[kind].update(names)

    def _create(self, name: str) -> Call:
        def done(answer: Any) -> None:
            self._expected["keys"].add(name)
            self._living[name] = answer["keyId"]

        return Call("keys.createKey", {"apiId": self.api_id, "name": name}, done, True)

    def _delete(self, name: str) -> Call:
        if not self._living:
            return self._create(name)
        dying, key_id = self._living.popitem()
        return Call("keys.deleteKey", {"keyId": key_id}, lambda _: self._expected["keys"].discard(dying), True)

    def _import(self, name: str) -> Call:
        names = [f"{name}-{number}" for number in range(5)]
        items = [{"apiId": self.api_id, "name": name, "plaintext": f"imported_{name}"} for name in names]
        return Call("migrations.createKeys", items, self._there("keys", *names), True)

    def _enqueue(self, name: str) -> Call:
        names = [f"{name}-queued-{number}" for number in range(3)]
        items = [{"name": name, "plaintext": f"queued_{name}"} for name in names]
        members = {"migrationId": "m", "apiId": self.api_id, "keys": items}
        return Call("migrations.enqueueKeys", members, self._there("keys", *names), True)

    def _make_other(self, name: str) -> Call:
        limit = {"namespaceName": "here", "limit": 1, "duration": 1000}
        operation, kind, member, made = self._random.choice(
            [
                ("permissions.createPermission", "permissions", "name", f"p.{name}"),
                ("identities.createIdentity", "identities", "externalId", f"id {name}"),
                ("apis.createApi", "apis", "name", f"api {name}"),
                ("ratelimits.limit", "namespaces", "namespace", f"space {name}"),
                ("ratelimits.setOverride", "overrides", "identifier", f"identifier {name}"),
            ]
        )
        more = {"ratelimits.limit": self._limit(""), "ratelimits.setOverride": limit}.get(operation, {})
        return Call(operation, {**more, member: made}, self._there(kind, made), True)

    def _spend(self, _name: str) -> Call:
        cost = self._random.randint(1, 3)

        def done(_: Any) -> None:
            self._balance -= cost

        members = {"key": self._secrets["paid"], "remaining": {"cost": cost}}
        return Call("keys.verifyKey", members, done, True, "paid")

    def _add(self, _name: str) -> Call:
        def done(_: Any) -> None:
            self._balance += 7

        members = {"keyId": self._ids["paid"], "op": "increment", "value": 7}
        return Call("keys.updateRemaining", members, done, True)

    def _verify(self, _name: str) -> Call:
        return Call("keys.verifyKey", {"key": self._secrets["free"], "tags": ["a"]}, lambda _: None, False, "free")

    def _verify_limited(self, _name: str) -> Call:
        return Call("keys.verifyKey", {"key": self._secrets["limited"]}, lambda _: None, False, "limited")

    def _limit(self, namespace: str) -> dict[str, Any]:
        return {"namespace": namespace, "identifier": "somebody", "limit": 1_000_000, "duration": 3_600_000}

    def _limit_here(self, name: str) -> Call:
        if int(name) % 2:
            return Call("ratelimits.limit", self._limit("here"), lambda _: None, False)

        def done(_: Any) -> None:
            self.audited += 1

        members = {**self._limit("here"), "resources": [{"type": "user", "id": name}]}
        return Call("ratelimits.limit", members, done, False)

    def _read(self, _name: str) -> Call:
        free = {"keyId": self._ids["free"]}
        operation, members, is_get = self._random.choice(
            [
                ("keys.whoami", {"key": self._secrets["free"]}, False),
                ("keys.getKey", free, True),
                ("keys.getVerifications", free, True),
                ("apis.listKeys", {"apiId": self.api_id, "limit": 20}, True),
                ("ratelimits.listNamespaces", {}, True),
                ("liveness", {}, True),
            ]
        )
        return Call(operation, members, lambda _: None, False, None, is_get)

    # What must be true

    def check(self, folder: Path, analytics: Path) -> None:
        """Compare with what the server has, now that its disk has room; what differs is added to `violations`.

        `folder` holds the database, `analytics` is the file of the counts.
        """
        with self.connect() as client:
            self._wait("the imports and the audit entries are done", lambda: self._is_settled(client))
            self._compare_objects(client)
            if self._refused_repeatable:
                self._repeat_refused(client)
                self._compare_objects(client)
        metrics = self.metrics()
        lost = self.lost_events + int(metrics["verification_events_dropped_total"])
        expected, self.lost_in_all = self.events - lost, lost
        self._wait("every event is counted", lambda: counted_events(analytics) >= expected)
        self._same("events counted", counted_events(analytics), expected)
        if not lost:
            for name, events in self.verified.items():
                self._same(f"verifications of {name}", self._verifications(name), events)
        entries = self.audited - self.lost_entries - int(metrics["audit_entries_lost_total"])
        self._wait("audit entries are written", lambda: audited_limits(folder) >= entries)
        self._same("audit entries", audited_limits(folder), entries)

    def _repeat_refused(self, client: Connection) -> None:
        """A refused call is no kept answer: repeated with the same Idempotency-Key it is done, and done once."""
        for key, name in self._refused_repeatable:
            members = {"apiId": self.api_id, "name": name}
            bodies = set()
            for _ in range(2):
                client.send("keys.createKey", members, idempotency_key=key)
                answer = client.receive()
                self.events += 1
                self._same(f"status of the repeated call {key}", answer.status, 200)
                bodies.add(answer.body)
            self._same(f"different answers to the repeated call {key}", len(bodies), 1)
            self._expected["keys"].add(name)
        self._refused_repeatable.clear()

    def _is_settled(self, client: Connection) -> bool:
        keys = client.get("apis.listKeys", apiId=self.api_id, limit=1).json
        self.events += 1
        return keys["total"] >= len(self._expected["keys"]) and not self.metrics()["audit_entries_waiting"]

    def _compare_objects(self, client: Connection) -> None:
        balance = client.get("keys.getKey", keyId=self._ids["paid"]).json["remaining"]
        permissions = client.get("permissions.listPermissions").json
        self.events += 2
        self._same("credits left", balance, self._balance)
        api = {"apiId": self.api_id}
        found = {
            "keys": [key.get("name") for key in self._all(client, "apis.listKeys", "keys", **api)],
            "permissions": [permission["name"] for permission in permissions],
            "identities": [i["externalId"] for i in self._all(client, "identities.listIdentities", "identities")],
            "apis": [each["name"] for each in self._all(client, "apis.listApis", "apis")],
            "namespaces": [n["name"] for n in self._all(client, "ratelimits.listNamespaces", "namespaces")],
            "overrides": [
                o["identifier"]
                for o in self._all(client, "ratelimits.listOverrides", "overrides", namespaceName="here")
            ],
        }
        for kind, names in found.items():
            twice = [name for name, times in Counter(names).items() if times > 1]
            missing, surplus = self._expected[kind] - set(names), set(names) - self._expected[kind]
            for problem, which in (("missing", missing), ("there but refused", surplus), ("there twice", twice)):
                if which:
                    self.violations.append(f"{kind} {problem}: {len(which)}, such as {sorted(which)[:3]}")

    def _all(self, client: Connection, operation: str, member: str, **query: Any) -> list[Any]:
        found: list[Any] = []
        cursor = None
        while True:
            page = client.get(operation, limit=100, **query, **({"cursor": cursor} if cursor else {}))
            self.events += 1
            items = page.json[member]
            found += items
            cursor = page.json.get("cursor")
            if not items or not cursor or len(items) < 100:
                return found

    def _verifications(self, name: str) -> int:
        with self.connect() as client:
            start_ms = int(time.time() * 1000) - 86_400_000
            days = client.get("keys.getVerifications", keyId=self._ids[name], start=start_ms).json
            self.events += 1
        return sum(day["success"] + day["rateLimited"] + day["usageExceeded"] for day in days["verifications"])

    def metrics(self) -> dict[str, float]:
        """The server's numbers by their names without `keystead_`; those without a label."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as response:
            lines = response.read().decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name.removeprefix("keystead_"): float(value) for name, _, value in pairs}

    def _wait(self, what: str, is_so: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_so():
            if time.monotonic() > deadline_s:
                self.violations.append(f"after {PATIENCE_S:g} s still not so: {what}")
                return
            time.sleep(0.05)

    def _same(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.violations.append(f"{what}: {found}, expected {expected}")


def counted_events(analytics: Path) -> int:
    """All events in the counts, whatever their outcome."""
    columns = " + ".join(COUNTERS)
    return _scalar(analytics, f"SELECT SUM({columns}) FROM {totals_hourly.name} WHERE kind = {OF_KEYSPACE}")


def audited_limits(folder: Path) -> int:
    """Audit entries of decisions about limits."""
    query = "SELECT COUNT(*) FROM audit_log WHERE event IN ('ratelimit.success', 'ratelimit.denied')"
    return _scalar(folder / "keystead.db", query)


def _scalar(file: Path, query: str) -> int:
    connection = sqlite3.connect(file, timeout=30)
    try:
        (value,) = connection.execute(query).fetchone()
    finally:
        connection.close()
    return value or 0


def log_lines(log: Path) -> list[dict[str, Any]]:
    """The server's log; a line that is not JSON (a traceback, say) is a violation of its own: `raw`."""
    lines = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            lines.append({"event": "raw", "raw": line})
    return lines
