"""Namespaces in memory never hold what a committed write changed."""

import asyncio
from pathlib import Path

import pytest

from keystead.core.entities import Namespace, Override, Workspace
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.overrides import Allowance, limited_namespace
from keystead.ports import UNKNOWN
from keystead.stores.cache import NamespaceCache
from keystead.stores.sql.touched import Touched
from keystead.stores.sqlite import SqliteStore

NAMESPACE = Namespace("rlns_1", "ws_1", "email", 0)
ENTRY = ("ws_1", "email")
SOMETHING = limited_namespace("rlns_1", [])


def touching(*, keys: bool = False, namespace: bool = False) -> Touched:
    touched = Touched()
    touched.everything = keys
    touched.namespaces.update([ENTRY] if namespace else [])
    return touched


def test_a_fence_keeps_the_old_state_out():
    """While a change is being committed its namespace is read from storage, and from memory once it is over."""
    cache, touched = NamespaceCache(10, 10), touching(namespace=True)
    cache.load(ENTRY, lambda _: SOMETHING)
    cache.fence(touched)
    assert cache.load(ENTRY, lambda _: SOMETHING) is SOMETHING
    assert cache.get(ENTRY) is UNKNOWN
    cache.lift(touched)
    cache.load(ENTRY, lambda _: None)
    assert cache.get(ENTRY) is None


def test_changes_of_keys_leave_namespaces_alone():
    """What makes every key stale, a change of a role say, has nothing to do with namespaces."""
    cache = NamespaceCache(10, 10)
    cache.load(ENTRY, lambda _: SOMETHING)
    cache.fence(touching(keys=True))
    assert cache.get(ENTRY) is SOMETHING


def test_a_store_answers_from_the_last_acknowledged_state(tmp_path: Path):
    """Absent, made, overridden, changed and cleared: each state is found right after its write, then in memory."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "keystead.db")

        async def expect(*overrides: tuple[str, int]) -> None:
            found = await store.find_namespace(*ENTRY)
            assert found is store.namespaces.get(ENTRY)
            assert found is not None
            assert found.namespace_id == "rlns_1"
            assert list(found.exact.items()) == [(text, Allowance(limit, 1000)) for text, limit in overrides]

        try:
            await store.write(lambda tx: tx.workspaces.insert(Workspace("ws_1", "one", True, 0)))
            assert store.find_namespace_at_once(*ENTRY) is None
            assert store.namespaces.get(ENTRY) is None
            await store.write(lambda tx: tx.namespaces.insert(NAMESPACE))
            await expect()
            first, second = Override("rlor_b", "rlns_1", "b*", 1, 1000), Override("rlor_a", "rlns_1", "a*", 2, 1000)
            for override in (first, second):
                await store.write(lambda tx, override=override: tx.overrides.insert(NAMESPACE, override))
            await expect(("b*", 1), ("a*", 2))
            changed = Override("rlor_b", "rlns_1", "b*", 3, 1000)
            await store.write(lambda tx: tx.overrides.replace(NAMESPACE, changed))
            await expect(("b*", 3), ("a*", 2))
            await store.write(lambda tx: tx.overrides.delete(NAMESPACE, first))
            await expect(("a*", 2))
        finally:
            await store.close()

    asyncio.run(scenario())


def test_names_are_taken_once(tmp_path: Path):
    """A second namespace of a name, or override of an identifier, is a conflict and changes nothing."""

    async def scenario() -> None:
        store = SqliteStore(tmp_path / "keystead.db")
        override = Override("rlor_a", "rlns_1", "a*", 2, 1000)
        again = Override("rlor_b", "rlns_1", "a*", 3, 1000)
        try:
            await store.write(lambda tx: tx.workspaces.insert(Workspace("ws_1", "one", True, 0)))
            await store.write(lambda tx: tx.namespaces.insert(NAMESPACE))
            await store.write(lambda tx: tx.overrides.insert(NAMESPACE, override))
            for unit in (
                lambda tx: tx.namespaces.insert(Namespace("rlns_2", "ws_1", "email", 0)),
                lambda tx: tx.overrides.insert(NAMESPACE, again),
            ):
                with pytest.raises(KeysteadError) as failure:
                    await store.write(unit)
                assert failure.value.code is ErrorCode.CONFLICT
            assert await store.read(lambda tx: tx.overrides.by_identifier("rlns_1", "a*")) == override
        finally:
            await store.close()

    asyncio.run(scenario())
