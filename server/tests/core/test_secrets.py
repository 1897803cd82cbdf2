"""Secrets: format, start and hash."""

import pytest

from keystead.core.secrets import hash_secret, is_hash, new_secret, start_of


def counting(count: int) -> bytes:
    return bytes(i % 256 for i in range(count))


@pytest.mark.parametrize(
    ("prefix", "secret", "hash_"),
    [
        ("", "3ZFTVMJ69MaQg71pn85SRmbU", "lMNDJ9en6KvufsAaLYEmiCB/sWtMncbGMq6OinqMEWQ="),
        ("acme", "acme_3ZFTVMJ69MaQg71pn85SRmbU", "Jkz1jgkQ5PRZf/T0dL0P51WbX97/Id/ys09gO/RDNQk="),
    ],
)
def test_the_contracts_vectors(prefix: str, secret: str, hash_: str):
    """The random bytes 00 to 0f make the secrets and hashes of keys-v1 §5.3."""
    assert new_secret(prefix, 16, counting) == secret
    assert hash_secret(secret) == hash_


@pytest.mark.parametrize(
    ("byte_length", "characters", "first"),
    [(16, 24, "3Z"), (18, 26, "s"), (24, 35, "2"), (32, 46, "2U"), (64, 89, "V"), (255, 350, "Q")],
)
@pytest.mark.parametrize("byte", [0, 255])
def test_length_and_first_characters(byte_length: int, characters: int, first: str, byte: int):
    """Length and first characters depend on the byte count only (keys-v1 §5.1)."""
    secret = new_secret("", byte_length, lambda n: bytes([byte]) * n)
    assert len(secret) == characters
    assert secret.startswith(first)


@pytest.mark.parametrize(
    ("secret", "requested_prefix", "start"),
    [("acme_3ZFTVM", "acme", "acme_3ZFT"), ("3ZFTVMJ69", "", "3ZFTV"), ("acme_3ZFTVM", "", "acme_")],
)
def test_start(secret: str, requested_prefix: str, start: str):
    """A prefix of the request lengthens the start, one of the api's default does not (keys-v1 §5.2)."""
    assert start_of(secret, requested_prefix) == start


@pytest.mark.parametrize(
    ("text", "may_match"),
    [
        (hash_secret("acme_live_7Qm2xZt9"), True),
        ("", False),
        ("deadbeef" * 8, False),
        (hash_secret("x").rstrip("="), False),
        (hash_secret("x").replace("/", "_").replace("+", "-") + "=", False),
        (hash_secret("x") + "\n", False),
        ("é" * 44, False),
    ],
)
def test_what_may_be_the_hash_of_a_secret(text: str, may_match: bool):
    """Only the canonical base64 of 32 bytes can ever be found by a verification (other-v1 §5)."""
    assert is_hash(text) is may_match
