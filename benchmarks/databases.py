"""Databases full of keys, made by inserting into the tables: a million createKey calls would take an hour.

A key has what keys in use have: a name, an identity, meta, two permissions of its own and a role with two more. Secrets
and ids come from a fixed seed, so a database is made once and kept under `benchmarks/.work`.
"""

import random
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from keystead.core.ids import IdPrefix, new_id
from keystead.core.secrets import hash_secret, new_secret
from keystead.service.operator import DEFAULT_WORKSPACE_ID
from keystead.testing.server import NOW_MS, ServerProcess

WORK = Path(__file__).parent / ".work"
ROOT_KEY = "keystead_root_key_of_the_benchmarks"
API_ID = "api_benchmarks"
KEYSPACE_ID = "ks_benchmarks"

# No window of it ends in rejection.
_HIGH = 1_000_000_000
_CREDITS = 2_000_000_000
SLUGS = tuple(f"{noun}.{verb}" for noun in ("documents", "projects", "invoices") for verb in ("read", "write", "share"))
ROLES = {"editor": SLUGS[0:2], "manager": SLUGS[3:5], "accountant": SLUGS[6:8]}
_BATCH = 20_000
_ROWS = "1e719d96"
"""Part of the folders' names: change it with the rows, and large databases are made anew."""


@dataclass(frozen=True)
class Kind:
    """Keys that differ in what verifying them takes.

    `limits` are (name, whether it applies unnamed); `credits` whether the key has a balance.
    """

    name: str
    limits: tuple[tuple[str, bool], ...] = ()
    credits: bool = False


PLAIN = Kind("plain")
AUTOMATIC = Kind("automatic", limits=(("default", True),))
NAMED = Kind("named", limits=(("requests", False), ("tokens", False)))
CREDITS = Kind("credits", credits=True)


def small(folder: Path, keys_per_kind: int) -> dict[Kind, Path]:
    """A fresh database with some keys of each kind in `folder`; kind → file with their secrets, one a line."""
    shutil.rmtree(folder, ignore_errors=True)
    create(folder)
    files = {}
    with opened(folder) as connection:
        for seed, kind in enumerate((PLAIN, AUTOMATIC, NAMED, CREDITS)):
            files[kind] = folder / f"{kind.name}.secrets"
            _fill(connection, kind, keys_per_kind, seed, files[kind])
    connection.close()
    return files


def large(keys: int) -> tuple[Path, Path]:
    """A folder with a database of that many plain keys, and the file with their secrets in random order."""
    folder = WORK / f"keys-{keys}-{_ROWS}"
    secrets = folder / "plain.secrets"
    if not secrets.exists():
        print(f"making a database of {keys:,} keys (once) ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        create(folder)
        unsorted = folder / "plain.unsorted"
        with opened(folder) as connection:
            _fill(connection, PLAIN, keys, 17, unsorted)
            connection.execute("ANALYZE")
        connection.close()
        _shuffle(unsorted, secrets)
    return folder, secrets


def create(folder: Path) -> None:
    """A new database with the root key and nothing else."""
    folder.mkdir(parents=True)
    with ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY):
        pass  # it makes the tables and its first workspace


def opened(folder: Path) -> sqlite3.Connection:
    """The database of a folder, for fast inserts that a crash may spoil."""
    connection = sqlite3.connect(folder / "keystead.db")
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _shuffle(source: Path, target: Path) -> None:
    lines = source.read_text().splitlines()
    source.unlink()
    random.Random(4).shuffle(lines)
    target.write_text("\n".join(lines) + "\n")


def _fill(connection: sqlite3.Connection, kind: Kind, keys: int, seed: int, secrets: Path) -> None:
    source = random.Random(seed)
    permissions, roles = prepare_shared(connection)
    numbers = iter(range(keys))
    with secrets.open("w") as file:
        while batch := [_Key(kind, number, source, permissions, roles) for number in islice(numbers, _BATCH)]:
            _insert(connection, "identities", [key.identity for key in batch])
            _insert(connection, "keys", [key.record for key in batch])
            _insert(connection, "keys_permissions", [link for key in batch for link in key.permission_links])
            _insert(connection, "keys_roles", [key.role_link for key in batch])
            _insert(connection, "ratelimits", [limit for key in batch for limit in key.limits])
            file.writelines(f"{key.secret}\n" for key in batch)
    count(connection, keys)


def count(connection: sqlite3.Connection, keys: int) -> None:
    """Note that there are so many more keys, and an identity for each of them."""
    connection.execute("UPDATE keyspaces SET live_keys = live_keys + ? WHERE id = ?", (keys, KEYSPACE_ID))
    connection.execute(
        "INSERT INTO identity_counts VALUES (?, 'default', ?)"
        " ON CONFLICT DO UPDATE SET identities = identities + excluded.identities",
        (DEFAULT_WORKSPACE_ID, keys),
    )


def prepare_shared(connection: sqlite3.Connection) -> tuple[dict[str, str], dict[str, str]]:
    """Permissions and roles of the workspace, slug or name → id; made the first time, like the api."""
    permissions = {slug: f"perm_{slug}" for slug in SLUGS}
    roles = {name: f"role_{name}" for name in ROLES}
    if connection.execute("SELECT 1 FROM apis WHERE id = ?", (API_ID,)).fetchone():
        return permissions, roles
    workspace = {"workspace_id": DEFAULT_WORKSPACE_ID, "created_at_ms": NOW_MS}
    _insert(connection, "keyspaces", [{"id": KEYSPACE_ID, "store_encrypted_keys": 0, **workspace}])
    _insert(
        connection,
        "apis",
        [{"id": API_ID, "name": "benchmarks", "keyspace_id": KEYSPACE_ID, "delete_protection": 0, **workspace}],
    )
    _insert(connection, "permissions", [{"id": i, "name": s, "slug": s, **workspace} for s, i in permissions.items()])
    _insert(connection, "roles", [{"id": i, "name": name, **workspace} for name, i in roles.items()])
    links = [{"role_id": roles[n], "permission_id": permissions[slug]} for n, slugs in ROLES.items() for slug in slugs]
    _insert(connection, "roles_permissions", links)
    return permissions, roles


class _Key:
    """One key as rows of the tables."""

    def __init__(
        self, kind: Kind, number: int, source: random.Random, permissions: dict[str, str], roles: dict[str, str]
    ) -> None:
        def fresh(prefix: IdPrefix) -> str:
            return new_id(prefix, NOW_MS + number, source.randbytes)

        self.secret = new_secret("acme", 16, source.randbytes)
        key_id, identity_id = fresh(IdPrefix.KEY), fresh(IdPrefix.IDENTITY)
        external_id = f"customer_{kind.name}_{number:07d}"
        self.identity = {
            "id": identity_id,
            "workspace_id": DEFAULT_WORKSPACE_ID,
            "external_id": external_id,
            "environment": "default",
            "created_at_ms": NOW_MS,
        }
        self.record = {
            "id": key_id,
            "keyspace_id": KEYSPACE_ID,
            "workspace_id": DEFAULT_WORKSPACE_ID,
            "hash": hash_secret(self.secret),
            "start": self.secret[:5],
            "name": f"production key {number}",
            "owner_id": external_id,
            "identity_id": identity_id,
            "meta": f'{{"plan":"{("free", "pro", "team")[number % 3]}","seats":{number % 50},"trial":false}}',
            "created_at_ms": NOW_MS,
            "enabled": 1,
            "remaining": _CREDITS if kind.credits else None,
            "refill_considered_at_ms": NOW_MS,
        }
        first = number % len(SLUGS)
        # The first permission is everybody's, so that one query suits all keys.
        slugs = (SLUGS[0], SLUGS[first or 1])
        self.permission_links = [{"key_id": key_id, "permission_id": permissions[slug]} for slug in slugs]
        self.role_link = {"key_id": key_id, "role_id": roles[tuple(ROLES)[number % len(ROLES)]]}
        self.limits = [
            {
                "id": fresh(IdPrefix.RATELIMIT),
                "name": name,
                "limit": _HIGH,
                "duration_ms": 60_000,
                "auto_apply": int(automatic),
                "key_id": key_id,
            }
            for name, automatic in kind.limits
        ]


def _insert(connection: sqlite3.Connection, table: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        columns = ", ".join(f'"{column}"' for column in rows[0])
        values = ", ".join(f":{column}" for column in rows[0])
        connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", rows)


def secrets_in(file: Path, count: int) -> Iterator[str]:
    """The first secrets of a file."""
    with file.open() as lines:
        yield from (line.rstrip("\n") for line in islice(lines, count))
