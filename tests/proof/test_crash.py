"""Crash runs end green, and every check of the ledger fails when what it is for goes wrong."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from proof.crash.__main__ import summary
from proof.crash.files import check_files, secrets_of
from proof.crash.imports import Imports
from proof.crash.pages import Apis, Identities, Keyring, Limits, Overrides, OwnKeys, Roles, ScarceBalance, SharedBalance
from proof.crash.runs import Crash
from proof.crash.undecided import Count, Difference, Thing

from keystead.testing.connection import Connection

SEED = 5


def test_kills_and_orderly_ends_lose_nothing(tmp_path: Path) -> None:
    """A short version of `make crash`: kills under load, while stopping and amid a history, and orderly ends."""
    with Crash(tmp_path, SEED) as crash:
        crash.run(crash.kill_under_load)
        crash.run(crash.kill_while_stopping)
        crash.run(crash.stop_under_load)
        crash.run(crash.kill_during_history)
        crash.run(crash.stop_at_once)
        crash.finish()
    assert crash.kills == 3
    assert crash.stops == 2
    assert crash.books.undecided
    assert "3 kills, 2 orderly ends" in summary(crash, SEED, 1.0)


# Faults planted between a kill and the restart


class Tampered:
    """A crashed server whose files were changed in many places before it was started again."""

    def __init__(self, crash: Crash) -> None:
        self.crash = crash
        self.pages = {type(page): page for page, _ in crash.books.pages}
        self._database = sqlite3.connect(crash.folder / "keystead.db")

    def page(self, kind: type) -> Any:
        """The page of that kind."""
        return self.pages[kind]

    def plant_all(self) -> None:
        """Change something that each of the checks looks at."""
        kinds = (Identities, Overrides, Roles, OwnKeys, Apis)
        identity, override, role, key, api = (_settled(self.page(kind).things) for kind in kinds)
        for sql, *values in (
            ("UPDATE keys SET remaining = remaining + 9999 WHERE id = ?", self.page(SharedBalance)._key["keyId"]),
            ("UPDATE keys SET remaining = remaining + 9999 WHERE id = ?", self.page(ScarceBalance)._key["keyId"]),
            ("UPDATE keys SET name = 'not what it was' WHERE id = ?", self.page(OwnKeys)._keys[key]["keyId"]),
            ("UPDATE identities SET meta = '{}' WHERE external_id = ?", f"identity of slot {identity}"),
            ("DELETE FROM overrides WHERE namespace_id = ?", self.page(Overrides)._namespaces[override]),
            ("DELETE FROM roles_permissions WHERE role_id = ?", self.page(Roles)._ids[role]),
            ("UPDATE apis SET name = 'not what it was' WHERE id = ?", self.page(Apis)._ids[api]),
            ("UPDATE keys SET remaining = 999999 WHERE id = ?", self._an_imported_key()),
            self._an_audit_entry(),
        ):
            assert self._database.execute(sql, values).rowcount >= 1, sql
        self._database.commit()
        self._database.close()
        (self.crash.folder / "keystead-limits").unlink()
        self.keys_api, self.keyring_api, _ = self.crash.books.events
        self._spool(self.keys_api, lambda line: [line, line])
        self._spool(self.keyring_api, lambda _: [])

    def _an_imported_key(self) -> str:
        """One that was told as enqueued, and has been made."""
        enqueued = {item.name for item in self.page(Imports).items}
        rows = self._database.execute("SELECT name, id FROM keys WHERE name LIKE 'import %'")
        return next(key_id for name, key_id in rows if name in enqueued)

    def _an_audit_entry(self) -> tuple[str, int]:
        """One whose number is known for certain."""
        events = {key for key, count in self.crash.books.audit.items() if len(set(count.bounds(is_clean=False))) == 1}
        rows = self._database.execute(
            "SELECT seq, event, json_extract(value, '$.id') FROM audit_log, json_each(resources)"
            " WHERE event = 'api.update'"
        )
        return "DELETE FROM audit_log WHERE seq = ?", max(seq for seq, *key in rows if tuple(key) in events)

    def _spool(self, api_id: str, change: Callable[[bytes], list[bytes]]) -> None:
        """Change one line of the spool, of a key and an outcome whose number is known for certain."""
        events = self.crash.books.events[api_id]
        certain = {key for key, count in events.items() if len(set(count.bounds(is_clean=False))) == 1}
        for path in sorted((self.crash.folder / "keystead-spool").iterdir(), reverse=True):
            lines = path.read_bytes().splitlines(keepends=True)
            for number, line in enumerate(lines):
                event = json.loads(line)
                if (event[6], event[2]) in certain:
                    lines[number : number + 1] = change(line)
                    path.write_bytes(b"".join(lines))
                    return
        raise AssertionError("nothing in the spool can be changed")


def _settled(things: list[Thing[Any]]) -> int:
    """A slot whose object is there, and about which nothing is open that might still be done or repeated."""
    return next(slot for slot, thing in enumerate(things) if thing._state and not thing._lost)


@pytest.fixture(scope="module")
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tampered]:
    with Crash(tmp_path_factory.mktemp("tampered"), SEED) as crash:
        crash.server.kill()
        # So that events still lie in the spool when the server is killed.
        crash.server.start(KEYSTEAD_ANALYTICS_INTERVAL_S="4")
        crash.load(crash.kill)
        tampered = Tampered(crash)
        tampered.plant_all()
        crash.server.start(KEYSTEAD_ANALYTICS_INTERVAL_S="0.05")
        crash.patient.end()
        with Connection(crash.server.url, crash.server.root_key) as client:
            crash.books.repeat(client)
        yield tampered


@pytest.fixture
def client(tampered: Tampered) -> Iterator[Connection]:
    with Connection(tampered.crash.server.url, tampered.crash.server.root_key) as client:
        yield client


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (SharedBalance, "the shared balance is"),
        (ScarceBalance, "the scarce balance is"),
        (OwnKeys, "name='not what it was'"),
        (Identities, "identity of slot"),
        (Overrides, "the override of slot"),
        (Limits, "0 counted"),
        (Roles, "the permissions of role"),
        (Apis, "the name of api_"),
        (Imports, "is listed as"),
    ],
)
def test_what_changed_between_kill_and_restart_is_noticed(
    tampered: Tampered, client: Connection, page: type, message: str
) -> None:
    """Each page of the ledger notices a change of what it is about, made in the files while the server was down."""
    with pytest.raises(Difference, match=message):
        tampered.page(page).compare(client, is_clean=False)


def test_an_event_that_was_doubled_is_noticed(tampered: Tampered, client: Connection) -> None:
    """A verification that is counted twice is."""
    with pytest.raises(Difference, match="the number of verifications of"):
        tampered.crash.books.compare_events(client, tampered.keys_api, is_clean=False)


def test_an_event_that_was_lost_is_noticed(tampered: Tampered, client: Connection) -> None:
    """A verification that was answered and is not counted is."""
    with pytest.raises(Difference, match="the number of verifications of"):
        tampered.crash.books.compare_events(client, tampered.keyring_api, is_clean=False)


def test_an_audit_entry_that_is_missing_is_noticed(tampered: Tampered) -> None:
    """An acknowledged change without its entry is."""
    with pytest.raises(Difference, match="the number of audit entries"):
        tampered.crash.books.compare_audit(is_clean=False)


def test_another_plaintext_is_noticed(tampered: Tampered, client: Connection) -> None:
    """A key that decrypts to something else than was told is."""
    keyring: Keyring = tampered.page(Keyring)
    right = [list(keys) for keys in keyring._live]
    for keys in keyring._live:
        keys[:] = [replace(kept, secret=kept.secret + "x") if kept.is_recoverable else kept for kept in keys]
    with pytest.raises(Difference, match="the plaintext of key"):
        keyring.compare(client, is_clean=False)
    keyring._live[:] = right


def test_a_key_that_is_gone_is_noticed(tampered: Tampered, client: Connection) -> None:
    """A key that was created and not deleted by anybody in the ledger, and is not there, is."""
    keyring: Keyring = tampered.page(Keyring)
    gone = next(kept for keys in keyring._live for kept in keys)
    assert client.post("keys.deleteKey", {"keyId": gone.key_id}).status == 200
    with pytest.raises(Difference, match=f"key {gone.key_id} is gone"):
        keyring.compare(client, is_clean=False)
    for keys in keyring._live:
        keys[:] = [kept for kept in keys if kept is not gone]


def test_a_key_that_nobody_made_is_noticed(tampered: Tampered, client: Connection) -> None:
    """So is one that is there although nobody was told of it, nor waits for an answer."""
    keyring: Keyring = tampered.page(Keyring)
    assert client.post("keys.createKey", {"apiId": keyring.api_id, "name": "a stray"}).status == 200
    with pytest.raises(Difference, match=r"a stray.* should not be there"):
        keyring.compare(client, is_clean=False)


def test_a_repetition_that_is_done_again_is_noticed(tampered: Tampered, client: Connection) -> None:
    """A call that is repeated and gets another answer than before is."""
    said = next(said for said in tampered.crash.books.answered if said.deed.operation == "keys.createKey")
    tampered.crash.books.answered[:] = [replace(said, idempotency_key=said.idempotency_key + "-another")]
    with pytest.raises(Difference, match="the answer has changed"):
        tampered.crash.books.repeat(client)


# The files


def make_files(folder: Path) -> sqlite3.Connection:
    (folder / "server.log").write_text("all is well\n")
    database = sqlite3.connect(folder / "keystead.db")
    database.executescript(
        "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE TABLE b (a_id REFERENCES a); CREATE INDEX i ON b (a_id);"
        "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1);"
    )
    database.commit()
    return database


def test_sound_files_pass(tmp_path: Path) -> None:
    """Files without a fault have none."""
    make_files(tmp_path).close()
    check_files(tmp_path, secrets_of("the_root_key", "prefix"))


def test_a_reference_to_nothing_is_noticed(tmp_path: Path) -> None:
    """A row that belongs to one that is not there is."""
    database = make_files(tmp_path)
    database.execute("DELETE FROM a")
    database.commit()
    database.close()
    with pytest.raises(Difference, match="foreign_key_check of keystead"):
        check_files(tmp_path, secrets_of("the_root_key", "prefix"))


def test_a_damaged_database_is_noticed(tmp_path: Path) -> None:
    """An index that does not fit its table is."""
    database = make_files(tmp_path)
    (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'i'").fetchone()
    (empty,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    content = bytearray((tmp_path / "keystead.db").read_bytes())
    # The number of entries of the index.
    content[(page - 1) * empty + 3 : (page - 1) * empty + 5] = b"\0\0"
    (tmp_path / "keystead.db").write_bytes(content)
    with pytest.raises(Difference, match="integrity_check of keystead"):
        check_files(tmp_path, secrets_of("the_root_key", "prefix"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("server.log", "Traceback (most recent call last)", "Traceback"),
        ("keystead-spool", "x the_root_key x", "a plaintext key is in keystead-spool"),
        ("anything", "prefix_2vT7mBq9LkXzPw", "a plaintext key is in anything"),
    ],
)
def test_what_no_file_may_hold_is_noticed(tmp_path: Path, name: str, content: str, message: str) -> None:
    """A failure nobody foresaw and a secret are; what is kept of a key for show is no secret."""
    make_files(tmp_path).close()
    (tmp_path / "shown").write_text("prefix_2vT7")
    check_files(tmp_path, secrets_of("the_root_key", "prefix"))
    (tmp_path / name).write_text(content)
    with pytest.raises(Difference, match=message):
        check_files(tmp_path, secrets_of("the_root_key", "prefix"))


# What is undecided


def settles(count: Count, found: int, *, is_clean: bool = False) -> bool:
    try:
        count.settle(found, "it", is_clean=is_clean)
    except Difference:
        return False
    return True


def a_count() -> Count:
    count = Count(10)
    count.add(5)
    count.lose(-3)
    count.lose(2)
    count.lose(100, is_repeated=True)
    return count


def test_a_number_is_known_up_to_what_was_not_answered() -> None:
    """An unanswered change counts or not, a repeated one does; after an orderly end the former does not."""
    assert {found for found in range(90, 130) if settles(a_count(), found)} == set(range(112, 118))
    assert {found for found in range(90, 130) if settles(a_count(), found, is_clean=True)} == {115}
    decided = a_count()
    decided.settle(113, "it", is_clean=False)
    assert decided.bounds(is_clean=False) == (113, 113)


def test_of_an_object_the_last_changes_are_open() -> None:
    """What got no answer on a connection was done up to some point, and what was repeated was done in any case."""
    thing = Thing("a")
    for letter in "bcd":
        thing.begin(lambda state, letter=letter: state + letter)
    assert thing.expected == "abcd"
    thing.acknowledge()
    thing.lose()
    thing.lose()
    assert thing.possible(is_clean=False) == ["ab", "abc", "abcd"]
    assert thing.possible(is_clean=True) == ["ab"]
    with pytest.raises(Difference, match="it is abd, it must be ab or abc or abcd"):
        thing.settle("abd", "it", is_clean=False)
    thing.settle("abc", "it", is_clean=False)
    thing.begin(lambda state: state + "e")
    thing.begin(lambda state: state + "f")
    thing.lose()
    thing.lose(is_repeated=True)
    assert thing.possible(is_clean=False) == ["abcf", "abcef", "abcef"]
    assert thing.possible(is_clean=True) == ["abcf"]
