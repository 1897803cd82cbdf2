"""`python -m benchmarks.client [--quick] [--json]`: our client beside the published one and bare httpx, in one run."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.client_published import RELEASE, published_interpreter
from benchmarks.databases import ROOT_KEY, WORK
from benchmarks.machine import LOAD_CORE, SERVER_CORE, description, on_core
from benchmarks.rounds import beside
from keystead.testing.server import ServerProcess

_SUBJECT = Path(__file__).with_name("client_subject.py")
_OUR_SOURCE = Path(__file__).parents[1] / "client" / "src"
_CASES = [("sync", 1), ("sync", 32), ("async", 1), ("async", 32)]


@dataclass(frozen=True)
class _Effort:
    """How long to measure: fresh processes per figure, and rounds of calls."""

    starts: int
    rounds: int
    round_s: float


_FULL = _Effort(starts=15, rounds=7, round_s=2)
_QUICK = _Effort(starts=5, rounds=3, round_s=0.7)


@dataclass
class _Subject:
    """One of the things compared, the interpreter that runs it and where its `unkey_py` is."""

    name: str
    interpreter: Path
    source: Path | None = None
    figures: list[dict[str, float]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "KEYSTEAD_", "UNKEY_"))}
        return kept | ({} if self.source is None else {"PYTHONPATH": str(self.source)})

    def command(self, kind: str, *arguments: str) -> list[str]:
        return [str(self.interpreter), str(_SUBJECT), kind, self.name, *arguments]

    def measure(self, kind: str) -> None:
        """One figure of a fresh process."""
        done = subprocess.run(self.command(kind), env=self.environment, check=True, stdout=subprocess.PIPE)
        self.figures.append(json.loads(done.stdout))

    def typical(self, name: str) -> float:
        return median(figure[name] for figure in self.figures)

    def ratio(self, name: str, reference: "_Subject") -> float:
        return beside([f[name] for f in self.figures], [f[name] for f in reference.figures])


@dataclass
class _Figure:
    """One result; `ratio` is to the subject `beside`, `target` what it is held against."""

    what: str
    subject: str
    value: float
    unit: str
    beside: str = ""
    ratio: float | None = None
    target: str = ""
    is_met: bool | None = None

    def judge(self, *, at_most: float | None = None, at_least: float | None = None) -> "_Figure":
        """Hold the ratio against a target."""
        assert self.ratio is not None
        if at_most is not None:
            self.target, self.is_met = f"≤ {at_most:g}", self.ratio <= at_most
        if at_least is not None:
            self.target, self.is_met = f"≥ {at_least:g}", self.ratio >= at_least
        return self


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="make bench-client BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    effort = _QUICK if arguments.quick else _FULL
    published = published_interpreter()
    # One interpreter and one set of libraries for all, and none of the tools that a developer has installed beside.
    interpreter = published or Path(sys.executable)
    subjects = [_Subject("httpx", interpreter), _Subject("ours", interpreter, _OUR_SOURCE)]
    if published is not None:
        subjects.append(_Subject("published", interpreter))
    figures = [*_starts(subjects, effort), *_rates(subjects, effort), *_size(published)]
    header = _header(effort, published)
    if arguments.json:
        print(json.dumps({"header": header, "figures": [asdict(figure) for figure in figures]}, ensure_ascii=False))
    else:
        _print_table(figures, header)
    return 0


def _starts(subjects: list[_Subject], effort: _Effort) -> Iterator[_Figure]:
    for kind, what, target in [("import", "import", 0.25), ("ready", "import to first request", 0.5)]:
        print(f"{what}: {effort.starts} times each, in turn", file=sys.stderr, flush=True)
        with on_core(LOAD_CORE):
            for subject in subjects:
                subject.measure(kind)  # brings the files into memory
                subject.figures.clear()
            for _ in range(effort.starts):
                for subject in subjects:
                    subject.measure(kind)
        reference = subjects[-1]
        for name, unit, scale in [("ms", "ms", 1), ("cpu_ms", "ms of CPU", 1), ("kib", "MiB more", 1024)]:
            for subject in subjects:
                figure = _Figure(what, subject.name, subject.typical(name) / scale, unit)
                if subject.name == "ours" and reference.name == "published":
                    figure.beside, figure.ratio = reference.name, subject.ratio(name, reference)
                    if name == "ms":
                        figure.judge(at_most=target)
                yield figure


def _rates(subjects: list[_Subject], effort: _Effort) -> Iterator[_Figure]:
    folder = WORK / "client"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        with on_core(SERVER_CORE):
            server = stack.enter_context(ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY))
        key = _fresh_key(server.url)
        workers = []
        for subject in subjects:
            command = subject.command("calls", server.url, ROOT_KEY, key)
            with on_core(LOAD_CORE):
                worker = subprocess.Popen(
                    command, env=subject.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            workers.append(stack.enter_context(worker))
            stack.callback(worker.kill)
        for flavour, tasks in _CASES:
            yield from _rate(subjects, workers, effort, flavour, tasks)
    shutil.rmtree(folder)


def _rate(
    subjects: list[_Subject], workers: "list[subprocess.Popen[str]]", effort: _Effort, flavour: str, tasks: int
) -> Iterator[_Figure]:
    print(f"{flavour}, {tasks} tasks: {effort.rounds} rounds of {effort.round_s} s", file=sys.stderr, flush=True)
    for subject, worker in zip(subjects, workers, strict=True):
        subject.figures.clear()
        _order(worker, flavour, tasks, 0.3)
    for _ in range(effort.rounds):
        for subject, worker in zip(subjects, workers, strict=True):
            done = _order(worker, flavour, tasks, effort.round_s)
            figures = {"rate": done["calls"] / done["ms"] * 1000, "cpu_us": done["cpu_ms"] / done["calls"] * 1000}
            subject.figures.append(figures)
    bare = subjects[0]
    for name, unit in [("rate", "calls/s"), ("cpu_us", "µs of CPU")]:
        for subject in subjects:
            figure = _Figure(f"verify, {flavour}, {tasks} at once", subject.name, subject.typical(name), unit)
            if subject is not bare:
                figure.beside, figure.ratio = bare.name, subject.ratio(name, bare)
                if (subject.name, name) == ("ours", "rate"):
                    figure.judge(at_least=0.9)
            yield figure


def _order(worker: "subprocess.Popen[str]", flavour: str, tasks: int, seconds: float) -> dict[str, float]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps({"flavour": flavour, "tasks": tasks, "seconds": seconds}) + "\n")
    worker.stdin.flush()
    answered: dict[str, float] = json.loads(worker.stdout.readline())
    return answered


def _fresh_key(url: str) -> str:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {ROOT_KEY}"}) as client:
        api_id = client.post("/v1/apis.createApi", json={"name": "benchmark"}).json()["apiId"]
        return str(client.post("/v1/keys.createKey", json={"apiId": api_id}).json()["key"])


def _size(published: Path | None) -> Iterator[_Figure]:
    ours = _Figure("source", "ours", _lines_of_code(_OUR_SOURCE / "unkey_py"), "lines")
    if published is None:
        yield ours
    else:
        (package,) = published.parents[1].glob("lib/*/site-packages/unkey_py")
        theirs = _Figure("source", "published", _lines_of_code(package), "lines")
        ours.beside, ours.ratio = theirs.subject, ours.value / theirs.value
        yield from (ours, theirs)


def _lines_of_code(package: Path) -> int:
    files = [path for path in package.rglob("*.py*") if path.suffix in (".py", ".pyi")]
    return sum(len(path.read_text().splitlines()) for path in files)


def _print_table(figures: list[_Figure], header: list[str]) -> None:
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    for text in header:
        console.print(text, soft_wrap=True)
    table = Table("", "", "value", "unit", "ratio", "to", "target", "")
    for number in (2, 4):
        table.columns[number].justify = "right"
    before = ""
    for figure in figures:
        if figure.what != before:
            table.add_section()
        table.add_row(
            "" if figure.what == before else figure.what,
            figure.subject,
            f"{figure.value:,.{0 if figure.value >= 100 else 1}f}",
            figure.unit,
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            figure.beside,
            figure.target,
            {None: "", True: "met", False: "MISSED"}[figure.is_met],
        )
        before = figure.what
    console.print(table)


def _header(effort: _Effort, published: Path | None) -> list[str]:
    beside_it = f"Published: {RELEASE}." if published else f"Without {RELEASE}: the package index cannot be reached."
    return [
        description(),
        f"Fresh processes: {effort.starts} each, in turn. Calls: a verification answered by a Keystead server on core"
        f" {SERVER_CORE}, clients on core {LOAD_CORE}; {effort.rounds} rounds of {effort.round_s} s in turn. Medians.",
        "Bare httpx may keep 100 connections, as ours; the published client has httpx's default of 20.",
        f"Ratios are of a round to the reference's rounds before and after it. CPU is the client's, per call."
        f" {beside_it}",
    ]


if __name__ == "__main__":
    sys.exit(main())
