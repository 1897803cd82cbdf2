"""The answer of a verification as JSON (contract keys-v1 §3.5, §4.7).

Which members an outcome carries is the verdict's business; here is only their order and text. Members that depend on
the key alone are encoded once, when the key is loaded.
"""

from collections.abc import Sequence

import msgspec

from keystead.core.entities import Identity, Key
from keystead.core.verify import Outcome, Verdict

_encode = msgspec.json.Encoder().encode

_OPENINGS = {
    outcome: b'{"valid":%b,"code":"%b","requestId":"'
    % (b"true" if outcome is Outcome.VALID else b"false", outcome.value.encode())
    for outcome in Outcome
}


class _IdentityMembers(msgspec.Struct, gc=False, rename="camel"):
    id: str
    external_id: str
    meta: msgspec.Raw


class _KeyMembers(msgspec.Struct, gc=False, kw_only=True, rename="camel", omit_defaults=True):
    """In the order of the answer; what is None is left out."""

    key_id: str
    name: str | None = None
    owner_id: str | None = None
    meta: msgspec.Raw | None = None
    expires: int | None = None
    enabled: bool
    permissions: Sequence[str]
    roles: Sequence[str]
    environment: str | None = None
    identity: _IdentityMembers | None = None


def key_members(key: Key, identity: Identity | None, permissions: Sequence[str], roles: Sequence[str]) -> bytes:
    """The members from `keyId` to `identity`, comma-separated, without braces."""
    members = _KeyMembers(
        key_id=key.id,
        name=key.name,
        owner_id=identity.external_id if identity else key.owner_id,
        meta=None if key.meta is None else msgspec.Raw(key.meta),
        expires=key.expires_ms,
        enabled=key.enabled,
        permissions=permissions,
        roles=roles,
        environment=key.environment,
        identity=_identity_members(identity) if identity else None,
    )
    return _encode(members)[1:-1]


def _identity_members(identity: Identity) -> _IdentityMembers:
    return _IdentityMembers(identity.id, identity.external_id, msgspec.Raw(identity.meta or "{}"))


def encode(verdict: Verdict, request_id: str) -> bytes:
    """The complete body of the 200 answer. NOT_FOUND carries exactly `valid`, `code` and `requestId`."""
    body = _OPENINGS[verdict.outcome] + request_id.encode("ascii")
    if verdict.key is None:
        return body + b'"}'
    body += b'",' + verdict.key.members
    limit = verdict.limit
    if limit is not None:
        body += b',"ratelimit":{"limit":%d,"remaining":%d,"reset":%d}' % (
            limit.limit,
            limit.remaining,
            limit.reset_ms,
        )
    if verdict.remaining is not None:
        body += b',"remaining":%d' % verdict.remaining
    return body + b"}"
