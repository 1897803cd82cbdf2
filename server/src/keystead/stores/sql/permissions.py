"""Statements on permissions and roles."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Select, Table, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from keystead.core.entities import Permission, Role
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.stores import tables
from keystead.stores.sql.batches import batches
from keystead.stores.sql.touched import Touched

Named = TypeVar("Named", Permission, Role)


class SqlPermissions:
    """`ports.Permissions` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def by_ids(self, workspace_id: str, ids: Sequence[str]) -> dict[str, Permission]:
        """See `ports.Permissions.by_ids`."""
        found = _in_workspace(self._connection, tables.permissions, Permission, workspace_id, "id", ids)
        return {permission.id: permission for permission in found}

    def by_slugs(self, workspace_id: str, slugs: Sequence[str]) -> dict[str, Permission]:
        """See `ports.Permissions.by_slugs`."""
        found = _in_workspace(self._connection, tables.permissions, Permission, workspace_id, "slug", slugs)
        return {permission.slug: permission for permission in found}

    def by_names(self, workspace_id: str, names: Sequence[str]) -> dict[str, Permission]:
        """See `ports.Permissions.by_names`."""
        found = _in_workspace(self._connection, tables.permissions, Permission, workspace_id, "name", names)
        # The last of a name stays in a dict, so the oldest comes last.
        return {permission.name: permission for permission in reversed(found)}

    def all(self, workspace_id: str) -> list[Permission]:
        """See `ports.Permissions.all`."""
        return _all(self._connection, tables.permissions, Permission, workspace_id)

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Permission]:
        """See `ports.Permissions.page`."""
        return _page(self._connection, tables.permissions, Permission, workspace_id, after_id, limit)

    def count(self, workspace_id: str) -> int:
        """See `ports.Permissions.count`."""
        return _count(self._connection, tables.permissions, workspace_id)

    def insert(self, workspace_id: str, permission: Permission, now_ms: int) -> None:
        """See `ports.Permissions.insert`."""
        _insert(self._connection, tables.permissions, workspace_id, permission, now_ms)

    def delete(self, permission_id: str) -> None:
        """See `ports.Permissions.delete`."""
        self._touched.everything = True
        self._connection.execute(delete(tables.permissions).where(tables.permissions.c.id == permission_id))


class SqlRoles:
    """`ports.Roles` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def by_ids(self, workspace_id: str, ids: Sequence[str]) -> dict[str, Role]:
        """See `ports.Roles.by_ids`."""
        found = _in_workspace(self._connection, tables.roles, Role, workspace_id, "id", ids)
        return {role.id: role for role in found}

    def by_names(self, workspace_id: str, names: Sequence[str]) -> dict[str, Role]:
        """See `ports.Roles.by_names`."""
        found = _in_workspace(self._connection, tables.roles, Role, workspace_id, "name", names)
        return {role.name: role for role in found}

    def all(self, workspace_id: str) -> list[Role]:
        """See `ports.Roles.all`."""
        return _all(self._connection, tables.roles, Role, workspace_id)

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Role]:
        """See `ports.Roles.page`."""
        return _page(self._connection, tables.roles, Role, workspace_id, after_id, limit)

    def count(self, workspace_id: str) -> int:
        """See `ports.Roles.count`."""
        return _count(self._connection, tables.roles, workspace_id)

    def insert(self, workspace_id: str, role: Role, now_ms: int) -> None:
        """See `ports.Roles.insert`."""
        _insert(self._connection, tables.roles, workspace_id, role, now_ms)

    def delete(self, role_id: str) -> None:
        """See `ports.Roles.delete`."""
        self._touched.everything = True
        self._connection.execute(delete(tables.roles).where(tables.roles.c.id == role_id))

    def permissions(self, role_id: str) -> list[Permission]:
        """See `ports.Roles.permissions`."""
        statement = (
            select(*(tables.permissions.c[name] for name in Permission.__struct_fields__))
            .join(tables.roles_permissions)
            .where(tables.roles_permissions.c.role_id == role_id)
            .order_by(tables.roles_permissions.c.seq)
        )
        return [Permission(**row._mapping) for row in self._connection.execute(statement)]

    def connect_permissions(self, role_id: str, permission_ids: Iterable[str]) -> None:
        """See `ports.Roles.connect_permissions`."""
        rows = [{"role_id": role_id, "permission_id": permission_id} for permission_id in permission_ids]
        if rows:
            self._touched.everything = True
            self._connection.execute(insert(tables.roles_permissions), rows)

    def disconnect_permissions(self, role_id: str, permission_ids: Iterable[str]) -> None:
        """See `ports.Roles.disconnect_permissions`."""
        links = tables.roles_permissions
        for gone in batches(permission_ids):
            self._touched.everything = True
            self._connection.execute(delete(links).where(links.c.role_id == role_id, links.c.permission_id.in_(gone)))


def _in_workspace(
    connection: Connection,
    table: Table,
    kind: type[Named],
    workspace_id: str,
    column: str,
    values: Sequence[str],
) -> list[Named]:
    """Those whose `column` is among `values`; of several with one value the oldest comes first."""
    found: list[Named] = []
    for batch in batches(values):
        statement = _of_workspace(table, kind, workspace_id).where(table.c[column].in_(batch))
        found += [kind(**row._mapping) for row in connection.execute(statement)]
    return found


def _all(connection: Connection, table: Table, kind: type[Named], workspace_id: str) -> list[Named]:
    return [kind(**row._mapping) for row in connection.execute(_of_workspace(table, kind, workspace_id))]


def _page(
    connection: Connection, table: Table, kind: type[Named], workspace_id: str, after_id: str, limit: int
) -> list[Named]:
    columns = (table.c[name] for name in kind.__struct_fields__)
    statement = select(*columns).where(table.c.workspace_id == workspace_id, table.c.id > after_id)
    return [kind(**row._mapping) for row in connection.execute(statement.order_by(table.c.id).limit(limit))]


def _count(connection: Connection, table: Table, workspace_id: str) -> int:
    return connection.execute(select(func.count()).where(table.c.workspace_id == workspace_id)).scalar_one()


def _of_workspace(table: Table, kind: type[Named], workspace_id: str) -> Select[Any]:
    columns = (table.c[name] for name in kind.__struct_fields__)
    return select(*columns).where(table.c.workspace_id == workspace_id).order_by(table.c.created_at_ms, table.c.id)


def _insert(connection: Connection, table: Table, workspace_id: str, named: Permission | Role, now_ms: int) -> None:
    values: dict[str, Any] = {
        **msgspec.structs.asdict(named),
        "workspace_id": workspace_id,
        "created_at_ms": now_ms,
    }
    try:
        connection.execute(insert(table), values)
    except IntegrityError as error:
        kind = type(named).__name__.lower()
        taken = named.slug if isinstance(named, Permission) else named.name
        raise KeysteadError(ErrorCode.CONFLICT, f"{kind} {taken} already exists") from error
