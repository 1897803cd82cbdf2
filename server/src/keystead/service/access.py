"""Who is calling: the one door every use case but verification goes through (contract keys-v1 §2).

Order of checks (§2.2): key given, key live and a root key, workspaces enabled, key enabled, not expired, address
admitted, permission of the operation if it is known from the request alone, the root key's own limits, its own credits.
Operations whose permission depends on an object check it themselves, through `Caller.require`, after they have looked
for the object (§2.5).
"""

from collections.abc import Sequence

import msgspec

from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.core.events import encode_event
from keystead.core.idempotency import Repeatable
from keystead.core.permissions import EVERYTHING
from keystead.core.secrets import hash_secret
from keystead.core.verify import Outcome, VerifiableKey, is_expired, refuse_key
from keystead.ports import Limiter, Store, Unknown, VerificationLog
from keystead.service.failures import missing_permission


class Origin(msgspec.Struct, frozen=True):
    """Where a call came from: its instant, its identifier, and what audit entries keep of the client.

    `repeatable` when it came with an `Idempotency-Key` that counts.
    """

    now_ms: int
    request_id: str
    client_address: str | None = None
    user_agent: str | None = None
    repeatable: Repeatable | None = None


class Caller(msgspec.Struct, frozen=True):
    """Who asks: an authenticated root key, confined to the workspace it acts for.

    Or the operator at the machine, in a workspace of choice; then `actor_type` and `key_id` are both `operator`.
    """

    key_id: str
    workspace_id: str
    permissions: frozenset[str]
    origin: Origin
    actor_type: str = "key"

    @property
    def now_ms(self) -> int:
        """The instant of the call."""
        return self.origin.now_ms

    def may(self, *slugs: str) -> bool:
        """Whether one of `slugs`, or `*`, is held. Compared literally: there are no wildcards (§2.3)."""
        return EVERYTHING in self.permissions or not self.permissions.isdisjoint(slugs)

    def require(self, *slugs: str) -> None:
        """Raise FORBIDDEN unless one of `slugs`, or `*`, is held."""
        if not self.may(*slugs):
            raise missing_permission((EVERYTHING, *slugs))


class Access:
    """Turns an `Authorization` header into a `Caller`, or refuses."""

    def __init__(self, store: Store, limiter: Limiter, log: VerificationLog) -> None:
        self._store = store
        self._limiter = limiter
        self._log = log

    async def authenticate(
        self, authorization: str | None, origin: Origin, needed: Sequence[Sequence[str]] = ()
    ) -> Caller:
        """The caller; one use of the root key's limits and credits is taken, and counted as a verification of it.

        `needed` are the operation's needs as far as the request alone determines them: of each, one alternative.
        Raises UNAUTHORIZED, FORBIDDEN or TOO_MANY_REQUESTS (§2.2).
        """
        hash_ = hash_secret(_secret_in(authorization))
        found = self._store.find_at_once(hash_)
        if isinstance(found, Unknown):
            found = await self._store.find(hash_)
        key, caller = self._caller(found, origin)
        judgement = self._judge(key, caller, needed)
        if judgement is _VALID and key.is_limited:
            judgement = await self._charge(key, origin)
        return self._conclude(key, caller, judgement)

    def authenticate_at_once(
        self, authorization: str | None, origin: Origin, needed: Sequence[Sequence[str]] = ()
    ) -> Caller | None:
        """The caller when memory suffices, else None with nothing taken: then `authenticate` has to be awaited.

        Memory suffices for a root key that is cached, or known to be absent, and has no credits. Raises as
        `authenticate`.
        """
        found = self._store.find_at_once(hash_secret(_secret_in(authorization)))
        if isinstance(found, Unknown) or (found is not None and found.is_limited):
            return None
        key, caller = self._caller(found, origin)
        return self._conclude(key, caller, self._judge(key, caller, needed))

    def _caller(self, key: VerifiableKey | None, origin: Origin) -> tuple[VerifiableKey, Caller]:
        """The root key, and the caller it makes if nothing refuses it. Raises UNAUTHORIZED for any other key."""
        if key is None:
            raise self._unknown(origin)
        if key.for_workspace_id is None:
            raise KeysteadError(ErrorCode.UNAUTHORIZED, "root key required")
        return key, Caller(key.key_id, key.for_workspace_id, key.permissions, origin)

    def _unknown(self, _origin: Origin) -> KeysteadError:
        """The failure of a call with a root key that does not exist."""
        return KeysteadError(ErrorCode.UNAUTHORIZED, "the root key is not valid")

    def _judge(self, key: VerifiableKey, caller: Caller, needed: Sequence[Sequence[str]]) -> "_Judgement":
        """Everything but the credits."""
        origin = caller.origin
        if refuse_key(key, origin.now_ms):
            return Outcome.DISABLED, _forbidden("the root key is disabled", Reason.DISABLED)
        if is_expired(key, origin.now_ms):
            return Outcome.EXPIRED, _forbidden("the root key has expired", Reason.EXPIRED)
        if key.addresses is not None and not key.addresses.admits(origin.client_address):
            return Outcome.FORBIDDEN, _forbidden("the root key may not be used from this address")
        for alternatives in needed:
            if not caller.may(*alternatives):
                return Outcome.INSUFFICIENT_PERMISSIONS, missing_permission((EVERYTHING, *alternatives))
        if not all(reading.accepted for reading in self._limiter.take(key.automatic, origin.now_ms)):
            return Outcome.RATE_LIMITED, KeysteadError(
                ErrorCode.TOO_MANY_REQUESTS, "the root key is ratelimited", Reason.RATE_LIMITED
            )
        return _VALID

    async def _charge(self, key: VerifiableKey, origin: Origin) -> "_Judgement":
        spend = await self._store.spend(key.key_id, 1, origin.now_ms)
        if spend is None or not spend.accepted:
            return Outcome.USAGE_EXCEEDED, _forbidden("the root key has no credits left", Reason.USAGE_EXCEEDED)
        return _VALID

    def _conclude(self, key: VerifiableKey, caller: Caller, judgement: "_Judgement") -> Caller:
        outcome, failure = judgement
        origin = caller.origin
        self._log.record(encode_event(origin.now_ms, origin.request_id, outcome, (), key.subject))
        if failure is not None:
            raise failure
        return caller


_Judgement = tuple[Outcome, KeysteadError | None]

_VALID: _Judgement = (Outcome.VALID, None)


def _secret_in(authorization: str | None) -> str:
    """The root key of the header: after `Bearer ` in any case, or the whole value (§1.2)."""
    value = (authorization or "").strip()
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "bearer":
        value = rest.strip()
    if not value:
        raise KeysteadError(ErrorCode.UNAUTHORIZED, "key required")
    return value


def _forbidden(message: str, reason: Reason | None = None) -> KeysteadError:
    return KeysteadError(ErrorCode.FORBIDDEN, message, reason)
