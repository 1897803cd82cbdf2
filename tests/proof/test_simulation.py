"""The simulation: a few seeds keep every promise, and a seed is a run that can be had again exactly."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from proof.simulation.plant import PLANTS
from proof.simulation.runs import Totals, run_seed

ROOT = Path(__file__).parents[2]

SEEDS = (1, 2, 3, 4, 5, 6, random.SystemRandom().randrange(10**9))
"""The same ones each time, and one that nobody has seen."""


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_is_kept(seed: int) -> None:
    """Whatever this seed does to the server, every invariant holds."""
    found, _ = run_seed(seed)
    assert found is None, str(found)


def test_replays_are_exact() -> None:
    """The same seed takes the same steps again, in this process and in another whose hashes of text differ."""
    totals = Totals()
    (_, digest), (_, again) = run_seed(7, totals), run_seed(7)
    assert digest == again
    assert totals.requests > 0
    program = "from proof.simulation.runs import run_seed; print(run_seed(7)[1])"
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "99"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert elsewhere.stdout.strip() == digest


def test_a_violation_tells_how_to_replay_it() -> None:
    """What is printed names the promise, the seed, the last steps and the command; a replay finds the same."""
    plant = PLANTS["spend-twice"]
    with plant.planted():
        found, _ = run_seed(1, scenario=plant.scenario)
        again, _ = run_seed(1, scenario=plant.scenario)
    assert found is not None
    assert again is not None
    text = str(found)
    assert text.startswith("violation no-lost-or-doubled-decrement: A balance is what was given")
    assert "the last steps of seed 1:" in text
    assert "python -m proof.simulation --seed 1" in text
    assert (found.digest, str(found.violation)) == (again.digest, str(again.violation))


def test_the_command_ends_with_one_line() -> None:
    """`python -m proof.simulation` runs seeds for as long as asked and sums up what there was in them."""
    run = subprocess.run(
        [sys.executable, "-m", "proof.simulation", "--seconds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    last = run.stdout.splitlines()[-1]
    assert last.startswith("simulate: ")
    assert "requests" in last
    assert last.endswith("no violation")
