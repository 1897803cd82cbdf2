"""A short run on a full disk, and the faults that its comparison must notice."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from proof import small_disk
from proof.full_disk_books import Books, Call
from proof.small_disk import NoSmallDisk, enter_namespace

from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.testing.connection import Connection
from keystead.testing.server import ServerInProcess

ROOT = Path(__file__).parents[2]
UNAVAILABLE = KeysteadError(ErrorCode.INTERNAL_SERVER_ERROR, "not done, it says", Reason.UNAVAILABLE)

Plant = Callable[[ServerInProcess, pytest.MonkeyPatch], None]


def test_a_short_run_is_green() -> None:
    """On a full disk the real server keeps what it promises: refused, answered, recovered, stopped and killed."""
    done = subprocess.run(
        [sys.executable, "-m", "proof.full_disk", "--seconds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("no violation")


def test_without_a_file_system_of_its_own_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be mounted the check does not pass by doing nothing: it says what it needs."""
    monkeypatch.setattr(
        small_disk.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", "not permitted")
    )
    with pytest.raises(NoSmallDisk, match="run this as root"):
        enter_namespace(["-c", "pass"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerInProcess]:
    now_ms = int(time.time() * 1000)
    with ServerInProcess(tmp_path, now_ms=now_ms, metrics=True, analytics_interval_s=0.05) as server:
        yield server


@pytest.fixture
def books(server: ServerInProcess) -> Books:
    return Books(server.url, server.root_key, 1)


def violations(server: ServerInProcess, books: Books, *calls: Call) -> list[str]:
    with Connection(server.url, server.root_key) as client:
        for call in calls:
            books.make(client, call)
    folder = server.settings.database_path.parent
    books.check(folder, server.settings.analytics_database)
    return books.violations


def test_an_honest_server_is_believed(server: ServerInProcess, books: Books) -> None:
    """Every kind of call, made on a healthy server, leaves nothing to complain of."""
    with Connection(server.url, server.root_key) as client:
        books.work(lambda: books.statuses.total() >= 300, client)
    assert violations(server, books) == []
    assert len(books.statuses) > 15


def lose_an_event(server: ServerInProcess, patch: pytest.MonkeyPatch) -> None:
    spool = server.application.log.spool
    flush = spool.flush

    def forgetful() -> None:
        if any(b"the lost one" in line for line in spool._lines):
            spool._lines.pop()
        flush()

    patch.setattr(server.application.protocol.outbox, "_before_sending", forgetful)


def count_an_event_twice(server: ServerInProcess, patch: pytest.MonkeyPatch) -> None:
    spool = server.application.log.spool
    flush = spool.flush

    def stammering() -> None:
        spool._lines += [line for line in spool._lines if b"the lost one" in line]
        flush()

    patch.setattr(server.application.protocol.outbox, "_before_sending", stammering)


def write_and_refuse(server: ServerInProcess, patch: pytest.MonkeyPatch) -> None:
    store = server.application.storage.store
    write = store.write

    async def lying(unit: Any) -> Any:
        await write(unit)
        raise UNAVAILABLE

    patch.setattr(store, "write", lying)


def write_nothing(server: ServerInProcess, patch: pytest.MonkeyPatch) -> None:
    store = server.application.storage.store
    write = store.write

    async def lying(unit: Any) -> Any:
        answers = []

        def undone(tx: Any) -> None:
            answers.append(unit(tx))
            raise KeysteadError(ErrorCode.CONFLICT, "undone")

        with pytest.raises(KeysteadError, match="undone"):
            await write(undone)
        return answers[0]

    patch.setattr(store, "write", lying)


def spend_and_refuse(server: ServerInProcess, patch: pytest.MonkeyPatch) -> None:
    store = server.application.storage.store
    spend = store.begin_spend
    patch.setattr(
        store,
        "begin_spend",
        lambda key_id, cost, now_ms, then: spend(key_id, cost, now_ms, lambda _spend, _error: then(None, UNAVAILABLE)),
    )


def refuse_reads(server: ServerInProcess, patch: pytest.MonkeyPatch) -> None:
    async def refusing(_query: Any) -> Any:
        raise UNAVAILABLE

    patch.setattr(server.application.storage.store, "read", refusing)


def verify(books: Books) -> Call:
    return books._verify("1")._replace(members={"key": books._secrets["free"], "tags": ["the lost one"]})


def read(books: Books) -> Call:
    return Call("keys.getKey", {"keyId": books._ids["free"]}, lambda _: None, False, None, True)


@pytest.mark.parametrize(
    ("plant", "call", "complaint"),
    [
        (lose_an_event, verify, "still not so: every event is counted"),
        (count_an_event_twice, verify, "verifications of free: 2, expected 1"),
        (write_and_refuse, lambda books: books._create("x"), "keys there but refused"),
        (write_and_refuse, lambda books: books._import("x"), "keys there but refused: 5"),
        (write_nothing, lambda books: books._create("x"), "keys missing: 1"),
        (spend_and_refuse, lambda books: books._spend("x"), "credits left"),
        (refuse_reads, read, "keys.getKey was answered 503"),
    ],
)
def test_planted_faults_are_noticed(
    server: ServerInProcess,
    books: Books,
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    call: Callable[[Books], Call],
    complaint: str,
) -> None:
    """A lost or doubled event, a change done in spite of a 503 or not done in spite of a 200, and a refused read."""
    monkeypatch.setattr("proof.full_disk_books.PATIENCE_S", 1.0)
    with Connection(server.url, server.root_key) as client, monkeypatch.context() as patch:
        plant(server, patch)
        books.make(client, call(books))
    found = violations(server, books)
    assert any(complaint in violation for violation in found), found
