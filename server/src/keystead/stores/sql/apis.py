"""Statements on apis and their keyspaces."""

from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, insert, select, update

from keystead.core.entities import Api
from keystead.stores import tables
from keystead.stores.sql.touched import Touched

_API_COLUMNS = ("id", "workspace_id", "name", "keyspace_id", "delete_protection", "created_at_ms")
_KEYSPACE_COLUMNS = ("store_encrypted_keys", "default_prefix", "default_bytes")


class SqlApis:
    """`ports.Apis` on a connection."""

    def __init__(self, connection: Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, api_id: str, workspace_id: str) -> Api | None:
        """See `ports.Apis.get`."""
        api, own = tables.apis.c.id, tables.apis.c.workspace_id
        return self._one(_live_apis().where(api == api_id, own == workspace_id))

    def of_keyspace(self, keyspace_id: str) -> Api | None:
        """See `ports.Apis.of_keyspace`."""
        return self._one(_live_apis().where(tables.apis.c.keyspace_id == keyspace_id))

    def insert(self, api: Api) -> None:
        """See `ports.Apis.insert`."""
        if api.keyspace_id is not None:
            self._connection.execute(
                insert(tables.keyspaces),
                {
                    "id": api.keyspace_id,
                    "workspace_id": api.workspace_id,
                    "created_at_ms": api.created_at_ms,
                    **_columns(api, _KEYSPACE_COLUMNS),
                },
            )
        values = {**_columns(api, _API_COLUMNS), "ip_whitelist": _encode_whitelist(api.ip_whitelist)}
        self._connection.execute(insert(tables.apis), values)

    def replace(self, api: Api) -> None:
        """See `ports.Apis.replace`."""
        self._touched.everything = True
        values = {**_columns(api, _API_COLUMNS), "ip_whitelist": _encode_whitelist(api.ip_whitelist)}
        self._connection.execute(update(tables.apis).where(tables.apis.c.id == api.id).values(values))
        self._connection.execute(
            update(tables.keyspaces)
            .where(tables.keyspaces.c.id == api.keyspace_id)
            .values(_columns(api, _KEYSPACE_COLUMNS))
        )

    def delete(self, api: Api, now_ms: int) -> None:
        """See `ports.Apis.delete`."""
        self._touched.everything = True
        self._connection.execute(update(tables.apis).where(tables.apis.c.id == api.id).values(deleted_at_ms=now_ms))

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Api]:
        """See `ports.Apis.page`."""
        statement = (
            _live_apis()
            .where(tables.apis.c.workspace_id == workspace_id, tables.apis.c.id > after_id)
            .order_by(tables.apis.c.id)
            .limit(limit)
        )
        return [_api(row._mapping) for row in self._connection.execute(statement)]

    def count(self, workspace_id: str) -> int:
        """See `ports.Apis.count`."""
        statement = select(func.count()).where(
            tables.apis.c.workspace_id == workspace_id, tables.apis.c.deleted_at_ms.is_(None)
        )
        return self._connection.execute(statement).scalar_one()

    def _one(self, statement: Select[Any]) -> Api | None:
        row = self._connection.execute(statement).one_or_none()
        return _api(row._mapping) if row else None


def _live_apis() -> Select[Any]:
    return (
        select(
            *(tables.apis.c[name] for name in _API_COLUMNS),
            tables.apis.c.ip_whitelist,
            *(tables.keyspaces.c[name] for name in _KEYSPACE_COLUMNS),
        )
        .select_from(tables.apis.outerjoin(tables.keyspaces))
        .where(tables.apis.c.deleted_at_ms.is_(None))
    )


def _api(row: Any) -> Api:
    values = dict(row)
    whitelist = values.pop("ip_whitelist")
    values["store_encrypted_keys"] = bool(values["store_encrypted_keys"])
    return Api(**values, ip_whitelist=tuple(msgspec.json.decode(whitelist)) if whitelist else ())


def _columns(api: Api, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(api, name) for name in names}


def _encode_whitelist(entries: tuple[str, ...]) -> str | None:
    return msgspec.json.encode(entries).decode() if entries else None
