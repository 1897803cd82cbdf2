"""Runs of seeds: each with a world of its own, and what to print when a promise was not kept."""

from dataclasses import dataclass
from random import Random

from proof.linearizability import TooManyConfigurations
from proof.simulation.invariants import Violated
from proof.simulation.scenario import Scenario, drawn
from proof.simulation.workload import Run
from proof.simulation.world import World

_LAST_STEPS = 60


@dataclass
class Totals:
    """What a number of runs had in them."""

    runs: int = 0
    requests: int = 0
    crashes: int = 0
    power_losses: int = 0
    faults: int = 0
    undecided: int = 0
    """Runs with a history too tangled to be searched to the end."""

    def add(self, run: Run) -> None:
        """Count a run."""
        self.runs += 1
        self.requests += len(run.books.requests)
        self.crashes += run.crashes
        self.power_losses += run.power_losses
        self.faults += run.faults

    def __str__(self) -> str:
        undecided = f", {self.undecided} undecided" if self.undecided else ""
        return (
            f"{self.runs:,} runs, {self.requests:,} requests, {self.crashes:,} crashes "
            f"({self.power_losses:,} power losses), {self.faults:,} faults{undecided}"
        )


@dataclass(frozen=True)
class Found:
    """A promise that was not kept by the run of a seed; `digest` is of all its steps."""

    seed: int
    violation: Violated
    steps: list[str]
    digest: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"violation {self.violation}",
                "",
                f"the last steps of seed {self.seed}:",
                *self.steps,
                "",
                f"replay it exactly with: python -m proof.simulation --seed {self.seed}",
                f"                    or: make simulate SEED={self.seed}",
            ]
        )


def run_seed(seed: int, totals: Totals | None = None, scenario: Scenario | None = None) -> tuple[Found | None, str]:
    """Run a seed, in the scenario that it draws unless one is given: what was found, and the digest of its steps."""
    scenario = scenario or drawn(Random(f"{seed} scenario"))
    settings = {
        "spool_segment_bytes": scenario.segment_bytes,
        "spool_buffer_bytes": scenario.spool_buffer_bytes,
        "key_cache_entries": scenario.cached_keys,
    }
    with World(seed, **settings) as world:
        run = Run(world, scenario)
        found = None
        try:
            world.run(run.live())
        except Violated as violated:
            found = Found(seed, violated, world.trace.last(_LAST_STEPS), world.trace.digest())
        except TooManyConfigurations:
            if totals is not None:
                totals.undecided += 1
        if totals is not None:
            totals.add(run)
        return found, world.trace.digest()
