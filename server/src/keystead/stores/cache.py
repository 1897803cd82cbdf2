"""What is kept in memory of the database, and the one rule that makes it safe: never what a committed write changed.

A writer fences the entries it touches before it commits and lifts the fence on the event loop afterwards. While an
entry is fenced nothing about it is kept in memory, so every look at it reads storage: the state before the commit
until the commit, the state after it from then on, and never the old one again. The caller of the write is answered
after the fence is lifted.
"""

from collections.abc import Callable, Collection, Hashable, Iterable
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from keystead.core.overrides import LimitedNamespace
from keystead.core.verify import VerifiableKey
from keystead.ports import UNKNOWN, Unknown
from keystead.stores.sql.touched import Touched
from keystead.threads import SYSTEM_THREADS, Threads

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class FencedCache(Generic[K, V]):
    """Entry → what it stands for, or None for entries known to stand for nothing. Both are bounded.

    `get` and `load` are for the event loop's thread, `fence` for the writer's. `stale` says what a unit of work touches
    here: some entries, and whether it is all of them.
    """

    def __init__(
        self,
        max_present: int,
        max_absent: int,
        stale: Callable[[Touched], tuple[Collection[K], bool]],
        threads: Threads,
    ) -> None:
        self._max_present = max(1, max_present)
        self._max_absent = max(1, max_absent)
        self._stale = stale
        self._present: dict[K, V] = {}
        self._absent: dict[K, None] = {}
        self._fences: dict[K, int] = {}
        self._fences_all = 0
        self._lock = threads.lock()

    def get(self, entry: K) -> V | Literal[Unknown.UNKNOWN] | None:
        """What the entry stands for, None when that is nothing, or UNKNOWN when storage has to be asked."""
        value = self._present.get(entry)
        if value is not None:
            return value
        return None if entry in self._absent else UNKNOWN

    def load(self, entry: K, find: Callable[[K], V | None]) -> V | None:
        """What `find` reads from storage, kept in memory unless a write is under way that touches it."""
        value = find(entry)
        with self._lock:
            if not self._fences_all and entry not in self._fences:
                self._keep(entry, value)
        return value

    def fence(self, touched: Touched) -> None:
        """Forget what is touched and keep nothing about it until `lift`; call before the commit."""
        entries, everything = self._stale(touched)
        with self._lock:
            self._fences_all += everything
            for entry in entries:
                self._fences[entry] = self._fences.get(entry, 0) + 1
            self._forget(entries, everything)

    def lift(self, touched: Touched) -> None:
        """End the fence, after commit or roll-back."""
        entries, everything = self._stale(touched)
        with self._lock:
            self._fences_all -= everything
            for entry in entries:
                left = self._fences[entry] - 1
                if left:
                    self._fences[entry] = left
                else:
                    del self._fences[entry]

    def __len__(self) -> int:
        return len(self._present)

    @property
    def absent_entries(self) -> int:
        """How many entries are known to stand for nothing."""
        return len(self._absent)

    def _keep(self, entry: K, value: V | None) -> None:
        if value is None:
            _make_room(self._absent, self._max_absent)
            self._absent[entry] = None
        else:
            _make_room(self._present, self._max_present)
            self._present[entry] = value

    def _forget(self, entries: Iterable[K], everything: bool) -> None:
        if everything:
            self._present.clear()
            self._absent.clear()
            return
        for entry in entries:
            self._present.pop(entry, None)
            self._absent.pop(entry, None)


class KeyCache(FencedCache[str, VerifiableKey]):
    """Hash → key, or None for hashes known to belong to no live key."""

    def __init__(self, max_keys: int, max_absent: int, threads: Threads = SYSTEM_THREADS) -> None:
        super().__init__(max_keys, max_absent, lambda touched: (touched.hashes, touched.everything), threads)


class NamespaceCache(FencedCache[tuple[str, str], LimitedNamespace]):
    """Workspace and name → namespace with its overrides, or None for names known to be free."""

    def __init__(self, max_namespaces: int, max_absent: int, threads: Threads = SYSTEM_THREADS) -> None:
        super().__init__(max_namespaces, max_absent, lambda touched: (touched.namespaces, False), threads)


def _make_room(entries: dict[Any, Any], limit: int) -> None:
    """Drop the oldest eighth when full: in bulk, because a dict forgets its first entry ever more slowly."""
    if len(entries) >= limit:
        for entry in list(islice(entries, limit // 8 + 1)):
            del entries[entry]
