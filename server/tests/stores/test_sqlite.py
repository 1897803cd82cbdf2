"""The embedded store: one writer, commits in groups, nothing half done."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from keystead.core.credits import Account, Spend
from keystead.core.entities import Api, AuditEntry, Key, Workspace
from keystead.core.errors import ErrorCode, KeysteadError, Reason, StartupError
from keystead.core.secrets import hash_secret
from keystead.ports import UNKNOWN, Transaction
from keystead.stores import sqlite as sqlite_store
from keystead.stores.sqlite import SqliteStore
from keystead.testing.connection import Connection
from keystead.testing.server import ServerInProcess

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def a_key(name: str, **members: Any) -> Key:
    """A key whose secret is its name."""
    return Key(f"key_{name}", "ks_1", "ws_1", hash_secret(name), "start", NOON_MS, **members)


def set_up(tx: Transaction) -> None:
    tx.workspaces.insert(Workspace("ws_1", "test", True, NOON_MS))
    tx.apis.insert(Api("api_1", "ws_1", "test", NOON_MS, "ks_1"))


def adding(*keys: Key) -> Callable[[Transaction], None]:
    def insert(tx: Transaction) -> None:
        for key in keys:
            tx.keys.insert(key)

    return insert


def names(tx: Transaction) -> set[str]:
    return {key.id for name in "abcdefgh" if (key := tx.keys.find(f"key_{name}"))}


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteStore]:
    """The store of `folder`, with a workspace and an api in it."""
    store = SqliteStore(folder / "keystead.db")
    try:
        if await store.read(lambda tx: tx.workspaces.is_empty()):
            await store.write(set_up)
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def one_group(store: SqliteStore) -> AsyncIterator[None]:
    """What is handed in meanwhile becomes one group: the writer is kept busy until then."""
    running, release = threading.Event(), threading.Event()

    def wait(_tx: Transaction) -> None:
        running.set()
        assert release.wait(30)

    waiting = asyncio.ensure_future(store.write(wait))
    await asyncio.to_thread(running.wait, 30)
    try:
        yield
    finally:
        release.set()
        # What becomes of it is not the matter here.
        await asyncio.wait([waiting])
        waiting.exception()


@contextmanager
def statements(seen: Callable[[str], object]) -> Iterator[None]:
    """`seen` is told of every statement of the writer before it runs, and may raise in its place."""
    driver_of = sqlite_store._driver

    class Watched:
        def __init__(self, driver: sqlite3.Connection) -> None:
            self._driver = driver

        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            seen(statement)
            return self._driver.execute(statement, *parameters)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._driver, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_store, "_driver", lambda connection: Watched(driver_of(connection)))
        yield


def failing(wanted: str) -> Callable[[str], None]:
    """For `statements`: the disk fails whenever `wanted` is executed."""

    def fail(statement: str) -> None:
        if statement == wanted:
            raise sqlite3.OperationalError("disk I/O error")

    return fail


# Units


def test_what_waits_shares_one_commit(tmp_path: Path) -> None:
    """However many units and spends wait, they cost one commit, and each is answered."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=Account(remaining=100))))
            seen: list[str] = []
            with statements(seen.append):
                async with one_group(store):
                    spends = [store.spend("key_a", 1, NOON_MS) for _ in range(50)]
                    units = [store.write(lambda tx, n=number: n) for number in range(50)]  # type: ignore[misc]
                    seen.clear()
                assert await asyncio.gather(*units) == list(range(50))
                assert await asyncio.gather(*spends) == [Spend(True, 99 - number) for number in range(50)]
            # One for the unit that kept the writer busy, one for all the others.
            assert seen.count("COMMIT") == 2

    asyncio.run(scenario())


def test_an_answer_comes_after_its_commit(tmp_path: Path) -> None:
    """When a write or a spend is answered, another program that opens the file sees it."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            other = sqlite3.connect(tmp_path / "keystead.db")
            await store.write(adding(a_key("a", account=Account(remaining=20))))
            for number in range(20):
                await store.spend("key_a", 1, NOON_MS)
                await store.write(adding(a_key(f"number {number}")))
                assert other.execute("SELECT remaining FROM keys WHERE id = 'key_a'").fetchone() == (19 - number,)
                assert other.execute("SELECT count(*) FROM keys").fetchone() == (number + 2,)
            other.close()

    asyncio.run(scenario())


def test_the_disk_is_told_to_keep_every_commit(tmp_path: Path) -> None:
    """The writer commits with a full sync to a write-ahead log: an acknowledged change outlives a loss of power."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            for pragma, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
                found = await store.write(lambda tx, p=pragma: _driver_of(tx).execute(f"PRAGMA {p}").fetchone())  # type: ignore[misc]
                assert found == (value,)

    asyncio.run(scenario())


def _driver_of(tx: Transaction) -> sqlite3.Connection:
    return tx.keys._connection.connection.dbapi_connection  # type: ignore[attr-defined,no-any-return]


def test_a_failing_unit_leaves_nothing(tmp_path: Path) -> None:
    """A unit that raises, even after it has changed things, is undone alone: its neighbours of the group stay."""

    def half(tx: Transaction) -> None:
        tx.keys.insert(a_key("b"))
        raise KeysteadError(ErrorCode.NOT_FOUND, "changed its mind")

    def broken(tx: Transaction) -> None:
        tx.keys.insert(a_key("c"))
        raise ZeroDivisionError

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            account = Account(remaining=5)
            async with one_group(store):
                work = [
                    store.write(adding(a_key("a", account=account))),
                    store.write(half),
                    store.write(adding(a_key("d"))),
                    store.spend("key_a", 2, NOON_MS),
                    store.write(broken),
                    store.write(adding(a_key("e"), a_key("a"))),
                    store.write(adding(a_key("f"))),
                    store.spend("key_a", 2, NOON_MS),
                ]
            results = await asyncio.gather(*work, return_exceptions=True)
            assert [r if isinstance(r, Spend | None) else type(r) for r in results] == [
                None,
                KeysteadError,
                None,
                Spend(True, 3),
                ZeroDivisionError,
                KeysteadError,
                None,
                Spend(True, 1),
            ]
            assert str(results[1]) == "changed its mind"
            assert await store.read(names) == {"key_a", "key_d", "key_f"}
        async with opened(tmp_path) as store:
            assert await store.read(names) == {"key_a", "key_d", "key_f"}

    asyncio.run(scenario())


@pytest.mark.parametrize("statement", ["COMMIT", "BEGIN IMMEDIATE"])
def test_a_failing_commit_fails_the_whole_group(tmp_path: Path, statement: str) -> None:
    """When the commit fails every caller is told UNAVAILABLE and nothing remains; afterwards all works again."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=Account(remaining=5))))
            before = await store.find(hash_secret("a"))
            with statements(failing(statement)):
                work = [
                    store.write(adding(a_key("b"))),
                    store.spend("key_a", 1, NOON_MS),
                    store.write(lambda tx: tx.keys.delete(a_key("a"))),
                ]
                results = await asyncio.gather(*work, return_exceptions=True)
            assert [getattr(result, "reason", result) for result in results] == [Reason.UNAVAILABLE] * 3
            assert await store.read(names) == {"key_a"}
            # The fences of the failed group are lifted: the key is remembered again.
            assert await store.find(hash_secret("a")) == before
            assert store.cache.get(hash_secret("a")) == before
            assert await store.spend("key_a", 1, NOON_MS) == Spend(True, 4)

    asyncio.run(scenario())


def test_a_damaged_page_behind_a_failed_commit_ends_nothing(tmp_path: Path) -> None:
    """Callers are answered, then and later, also when the disk gives back nonsense while the commit is taken back."""
    failures = {
        "COMMIT": sqlite3.OperationalError("disk I/O error"),
        "PRAGMA user_version": sqlite3.DatabaseError("database disk image is malformed"),
    }

    def fail(statement: str) -> None:
        if statement in failures:
            raise failures.pop(statement)

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            with statements(fail):
                with pytest.raises(KeysteadError) as refused:
                    await asyncio.wait_for(store.write(adding(a_key("a"))), 10)
                assert refused.value.reason is Reason.UNAVAILABLE
                await asyncio.wait_for(store.write(adding(a_key("b"))), 10)
            assert await store.read(names) == {"key_b"}

    asyncio.run(scenario())


def test_a_roll_back_that_fails_ends_nothing(tmp_path: Path) -> None:
    """Even when the disk fails at the roll-back, callers are answered, and what was refused is never written later."""
    failures = {"COMMIT": 1, "ROLLBACK": 1}

    def fail(statement: str) -> None:
        if failures.get(statement, 0):
            failures[statement] -= 1
            raise sqlite3.OperationalError("disk I/O error")

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            with statements(fail):
                for name in ("a", "b"):  # the second finds the transaction of the first
                    with pytest.raises(KeysteadError) as refused:
                        await asyncio.wait_for(store.write(adding(a_key(name))), 10)
                    assert refused.value.reason is Reason.UNAVAILABLE
                await store.write(adding(a_key("c")))
            assert await store.read(names) == {"key_c"}

    asyncio.run(scenario())


def test_a_full_disk_is_told_once_a_minute(tmp_path: Path) -> None:
    """However many calls storage refuses, the log has one line a minute; how many there were is counted."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=Account(remaining=5))))
            before = replace(store.written)
            with statements(failing("COMMIT")), capture_logs() as logs:
                for _ in range(50):
                    with pytest.raises(KeysteadError):
                        await store.spend("key_a", 1, NOON_MS)
            assert [line["event"] for line in logs] == ["storage_takes_no_writes"]
            assert store.written == replace(before, failed_groups=50, refused=50)
            await store.spend("key_a", 1, NOON_MS)
            assert store.written == replace(before, groups=before.groups + 1, spends=1, failed_groups=50, refused=50)

    asyncio.run(scenario())


def test_a_cancelled_caller_disturbs_nobody(tmp_path: Path) -> None:
    """A caller that gives up leaves its unit to be done; the others of the group are answered."""

    async def scenario() -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with opened(tmp_path) as store:
            async with one_group(store):
                first = asyncio.ensure_future(store.write(adding(a_key("a"))))
                spent = asyncio.ensure_future(store.spend("key_a", 1, NOON_MS))
                last = store.write(adding(a_key("b")))
                first.cancel()
                spent.cancel()
            await last
            assert first.cancelled()
            assert spent.cancelled()
            assert await store.read(names) == {"key_a", "key_b"}
        assert problems == []

    asyncio.run(scenario())


def test_close_finishes_what_was_accepted(tmp_path: Path) -> None:
    """Everything that waits when the store is closed is done and answered, and there at the next start."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=Account(remaining=5000))))
            spends = [store.spend("key_a", 1, NOON_MS) for _ in range(3000)]
            last = store.write(adding(a_key("b")))
        assert [work.done() for work in spends] == [True] * 3000  # type: ignore[attr-defined]
        assert last.done()  # type: ignore[attr-defined]
        async with opened(tmp_path) as store:
            assert await store.read(names) == {"key_a", "key_b"}
            assert await store.spend("key_a", 0, NOON_MS) == Spend(True, 2000)

    asyncio.run(scenario())


def test_a_read_sees_one_moment(tmp_path: Path) -> None:
    """A query sees every acknowledged write, none that is under way, and the same from its beginning to its end."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a")))
            began, go_on = threading.Event(), threading.Event()

            def look_twice(tx: Transaction) -> list[set[str]]:
                first = names(tx)
                began.set()
                assert go_on.wait(30)
                return [first, names(tx)]

            looking = asyncio.ensure_future(store.read(look_twice))
            await asyncio.to_thread(began.wait, 30)
            await store.write(adding(a_key("b")))
            assert await store.read(names) == {"key_a", "key_b"}
            go_on.set()
            assert await looking == [{"key_a"}, {"key_a"}]

    asyncio.run(scenario())


def test_a_look_up_never_sees_the_past(tmp_path: Path) -> None:
    """What a write changes is gone from memory when the write is answered, and found anew after it."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            hash_ = hash_secret("a")
            assert await store.find(hash_) is None
            assert store.cache.get(hash_) is None
            await store.write(adding(a_key("a")))
            assert store.cache.get(hash_) is UNKNOWN
            found = await store.find(hash_)
            assert found is not None
            assert store.cache.get(hash_) is found
            await store.write(lambda tx: tx.keys.delete(a_key("a")))
            assert store.cache.get(hash_) is UNKNOWN
            assert await store.find(hash_) is None

    asyncio.run(scenario())


# Credits


def test_spends_are_settled_in_order_of_arrival(tmp_path: Path) -> None:
    """Each spend of a group finds what the one before it left; units in between take their turn."""

    def to_seven(tx: Transaction) -> None:
        tx.keys.replace(a_key("a", account=Account(remaining=7)))

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=Account(remaining=10)), a_key("b"), a_key("c")))
            async with one_group(store):
                work = [
                    store.spend("key_a", 3, NOON_MS),
                    store.spend("key_b", 3, NOON_MS),
                    store.spend("key_a", 8, NOON_MS),
                    store.spend("key_a", 7, NOON_MS),
                    store.spend("key_a", 0, NOON_MS),
                    store.spend("key_a", 1, NOON_MS),
                    store.spend("key_none", 1, NOON_MS),
                    store.write(to_seven),
                    store.spend("key_a", 5, NOON_MS),
                    store.write(lambda tx: tx.keys.delete(a_key("c"))),
                    store.spend("key_c", 1, NOON_MS),
                    store.spend("key_a", 3, NOON_MS),
                ]
            assert await asyncio.gather(*work) == [
                Spend(True, 7),
                Spend(True, None),
                Spend(False, 7),
                Spend(True, 0),
                Spend(True, 0),
                Spend(False, 0),
                None,
                None,
                Spend(True, 2),
                None,
                None,
                Spend(False, 2),
            ]

    asyncio.run(scenario())


def _stored(tx: Transaction) -> tuple[Account, list[AuditEntry]]:
    key = tx.keys.find("key_a")
    assert key is not None
    return key.account, tx.audit.of_workspace("ws_1")


@pytest.mark.parametrize("granted", [3, 30])
def test_a_refill_is_stored_once(tmp_path: Path, granted: int) -> None:
    """A refill that becomes due within a group is stored once, with one audit entry, at its own instant.

    So too when the balance fell below the amount by a spend of the same group, just before the boundary.
    """
    midnight_ms = NOON_MS + DAY_MS // 2
    account = Account(remaining=granted, refill_amount=30, last_refill_at_ms=NOON_MS, considered_at_ms=NOON_MS)

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=account)))
            async with one_group(store):
                before = [store.spend("key_a", 1, midnight_ms - 1) for _ in range(2)]
                after = [store.spend("key_a", 1, midnight_ms + 1) for _ in range(5)]
            assert await asyncio.gather(*before) == [Spend(True, granted - 1), Spend(True, granted - 2)]
            assert await asyncio.gather(*after) == [Spend(True, 29 - number) for number in range(5)]
            stored, entries = await store.read(_stored)
            assert (stored.remaining, stored.last_refill_at_ms) == (25, midnight_ms)
            assert [(entry.time_ms, entry.actor_type) for entry in entries] == [(midnight_ms, "system")]
            assert await store.spend("key_a", 1, midnight_ms + 2) == Spend(True, 24)
            assert len((await store.read(_stored))[1]) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("cost", "accepted"), [(0, True), (31, False)])
def test_a_refill_outlives_its_group(tmp_path: Path, cost: int, accepted: bool) -> None:
    """What a group spent before a refill does not undo it when nothing is spent after it: it is stored, and once."""
    midnight_ms = NOON_MS + DAY_MS // 2
    account = Account(remaining=3, refill_amount=30, last_refill_at_ms=NOON_MS, considered_at_ms=NOON_MS)

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=account)))
            async with one_group(store):
                before = store.spend("key_a", 1, midnight_ms - 1)
                after = store.spend("key_a", cost, midnight_ms + 1)
            assert await asyncio.gather(before, after) == [Spend(True, 2), Spend(accepted, 30)]
            assert (await store.read(_stored))[0].remaining == 30
            assert await store.spend("key_a", 1, midnight_ms + 2) == Spend(True, 29)
            assert len((await store.read(_stored))[1]) == 1

    asyncio.run(scenario())


def test_a_refill_missed_at_its_instant_is_not_made_up(tmp_path: Path) -> None:
    """A balance that was not below the amount at midnight is not refilled when it falls later that day."""
    midnight_ms = NOON_MS + DAY_MS // 2
    account = Account(remaining=31, refill_amount=30, considered_at_ms=NOON_MS)

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            await store.write(adding(a_key("a", account=account)))
            spends = [await store.spend("key_a", 10, midnight_ms + number) for number in range(4)]
            assert spends == [Spend(True, 21), Spend(True, 11), Spend(True, 1), Spend(False, 1)]
            assert (await store.read(_stored))[1] == []

    asyncio.run(scenario())


# Opening


async def _open(path: Path) -> None:
    await SqliteStore(path).close()


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"These are the household accounts of 1987. " * 100)


def _of_another_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()


def _newer(path: Path) -> None:
    asyncio.run(_open(path))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_not_sqlite, "is not readable as SQLite"),
        (_of_another_program, "that Keystead did not make"),
        (_newer, "was written by a newer Keystead"),
        (lambda path: path.mkdir(), "cannot be opened for writing"),
    ],
    ids=["no database", "of another program", "newer", "a folder"],
)
def test_what_can_not_be_used_is_refused(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    """A file that is no database of this version is left as it is, and the message says which file and why."""
    path = tmp_path / "keystead.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StartupError, match=says) as caught:
        asyncio.run(_open(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A database in a folder that does not exist is refused with the path in the message."""
    with pytest.raises(StartupError, match=r"absent.keystead\.db cannot be opened for writing"):
        asyncio.run(_open(tmp_path / "absent" / "keystead.db"))


def test_a_read_only_database_is_refused(tmp_path: Path) -> None:
    """A database that can be read but not written is refused at the start, not at the first change."""
    path = tmp_path / "keystead.db"
    asyncio.run(_open(path))
    connection = sqlite3.connect(path)
    # Permissions do not stop root: a lock that another program never gives up does.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StartupError, match="database is locked"):
        patch.setattr("keystead.connect._BUSY_TIMEOUT_S", 0.1)
        asyncio.run(_open(path))
    connection.close()


# The disk is full


def _allow_pages(tx: Transaction, pages: int) -> None:
    """Let the database grow by no more than `pages` from now on."""
    driver = _driver_of(tx)
    (count,) = driver.execute("PRAGMA page_count").fetchone()
    driver.execute(f"PRAGMA max_page_count = {count + pages}")


def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    """While the disk is full changes are answered 503 and leave nothing, and verification goes on.

    When there is room again, changes are taken again.
    """
    with ServerInProcess(tmp_path) as server, Connection(server.url, server.root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        made = client.post("keys.createKey", {"apiId": api_id, "remaining": 10}).json
        server.write(lambda tx: _allow_pages(tx, 1))
        large = {"apiId": api_id, "name": "large", "externalId": "large", "meta": {"text": "x" * 50_000}}
        refused = client.post("keys.createKey", large)
        assert refused.status == 503
        error = refused.json["error"]
        assert (error["code"], error["reason"]) == ("INTERNAL_SERVER_ERROR", "UNAVAILABLE")
        assert client.get("identities.getIdentity", externalId="large").status == 404
        verified = client.post("keys.verifyKey", {"key": made["key"]}).json
        assert (verified["valid"], verified["remaining"]) == (True, 9)
        server.write(lambda tx: _allow_pages(tx, 1_000_000))
        kept = client.post("keys.createKey", large).json
        assert client.get("keys.getKey", keyId=kept["keyId"]).json["meta"] == large["meta"]
        assert client.get("keys.getKey", keyId=made["keyId"]).json["remaining"] == 9


def test_credits_are_not_given_away_while_nothing_can_be_written(tmp_path: Path) -> None:
    """When a decrement can not be made durable its verification is answered 503, and the credit is still there."""
    with ServerInProcess(tmp_path) as server, Connection(server.url, server.root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        limited = client.post("keys.createKey", {"apiId": api_id, "remaining": 10}).json
        free = client.post("keys.createKey", {"apiId": api_id}).json
        with statements(failing("COMMIT")):
            refused = client.post("keys.verifyKey", {"key": limited["key"]})
            assert (refused.status, refused.json["error"]["reason"]) == (503, "UNAVAILABLE")
            assert client.post("keys.verifyKey", {"key": free["key"]}).json["valid"]
        assert client.post("keys.verifyKey", {"key": limited["key"]}).json["remaining"] == 9
