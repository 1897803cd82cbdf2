"""The embedded database: SQLite in WAL mode, one writer thread with group commit, readers beside it.

Invariants kept here:

* One thread writes. It takes whatever is waiting, runs it in order inside one transaction, each unit in a savepoint of
  its own, commits once (`synchronous=FULL`: one fsync), and only then are the callers answered.
* A unit that raises leaves nothing behind; a commit that fails fails every caller of the group, and a restart does not
  find it done after all.
* Before the commit the caches are fenced for what the group touched; the fence is lifted before the callers are
  answered.
* Consecutive spends of a group are settled together: one SELECT, the arithmetic of `core.credits` in order of arrival,
  one UPDATE. What a verification was told is what the database holds.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any, TypeVar, cast

import msgspec
import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from keystead.connect import Connect, connect_file
from keystead.core.credits import Account, Spend, refilled, spend
from keystead.core.errors import ErrorCode, KeysteadError, Reason, StartupError
from keystead.core.ids import IdPrefix, new_id
from keystead.core.overrides import Allowance, LimitedNamespace, limited_namespace
from keystead.core.pacing import Pace
from keystead.core.refills import refill_entry, refilled_to
from keystead.core.verify import VerifiableKey
from keystead.ports import UNKNOWN, SpendTold, Transaction
from keystead.stores.cache import KeyCache, NamespaceCache
from keystead.stores.migrate import upgrade
from keystead.stores.migrations import HEAD
from keystead.stores.sql.touched import Touched
from keystead.stores.sql.transaction import SqlTransaction
from keystead.stores.verifiable import LookupRow, verifiable_key
from keystead.stores.write_ahead_log import WriteAheadLog
from keystead.threads import SYSTEM_THREADS, Queue, Threads

T = TypeVar("T")

_log = structlog.get_logger()

# A group takes no more work once it has this much.
_ENOUGH = 1024
# Turns of the event loop that work waits for more of its kind. A group costs some 350 µs however small it is; a turn
# that brings nothing costs a lone caller some 10.
_TURNS_WAITED = 4
_READERS = 4
_STORAGE_FAILURES = (OperationalError, sqlite3.OperationalError)
"""What SQLAlchemy and the driver raise when storage takes no writes, a full disk among it."""

_PRAGMAS = (
    # FULL: a commit is on disk when it returns, which is what "acknowledged" promises.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # Of each of seven connections; what they read is mapped, or in the system's memory.
    "PRAGMA cache_size=-16384",
    "PRAGMA mmap_size=1073741824",
    "PRAGMA temp_store=MEMORY",
)

_LOOKUP = """
SELECT k.id, k.keyspace_id, k.workspace_id, k.for_workspace_id, w.enabled, f.enabled, k.enabled, a.id, a.ip_whitelist,
  k.name, k.owner_id, k.meta, k.expires_ms, k.environment, k.remaining IS NOT NULL, i.id, i.external_id, i.meta,
  (SELECT json_group_array(json_array(name, "limit", duration_ms, auto_apply)) FROM
    (SELECT name, "limit", duration_ms, auto_apply FROM ratelimits WHERE key_id = k.id ORDER BY seq)),
  CASE WHEN i.id IS NULL THEN '[]' ELSE
    (SELECT json_group_array(json_array(name, "limit", duration_ms, auto_apply)) FROM
      (SELECT name, "limit", duration_ms, auto_apply FROM ratelimits WHERE identity_id = i.id ORDER BY seq)) END,
  (SELECT json_group_array(slug) FROM
    (SELECT p.slug FROM keys_permissions l JOIN permissions p ON p.id = l.permission_id
     WHERE l.key_id = k.id ORDER BY l.seq)),
  (SELECT json_group_array(name) FROM
    (SELECT r.name FROM keys_roles l JOIN roles r ON r.id = l.role_id WHERE l.key_id = k.id ORDER BY l.seq)),
  (SELECT json_group_array(slug) FROM
    (SELECT p.slug FROM keys_roles l JOIN roles_permissions m ON m.role_id = l.role_id
     JOIN permissions p ON p.id = m.permission_id WHERE l.key_id = k.id ORDER BY l.seq, m.seq))
FROM keys k
JOIN apis a ON a.keyspace_id = k.keyspace_id AND a.deleted_at_ms IS NULL
JOIN workspaces w ON w.id = k.workspace_id
LEFT JOIN workspaces f ON f.id = k.for_workspace_id
LEFT JOIN identities i ON i.id = k.identity_id
WHERE k.hash = ? AND k.deleted_at_ms IS NULL
"""

_NAMESPACE = """
SELECT n.id, o.identifier, o."limit", o.duration_ms
FROM namespaces n LEFT JOIN overrides o ON o.namespace_id = n.id
WHERE n.workspace_id = ? AND n.name = ?
ORDER BY o.seq
"""

# One row, because the driver lets go of the interpreter for every row, and the event loop would take it each time.
_ACCOUNTS = """
SELECT json_group_array(json_array(
  id, remaining, refill_amount, refill_day, last_refill_at_ms, refill_considered_at_ms)) FROM keys
WHERE deleted_at_ms IS NULL AND id IN (SELECT value FROM json_each(?))
"""

_decode_accounts = msgspec.json.Decoder(list[tuple[str, int | None, int | None, int | None, int | None, int]]).decode

_SETTLE = """
UPDATE keys SET remaining = s.remaining, refill_considered_at_ms = s.considered_at_ms
FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS remaining,
             json_extract(value, '$[2]') AS considered_at_ms FROM json_each(?)) AS s
WHERE keys.id = s.id
"""


class _UnitWork:
    """A unit of work that somebody awaits."""

    __slots__ = ("error", "future", "result", "unit")

    def __init__(self, future: "asyncio.Future[Any]", unit: Callable[[Transaction], Any]) -> None:
        self.future = future
        self.unit = unit
        self.result: Any = None
        self.error: Exception | None = None

    def answer(self) -> None:
        if self.future.done():  # the caller went away; what was committed stays committed
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _SpendWork:
    """A spend; its outcome is told by a call, which costs a verification a quarter of a future and a task."""

    __slots__ = ("cost", "error", "key_id", "now_ms", "result", "then")

    def __init__(self, key_id: str, cost: int, now_ms: int, then: SpendTold) -> None:
        self.key_id = key_id
        self.cost = cost
        self.now_ms = now_ms
        self.then = then
        self.result: Spend | None = None
        self.error: Exception | None = None

    def answer(self) -> None:
        self.then(self.result, self.error)


_Work = _UnitWork | _SpendWork


@dataclass
class Written:
    """What the writer has done since the start, for metrics; changed by its thread alone, once a group.

    `groups` were committed with `units` and `spends`; `failed_groups` were not. `refused` are the units and spends
    that were answered UNAVAILABLE.
    """

    groups: int = 0
    units: int = 0
    spends: int = 0
    failed_groups: int = 0
    refused: int = 0


class SqliteStore:
    """`ports.Store` on an SQLite file. Open it on the event loop's thread, inside the loop; `close` when done."""

    def __init__(
        self,
        path: Path,
        *,
        max_cached_keys: int = 200_000,
        max_cached_absent: int = 10_000,
        max_cached_namespaces: int = 10_000,
        random: Callable[[int], bytes] = os.urandom,
        threads: Threads = SYSTEM_THREADS,
        connect: Connect = connect_file,
    ) -> None:
        """Opens the file, creates or upgrades its schema and starts the writer.

        Raises StartupError when the file can not be opened or written, or is newer than this program.
        """
        self.written = Written()
        self._failure_pace = Pace()
        self._random = random
        self._loop = asyncio.get_running_loop()
        self.cache = KeyCache(max_cached_keys, max_cached_absent, threads)
        self.namespaces = NamespaceCache(max_cached_namespaces, max_cached_absent, threads)
        self._engine = _engine(path, connect)
        self._write_ahead_log = WriteAheadLog(path)
        with _explained(path):
            _probe_writable(self._engine)
            upgrade(self._engine, Path(__file__).parent / "migrations", HEAD)
            _keep_write_ahead_log(self._engine)
            _make_durable(self._engine)
            self._lookup = connect(path)
            _prepare(self._lookup)
        self._readers = threads.executor(_READERS, "keystead-reader")
        # Work of one turn of the event loop, on its way to the writer together: a hand-over wakes a thread, and work
        # that arrives piece by piece would be committed piece by piece.
        self._gathered: list[_Work] = []
        self._queue: Queue = threads.queue()  # of list[_Work], None at the end
        self._writer = threads.start(self._write_until_closed, "keystead-writer")

    def write(self, unit: Callable[[Transaction], T]) -> Awaitable[T]:
        """See `ports.Store.write`."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._gather(_UnitWork(future, unit))
        return future

    def read(self, query: Callable[[Transaction], T]) -> Awaitable[T]:
        """See `ports.Store.read`."""
        return self._loop.run_in_executor(self._readers, self._read, query)

    def spend(self, key_id: str, cost: int, now_ms: int) -> Awaitable[Spend | None]:
        """See `ports.Store.spend`."""
        future: asyncio.Future[Spend | None] = self._loop.create_future()

        def tell(spend: Spend | None, error: Exception | None) -> None:
            if future.done():  # the caller went away; what was spent stays spent
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(spend)

        self.begin_spend(key_id, cost, now_ms, tell)
        return future

    def begin_spend(self, key_id: str, cost: int, now_ms: int, then: SpendTold) -> None:
        """See `ports.Store.begin_spend`."""
        self._gather(_SpendWork(key_id, cost, now_ms, then))

    def find_at_once(self, hash_: str) -> VerifiableKey | None:
        """See `ports.Store.find_at_once`: a look-up by the driver's own cursor on the loop's thread, about 30 µs."""
        key = self.cache.get(hash_)
        return self.cache.load(hash_, self._find) if key is UNKNOWN else key

    async def find(self, hash_: str) -> VerifiableKey | None:
        """See `ports.Store.find`."""
        return self.find_at_once(hash_)

    def find_namespace_at_once(self, workspace_id: str, name: str) -> LimitedNamespace | None:
        """See `ports.Store.find_namespace_at_once`: as a look-up of a key, and about 2 µs more for each override."""
        entry = (workspace_id, name)
        namespace = self.namespaces.get(entry)
        return self.namespaces.load(entry, self._find_namespace) if namespace is UNKNOWN else namespace

    async def find_namespace(self, workspace_id: str, name: str) -> LimitedNamespace | None:
        """See `ports.Store.find_namespace`."""
        return self.find_namespace_at_once(workspace_id, name)

    async def close(self) -> None:
        """Finish everything that was accepted, then close the file."""
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        self._lookup.close()
        self._engine.dispose()

    def _gather(self, work: _Work) -> None:
        if not self._gathered:
            self._loop.call_soon(self._hand_over_when_quiet, 0, _TURNS_WAITED)
        self._gathered.append(work)

    def _hand_over_when_quiet(self, seen: int, turns_left: int) -> None:
        """Hand over what is gathered once a turn of the event loop has brought nothing new: one commit for them all."""
        gathered = len(self._gathered)
        if gathered == seen or turns_left == 0:
            self._hand_over()
        else:
            self._loop.call_soon(self._hand_over_when_quiet, gathered, turns_left - 1)

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._queue.put(gathered)

    def _find(self, hash_: str) -> VerifiableKey | None:
        row = self._lookup.execute(_LOOKUP, (hash_,)).fetchone()
        return verifiable_key(LookupRow._make(row)) if row else None

    def _find_namespace(self, workspace_and_name: tuple[str, str]) -> LimitedNamespace | None:
        rows = self._lookup.execute(_NAMESPACE, workspace_and_name).fetchall()
        if not rows:
            return None
        # A namespace without overrides is one row with nothing but its id.
        overrides = [(row[1], Allowance(row[2], row[3])) for row in rows if row[1] is not None]
        return limited_namespace(rows[0][0], overrides)

    def _read(self, query: Callable[[Transaction], T]) -> T:
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                return query(SqlTransaction(connection))
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def _write_until_closed(self) -> None:
        with self._engine.connect() as connection:
            while True:
                group, closing = self._next_group()
                if group:
                    touched = self._run_group(connection, group)
                    self._loop.call_soon_threadsafe(self._answer, group, touched)
                    self._write_ahead_log.shorten(_driver(connection))
                if closing:
                    return

    def _next_group(self) -> tuple[list[_Work], bool]:
        """Wait for work, then take all that is there."""
        group: list[_Work] = []
        gathered = self._queue.get()
        while gathered is not None:
            group += gathered
            if len(group) >= _ENOUGH:
                return group, False
            try:
                gathered = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _run_group(self, connection: Connection, group: list[_Work]) -> Touched:
        """Run the group in one transaction and commit it; failures are noted on the work they belong to."""
        transaction = SqlTransaction(connection)
        touched = Touched()
        is_committing = False
        driver = _driver(connection)  # what it begins and ends costs a third of SQLAlchemy's
        try:
            driver.execute("BEGIN IMMEDIATE")
            for run in _runs(group):
                self._run_in_savepoint(driver, run, transaction)
            touched = transaction.touched
            self.cache.fence(touched)
            self.namespaces.fence(touched)
            is_committing = True
            driver.execute("COMMIT")
            self._count(group)
        except Exception as error:
            self.written.failed_groups += 1
            self._note_failure(error, group)
            for work in group:
                work.error = _unavailable(error)
            if driver.in_transaction:
                # Should even this fail, the next group finds the transaction open and ends it in the same way.
                with suppress(sqlite3.Error):
                    driver.execute("ROLLBACK")
            if is_committing:
                _take_back(driver)
        return touched

    def _count(self, group: list[_Work]) -> None:
        spends = sum(isinstance(work, _SpendWork) for work in group)
        self.written.groups += 1
        self.written.spends += spends
        self.written.units += len(group) - spends

    def _note_failure(self, error: Exception, refused: Sequence[_Work]) -> None:
        self.written.refused += len(refused)
        if self._failure_pace.is_due(time.monotonic()):
            _log.error("storage_takes_no_writes", error=str(error), refused_since_start=self.written.refused)

    def _run_in_savepoint(self, driver: sqlite3.Connection, run: Sequence[_Work], transaction: SqlTransaction) -> None:
        driver.execute("SAVEPOINT unit")
        try:
            first = run[0]
            if isinstance(first, _UnitWork):
                first.result = first.unit(transaction)
            else:
                _settle(driver, transaction, cast("Sequence[_SpendWork]", run), self._random)
        except Exception as error:
            # A full disk may have ended the whole transaction; then there is no savepoint to go back to.
            if not driver.in_transaction:
                raise
            driver.execute("ROLLBACK TO unit")
            if isinstance(error, _STORAGE_FAILURES):
                self._note_failure(error, run)
                error = _unavailable(error)
            for work in run:
                work.error = error
        driver.execute("RELEASE unit")

    def _answer(self, group: list[_Work], touched: Touched) -> None:
        self.cache.lift(touched)
        self.namespaces.lift(touched)
        for work in group:
            try:
                work.answer()
            except Exception:
                # One who can not take the answer must not cost the others theirs.
                _log.exception("answer_not_taken")


def _take_back(driver: sqlite3.Connection) -> None:
    """Write over what a commit that failed has left in the write-ahead log.

    When only its sync failed, the log holds the whole transaction, which the callers are told has not happened: whoever
    opened the database next, before another commit, would take it for committed. A commit of one page that nobody reads
    begins at the same place of the log, and what follows it there is no continuation of it.
    """
    # Also when its sync fails again, it has been written. Whatever fails, the writer has others to serve.
    with suppress(sqlite3.Error):
        (version,) = driver.execute("PRAGMA user_version").fetchone()
        driver.execute(f"PRAGMA user_version = {(version + 1) % 2**31}")


def _runs(group: list[_Work]) -> Iterator[Sequence[_Work]]:
    """Units one by one, consecutive spends together."""
    spends: list[_Work] = []
    for work in group:
        if isinstance(work, _SpendWork):
            spends.append(work)
            continue
        if spends:
            yield spends
            spends = []
        yield (work,)
    if spends:
        yield spends


def _settle(
    driver: sqlite3.Connection,
    transaction: SqlTransaction,
    spends: Sequence[_SpendWork],
    random: Callable[[int], bytes],
) -> None:
    """Decide the spends in order of arrival and write each key's balance once."""
    key_ids = msgspec.json.encode(list({work.key_id for work in spends})).decode()
    (rows,) = driver.execute(_ACCOUNTS, (key_ids,)).fetchone()
    accounts = {row[0]: Account(*row[1:]) for row in _decode_accounts(rows)}
    changed: dict[str, Account] = {}
    for work in spends:
        account = accounts.get(work.key_id)
        if account is None:
            continue
        current = refilled(account, work.now_ms)
        if current is not account:
            _persist_refill(transaction, work.key_id, current, work.now_ms, random)
            # What was spent before it is in what has been stored; written again it would undo the refill.
            changed.pop(work.key_id, None)
        work.result, after = spend(current, work.cost, work.now_ms)
        accounts[work.key_id] = after
        if after is not current:
            changed[work.key_id] = after
    if changed:
        balances = [(key_id, account.remaining, account.considered_at_ms) for key_id, account in changed.items()]
        driver.execute(_SETTLE, (msgspec.json.encode(balances).decode(),))


def _persist_refill(
    transaction: SqlTransaction, key_id: str, account: Account, now_ms: int, random: Callable[[int], bytes]
) -> None:
    key = transaction.keys.find(key_id)
    if key is not None:
        # The account of the group, not the stored one: it may be spends of this group that made the refill due.
        key = refilled_to(key, account)
        transaction.keys.replace(key)
        transaction.audit.add([refill_entry(key, new_id(IdPrefix.AUDIT_ENTRY, now_ms, random))])


def _engine(path: Path, connect: Connect) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=lambda: connect(path),
        poolclass=QueuePool,
        pool_size=_READERS + 1,
        max_overflow=2,
        # A refused statement is logged; what it was to store belongs to customers.
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        _prepare(connection)

    return engine


def _prepare(connection: sqlite3.Connection) -> None:
    # The store says BEGIN itself: the driver's own habit differs between reading and writing.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _probe_writable(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("ROLLBACK")


def _keep_write_ahead_log(engine: Engine) -> None:
    # The file remembers it. Only once the database is known to be ours: another program's stays as it is.
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _make_durable(engine: Engine) -> None:
    """Sync what the write-ahead log holds: the last process may have been killed before it could.

    Such a commit is in the system's memory only, and everybody is told from now on that it has happened. A checkpoint
    begins with the sync; that it may find no room for the rest on a full disk does not matter.
    """
    with suppress(*_STORAGE_FAILURES), engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except _STORAGE_FAILURES as error:
        cause = getattr(error, "orig", error)
        raise StartupError(f"The database {path} cannot be opened for writing: {cause}.") from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = getattr(error, "orig", error)
        raise StartupError(f"The database {path} is not readable as SQLite: {cause}.") from error


def _unavailable(error: BaseException) -> KeysteadError:
    failure = KeysteadError(
        ErrorCode.INTERNAL_SERVER_ERROR,
        "storage takes no writes at the moment, nothing was changed",
        Reason.UNAVAILABLE,
    )
    failure.__cause__ = error
    return failure
