"""Whatever is killed when: what was acknowledged is there, what was not is there whole or not at all."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess

CLIENTS = 4
IN_FLIGHT = 8
"""Requests that each client has under way at the same time."""

GRANTED = 100_000_000


class Action(NamedTuple):
    """A call; `acknowledged` is told its answer, `lost` that there was none: it was done whole or not at all."""

    operation: str
    members: dict[str, Any]
    acknowledged: Callable[[Any], None]
    lost: Callable[[], None]


class Range:
    """A number that is known up to what was in flight; `acknowledged` is what it is without that."""

    def __init__(self, value: int) -> None:
        self.low = self.high = self.acknowledged = value

    def add(self, amount: int) -> None:
        self.low += amount
        self.high += amount
        self.acknowledged += amount

    def perhaps_add(self, amount: int) -> None:
        self.low += min(amount, 0)
        self.high += max(amount, 0)

    def is_acknowledged(self) -> None:
        self.low = self.high = self.acknowledged

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high

    def __repr__(self) -> str:
        return f"{self.low} to {self.high}"


class Books:
    """What the clients know of the server's state, by what they were answered."""

    def __init__(self, server: ServerProcess, seed: int) -> None:
        self._server = server
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.acknowledged: Counter[str] = Counter()
        self.balance = Range(GRANTED)
        self.paid_verifications = Range(0)
        self.free_verifications = Range(0)
        self.living: dict[str, str] = {}
        self.dead: dict[str, str] = {}
        self.undecided: dict[str, str] = {}
        self.versions: dict[str, set[int]] = {}
        with self.connect() as client:
            self.api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
            self._paid = self._create(client, remaining=GRANTED)
            self._free = self._create(client, ratelimit={"limit": 1_000_000_000, "duration": 1000})
            for _ in range(CLIENTS * IN_FLIGHT):
                key_id = self._create(client, name="0", permissions=["version.0"])["keyId"]
                self.versions[key_id] = {0}

    def connect(self) -> Connection:
        return Connection(self._server.url, self._server.root_key)

    def _create(self, client: Connection, **members: Any) -> Any:
        return client.post("keys.createKey", {"apiId": self.api_id, **members}).json

    # What clients do

    def any_action(self, key_id: str) -> Action:
        """Something to do; `key_id` is the key that only this connection updates."""
        choices = [self._spend, self._spend, self._verify, self._verify, self._add, self._create_one, self._delete_one]
        with self._lock:
            return self._random.choice([*choices, lambda: self._update(key_id)])()

    def settle(self, action: Action, answer: Any) -> None:
        """Note what became of an action; no answer is None."""
        with self._lock:
            if answer is None:
                action.lost()
                return
            assert answer.status == 200, (action, answer)
            action.acknowledged(answer.json)
            self.acknowledged[action.operation] += 1

    def _spend(self) -> Action:
        cost = self._random.randint(1, 3)

        def acknowledged(answer: Any) -> None:
            assert answer["valid"]
            self.balance.add(-cost)
            self.paid_verifications.add(1)

        def lost() -> None:
            self.balance.perhaps_add(-cost)
            self.paid_verifications.perhaps_add(1)

        return Action("keys.verifyKey", {"key": self._paid["key"], "remaining": {"cost": cost}}, acknowledged, lost)

    def _add(self) -> Action:
        value = self._random.randint(1, 5)
        return Action(
            "keys.updateRemaining",
            {"keyId": self._paid["keyId"], "op": "increment", "value": value},
            lambda _: self.balance.add(value),
            lambda: self.balance.perhaps_add(value),
        )

    def _verify(self) -> Action:
        return Action(
            "keys.verifyKey",
            {"key": self._free["key"], "tags": ["a tag"]},
            lambda _: self.free_verifications.add(1),
            lambda: self.free_verifications.perhaps_add(1),
        )

    def _create_one(self) -> Action:
        def acknowledged(answer: Any) -> None:
            self.living[answer["keyId"]] = answer["key"]

        return Action("keys.createKey", {"apiId": self.api_id}, acknowledged, lambda: None)

    def _delete_one(self) -> Action:
        if not self.living:
            return self._create_one()
        key_id, secret = self.living.popitem()

        def acknowledged(_: Any) -> None:
            self.dead[key_id] = secret

        def lost() -> None:
            self.undecided[key_id] = secret

        members = {"keyId": key_id, "permanent": self._random.random() < 0.5}
        return Action("keys.deleteKey", members, acknowledged, lost)

    def _update(self, key_id: str) -> Action:
        version = max(self.versions[key_id]) + 1
        members = {
            "keyId": key_id,
            "name": str(version),
            "permissions": [{"slug": f"version.{version}", "create": True}],
        }

        def acknowledged(_: Any) -> None:
            self.versions[key_id] = {version}

        def lost() -> None:
            self.versions[key_id].add(version)

        return Action("keys.updateKey", members, acknowledged, lost)

    # What must be true

    def expect_only_what_was_acknowledged(self) -> None:
        """What got no answer has not been done either."""
        for number in (self.balance, self.paid_verifications, self.free_verifications):
            number.is_acknowledged()
        self.versions = {key_id: {min(versions)} for key_id, versions in self.versions.items()}
        self.living.update(self.undecided)
        self.undecided.clear()

    def check(self) -> None:
        """Compare with what the server has now. What is found decides what was undecided."""
        with self.connect() as client:
            self._check_verifications(client)
            balance = client.get("keys.getKey", keyId=self._paid["keyId"]).json["remaining"]
            assert balance in self.balance
            assert client.post("keys.verifyKey", {"key": self._paid["key"], "remaining": {"cost": 0}}).json["valid"]
            self.paid_verifications.add(1)
            self.balance = Range(balance)
            for key_id, versions in self.versions.items():
                stored = client.get("keys.getKey", keyId=key_id).json
                assert int(stored["name"]) in versions
                assert stored["permissions"] == [f"version.{stored['name']}"]
                self.versions[key_id] = {int(stored["name"])}
            for secrets, codes in ((self.living, {"VALID"}), (self.dead, {"NOT_FOUND"})):
                assert {client.post("keys.verifyKey", {"key": key}).json["code"] for key in secrets.values()} <= codes
            for key_id, secret in self.undecided.items():
                is_alive = client.post("keys.verifyKey", {"key": secret}).json["valid"]
                assert client.get("keys.getKey", keyId=key_id).status == (200 if is_alive else 404)
                (self.living if is_alive else self.dead)[key_id] = secret
            self.undecided.clear()

    def _check_verifications(self, client: Connection) -> None:
        # Events are counted in the order of the spool: when the last one shows, so do all before it.
        last = self._create(client)
        client.post("keys.verifyKey", {"key": last["key"]})
        deadline_s = time.monotonic() + 30
        while _verifications(client, last["keyId"]) == 0:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert _verifications(client, self._paid["keyId"]) in self.paid_verifications
        assert _verifications(client, self._free["keyId"]) in self.free_verifications


def _verifications(client: Connection, key_id: str) -> int:
    # From yesterday on, should midnight pass meanwhile.
    days = client.get("keys.getVerifications", keyId=key_id, start=int(time.time() * 1000) - 86_400_000).json
    return sum(day["success"] for day in days["verifications"])


class Load:
    """Clients that do whatever `Books` says until the server goes away; leaving waits for that."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._executor = ThreadPoolExecutor(CLIENTS)
        self._working: list[Any] = []

    def __enter__(self) -> "Load":
        keys = list(self._books.versions)
        for number in range(CLIENTS):
            own = keys[number * IN_FLIGHT : (number + 1) * IN_FLIGHT]
            self._working.append(self._executor.submit(self._work, own))
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        for working in self._working:
            working.result()

    def wait_for(self, actions: int) -> None:
        """Until so many more have been acknowledged."""
        enough = self._books.acknowledged.total() + actions
        while self._books.acknowledged.total() < enough:
            for working in self._working:
                if working.done():
                    working.result()
                    raise AssertionError("the server has gone away")
            time.sleep(0.001)

    def _work(self, own_keys: list[str]) -> None:
        with ExitStack() as stack:
            connections = [stack.enter_context(self._books.connect()) for _ in own_keys]
            is_there = True
            while is_there:
                under_way = []
                for connection, key_id in zip(connections, own_keys, strict=True):
                    action = self._books.any_action(key_id)
                    under_way.append((connection, action))
                    try:
                        connection.send(action.operation, action.members)
                    except OSError:
                        # What was sent in vain may have arrived all the same.
                        is_there = False
                for connection, action in under_way:
                    try:
                        answer = connection.receive()
                    except OSError:
                        answer = None
                        is_there = False
                    self._books.settle(action, answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(tmp_path, KEYSTEAD_ANALYTICS_INTERVAL_S="0.05", KEYSTEAD_SPOOL_SEGMENT_BYTES="65536")
    with server:
        yield server


def test_nothing_acknowledged_is_lost_by_kill_9(server: ServerProcess) -> None:
    """After each of several kills under load, balances, keys, changes and counts hold what was acknowledged, once."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    moments = random.Random(seed)
    books = Books(server, seed)
    for _ in range(4):
        with Load(books) as load:
            load.wait_for(moments.randint(300, 1500))
            time.sleep(moments.random() * 0.05)
            server.kill()
        server.start()
        books.check()
    assert set(books.acknowledged) == {
        "keys.verifyKey",
        "keys.updateRemaining",
        "keys.createKey",
        "keys.deleteKey",
        "keys.updateKey",
    }
    assert books.dead


def test_a_killed_start_is_made_up_for(server: ServerProcess) -> None:
    """A server killed while it starts, and again while it catches up with its spool, has still lost nothing."""
    books = Books(server, 1)
    with Load(books) as load:
        load.wait_for(1000)
        server.kill()
    for delay_s in (0.3, 0.6, 0.9):
        # Starting takes a second or two here; each of these ends it somewhere on the way, or just after.
        starting = threading.Thread(target=_start_in_vain, args=(server,))
        before = server.process
        starting.start()
        while server.process is before:
            time.sleep(0.001)
        time.sleep(delay_s)
        server.process.kill()  # type: ignore[union-attr]
        starting.join()
        if server.process.stdout and not server.process.stdout.closed:  # type: ignore[union-attr]
            server.kill()
    server.start()
    books.check()


def _start_in_vain(server: ServerProcess) -> None:
    try:
        server.start()
    except RuntimeError:
        assert "Traceback" not in (server.folder / "server.log").read_text()


def test_sigterm_under_load_answers_what_was_accepted(server: ServerProcess) -> None:
    """Asked to stop under load, the server ends with 0 and has done nothing that it has not answered."""
    books = Books(server, 2)
    for _ in range(2):
        with Load(books) as load:
            load.wait_for(500)
            assert server.stop() == 0
        books.expect_only_what_was_acknowledged()
        server.start()
        books.check()
    assert "Traceback" not in (server.folder / "server.log").read_text()
