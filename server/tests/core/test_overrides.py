"""Which override holds for an identifier, and whose counter is asked."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystead.core.overrides import Allowance, Wildcard, limited_namespace

REQUESTED = Allowance(10, 60_000)

# Few letters, so that pieces repeat, overlap and meet newlines.
TEXTS = st.text("ab\n.", max_size=12)
PATTERNS = st.lists(st.sampled_from(["*", "a", "b", "ab", "ba", "\n", "."]), max_size=8).map("".join)


@st.composite
def patterns_and_texts(draw: st.DrawFn) -> tuple[str, str]:
    """A pattern with a star, and a text that nearly always fits it: any text would hardly ever."""
    pattern = draw(PATTERNS.filter(lambda pattern: "*" in pattern))
    first, *rest = pattern.split("*")
    fills = st.sampled_from(["", "", "a", "b", "ab", "\n", "a\n"])
    text = first + "".join(draw(fills) + piece for piece in rest)
    return pattern, draw(st.one_of(st.just(text), st.just(text), TEXTS))


def naive_match(pattern: str, text: str) -> bool:
    """The contract's sentence, word by word (§4.1 step 5)."""
    return re.fullmatch("[^\n]*".join(map(re.escape, pattern.split("*"))), text) is not None


def naive_choice(patterns: list[str], text: str) -> str | None:
    if text in patterns:
        return text
    return next((pattern for pattern in patterns if "*" in pattern and naive_match(pattern, text)), None)


@given(patterns_and_texts())
@example(("*\n*", "\n\n"))
@example(("*a*", "\na"))
@example(("a*a", "a"))
@example(("*ab*b", "abab"))
def test_wildcards_match_as_the_contract_says(pattern_and_text: tuple[str, str]):
    """A star is any run of characters without a newline, all else is literal, and the whole text has to match."""
    pattern, text = pattern_and_text
    assert Wildcard(pattern).matches(text) is naive_match(pattern, text)


@given(st.lists(PATTERNS, max_size=8, unique=True), st.one_of(TEXTS, PATTERNS))
def test_the_choice_is_exact_then_oldest(patterns: list[str], text: str):
    """An equal identifier wins; else the oldest wildcard that matches; else there is none."""
    namespace = limited_namespace("rlns_1", [(p, Allowance(number, 1000)) for number, p in enumerate(patterns)])
    chosen = naive_choice(patterns, text)
    assert namespace.override(text) == (None if chosen is None else Allowance(patterns.index(chosen), 1000))


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("cust_*", "cust_77", True),
        ("cust_*", "cust_", True),
        ("cust_*", "CUST_77", False),
        ("cust_*", "a cust_77", False),
        ("*@acme.com", "anna@acme.com", True),
        ("*@acme.com", "anna@acme.com.evil", False),
        ("*@acme.com", "anna@acmeXcom", False),
        ("***", "", True),
        ("***", "anything at all", True),
        ("***", "two\nlines", False),
        ("a\n*", "a\nb", True),
        ("(a+)+$*", "(a+)+$", True),
        ("*ü*", "Grüße", True),
    ],
)
def test_examples(pattern: str, text: str, expected: bool):
    """What people write as patterns does what they mean."""
    assert Wildcard(pattern).matches(text) is expected


@pytest.mark.parametrize("pattern", ["*a" * 255 + "b", "*" + "a" * 250 + "b*" + "a" * 250 + "c", "*" * 510 + "b"])
def test_no_pattern_is_slow(pattern: str):
    """The longest patterns that would make a regular expression try every split are matched without delay."""
    wildcard, text = Wildcard(pattern), "a" * 1_000_000
    start = time.process_time()
    assert wildcard.matches(text) is False
    assert time.process_time() - start < 0.5


def test_an_override_replaces_limit_and_duration_but_not_the_cost():
    """What is asked of the limiter is the override's limit and duration, and the request's cost (§4.1 step 6)."""
    namespace = limited_namespace("rlns_1", [("anna", Allowance(3, 5000))])
    demand = namespace.demand("anna", REQUESTED, 7)
    assert (demand.limit, demand.duration_ms, demand.cost) == (3, 5000, 7)
    demand = namespace.demand("ben", REQUESTED, 7)
    assert (demand.limit, demand.duration_ms, demand.cost) == (10, 60_000, 7)


def test_counters_differ_by_namespace_identifier_limit_and_duration():
    """Namespace, identifier, limit and duration make a counter, nothing else does (§4.2)."""
    demands = [
        limited_namespace(namespace_id, []).demand(identifier, Allowance(limit, duration_ms), 1)
        for namespace_id in ("rlns_1", "rlns_2")
        for identifier in ("a", "b")
        for limit in (1, 2)
        for duration_ms in (1000, 2000)
    ]
    assert len({(demand.scope_id, demand.name, demand.duration_ms) for demand in demands}) == 16
