"""The secret of a key: how it is made, shortened and hashed (contract keys-v1 §5.1 to §5.3).

A secret is an argument on its way to `hash_secret`, or part of the one answer that shows it; nothing here keeps it.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from hashlib import sha256

from keystead.core.ids import base58

DEFAULT_BYTE_LENGTH = 16
"""Random bytes in a secret when neither the request nor the api says otherwise."""

_VERSION = 1
_START_LENGTH = 5


def new_secret(prefix: str, byte_length: int, random: Callable[[int], bytes]) -> str:
    """A fresh secret: `[<prefix>_]<base58 of version byte, length byte, random bytes>`.

    `prefix` may be empty (then no separator); `byte_length` is 16 to 255.
    """
    text = base58(bytes((_VERSION, byte_length)) + random(byte_length))
    return f"{prefix}_{text}" if prefix else text


def start_of(secret: str, requested_prefix: str) -> str:
    """The part of `secret` that may be shown: five characters, after the prefix if the request itself gave one.

    A prefix that came from the api's default does not lengthen it (§5.2, asserted by interoperability tests).
    """
    return secret[: len(requested_prefix) + _START_LENGTH]


def is_hash(text: str) -> bool:
    """Whether some secret may have this hash: anything else, once stored, is found by no verification."""
    try:
        digest = a2b_base64(text, strict_mode=True)
    except ValueError:
        return False
    return len(digest) == sha256().digest_size and b2a_base64(digest, newline=False).decode("ascii") == text


def hash_secret(secret: str) -> str:
    """The only form in which a secret is stored: base64 of SHA-256 of its UTF-8 bytes, 44 characters (§5.3)."""
    return b2a_base64(sha256(secret.encode()).digest(), newline=False).decode("ascii")
