"""Limiting identifiers in namespaces, and the overrides of namespaces (contract other-v1 §4, DECISIONS)."""

import structlog
from msgspec import UNSET

from keystead.contract.apis import ListPage
from keystead.contract.fields import or_none
from keystead.contract.keys import EmptyAnswer
from keystead.contract.ratelimits import (
    Limit,
    LimitAnswer,
    LimitedResource,
    ListOverrides,
    NamespaceObject,
    NamespacePage,
    OverrideObject,
    OverridePage,
    OverrideSet,
    SelectOverride,
    SetOverride,
)
from keystead.core.entities import AuditResource, Namespace, Override
from keystead.core.ids import IdPrefix
from keystead.core.overrides import Allowance, LimitedNamespace
from keystead.ports import Limiter, Store, Transaction, Unknown
from keystead.service.access import Caller
from keystead.service.audit import Afterwards, Trail, entry_of, namespace_resource, override_resource
from keystead.service.changes import Changes
from keystead.service.failures import bad_request, not_found
from keystead.service.ids import Ids

_log = structlog.get_logger()

LIMIT_ANYWHERE = "ratelimit.*.limit"
CREATE_NAMESPACE = "ratelimit.*.create_namespace"

Selector = SetOverride | SelectOverride | ListOverrides
"""Requests that name a namespace by `namespace_id`, else by `namespace_name`."""


class Ratelimits:
    """The use cases of ratelimits. `afterwards` takes the audit entries that `limit` leaves."""

    def __init__(self, store: Store, changes: Changes, limiter: Limiter, ids: Ids, afterwards: Afterwards) -> None:
        self._store = store
        self._changes = changes
        self._limiter = limiter
        self._ids = ids
        self._afterwards = afterwards

    def limit_at_once(self, caller: Caller, request: Limit) -> LimitAnswer | None:
        """The decision when nothing has to be waited for, else None with nothing taken: then `limit` has to be awaited.

        The latter when the namespace has to be made, or storage is not in this process. Raises as `limit`.
        """
        namespace = self._store.find_namespace_at_once(caller.workspace_id, request.namespace)
        if namespace is None or isinstance(namespace, Unknown):
            return None
        return self._decide(caller, namespace, request)

    async def limit(self, caller: Caller, request: Limit) -> LimitAnswer:
        """Whether the identifier may pass, and what it has left; a refusal is an answer (§4.1).

        A namespace that does not exist is made for a caller who may. Raises NOT_FOUND, FORBIDDEN.
        """
        namespace = self._store.find_namespace_at_once(caller.workspace_id, request.namespace)
        if isinstance(namespace, Unknown):
            namespace = await self._store.find_namespace(caller.workspace_id, request.namespace)
        if namespace is None:
            namespace = await self._create_namespace(caller, request.namespace)
        return self._decide(caller, namespace, request)

    async def set_override(self, caller: Caller, request: SetOverride) -> OverrideSet:
        """The override of an identifier, made or changed in place; in force at once. Raises NOT_FOUND."""

        def change(tx: Transaction) -> OverrideSet:
            namespace = _selected(tx, caller, request)
            override = self._put_override(tx, caller, namespace, request)
            meta = {"limit": str(override.limit), "duration": str(override.duration_ms)}
            resources = override_resource(override, meta), namespace_resource(namespace)
            Trail(tx, caller, self._ids).add("ratelimit.set_override", f"Set {override.id}", *resources)
            return OverrideSet(override.id)

        return await self._changes.write(caller, change)

    async def get_override(self, caller: Caller, request: SelectOverride) -> OverrideObject:
        """The override with exactly this identifier. Raises BAD_REQUEST without a namespace, NOT_FOUND."""
        refuse_without_namespace(request)

        def find(tx: Transaction) -> OverrideObject:
            return _shown(_override(tx, _selected(tx, caller, request), request.identifier))

        return await self._store.read(find)

    async def list_overrides(self, caller: Caller, request: ListOverrides) -> OverridePage:
        """A page of a namespace's overrides, by id (§0.6). Raises NOT_FOUND."""

        def page(tx: Transaction) -> OverridePage:
            namespace = _selected(tx, caller, request)
            overrides = tx.overrides.page(namespace.id, request.cursor, request.limit)
            cursor = overrides[-1].id if overrides else UNSET
            return OverridePage([_shown(o) for o in overrides], tx.overrides.count(namespace.id), cursor)

        return await self._store.read(page)

    async def delete_override(self, caller: Caller, request: SelectOverride) -> EmptyAnswer:
        """Remove an override; the next decision is without it. Raises BAD_REQUEST without a namespace, NOT_FOUND."""
        refuse_without_namespace(request)

        def remove(tx: Transaction) -> EmptyAnswer:
            namespace = _selected(tx, caller, request)
            override = _override(tx, namespace, request.identifier)
            tx.overrides.delete(namespace, override)
            resources = override_resource(override), namespace_resource(namespace)
            Trail(tx, caller, self._ids).add("ratelimit.delete_override", f"Deleted {override.id}", *resources)
            return EmptyAnswer()

        return await self._changes.write(caller, remove)

    async def list_namespaces(self, caller: Caller, request: ListPage) -> NamespacePage:
        """A page of the workspace's namespaces, by id (§0.6)."""

        def page(tx: Transaction) -> NamespacePage:
            namespaces = tx.namespaces.page(caller.workspace_id, request.cursor, request.limit)
            cursor = namespaces[-1].id if namespaces else UNSET
            total = tx.namespaces.count(caller.workspace_id)
            return NamespacePage([NamespaceObject(n.id, n.name) for n in namespaces], total, cursor)

        return await self._store.read(page)

    def _decide(self, caller: Caller, namespace: LimitedNamespace, request: Limit) -> LimitAnswer:
        """Without a pause between choosing the override and taking: both are of the same instant."""
        if not caller.may(LIMIT_ANYWHERE):
            caller.require(LIMIT_ANYWHERE, f"ratelimit.{namespace.namespace_id}.limit")
        demand = namespace.demand(request.identifier, Allowance(request.limit, request.duration), request.cost)
        (reading,) = self._limiter.take((demand,), caller.now_ms)
        if request.resources:
            self._note(caller, request, passed=reading.accepted)
        return LimitAnswer(reading.accepted, reading.limit, reading.remaining, reading.reset_ms)

    def _note(self, caller: Caller, request: Limit, *, passed: bool) -> None:
        event = "ratelimit.success" if passed else "ratelimit.denied"
        description = f"{'Passed' if passed else 'Denied'} {request.identifier} in {request.namespace}"
        resources = map(_resource, request.resources or ())
        self._afterwards.add(entry_of(caller, self._ids, event, description, resources))

    async def _create_namespace(self, caller: Caller, name: str) -> LimitedNamespace:
        """The namespace, made if it still does not exist. Raises NOT_FOUND, FORBIDDEN: then nothing is made (§4.1)."""
        if not caller.may(CREATE_NAMESPACE):
            raise not_found("namespace", name)
        caller.require(LIMIT_ANYWHERE)
        made = Namespace(self._ids.new(IdPrefix.NAMESPACE, caller.now_ms), caller.workspace_id, name, caller.now_ms)

        def insert_if_missing(tx: Transaction) -> bool:
            # Of several requests at the same time the first one makes it.
            if tx.namespaces.by_name(name, caller.workspace_id) is not None:
                return False
            tx.namespaces.insert(made)
            trail = Trail(tx, caller, self._ids)
            trail.add("ratelimitNamespace.create", f"Created {made.id}", namespace_resource(made))
            return True

        if await self._store.write(insert_if_missing):
            # A slip of the pen in a client makes one too (§9.17): here it can be seen.
            _log.info("namespace_created", workspace_id=made.workspace_id, namespace_id=made.id, name=name)
        namespace = await self._store.find_namespace(caller.workspace_id, name)
        if namespace is None:
            raise not_found("namespace", name)
        return namespace

    def _put_override(self, tx: Transaction, caller: Caller, namespace: Namespace, request: SetOverride) -> Override:
        found = tx.overrides.by_identifier(namespace.id, request.identifier)
        override_id = found.id if found else self._ids.new(IdPrefix.OVERRIDE, caller.now_ms)
        override = Override(
            override_id, namespace.id, request.identifier, request.limit, request.duration, request.async_
        )
        if found:
            tx.overrides.replace(namespace, override)
        else:
            tx.overrides.insert(namespace, override)
        return override


def refuse_without_namespace(request: Selector) -> None:
    """Raise BAD_REQUEST unless a namespace is named. Where it stands in the order of checks differs (§9.6)."""
    if not request.namespace_id and not request.namespace_name:
        raise bad_request("namespaceId or namespaceName is required")


def _selected(tx: Transaction, caller: Caller, request: Selector) -> Namespace:
    """The namespace of the caller's workspace that a request names, by id if it gives one. Raises NOT_FOUND."""
    if request.namespace_id:
        namespace = tx.namespaces.get(request.namespace_id, caller.workspace_id)
    else:
        namespace = tx.namespaces.by_name(request.namespace_name, caller.workspace_id)
    if namespace is None:
        raise not_found("namespace", request.namespace_id or request.namespace_name)
    return namespace


def _override(tx: Transaction, namespace: Namespace, identifier: str) -> Override:
    override = tx.overrides.by_identifier(namespace.id, identifier)
    if override is None:
        raise not_found("override", f"{identifier} in {namespace.name}")
    return override


def _shown(override: Override) -> OverrideObject:
    return OverrideObject(override.id, override.identifier, override.limit, override.duration_ms, override.is_async)


def _resource(resource: LimitedResource) -> AuditResource:
    return AuditResource(resource.type, resource.id, or_none(resource.name), or_none(resource.meta))
