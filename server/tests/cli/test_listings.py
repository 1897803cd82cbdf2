"""What the operator sees: tables for people, JSON for programs, page by page, and no secret."""

import os
import subprocess
import sys
from typing import Any

import pytest

from keystead.cli import listings
from keystead.cli.main import app
from keystead.cli.session import Session
from keystead.core.secrets import hash_secret
from keystead.testing.server import NOW_MS, ROOT_KEY

from .conftest import DEFAULT, MANY, Place, Seed, ratelimit


def test_lists_hold_the_workspaces_things(view: Place, seed: Seed) -> None:
    """Each listing shows what there is, of the default workspace unless told another."""
    assert [api["id"] for api in view.done("api", "list")["apis"]] == sorted([seed.api_id, seed.full_api_id])
    assert {i["externalId"]: i["ratelimits"] for i in view.done("identity", "list")["identities"]} == {
        "cust_1": [],
        "cust_2": [ratelimit("rpm", 60)],
    }
    (permission,) = view.done("permission", "list")["permissions"]
    assert (permission["slug"], permission["name"]) == ("documents.write", "documents.write")
    (role,) = view.done("role", "list")["roles"]
    assert role == {"id": seed.role_id, "name": "editor", "permissions": []}
    shown = view.done("key", "list", seed.api_id)
    assert {key["id"] for key in shown["keys"]} == {seed.key_id, seed.plain_key_id}
    (of_customer,) = view.done("key", "list", seed.api_id, "--external-id", "cust_1")["keys"]
    assert of_customer["meta"] == {"plan": "größer", "deep": [1.5, None]}
    for words in (("api", "list"), ("identity", "list"), ("permission", "list"), ("role", "list")):
        other = view.done(*words, "--workspace", seed.other_workspace_id)
        assert (other.pop("total"), list(other.values())) == (0, [[]]), words


def test_root_keys_are_listed_for_all_workspaces_or_one(place: Place, seed: Seed) -> None:
    """`root-key list` shows what a root key may do and for whom, never the secret."""
    made = place.done("root-key", "create", "--name", "o", "--permission", "*", "--workspace", seed.other_workspace_id)
    everything = place.done("root-key", "list")
    assert (len(everything["rootKeys"]), everything["total"]) == (3, 3)
    (ci,) = (key for key in everything["rootKeys"] if key["id"] == seed.root_key_id)
    assert ci == {
        "id": seed.root_key_id,
        "name": "ci",
        "workspaceId": DEFAULT,
        "permissions": ["api.*.read_api"],
        "createdAt": NOW_MS,
        "enabled": True,
        "start": seed.root_key[: len(ci["start"])],
    }
    (other,) = place.done("root-key", "list", "--workspace", seed.other_workspace_id)["rootKeys"]
    assert other["id"] == made["keyId"]


def test_a_key_is_shown(view: Place, seed: Seed) -> None:
    """`key show` prints every member for programs, and all of them in words for people."""
    key = view.done("key", "show", seed.key_id)
    assert (key["id"], key["apiId"], key["remaining"], key["roles"]) == (seed.key_id, seed.api_id, 10, ["editor"])
    text = view.run("key", "show", seed.key_id).stdout
    for shown in (
        "10 monthly on day 31",
        "5 in 1000 ms",
        "(cust_1)",
        "documents.write",
        "größer",
        "2030-01-01T00:00:00Z",
    ):
        assert shown in text


def test_the_plaintext_is_shown_on_request_only(view: Place, seed: Seed) -> None:
    """`--decrypt` shows the secret of a recoverable key and says so when there is none."""
    assert "plaintext" not in view.done("key", "show", seed.key_id)
    assert view.done("key", "show", seed.key_id, "--decrypt")["plaintext"] == seed.secret
    assert seed.secret in view.run("key", "show", seed.key_id, "--decrypt").stdout
    result = view.run("key", "show", seed.plain_key_id, "--decrypt")
    assert (result.exit_code, result.stderr) == (0, "The key is not recoverable.\n")


LISTINGS = [
    ("workspace", "list"),
    ("root-key", "list"),
    ("api", "list"),
    ("key", "list", "API"),
    ("identity", "list"),
    ("role", "list"),
    ("permission", "list"),
    ("migration", "failed"),
]


@pytest.mark.parametrize("words", [*LISTINGS, ("key", "show", "KEY")], ids=" ".join)
def test_no_secret_and_nothing_unprintable_is_printed(view: Place, seed: Seed, words: tuple[str, ...]) -> None:
    """Neither form holds a secret or its hash; a name can not steer the terminal."""
    words = tuple({"API": seed.api_id, "KEY": seed.key_id}.get(word, word) for word in words)
    secrets = [seed.secret, seed.root_key, ROOT_KEY, "imported 1"]
    for result in (view.run(*words), view.run(*words, "--json")):
        assert result.exit_code == 0, result.output
        assert not [s for s in secrets if s in result.output or hash_secret(s) in result.output]
        assert "\x1b" not in result.output


def test_a_table_is_aligned_text(view: Place, seed: Seed) -> None:
    """Into a pipe a listing is a line for each item, in columns, with escapes for what is not printable."""
    heading, *rows = view.run("key", "list", seed.api_id).stdout.splitlines()
    assert heading.split() == ["id", "start", "name", "owner", "enabled", "remaining", "expires", "created"]
    assert len(rows) == 2
    start = heading.index("name")
    assert {row[start:].split("  ")[0] for row in rows} == {"evil\\x1b[31m\\nname", "-"}


def test_on_a_terminal_rich_draws_the_table(
    place: Place, seed: Seed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the same cells are shown, and markup in a name stays text."""
    monkeypatch.setenv("COLUMNS", "200")
    place.done("api", "create", "[bold]loud[/bold]")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    app(["api", "list", "--database", str(place.database)], standalone_mode=False)
    shown = capsys.readouterr().out
    assert seed.api_id in shown
    assert "[bold]loud[/bold]" in shown


# --- Paging ---


def test_a_long_listing_comes_in_pages(view: Place, seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of 650 keys are printed as one document, each once, and never more than a page is in memory."""
    sizes: list[int] = []
    perform = Session.perform

    def counting(self: Session, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = perform(self, command, arguments)
        sizes.append(len(answer["keys"]))
        return answer

    monkeypatch.setattr(Session, "perform", counting)
    answer = view.done("key", "list", seed.full_api_id)
    assert [key["id"] for key in answer["keys"]] == [f"key_{n:04}" for n in range(MANY)]
    assert (answer["total"], set(answer)) == (MANY, {"keys", "total"})
    assert sizes == [100] * 6 + [50]
    assert len(view.run("key", "list", seed.full_api_id).stdout.splitlines()) == 1 + MANY


def test_a_listing_goes_on_where_it_ended(view: Place, seed: Seed) -> None:
    """`--limit` ends a listing with a cursor, `--cursor` goes on after it; the last part has none."""
    found: list[str] = []
    cursor: tuple[str, ...] = ()
    for expected in (250, 250, 150):
        part = view.done("key", "list", seed.full_api_id, "--limit", "250", *cursor)
        assert len(part["keys"]) == expected
        found += [key["id"] for key in part["keys"]]
        cursor = ("--cursor", part.get("cursor", ""))
    assert found == [f"key_{n:04}" for n in range(MANY)]
    assert "cursor" not in part
    result = view.run("key", "list", seed.full_api_id, "--limit", "2")
    assert result.stderr == "There may be more: --cursor key_0001\n"


@pytest.mark.parametrize("words", LISTINGS, ids=" ".join)
def test_every_listing_pages(place: Place, seed: Seed, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """With pages of one item each listing is the same as in one page."""
    place.done("role", "set-permissions", seed.role_id, "--create", "--permission", "a.b", "--permission", "a.c")
    words = tuple(seed.api_id if word == "API" else word for word in words)
    expected = place.done(*words)
    monkeypatch.setattr(listings, "PAGE_ITEMS", 1)
    assert place.done(*words) == expected


def test_large_members_fit_into_an_answer(place: Place, seed: Seed) -> None:
    """A page of keys with the largest `meta` passes the control socket."""
    with place.serving() as served:
        for n in range(10):
            meta = {"text": "ü" * 32_000}
            answer = served.connection.post("keys.createKey", {"apiId": seed.api_id, "name": f"{n}", "meta": meta})
            assert answer.status == 200
    assert len(place.done("key", "list", seed.api_id)["keys"]) == 12


def test_a_reader_that_has_seen_enough_causes_no_traceback(view: Place, seed: Seed) -> None:
    """`keystead key list | head` ends quietly."""
    words = [sys.executable, "-m", "keystead", "key", "list", seed.full_api_id, "--database", str(view.database)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert "Traceback" not in done.stderr
