"""`python -m proof.crash`: kill a server again and again."""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from proof import arguments
from proof.crash.runs import Crash


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof.crash", description="Kill a server under load, many times.")
    parser.add_argument("--runs", type=arguments.count, default=100, help="how many kills (default: 100)")
    parser.add_argument("--seed", type=int, help="for the same calls and moments as before, as far as time allows")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="keystead-crash-"))
    print(f"crash: seed {seed}, files in {folder}", flush=True)
    began_s = time.monotonic()
    try:
        crash = run(folder, seed, options.runs)
    except Exception:
        traceback.print_exc()
        print(f"crash: VIOLATION (seed {seed}); the server's files and log are kept in {folder}")
        return 1
    shutil.rmtree(folder)
    print(summary(crash, seed, time.monotonic() - began_s))
    return 0


def run(folder: Path, seed: int, kills: int) -> Crash:
    """So many kills, and some orderly ends, in random ways. Raises Difference."""
    with Crash(folder, seed) as crash:
        reported = 0
        while crash.kills < kills:
            crash.any_way()
            if crash.kills >= reported + 10:
                reported = crash.kills
                print(f"  {crash.kills} kills, {crash.books.acknowledged.total():,} answers", flush=True)
        crash.finish()
    return crash


def summary(crash: Crash, seed: int, took_s: float) -> str:
    """What was done, in one line."""
    books, insisted = crash.books, crash.patient.repeated
    return (
        f"crash: {crash.kills} kills, {crash.stops} orderly ends, "
        f"{books.acknowledged.total():,} acknowledged requests, {books.compared_events:,} verifications counted, "
        f"{crash.imports.made:,} queued imports made, {crash.imports.failed:,} failed for a reason, "
        f"{books.undecided + insisted:,} undecided, {books.repeated + insisted:,} repeated, "
        f"{crash.histories} histories of {crash.history_calls:,} calls, {took_s:.0f} s, no violation (seed {seed})"
    )


if __name__ == "__main__":
    sys.exit(main())
