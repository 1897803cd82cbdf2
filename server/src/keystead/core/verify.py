"""The verification decision (contract keys-v1 §4): which checks, in which order, what they cost.

`screen` decides all it can from the key, the request, the instant and the client's address. What is left is a `Plan`:
limits to take from, credits to spend. The service has them answered, `rejection` and `grant` turn the answers into the
verdict. Nothing here suspends, reads a clock or keeps state.

Order (§4.2, first failure decides): lookup, workspace, enabled, api, expiry, address, permissions, ratelimits, credits.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from keystead.core.addresses import AddressList
from keystead.core.credits import Spend
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.permissions import check_query, satisfies
from keystead.core.window import LimitDemand, LimitReading

DEFAULT_LIMIT = "default"
"""The name of the limit that createKey and updateKey make."""


class Outcome(StrEnum):
    """The `code` of a verification (§3.5); `UNAUTHORIZED` is in the published enumeration but never produced."""

    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    USAGE_EXCEEDED = "USAGE_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    UNAUTHORIZED = "UNAUTHORIZED"
    DISABLED = "DISABLED"
    INSUFFICIENT_PERMISSIONS = "INSUFFICIENT_PERMISSIONS"
    EXPIRED = "EXPIRED"


class EffectiveLimit(msgspec.Struct, frozen=True, gc=False):
    """A configured limit of a key; `scope_id` is the id of the key or identity that defines and counts it (D3)."""

    name: str
    scope_id: str
    limit: int
    duration_ms: int
    auto_apply: bool


class VerifiableKey(msgspec.Struct, frozen=True, gc=False):
    """What verifying a key needs, loaded once and cached.

    `limits` are the effective ones in merged order: identity-defined, then key-defined (key beats identity).
    `automatic` are the demands of those that apply without being named. `members` are the ready-made members of the
    answer that do not depend on the call, `subject` those of the verification event.
    """

    key_id: str
    workspace_id: str
    for_workspace_id: str | None
    workspaces_enabled: bool
    enabled: bool
    api_id: str
    expires_ms: int | None
    addresses: AddressList | None
    permissions: frozenset[str]
    identity_id: str | None
    external_id: str | None
    limits: tuple[EffectiveLimit, ...]
    automatic: tuple[LimitDemand, ...]
    is_limited: bool
    members: bytes
    subject: bytes


Cost = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class CreditCost(msgspec.Struct, frozen=True, gc=False):
    """How many credits the verification costs."""

    cost: Cost = 1


class DefaultLimitCost(msgspec.Struct, frozen=True, gc=False):
    """Deprecated: what the verification costs the limit `default`."""

    cost: Cost = 1


class RequestedLimit(msgspec.Struct, frozen=True, gc=False):
    """A limit to take from: a configured one by `name`, or one given whole by `limit` and `duration` (ms)."""

    name: Annotated[str, Meta(min_length=1)]
    cost: Cost = 1
    limit: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType = UNSET
    duration: Annotated[int, Meta(ge=1, le=2**63 - 1)] | UnsetType = UNSET


class Authorization(msgspec.Struct, frozen=True):
    """What the key must be allowed to do: a permission query (§4.6)."""

    permissions: Any = None


Tag = Annotated[str, Meta(min_length=1, extra_json_schema={"maxLength": 128})]


class VerificationRequest(msgspec.Struct, frozen=True, rename="camel"):
    """The body of verifyKey (§3.5)."""

    key: Annotated[str, Meta(min_length=1)]
    api_id: str | UnsetType = UNSET
    tags: Annotated[list[Tag], Meta(max_length=10)] | UnsetType = UNSET
    authorization: Authorization | UnsetType = UNSET
    remaining: CreditCost | UnsetType = UNSET
    ratelimit: DefaultLimitCost | UnsetType = UNSET
    ratelimits: list[RequestedLimit] | UnsetType = UNSET

    def __repr__(self) -> str:
        return "VerificationRequest(key=...)"


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The outcome, and what the answer reports beside the key's own members.

    `remaining` is the credit balance, only when the credit stage ran on a limited key.
    """

    outcome: Outcome
    key: VerifiableKey | None = None
    limit: LimitReading | None = None
    remaining: int | None = None


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What is left to do after `screen`: take from `limits`, then spend `cost` if the key is limited."""

    key: VerifiableKey
    limits: tuple[LimitDemand, ...]
    cost: int


NOT_FOUND = Verdict(Outcome.NOT_FOUND)


def screen(
    key: VerifiableKey | None, request: VerificationRequest, now_ms: int, client_address: str | None
) -> Verdict | Plan:
    """The verdict if the call is refused without limits and credits, else the plan that remains.

    Raises FORBIDDEN for a disabled workspace, BAD_REQUEST for a malformed permission query or a limit that is named but
    configured nowhere: those are answered as errors, not as verdicts.
    """
    # A root key is no customer's key: it verifies as unknown (D6).
    if key is None or key.for_workspace_id is not None:
        return NOT_FOUND
    refusal = refuse_key(key, now_ms)
    if refusal is not None:
        return Verdict(refusal, key)
    if request.api_id and request.api_id != key.api_id:
        return Verdict(Outcome.FORBIDDEN, key)
    if is_expired(key, now_ms):
        return Verdict(Outcome.EXPIRED, key)
    if key.addresses is not None and not key.addresses.admits(client_address):
        return Verdict(Outcome.FORBIDDEN, key)
    if request.authorization is not UNSET:
        query = request.authorization.permissions
        # Absent, null and "" at the top ask for nothing (§4.6).
        if query is not None and query != "":
            check_query(query)
            if not satisfies(key.permissions, query):
                return Verdict(Outcome.INSUFFICIENT_PERMISSIONS, key)
    limits = key.automatic
    if request.ratelimits or request.ratelimit is not UNSET:
        limits = limits_in_effect(key, request)
    return Plan(key, limits, 1 if request.remaining is UNSET else request.remaining.cost)


def refuse_key(key: VerifiableKey, now_ms: int) -> Outcome | None:
    """The checks on the key alone that come before any other: workspace (raises FORBIDDEN), then enabled."""
    if not key.workspaces_enabled:
        raise KeysteadError(ErrorCode.FORBIDDEN, "workspace is disabled")
    return None if key.enabled else Outcome.DISABLED


def is_expired(key: VerifiableKey, now_ms: int) -> bool:
    """Whether the key's expiry is strictly before `now_ms` (§4.2 step 5)."""
    return key.expires_ms is not None and key.expires_ms < now_ms


def limits_in_effect(key: VerifiableKey, request: VerificationRequest) -> tuple[LimitDemand, ...]:
    """Automatic limits, then the request's, one demand a name, in order of first appearance (§4.3).

    Raises BAD_REQUEST for a name that is configured nowhere and not given whole; nothing has been taken then.
    """
    demands = {demand.name: demand for demand in key.automatic}
    if request.ratelimit is not UNSET and DEFAULT_LIMIT in demands:
        # The deprecated cost is for `default` only; an entry of that name below replaces it (§3.5).
        demands[DEFAULT_LIMIT] = msgspec.structs.replace(demands[DEFAULT_LIMIT], cost=request.ratelimit.cost)
    for entry in request.ratelimits or ():
        demands[entry.name] = _demand_of(key, entry)
    return tuple(demands.values())


def _demand_of(key: VerifiableKey, entry: RequestedLimit) -> LimitDemand:
    configured = None
    for limit in key.limits:
        if limit.name == entry.name:
            configured = limit
    if entry.limit is not UNSET and entry.duration is not UNSET:
        scope_id = configured.scope_id if configured else key.identity_id or key.key_id
        return LimitDemand(entry.name, scope_id, entry.limit, entry.duration, entry.cost)
    if configured is None:
        raise KeysteadError(ErrorCode.BAD_REQUEST, _unknown_limit(key, entry.name))
    return LimitDemand(entry.name, configured.scope_id, configured.limit, configured.duration_ms, entry.cost)


def _unknown_limit(key: VerifiableKey, name: str) -> str:
    whose = f'and its identity "{key.identity_id}" ("{key.external_id}") has none of that name'
    nobody = "and the key has no identity"
    return f'ratelimit "{name}" is not configured for key "{key.key_id}", {whose if key.identity_id else nobody}'


def rejection(plan: Plan, readings: Sequence[LimitReading]) -> Verdict | None:
    """RATE_LIMITED, reporting the first limit that rejected in merged order, or None when all accepted (§4.4)."""
    for reading in readings:
        if not reading.accepted:
            return Verdict(Outcome.RATE_LIMITED, plan.key, reading)
    return None


def grant(plan: Plan, readings: Sequence[LimitReading], spend: Spend | None) -> Verdict:
    """VALID, or USAGE_EXCEEDED when the credits did not suffice; `spend` is None when the key is not limited.

    The limit reported is `default` when it is in effect, else the first (§4.4 [R]).
    """
    reported = _reported(readings) if readings else None
    if spend is None:
        return Verdict(Outcome.VALID, plan.key, reported)
    return Verdict(Outcome.VALID if spend.accepted else Outcome.USAGE_EXCEEDED, plan.key, reported, spend.remaining)


def _reported(readings: Sequence[LimitReading]) -> LimitReading:
    for reading in readings:
        if reading.name == DEFAULT_LIMIT:
            return reading
    return readings[0]
