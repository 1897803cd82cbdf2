"""How often something is told that may go wrong thousands of times a second."""


class Pace:
    """Lets one report through at once, then one each `every_s` seconds; what came between is for the next to count."""

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._last_s: float | None = None

    def is_due(self, now_s: float) -> bool:
        """Whether to report now. Any clock in seconds will do, also one that is set back meanwhile."""
        if self._last_s is not None and 0 <= now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True
