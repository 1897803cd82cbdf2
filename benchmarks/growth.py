"""Databases that grow: ten thousand keys, and each next one ten times the last, up to ten million in some minutes.

The rows are made by SQL from the number of the key, so a secret can be told without a file of them, and the keys of a
smaller database are in every larger one. They are what `databases` makes: a key with a name, an identity, meta, two
permissions of its own and a role.
"""

import hashlib
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks import databases
from benchmarks.databases import KEYSPACE_ID, ROLES, SLUGS
from keystead.core.secrets import hash_secret
from keystead.service.operator import DEFAULT_WORKSPACE_ID
from keystead.testing.server import NOW_MS

_FACTOR = 10
_BATCH = 200_000
_ROWS = 1
"""Part of the folders' names: change it with the rows, and the databases are made anew."""


def secret(number: int) -> str:
    """The secret of the key with that number, counted from 0."""
    return "acme_" + hashlib.blake2b(b"%d" % number, digest_size=11).hexdigest()


def key_id(number: int) -> str:
    """The id of the key with that number."""
    return f"key_{number:017}"


def external_id(number: int) -> str:
    """The external id of its identity, and its owner id."""
    return f"customer_{number:08}"


def folder_of(keys: int, work: Path = databases.WORK) -> Path:
    """Where the database of that many keys is, made or not."""
    return work / f"grown-{keys}-{_ROWS}"


def grown(keys: int, work: Path = databases.WORK) -> Path:
    """The folder with a database of that many keys; made by growing the next smaller one, and kept."""
    folder = folder_of(keys, work)
    made = folder / "made"
    if made.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)  # an attempt that was broken off
    began = time.monotonic()
    start = _start(folder, keys, work)
    with closing(databases.opened(folder)) as connection:
        databases.prepare_shared(connection)
        connection.commit()
        _grow(connection, start, keys)
    made.touch()
    _say(f"{keys:,} keys: made in {time.monotonic() - began:.0f} s")
    return folder


def _start(folder: Path, keys: int, work: Path) -> int:
    """Put what is to be grown into the folder; how many keys it has."""
    smaller = keys // _FACTOR
    if not folder_of(smaller, work).exists():
        databases.create(folder)
        return 0
    folder.mkdir(parents=True)
    with (
        closing(sqlite3.connect(grown(smaller, work) / "keystead.db")) as source,
        closing(databases.opened(folder)) as target,
    ):
        source.backup(target)
    return smaller


def _grow(connection: sqlite3.Connection, start: int, end: int) -> None:
    connection.create_function("hash_of", 1, lambda number: hash_secret(secret(number)), deterministic=True)
    # Each index is sorted once, after all rows are there; those of constraints cannot be dropped.
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN"
        " ('keys', 'identities', 'keys_permissions', 'keys_roles')"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    for first in range(start, end, _BATCH):
        behind = min(first + _BATCH, end)
        for table, columns in _ROWS_OF:
            connection.execute(_insert(table, columns), {"first": first, "last": behind - 1})
        connection.commit()
        if behind % (5 * _BATCH) == 0:
            _say(f"{behind:,} of {end:,} keys")
    for name, sql in indexes:
        connection.execute(sql)
        _say(f"{end:,} keys: index {name}")
    databases.count(connection, end - start)
    connection.commit()


def _insert(table: str, columns: dict[str, str]) -> str:
    """A statement that adds a row for each number; column → SQL of `n`."""
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        "WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)"
        f" INSERT INTO {table} ({names}) SELECT {', '.join(columns.values())} FROM numbers"
    )


def _one_of(texts: list[str], modulo: str) -> str:
    cases = " ".join(f"WHEN {number} THEN '{text}'" for number, text in enumerate(texts))
    return f"CASE {modulo} {cases} END"


_KEY_ID = "printf('key_%017d', n)"
_IDENTITY_ID = "printf('id_%017d', n)"
_EXTERNAL_ID = "printf('customer_%08d', n)"
_ROWS_OF: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "identities",
        {
            "id": _IDENTITY_ID,
            "workspace_id": f"'{DEFAULT_WORKSPACE_ID}'",
            "external_id": _EXTERNAL_ID,
            "environment": "'default'",
            "created_at_ms": str(NOW_MS),
        },
    ),
    (
        "keys",
        {
            "id": _KEY_ID,
            "keyspace_id": f"'{KEYSPACE_ID}'",
            "workspace_id": f"'{DEFAULT_WORKSPACE_ID}'",
            "hash": "hash_of(n)",
            "start": "'acme_'",
            "name": "'production key ' || n",
            "owner_id": _EXTERNAL_ID,
            "identity_id": _IDENTITY_ID,
            "meta": 'printf(\'{"plan":"team","seats":%d,"trial":false}\', n % 50)',
            "created_at_ms": str(NOW_MS),
            "enabled": "1",
            "refill_considered_at_ms": str(NOW_MS),
        },
    ),
    ("keys_permissions", {"key_id": _KEY_ID, "permission_id": f"'perm_{SLUGS[0]}'"}),
    (
        "keys_permissions",
        {"key_id": _KEY_ID, "permission_id": _one_of([f"perm_{slug}" for slug in SLUGS[1:]], f"n % {len(SLUGS) - 1}")},
    ),
    ("keys_roles", {"key_id": _KEY_ID, "role_id": _one_of([f"role_{name}" for name in ROLES], f"n % {len(ROLES)}")}),
)
"""For each number a row of each, the tables' foreign keys in order."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    for size in sys.argv[1:]:
        grown(int(size))
