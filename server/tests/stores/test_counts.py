"""Totals kept instead of counted, and pages of one customer's keys: exact, and as cheap in a large database."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from keystead.core.entities import Api, Identity, Key, Workspace
from keystead.core.errors import KeysteadError
from keystead.core.secrets import hash_secret
from keystead.stores import migrate
from keystead.stores.migrations import HEAD
from keystead.stores.sql.transaction import SqlTransaction

SCRIPTS = Path(migrate.__file__).parent / "migrations"
KEYSPACES = ("ks_1", "ks_2")
ENVIRONMENTS = ("default", "test")

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.lists(st.integers(0, 9), max_size=3), st.sampled_from(KEYSPACES), st.booleans()),
        st.tuples(st.just("rename"), st.integers(0, 9)),
        st.tuples(st.sampled_from(("delete", "remove")), st.integers(0, 9)),
        st.tuples(st.sampled_from(("delete some", "remove some")), st.sampled_from(KEYSPACES), st.integers(1, 3)),
        st.tuples(st.just("identity"), st.integers(0, 3), st.sampled_from(ENVIRONMENTS)),
        st.tuples(st.just("forget identity"), st.integers(0, 3)),
    ),
    max_size=30,
)


@cache
def schema() -> list[str]:
    """The statements that make the database's tables and indexes."""
    engine = sa.create_engine("sqlite://")
    migrate.upgrade(engine, SCRIPTS, HEAD)
    with engine.connect() as connection:
        made = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%'"
        statements = list(connection.exec_driver_sql(made).scalars())
    engine.dispose()
    return statements


@contextmanager
def memory() -> Iterator[sa.Connection]:
    """A connection to a database of its own, with two keyspaces; made as the migrations make it, in their order."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        for statement in schema():
            connection.exec_driver_sql(statement)
        tx = SqlTransaction(connection)
        tx.workspaces.insert(Workspace("ws_1", "test", True, 0))
        for number, keyspace_id in enumerate(KEYSPACES):
            tx.apis.insert(Api(f"api_{number}", "ws_1", "test", 0, keyspace_id))
        connection.commit()
        yield connection
    engine.dispose()


def a_key(number: int, keyspace_id: str, **members: Any) -> Key:
    """The key of that number, in one keyspace or another."""
    return Key(f"key_{number}", keyspace_id, "ws_1", hash_secret(str(number)), "start", 0, **members)


def take(tx: SqlTransaction, step: tuple[Any, ...]) -> None:
    """One change; the records handed over may be out of date, as those of a careless caller."""
    what, *arguments = step
    if what == "make":
        numbers, keyspace_id, deleted = arguments
        tx.keys.insert_all([a_key(n, keyspace_id, deleted_at_ms=1 if deleted else None) for n in numbers])
    elif what in ("rename", "delete", "remove"):
        key = tx.keys.by_hash(hash_secret(str(arguments[0])))
        if key is None:
            return
        changed = a_key(arguments[0], key.keyspace_id, name="new", deleted_at_ms=2 if what == "delete" else None)
        (tx.keys.delete if what == "remove" else tx.keys.replace)(changed)
    elif what == "delete some":
        tx.keys.delete_some(*arguments, now_ms=3)
    elif what == "remove some":
        tx.keys.remove_some(*arguments)
    elif what == "identity":
        number, environment = arguments
        tx.identities.insert(Identity(f"id_{number}", "ws_1", f"customer_{number}", environment=environment), 0)
    else:
        identity = tx.identities.get(f"id_{arguments[0]}", "ws_1")
        if identity is not None:
            tx.identities.delete(identity)
            tx.identities.delete(identity)  # gone already: nothing more to count


def counted(connection: sa.Connection, sql: str, *parameters: str) -> int:
    """What counting says."""
    number: int = connection.exec_driver_sql(sql, parameters).scalar_one()
    return number


def assert_counts(connection: sa.Connection) -> None:
    """Every kept count is what counting says."""
    tx = SqlTransaction(connection)
    live = "SELECT count(*) FROM keys WHERE keyspace_id = ? AND deleted_at_ms IS NULL"
    for keyspace_id in KEYSPACES:
        assert tx.keys.count(keyspace_id) == counted(connection, live, keyspace_id)
    for environment in ENVIRONMENTS:
        of_environment = "SELECT count(*) FROM identities WHERE workspace_id = 'ws_1' AND environment = ?"
        assert tx.identities.count("ws_1", environment) == counted(connection, of_environment, environment)


@given(STEPS)
@settings(deadline=None)
def test_counts_are_exact_after_every_change(steps: list[tuple[Any, ...]]) -> None:
    """Whatever is made, changed, deleted or removed, alone or in bulk, refused or not: the counts are what counting
    gives.
    """
    with memory() as connection:
        for step in steps:
            with connection.begin_nested() as savepoint:
                try:
                    take(SqlTransaction(connection), step)
                except KeysteadError:  # taken already
                    savepoint.rollback()
            assert_counts(connection)


def test_a_deleted_key_stays_deleted() -> None:
    """A record that was read before its deletion does not bring the key back when it is stored."""
    with memory() as connection:
        keys = SqlTransaction(connection).keys
        key = a_key(1, "ks_1")
        keys.insert(key)
        keys.delete_some("ks_1", 10, now_ms=5)
        keys.replace(key)
        assert keys.find(key.id) is None
        assert keys.count("ks_1") == 0


def test_a_missing_keyspace_and_environment_have_none() -> None:
    """What has never been used counts as none instead of failing."""
    with memory() as connection:
        tx = SqlTransaction(connection)
        assert (tx.keys.count("ks_none"), tx.identities.count("ws_1", "none")) == (0, 0)


PAGES: list[tuple[str, Callable[[SqlTransaction], object]]] = [
    ("ix_keys_live", lambda tx: tx.keys.page("ks_1", "key_1", 10)),
    ("ix_keys_live", lambda tx: tx.keys.delete_some("ks_1", 10, now_ms=1)),
    ("ix_keys_live", lambda tx: tx.keys.remove_some("ks_1", 10)),
    ("ix_keys_deleted", lambda tx: tx.keys.remove_some("ks_2", 10)),
    ("ix_keys_deleted", lambda tx: tx.keys.is_empty("ks_2")),
    ("ix_keys_identity", lambda tx: tx.keys.page("ks_1", "key_1", 10, identity_id="id_1")),
    ("ix_keys_owner", lambda tx: tx.keys.page("ks_1", "key_1", 10, owner_id="customer_1")),
    ("ix_keys_owner", lambda tx: tx.keys.by_owner("customer_1", "ws_1")),
    ("ix_keys_for_workspace", lambda tx: tx.keys.page("ks_1", "key_1", 10, for_workspace_id="ws_1")),
    ("ix_keys_for_workspace", lambda tx: tx.keys.count("ks_1", "ws_1")),
    ("ix_identities_workspace_id_environment_id", lambda tx: tx.identities.page("ws_1", "default", "id_1", 10)),
]


@pytest.mark.parametrize(("index", "ask"), PAGES)
@pytest.mark.parametrize("analyzed", [False, True])
def test_a_page_reads_its_own_rows_alone(index: str, ask: Callable[[SqlTransaction], object], analyzed: bool) -> None:
    """A page is found by the index that leads to its rows in their order, with and without statistics: nothing is
    searched through and nothing sorted.
    """
    with memory() as connection:
        tx = SqlTransaction(connection)
        tx.identities.insert(Identity("id_1", "ws_1", "customer_1"), 0)
        of_one = {"owner_id": "customer_1", "identity_id": "id_1", "for_workspace_id": "ws_1"}
        tx.keys.insert_all([a_key(n, "ks_1", **(of_one if n % 40 == 0 else {})) for n in range(2_000)])
        if analyzed:
            connection.exec_driver_sql("ANALYZE")
        statements: list[tuple[str, Any]] = []
        sa.event.listen(connection, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
        ask(tx)
        plans = [_plan(connection, sql, parameters) for sql, parameters in tuple(statements)]
    of_large_tables = [line for plan in plans for line in plan if line.split()[1] in ("keys", "identities")]
    assert any(f"{index} (" in line for line in of_large_tables)
    assert all(line.startswith("SEARCH") for line in of_large_tables)
    assert not any("TEMP B-TREE" in line for line in plans[0])


def _plan(connection: sa.Connection, sql: str, parameters: Any) -> list[str]:
    return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)]


def test_an_upgrade_counts_what_is_there(tmp_path: Path) -> None:
    """A database from before the counts has them after the upgrade, of live keys and by environment."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'keystead.db'}")
    migrate.upgrade(engine, SCRIPTS, "0002")
    with sqlite3.connect(tmp_path / "keystead.db") as old:
        old.execute("INSERT INTO workspaces VALUES ('ws_1', 'test', 1, 0)")
        for keyspace_id in KEYSPACES:
            old.execute(
                "INSERT INTO keyspaces (id, workspace_id, store_encrypted_keys, created_at_ms)"
                " VALUES (?, 'ws_1', 0, 0)",
                (keyspace_id,),
            )
        for number in range(7):
            old.execute(
                "INSERT INTO keys (id, keyspace_id, workspace_id, hash, start, created_at_ms, enabled,"
                " refill_considered_at_ms, deleted_at_ms) VALUES (?, 'ks_1', 'ws_1', ?, 's', 0, 1, 0, ?)",
                (f"key_{number}", f"hash {number}", 9 if number < 2 else None),
            )
            old.execute(
                "INSERT INTO identities (id, workspace_id, external_id, environment, created_at_ms)"
                " VALUES (?, 'ws_1', ?, ?, 0)",
                (f"id_{number}", f"customer_{number}", ENVIRONMENTS[number % 2]),
            )
    old.close()
    migrate.upgrade(engine, SCRIPTS, HEAD)
    with engine.connect() as connection:
        tx = SqlTransaction(connection)
        assert [tx.keys.count(keyspace_id) for keyspace_id in KEYSPACES] == [5, 0]
        assert [tx.identities.count("ws_1", environment) for environment in ENVIRONMENTS] == [4, 3]
        assert_counts(connection)
    engine.dispose()
