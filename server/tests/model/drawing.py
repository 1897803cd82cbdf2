"""Random values by a seed, in hypothesis's words but evenly: its own draws favour the small and the first.

Histories are long, and what is wrong with a server shows late in them; so even draws, a hundred times cheaper, find in
seconds what the others miss in minutes. What is lost is shrinking; the failing history is told instead.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any


class Some:
    """A kind of value; `draw` makes one."""

    def __init__(self, draw: Callable[[Random], Any]) -> None:
        self.draw = draw

    def __or__(self, other: "Some") -> "Some":
        return one_of(self, other)

    def map(self, function: Callable[[Any], Any]) -> "Some":
        return Some(lambda random: function(self.draw(random)))


def one_of(*kinds: Some) -> Some:
    return Some(lambda random: random.choice(kinds).draw(random))


def sampled_from(values: Sequence[Any]) -> Some:
    return Some(lambda random: random.choice(values))


def just(value: Any) -> Some:
    return Some(lambda _: value)


def none() -> Some:
    return just(None)


def booleans() -> Some:
    return sampled_from((False, True))


def integers(low: int, high: int) -> Some:
    return Some(lambda random: random.randint(low, high))


def builds(make: Callable[[], Any]) -> Some:
    return Some(lambda _: make())


def lists(of: Some, *, min_size: int = 0, max_size: int = 3) -> Some:
    return Some(lambda random: [of.draw(random) for _ in range(random.randint(min_size, max_size))])


def fixed_dictionaries(required: dict[str, Some], *, optional: dict[str, Some] | None = None) -> Some:
    """All of `required`; of `optional` sometimes few, sometimes many."""

    def draw(random: Random) -> dict[str, Any]:
        drawn = {name: of.draw(random) for name, of in required.items()}
        how_likely = random.choice((0.15, 0.5, 0.85))
        for name, of in (optional or {}).items():
            if random.random() < how_likely:
                drawn[name] = of.draw(random)
        return drawn

    return Some(draw)
