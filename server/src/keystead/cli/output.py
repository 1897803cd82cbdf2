"""What commands print for people: tables and members, never a character that could steer the terminal."""

import datetime
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import typer

NOTHING = "-"
"""Stands where there is no value."""


class Table:
    """Rows under headings, printed as they come: with Rich on a terminal, else as plain aligned text."""

    def __init__(self, headings: Iterable[str]) -> None:
        self._headings = list(headings)
        self._widths = [len(heading) for heading in self._headings]
        self._begun = False

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows; columns may grow wider from one call to the next, never narrower."""
        cells = [[printable(cell) for cell in row] for row in rows]
        for row in cells:
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, row, strict=True)]
        if sys.stdout.isatty():
            self._print_rich(cells)
        else:
            self._print_plain(cells)
        self._begun = True

    def _print_plain(self, rows: list[list[str]]) -> None:
        for row in rows if self._begun else [self._headings, *rows]:
            padded = (cell.ljust(width) for cell, width in zip(row, self._widths, strict=True))
            typer.echo("  ".join(padded).rstrip())

    def _print_rich(self, rows: list[list[str]]) -> None:
        # Here, not at the top: most runs print for a program.
        from rich import print as show
        from rich.table import Table as RichTable
        from rich.text import Text

        # A table for each page; what earlier ones needed keeps the columns in line as far as the terminal is wide.
        table = RichTable(box=None, show_header=not self._begun)
        for heading, width in zip(self._headings, self._widths, strict=True):
            table.add_column(heading, min_width=min(width, 20), overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))  # as text: a value may look like markup
        show(table)


def print_members(members: Mapping[str, str]) -> None:
    """Print one thing: a line for each member."""
    width = max(map(len, members))
    for name, value in members.items():
        typer.echo(f"{name.ljust(width)}  {printable(value)}")


def print_json(members: Mapping[str, Any]) -> None:
    """Print one thing as one line of JSON."""
    typer.echo(json.dumps(members))


def printable(value: str) -> str:
    """The text with everything that is no visible character or blank written as an escape."""
    # Names come from whoever calls the API; some characters move the cursor, recolour the screen or worse.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def text(member: str) -> Callable[[dict[str, Any]], str]:
    """Shows a member as it is."""

    def shown(item: dict[str, Any]) -> str:
        value = item.get(member)
        return NOTHING if value is None or value == "" else str(value)

    return shown


def yes_or_no(member: str) -> Callable[[dict[str, Any]], str]:
    """Shows a member that is true or false."""
    return lambda item: "yes" if item[member] else "no"


def joined(member: str) -> Callable[[dict[str, Any]], str]:
    """Shows a member that is a list of texts."""
    return lambda item: ", ".join(item.get(member, ())) or NOTHING


def instant(member: str) -> Callable[[dict[str, Any]], str]:
    """Shows a member that is an instant in ms, in UTC to the second."""

    def shown(item: dict[str, Any]) -> str:
        value = item.get(member)
        return NOTHING if value is None else time_of(value)

    return shown


def time_of(instant_ms: int) -> str:
    """The instant in UTC to the second; one that no calendar has as the number it is."""
    try:
        moment = datetime.datetime.fromtimestamp(instant_ms // 1000, datetime.UTC)
    except (ValueError, OverflowError):
        return str(instant_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
