"""What was measured, as a table for people or JSON for programs."""

import json
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Verdict:
    """A value, its unit, the target and whether it was met."""

    unit: str
    value: float
    target: str
    is_met: bool


@dataclass
class Line:
    """One measurement. µs are processor time per request, `rate` requests a second, ratios are beside `reference`."""

    name: str
    cpu_us: float | None = None
    rate: float | None = None
    p99_ms: float | None = None
    reference: str = ""
    reference_cpu_us: float | None = None
    reference_rate: float | None = None
    cpu_ratio: float | None = None
    rate_ratio: float | None = None
    verdicts: list[Verdict] = field(default_factory=list)

    def judge(self, unit: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
        """Hold a value against a target."""
        if at_most is not None:
            self.verdicts.append(Verdict(unit, value, f"≤ {at_most:g}", value <= at_most))
        if at_least is not None:
            self.verdicts.append(Verdict(unit, value, f"≥ {at_least:g}", value >= at_least))


_COLUMNS = (
    "CPU µs",
    "req/s",
    "p99 ms",
    "beside",
    "its CPU µs",
    "its req/s",
    "CPU ratio",
    "req/s ratio",
    "target",
)


def print_table(lines: list[Line], header: list[str]) -> None:
    """The report for people."""
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    for text in header:
        console.print(text, soft_wrap=True)
    table = Table("", *_COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    for line in lines:
        table.add_row(
            line.name,
            _number(line.cpu_us, 1),
            _number(line.rate, 0),
            _number(line.p99_ms, 2),
            line.reference,
            _number(line.reference_cpu_us, 1),
            _number(line.reference_rate, 0),
            _number(line.cpu_ratio, 2),
            _number(line.rate_ratio, 2),
            "\n".join(_verdict(verdict) for verdict in line.verdicts),
        )
    console.print(table)


def print_json(lines: list[Line], header: list[str]) -> None:
    """The report for programs."""
    print(json.dumps({"header": header, "lines": [asdict(line) for line in lines]}, indent=2, ensure_ascii=False))


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _verdict(verdict: Verdict) -> str:
    digits = 0 if verdict.value >= 100 else 2
    word = "met" if verdict.is_met else "MISSED"
    return f"{verdict.value:,.{digits}f} {verdict.unit} {verdict.target}: {word}"
