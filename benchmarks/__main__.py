"""`python -m benchmarks [--quick] [--json] [--only NAME ...]`, from the root of the repository."""

import argparse
import shutil
import sys
from collections.abc import Callable, Iterator

from benchmarks import databases
from benchmarks.footprint import measure_idle_memory, measure_large
from benchmarks.machine import LOAD_CORE, SERVER_CORE, description, missing_packages
from benchmarks.report import Line, print_json, print_table
from benchmarks.verification import (
    Effort,
    measure_cold,
    measure_create,
    measure_credits,
    measure_fastapi,
    measure_memory_cases,
    small_server,
)

_FULL = Effort(rounds=5, round_s=3, large_keys=1_000_000, cached_keys=100_000)
_QUICK = Effort(rounds=2, round_s=1, large_keys=100_000, cached_keys=20_000)

_ON_SMALL = {
    "memory": measure_memory_cases,
    "credits": measure_credits,
    "create": measure_create,
    "fastapi": measure_fastapi,
}
_ALONE: dict[str, Callable[[Effort], Iterator[Line]]] = {
    "cold": measure_cold,
    "idle": lambda _: measure_idle_memory(databases.WORK / "idle"),
    "large": measure_large,
}


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, a database of 100,000 keys")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", nargs="+", choices=[*_ON_SMALL, *_ALONE], help="measure only these")
    arguments = parser.parse_args()
    missing = missing_packages()
    if missing:
        print(f"The benchmarks need the Debian packages {', '.join(missing)}: ", file=sys.stderr, end="")
        print(f"apt-get install --no-install-recommends {' '.join(missing)}", file=sys.stderr)
        return 1
    effort = _QUICK if arguments.quick else _FULL
    wanted = set(arguments.only or (*_ON_SMALL, *_ALONE))
    databases.WORK.mkdir(exist_ok=True)
    lines = list(_measure(wanted, effort))
    (print_json if arguments.json else print_table)(lines, _header(effort))
    return 0


def _measure(wanted: set[str], effort: Effort) -> Iterator[Line]:
    if not wanted.isdisjoint(_ON_SMALL):
        folder = databases.WORK / "run"
        with small_server(folder) as small:
            for name, measure in _ON_SMALL.items():
                if name in wanted:
                    yield from measure(small, effort)
        shutil.rmtree(folder)
    for name, alone in _ALONE.items():
        if name in wanted:
            yield from alone(effort)


def _header(effort: Effort) -> list[str]:
    return [
        description(),
        f"Server and nginx on core {SERVER_CORE}, wrk on core {LOAD_CORE}, one thread, 64 connections unless said"
        f" otherwise; {effort.rounds} rounds of {effort.round_s} s in turn, medians.",
        "Ratios are of a round to the reference's rounds before and after it. CPU counts all threads, user and system,"
        " the verification log's way to analytics included.",
    ]


if __name__ == "__main__":
    sys.exit(main())
