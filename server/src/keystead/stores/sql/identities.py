"""Statements on identities and their limits."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from keystead.core.entities import Identity, Ratelimit
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.stores import tables
from keystead.stores.sql.batches import batches
from keystead.stores.sql.keys import ratelimits_where
from keystead.stores.sql.rows import identity_columns, identity_of, limit_columns, limit_of
from keystead.stores.sql.touched import Touched

_MAX_TOUCHED_KEYS = 10_000
"""Beyond this many keys of one identity the cache forgets everything: that is cheaper than to fence each of them."""


class SqlIdentities:
    """`ports.Identities` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, identity_id: str, workspace_id: str) -> Identity | None:
        """See `ports.Identities.get`."""
        return self._one(tables.identities.c.id == identity_id, workspace_id)

    def by_external_id(self, external_id: str, workspace_id: str) -> Identity | None:
        """See `ports.Identities.by_external_id`."""
        return self._one(tables.identities.c.external_id == external_id, workspace_id)

    def by_external_ids(self, external_ids: Sequence[str], workspace_id: str) -> dict[str, Identity]:
        """See `ports.Identities.by_external_ids`."""
        identities = tables.identities
        found: dict[str, Identity] = {}
        for batch in batches(external_ids):
            statement = select(*identity_columns()).where(
                identities.c.workspace_id == workspace_id, identities.c.external_id.in_(batch)
            )
            found.update({row.external_id: identity_of(row._mapping) for row in self._connection.execute(statement)})
        return found

    def external_ids(self, identity_ids: Sequence[str], workspace_id: str) -> dict[str, str]:
        """See `ports.Identities.external_ids`."""
        identities = tables.identities.c
        found: dict[str, str] = {}
        for batch in batches(identity_ids):
            statement = select(identities.id, identities.external_id).where(
                identities.workspace_id == workspace_id, identities.id.in_(batch)
            )
            found.update(tuple(row) for row in self._connection.execute(statement))
        return found

    def page(
        self, workspace_id: str, environment: str, after_id: str, limit: int
    ) -> list[tuple[Identity, list[Ratelimit]]]:
        """See `ports.Identities.page`."""
        identities = tables.identities
        statement = (
            select(*identity_columns())
            .where(_in_environment(workspace_id, environment), identities.c.id > after_id)
            .order_by(identities.c.id)
            .limit(limit)
        )
        found = [identity_of(row._mapping) for row in self._connection.execute(statement)]
        limits = self._limits_of([identity.id for identity in found])
        return [(identity, limits[identity.id]) for identity in found]

    def count(self, workspace_id: str, environment: str) -> int:
        """See `ports.Identities.count`."""
        statement = select(tables.identity_counts.c.identities).where(_count_of(workspace_id, environment))
        return self._connection.execute(statement).scalar_one_or_none() or 0

    def insert(self, identity: Identity, now_ms: int) -> None:
        """See `ports.Identities.insert`."""
        values = {**msgspec.structs.asdict(identity), "created_at_ms": now_ms}
        try:
            self._connection.execute(insert(tables.identities), values)
        except IntegrityError as error:
            message = f"identity {identity.external_id} already exists"
            raise KeysteadError(ErrorCode.CONFLICT, message) from error
        self._count(identity, 1)

    def replace(self, identity: Identity) -> None:
        """See `ports.Identities.replace`."""
        self._touch_keys_of(identity.id)
        statement = update(tables.identities).where(tables.identities.c.id == identity.id)
        self._connection.execute(statement.values(msgspec.structs.asdict(identity)))

    def delete(self, identity: Identity) -> None:
        """See `ports.Identities.delete`."""
        self._touch_keys_of(identity.id)
        gone = self._connection.execute(delete(tables.identities).where(tables.identities.c.id == identity.id))
        self._count(identity, -gone.rowcount)

    def limits(self, identity_id: str) -> list[Ratelimit]:
        """See `ports.Identities.limits`."""
        return ratelimits_where(self._connection, tables.ratelimits.c.identity_id == identity_id)

    def put_limit(self, identity_id: str, limit: Ratelimit) -> None:
        """See `ports.Identities.put_limit`."""
        self._touch_keys_of(identity_id)
        values = {**msgspec.structs.asdict(limit), "identity_id": identity_id}
        self._connection.execute(insert(tables.ratelimits), values)

    def change_limit(self, identity_id: str, limit: Ratelimit) -> None:
        """See `ports.Identities.change_limit`."""
        self._touch_keys_of(identity_id)
        statement = update(tables.ratelimits).where(_limit_of(identity_id, limit.id))
        self._connection.execute(statement.values(msgspec.structs.asdict(limit)))

    def drop_limit(self, identity_id: str, limit_id: str) -> None:
        """See `ports.Identities.drop_limit`."""
        self._touch_keys_of(identity_id)
        self._connection.execute(delete(tables.ratelimits).where(_limit_of(identity_id, limit_id)))

    def _limits_of(self, ids: Sequence[str]) -> defaultdict[str, list[Ratelimit]]:
        """Identity id → its limits, in order of creation."""
        ratelimits = tables.ratelimits
        limits: defaultdict[str, list[Ratelimit]] = defaultdict(list)
        if ids:
            statement = select(ratelimits.c.identity_id, *limit_columns()).where(ratelimits.c.identity_id.in_(ids))
            for row in self._connection.execute(statement.order_by(ratelimits.c.seq)):
                limits[row.identity_id].append(limit_of(row._mapping))
        return limits

    def _count(self, identity: Identity, more: int) -> None:
        """Note that there are so many more like this one, or fewer: whatever changes their number says it here."""
        counts = tables.identity_counts
        statement = update(counts).where(_count_of(identity.workspace_id, identity.environment))
        counted = self._connection.execute(statement.values(identities=counts.c.identities + more))
        if counted.rowcount == 0:
            row = {"workspace_id": identity.workspace_id, "environment": identity.environment, "identities": more}
            self._connection.execute(insert(counts), row)

    def _touch_keys_of(self, identity_id: str) -> None:
        if self._touched.everything:
            return
        statement = select(tables.keys.c.hash).where(tables.keys.c.identity_id == identity_id)
        hashes = self._connection.execute(statement.limit(_MAX_TOUCHED_KEYS + 1)).scalars().all()
        if len(hashes) > _MAX_TOUCHED_KEYS:
            self._touched.everything = True
        else:
            self._touched.hashes.update(hashes)

    def _one(self, condition: Any, workspace_id: str) -> Identity | None:
        statement = select(*identity_columns()).where(condition, tables.identities.c.workspace_id == workspace_id)
        row = self._connection.execute(statement).one_or_none()
        return identity_of(row._mapping) if row else None


def _in_environment(workspace_id: str, environment: str) -> Any:
    identities = tables.identities
    return (identities.c.workspace_id == workspace_id) & (identities.c.environment == environment)


def _count_of(workspace_id: str, environment: str) -> Any:
    counts = tables.identity_counts.c
    return (counts.workspace_id == workspace_id) & (counts.environment == environment)


def _limit_of(identity_id: str, limit_id: str) -> Any:
    return (tables.ratelimits.c.identity_id == identity_id) & (tables.ratelimits.c.id == limit_id)
