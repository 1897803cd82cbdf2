"""Statements on the audit log."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, insert, select

from keystead.core.entities import AuditEntry, AuditResource
from keystead.stores import tables


class SqlAudit:
    """`ports.Audit` on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, entries: Iterable[AuditEntry]) -> None:
        """See `ports.Audit.add`."""
        rows = [
            {**msgspec.structs.asdict(entry), "resources": msgspec.json.encode(entry.resources).decode()}
            for entry in entries
        ]
        if rows:
            self._connection.execute(insert(tables.audit_log), rows)

    def of_workspace(self, workspace_id: str) -> list[AuditEntry]:
        """See `ports.Audit.of_workspace`."""
        log = tables.audit_log
        columns = (log.c[name] for name in AuditEntry.__struct_fields__)
        statement = select(*columns).where(log.c.workspace_id == workspace_id).order_by(log.c.seq)
        return [
            AuditEntry(**{**row._mapping, "resources": _decode_resources(row.resources)})
            for row in self._connection.execute(statement)
        ]


def _decode_resources(text: str) -> tuple[AuditResource, ...]:
    return msgspec.json.decode(text, type=tuple[AuditResource, ...])
