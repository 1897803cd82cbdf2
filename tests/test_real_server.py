"""The client's documented examples against a real server, blocking and not."""

import re
from pathlib import Path

import pytest
from examples.run import Poster, Stage
from examples.seed_page import examples

from keystead.testing.server import ServerInProcess

DOCS = Path(__file__).parent.parent / "client" / "docs"
SECTION = re.compile(r"^## ([\w.]+)\n\n```python\n(.*?)```", re.MULTILINE | re.DOTALL)
PAGE = dict(SECTION.findall((DOCS / "examples.md").read_text()))
LISTED = re.findall(r"^\| `(\w+)` \|", (DOCS / "operations.md").read_text(), re.MULTILINE)


def awaitable(code: str) -> str:
    """The same program with `async with` and awaited twins of all operations."""
    head, opening, body = code.partition("with Unkey(")
    assert opening
    code = "async with Unkey(" + re.sub(r"\bunkey\.(\w+)\.(\w+)\(", r"await unkey.\1.\2_async(", body)
    code = code.replace("page.next()", "await page.next()")
    indented = "".join(f"    {line}" for line in code.splitlines(keepends=True))
    return f"import asyncio\n{head}\nasync def main():\n{indented}\nasyncio.run(main())\n"


def as_written(code: str) -> str:
    """The program itself."""
    return code


@pytest.fixture
def server(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A server that the examples find through the environment."""
    with ServerInProcess(tmp_path) as server:
        monkeypatch.setenv("KEYSTEAD_URL", server.url)
        monkeypatch.setenv("UNKEY_BEARER_AUTH", server.root_key)
        yield server


@pytest.mark.parametrize("flavour", [as_written, awaitable])
def test_the_published_examples(server, flavour, capsys):
    """Each of the fourteen examples of the published page runs, blocking and not, with only ids replaced."""
    post = Poster(server.url, server.root_key)
    stage = Stage(server.root_key, post)
    for operation, code in examples().items():
        program = flavour(stage.adapt(operation, code))
        assert (f"unkey.keys.{operation}_async(" in program) == (flavour is awaitable)
        exec(compile(program, f"<{operation}>", "exec"), {"__name__": "example"})
        assert capsys.readouterr().out.endswith("\n"), operation
    post.close()


@pytest.mark.parametrize("flavour", [as_written, awaitable])
def test_our_examples(server, flavour):
    """Each example of the client's page runs as it stands, and with awaited twins."""
    for operation, code in PAGE.items():
        called = f"unkey.{operation}_async(" if flavour is awaitable else f"unkey.{operation}("
        program = flavour(code)
        assert called in program
        exec(compile(program, f"<{operation}>", "exec"), {"__name__": "example"})


def test_every_operation_has_an_example():
    """The two pages together show each of the 41 operations."""
    shown = [f"keys.{operation}" for operation in examples()] + list(PAGE)
    assert sorted(name.partition(".")[2] for name in shown) == sorted(LISTED)
    assert len(set(shown)) == 41


def test_what_the_examples_print(server, capsys):
    """Some answers, looked at: what the examples print is what they have set."""
    expected = {
        "apis.delete_keys": "1\n",
        "apis.get": "shop\n",
        "identities.get": "True {'plan': 'pro'}\n",
        "identities.update": "{'plan': 'free'}\n",
        "permissions.get": "invoices.share read invoices\n",
        "ratelimit.get_override": "100 True\n",
        "ratelimit.list_overrides": "1 ['customer_7']\n",
        "ratelimits.limit": "True 8\n",
    }
    for operation, printed in expected.items():
        exec(compile(PAGE[operation], f"<{operation}>", "exec"), {"__name__": "example"})
        # The server, on its thread, logs to the same place.
        assert printed in capsys.readouterr().out, operation


def test_changing_one_line():
    """The note for users of the published client changes one line, by the address."""
    note = (DOCS / "migration.md").read_text()
    ((before, after),) = re.findall(r"^ *-(.*)\n *\+(.*)$", note, re.MULTILINE)
    assert after == before.replace(")", ', server_url="http://127.0.0.1:3000")')
