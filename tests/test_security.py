"""SECURITY.md claims nothing that no test shows."""

import ast
import re
from pathlib import Path

import pytest

from keystead.config import Settings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "SECURITY.md").read_text()
CLAIMS = sorted(set(re.findall(r"`((?:server|client|tests)/[\w/]+\.py(?:::\w+)?)`", PAGE)))


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_test_it_names_exists(claim: str) -> None:
    """A test that is renamed or removed takes its claim with it."""
    path, _, name = claim.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    tests = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in tests if name else any(test.startswith("test_") for test in tests)


def test_every_row_names_a_test() -> None:
    """No row of a table of what somebody can not do is without its test."""
    tables = re.findall(r"\| Can not.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE)
    rows = [row for table in tables for row in table.splitlines()]
    assert len(rows) > 20
    assert [row for row in rows if "test_" not in row.rpartition(" | ")[2]] == []


def test_every_setting_it_names_exists() -> None:
    """The advice is about settings that there are."""
    named = {"host", "tls_certificate", "tls_key", "forwarded_header", "trusted_proxies", "metrics"}
    named |= {"unknown_keys_per_minute", "unknown_keys_exempt"}
    assert named <= set(re.findall(r"`(\w+)`", PAGE))
    assert named <= Settings.model_fields.keys()
