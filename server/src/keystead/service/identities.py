"""Identities: the customers that keys belong to (contract other-v1 §3)."""

from keystead.contract.fields import compact_json, given, json_text, utf16_length
from keystead.contract.identities import (
    CreatedIdentity,
    CreateIdentity,
    GetIdentity,
    IdentityObject,
    IdentityRatelimit,
)
from keystead.contract.keys import json_object
from keystead.core.entities import Identity, Ratelimit
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.ids import IdPrefix
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, identity_resource
from keystead.service.failures import bad_request, not_found
from keystead.service.ids import Ids

META_MAX_UNITS = 64_000


class Identities:
    """The use cases of identities."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    async def create(self, caller: Caller, request: CreateIdentity) -> CreatedIdentity:
        """A new identity with its ratelimits. Raises CONFLICT for a known external id or a name listed twice."""
        meta = _meta_text(request)
        limits = request.ratelimits or []
        return await self._store.write(lambda tx: self._create(tx, caller, request.external_id, meta, limits))

    async def get(self, caller: Caller, request: GetIdentity) -> IdentityObject:
        """The identity named by id, else by external id. Raises NOT_FOUND."""

        def find(tx: Transaction) -> IdentityObject:
            if given(request.identity_id):
                name, identity = request.identity_id, tx.identities.get(request.identity_id, caller.workspace_id)  # type: ignore[arg-type]
            else:
                name = request.external_id
                identity = tx.identities.by_external_id(request.external_id, caller.workspace_id)  # type: ignore[arg-type]
            if identity is None:
                raise not_found("identity", str(name))
            limits = tx.identities.limits(identity.id)
            return IdentityObject(
                identity.id,
                identity.external_id,
                json_object(identity.meta),
                [IdentityRatelimit(limit.name, limit.limit, limit.duration_ms) for limit in limits],
            )

        return await self._store.read(find)

    def _create(
        self, tx: Transaction, caller: Caller, external_id: str, meta: str | None, limits: list[IdentityRatelimit]
    ) -> CreatedIdentity:
        _refuse_repeated(limits)
        identity = create_identity(tx, caller, self._ids, external_id, meta)
        trail = Trail(tx, caller, self._ids)
        for wanted in limits:
            limit = Ratelimit(
                self._ids.new(IdPrefix.RATELIMIT, caller.now_ms), wanted.name, wanted.limit, wanted.duration
            )
            tx.identities.put_limit(identity.id, limit)
            trail.add("ratelimit.create", f"Created {limit.id}", identity_resource(identity))
        return CreatedIdentity(identity.id)


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


def _refuse_repeated(limits: list[IdentityRatelimit]) -> None:
    names: set[str] = set()
    for limit in limits:
        if limit.name in names:
            raise KeysteadError(ErrorCode.CONFLICT, f"ratelimit {limit.name} appears twice")
        names.add(limit.name)


def _meta_text(request: CreateIdentity) -> str | None:
    """The `meta` to store. Raises BAD_REQUEST beyond 64 000 UTF-16 units, written compactly."""
    text = json_text(request.meta)
    if text is None or utf16_length(text) <= META_MAX_UNITS:
        return text
    text = compact_json(text.encode()).decode()
    if utf16_length(text) > META_MAX_UNITS:
        raise bad_request(f"meta: must be at most {META_MAX_UNITS} characters of JSON")
    return text
