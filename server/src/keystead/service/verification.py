"""Verifying a key: find, screen, take from limits, spend credits, conclude, record (contract keys-v1 §4)."""

from msgspec import UNSET

from keystead.core.events import encode_event
from keystead.core.secrets import hash_secret
from keystead.core.verify import (
    NOT_FOUND,
    Outcome,
    Plan,
    Verdict,
    VerifiableKey,
    VerificationRequest,
    grant,
    rejection,
    screen,
)
from keystead.ports import UNKNOWN, Limiter, Store, VerificationLog


class Verification:
    """The use case behind verifyKey."""

    def __init__(self, store: Store, limiter: Limiter, log: VerificationLog) -> None:
        self._store = store
        self._limiter = limiter
        self._log = log

    def verify_at_once(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict | None:
        """The verdict when memory suffices, else None with nothing taken: then `verify` has to be awaited.

        Memory suffices for a key that is cached, or known to be absent, and has no credits to spend.
        Raises as `verify`.
        """
        key = self._store.cached(hash_secret(request.key))
        if key is UNKNOWN or (key is not None and key.is_limited):
            return None
        plan = screen(key, request, now_ms, client_address)
        verdict = self._decide(plan, now_ms) if isinstance(plan, Plan) else plan
        self._record(verdict, request, now_ms, request_id)
        return verdict

    async def verify(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict:
        """The verdict; whatever it spends is durable when this returns.

        Raises BAD_REQUEST for a malformed permission query or an unknown named limit, FORBIDDEN for a disabled
        workspace, INTERNAL_SERVER_ERROR when credits have to be spent and storage takes no writes.
        """
        key = await self._find(hash_secret(request.key))
        plan = screen(key, request, now_ms, client_address)
        verdict = await self._conclude(plan, now_ms) if isinstance(plan, Plan) else plan
        self._record(verdict, request, now_ms, request_id)
        return verdict

    async def _find(self, hash_: str) -> VerifiableKey | None:
        key = self._store.cached(hash_)
        return await self._store.find(hash_) if key is UNKNOWN else key

    def _decide(self, plan: Plan, now_ms: int) -> Verdict:
        """The verdict on a key without credits: its limits decide."""
        if not plan.limits:
            return Verdict(Outcome.VALID, plan.key)
        readings = self._limiter.take(plan.limits, now_ms)
        return rejection(plan, readings) or grant(plan, readings, None)

    async def _conclude(self, plan: Plan, now_ms: int) -> Verdict:
        if not plan.key.is_limited:
            return self._decide(plan, now_ms)
        readings = self._limiter.take(plan.limits, now_ms)
        rejected = rejection(plan, readings)
        if rejected is not None:
            return rejected
        spend = await self._store.spend(plan.key.key_id, plan.cost, now_ms)
        # Deleted while this call was under way: the deletion came first.
        return NOT_FOUND if spend is None else grant(plan, readings, spend)

    def _record(self, verdict: Verdict, request: VerificationRequest, now_ms: int, request_id: str) -> None:
        key = verdict.key
        if key is not None:
            tags = () if request.tags is UNSET else request.tags
            self._log.record(encode_event(now_ms, request_id, verdict.outcome, tags, key.subject))
