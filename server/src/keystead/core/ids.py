"""Identifiers and the base58 they are written in (contract keys-v1 §5.4)."""

from collections.abc import Callable, Iterator
from enum import StrEnum

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Bitcoin's base58: no 0, O, I, l."""

EPOCH_S = 1_700_000_000
"""Identifiers count their seconds from this Unix time."""

_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


class IdPrefix(StrEnum):
    """What an identifier names."""

    KEY = "key"
    API = "api"
    WORKSPACE = "ws"
    KEYSPACE = "ks"
    PERMISSION = "perm"
    ROLE = "role"
    IDENTITY = "id"
    RATELIMIT = "rl"
    AUDIT_ENTRY = "log"
    REQUEST = "req"
    DATA_KEY = "dk"
    NAMESPACE = "rlns"
    OVERRIDE = "rlor"


def base58(data: bytes) -> str:
    """`data` as a big-endian number in base58; leading zero bytes become `1`, no checksum."""
    number = int.from_bytes(data)
    digits = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def new_id(prefix: IdPrefix, now_ms: int, random: Callable[[int], bytes]) -> str:
    """`<prefix>_<base58 of 12 bytes>`: 4 bytes of seconds since `EPOCH_S`, 8 from `random`.

    Instants before the epoch or past its 32 bits are clamped: identifiers are opaque, their order is a courtesy.
    """
    seconds = min(max(now_ms // 1000 - EPOCH_S, 0), 0xFFFF_FFFF)
    return f"{prefix.value}_{base58(seconds.to_bytes(4) + random(8))}"


class RequestIds:
    """Request identifiers, cheap enough for every answer: `next()` gives a fresh one.

    One draw of randomness serves a block of 58² identifiers that differ in their last two characters. They need to be
    unique, not secret.
    """

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self._random = random
        self._block: Iterator[str] = iter(())

    def next(self) -> str:
        """An identifier `req_…` not given before."""
        for identifier in self._block:
            return identifier
        stem = f"{IdPrefix.REQUEST.value}_{base58(self._random(11)).rjust(15, '1')}"
        self._block = iter([stem + pair for pair in _PAIRS])
        return self.next()
