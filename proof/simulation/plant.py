"""Deliberate faults of the server, one or more for every invariant: what the simulation must find, or a check is empty.

Each changes a few lines of the product while its context lasts, as a slip in a later change of it might. `scenario` is
one in which it matters often enough to be found within a few seeds.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import msgspec

from keystead.contract.migrations import EnqueueKeys
from keystead.core.credits import Account
from keystead.core.errors import ErrorCode, KeysteadError, StartupError
from keystead.http.outbox import Outbox
from keystead.http.server import HttpServer
from keystead.limiters.windows import WindowLimiter
from keystead.service import migration_queue
from keystead.service.audit import Trail
from keystead.service.changes import Changes
from keystead.service.migration_queue import MigrationQueue
from keystead.service.migrations import Migrations
from keystead.sinks import analytics, spool
from keystead.sinks.spool import Spool
from keystead.stores import sqlite
from keystead.stores.cache import FencedCache
from keystead.stores.sql.kept_answers import SqlKeptAnswers
from keystead.stores.sql.queued_keys import SqlQueuedKeys
from keystead.stores.sqlite import SqliteStore
from proof.simulation.invariants import (
    AUDIT,
    EVENTS_ONCE,
    IDEMPOTENCY,
    LIMITS_HOLD,
    NO_CHANGE_MISSING,
    NO_LOST_DECREMENT,
    NO_OVERSPEND,
    NO_STALE_ANSWER,
    STARTS_AGAIN,
    UNAVAILABLE,
)
from proof.simulation.scenario import Scenario

QUIET = Scenario(
    clients=4,
    keys=2,
    lives=1,
    requests=60,
    changes=0.3,
    deletions=0.05,
    repeatable=0.0,
    tops=0.3,
    pause_us=0,
    ends=("stop",),
    clock=0.0,
    failures=0.0,
    full=0.0,
    longest_sync_us=2_000,
    segment_bytes=65_536,
    spool_buffer_bytes=1 << 20,
    cached_keys=200_000,
    queued=0.0,
)
"""Nothing goes wrong but what is planted."""

SPENDING = QUIET._replace(keys=1, changes=0.2, tops=0.8, deletions=0.0)
CHANGING = QUIET._replace(changes=0.6, tops=0.0, longest_sync_us=20_000)
CRASHING = QUIET._replace(lives=2, ends=("kill",))
FAILING = QUIET._replace(changes=0.6, failures=0.1)
IMPORTING = QUIET._replace(changes=0.6, deletions=0.0, queued=0.5, lives=3, ends=("kill at a change",))


@dataclass(frozen=True)
class Plant:
    """A fault: `what` in words, the invariants by whose name it may be found, and how it is made."""

    what: str
    found_by: tuple[str, ...]
    scenario: Scenario
    planted: Callable[[], AbstractContextManager[Any]]


def _changed(owner: Any, name: str, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    return partial(patch.object, owner, name, value)


# ---- credits

_spend = sqlite.spend


def _overspending(account: Account, cost: int, now_ms: int) -> Any:
    told, after = _spend(account, cost, now_ms)
    if told.accepted or account.remaining is None:
        return told, after
    return msgspec.structs.replace(told, accepted=True), account


def _doubling(account: Account, cost: int, now_ms: int) -> Any:
    told, after = _spend(account, cost, now_ms)
    if told.accepted and cost and after.remaining:
        after = msgspec.structs.replace(after, remaining=max(0, after.remaining - cost))
    return told, after


def _losing(account: Account, cost: int, now_ms: int) -> Any:
    told, after = _spend(account, cost, now_ms)
    return told, account if cost == 2 else after


# ---- commits and caches

_run_group = SqliteStore._run_group


def _answering_first(store: Any, connection: Any, group: Any) -> Any:
    """Run the group, answer, and commit only then: so the real order, with the answer moved to the front."""
    driver = sqlite._driver(connection)
    touched = _run_group(store, _CommitLess(connection), group)
    store._loop.call_soon_threadsafe(store._answer, list(group), touched)
    group.clear()
    if driver.in_transaction:
        driver.execute("COMMIT")
    return type(touched)()


class _CommitLess:
    """A connection whose driver takes no COMMIT."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


_driver = sqlite._driver


class _DriverWithoutCommit:
    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def execute(self, statement: str, *parameters: Any) -> Any:
        """As the driver's, but for COMMIT."""
        return None if statement == "COMMIT" else self._driver.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._driver, name)


def _driver_of(connection: Any) -> Any:
    if isinstance(connection, _CommitLess):
        return _DriverWithoutCommit(_driver(connection._connection))
    return _driver(connection)


@contextmanager
def _answered_before_commit() -> Iterator[None]:
    with patch.object(sqlite, "_driver", _driver_of), patch.object(SqliteStore, "_run_group", _answering_first):
        yield


@contextmanager
def _no_fence() -> Iterator[None]:
    with (
        patch.object(FencedCache, "fence", lambda cache, touched: None),
        patch.object(FencedCache, "lift", lambda cache, touched: None),
    ):
        yield


_fence, _lift = FencedCache.fence, FencedCache.lift


def _fence_and_lift(cache: Any, touched: Any) -> None:
    _fence(cache, touched)
    _lift(cache, touched)


@contextmanager
def _lifted_before_commit() -> Iterator[None]:
    with (
        patch.object(FencedCache, "fence", _fence_and_lift),
        patch.object(FencedCache, "lift", lambda cache, touched: None),
    ):
        yield


_forget = FencedCache._forget


def _forgetting_keys_only(cache: Any, entries: Any, everything: bool) -> None:
    del everything
    _forget(cache, entries, False)


def _unsynced() -> AbstractContextManager[Any]:
    pragmas = tuple(p.replace("synchronous=FULL", "synchronous=NORMAL") for p in sqlite._PRAGMAS)
    return patch.object(sqlite, "_PRAGMAS", pragmas)


def _internal(error: BaseException) -> KeysteadError:
    return KeysteadError(ErrorCode.INTERNAL_SERVER_ERROR, str(error))


_run_in_savepoint = SqliteStore._run_in_savepoint


def _refusing_what_was_done(store: Any, driver: Any, run: Any, transaction: Any) -> None:
    _run_in_savepoint(store, driver, run, transaction)
    if store.written.units > 20 and store.written.units % 4 == 0:
        for work in run:
            work.error = work.error or sqlite._unavailable(OSError("a slip"))


_answer = SqliteStore._answer


def _answering_successes_only(store: Any, group: Any, touched: Any) -> None:
    _answer(store, [work for work in group if work.error is None], touched)


# ---- verification events


def _sending_first(outbox: Any) -> None:
    pending, outbox._pending = outbox._pending, []
    for transport, data in pending:
        if data:
            transport.write(data)
        else:
            transport.close()
    if pending:
        asyncio.get_running_loop().call_later(0.005, outbox._before_sending)


def _counting_without_position(counts: Any, connection: Any, before: Any, after: Any) -> bool:
    del counts, connection, before, after
    return True


def _repeating_chunks(log: Any) -> None:
    """A short write is followed by the whole chunk again."""
    while log._chunks:
        chunk = log._chunks[0]
        try:
            written = log._write(log._fd, chunk)
        except OSError:
            return
        log._offset += written
        if written == len(chunk):
            log._chunk_bytes -= written
            log._chunks.popleft()


def _dropping_quietly(log: Any) -> None:
    try:
        while log._chunks:
            chunk = log._chunks.popleft()
            log._chunk_bytes -= len(chunk)
            log._write(log._fd, chunk)
    except OSError:
        return


# ---- limits

_take = WindowLimiter._take


def _forgetful(limiter: Any, demand: Any, now_ms: int) -> Any:
    if len(limiter._places) == 2:
        limiter._places.clear()
    return _take(limiter, demand, now_ms)


def _anew(limiter: Any, now_ms: int) -> None:
    del limiter, now_ms


# ---- audit, repeated calls, starts

_add, _links = Trail.add, Trail.links


def _silent_about_updates(trail: Any, event: str, description: str, *resources: Any) -> None:
    if event != "key.update":
        _add(trail, event, description, *resources)


def _twice_about_links(trail: Any, event: str, pairs: Any) -> None:
    pairs = list(pairs)
    _links(trail, event, pairs)
    _links(trail, event, pairs)


async def _keeping_afterwards(changes: Any, caller: Any, unit: Any) -> Any:
    """The answer is kept in a transaction of its own, after that of the change."""
    if caller.origin.repeatable is None:
        return await changes._store.write(unit)
    kept: list[Any] = []

    def once(tx: Any) -> Any:
        with patch.object(SqlKeptAnswers, "put", lambda _answers, answer: kept.append(answer)):
            return changes._once(tx, caller, unit)

    answer = await changes._store.write(once)
    if kept:
        await changes._store.write(lambda tx: tx.kept_answers.put(kept[0]))
    return answer


_create_segment = Spool._create_segment


async def _waiting_for_nobody(server: Any, sockets: Any = None) -> None:
    del server, sockets


def _demanding_whole_lines(log: Any) -> Any:
    for path in log.folder.glob("*.jsonl"):
        if not path.read_bytes().endswith(b"\n"):
            raise StartupError("a segment of the verification log is damaged")
    return _create_segment(log)


# ---- queued imports

_attempt, _run_due, _remove = MigrationQueue._attempt, MigrationQueue.run_due, SqlQueuedKeys.remove
_reschedule = SqlQueuedKeys.reschedule
_enqueue_keys, _insert_imported = Migrations.enqueue_keys, migration_queue.insert_imported


async def _taking_out_afterwards(queue: Any) -> int:
    made: list[int] = []

    def making_only(queue: Any, queued: Any, now_ms: int) -> Callable[[Any], None]:
        attempt = _attempt(queue, queued, now_ms)

        def make(tx: Any) -> None:
            with patch.object(SqlQueuedKeys, "remove", lambda rows, seq: True):
                attempt(tx)
            made.append(queued.seq)

        return make

    with patch.object(MigrationQueue, "_attempt", making_only):
        tried = await _run_due(queue)
    for seq in made:
        await queue._store.write(lambda tx, seq=seq: tx.queued_keys.remove(seq))
    return tried


async def _taking_out_first(queue: Any) -> int:
    due = await queue._store.read(lambda tx: tx.queued_keys.due(queue._now_ms(), 100))
    for queued in due:
        await queue._store.write(lambda tx, seq=queued.seq: _remove(tx.queued_keys, seq))
        with patch.object(SqlQueuedKeys, "remove", lambda rows, seq: True):
            try:
                await queue._store.write(_attempt(queue, queued, queue._now_ms()))
            except KeysteadError as error:
                failed = msgspec.structs.replace(queued, attempts=1, due_at_ms=None, error=error.message)
                await queue._store.write(lambda tx, failed=failed: tx.queued_keys.add([failed]))
    return len(due)


async def _enqueueing_one_by_one(migrations: Any, caller: Any, request: Any) -> Any:
    answer = None
    for item in request.keys:
        single = EnqueueKeys(request.migration_id, request.api_id, [item])
        answer = await _enqueue_keys(migrations, caller, single)
    return answer


def _giving_up_at_once(rows: Any, seq: int, attempts: int, due_at_ms: int | None, error: str | None) -> None:
    del due_at_ms
    _reschedule(rows, seq, attempts, None, error)


def _importing_silently(*arguments: Any) -> None:
    with patch.object(Trail, "each", lambda trail, event, entries: None):
        _insert_imported(*arguments)


PLANTS: Mapping[str, Plant] = {
    "spend-more-than-there-is": Plant(
        "A spend that costs more than there is is accepted.",
        (NO_OVERSPEND,),
        SPENDING._replace(tops=0.0),
        _changed(sqlite, "spend", _overspending),
    ),
    "spend-twice": Plant(
        "A decrement is written twice.", (NO_LOST_DECREMENT,), SPENDING, _changed(sqlite, "spend", _doubling)
    ),
    "spend-never": Plant(
        "Some decrements are not written.",
        (NO_LOST_DECREMENT, NO_OVERSPEND),
        SPENDING,
        _changed(sqlite, "spend", _losing),
    ),
    "answer-before-commit": Plant(
        "Callers are answered before the commit.",
        (NO_CHANGE_MISSING, NO_LOST_DECREMENT, NO_STALE_ANSWER),
        CHANGING._replace(lives=3, ends=("kill at a change",)),
        _answered_before_commit,
    ),
    "commit-without-sync": Plant(
        "Commits are not synced, so that a loss of power takes them.",
        (NO_CHANGE_MISSING, NO_LOST_DECREMENT),
        CHANGING._replace(lives=3, ends=("power loss at a change",)),
        _unsynced,
    ),
    "no-fence": Plant("The cache is never told of changes.", (NO_STALE_ANSWER,), CHANGING, _no_fence),
    "far-reaching-changes-unseen": Plant(
        "Changes that reach an unknown number of keys, as a role's, leave the cache as it is.",
        (NO_STALE_ANSWER,),
        QUIET._replace(changes=0.5, requests=80, deletions=0.2),
        _changed(FencedCache, "_forget", _forgetting_keys_only),
    ),
    "fence-lifted-before-commit": Plant(
        "The fence is lifted before the commit.",
        (NO_STALE_ANSWER,),
        CHANGING._replace(clients=12, keys=1, changes=0.3, cached_keys=1),
        _lifted_before_commit,
    ),
    "send-before-recording": Plant(
        "Answers leave before their events are written.",
        (EVENTS_ONCE,),
        CRASHING._replace(lives=3),
        _changed(Outbox, "flush", _sending_first),
    ),
    "end-without-waiting": Plant(
        "An orderly end neither waits for what was accepted nor cuts it off.",
        (EVENTS_ONCE,),
        SPENDING._replace(lives=4, longest_sync_us=50_000, clients=8),
        _changed(HttpServer, "shutdown", _waiting_for_nobody),
    ),
    "counts-without-position": Plant(
        "Counts are stored, the position in the spool is not.",
        (EVENTS_ONCE,),
        QUIET,
        _changed(analytics.Analytics, "_move_position", _counting_without_position),
    ),
    "position-without-counts": Plant(
        "The position in the spool is stored, counts are not.",
        (EVENTS_ONCE,),
        QUIET,
        _changed(analytics, "merge", lambda connection, counts, numbers: None),
    ),
    "short-write-repeated": Plant(
        "After a short write the whole chunk is written again.",
        (EVENTS_ONCE,),
        FAILING,
        _changed(Spool, "_write_chunks", _repeating_chunks),
    ),
    "refused-write-forgotten": Plant(
        "What the disk refuses is neither written later nor counted as lost.",
        (EVENTS_ONCE,),
        FAILING._replace(changes=0.1),
        _changed(spool.Spool, "_write_chunks", _dropping_quietly),
    ),
    "limits-forgotten": Plant(
        "The limiter forgets counters.", (LIMITS_HOLD,), QUIET, _changed(WindowLimiter, "_take", _forgetful)
    ),
    "limits-anew": Plant(
        "After a restart every window begins anew.",
        (LIMITS_HOLD,),
        CRASHING._replace(changes=0.1),
        _changed(WindowLimiter, "_recover", _anew),
    ),
    "audit-dropped": Plant(
        "Updates leave no audit entry.", (AUDIT,), CHANGING, _changed(Trail, "add", _silent_about_updates)
    ),
    "audit-doubled": Plant(
        "Links leave their audit entries twice.", (AUDIT,), CHANGING, _changed(Trail, "links", _twice_about_links)
    ),
    "answers-not-kept": Plant(
        "Answers to repeatable calls are not kept.",
        (IDEMPOTENCY,),
        CHANGING._replace(repeatable=1.0),
        _changed(SqlKeptAnswers, "put", lambda answers, answer: None),
    ),
    "answers-kept-afterwards": Plant(
        "The answer to a repeatable call is kept in another transaction than its change.",
        (IDEMPOTENCY,),
        CHANGING._replace(repeatable=1.0, longest_sync_us=200_000),
        _changed(Changes, "write", _keeping_afterwards),
    ),
    "refusal-as-500": Plant(
        "A storage that takes no writes is answered with 500.",
        (UNAVAILABLE,),
        FAILING,
        _changed(sqlite, "_unavailable", _internal),
    ),
    "refused-and-done": Plant(
        "Some changes are refused with 503 and done.",
        (UNAVAILABLE, AUDIT),
        CHANGING,
        _changed(SqliteStore, "_run_in_savepoint", _refusing_what_was_done),
    ),
    "refused-commit-comes-back": Plant(
        "What a commit whose sync failed has left in the write-ahead log stays there.",
        (UNAVAILABLE,),
        FAILING._replace(lives=3, ends=("kill",)),
        _changed(sqlite, "_take_back", lambda driver: None),
    ),
    "no-answer": Plant(
        "What fails is not answered at all.",
        (UNAVAILABLE,),
        FAILING,
        _changed(SqliteStore, "_answer", _answering_successes_only),
    ),
    "queue-emptied-afterwards": Plant(
        "An import is taken from the queue in another transaction than the one that makes its key, after that.",
        (NO_CHANGE_MISSING,),
        IMPORTING,
        _changed(MigrationQueue, "run_due", _taking_out_afterwards),
    ),
    "queue-emptied-first": Plant(
        "An import is taken from the queue in another transaction than the one that makes its key, before that.",
        (NO_CHANGE_MISSING, NO_STALE_ANSWER),
        IMPORTING,
        _changed(MigrationQueue, "run_due", _taking_out_first),
    ),
    "batch-in-parts": Plant(
        "Of a batch each import is queued in a transaction of its own.",
        (NO_CHANGE_MISSING,),
        IMPORTING,
        _changed(Migrations, "enqueue_keys", _enqueueing_one_by_one),
    ),
    "failed-import-never-tried-again": Plant(
        "An import that has failed is not tried again when what it lacked is there.",
        (NO_CHANGE_MISSING,),
        IMPORTING,
        _changed(SqlQueuedKeys, "reschedule", _giving_up_at_once),
    ),
    "imports-unaudited": Plant(
        "Keys that the queue makes leave no audit entry.",
        (AUDIT,),
        IMPORTING._replace(lives=1, ends=("stop",)),
        _changed(migration_queue, "insert_imported", _importing_silently),
    ),
    "batch-queued-again": Plant(
        "A batch that is repeated with its Idempotency-Key is queued again.",
        (IDEMPOTENCY,),
        IMPORTING._replace(repeatable=1.0, queued=1.0, lives=1, ends=("stop",)),
        _changed(SqlKeptAnswers, "put", lambda answers, answer: None),
    ),
    "no-start-after-a-torn-line": Plant(
        "The server does not start when a crash has torn a line of the spool.",
        (STARTS_AGAIN,),
        CRASHING._replace(lives=3, changes=0.1, ends=("kill at a change", "power loss at a change")),
        _changed(Spool, "_create_segment", _demanding_whole_lines),
    ),
}
"""Every planted fault, by its name."""
