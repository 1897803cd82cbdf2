"""A verification event as the line the verification log keeps (contract keys-v1 §4.7, Appendix A).

A JSON array: `[time_ms, request_id, outcome, tags, workspace_id, keyspace_id, key_id, identity_id, external_id]`, the
last two null for a key without identity. What depends on the key alone is encoded once, with the key.
"""

from collections.abc import Sequence

import msgspec

_encode = msgspec.json.Encoder().encode


def encode_subject(
    workspace_id: str, keyspace_id: str, key_id: str, identity_id: str | None, external_id: str | None
) -> bytes:
    """The members that are the same for every event of a key, for `encode_event`."""
    return _encode((workspace_id, keyspace_id, key_id, identity_id, external_id))[1:-1]


def encode_event(time_ms: int, request_id: str, outcome: str, tags: Sequence[str], subject: bytes) -> bytes:
    """One event, without a newline (JSON text never holds one)."""
    tags_json = _encode(tags) if tags else b"[]"
    return b'[%d,"%b","%b",%b,%b]' % (time_ms, request_id.encode(), outcome.encode(), tags_json, subject)
