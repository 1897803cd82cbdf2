"""Apis: what keys belong to, and the settings of their keyspaces (contract other-v1 §1, DECISIONS)."""

from typing import Any

import msgspec
from msgspec import UNSET

from keystead.contract.apis import (
    ApiObject,
    ApiPage,
    CreateApi,
    CreatedApi,
    DeleteApi,
    DeletedKeys,
    DeleteKeys,
    GetApi,
    ListedApi,
    ListPage,
    UpdateApi,
)
from keystead.contract.fields import given, or_unset
from keystead.contract.keys import EmptyAnswer
from keystead.core.addresses import parse_network
from keystead.core.entities import Api, AuditResource
from keystead.core.errors import Reason
from keystead.core.ids import IdPrefix
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, api_resource, given_members
from keystead.service.changes import Changes
from keystead.service.failures import bad_request, not_found, precondition_failed
from keystead.service.ids import Ids

_DEFAULTS: dict[str, Any] = {
    "ip_whitelist": (),
    "default_prefix": None,
    "default_bytes": None,
    "store_encrypted_keys": False,
    "delete_protection": False,
}

_DELETED_AT_ONCE = 1000


class Apis:
    """The use cases of apis."""

    def __init__(self, store: Store, changes: Changes, ids: Ids) -> None:
        self._store = store
        self._changes = changes
        self._ids = ids

    async def create(self, caller: Caller, request: CreateApi) -> CreatedApi:
        """A new api with a keyspace of its own. Raises BAD_REQUEST for an unreadable address."""
        settings = _settings(request)
        api = Api(
            id=self._ids.new(IdPrefix.API, caller.now_ms),
            workspace_id=caller.workspace_id,
            name=request.name,
            created_at_ms=caller.now_ms,
            keyspace_id=self._ids.new(IdPrefix.KEYSPACE, caller.now_ms),
            **settings,
        )

        def insert(tx: Transaction) -> CreatedApi:
            tx.apis.insert(api)
            Trail(tx, caller, self._ids).add("api.create", f"Created {api.id}", api_resource(api))
            return CreatedApi(api.id, api.name)

        return await self._changes.write(caller, insert)

    async def get(self, caller: Caller, request: GetApi) -> ApiObject:
        """The api. Raises NOT_FOUND."""
        api = await self._store.read(lambda tx: live_api(tx, request.api_id, caller.workspace_id))
        return ApiObject(api.id, api.workspace_id, api.name)

    async def update(self, caller: Caller, request: UpdateApi) -> EmptyAnswer:
        """Change what is given. Raises NOT_FOUND, then BAD_REQUEST for an unreadable address."""
        settings = _settings(request)
        if given(request.name):
            settings["name"] = request.name

        def change(tx: Transaction) -> EmptyAnswer:
            api = live_api(tx, request.api_id, caller.workspace_id)
            if settings:
                tx.apis.replace(msgspec.structs.replace(api, **settings))
            resource = api_resource(api, given_members(request, "apiId"))
            Trail(tx, caller, self._ids).add("api.update", f"Updated {api.id}", resource)
            return EmptyAnswer()

        return await self._changes.write(caller, change)

    async def list(self, caller: Caller, request: ListPage) -> ApiPage:
        """A page of the workspace's apis, by id (other-v1 §0.6)."""

        def page(tx: Transaction) -> ApiPage:
            apis = tx.apis.page(caller.workspace_id, request.cursor, request.limit)
            return ApiPage(
                [_listed(api) for api in apis], tx.apis.count(caller.workspace_id), apis[-1].id if apis else UNSET
            )

        return await self._store.read(page)

    async def delete_keys(self, caller: Caller, request: DeleteKeys) -> DeletedKeys:
        """Delete every key of the api (other-v1 §1.4), in one transaction. Raises NOT_FOUND, PRECONDITION_FAILED.

        Softly, the live ones are deleted and counted; for good, those deleted before are too, and the hashes are free.
        """

        def delete(tx: Transaction) -> DeletedKeys:
            keyspace_id = keyspace_of(live_api(tx, request.api_id, caller.workspace_id))
            trail = Trail(tx, caller, self._ids)
            return DeletedKeys(_delete_keys(tx, trail, keyspace_id, caller.now_ms, permanent=request.permanent))

        return await self._changes.write(caller, delete)

    async def delete(self, caller: Caller, request: DeleteApi) -> EmptyAnswer:
        """Delete an api and its keys softly (other-v1 §1.5). Raises NOT_FOUND, PRECONDITION_FAILED when protected."""

        def delete(tx: Transaction) -> EmptyAnswer:
            api = live_api(tx, request.api_id, caller.workspace_id)
            if api.delete_protection:
                raise precondition_failed(f"api {api.id} has delete protection on", Reason.DELETE_PROTECTED)
            trail = Trail(tx, caller, self._ids)
            tx.apis.delete(api, caller.now_ms)
            trail.add("api.delete", f"Deleted {api.id}", api_resource(api))
            if api.keyspace_id is not None:
                _delete_keys(tx, trail, api.keyspace_id, caller.now_ms, permanent=False)
            return EmptyAnswer()

        return await self._changes.write(caller, delete)


def _delete_keys(tx: Transaction, trail: Trail, keyspace_id: str, now_ms: int, *, permanent: bool) -> int:
    """Delete every key of a keyspace, with an entry for each; how many there were.

    Step by step: neither a statement nor what is in memory grows with the number of keys.
    """
    deleted = 0
    verb = "Removed" if permanent else "Deleted"
    while gone := _delete_some(tx, keyspace_id, now_ms, permanent):
        trail.each("key.delete", ((f"{verb} {id_}", (AuditResource("key", id_, name),)) for id_, name in gone))
        deleted += len(gone)
    return deleted


def _delete_some(tx: Transaction, keyspace_id: str, now_ms: int, permanent: bool) -> list[tuple[str, str | None]]:
    if permanent:
        return tx.keys.remove_some(keyspace_id, _DELETED_AT_ONCE)
    return tx.keys.delete_some(keyspace_id, _DELETED_AT_ONCE, now_ms)


def keyspace_of(api: Api) -> str:
    """The id of the api's keyspace. Raises PRECONDITION_FAILED when it has none."""
    if api.keyspace_id is None:
        raise precondition_failed(f"api {api.id} is not set up for keys")
    return api.keyspace_id


def live_api(tx: Transaction, api_id: str, workspace_id: str) -> Api:
    """The api of that workspace. Raises NOT_FOUND."""
    api = tx.apis.get(api_id, workspace_id)
    if api is None:
        raise not_found("api", api_id)
    return api


def _settings(request: CreateApi | UpdateApi) -> dict[str, Any]:
    """The settings a request gives; null is the default."""
    settings = {}
    for name, default in _DEFAULTS.items():
        value = getattr(request, name)
        if given(value):
            settings[name] = default if value is None else value
    if "ip_whitelist" in settings:
        settings["ip_whitelist"] = _addresses(settings["ip_whitelist"])
    return settings


def _addresses(entries: list[str]) -> tuple[str, ...]:
    for position, entry in enumerate(entries):
        try:
            parse_network(entry)
        except ValueError:
            raise bad_request(f"ipWhitelist.{position}: not an IP address or CIDR range") from None
    return tuple(entry.strip() for entry in entries)


def _listed(api: Api) -> ListedApi:
    return ListedApi(
        id=api.id,
        workspace_id=api.workspace_id,
        name=api.name,
        store_encrypted_keys=api.store_encrypted_keys,
        delete_protection=api.delete_protection,
        ip_whitelist=list(api.ip_whitelist) or UNSET,
        default_prefix=or_unset(api.default_prefix),
        default_bytes=or_unset(api.default_bytes),
    )
