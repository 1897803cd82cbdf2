"""The cache of keys never holds what a committed write changed."""

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any, cast

import pytest

from keystead.core.verify import VerifiableKey
from keystead.ports import UNKNOWN
from keystead.stores.cache import KeyCache
from keystead.stores.sql.touched import Touched

OLD, NEW = cast("VerifiableKey", "the old state"), cast("VerifiableKey", "the new state")


def touching(*hashes: str, everything: bool = False) -> Touched:
    touched = Touched()
    touched.hashes.update(hashes)
    touched.everything = everything
    return touched


EITHER = pytest.mark.parametrize("touched", [touching("h"), touching(everything=True)], ids=["hash", "everything"])


@pytest.fixture
def cache() -> KeyCache:
    return KeyCache(100, 100)


@pytest.mark.parametrize("state", [OLD, None])
def test_what_was_loaded_is_remembered(cache: KeyCache, state: VerifiableKey | None) -> None:
    """A key that was looked up, or found missing, is answered from memory; anything else is unknown."""
    assert cache.get("h") is UNKNOWN
    assert cache.load("h", lambda _: state) is state
    assert cache.get("h") is state
    assert cache.get("other") is UNKNOWN


@EITHER
@pytest.mark.parametrize("state", [OLD, None])
def test_a_fence_forgets(cache: KeyCache, touched: Touched, state: VerifiableKey | None) -> None:
    """From the fence on nothing about a touched key is in memory, whatever is looked up, until the fence is lifted."""
    cache.load("h", lambda _: state)
    cache.fence(touched)
    assert cache.get("h") is UNKNOWN
    assert cache.load("h", lambda _: NEW) is NEW
    assert cache.get("h") is UNKNOWN
    cache.lift(touched)
    assert cache.get("h") is UNKNOWN
    cache.load("h", lambda _: NEW)
    assert cache.get("h") is NEW


def test_a_fence_leaves_other_keys_alone(cache: KeyCache) -> None:
    """A write of one key does not slow down the verification of another."""
    cache.load("other", lambda _: OLD)
    cache.fence(touching("h"))
    assert cache.get("other") is OLD
    cache.load("third", lambda _: OLD)
    assert cache.get("third") is OLD


@pytest.mark.parametrize("first", [touching("h"), touching(everything=True)], ids=["hash", "everything"])
@pytest.mark.parametrize("second", [touching("h", "i"), touching(everything=True)], ids=["hash", "everything"])
def test_fences_add_up(cache: KeyCache, first: Touched, second: Touched) -> None:
    """While two writes touch a key, the end of one does not lift the fence of the other."""
    cache.fence(first)
    cache.fence(second)
    cache.lift(first)
    cache.load("h", lambda _: OLD)
    assert cache.get("h") is UNKNOWN
    cache.lift(second)
    cache.load("h", lambda _: NEW)
    assert cache.get("h") is NEW


class Writer:
    """A write of the key `h`, step by step, as the writer's thread takes them between the loop's steps."""

    def __init__(self, cache: KeyCache, touched: Touched) -> None:
        self.stored = OLD
        self._steps: list[Callable[[], Any]] = [lambda: cache.fence(touched), self._commit]
        self._taken = 0

    def go_to(self, step: int) -> None:
        for take in self._steps[self._taken : step]:
            take()
        self._taken = max(self._taken, step)

    def _commit(self) -> None:
        self.stored = NEW


@EITHER
@pytest.mark.parametrize("steps", list(combinations_with_replacement(range(3), 3)))
def test_no_interleaving_keeps_the_old_state(cache: KeyCache, touched: Touched, steps: tuple[int, int, int]) -> None:
    """However a look-up falls between fence and commit, the old state is not in memory once the write is answered."""
    writer = Writer(cache, touched)
    before, reading, after = steps

    def find(_hash: str) -> VerifiableKey:
        writer.go_to(before)
        found = writer.stored
        writer.go_to(reading)
        return found

    cache.load("h", find)
    writer.go_to(after)
    cache.load("h", lambda _: writer.stored)
    writer.go_to(2)
    assert cache.get("h") is not OLD
    cache.lift(touched)
    assert cache.get("h") in (UNKNOWN, NEW)


@pytest.mark.parametrize("state", [OLD, None])
def test_memory_is_bounded(state: VerifiableKey | None) -> None:
    """The cache forgets old entries, missing and present ones by bounds of their own, and never exceeds either."""
    cache = KeyCache(80, 80)
    hashes = [str(number) for number in range(1000)]
    for hash_ in hashes:
        cache.load(hash_, lambda _: state)
        assert cache.get(hash_) is state
        assert len(cache) <= 80
    remembered = [hash_ for hash_ in hashes if cache.get(hash_) is not UNKNOWN]
    # An eighth goes at a time.
    assert 70 <= len(remembered) <= 80
    assert remembered == hashes[-len(remembered) :]


def test_guessing_does_not_push_keys_out() -> None:
    """Any number of unknown secrets leaves the keys in memory alone."""
    cache = KeyCache(2, 10)
    cache.load("h", lambda _: OLD)
    for number in range(1000):
        cache.load(f"guess {number}", lambda _: None)
    assert cache.get("h") is OLD
