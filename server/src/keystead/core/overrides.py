"""What a request for a limit is held to: its own numbers, or those of an override (contract other-v1 §4.1, §4.2).

An override whose identifier equals the request's wins; else the first in order of creation that holds a `*` and
matches; else none. `*` stands for any run of characters without a newline, everything else for itself, and the whole
identifier has to match, by case.
"""

from collections.abc import Iterable

import msgspec

from keystead.core.window import LimitDemand

STAR = "*"


class Allowance(msgspec.Struct, frozen=True, gc=False):
    """`limit` units in each window of `duration_ms`."""

    limit: int
    duration_ms: int


class Wildcard:
    """An identifier with stars, split once; matching takes time in proportion to the text, whatever the pattern.

    Not a regular expression: one with many stars tries every way to share a text out between them. Here each piece
    takes its leftmost place. That is enough, with the rule on newlines too: where a piece could also stand further
    right, the gap up to there holds no newline, so the leftmost place leaves the rest as much room.
    """

    __slots__ = ("_middle", "_prefix", "_suffix")

    def __init__(self, identifier: str) -> None:
        """`identifier` holds at least one star."""
        self._prefix, *middle, self._suffix = identifier.split(STAR)
        # Two stars side by side are as good as one.
        self._middle = tuple(filter(None, middle))

    def matches(self, text: str) -> bool:
        """Whether the whole of `text` fits."""
        start, end = len(self._prefix), len(text) - len(self._suffix)
        if start > end or not text.startswith(self._prefix) or not text.endswith(self._suffix):
            return False
        for piece in self._middle:
            at = text.find(piece, start, end)
            if at < 0 or text.find("\n", start, at) >= 0:
                return False
            start = at + len(piece)
        return text.find("\n", start, end) < 0


class LimitedNamespace(msgspec.Struct, frozen=True):
    """A namespace as `ratelimits.limit` needs it: `exact` maps identifier → allowance, `wildcards` are in order."""

    namespace_id: str
    exact: dict[str, Allowance]
    wildcards: tuple[tuple[Wildcard, Allowance], ...]

    def override(self, identifier: str) -> Allowance | None:
        """The allowance that replaces the request's, or None."""
        allowance = self.exact.get(identifier)
        if allowance is None:
            for wildcard, its_allowance in self.wildcards:
                if wildcard.matches(identifier):
                    return its_allowance
        return allowance

    def demand(self, identifier: str, requested: Allowance, cost: int) -> LimitDemand:
        """What to ask the limiter: an override replaces limit and duration, the cost is always the request's.

        In this group the limit's value is part of the counter's identity (§4.2), so it is part of the scope. The
        namespace's id keeps these counters apart from those of keys and identities.
        """
        allowance = self.override(identifier) or requested
        scope_id = f"{self.namespace_id}/{allowance.limit}"
        return LimitDemand(identifier, scope_id, allowance.limit, allowance.duration_ms, cost)


def limited_namespace(namespace_id: str, overrides: Iterable[tuple[str, Allowance]]) -> LimitedNamespace:
    """The namespace with its overrides, given as (identifier, allowance) in order of creation."""
    exact = dict(overrides)
    wildcards = tuple((Wildcard(text), allowance) for text, allowance in exact.items() if STAR in text)
    return LimitedNamespace(namespace_id, exact, wildcards)
