"""Identifiers and base58."""

import re

from hypothesis import given
from hypothesis import strategies as st

from keystead.core.ids import ALPHABET, IdPrefix, RequestIds, base58, new_id


def test_the_contracts_example():
    """2025-01-01 and the bytes 04 to 0b make the identifier of keys-v1 §5.4."""
    assert new_id(IdPrefix.KEY, 1_735_689_600_000, lambda n: bytes(range(4, 4 + n))) == "key_3L3Sx3k18tAt1q22"


@given(st.binary(max_size=64))
def test_base58_can_be_read_back(data: bytes):
    """base58 keeps every bit: leading zeros as `1`, the rest as one number."""
    text = base58(data)
    number = 0
    for character in text:
        number = number * 58 + ALPHABET.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    assert b"\0" * zeros + (number.to_bytes((number.bit_length() + 7) // 8) if number else b"") == data


@given(st.integers(min_value=-(2**62), max_value=2**62))
def test_any_instant_makes_an_identifier(now_ms: int):
    """A clock far off still gives an identifier of the documented shape."""
    assert re.fullmatch(r"key_[1-9A-HJ-NP-Za-km-z]+", new_id(IdPrefix.KEY, now_ms, lambda n: b"\xff" * n))


def test_request_ids_are_fresh():
    """Request identifiers have the documented shape and do not repeat, across blocks too."""
    draws = iter(range(1, 100))
    ids = RequestIds(lambda n: next(draws).to_bytes(n))
    made = [ids.next() for _ in range(58 * 58 * 3)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"req_[a-zA-Z0-9]+", identifier) for identifier in made)
