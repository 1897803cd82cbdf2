"""What the simulation says of a batch of queued imports, by what its clients were told and what was found."""

import json
import math

import pytest
from proof.simulation.books import LATE, Batch, Books, Subject
from proof.simulation.invariants import (
    AUDIT,
    IDEMPOTENCY,
    NO_CHANGE_MISSING,
    UNAVAILABLE,
    Observed,
    Violated,
    check_imports,
)
from proof.simulation.network import Answer

TAKEN = "a key with this hash already exists"
API_GONE = "api api_1 not found"


def books_of(*statuses: int | None, deletes_api: bool = False) -> Books:
    """A batch of two keys and one that can not be made, sent once for each answer; None is none."""
    books = Books()
    batch = Batch(0, "api_1", [Subject(0, "api_1"), Subject(1, "api_1"), None])
    books.batches.append(batch)
    members = {"keys": [{"name": "key 0"}, {"name": "key 1"}, {"name": "taken"}]}
    for status in statuses:
        request = books.begin(1, "migrations.enqueueKeys", members, batch, 0, "a repeatable call")
        books.end(request, None if status is None else Answer(status, {}, b"{}"), {}, 0)
    if deletes_api:
        books.begin(1, "apis.deleteApi", {"apiId": "api_1"}, "api_1", 0)
    return books


def observed(made: list[str], failed: list[tuple[str, str]]) -> Observed:
    resources = [json.dumps([{"type": "key", "id": "key_1", "name": name}]) for name in made]
    audit = [{"event": "key.create", "resources": text} for text in resources]
    return Observed("nobody", {}, "nothing", audit=audit, queued=failed)


BOTH, ONE, NONE = ["key 0", "key 1"], ["key 0"], list[str]()
WAITS = [("taken", TAKEN)]


@pytest.mark.parametrize(
    ("statuses", "made", "failed"),
    [
        ([202], BOTH, WAITS),
        ([None, 202], BOTH, WAITS),
        ([202, 503], BOTH, WAITS),
        ([None], BOTH, WAITS),
        ([None], NONE, []),
        ([503], NONE, []),
        ([404], NONE, []),
    ],
)
def test_a_batch_as_it_must_be(statuses: list[int | None], made: list[str], failed: list[tuple[str, str]]) -> None:
    """What was accepted is made once or has failed for its reason, what got no answer as a whole or not at all."""
    check_imports(books_of(*statuses), observed(made, failed))


@pytest.mark.parametrize(
    ("statuses", "made", "failed", "broken"),
    [
        ([202], ONE, WAITS, AUDIT),
        ([202], BOTH, [], AUDIT),
        ([202], [*BOTH, "key 1"], WAITS, AUDIT),
        ([202], BOTH, [("key 1", TAKEN), *WAITS], NO_CHANGE_MISSING),
        ([202, 202], BOTH, [("key 1", TAKEN), *WAITS], IDEMPOTENCY),
        ([202], ONE, [("key 1", TAKEN), *WAITS], NO_CHANGE_MISSING),
        ([202], ONE, [("key 1", API_GONE), *WAITS], NO_CHANGE_MISSING),
        ([202], BOTH, [("taken", "something else")], NO_CHANGE_MISSING),
        ([None], ONE, [], NO_CHANGE_MISSING),
        ([None], BOTH, [], NO_CHANGE_MISSING),
        ([503], BOTH, WAITS, UNAVAILABLE),
        ([404], ONE, [], UNAVAILABLE),
    ],
)
def test_a_batch_gone_wrong(
    statuses: list[int | None], made: list[str], failed: list[tuple[str, str]], broken: str
) -> None:
    """Missing, doubled, failed for nothing, made in part, made after a refusal: each is named by its promise."""
    with pytest.raises(Violated) as violated:
        check_imports(books_of(*statuses), observed(made, failed))
    assert violated.value.invariant == broken


def test_an_import_may_fail_with_its_api() -> None:
    """An api that somebody deletes meanwhile is a reason."""
    failed = [("key 1", API_GONE), *WAITS]
    check_imports(books_of(202, deletes_api=True), observed(ONE, failed))


def test_an_import_may_fail_for_want_of_a_permission() -> None:
    """As long as there is none."""
    books, found = books_of(202), observed(ONE, [("key 1", f'unknown permissions: ["{LATE}"]'), *WAITS])
    check_imports(books, found)
    books.is_late_made = True
    with pytest.raises(Violated, match="key 1: made 0 times"):
        check_imports(books, found)


def test_an_import_is_under_way_until_the_queue_is_worked_off() -> None:
    """The creation of its key may be at any instant up to then, or later if it is left; so its clock is."""
    books = books_of(202)
    books.jumped(0, 5_000)
    books.worked_off(6_000, failed={"key 0", "key 1"})
    books.worked_off(7_000, failed={"key 1"})
    (request,) = books.requests
    made, left = request.parts
    assert request.responded < made.responded < left.responded == math.inf
    for part in request.parts:
        assert part.wall == ((0, 0), (5_000, 7_000))
        assert part.status == 202
