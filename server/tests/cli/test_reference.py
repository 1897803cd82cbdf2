"""docs/command-line.md tells everything about every command."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from keystead.cli.main import app
from keystead.cli.reference import leaves

from .conftest import DEFAULT, Place, Seed

REPOSITORY = Path(__file__).parents[3]


def test_the_page_is_current() -> None:
    """docs/command-line.md is what `keystead commands` prints."""
    page = (REPOSITORY / "docs" / "command-line.md").read_text()
    assert CliRunner().invoke(app, ["commands"]).stdout == page


@pytest.mark.parametrize(
    ("path", "command"),
    list(leaves(get_command(app), ())),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_command_is_described(path: tuple[str, ...], command: Any) -> None:
    """Each command says what it does, and of each argument and option what it is."""
    assert command.help
    assert all(getattr(parameter, "help", None) for parameter in command.params)
    if any(parameter.name == "as_json" for parameter in command.params):
        assert re.search(r"^JSON: ", command.help, re.MULTILINE), "the members of its JSON"


DOCUMENTED: list[tuple[tuple[str, ...], Callable[[Seed], tuple[str, ...]]]] = [
    (("workspace", "create"), lambda seed: ("third",)),
    (("workspace", "list"), lambda seed: ()),
    (("workspace", "enable"), lambda seed: (DEFAULT,)),
    (("workspace", "disable"), lambda seed: (DEFAULT,)),
    (("root-key", "create"), lambda seed: ("--name", "n", "--permission", "*")),
    (("root-key", "list"), lambda seed: ("--limit", "1")),
    (("root-key", "revoke"), lambda seed: (seed.root_key_id,)),
    (("api", "list"), lambda seed: ("--limit", "1")),
    (("api", "create"), lambda seed: ("third",)),
    (("api", "update"), lambda seed: (seed.api_id, "--name", "third")),
    (("key", "disable"), lambda seed: (seed.key_id,)),
    (("key", "enable"), lambda seed: (seed.key_id,)),
    (("key", "delete"), lambda seed: (seed.key_id,)),
    (("identity", "list"), lambda seed: ()),
    (("role", "list"), lambda seed: ()),
    (("role", "set-permissions"), lambda seed: (seed.role_id, "--permission", "documents.write")),
    (("permission", "list"), lambda seed: ()),
    (("migration", "failed"), lambda seed: ("--limit", "1")),
    (("migration", "retry"), lambda seed: ("1",)),
    (("encryption", "rotate"), lambda seed: ()),
]


@pytest.mark.parametrize("place", ["server"], indirect=True)
def test_members_of_json_are_documented(place: Place, seed: Seed) -> None:
    """Every member that a command prints is named in its description."""
    described = {path: command.help for path, command in leaves(get_command(app), ())}
    for path, arguments in DOCUMENTED:
        members = set(_members(place.done(*path, *arguments(seed))))
        assert members
        assert not [member for member in members if f"`{member}`" not in described[path]], path


def test_json_of_every_command_is_checked() -> None:
    """No command with --json is missing above; those of keys answer what the API documents."""
    with_json = {
        path for path, command in leaves(get_command(app), ()) if any(p.name == "as_json" for p in command.params)
    }
    assert with_json == {path for path, _ in DOCUMENTED} | {("key", "list"), ("key", "show")}


def _members(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield name
            yield from _members(below)
    elif isinstance(value, list):
        for item in value:
            yield from _members(item)
