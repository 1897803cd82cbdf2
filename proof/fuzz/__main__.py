"""`python -m proof.fuzz`: a hundred thousand cases of hostile input; exit code 1 for a violation."""

import argparse
import re
import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from proof import arguments
from proof.fuzz.run import Found, Fuzz

_5XX = re.compile(r"^violation in .*: 5\d\d: ")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof.fuzz", description="Hostile input.")
    parser.add_argument("--cases", type=arguments.count, default=100_000, help="how many cases (default 100,000)")
    parser.add_argument(
        "--seed", type=int, default=None, help="what all cases follow from (default: another each time)"
    )
    parser.add_argument("--case", type=int, default=None, help="try only this one")
    parser.add_argument("--described", type=int, default=None, help="try only this block of schemathesis's cases")
    options = parser.parse_args(words)
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="keystead-fuzz-") as folder:
        fuzz = Fuzz(seed, Path(folder), lambda text: print(f"  {text}", flush=True))
        if options.case is not None:
            found = uvloop.run(fuzz.run_one(options.case))
        elif options.described is not None:
            found = uvloop.run(fuzz.run_described(options.described))
        else:
            found = uvloop.run(fuzz.run(options.cases))
    for violation in found.violations:
        print(f"\n{violation}")
    print(summary(found, seed))
    return 1 if found.violations else 0


def summary(found: Found, seed: int) -> str:
    """One line about a run."""
    counts = found.counts
    kinds = {
        "raw": counts["raw"] + counts["sockets"],
        "split": counts["split"],
        "lane and router": counts["bodies"],
        "operations": counts["operations"] + counts["described"],
    }
    listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    texts = found.violations
    outcome = f"{len(texts)} violations" if texts else "no violation"
    return (
        f"fuzz: {found.cases:,} cases ({listed}), {sum(bool(_5XX.search(text)) for text in texts)} 5xx, "
        f"{sum('hung' in text for text in texts)} hangs, memory {found.raw_growth_mib:+.1f} MiB "
        f"(operations {found.operations_growth_mib:+.1f} MiB), {outcome} (seed {seed})"
    )


if __name__ == "__main__":
    sys.exit(main())
