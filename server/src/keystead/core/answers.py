"""The answer of a verification as JSON (contract keys-v1 §3.5, §4.7).

Which members an outcome carries is the verdict's business; here is only their order and text. Members that depend on
the key alone are encoded once, when the key is loaded.
"""

from collections.abc import Iterable

import msgspec

from keystead.core.entities import Identity, Key
from keystead.core.verify import Outcome, Verdict

_encode = msgspec.json.Encoder().encode

_OPENINGS = {
    outcome: b'{"valid":%b,"code":"%b","requestId":"'
    % (b"true" if outcome is Outcome.VALID else b"false", outcome.value.encode())
    for outcome in Outcome
}


def key_members(key: Key, identity: Identity | None, permissions: Iterable[str], roles: Iterable[str]) -> bytes:
    """The members from `keyId` to `identity`, comma-separated, without braces."""
    owner_id = identity.external_id if identity else key.owner_id
    members = [b'"keyId":' + _encode(key.id)]
    if key.name is not None:
        members.append(b'"name":' + _encode(key.name))
    if owner_id is not None:
        members.append(b'"ownerId":' + _encode(owner_id))
    if key.meta is not None:
        members.append(b'"meta":' + key.meta.encode())
    if key.expires_ms is not None:
        members.append(b'"expires":%d' % key.expires_ms)
    members.append(b'"enabled":true' if key.enabled else b'"enabled":false')
    members.append(b'"permissions":' + _encode(list(permissions)))
    members.append(b'"roles":' + _encode(list(roles)))
    if key.environment is not None:
        members.append(b'"environment":' + _encode(key.environment))
    if identity is not None:
        meta = (identity.meta or "{}").encode()
        members.append(
            b'"identity":{"id":%b,"externalId":%b,"meta":%b}'
            % (_encode(identity.id), _encode(identity.external_id), meta)
        )
    return b",".join(members)


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
