"""python -m proof.simulation --seconds 60 [--seed N]: simulate, for so long or this one seed."""

import argparse
import random
import sys
import time

from proof import arguments
from proof.simulation.runs import Totals, run_seed
from proof.simulation.vfs import Unsupported
from proof.simulation.world import the_vfs

_PROGRESS_EVERY_S = 5.0


def main() -> int:
    """The exit code: 0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m proof.simulation", description=__doc__)
    parser.add_argument("--seconds", type=arguments.seconds, default=60, help="how long to go on with seed after seed")
    parser.add_argument("--seed", type=int, help="run this one only, exactly as before")
    parser.add_argument("--from-seed", type=int, help="where to begin; a random number unless given")
    options = parser.parse_args()
    try:
        the_vfs()
    except Unsupported as error:
        print(f"simulate: {error}")
        return 1
    totals = Totals()
    if options.seed is not None:
        first, seconds = options.seed, 0.0
    else:
        first = random.SystemRandom().randrange(10**9) if options.from_seed is None else options.from_seed
        seconds = options.seconds
    seed = first
    began_s = told_s = time.monotonic()
    while True:
        found, _ = run_seed(seed, totals)
        if found is not None:
            print(found)
            print(f"simulate: {totals}, seeds {first}..{seed}, a violation of {found.violation.invariant}")
            return 1
        now_s = time.monotonic()
        if now_s - began_s >= seconds:
            print(f"simulate: {totals}, seeds {first}..{seed}, no violation")
            return 0
        if now_s - told_s >= _PROGRESS_EVERY_S:
            told_s = now_s
            print(f"{now_s - began_s:.0f} s: {totals}", flush=True)
        seed += 1


if __name__ == "__main__":
    sys.exit(main())
