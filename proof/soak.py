"""`python -m proof.soak --seconds N`: mixed traffic on a server process for a while, and whether anything wears out.

Nine in ten requests are verifications; every answer is held against what its client knows. At the end balances, keys
and events are compared with the clients' own count, and memory, files and latency with their bounds.

The clients are one Python process that costs about as much per request as the server does: the throughput printed is
that of both together, well below the server's own (`make bench` has that). The latencies include the clients' own.
"""

import argparse
import asyncio
import gc
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop
from benchmarks.machine import memory_kib

from keystead.testing.server import ServerProcess
from proof import arguments
from proof.traffic import Client, Shared, Tally, Unexpected, counted_events, disagreements, open_clients

ROOT_KEY = "keystead_root_key_of_the_soak"
_MIB = 2**20
_HOUR_MS = 3_600_000
_REPORTS = 30
"""A run has about so many lines, at least a second and at most ten seconds apart."""
_COUNTED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Bounds:
    """What a run may show at most; growth is between the middle third of the run and its last."""

    memory_growth: float = 0.05
    memory_growth_mib: float = 8.0
    files_growth: int = 5
    spool_mib: float = 64.0
    write_ahead_log_mib: float = 64.0
    longest_s: float = 2.0


@dataclass
class Samples:
    """What the server used over time, a value for each report: MiB, and open files."""

    own_mib: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    spool_mib: list[float] = field(default_factory=list)
    write_ahead_log_mib: list[float] = field(default_factory=list)

    def look(self, pid: int, folder: Path) -> str:
        """Add the values of now; they in words."""
        self.own_mib.append(memory_kib(pid, "RssAnon") / 1024)
        self.files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        self.spool_mib.append(_size_mib(folder.glob("*-spool/*")))
        self.write_ahead_log_mib.append(_size_mib(folder.glob("*-wal")))
        return (
            f"memory {memory_kib(pid) / 1024:.0f} MiB (own {self.own_mib[-1]:.1f}), {self.files[-1]} files, "
            f"spool {self.spool_mib[-1]:.1f} MiB, databases {_size_mib(folder.glob('*.db')):.1f} MiB "
            f"(write-ahead logs {self.write_ahead_log_mib[-1]:.1f})"
        )


def growth(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the middle third of the values and of the last; the first third is the warm-up."""
    third = max(1, len(values) // 3)
    return median(values[-2 * third : -third] or values), median(values[-third:])


def leaks(samples: Samples, bounds: Bounds) -> list[str]:
    """What grows though it should not, or is larger than it may be."""
    found = []
    before, after = growth(samples.own_mib)
    if after - before > bounds.memory_growth_mib + bounds.memory_growth * before:
        found.append(f"memory grew from {before:.1f} to {after:.1f} MiB after the warm-up")
    before, after = growth(samples.files)
    if after - before > bounds.files_growth:
        found.append(f"open files grew from {before:.0f} to {after:.0f}")
    if max(samples.spool_mib) > bounds.spool_mib:
        found.append(f"the spool grew to {max(samples.spool_mib):.1f} MiB")
    if max(samples.write_ahead_log_mib) > bounds.write_ahead_log_mib:
        found.append(f"the write-ahead logs grew to {max(samples.write_ahead_log_mib):.1f} MiB")
    return found


def miscounts(counted: Counter[str], expected: Counter[str]) -> list[str]:
    """Where the server's counts of events are not the clients'."""
    return [
        f"{counted[code]} verifications {code} were counted, the clients saw {expected[code]}"
        for code in sorted(counted.keys() | expected.keys())
        if counted[code] != expected[code]
    ]


def stalls(tally: Tally, bounds: Bounds) -> list[str]:
    """Answers that took too long, and silences."""
    found = []
    if tally.longest_s > bounds.longest_s:
        found.append(f"{tally.longest_of} took {tally.longest_s:.2f} s")
    if tally.silence_s > bounds.longest_s:
        found.append(f"nobody had an answer for {tally.silence_s:.2f} s")
    return found


def percentiles(latencies_s: Sequence[float]) -> str:
    """p50, p90, p99, p99.9 and the maximum in ms."""
    if not latencies_s:
        return "none"
    ordered = sorted(latencies_s)
    parts = [f"{name} {ordered[int(len(ordered) * share)] * 1000:.2f}" for name, share in _SHARES]
    return f"{' '.join(parts)} max {ordered[-1] * 1000:.1f} ms"


_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))


@dataclass
class Soak:
    """A run: how long, with how many clients, from which seed; `violations` says what was wrong."""

    seconds: float
    clients: int
    seed: int
    bounds: Bounds = field(default_factory=Bounds)
    tally: Tally = field(default_factory=Tally)
    samples: Samples = field(default_factory=Samples)
    violations: list[str] = field(default_factory=list)

    def run(self, folder: Path) -> None:
        """Do it, on a new server in `folder`."""
        with ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY) as server:
            assert server.process is not None
            # A pause of the clients would be taken for one of the server.
            gc.freeze()
            gc.disable()
            try:
                uvloop.run(self._run(server.url, server.process.pid, folder))
            except* Unexpected as unexpected:
                self.violations.append(f"unexpected answer: {_first(unexpected)}")
            finally:
                gc.enable()

    async def _run(self, url: str, pid: int, folder: Path) -> None:
        since_ms = int(time.time() * 1000) // _HOUR_MS * _HOUR_MS  # events are counted by the hour
        clients, shared = await open_clients(url, ROOT_KEY, self.clients, self.seed, self.tally)
        try:
            await self._soak(clients, pid, folder)
            self.violations += leaks(self.samples, self.bounds) + stalls(self.tally, self.bounds)
            self.violations += await disagreements(clients, shared, self.tally)
            self.violations += await self._events(clients[0], shared, since_ms)
        finally:
            for client in clients:
                client.wire.close()
            await asyncio.sleep(0)

    async def _soak(self, clients: list[Client], pid: int, folder: Path) -> None:
        # Balances and events are counted from the start, latencies from now on.
        self.tally = Tally(outcomes=self.tally.outcomes, spent=self.tally.spent)
        for client in clients:
            client.use(self.tally)
        ends_s = time.monotonic() + self.seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report(pid, folder, ends_s))
            for client in clients:
                group.create_task(client.work(lambda: time.monotonic() >= ends_s))

    async def _report(self, pid: int, folder: Path, ends_s: float) -> None:
        every_s = min(10.0, max(0.5, self.seconds / _REPORTS))
        began_s = time.monotonic()
        answered = verified = 0
        while (now_s := time.monotonic()) < ends_s:
            await asyncio.sleep(min(every_s, ends_s - now_s))
            passed_s, tally = time.monotonic() - now_s, self.tally
            rate = (tally.answered - answered) / passed_s
            latency = percentiles(tally.verify_s[verified:])
            answered, verified = tally.answered, len(tally.verify_s)
            used = self.samples.look(pid, folder)
            _say(f"{time.monotonic() - began_s:6.1f} s  {rate:7,.0f}/s  verify {latency}  {used}")

    async def _events(self, client: Client, shared: Shared, since_ms: int) -> list[str]:
        """Wait until everything has been counted; what is counted wrongly."""
        give_up_s = time.monotonic() + _COUNTED_WITHIN_S
        while True:
            wrong = miscounts(await counted_events(client, shared.api_id, since_ms), self.tally.outcomes)
            if not wrong or time.monotonic() > give_up_s:
                return wrong
            await asyncio.sleep(0.2)

    def summary(self) -> str:
        """The run in one line."""
        tally, (_, memory) = self.tally, growth(self.samples.own_mib or [0.0])
        ending = "; ".join(self.violations) if self.violations else "no violation"
        again = f" (again: --seconds {self.seconds:g} --clients {self.clients} --seed {self.seed})"
        return (
            f"soak: {self.seconds:g} s, {tally.answered:,} answers, {tally.outcomes.total():,} events, "
            f"{tally.answered / self.seconds:,.0f}/s, verify {percentiles(tally.verify_s)}, "
            f"others {percentiles(tally.other_s)}, longest silence {tally.silence_s * 1000:.0f} ms, "
            f"{memory:.0f} MiB of its own, {ending}{again if self.violations else ''}"
        )


def main() -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=arguments.seconds, default=60.0, help="how long")
    parser.add_argument("--clients", type=arguments.count, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    soak = Soak(options.seconds, options.clients, options.seed)
    with TemporaryDirectory(prefix="keystead-soak-") as folder:
        soak.run(Path(folder))
    print(soak.summary())
    return 1 if soak.violations else 0


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first; what followed from it is of no interest."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _size_mib(paths: Iterable[Path]) -> float:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # a segment that has just been counted
            continue
    return total / _MIB


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
