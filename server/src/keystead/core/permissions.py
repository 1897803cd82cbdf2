"""The permission query language (contract keys-v1 §4.6).

    query := string | {"and": [query, ...]} | {"or": [query, ...]}        arrays non-empty, any nesting

A string holds iff it is literally an element of the held permissions: there are no wildcards.
"""

from collections.abc import Iterable
from typing import Any

from keystead.core.errors import ErrorCode, KeysteadError

EVERYTHING = "*"
"""The legacy permission that satisfies every operation (DECISIONS D7)."""

MAX_DEPTH = 200
"""How deep `and` and `or` may nest: far beyond sense, far from the end of the stack."""


def check_query(query: Any, depth: int = 0) -> None:
    """Raise BAD_REQUEST unless the decoded JSON value `query`, `depth` levels down, is a well-formed query.

    An object with both `and` and `or` counts by its `and`; other members are ignored.
    """
    if isinstance(query, str):
        return
    if not isinstance(query, dict):
        raise _malformed("a permission query is a text or an object with `and` or `or`")
    operands = query["and"] if "and" in query else query.get("or")
    if not isinstance(operands, list) or not operands:
        raise _malformed("`and` and `or` of a permission query need a non-empty array")
    if depth == MAX_DEPTH:
        raise _malformed(f"a permission query may nest at most {MAX_DEPTH} levels deep")
    for operand in operands:
        if not isinstance(operand, str):
            check_query(operand, depth + 1)


def satisfies(held: frozenset[str], query: Any) -> bool:
    """Whether the `held` slugs satisfy a query that passed `check_query`."""
    if isinstance(query, str):
        return query in held
    # Loops, because `all` and `any` would make a generator for every level, at twice the cost.
    if "and" in query:
        for operand in query["and"]:  # noqa: SIM110
            if not satisfies(held, operand):
                return False
        return True
    for operand in query["or"]:  # noqa: SIM110
        if satisfies(held, operand):
            return True
    return False


def any_of(*slugs: str) -> tuple[str, ...]:
    """The alternatives of which one is enough, `*` among them first."""
    return (EVERYTHING, *slugs)


def in_words(slugs: Iterable[str]) -> str:
    """The alternatives as a phrase: `*, a or b`."""
    *most, last = slugs
    return f"{', '.join(most)} or {last}" if most else last


def _malformed(what: str) -> KeysteadError:
    return KeysteadError(ErrorCode.BAD_REQUEST, f"authorization.permissions: {what}")
