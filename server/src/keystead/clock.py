"""Where the time comes from: the only place outside benchmarks and tests that reads a clock for a decision."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time as milliseconds since the Unix epoch, UTC."""

    def now_ms(self) -> int:
        """The present instant."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """The present instant."""
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is moved: for tests, virtual time and replays."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The instant last set."""
        return self._now_ms

    def advance(self, by_ms: int) -> None:
        """Move by `by_ms` milliseconds; negative moves backwards, as a corrected system clock does."""
        self._now_ms += by_ms

    def set(self, now_ms: int) -> None:
        """Move to the instant `now_ms`."""
        self._now_ms = now_ms
