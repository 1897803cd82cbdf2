"""Repeated calls (DECISIONS D15): what identifies a call, and how long its answer is kept."""

import re
from hashlib import sha256

import msgspec

from keystead.core.errors import ErrorCode, KeysteadError

KEPT_FOR_MS = 24 * 3_600_000
"""An answer is replayed for a day."""


class Repeatable(msgspec.Struct, frozen=True):
    """A call that may come again: `operation` by name, the header's value, and `request_hash` of its body."""

    operation: str
    idempotency_key: str
    request_hash: str

    def __repr__(self) -> str:
        return f"Repeatable(operation={self.operation!r}, ...)"


_HEADER = re.compile(r"[!-~]{16,255}")


def check_idempotency_key(value: str) -> str:
    """`value` if it can be an `Idempotency-Key`: 16 to 255 visible ASCII characters. Raises BAD_REQUEST."""
    if not _HEADER.fullmatch(value):
        raise KeysteadError(ErrorCode.BAD_REQUEST, "Idempotency-Key: needs 16 to 255 visible ASCII characters")
    return value


def idempotency_key_hash(value: str) -> str:
    """The only form in which an `Idempotency-Key` is stored: 64 hexadecimal digits."""
    return sha256(b"keystead idempotency key v1\0" + value.encode("ascii")).hexdigest()


def answer_key(value: str) -> bytes:
    """The 32 bytes that seal the kept answer; whoever has not the `Idempotency-Key` can not read it."""
    return sha256(b"keystead kept answer v1\0" + value.encode("ascii")).digest()


def request_hash(body: bytes) -> str:
    """What two calls must have in common besides their key: 64 hexadecimal digits."""
    return sha256(body).hexdigest()
