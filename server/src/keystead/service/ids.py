"""Fresh identifiers for the use cases."""

from collections.abc import Callable

from keystead.core.ids import IdPrefix, new_id


class Ids:
    """Makes identifiers; the randomness comes from the one that wires the services."""

    def __init__(self, random: Callable[[int], bytes]) -> None:
        self.random = random

    def new(self, prefix: IdPrefix, now_ms: int) -> str:
        """A fresh identifier (keys-v1 §5.4)."""
        return new_id(prefix, now_ms, self.random)
