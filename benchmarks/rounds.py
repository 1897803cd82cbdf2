"""Rounds of load on several servers in turn, and what one costs beside another."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import load
from benchmarks.load import Load
from benchmarks.machine import cpu_s, wait_until_quiet


@dataclass
class Target:
    """A server under a load, and what its rounds gave.

    `does_more` tells that work goes on after the answers (the verification log's way to analytics): it is waited for
    and counted.
    """

    name: str
    pid: int
    url: str
    load: Load
    does_more: bool = True
    cpu_us: list[float] = field(default_factory=list)
    """Processor time per request, µs, a round each."""
    rate: list[float] = field(default_factory=list)
    """Requests a second, a round each."""
    p99_ms: list[float] = field(default_factory=list)
    asked: int = 0

    def run(self, seconds: int, folder: Path, *, counts: bool = True) -> None:
        """One round; one that does not count warms up."""
        before = cpu_s(self.pid)
        answered = load.run(self.load, self.url, seconds, folder, skip=0 if self.load.distinct else self.asked)
        # wrk has read one ahead on every connection.
        self.asked += answered.requests + 2 * self.load.connections
        if self.does_more:
            wait_until_quiet(self.pid)
        if counts:
            self.cpu_us.append((cpu_s(self.pid) - before) / answered.requests * 1e6)
            self.rate.append(answered.requests / answered.seconds)
            self.p99_ms.append(answered.p99_us / 1000)


def alternate(targets: list[Target], rounds: int, seconds: int, folder: Path) -> None:
    """Run the targets in turn, `rounds` times, and the first once more at the end."""
    names = ", ".join(target.name for target in targets)
    print(f"{names}: {rounds} rounds of {seconds} s each", file=sys.stderr, flush=True)
    for target in targets:
        target.run(1, folder, counts=False)
    for _ in range(rounds):
        for target in targets:
            target.run(seconds, folder)
    targets[0].run(seconds, folder)


def beside(values: list[float], reference: list[float]) -> float:
    """The median ratio of rounds to the reference's rounds before and after them."""
    after = [*reference[1:], reference[-1]]
    return median(
        value / ((before + next_) / 2) for value, before, next_ in zip(values, reference, after, strict=False)
    )
