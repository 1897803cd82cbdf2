"""Fixed windows aligned to the epoch (contract keys-v1 §4.4, other-v1 §4.2).

`window = floor(now / duration)`, `reset = (window + 1) * duration`. A counter belongs to one window and only grows.
"""

import msgspec


class LimitDemand(msgspec.Struct, frozen=True, gc=False):
    """What one limit is asked for: `cost` units out of `limit` in the present window of `duration_ms`.

    `scope_id` says whose counter it is (a key's id or an identity's id). The counter's identity is scope, name and
    duration; the limit's value is not part of it (DECISIONS D3).
    """

    name: str
    scope_id: str
    limit: int
    duration_ms: int
    cost: int = 1


class LimitReading(msgspec.Struct, frozen=True, gc=False):
    """What a limit answered: whether the cost was taken, what is left now, and when the window ends."""

    name: str
    accepted: bool
    limit: int
    remaining: int
    reset_ms: int


def window_at(now_ms: int, duration_ms: int) -> int:
    """The number of the window `now_ms` lies in."""
    return now_ms // duration_ms


def accepts(used: int, demand: LimitDemand) -> bool:
    """Whether `demand` fits a counter that stands at `used`.

    A full or zero limit rejects whatever the cost, so a cost of 0 looks without taking (keys-v1 §4.4 [R]).
    """
    return used < demand.limit and used + demand.cost <= demand.limit


def reading(demand: LimitDemand, accepted: bool, used: int, window: int) -> LimitReading:
    """The answer for a counter that stands at `used` after the decision."""
    return LimitReading(
        demand.name,
        accepted,
        demand.limit,
        max(0, demand.limit - used),
        (window + 1) * demand.duration_ms,
    )
