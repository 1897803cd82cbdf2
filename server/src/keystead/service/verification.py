"""Verifying a key: find, screen, take from limits, spend credits, conclude, record (contract keys-v1 §4)."""

from collections.abc import Awaitable, Coroutine, Sequence
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

Later = Coroutine[Any, Any, Verdict]


class Verification:
    """The use case behind verifyKey."""

    def __init__(self, store: Store, limiter: Limiter, log: VerificationLog) -> None:
        self._store = store
        self._limiter = limiter
        self._log = log

    def start(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict | Later:
        """The verdict, or what to await for it: `Later` when storage has to be waited for or credits are spent.

        Raises as `verify`, or does so when awaited. A `Later` has to be awaited, even if nobody wants to know.
        """
        hash_ = hash_secret(request.key)
        key = self._store.find_at_once(hash_)
        if key is UNKNOWN:
            return self._find(hash_, request, now_ms, request_id, client_address)
        return self._judge(key, request, now_ms, request_id, client_address)

    async def verify(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict:
        """The verdict; whatever it spends is durable when this returns.

        Raises BAD_REQUEST for a malformed permission query or an unknown named limit, FORBIDDEN for a disabled
        workspace, INTERNAL_SERVER_ERROR when credits have to be spent and storage takes no writes.
        """
        verdict = self.start(request, now_ms, request_id, client_address)
        return verdict if isinstance(verdict, Verdict) else await verdict

    async def _find(
        self, hash_: str, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict:
        key = await self._store.find(hash_)
        verdict = self._judge(key, request, now_ms, request_id, client_address)
        return verdict if isinstance(verdict, Verdict) else await verdict

    def _judge(
        self,
        key: VerifiableKey | None,
        request: VerificationRequest,
        now_ms: int,
        request_id: str,
        client_address: str | None,
    ) -> Verdict | Later:
        plan = screen(key, request, now_ms, client_address)
        if isinstance(plan, Verdict):
            verdict = plan
        else:
            readings = self._limiter.take(plan.limits, now_ms) if plan.limits else ()
            rejected = rejection(plan, readings)
            if rejected is None and plan.key.is_limited:
                spend = self._store.spend(plan.key.key_id, plan.cost, now_ms)
                return self._settle(spend, plan, readings, request, now_ms, request_id)
            verdict = rejected or grant(plan, readings, None)
        self._record(verdict, request, now_ms, request_id)
        return verdict

    async def _settle(
        self,
        spending: Awaitable[Spend | None],
        plan: Plan,
        readings: Sequence[LimitReading],
        request: VerificationRequest,
        now_ms: int,
        request_id: str,
    ) -> Verdict:
        spend = await spending
        # None: deleted while this call was under way; the deletion came first.
        verdict = NOT_FOUND if spend is None else grant(plan, readings, spend)
        self._record(verdict, request, now_ms, request_id)
        return verdict

    def _record(self, verdict: Verdict, request: VerificationRequest, now_ms: int, request_id: str) -> None:
        key = verdict.key
        if key is not None:
            tags = () if request.tags is UNSET else request.tags
            self._log.record(encode_event(now_ms, request_id, verdict.outcome, tags, key.subject))
