"""Statements on namespaces of ratelimits and their overrides."""

from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from keystead.core.entities import Namespace, Override
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.stores import tables
from keystead.stores.sql.touched import Touched

_NAMESPACE_COLUMNS = [tables.namespaces.c[name] for name in Namespace.__struct_fields__]
_OVERRIDE_COLUMNS = [tables.overrides.c["async" if name == "is_async" else name] for name in Override.__struct_fields__]


class SqlNamespaces:
    """`ports.Namespaces` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, namespace_id: str, workspace_id: str) -> Namespace | None:
        """See `ports.Namespaces.get`."""
        return self._one(_namespaces_of(workspace_id).where(tables.namespaces.c.id == namespace_id))

    def by_name(self, name: str, workspace_id: str) -> Namespace | None:
        """See `ports.Namespaces.by_name`."""
        return self._one(_namespaces_of(workspace_id).where(tables.namespaces.c.name == name))

    def insert(self, namespace: Namespace) -> None:
        """See `ports.Namespaces.insert`."""
        self._touched.namespaces.add((namespace.workspace_id, namespace.name))
        values = {name: getattr(namespace, name) for name in Namespace.__struct_fields__}
        try:
            self._connection.execute(insert(tables.namespaces), values)
        except IntegrityError as error:
            raise KeysteadError(ErrorCode.CONFLICT, f"namespace {namespace.name} already exists") from error

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Namespace]:
        """See `ports.Namespaces.page`."""
        namespace_id = tables.namespaces.c.id
        statement = _namespaces_of(workspace_id).where(namespace_id > after_id).order_by(namespace_id).limit(limit)
        return [Namespace(*row) for row in self._connection.execute(statement)]

    def count(self, workspace_id: str) -> int:
        """See `ports.Namespaces.count`."""
        statement = select(func.count()).where(tables.namespaces.c.workspace_id == workspace_id)
        return self._connection.execute(statement).scalar_one()

    def _one(self, statement: Select[Any]) -> Namespace | None:
        row = self._connection.execute(statement).one_or_none()
        return Namespace(*row) if row else None


class SqlOverrides:
    """`ports.Overrides` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def by_identifier(self, namespace_id: str, identifier: str) -> Override | None:
        """See `ports.Overrides.by_identifier`."""
        statement = _overrides_of(namespace_id).where(tables.overrides.c.identifier == identifier)
        row = self._connection.execute(statement).one_or_none()
        return Override(*row) if row else None

    def insert(self, namespace: Namespace, override: Override) -> None:
        """See `ports.Overrides.insert`."""
        self._touch(namespace)
        values = {"id": override.id, "namespace_id": namespace.id, "identifier": override.identifier}
        try:
            self._connection.execute(insert(tables.overrides), {**values, **_settings(override)})
        except IntegrityError as error:
            raise KeysteadError(ErrorCode.CONFLICT, f"override {override.identifier} already exists") from error

    def replace(self, namespace: Namespace, override: Override) -> None:
        """See `ports.Overrides.replace`."""
        self._touch(namespace)
        changed = update(tables.overrides).where(tables.overrides.c.id == override.id).values(_settings(override))
        self._connection.execute(changed)

    def delete(self, namespace: Namespace, override: Override) -> None:
        """See `ports.Overrides.delete`."""
        self._touch(namespace)
        self._connection.execute(delete(tables.overrides).where(tables.overrides.c.id == override.id))

    def page(self, namespace_id: str, after_id: str, limit: int) -> list[Override]:
        """See `ports.Overrides.page`."""
        override_id = tables.overrides.c.id
        statement = _overrides_of(namespace_id).where(override_id > after_id).order_by(override_id).limit(limit)
        return [Override(*row) for row in self._connection.execute(statement)]

    def count(self, namespace_id: str) -> int:
        """See `ports.Overrides.count`."""
        statement = select(func.count()).where(tables.overrides.c.namespace_id == namespace_id)
        return self._connection.execute(statement).scalar_one()

    def _touch(self, namespace: Namespace) -> None:
        self._touched.namespaces.add((namespace.workspace_id, namespace.name))


def _namespaces_of(workspace_id: str) -> Select[Any]:
    return select(*_NAMESPACE_COLUMNS).where(tables.namespaces.c.workspace_id == workspace_id)


def _overrides_of(namespace_id: str) -> Select[Any]:
    return select(*_OVERRIDE_COLUMNS).where(tables.overrides.c.namespace_id == namespace_id)


def _settings(override: Override) -> dict[str, Any]:
    return {"limit": override.limit, "duration_ms": override.duration_ms, "async": override.is_async}
