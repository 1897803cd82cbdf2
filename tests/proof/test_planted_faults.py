"""No check of the simulation is empty: every invariant is seen to fail, each by faults planted for it."""

import pytest
from proof.simulation.invariants import PROMISES
from proof.simulation.plant import PLANTS
from proof.simulation.runs import run_seed
from proof.simulation.scenario import Scenario

SEEDS = range(1, 13)
"""A planted fault is found by one of these, most of them by the first."""

SCENARIOS = dict.fromkeys(plant.scenario for plant in PLANTS.values())


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_fault_is_found(name: str) -> None:
    """The simulation finds the fault within a few seeds, and says which promise it breaks."""
    plant = PLANTS[name]
    for seed in SEEDS:
        with plant.planted():
            found, _ = run_seed(seed, scenario=plant.scenario)
        if found is not None:
            assert found.violation.invariant in plant.found_by, found
            return
    pytest.fail(f"not found: {plant.what}")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_without_a_fault_the_scenario_is_green(scenario: Scenario) -> None:
    """What is found is the fault: the same seed, without it, keeps every promise."""
    found, _ = run_seed(SEEDS[0], scenario=scenario)
    assert found is None, found


def test_every_invariant_has_a_planted_fault() -> None:
    """There is a fault for every promise, and none is for a promise that there is not."""
    assert {invariant for plant in PLANTS.values() for invariant in plant.found_by} == set(PROMISES)
