"""The page of the ledger for keys that are imported through the queue (`migrations.enqueueKeys`).

What is acknowledged there is a promise about later: each item becomes a key, once, or stays in the queue with the
reason why it can not.
"""

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from keystead.core.secrets import hash_secret
from keystead.service.migration_queue import MAX_ATTEMPTS
from keystead.testing.connection import Connection
from proof.crash.books import Books, Deed, ask_all, everything_listed, expect_told
from proof.crash.undecided import expect

LATE_ROLE = "a role that is made at last"
CONFLICT = "a key with this hash already exists"
UNKNOWN_ROLE = f"unknown roles: {json.dumps([LATE_ROLE])}"

_SIZES = (1, 1, 2, 2, 3, 5, 30)
"""Of batches; the largest take the worker more than one round."""

_KEPT = 150
_PATIENCE_S = 30


@dataclass(eq=False)
class Item:
    """A key that was enqueued. `members` are as sent, with its name; `shown` is what a listing must tell of it.

    `refusal` is the reason why it can not be made, None if it can. `key_id` is empty until its key has been seen;
    `verified` and `perhaps` count verifications that are not in the ledger yet, with and without an answer.
    """

    secret: str
    members: dict[str, Any]
    shown: dict[str, Any]
    refusal: str | None
    key_id: str = ""
    verified: int = 0
    perhaps: int = 0

    @property
    def name(self) -> str:
        """What tells it from all others."""
        return str(self.members["name"])


Batch = Sequence[Item]


class Found(NamedTuple):
    """What a server whose queue is worked off has: keys as listed, and rows of the queue, each by the item's name."""

    keys: dict[str, list[dict[str, Any]]]
    queued: dict[str, list[dict[str, Any]]]


class Imports:
    """An api whose keys come from the queue.

    Items that name a role nobody has made wait for it. At the end `mend` makes it and `let_time_pass` ends all waiting;
    from then on a comparison wants every item to be a key or given up. `made` and `failed` say how many are.
    """

    def __init__(self, books: Books, client: Connection, folder: Path) -> None:
        self._books = books
        self._database = folder / "keystead.db"
        self.api_id = books.create_api(client, "imports")
        self._known_secret = books.create_key(client, self.api_id)["key"]
        keys = everything_listed(client, "apis.listKeys", "keys", apiId=self.api_id)
        self._others = {key["id"] for key in keys}
        (self._keyspace_id,) = self._rows("SELECT keyspace_id FROM apis WHERE id = ?", self.api_id)[0].values()
        # What the audit log says of all keys of the api together finds the entry of a key that was not made.
        books.audit["key.create", self._keyspace_id].add(len(keys))
        self.items: list[Item] = []
        self.perhaps: list[Batch] = []
        """Batches that got no answer and are not repeated."""
        self.made = self.failed = 0
        self._names = 0
        self._is_over = False

    # --- What clients do

    def deed(self, slot: int) -> Deed:
        """Enqueue a batch, or verify one of the last keys that were enqueued, whether or not it has been made."""
        draw = self._books.random.random()
        able = [item for item in self.items[-_KEPT:] if item.refusal is None]
        if able and draw < 0.4:
            return self._verify(self._books.random.choice(able))
        return self._enqueue_in_vain() if draw > 0.95 else self._enqueue()

    def _enqueue(self) -> Deed:
        batch = [self._drawn_item() for _ in range(self._books.random.choice(_SIZES))]
        if batch[0].refusal != UNKNOWN_ROLE and self._books.random.random() < 0.2:
            batch.append(self._twin(batch[0]))

        def acknowledged(answer: Any) -> None:
            expect(answer == {}, f"a batch was answered {answer}")
            self.items += batch

        def lost(is_repeated: bool) -> None:
            if not is_repeated:
                self.perhaps.append(batch)

        return Deed(
            "migrations.enqueueKeys",
            self._request([item.members for item in batch]),
            acknowledged,
            lost,
            is_repeatable=True,
            repeated=acknowledged,
            status=202,
        )

    def _enqueue_in_vain(self) -> Deed:
        """A batch of which one item has neither a hash nor a plaintext: nothing of it must ever be seen."""
        members = self._request([self._drawn_item().members, {"name": "neither hash nor plaintext"}])
        return Deed("migrations.enqueueKeys", members, lambda _: None, lambda _: None, status=400)

    def _request(self, keys: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"migrationId": f"batch before {self._names}", "apiId": self.api_id, "keys": keys}

    def _drawn_item(self) -> Item:
        draw = self._books.random
        kind = draw.random()
        secret = self._known_secret if kind < 0.08 else self._new_secret()
        members, shown = self._drawn_members()
        if draw.random() < 0.5:
            members["hash"] = _hash(secret)
        if "hash" not in members or draw.random() < 0.2:
            # Beside a hash it is only kept.
            members["plaintext"] = shown["plaintext"] = self._new_secret() if "hash" in members else secret
        if kind < 0.08:
            return Item(secret, members, shown, CONFLICT)
        if kind < 0.12:
            return Item(secret, members | {"roles": [LATE_ROLE]}, shown | {"roles": [LATE_ROLE]}, UNKNOWN_ROLE)
        return Item(secret, members, shown, None)

    def _drawn_members(self) -> tuple[dict[str, Any], dict[str, Any]]:
        draw = self._books.random
        self._names += 1
        choices: dict[str, Any] = {
            "name": f"import {self._names}",
            "remaining": draw.choice([None, draw.randint(1, 1000)]),
            "meta": draw.choice([None, {"n": draw.random()}]),
        }
        members = {name: value for name, value in choices.items() if value is not None}
        return members, choices | {"plaintext": None, "roles": None}

    def _twin(self, item: Item) -> Item:
        """Another item with the same hash, behind it."""
        members, shown = self._drawn_members()
        return Item(item.secret, members | {"hash": _hash(item.secret)}, shown, CONFLICT)

    def _new_secret(self) -> str:
        # As long and as random as our own, so that a look into the files finds it.
        return f"{self._books.prefix}_{self._books.random.getrandbits(96):024x}"

    def _verify(self, item: Item) -> Deed:
        is_seen = bool(item.key_id)

        def acknowledged(answer: Any) -> None:
            if answer["code"] == "NOT_FOUND":
                expect(not is_seen, f"{item.name} was a key and is none any more")
                return
            expect_told(answer, code="VALID", name=item.name)
            self._see(item, answer["keyId"])
            item.verified += 1

        def lost(_: bool) -> None:
            item.perhaps += 1

        return Deed("keys.verifyKey", {"key": item.secret, "remaining": {"cost": 0}}, acknowledged, lost)

    def _see(self, item: Item, key_id: str) -> None:
        """The key of an item is there: from now on it stays, and has its audit entries once."""
        if not item.key_id:
            item.key_id = key_id
            self.made += 1
            self._books.audit["key.create", key_id].add(1)
            self._books.audit["key.create", self._keyspace_id].add(1)
            self._books.audit["authorization.connect_role_and_key", key_id].add("roles" in item.members)
        expect(item.key_id == key_id, f"{item.name} was key {item.key_id} and is now {key_id}")

    # --- The end of all waiting

    def mend(self, client: Connection) -> None:
        """Make the role that some items wait for: they can be made now."""
        role_id = client.post("permissions.createRole", {"name": LATE_ROLE}).json["roleId"]
        self._books.audit["role.create", role_id].add(1)
        for item in self.items:
            item.refusal = None if item.refusal == UNKNOWN_ROLE else item.refusal

    def let_time_pass(self) -> None:
        """While no server runs: all that waits is due, for the last time."""
        with sqlite3.connect(self._database) as database:
            sql = "UPDATE queued_keys SET due_at_ms = 0, attempts = ? WHERE due_at_ms IS NOT NULL"
            database.execute(sql, (MAX_ATTEMPTS - 1,))
        database.close()
        self._is_over = True

    # --- What must be true

    def compare(self, client: Connection, *, is_clean: bool) -> None:
        """What was acknowledged is there once, as a key or with its reason; of the rest whole batches or nothing."""
        self.judge(self.read(client), is_clean=is_clean)
        self.failed = sum(item.refusal is not None for item in self.items)
        self._verify_new(client)
        self._thin_out(client)

    def read(self, client: Connection) -> Found:
        """Wait until the queue is worked off, and read what there is. Raises Difference when it is not."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while waiting := self._rows(f"SELECT item FROM queued_keys WHERE {self._is_waiting}"):
            expect(time.monotonic() < deadline_s, f"items that are not worked off: {waiting[:3]}")
            time.sleep(0.01)
        found = Found(defaultdict(list), defaultdict(list))
        for row in self._rows("SELECT item, attempts, due_at_ms, error FROM queued_keys"):
            found.queued[json.loads(row["item"])["name"]].append(row)
        for key in everything_listed(client, "apis.listKeys", "keys", apiId=self.api_id, decrypt="true"):
            if key["id"] not in self._others:
                found.keys[key["name"]].append(key)
        return found

    @property
    def _is_waiting(self) -> str:
        # Between retries a row is at rest: nothing that it fails for is mended meanwhile.
        return "due_at_ms IS NOT NULL" if self._is_over else "attempts = 0"

    def judge(self, found: Found, *, is_clean: bool) -> None:
        """Compare with what there is, which decides what was open. Raises Difference."""
        for batch in self.perhaps:
            there = [item for item in batch if item.name in found.keys or item.name in found.queued]
            expect(len(there) in (0, len(batch)), f"of a batch of {len(batch)} there are {len(there)}: a part")
            expect(not (there and is_clean), f"{there[:1]} got no answer and was done by a server that ended in order")
            self.items += there
        self.perhaps = []
        for item in self.items:
            self._judge_item(item, found.keys.get(item.name, []), found.queued.get(item.name, []))
        strays = (found.keys.keys() | found.queued.keys()) - {item.name for item in self.items}
        expect(not strays, f"imports that nobody enqueued: {sorted(strays)}")

    def _judge_item(self, item: Item, keys: list[dict[str, Any]], queued: list[dict[str, Any]]) -> None:
        name = item.name
        expect(bool(keys or queued), f"{name} is lost")
        expect(len(keys) + len(queued) == 1, f"{name} is there {len(keys)} times as a key, {len(queued)} times queued")
        if item.refusal is not None:
            expect(not keys, f"{name} is a key, it must fail with {item.refusal}")
            error = queued[0]["error"]
            expect(error == item.refusal, f"{name} has failed with {error}, it must be {item.refusal}")
            return
        expect(not queued, f"{name} is not made, the queue says {queued}")
        told = {member: keys[0].get(member) or None for member in item.shown}
        expect(told == item.shown, f"{name} is listed as {told}, it must be {item.shown}")
        self._see(item, keys[0]["id"])

    def _verify_new(self, client: Connection) -> None:
        """Every key that was made verifies; what else was verified goes into the ledger."""
        made = [item for item in self.items[-_KEPT:] if item.key_id]
        asked = [("keys.verifyKey", {"key": item.secret, "remaining": {"cost": 0}}, True) for item in made]
        for item, answer in zip(made, ask_all(client, asked), strict=True):
            expect_told(answer.json, code="VALID", keyId=item.key_id)
            item.verified += 1
        for item in self.items:
            if item.key_id:
                self._enter_verifications(item)

    def _enter_verifications(self, item: Item) -> None:
        event = self._books.event(self.api_id, item.key_id, "VALID")
        event.add(item.verified)
        for _ in range(item.perhaps):
            event.lose(1)
        item.verified = item.perhaps = 0

    def _thin_out(self, client: Connection) -> None:
        """Delete the oldest keys: they must not come back either."""
        made = [item for item in self.items if item.key_id]
        old = made[:-_KEPT]
        for item, answer in zip(
            old, ask_all(client, [("keys.deleteKey", {"keyId": item.key_id}, True) for item in old]), strict=True
        ):
            expect(answer.status == 200, f"{item.name} can't be deleted: {answer.status}")
            self._books.audit["key.delete", item.key_id].add(1)
        gone = set(old)
        self.items = [item for item in self.items if item not in gone]

    def _rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        database = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(sql, values)]
        finally:
            database.close()


def _hash(secret: str) -> dict[str, str]:
    return {"value": hash_secret(secret), "variant": "sha256_base64"}
