"""Verifying a key: find, screen, take from limits, spend credits, conclude, record (contract keys-v1 §4)."""

import asyncio
from collections.abc import Callable, Generator, Sequence
from typing import Any

from msgspec import UNSET

from keystead.core.credits import Spend
from keystead.core.events import encode_event
from keystead.core.secrets import hash_secret
from keystead.core.verify import (
    NOT_FOUND,
    Plan,
    Verdict,
    VerifiableKey,
    VerificationRequest,
    grant,
    rejection,
    screen,
)
from keystead.core.window import LimitReading
from keystead.ports import UNKNOWN, Limiter, Store, VerificationLog

VerdictTold = Callable[[Verdict | None, Exception | None], None]


class Pending:
    """A verification whose credits are being spent: `then` is told the verdict, or why there is none.

    It can be awaited instead. Whoever gets one sets `then` or awaits it before anything else happens.
    """

    __slots__ = ("_conclude", "then")

    then: VerdictTold

    def __init__(self, conclude: Callable[[Spend | None], Verdict]) -> None:
        self._conclude = conclude

    def told(self, spend: Spend | None, error: Exception | None) -> None:
        """Takes the outcome of the spend."""
        verdict = None
        if error is None:
            try:
                verdict = self._conclude(spend)
            except Exception as failure:
                # Whoever waits is told of this failure too: nobody else would answer.
                error = failure
        self.then(verdict, error)

    def __await__(self) -> Generator[Any, None, Verdict]:
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def tell(verdict: Verdict | None, error: Exception | None) -> None:
            if future.done():  # nobody waits any longer
                return
            if verdict is not None:
                future.set_result(verdict)
            else:
                future.set_exception(error or AssertionError("a verdict or an error"))

        self.then = tell
        return future.__await__()


class Verification:
    """The use case behind verifyKey."""

    def __init__(self, store: Store, limiter: Limiter, log: VerificationLog) -> None:
        self._store = store
        self._limiter = limiter
        self._log = log

    def start(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict | Pending | None:
        """The verdict, or `Pending` while credits are spent; None, and nothing taken, when `verify` has to be awaited.

        That is when storage has to be waited for to find the key. Raises as `verify`, or tells so later.
        """
        key = self._store.find_at_once(hash_secret(request.key))
        if key is UNKNOWN:
            return None
        return self._judge(key, request, now_ms, request_id, client_address)

    async def verify(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict:
        """The verdict; whatever it spends is durable when this returns.

        Raises BAD_REQUEST for a malformed permission query or an unknown named limit, FORBIDDEN for a disabled
        workspace, INTERNAL_SERVER_ERROR when credits have to be spent and storage takes no writes.
        """
        key = await self._store.find(hash_secret(request.key))
        verdict = self._judge(key, request, now_ms, request_id, client_address)
        return verdict if isinstance(verdict, Verdict) else await verdict

    def _judge(
        self,
        key: VerifiableKey | None,
        request: VerificationRequest,
        now_ms: int,
        request_id: str,
        client_address: str | None,
    ) -> Verdict | Pending:
        plan = screen(key, request, now_ms, client_address)
        if isinstance(plan, Verdict):
            verdict = plan
        else:
            readings = self._limiter.take(plan.limits, now_ms) if plan.limits else ()
            rejected = rejection(plan, readings)
            if rejected is None and plan.key.is_limited:
                return self._spend(plan, readings, request, now_ms, request_id)
            verdict = rejected or grant(plan, readings, None)
        self._record(verdict, request, now_ms, request_id)
        return verdict

    def _spend(
        self,
        plan: Plan,
        readings: Sequence[LimitReading],
        request: VerificationRequest,
        now_ms: int,
        request_id: str,
    ) -> Pending:
        def conclude(spend: Spend | None) -> Verdict:
            # None: deleted while this call was under way; the deletion came first.
            verdict = NOT_FOUND if spend is None else grant(plan, readings, spend)
            self._record(verdict, request, now_ms, request_id)
            return verdict

        pending = Pending(conclude)
        self._store.begin_spend(plan.key.key_id, plan.cost, now_ms, pending.told)
        return pending

    def _record(self, verdict: Verdict, request: VerificationRequest, now_ms: int, request_id: str) -> None:
        key = verdict.key
        if key is not None:
            tags = () if request.tags is UNSET else request.tags
            self._log.record(encode_event(now_ms, request_id, verdict.outcome, tags, key.subject))
