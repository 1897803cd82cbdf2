"""The documentation says what is there, and its examples run."""

import importlib
import json
import re
from pathlib import Path

import httpx
import pytest

CLIENT = Path(__file__).parent.parent
SURFACE = json.loads(Path(__file__).with_name("sdk_surface.json").read_text())
PAGES = {page.name: page.read_text() for page in (CLIENT / "README.md", *sorted((CLIENT / "docs").glob("*.md")))}
EXAMPLES = [
    pytest.param(example, id=f"{name}-{number}")
    for name, page in PAGES.items()
    if name != "examples.md"  # these run against a real server, in tests/test_real_server.py
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
]
ANSWERS = {
    "createKey": {"keyId": "key_1", "key": "sk_1"},
    "verifyKey": {"valid": True, "code": "VALID", "requestId": "req_1"},
    "whoami": {"id": "key_1", "createdAt": 1, "enabled": True},
    "getKey": {"id": "key_1", "start": "sk", "workspaceId": "ws_1", "createdAt": 1},
    "updateKey": {},
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples(example, monkeypatch):
    """Every example of the README and the guide runs as written."""
    made = []

    def handle(request):
        made.append(request)
        return httpx.Response(200, json=ANSWERS[request.url.path.rpartition(".")[2]])

    class Sync(httpx.Client):
        def __init__(self, **more):
            super().__init__(**({"transport": httpx.MockTransport(handle)} | more))

    class Async(httpx.AsyncClient):
        def __init__(self, **more):
            super().__init__(transport=httpx.MockTransport(handle), **more)

    monkeypatch.setattr(httpx, "Client", Sync)
    monkeypatch.setattr(httpx, "AsyncClient", Async)
    exec(example, {"__name__": "__main__"})
    assert made or "MockTransport" in example


def test_operations_are_listed():
    """The table of operations has each with its address, its attribute and how it is repeated."""
    sections = re.split(r"^## ", PAGES["operations.md"], flags=re.MULTILINE)[1:]
    listed = {}
    for section in sections:
        for row in re.findall(r"^\| `.*", section, flags=re.MULTILINE):
            name, address, _, gives, repeated, _ = (cell.strip() for cell in row.strip("|").split("|"))
            listed[section.split()[0], name.strip("`")] = (address, gives.strip("`"), repeated)
    expected = {}
    for group, facts in SURFACE["groups"].items():
        for name in facts["operations"]:
            operation = getattr(importlib.import_module(facts["module"]), f"_{name.upper()}")
            repeated = "cautiously" if operation.spends else "with a key" if operation.changes else "freely"
            address = f"{operation.method} `{operation.path}`"
            expected[group, name] = (address, operation.attribute, repeated)
    assert listed == expected


def test_exceptions_are_listed():
    """The guide names every exception."""
    assert set(re.findall(r"`models\.(\w+)` \|", PAGES["guide.md"])) == set(SURFACE["errors"])


def test_links():
    """Links between the pages lead somewhere."""
    for name, page in PAGES.items():
        home = CLIENT if name == "README.md" else CLIENT / "docs"
        for target in re.findall(r"\]\(([^)#]+)", page):
            if target != "../README.md":
                assert (home / target).exists(), (name, target)
