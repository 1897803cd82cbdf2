"""What the operator can not do: one line and an exit code."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from keystead.cli.main import app

from .conftest import Place, Seed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("api", "update", "api_x", "--name", "other"), "api api_x not found"),
        (("api", "create", "x"), "name: String must contain at least 3 character(s)"),
        (("api", "create", "xyz", "--ip-whitelist", "nowhere"), "ipWhitelist"),
        (("api", "list", "--workspace", "ws_x"), "workspace ws_x not found"),
        (("api", "list", "--workspace", "ws_operator"), "workspace ws_operator not found"),
        (("key", "list", "api_x"), "api api_x not found"),
        (("key", "show", "key_x"), "key key_x not found"),
        (("key", "enable", "key_x"), "key key_x not found"),
        (("key", "disable", "key_x"), "key key_x not found"),
        (("key", "delete", "key_x"), "key key_x not found"),
        (("key", "delete", "ROOT"), "key ROOT not found"),
        (("role", "set-permissions", "role_x", "--clear"), "role role_x not found"),
        (("root-key", "revoke", "key_x"), "root key key_x not found"),
        (("root-key", "revoke", "KEY"), "root key KEY not found"),
        (("root-key", "list", "--workspace", "ws_x"), "workspace ws_x not found"),
        (("workspace", "disable", "ws_x"), "workspace ws_x not found"),
        (("workspace", "disable", "ws_operator"), "workspace ws_operator not found"),
        (("migration", "retry", "77"), "failed import 77 not found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_done_is_one_line(view: Place, seed: Seed, words: tuple[str, ...], message: str) -> None:
    """An unknown id or a bad value is told in one line on standard error with exit code 1, and nothing else."""
    known = {"KEY": seed.key_id, "ROOT": seed.root_key_id}
    result = view.run(*(known.get(word, word) for word in words), "--json")
    for name, id_ in known.items():
        message = message.replace(name, id_)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("api", "update", "api_1"),
        ("api", "update", "api_1", "--default-prefix", "p", "--reset", "default-prefix"),
        ("api", "update", "api_1", "--reset", "name"),
        ("key", "show"),
        ("key", "list", "api_1", "--limit", "0"),
        ("role", "set-permissions", "role_1"),
        ("role", "set-permissions", "role_1", "--permission", "a.b", "--clear"),
        ("migration", "retry"),
        ("migration", "retry", "1", "--all"),
        ("root-key", "revoke"),
    ],
    ids=" ".join,
)
def test_wrong_use_changes_nothing(folder: Path, words: tuple[str, ...]) -> None:
    """Words that make no command exit with 2, before any database is touched."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert list(folder.iterdir()) == []
