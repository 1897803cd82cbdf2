"""What a listing shows of keys, read for all keys of a page together: the number of statements is fixed."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from keystead.core.entities import Identity, Key, KeyDetails, Ratelimit
from keystead.stores import tables
from keystead.stores.sql.rows import identity_columns, identity_of, limit_columns, limit_of


def details_of(connection: Connection, keys: Sequence[Key]) -> list[KeyDetails]:
    """The keys with everything that belongs to them, in the same order."""
    if not keys:
        return []
    ids = [key.id for key in keys]
    identities = _identities(connection, [key.identity_id for key in keys if key.identity_id is not None])
    limits = _limits(connection, ids)
    role_names = _texts(connection, _role_names(ids))
    slugs = _texts(connection, _own_slugs(ids))
    inherited = _texts(connection, _inherited_slugs(ids))
    ciphertexts = _ciphertexts(connection, ids)
    return [
        KeyDetails(
            key=key,
            identity=identities.get(key.identity_id or ""),
            limits=tuple(limits[key.id]),
            role_names=tuple(role_names[key.id]),
            permission_slugs=tuple(dict.fromkeys(slugs[key.id] + inherited[key.id])),
            ciphertext=ciphertexts.get(key.id),
        )
        for key in keys
    ]


def _identities(connection: Connection, ids: Sequence[str]) -> dict[str, Identity]:
    if not ids:
        return {}
    rows = connection.execute(select(*identity_columns()).where(tables.identities.c.id.in_(set(ids))))
    return {row.id: identity_of(row._mapping) for row in rows}


def _limits(connection: Connection, ids: Sequence[str]) -> defaultdict[str, list[Ratelimit]]:
    ratelimits = tables.ratelimits
    rows = connection.execute(
        select(ratelimits.c.key_id, *limit_columns()).where(ratelimits.c.key_id.in_(ids)).order_by(ratelimits.c.seq)
    )
    limits: defaultdict[str, list[Ratelimit]] = defaultdict(list)
    for row in rows:
        limits[row.key_id].append(limit_of(row._mapping))
    return limits


def _role_names(ids: Sequence[str]) -> Select[Any]:
    links = tables.keys_roles
    return (
        select(links.c.key_id, tables.roles.c.name)
        .join_from(links, tables.roles)
        .where(links.c.key_id.in_(ids))
        .order_by(links.c.seq)
    )


def _own_slugs(ids: Sequence[str]) -> Select[Any]:
    links = tables.keys_permissions
    return (
        select(links.c.key_id, tables.permissions.c.slug)
        .join_from(links, tables.permissions)
        .where(links.c.key_id.in_(ids))
        .order_by(links.c.seq)
    )


def _inherited_slugs(ids: Sequence[str]) -> Select[Any]:
    links, of_roles = tables.keys_roles, tables.roles_permissions
    return (
        select(links.c.key_id, tables.permissions.c.slug)
        .join_from(links, of_roles, of_roles.c.role_id == links.c.role_id)
        .join(tables.permissions, tables.permissions.c.id == of_roles.c.permission_id)
        .where(links.c.key_id.in_(ids))
        .order_by(links.c.seq, of_roles.c.seq)
    )


def _texts(connection: Connection, statement: Select[Any]) -> defaultdict[str, list[str]]:
    """Key id → texts, of a statement that reads such pairs."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for key_id, text in connection.execute(statement):
        texts[key_id].append(text)
    return texts


def _ciphertexts(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    encrypted = tables.encrypted_keys
    rows = connection.execute(
        select(encrypted.c.key_id, encrypted.c.ciphertext, encrypted.c.data_key_id).where(encrypted.c.key_id.in_(ids))
    )
    return {row.key_id: (row.ciphertext, row.data_key_id) for row in rows}
