"""Identities: the customers that keys belong to (contract other-v1 §3)."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw, UnsetType

from keystead.contract.fields import compact_json, json_text, utf16_length
from keystead.contract.identities import (
    CreatedIdentity,
    CreateIdentity,
    DeleteIdentity,
    GetIdentity,
    IdentityObject,
    IdentityPage,
    IdentityRatelimit,
    ListedIdentity,
    ListIdentities,
    UpdateIdentity,
)
from keystead.contract.keys import EmptyAnswer, json_object
from keystead.core.entities import AuditResource, Identity, Ratelimit
from keystead.core.ids import IdPrefix
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, identity_resource
from keystead.service.changes import Changes
from keystead.service.failures import bad_request, conflict, not_found
from keystead.service.ids import Ids

META_MAX_UNITS = 64_000


class Identities:
    """The use cases of identities."""

    def __init__(self, store: Store, changes: Changes, ids: Ids) -> None:
        self._store = store
        self._changes = changes
        self._ids = ids

    async def create(self, caller: Caller, request: CreateIdentity) -> CreatedIdentity:
        """A new identity with its ratelimits. Raises CONFLICT for a known external id or a name listed twice."""
        meta = _meta_text(request.meta)
        limits = request.ratelimits or []
        return await self._changes.write(caller, lambda tx: self._create(tx, caller, request.external_id, meta, limits))

    async def get(self, caller: Caller, request: GetIdentity) -> IdentityObject:
        """The identity named by id, else by external id. Raises NOT_FOUND."""
        return await self._store.read(lambda tx: _shown(tx, _selected(tx, caller, request)))

    async def page(self, caller: Caller, request: ListIdentities) -> IdentityPage:
        """A page of the identities of an environment, by id (other-v1 §0.6, §3.3)."""

        def page(tx: Transaction) -> IdentityPage:
            found = tx.identities.page(caller.workspace_id, request.environment, request.cursor, request.limit)
            identities = [ListedIdentity(each.id, each.external_id, _shown_limits(limits)) for each, limits in found]
            total = tx.identities.count(caller.workspace_id, request.environment)
            return IdentityPage(identities, total, identities[-1].id if identities else UNSET)

        return await self._store.read(page)

    async def update(self, caller: Caller, request: UpdateIdentity) -> IdentityObject:
        """Replace what is given; the identity after it (other-v1 §3.4).

        Raises, in this order, BAD_REQUEST without a selector, CONFLICT for a name listed twice, BAD_REQUEST for `meta`
        that is too large, NOT_FOUND.
        """
        refuse_nameless(request)
        _refuse_repeated(request.ratelimits or [])
        meta = _meta_text(request.meta)

        def change(tx: Transaction) -> IdentityObject:
            identity = _selected(tx, caller, request)
            Trail(tx, caller, self._ids).add("identity.update", f"Updated {identity.id}", identity_resource(identity))
            if request.meta is not UNSET:
                identity = msgspec.structs.replace(identity, meta=meta)
                tx.identities.replace(identity)
            if request.ratelimits is not UNSET:
                self._replace_limits(tx, caller, identity, request.ratelimits)
            return _shown(tx, identity)

        return await self._changes.write(caller, change)

    async def delete(self, caller: Caller, request: DeleteIdentity) -> EmptyAnswer:
        """Remove an identity and its ratelimits; its keys stay, without an identity (§3.5). Raises NOT_FOUND."""

        def delete(tx: Transaction) -> EmptyAnswer:
            identity = tx.identities.get(request.identity_id, caller.workspace_id)
            if identity is None:
                raise not_found("identity", request.identity_id)
            trail = Trail(tx, caller, self._ids)
            for limit in tx.identities.limits(identity.id):
                _note(trail, "delete", limit, identity)
            tx.identities.delete(identity)
            trail.add("identity.delete", f"Deleted {identity.id}", identity_resource(identity))
            return EmptyAnswer()

        return await self._changes.write(caller, delete)

    def _create(
        self, tx: Transaction, caller: Caller, external_id: str, meta: str | None, limits: list[IdentityRatelimit]
    ) -> CreatedIdentity:
        _refuse_repeated(limits)
        identity = create_identity(tx, caller, self._ids, external_id, meta)
        self._replace_limits(tx, caller, identity, limits)
        return CreatedIdentity(identity.id)

    def _replace_limits(
        self, tx: Transaction, caller: Caller, identity: Identity, wanted: Iterable[IdentityRatelimit]
    ) -> None:
        """Make the identity's limits exactly these; one that keeps its name keeps its id and place."""
        present = {limit.name: limit for limit in tx.identities.limits(identity.id)}
        trail = Trail(tx, caller, self._ids)
        for limit in wanted:
            old = present.pop(limit.name, None)
            if old is None:
                id_ = self._ids.new(IdPrefix.RATELIMIT, caller.now_ms)
                made = Ratelimit(id_, limit.name, limit.limit, limit.duration)
                tx.identities.put_limit(identity.id, made)
                _note(trail, "create", made, identity)
            elif (old.limit, old.duration_ms) != (limit.limit, limit.duration):
                changed = msgspec.structs.replace(old, limit=limit.limit, duration_ms=limit.duration)
                tx.identities.change_limit(identity.id, changed)
                _note(trail, "update", changed, identity)
        for gone in present.values():
            tx.identities.drop_limit(identity.id, gone.id)
            _note(trail, "delete", gone, identity)


def refuse_nameless(request: GetIdentity | UpdateIdentity) -> None:
    """Raise BAD_REQUEST unless the request names an identity."""
    if request.identity_id is UNSET and request.external_id is UNSET:
        raise bad_request("identityId or externalId is required")


def create_identity(tx: Transaction, caller: Caller, ids: Ids, external_id: str, meta: str | None = None) -> Identity:
    """A new identity of the caller's workspace. Raises CONFLICT when the external id is taken."""
    identity = Identity(ids.new(IdPrefix.IDENTITY, caller.now_ms), caller.workspace_id, external_id, meta=meta)
    tx.identities.insert(identity, caller.now_ms)
    Trail(tx, caller, ids).add("identity.create", f"Created {identity.id}", identity_resource(identity))
    return identity


def find_or_create_identity(tx: Transaction, caller: Caller, ids: Ids, external_id: str) -> Identity:
    """The identity with that external id; made when there is none (keys-v1 §3.4 step 8)."""
    found = tx.identities.by_external_id(external_id, caller.workspace_id)
    return found or create_identity(tx, caller, ids, external_id)


def _selected(tx: Transaction, caller: Caller, request: GetIdentity | UpdateIdentity) -> Identity:
    """The identity named by id, else by external id. Raises NOT_FOUND."""
    if request.identity_id is not UNSET:
        name, found = request.identity_id, tx.identities.get(request.identity_id, caller.workspace_id)
    else:
        name = request.external_id or ""
        found = tx.identities.by_external_id(name, caller.workspace_id)
        if found is not None and isinstance(request, UpdateIdentity) and found.environment != request.environment:
            found = None
    if found is None:
        raise not_found("identity", name)
    return found


def _shown(tx: Transaction, identity: Identity) -> IdentityObject:
    limits = _shown_limits(tx.identities.limits(identity.id))
    return IdentityObject(identity.id, identity.external_id, json_object(identity.meta), limits)


def _shown_limits(limits: Iterable[Ratelimit]) -> list[IdentityRatelimit]:
    return [IdentityRatelimit(limit.name, limit.limit, limit.duration_ms) for limit in limits]


def _note(trail: Trail, verb: str, limit: Ratelimit, identity: Identity) -> None:
    resource = AuditResource("ratelimit", limit.id, limit.name)
    trail.add(f"ratelimit.{verb}", f"{verb.capitalize()}d {limit.id}", resource, identity_resource(identity))


def _refuse_repeated(limits: list[IdentityRatelimit]) -> None:
    names: set[str] = set()
    for limit in limits:
        if limit.name in names:
            raise conflict(f"ratelimit {limit.name} appears twice")
        names.add(limit.name)


def _meta_text(meta: Raw | UnsetType) -> str | None:
    """The `meta` to store. Raises BAD_REQUEST beyond 64 000 UTF-16 units, written compactly."""
    text = json_text(meta)
    if text is None or utf16_length(text) <= META_MAX_UNITS:
        return text
    text = compact_json(text.encode()).decode()
    if utf16_length(text) > META_MAX_UNITS:
        raise bad_request(f"meta: must be at most {META_MAX_UNITS} characters of JSON")
    return text
