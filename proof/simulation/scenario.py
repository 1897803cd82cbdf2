"""What a seed makes of a run: how many clients, what they do how often, and what goes wrong meanwhile."""

from random import Random
from typing import NamedTuple


class Scenario(NamedTuple):
    """A run in numbers. Shares are of 1.

    A life has `requests` requests and ends in one of `ends`: stop, kill, kill at a change, power loss at a change.
    """

    clients: int
    keys: int
    lives: int
    requests: int
    changes: float
    """The share of requests that change something; the others verify, limit and look."""
    deletions: float
    """The share of changes that delete."""
    repeatable: float
    """The share of changes with an `Idempotency-Key`."""
    tops: float
    """How often a change is of a balance."""
    pause_us: int
    """The longest a client waits between two requests."""
    ends: tuple[str, ...]
    clock: float
    """How often, for each request, the server's clock is set."""
    failures: float
    """How often, for each request, something fails on the disk."""
    full: float
    """How often, for each request, the disk is full for a while."""
    longest_sync_us: int
    segment_bytes: int
    spool_buffer_bytes: int
    cached_keys: int
    queued: float
    """The share of changes that import through the queue."""


ENDS = ("stop", "kill", "kill at a change", "power loss at a change")


def drawn(random: Random) -> Scenario:
    """A scenario: each kind of trouble is absent from some runs, so that it does not hide the others."""

    def often(*shares: float) -> float:
        return random.choice(shares)

    return Scenario(
        clients=random.choice((1, 2, 4, 8, 12)),
        keys=random.choice((1, 2, 4, 6)),
        lives=random.randint(2, 4),
        requests=random.choice((20, 40, 80)),
        changes=often(0.1, 0.3, 0.6),
        deletions=often(0.0, 0.05, 0.2),
        repeatable=often(0.0, 0.3, 0.8),
        tops=often(0.1, 0.5),
        pause_us=random.choice((0, 2_000, 1_000_000)),
        ends=random.choice((ENDS, ENDS[:1], ENDS[1:3], ENDS[3:])),
        clock=often(0.0, 0.02, 0.08),
        failures=often(0.0, 0.0, 0.03),
        full=often(0.0, 0.0, 0.02),
        longest_sync_us=random.choice((500, 2_000, 200_000)),
        segment_bytes=65_536,
        spool_buffer_bytes=random.choice((4_096, 1 << 20)),
        cached_keys=random.choice((1, 2, 200_000)),
        queued=often(0.0, 0.1, 0.4),
    )
