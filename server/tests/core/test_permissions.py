"""The permission query language."""

import pytest

from keystead.core.errors import KeysteadError
from keystead.core.permissions import check_query, in_words, satisfies

HELD = frozenset({"a", "b", "dns.*"})


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("a", True),
        ("c", False),
        ("dns.read", False),
        ("dns.*", True),
        ({"and": ["a", "b"]}, True),
        ({"and": ["a", "c"]}, False),
        ({"or": ["c", "b"]}, True),
        ({"or": ["c"]}, False),
        ({"and": ["a", {"or": ["c", {"and": ["b"]}]}]}, True),
        ({"and": ["a", {"or": ["c", "d"]}]}, False),
        ({"and": ["a"], "or": ["c"]}, True),
        ({"and": ["c"], "or": ["a"]}, False),
        ({"or": ["a"], "extra": 1}, True),
        ({"or": ["", "c"]}, False),
    ],
)
def test_well_formed_queries(query: object, holds: bool):
    """A query holds exactly as keys-v1 §4.6 says; with both members only `and` counts."""
    check_query(query)
    assert satisfies(HELD, query) is holds


@pytest.mark.parametrize(
    "query",
    [{}, [], ["a"], 1, True, {"and": []}, {"or": []}, {"and": "a"}, {"and": ["a", {}]}, {"or": [None]},
     {"xor": ["a"]}, {"and": ["a", ["b"]]}, {"and": None, "or": ["a"]}],
)  # fmt: skip
def test_malformed_queries(query: object):
    """Everything else is refused, however deep the fault."""
    with pytest.raises(KeysteadError, match="permission query"):
        check_query(query)


def test_alternatives_in_words():
    """Alternatives read as a phrase."""
    assert in_words(["*"]) == "*"
    assert in_words(["*", "a", "b"]) == "*, a or b"
