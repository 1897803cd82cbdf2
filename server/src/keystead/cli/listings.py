"""Listings, page by page: a table for people, one document of JSON for programs. No more than a page is in memory."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer

from keystead.cli.output import Table
from keystead.cli.session import open_session

PAGE_ITEMS = 100

Item = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """How one kind of thing is listed.

    `member` holds the items in an answer of `command`; `columns` maps a heading to what is shown of an item.
    """

    command: str
    member: str
    columns: Mapping[str, Callable[[Item], str]]

    def show(
        self,
        database: str | None,
        config: str | None,
        *,
        request: dict[str, Any],
        workspace: str | None = None,
        limit: int | None,
        cursor: str | int | None,
        as_json: bool,
    ) -> None:
        """Print up to `limit` items after `cursor`; all without a limit. Raises KeysteadError or StartupError."""
        with open_session(database, config) as session:

            def page(limit: int, cursor: str | int | None) -> Item:
                position = {"limit": limit} if cursor is None else {"limit": limit, "cursor": cursor}
                return session.perform(self.command, {"workspace_id": workspace, "request": request | position})

            pages = self._pages(page, limit, cursor)
            if as_json:
                self._print_json(pages)
            else:
                self._print_table(pages)

    def _pages(
        self, page: Callable[[int, str | int | None], Item], limit: int | None, cursor: str | int | None
    ) -> Iterator[Item]:
        """The answers, up to the last page or the limit; only one that is followed by more keeps its cursor."""
        left = limit
        while True:
            asked = PAGE_ITEMS if left is None else min(PAGE_ITEMS, left)
            answer = page(asked, cursor)
            cursor = answer.pop("cursor", None)
            found = len(answer[self.member])
            left = None if left is None else left - found
            if found < asked:
                yield answer
                return
            if left == 0:
                yield answer | {"cursor": cursor}
                return
            yield answer

    def _print_table(self, pages: Iterator[Item]) -> None:
        table = Table(self.columns)
        for answer in pages:
            table.add([[shown(item) for shown in self.columns.values()] for item in answer[self.member]])
            if "cursor" in answer:
                typer.echo(f"There may be more: --cursor {answer['cursor']}", err=True)

    def _print_json(self, pages: Iterator[Item]) -> None:
        """One document in one line, written piece by piece; nothing before the first answer is there."""
        opening = before = f'{{"{self.member}": ['
        rest: Item = {}
        for answer in pages:
            for item in answer.pop(self.member):
                typer.echo(before + json.dumps(item), nl=False)
                before = ", "
            rest |= answer
        members = "".join(f', "{name}": {json.dumps(value)}' for name, value in rest.items())
        typer.echo(f"{opening if before == opening else ''}]{members}}}")
