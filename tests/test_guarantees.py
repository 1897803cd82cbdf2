"""docs/guarantees.md names checks that there are, and all invariants."""

import re
from pathlib import Path

import pytest
from proof.simulation.invariants import PROMISES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGE = (DOCS / "guarantees.md").read_text()
SECTIONS = re.findall(r"^### (.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = ["bench", "crash", "full-disk", "fuzz", "scale", "simulate", "soak"]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_every_promise_has_its_check(section: str) -> None:
    """What is promised names a command or a test that checks it."""
    _, _, check = section.partition("* Checked by:")
    assert re.search(r"`make [\w-]+`|`[\w/]*tests/[\w/]+(\.py)?/?`", check)


def test_every_command_is_there_and_told_of() -> None:
    """The commands of the page are those of the Makefile, each with its last run."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)", PAGE)) <= targets
    runs = PAGE.partition("## The last runs")[2].partition("\n## ")[0]
    assert sorted(set(re.findall(r"`make ([\w-]+)", runs))) == COMMANDS


def test_every_invariant_is_on_the_page() -> None:
    """Each name under which the simulation reports a violation can be looked up, and no other."""
    named = set(re.findall(r"`make simulate` \(((?:`[\w-]+`(?:, )?)+)\)", PAGE))
    assert {name for names in named for name in re.findall(r"[\w-]+", names)} == PROMISES.keys()


def test_every_path_and_place_it_names_exists() -> None:
    """Files, and headings of other pages that it links to."""
    for path in re.findall(r"`((?:server|client|tests|proof)/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = link.partition("#")
        text = (DOCS / path).read_text()
        headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
        anchors = [re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings]
        assert not anchor or anchor in anchors, link
