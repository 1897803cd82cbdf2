"""Works off the queue of imports (contract other-v1 §5.2).

Making a key and taking it from the queue are one transaction: a crash in between loses none and makes none twice. An
item that fails is tried again later and holds up no other.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec
import structlog

from keystead.core.entities import QueuedKey
from keystead.core.errors import KeysteadError, Reason
from keystead.core.pacing import Pace
from keystead.ports import Store, Transaction
from keystead.service.access import Caller, Origin
from keystead.service.apis import keyspace_of, live_api
from keystead.service.ids import Ids
from keystead.service.imported_keys import ImportedKey, attachable, insert_imported

_log = structlog.get_logger()

MAX_ATTEMPTS = 10
"""The waits between them double from 2 s: together 17 minutes, time to make a role that was forgotten."""

_LONGEST_DELAY_MS = 1000 * 2 ** (MAX_ATTEMPTS - 1)

_BATCH = 25
"""Items of one round. All of them are one commit, so more are faster; but whoever wants to write waits for them."""

_LONGEST_WAIT_S = 60.0
"""The clock may be corrected while the worker sleeps; so it looks again now and then."""

_AFTER_INTERRUPTION_S = 5.0


class MigrationQueue:
    """The worker on the event loop, and what the operator sees of the queue.

    `now_ms` tells the time in ms. `start` and `stop` belong to the server; everything else works without them.
    """

    def __init__(self, store: Store, ids: Ids, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._ids = ids
        self._now_ms = now_ms
        self._awake = asyncio.Event()
        self._round = asyncio.Lock()
        self._stopping = False
        self._interruption_pace = Pace()
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Work from now on, first on what an earlier process has left."""
        self._worker = asyncio.create_task(self._work(), name="keystead-migrations")

    async def stop(self) -> None:
        """Finish the round under way; the rest stays in the queue."""
        self._stopping = True
        self._awake.set()
        if self._worker is not None:
            await self._worker

    def wake(self) -> None:
        """Something was queued, or is to be tried again."""
        self._awake.set()

    async def run_due(self) -> int:
        """Try the next keys whose turn has come; how many were tried, 0 when none is left.

        Raises INTERNAL_SERVER_ERROR with reason UNAVAILABLE when storage takes no writes.
        """
        async with self._round:
            now_ms = self._now_ms()
            due = await self._store.read(lambda tx: _due(tx, now_ms))
            # Handed over together: they are committed together, in this order.
            attempts = [self._store.write(self._attempt(queued, now_ms)) for queued in due]
            outcomes = await asyncio.gather(*attempts, return_exceptions=True)
            for queued, outcome in zip(due, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    await self._note_failure(queued, outcome, now_ms)
            return len(due)

    async def failed(self, after_seq: int = 0, limit: int | None = None) -> list[QueuedKey]:
        """The keys that were given up, in the order they were queued; only those after a `seq`, at most `limit`."""
        return await self._store.read(lambda tx: tx.queued_keys.given_up(after_seq, limit))

    async def retry(self, seqs: Sequence[int] | None = None) -> int:
        """Try given-up keys anew, all or those named by their `seq`; how many that are."""
        now_ms = self._now_ms()

        def reschedule(tx: Transaction) -> int:
            chosen = [key.seq for key in tx.queued_keys.given_up() if seqs is None or key.seq in seqs]
            for seq in chosen:
                tx.queued_keys.reschedule(seq, 0, now_ms, None)
            return len(chosen)

        count = await self._store.write(reschedule)
        self.wake()
        return count

    async def _work(self) -> None:
        while not self._stopping:
            self._awake.clear()
            try:
                if await self.run_due():
                    continue
                pause_s = await self._pause_s()
            except Exception as error:
                if self._interruption_pace.is_due(self._now_ms() / 1000):
                    _log.error("migration_queue_interrupted", error=_reason(error))
                pause_s = _AFTER_INTERRUPTION_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), pause_s)

    async def _pause_s(self) -> float | None:
        """How long nothing is to be done; None until somebody wakes us."""
        next_due_ms = await self._store.read(lambda tx: tx.queued_keys.next_due_ms())
        if next_due_ms is None:
            return None
        return min(max(next_due_ms - self._now_ms(), 0) / 1000, _LONGEST_WAIT_S)

    def _attempt(self, queued: QueuedKey, now_ms: int) -> Callable[[Transaction], None]:
        def attempt(tx: Transaction) -> None:
            if not tx.queued_keys.remove(queued.seq):
                return
            caller = Caller(queued.root_key_id, queued.workspace_id, frozenset(), Origin(now_ms, ""))
            keyspace_id = keyspace_of(live_api(tx, queued.api_id, queued.workspace_id))
            item = msgspec.json.decode(queued.item, type=ImportedKey)
            known = attachable(tx, queued.workspace_id, item.roles, item.permissions)
            insert_imported(tx, caller, self._ids, [(item, keyspace_id)], known)

        return attempt

    async def _note_failure(self, queued: QueuedKey, error: BaseException, now_ms: int) -> None:
        if isinstance(error, KeysteadError) and error.reason is Reason.UNAVAILABLE:
            raise error
        attempts = queued.attempts + 1
        due_at_ms = None if attempts >= MAX_ATTEMPTS else now_ms + 1000 * 2**attempts
        reason = _reason(error)
        log = _log.info if due_at_ms else _log.warning
        log("migration_failed", migration_id=queued.migration_id, seq=queued.seq, error=reason, given_up=not due_at_ms)
        await self._store.write(lambda tx: tx.queued_keys.reschedule(queued.seq, attempts, due_at_ms, reason))


def _due(tx: Transaction, now_ms: int) -> list[QueuedKey]:
    next_due_ms = tx.queued_keys.next_due_ms()
    if next_due_ms is not None and next_due_ms > now_ms + _LONGEST_DELAY_MS:
        # Nobody is told to wait for so long: the clock was ahead.
        now_ms = next_due_ms
    return tx.queued_keys.due(now_ms, _BATCH)


def _reason(error: BaseException) -> str:
    """What went wrong, for the operator. The text of an unexpected failure may repeat what was to be stored."""
    return error.message if isinstance(error, KeysteadError) else f"an unexpected failure: {type(error).__name__}"
