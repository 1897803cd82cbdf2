"""The numbers under which keyspaces, keys, identities and lists of tags are counted."""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from keystead.sinks import tables

T = TypeVar("T")

NAMES_PER_QUERY = 1_000
"""SQLite takes 32,766 parameters in one statement, but 10,000 took 40 MiB and were no faster."""

MAX_REMEMBERED = 200_000
"""The default of `Numbers`; 200 bytes each, and a fifth of what counting costs."""

TagList = tuple[int, tuple[str, ...]]
"""A list of tags of the keyspace with that number."""


class Numbers:
    """Gives everything that is counted its number, and remembers it.

    Numbers are made in the transaction that uses them and never change once committed. After a rollback `forget` must
    be called: what was made there was not made.
    """

    def __init__(self, max_remembered: int = MAX_REMEMBERED) -> None:
        self._max_remembered = max_remembered
        self.keyspaces: dict[str, int] = {}
        self.keys: dict[str, int] = {}
        self.identities: dict[str | None, int] = {None: 0}
        self.tag_lists: dict[TagList, int] = {}
        self._tags = 0  # in those lists

    def forget(self) -> None:
        """Look everything up again when it is next needed."""
        self.keyspaces.clear()
        self.keys.clear()
        self.identities.clear()
        self.tag_lists.clear()
        self._tags = 0
        self.identities[None] = 0

    def learn_keyspaces(self, connection: sa.Connection, names: Collection[str]) -> None:
        """Have a number for each keyspace."""
        missing = [{"keyspace_id": name} for name in names if name not in self.keyspaces]
        self.keyspaces |= _numbers(connection, tables.keyspaces.c.keyspace_id, missing)

    def learn_keys(self, connection: sa.Connection, keyspace_of: dict[str, str]) -> None:
        """Have a number for each key of `keyspace_of` (key → keyspace, which has a number already)."""
        missing = [
            {"key_id": name, "keyspace_no": self.keyspaces[keyspace]}
            for name, keyspace in keyspace_of.items()
            if name not in self.keys
        ]
        self.keys |= _numbers(connection, tables.keys.c.key_id, missing)

    def learn_identities(self, connection: sa.Connection, names: Collection[str | None]) -> None:
        """Have a number for each identity."""
        missing = [{"identity_id": name} for name in names if name not in self.identities]
        self.identities |= _numbers(connection, tables.identities.c.identity_id, missing)

    def learn_tag_lists(self, connection: sa.Connection, lists: Collection[TagList]) -> None:
        """Have a number for each list of tags; the empty list is always 0."""
        missing: dict[int, list[tuple[str, ...]]] = {}
        for keyspace_no, tags in lists:
            if not tags:
                self.tag_lists[keyspace_no, tags] = 0
            elif (keyspace_no, tags) not in self.tag_lists:
                missing.setdefault(keyspace_no, []).append(tags)
        for keyspace_no, some in missing.items():
            for part in parts(some, NAMES_PER_QUERY):
                numbers = _tag_list_numbers(connection, keyspace_no, part)
                self.tag_lists |= {(keyspace_no, tags): number for tags, number in numbers.items()}
                self._tags += sum(map(len, numbers))

    def forget_if_many(self) -> None:
        """Keep what is remembered within bounds."""
        # A tag is as long as a key's id, and whoever has one valid key chooses ten of them for each call.
        if len(self.keys) + len(self.identities) + len(self.tag_lists) + self._tags > self._max_remembered:
            self.forget()


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, at most `size` at a time."""
    entries = iter(items)
    while part := list(islice(entries, size)):
        yield part


def _numbers(connection: sa.Connection, name: sa.Column[Any], rows: list[dict[str, Any]]) -> dict[Any, int]:
    """Name → number for the rows, which are added where they are missing."""
    found: dict[Any, int] = {}
    for part in parts(rows, NAMES_PER_QUERY):
        found |= _look_up(connection, name, part)
        new = [row for row in part if row[name.name] not in found]
        if new:
            connection.execute(sa.insert(name.table), new)
            found |= _look_up(connection, name, new)
    return found


def _look_up(connection: sa.Connection, name: sa.Column[Any], rows: Sequence[dict[str, Any]]) -> dict[Any, int]:
    query = sa.select(name, name.table.c.no).where(name.in_([row[name.name] for row in rows]))
    return {row[0]: row[1] for row in connection.execute(query)}


def _tag_list_numbers(
    connection: sa.Connection, keyspace_no: int, lists: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], int]:
    """List → number; lists that are new are added, with the tags they carry."""
    texts = {tags: msgspec.json.encode(tags) for tags in lists}
    digests = {tags: hashlib.sha256(text).hexdigest() for tags, text in texts.items()}
    known = _known_tag_lists(connection, keyspace_no, list(digests.values()))
    new = [tags for tags, digest in digests.items() if digest not in known]
    if new:
        rows = [{"keyspace_no": keyspace_no, "digest": digests[tags], "tags": texts[tags].decode()} for tags in new]
        connection.execute(sa.insert(tables.tag_lists), rows)
        known |= _known_tag_lists(connection, keyspace_no, [digests[tags] for tags in new])
        members = [
            {"keyspace_no": keyspace_no, "tag": tag, "tag_list_no": known[digests[tags]]}
            for tags in new
            for tag in dict.fromkeys(tags)
        ]
        connection.execute(sa.insert(tables.tags), members)
    return {tags: known[digest] for tags, digest in digests.items()}


def _known_tag_lists(connection: sa.Connection, keyspace_no: int, digests: Sequence[str]) -> dict[str, int]:
    lists = tables.tag_lists.c
    query = sa.select(lists.digest, lists.no).where(lists.keyspace_no == keyspace_no, lists.digest.in_(digests))
    return {row[0]: row[1] for row in connection.execute(query)}
