"""The cached form of keys, and the one rule that makes it safe: it never holds what a committed write changed.

A writer fences the hashes it touches before it commits and lifts the fence on the event loop afterwards. While a hash
is fenced nothing about it is kept in memory, so every verification of it reads storage: the state before the commit
until the commit, the state after it from then on, and never the old one again. The caller of the write is answered
after the fence is lifted.
"""

import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Literal

from keystead.core.verify import VerifiableKey
from keystead.ports import UNKNOWN, Unknown
from keystead.stores.sql.touched import Touched

Known = VerifiableKey | None


class KeyCache:
    """Hash → key, or None for hashes known to belong to no live key. Both are bounded.

    `get` and `load` are for the event loop's thread, `fence` for the writer's.
    """

    def __init__(self, max_keys: int, max_absent: int) -> None:
        self._max_keys = max(1, max_keys)
        self._max_absent = max(1, max_absent)
        self._keys: dict[str, VerifiableKey] = {}
        self._absent: dict[str, None] = {}
        self._fences: dict[str, int] = {}
        self._fences_all = 0
        self._lock = threading.Lock()

    def get(self, hash_: str) -> VerifiableKey | Literal[Unknown.UNKNOWN] | None:
        """The key, None when no live key has that hash, or UNKNOWN when storage has to be asked."""
        key = self._keys.get(hash_)
        if key is not None:
            return key
        return None if hash_ in self._absent else UNKNOWN

    def load(self, hash_: str, find: Callable[[str], Known]) -> Known:
        """What `find` reads from storage, kept in memory unless a write is under way that touches it."""
        key = find(hash_)
        with self._lock:
            if not self._fences_all and hash_ not in self._fences:
                self._keep(hash_, key)
        return key

    def fence(self, touched: Touched) -> None:
        """Forget what is touched and keep nothing about it until `lift`; call before the commit."""
        with self._lock:
            self._fences_all += touched.everything
            for hash_ in touched.hashes:
                self._fences[hash_] = self._fences.get(hash_, 0) + 1
            self._forget(touched)

    def lift(self, touched: Touched) -> None:
        """End the fence, after commit or roll-back."""
        with self._lock:
            self._fences_all -= touched.everything
            for hash_ in touched.hashes:
                left = self._fences[hash_] - 1
                if left:
                    self._fences[hash_] = left
                else:
                    del self._fences[hash_]

    def __len__(self) -> int:
        return len(self._keys)

    def _keep(self, hash_: str, key: Known) -> None:
        if key is None:
            _make_room(self._absent, self._max_absent)
            self._absent[hash_] = None
        else:
            _make_room(self._keys, self._max_keys)
            self._keys[hash_] = key

    def _forget(self, touched: Touched) -> None:
        if touched.everything:
            self._keys.clear()
            self._absent.clear()
            return
        for hash_ in touched.hashes:
            self._keys.pop(hash_, None)
            self._absent.pop(hash_, None)


def _make_room(entries: dict[str, VerifiableKey] | dict[str, None], limit: int) -> None:
    """Drop the oldest eighth when full: in bulk, because a dict forgets its first entry ever more slowly."""
    if len(entries) >= limit:
        oldest: Iterable[str] = list(islice(entries, limit // 8 + 1))
        for hash_ in oldest:
            del entries[hash_]
