"""Where commands are tested: an empty folder, or a database as a server leaves it, in use or not."""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from typer.testing import CliRunner, Result

from keystead.cli.main import app
from keystead.core.entities import AuditEntry, Key, QueuedKey
from keystead.core.secrets import hash_secret
from keystead.service.imported_keys import ImportedKey
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import NOW_MS, ServerInProcess

DEFAULT = "ws_default"
MANY = 650
UNPRINTABLE = "evil\x1b[31m\nname"
REASON = "permission documents.read not found"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, an environment without our variables; logging is put back afterwards."""
    for name in list(os.environ):
        if name.startswith("KEYSTEAD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:
        root.removeHandler(handler)
    yield tmp_path
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


@dataclass(frozen=True)
class Seed:
    """What the database of every test holds: an api with a recoverable key, one with many keys, and so on."""

    folder: Path
    api_id: str
    full_api_id: str
    key_id: str
    secret: str
    plain_key_id: str
    role_id: str
    root_key_id: str
    root_key: str
    other_workspace_id: str


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """A database as a server leaves it."""
    folder = tmp_path_factory.mktemp("seed")
    with ServerInProcess(folder) as server, Connection(server.url, server.root_key) as connection:

        def ask(operation: str, **members: Any) -> Any:
            answer = connection.post(operation, members)
            assert answer.status == 200, answer
            return answer.json

        operator = server.application.storage.operator
        api_id = ask("apis.createApi", name="payments", storeEncryptedKeys=True)["apiId"]
        full_api_id = ask("apis.createApi", name="full")["apiId"]
        key = ask(
            "keys.createKey",
            apiId=api_id,
            name=UNPRINTABLE,
            externalId="cust_1",
            meta={"plan": "größer", "deep": [1.5, None]},
            recoverable=True,
            permissions=["documents.write"],
            roles=["editor"],
            remaining=10,
            refill={"interval": "monthly", "amount": 10, "refillDay": 31},
            ratelimit={"limit": 5, "duration": 1000},
            expires=1_893_456_000_000,
        )
        plain = ask("keys.createKey", apiId=api_id)
        ask("identities.createIdentity", externalId="cust_2", ratelimits=[ratelimit("rpm", 60)])
        (role,) = connection.get("permissions.listRoles").json
        root_key = server.call(lambda: operator.create_root_key("ci", ["api.*.read_api"], None, NOW_MS))
        other = server.call(lambda: operator.create_workspace("other", NOW_MS))
        _fill(server, full_api_id)
        server.write(lambda tx: tx.queued_keys.add([_queued(api_id, n) for n in (1, 2)]))
    return Seed(
        folder=folder,
        api_id=api_id,
        full_api_id=full_api_id,
        key_id=key["keyId"],
        secret=key["key"],
        plain_key_id=plain["keyId"],
        role_id=role["id"],
        root_key_id=root_key.key_id,
        root_key=root_key.key,
        other_workspace_id=other,
    )


def ratelimit(name: str, limit: int) -> dict[str, Any]:
    """A ratelimit of an identity."""
    return {"name": name, "limit": limit, "duration": 60_000}


def _fill(server: ServerInProcess, api_id: str) -> None:
    api = server.read(lambda tx: tx.apis.get(api_id, DEFAULT))
    assert api is not None
    assert api.keyspace_id is not None
    keys = [
        Key(f"key_{n:04}", api.keyspace_id, DEFAULT, hash_secret(f"secret {n}"), "", NOW_MS, name=f"number {n}")
        for n in range(MANY)
    ]
    server.write(lambda tx: tx.keys.insert_all(keys))


def _queued(api_id: str, number: int) -> QueuedKey:
    """A key whose import was given up."""
    item = ImportedKey(f"key_imported_{number}", hash_secret(f"imported {number}"), "", name=f"import {number}")
    text = msgspec.json.encode(item).decode()
    return QueuedKey(0, DEFAULT, "mig_1", api_id, "key_root", text, NOW_MS, 10, None, REASON)


class Place:
    """Where commands run: beside a running server, or alone with the database."""

    def __init__(self, folder: Path, server: ServerInProcess | None) -> None:
        self.folder = folder
        self.database = folder / "keystead.db"
        self.server = server

    def run(self, *words: str) -> Result:
        """Run a command on the database."""
        return CliRunner().invoke(app, [*words, "--database", str(self.database)])

    def done(self, *words: str) -> Any:
        """The JSON that a command prints, which has to succeed."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        assert result.stdout.count("\n") == 1
        return json.loads(result.stdout)

    @contextlib.contextmanager
    def serving(self) -> Iterator["Served"]:
        """The running server; without one, the server that starts next."""
        with contextlib.ExitStack() as stack:
            server = self.server or stack.enter_context(ServerInProcess(self.folder))
            yield Served(server, stack.enter_context(Connection(server.url, server.root_key)))


@dataclass(frozen=True)
class Served:
    """A running server and a connection to it."""

    server: ServerInProcess
    connection: Connection

    def verify(self, secret: str) -> Answer:
        """The answer to a verification."""
        return self.connection.post("keys.verifyKey", {"key": secret})

    def operators(self, event: str, workspace_id: str = DEFAULT) -> list[AuditEntry]:
        """The operator's entries of that event."""
        entries = self.server.read(lambda tx: tx.audit.of_workspace(workspace_id))
        return [e for e in entries if e.event == event and (e.actor_type, e.actor_id) == ("operator", "operator")]


@pytest.fixture(params=["server", "offline"])
def place(request: pytest.FixtureRequest, seed: Seed, tmp_path: Path) -> Iterator[Place]:
    """Beside a server and without one, on a database of the test's own."""
    with _opened(request.param, seed, tmp_path) as place:
        yield place


@pytest.fixture(scope="module", params=["server", "offline"])
def view(request: pytest.FixtureRequest, seed: Seed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Beside a server and without one, for the tests of a module that change nothing."""
    with _opened(request.param, seed, tmp_path_factory.mktemp("view")) as place:
        yield place


@contextlib.contextmanager
def _opened(kind: str, seed: Seed, folder: Path) -> Iterator[Place]:
    folder /= "database"
    shutil.copytree(seed.folder, folder)
    if kind == "offline":
        yield Place(folder, None)
        return
    with ServerInProcess(folder) as server:
        yield Place(folder, server)
