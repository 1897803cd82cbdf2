"""Apis: what keys belong to, and the settings of their keyspaces (contract other-v1 §1, DECISIONS)."""

from typing import Any

import msgspec
from msgspec import UNSET

from keystead.contract.apis import (
    ApiObject,
    ApiPage,
    CreateApi,
    CreatedApi,
    GetApi,
    ListedApi,
    ListPage,
    UpdateApi,
)
from keystead.contract.fields import given, or_unset
from keystead.contract.keys import EmptyAnswer
from keystead.core.addresses import parse_network
from keystead.core.entities import Api
from keystead.core.ids import IdPrefix
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, api_resource, given_members
from keystead.service.failures import bad_request, not_found
from keystead.service.ids import Ids

_DEFAULTS: dict[str, Any] = {
    "ip_whitelist": (),
    "default_prefix": None,
    "default_bytes": None,
    "store_encrypted_keys": False,
    "delete_protection": False,
}


class Apis:
    """The use cases of apis."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
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

        return await self._store.write(insert)

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

        return await self._store.write(change)

    async def list(self, caller: Caller, request: ListPage) -> ApiPage:
        """A page of the workspace's apis, by id (other-v1 §0.6)."""

        def page(tx: Transaction) -> ApiPage:
            apis = tx.apis.page(caller.workspace_id, request.cursor, request.limit)
            return ApiPage(
                [_listed(api) for api in apis], tx.apis.count(caller.workspace_id), apis[-1].id if apis else UNSET
            )

        return await self._store.read(page)


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
