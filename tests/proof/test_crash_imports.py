"""The ledger of queued imports notices every way in which an import can go wrong."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from copy import copy, deepcopy
from dataclasses import replace
from typing import Any

import pytest
from proof.crash import imports
from proof.crash.imports import CONFLICT, Found, Imports, Item
from proof.crash.runs import Crash
from proof.crash.undecided import Difference

SEED = 5


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    """A server that was killed while clients did nothing but enqueue, and runs again; all is well so far."""
    with Crash(tmp_path_factory.mktemp("imports"), SEED) as crash:
        crash.books.pages = [(crash.imports, 1)]
        crash.load(crash.kill, answers=40)
        crash.server.start()
        crash.compare()
        yield crash


@pytest.fixture(scope="module")
def found(crash: Crash) -> Found:
    with crash._client() as client:
        return crash.imports.read(client)


@pytest.fixture
def page(crash: Crash) -> Imports:
    """The page; what a test changes of it is gone with the test."""
    page = copy(crash.imports)
    page.items, page.perhaps = list(page.items), []
    return page


def able(page: Imports) -> Item:
    """One that is a key."""
    return next(item for item in page.items if item.refusal is None)


def refused(page: Imports) -> Item:
    """One that can not be made."""
    return next(item for item in page.items if item.refusal == CONFLICT)


def lose_a_key(page: Imports, found: Found) -> None:
    del found.keys[able(page).name]


def lose_a_failure(page: Imports, found: Found) -> None:
    del found.queued[refused(page).name]


def make_twice(page: Imports, found: Found) -> None:
    found.keys[able(page).name] *= 2


def leave_in_the_queue(page: Imports, found: Found) -> None:
    """As a server does that takes it from the queue in another transaction and is killed in between."""
    found.queued[able(page).name] = found.queued[refused(page).name]


def fail_for_nothing(page: Imports, found: Found) -> None:
    leave_in_the_queue(page, found)
    lose_a_key(page, found)


def make_the_impossible(page: Imports, found: Found) -> None:
    found.keys[refused(page).name] = found.keys[able(page).name]
    lose_a_failure(page, found)


def fail_otherwise(page: Imports, found: Found) -> None:
    found.queued[refused(page).name][0]["error"] = "an unexpected failure"


def decrypt_otherwise(page: Imports, found: Found) -> None:
    name = next(item.name for item in page.items if item.refusal is None and item.shown["plaintext"])
    found.keys[name][0]["plaintext"] = "another one"


def make_again(page: Imports, found: Found) -> None:
    found.keys[able(page).name][0]["id"] = "key_another"


def make_a_stray(page: Imports, found: Found) -> None:
    found.keys["a stray"] = found.keys[able(page).name]


def queue_a_stray(page: Imports, found: Found) -> None:
    found.queued["a stray"] = found.queued[refused(page).name]


def keep_a_part(page: Imports, found: Found) -> None:
    """Of a batch without an answer one item is there, one is not."""
    item = able(page)
    page.items.remove(item)
    page.perhaps = [[item, replace(item, members={"name": "the other item"})]]


@pytest.mark.parametrize(
    ("go_wrong", "message"),
    [
        (lose_a_key, "is lost"),
        (lose_a_failure, "is lost"),
        (make_twice, "is there 2 times as a key, 0 times queued"),
        (leave_in_the_queue, "is there 1 times as a key, 1 times queued"),
        (fail_for_nothing, "is not made"),
        (make_the_impossible, "is a key, it must fail with"),
        (fail_otherwise, "has failed with an unexpected failure"),
        (decrypt_otherwise, "is listed as .*another one"),
        (make_again, "is now key_another"),
        (make_a_stray, "imports that nobody enqueued"),
        (queue_a_stray, "imports that nobody enqueued"),
        (keep_a_part, "a part"),
    ],
)
def test_an_import_gone_wrong_is_noticed(
    page: Imports, found: Found, go_wrong: Callable[[Imports, Found], None], message: str
) -> None:
    """What a server has may differ in each of these ways from what clients were told, and no difference goes unseen."""
    changed = deepcopy(found)
    page.judge(changed, is_clean=False)
    go_wrong(page, changed)
    with pytest.raises(Difference, match=message):
        page.judge(changed, is_clean=False)


def test_a_batch_without_an_answer_is_there_or_not(page: Imports, found: Found) -> None:
    """Both are right after a kill; after an orderly end what was not answered must not have been done."""
    item = able(page)
    page.items.remove(item)
    page.perhaps = [[item], [replace(item, members={"name": "never made"})]]
    open_still = copy(page)
    open_still.items = list(page.items)
    page.judge(found, is_clean=False)
    assert item in page.items
    with pytest.raises(Difference, match="by a server that ended in order"):
        open_still.judge(found, is_clean=True)


def test_a_key_that_does_not_verify_is_noticed(crash: Crash, page: Imports) -> None:
    """One that is listed and can not be used is, and so is one that is gone while clients work."""
    item = able(page)
    with pytest.raises(Difference, match="was a key and is none any more"):
        page._verify(item).acknowledged({"code": "NOT_FOUND"})
    page.items = [replace(item, secret="nobody's")]
    with crash._client() as client, pytest.raises(Difference, match="NOT_FOUND"):
        page._verify_new(client)


@contextmanager
def changed_database(crash: Crash, change: str, undo: str, *values: Any) -> Iterator[None]:
    """Change a row of the running server's database for a while."""
    with closing(sqlite3.connect(crash.folder / "keystead.db", isolation_level=None)) as database:
        assert database.execute(change, values).rowcount == 1
        try:
            yield
        finally:
            assert database.execute(undo).rowcount == 1


@pytest.mark.parametrize("is_over", [False, True])
def test_an_item_that_is_never_tried_is_noticed(
    crash: Crash, page: Imports, monkeypatch: pytest.MonkeyPatch, is_over: bool
) -> None:
    """One that waits for its first attempt is, and at the end one that waits for any."""
    monkeypatch.setattr(imports, "_PATIENCE_S", 0.1)
    page._is_over = is_over
    # Far off, so that the server leaves it alone.
    one = "seq IN (SELECT min(seq) FROM queued_keys)"
    waiting = f"UPDATE queued_keys SET due_at_ms = 99999999999999, attempts = ? WHERE {one}"
    settled = "UPDATE queued_keys SET attempts = 1 WHERE due_at_ms = 99999999999999"
    with (
        crash._client() as client,
        changed_database(crash, waiting, settled, int(is_over)),
        pytest.raises(Difference, match="items that are not worked off"),
    ):
        page.read(client)


@pytest.mark.parametrize("of", ["a key", "the api"])
def test_an_audit_entry_too_many_is_noticed(crash: Crash, page: Imports, of: str) -> None:
    """A key that was made has one entry, and an attempt that has made none leaves none."""
    object_id = able(page).key_id if of == "a key" else page._keyspace_id
    add = """
        INSERT INTO audit_log (id, workspace_id, time_ms, event, description, actor_type, actor_id, resources)
        SELECT 'planted', workspace_id, time_ms, event, description, actor_type, actor_id, ?
        FROM audit_log WHERE event = 'key.create' ORDER BY seq DESC LIMIT 1
    """
    remove = "DELETE FROM audit_log WHERE id = 'planted'"
    with (
        changed_database(crash, add, remove, json.dumps([{"id": object_id}])),
        pytest.raises(Difference, match=f"the number of audit entries .'key.create', '{object_id}'"),
    ):
        crash.books.compare_audit_from_the_start()
