"""Statements on workspaces."""

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from keystead.core.entities import Workspace
from keystead.stores import tables
from keystead.stores.sql.touched import Touched


class SqlWorkspaces:
    """`ports.Workspaces` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, workspace_id: str) -> Workspace | None:
        """See `ports.Workspaces.get`."""
        row = self._connection.execute(
            select(tables.workspaces).where(tables.workspaces.c.id == workspace_id)
        ).one_or_none()
        return Workspace(**row._mapping) if row else None

    def insert(self, workspace: Workspace) -> None:
        """See `ports.Workspaces.insert`."""
        self._connection.execute(insert(tables.workspaces), msgspec.structs.asdict(workspace))

    def page(self, after_id: str, limit: int) -> list[Workspace]:
        """See `ports.Workspaces.page`."""
        workspaces = tables.workspaces
        statement = select(workspaces).where(workspaces.c.id > after_id).order_by(workspaces.c.id).limit(limit)
        return [Workspace(**row._mapping) for row in self._connection.execute(statement)]

    def count(self) -> int:
        """See `ports.Workspaces.count`."""
        return self._connection.execute(select(func.count()).select_from(tables.workspaces)).scalar_one()

    def set_enabled(self, workspace_id: str, enabled: bool) -> None:
        """See `ports.Workspaces.set_enabled`."""
        self._touched.everything = True
        self._connection.execute(
            update(tables.workspaces).where(tables.workspaces.c.id == workspace_id).values(enabled=enabled)
        )

    def is_empty(self) -> bool:
        """See `ports.Workspaces.is_empty`."""
        return self._connection.execute(select(tables.workspaces.c.id).limit(1)).first() is None
