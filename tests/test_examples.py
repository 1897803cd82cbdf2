"""The fourteen examples of the client's documentation."""

import pytest
from examples.run import run_all
from examples.seed_page import examples

from keystead.testing.server import ServerInProcess

OPERATIONS = [
    "get",
    "whoami",
    "delete",
    "create",
    "verify",
    "update",
    "update_remaining",
    "get_verifications",
    "add_permissions",
    "remove_permissions",
    "set_permissions",
    "add_roles",
    "remove_roles",
    "set_roles",
]


def test_the_page_has_an_example_of_each_operation():
    """None of the fourteen examples is lost in extraction."""
    assert list(examples()) == OPERATIONS


def test_every_example_runs_against_a_real_server(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Each example runs as written, with only ids, key strings and the server's URL replaced."""
    with ServerInProcess(tmp_path) as server:
        monkeypatch.setenv("KEYSTEAD_URL", server.url)
        printed = dict(run_all(server.url, server.root_key))
    assert list(printed) == OPERATIONS
    assert "valid=True" in printed["verify"]
    assert printed["update_remaining"] == "remaining=1"
    assert printed["add_permissions"] == "[]"
