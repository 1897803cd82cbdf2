"""Proof that the tables in code and the migrations make the same database."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from keystead.stores import migrate

_OPTIONS = "SELECT wr, strict FROM pragma_table_list(?)"
_COLUMN = ("type", "not null", "default", "primary key position", "hidden")
_COLUMNS = 'SELECT name, upper(type), "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)'
_INDEXES = 'SELECT name, "unique", origin, partial FROM pragma_index_list(?)'
_INDEX_COLUMNS = 'SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE "key" ORDER BY seqno'


def differences(metadata: sa.MetaData, scripts: Path, head: str) -> list[str]:
    """How a database made from `metadata` and one migrated by `scripts` differ; empty if they are equal.

    Compared on SQLite: tables and their options, columns (type, nullability, default, generated), primary
    keys, unique and check constraints, foreign keys with their actions, indexes, triggers and views. The order
    of columns is free, since a migration can add one only at the end.
    """
    declared, migrated = sa.create_engine("sqlite://"), sa.create_engine("sqlite://")
    try:
        metadata.create_all(declared)
        migrate.upgrade(migrated, scripts, head)
        in_metadata, in_migrations = _facts(declared), _facts(migrated)
    finally:
        declared.dispose()
        migrated.dispose()
    return [
        *_newer_revisions(scripts, head),
        *(f"only in metadata: {fact}" for fact in sorted(in_metadata - in_migrations)),
        *(f"only in migrations: {fact}" for fact in sorted(in_migrations - in_metadata)),
    ]


def _newer_revisions(scripts: Path, head: str) -> list[str]:
    from alembic.script import ScriptDirectory

    heads = ScriptDirectory(str(scripts)).get_heads()
    return [] if heads == [head] else [f"the migrations end at {', '.join(heads)}, the code asks for {head}"]


def _facts(engine: sa.Engine) -> set[str]:
    """One line for everything the schema says, so that two schemas can be compared as sets."""
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        facts = set(_statements(connection))
        for table in set(inspector.get_table_names()) - {"alembic_version"}:
            facts.update(f"{table}: {fact}" for fact in _table_facts(connection, inspector, table))
    return facts


def _table_facts(connection: sa.Connection, inspector: sa.Inspector, table: str) -> Iterator[str]:
    yield f"options {_rows(connection, _OPTIONS, table)}"
    for name, *column in _rows(connection, _COLUMNS, table):
        yield f"column {name} " + ", ".join(f"{label} {value}" for label, value in zip(_COLUMN, column, strict=True))
    yield from _reflected("primary key", [inspector.get_pk_constraint(table)])
    yield from _reflected("unique", inspector.get_unique_constraints(table))
    yield from _reflected("check", inspector.get_check_constraints(table))
    yield from _reflected("foreign key", inspector.get_foreign_keys(table))
    yield from _reflected("generated", (c for c in inspector.get_columns(table) if "computed" in c))
    for name, unique, origin, partial in _rows(connection, _INDEXES, table):
        columns = _rows(connection, _INDEX_COLUMNS, name)
        # SQLite numbers the indexes of constraints in the order of creation, which means nothing.
        known_as = name if origin == "c" else "of a constraint"
        yield f"index {known_as} unique {unique}, partial {partial}, columns {columns}"


def _statements(connection: sa.Connection) -> Iterator[str]:
    """The texts of what only its text describes fully: indexes (expressions, conditions), triggers, views."""
    for kind, name, sql in _rows(
        connection, "SELECT type, name, sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL"
    ):
        yield f"{kind} {name}: {' '.join(sql.replace(chr(34), '').split())}"
    for (name,) in _rows(
        connection, "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
    ):
        yield f"table {name}: autoincrement"


def _reflected(kind: str, entries: Iterable[Any]) -> Iterator[str]:
    for entry in entries:
        yield f"{kind} {sorted((name, str(value)) for name, value in entry.items())}"


def _rows(connection: sa.Connection, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.exec_driver_sql(sql, parameters)]
