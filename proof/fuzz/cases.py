"""Cases on raw HTTP: a stream from the grammar, how it is cut into pieces, how the client ends; each has a number."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from random import Random

from keystead.http.limits import HttpLimits
from proof.fuzz import grammar
from proof.fuzz.answers import Answer
from proof.fuzz.conversation import Ending
from proof.fuzz.judge import Judge
from proof.fuzz.reading import read
from proof.fuzz.violation import Violation, shown

_MOST_ATTEMPTS = 400


@dataclass(frozen=True)
class Case:
    """`cuts` are positions in the stream, None for no cut; `compares`: the uncut stream has to be answered the same."""

    parts: tuple[bytes, ...]
    cuts: tuple[int, ...]
    ending: Ending
    compares: bool = False

    @property
    def stream(self) -> bytes:
        """All that is sent."""
        return b"".join(self.parts)

    @property
    def pieces(self) -> list[bytes]:
        """The stream as it is sent."""
        stream = self.stream
        edges = sorted({0, len(stream), *(cut for cut in self.cuts if 0 < cut < len(stream))})
        return [stream[start:end] for start, end in pairwise(edges)]

    def __str__(self) -> str:
        pieces = self.pieces
        cut = f" in {len(pieces)} pieces" if len(pieces) > 1 else ""
        if 1 < len(pieces) <= 20:
            cut += f" of {[len(piece) for piece in pieces]} bytes"
        return f"the client sends{cut}, then {self.ending.value}:\n{shown(self.stream)}"


def raw_case(seed: int, number: int) -> Case:
    """A hostile stream, sometimes cut, ended in any way."""
    rng = Random(f"{seed}/{number}")
    parts = _harmless_where_legal(grammar.stream(rng))
    length = sum(map(len, parts))
    cuts = tuple(rng.randrange(length + 1) for _ in range(rng.choice([0, 0, 0, 1, 2, 5])))
    ending = rng.choice([Ending.EOF] * 7 + [Ending.SILENCE] * 2 + [Ending.RESET])
    return Case(parts, cuts, ending)


def split_case(seed: int, number: int) -> Case:
    """Every second one the next two-part cut of the fixed streams, else a hostile stream in many pieces."""
    if number % 2:
        rng = Random(f"{seed}/split/{number}")
        parts = _harmless_where_legal(grammar.short_stream(rng))
        length = sum(map(len, parts))
        count = rng.choice([1, 2, 3, 5, 10, 50, length])
        cuts = range(length) if count == length else (rng.randrange(length + 1) for _ in range(count))
        return Case(parts, tuple(cuts), Ending.EOF, compares=True)
    table = _two_part_cuts()
    parts, at = table[(seed * 7919 + number // 2) % len(table)]
    return Case(parts, (at,), Ending.EOF, compares=True)


def two_part_cuts() -> int:
    """How many two-part cuts of fixed streams there are."""
    return len(_two_part_cuts())


@cache
def _two_part_cuts() -> list[tuple[tuple[bytes, ...], int]]:
    return [(parts, at) for parts in _fixed_streams() for at in range(1, sum(map(len, parts)))]


def _fixed_streams() -> Iterator[tuple[bytes, ...]]:
    rng = Random("fixed streams")
    for make in dict.fromkeys(grammar.GOOD):
        yield (make(rng).encode(),)
        yield make(rng).encode(), grammar.verify(rng).encode()
    for _ in range(6):
        yield (grammar.good(rng), grammar.good(rng))
    for _ in range(8):
        yield _harmless_where_legal([grammar.verify(rng).encode(), grammar.smuggling(rng), grammar.limit(rng).encode()])


def _harmless_where_legal(parts: list[bytes]) -> tuple[bytes, ...]:
    """The parts, without traces if the reference reads a hidden request as one that is to be executed."""
    requests = read(b"".join(parts), HttpLimits()).requests
    if any(grammar.leaves_trace(request.body) for request in requests):
        return tuple(map(grammar.without_trace, parts))
    return tuple(parts)


async def try_case(case: Case, judge: Judge) -> None:
    """Violation if something is wrong with it."""
    answers = await judge.try_stream(case.stream, case.pieces, case.ending)
    if not case.compares or judge.read(case.stream).has_doubts:
        return
    whole = await judge.try_stream(case.stream, [case.stream], case.ending)
    if len(answers) != len(whole) or not all(map(_same, answers, whole)):
        cut, uncut = ([a.meaning for a in some] for some in (answers, whole))
        raise Violation(f"cut: {cut}; uncut: {uncut}")


def _same(one: Answer, other: Answer) -> bool:
    if one.ends and not (one.body and other.body):
        # A HEAD whose target can not be read: whether it is known as one, and gets no body, may depend on the cut.
        return (one.status, one.ends) == (other.status, other.ends)
    return (one.meaning, one.ends) == (other.meaning, other.ends)


async def shrink(case: Case, fails: Callable[[Case], Awaitable[bool]]) -> Case:
    """A smaller case that fails too: without the parts, then the lines, that are not needed, and then the cuts."""
    attempts = 0

    async def still_fails(smaller: Case) -> bool:
        nonlocal attempts
        attempts += 1
        return attempts <= _MOST_ATTEMPTS and bool(smaller.stream) and await fails(smaller)

    for split in (lambda parts: parts, _lines):
        case = replace(case, parts=split(case.parts))
        at = 0
        while at < len(case.parts):
            smaller = replace(case, parts=case.parts[:at] + case.parts[at + 1 :])
            case, at = (smaller, at) if await still_fails(smaller) else (case, at + 1)
    for cuts in ((), case.cuts[:1], *((cut,) for cut in case.cuts[:50])):
        if len(cuts) < len(case.cuts) and await still_fails(replace(case, cuts=cuts)):
            return replace(case, cuts=cuts)
    return case


def _lines(parts: tuple[bytes, ...]) -> tuple[bytes, ...]:
    lines = tuple(line for part in parts for line in part.splitlines(keepends=True))
    return lines if len(lines) < _MOST_ATTEMPTS else parts
