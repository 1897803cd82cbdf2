"""What happened in a simulated world: the last steps to read, and a digest of all of them to compare runs by."""

from collections import deque
from zlib import crc32

_BATCH = 512


class Trace:
    """Steps as tuples (virtual time in µs, who, what, ...); the last `keep` of them stay readable.

    Two runs of the same seed have equal digests, whatever the process; so nothing that depends on the process (an
    address, a hash of a str, the real time, a path of this machine) may become part of a step.
    """

    def __init__(self, keep: int) -> None:
        self.steps = 0
        self._last: deque[tuple[object, ...]] = deque(maxlen=keep)
        self._undigested: list[tuple[object, ...]] = []
        self._digest = 0

    def add(self, *step: object) -> None:
        """Note a step."""
        self.steps += 1
        self._last.append(step)
        self._undigested.append(step)
        if len(self._undigested) >= _BATCH:
            self._digest_steps()

    def note(self, *remark: object) -> None:
        """Note something worth reading that may differ between runs, such as a line of the server's log."""
        self._last.append(remark)

    def digest(self) -> str:
        """Of all steps so far."""
        self._digest_steps()
        return f"{self.steps}-{self._digest:08x}"

    def last(self, count: int | None = None) -> list[str]:
        """The last steps as lines, oldest first."""
        steps = list(self._last)
        return [" ".join(map(str, step)) for step in (steps if count is None else steps[-count:])]

    def _digest_steps(self) -> None:
        self._digest = crc32(repr(self._undigested).encode(), self._digest)
        self._undigested.clear()
