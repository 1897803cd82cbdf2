"""The use cases of keys (contract keys-v1 §3)."""

from collections.abc import Iterable

import msgspec
from msgspec import UNSET

from keystead.contract.apis import KeyPage, ListKeys
from keystead.contract.fields import given, json_text, or_none
from keystead.contract.keys import (
    ChangedRatelimit,
    ChangePermissions,
    ChangeRoles,
    CreatedKey,
    CreateKey,
    DeleteKey,
    EmptyAnswer,
    GetKey,
    NamedObject,
    NewRatelimit,
    Refill,
    RemainingAnswer,
    UpdateKey,
    UpdateRemaining,
    Whoami,
    WhoamiAnswer,
)
from keystead.contract.keys import KeyObject as KeyAnswer
from keystead.core.credits import Account, changed, with_balance
from keystead.core.entities import Api, AuditResource, Key, Permission, Ratelimit, Role
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.ids import IdPrefix
from keystead.core.refills import refill_entry, with_refill
from keystead.core.secrets import DEFAULT_BYTE_LENGTH, hash_secret, new_secret, start_of
from keystead.core.verify import DEFAULT_LIMIT
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.apis import keyspace_of, live_api
from keystead.service.audit import KEYSPACE, Trail, given_members, key_resource
from keystead.service.changes import Changes
from keystead.service.failures import bad_request, not_found, precondition_failed
from keystead.service.identities import find_or_create_identity
from keystead.service.ids import Ids
from keystead.service.key_answers import key_answer, listed_key, whoami_answer
from keystead.service.links import (
    CREATE_PERMISSION,
    CREATE_ROLE,
    Wanted,
    permissions_of_key,
    refuse_all_empty,
    roles_of_key,
    wanted_permissions,
    wanted_roles,
)
from keystead.service.vault import Vault

_RECORD_MEMBERS = ("name", "external_id", "owner_id", "meta", "expires", "remaining", "refill", "enabled")
"""Members of updateKey that write the key record itself, and so its `updatedAt` (§3.16)."""


class Keys:
    """Creating, reading, changing and deleting keys."""

    def __init__(self, store: Store, changes: Changes, vault: Vault, ids: Ids) -> None:
        self._store = store
        self._changes = changes
        self._vault = vault
        self._ids = ids

    async def get(self, caller: Caller, request: GetKey) -> KeyAnswer:
        """The key object (§3.1). Raises NOT_FOUND, then FORBIDDEN."""

        def find(tx: Transaction) -> KeyAnswer:
            key, api = live_key(tx, request.key_id, caller)
            caller.require("api.*.read_key", f"api.{api.id}.read_key")
            plaintext = None
            if request.decrypt:
                caller.require("api.*.decrypt_key", f"api.{api.id}.decrypt_key")
                plaintext = self._vault.recover(tx, key)
            return key_answer(tx, with_refill(key, caller.now_ms), api, plaintext)

        return await self._store.read(find)

    async def of_api(self, caller: Caller, request: ListKeys) -> KeyPage:
        """A page of an api's keys, by id (other-v1 §1.3). Raises NOT_FOUND, PRECONDITION_FAILED, then FORBIDDEN."""

        def page(tx: Transaction) -> KeyPage:
            api = live_api(tx, request.api_id, caller.workspace_id)
            keyspace_id = keyspace_of(api)
            identity_id = None
            if request.external_id is not UNSET:
                identity = tx.identities.by_external_id(request.external_id, caller.workspace_id)
                if identity is None:
                    return KeyPage([], 0)
                identity_id = identity.id
            if request.decrypt:
                caller.require("api.*.decrypt_key", f"api.{api.id}.decrypt_key")
            # The external id beats the older filter.
            owner_id = or_none(request.owner_id) if identity_id is None else None
            found = tx.keys.page(keyspace_id, request.cursor, request.limit, identity_id=identity_id, owner_id=owner_id)
            plaintexts = self._vault.recover_all(tx, found) if request.decrypt else {}
            keys = [listed_key(details, api, plaintexts.get(details.key.id), caller.now_ms) for details in found]
            return KeyPage(keys, tx.keys.count(keyspace_id), keys[-1].id if keys else UNSET)

        return await self._store.read(page)

    async def whoami(self, caller: Caller, request: Whoami) -> WhoamiAnswer:
        """What is known about the key with that secret (§3.2). Raises NOT_FOUND, then FORBIDDEN."""
        hash_ = hash_secret(request.key)

        def find(tx: Transaction) -> WhoamiAnswer:
            key = tx.keys.by_hash(hash_)
            if key is not None and not _is_visible(key, caller):
                key = None
            # Only now: a key of others costs what none costs, not a statement more.
            api = tx.apis.of_keyspace(key.keyspace_id) if key else None
            if key is None or api is None:
                # The message must not repeat the secret.
                raise KeysteadError(ErrorCode.NOT_FOUND, "Key not found")
            caller.require("api.*.read_key", f"api.{api.id}.read_key")
            return whoami_answer(tx, with_refill(key, caller.now_ms))

        return await self._store.read(find)

    async def delete(self, caller: Caller, request: DeleteKey) -> EmptyAnswer:
        """Delete a key, softly or for good (§3.3). Raises NOT_FOUND, then FORBIDDEN."""

        def remove(tx: Transaction) -> EmptyAnswer:
            key, api = live_key(tx, request.key_id, caller)
            caller.require("api.*.delete_key", f"api.{api.id}.delete_key")
            if request.permanent:
                tx.keys.delete(key)
            else:
                tx.keys.replace(msgspec.structs.replace(key, deleted_at_ms=caller.now_ms, updated_at_ms=caller.now_ms))
            Trail(tx, caller, self._ids).add("key.delete", f"Deleted {key.id}", key_resource(key))
            return EmptyAnswer()

        return await self._changes.write(caller, remove)

    async def create(self, caller: Caller, request: CreateKey) -> CreatedKey:
        """A new key and its secret (§3.4). Raises NOT_FOUND, PRECONDITION_FAILED, BAD_REQUEST, FORBIDDEN."""
        return await self._changes.write(caller, lambda tx: self._create(tx, caller, request))

    async def update(self, caller: Caller, request: UpdateKey) -> EmptyAnswer:
        """Change what is given, all or nothing (§3.6). Raises NOT_FOUND, FORBIDDEN, BAD_REQUEST."""

        def change(tx: Transaction) -> EmptyAnswer:
            key, api = live_key(tx, request.key_id, caller)
            caller.require("api.*.update_key", f"api.{api.id}.update_key")
            self._update(tx, caller, key, request)
            return EmptyAnswer()

        return await self._changes.write(caller, change)

    async def update_remaining(self, caller: Caller, request: UpdateRemaining) -> RemainingAnswer:
        """Set, raise or lower a balance; the new one (§3.7). Raises NOT_FOUND, FORBIDDEN, BAD_REQUEST."""

        def change(tx: Transaction) -> RemainingAnswer:
            key, api = live_key(tx, request.key_id, caller)
            caller.require("api.*.update_key", f"api.{api.id}.update_key")
            key = self._apply_refill(tx, key, caller)
            account = changed(key.account, request.op, request.value, caller.now_ms)
            key = msgspec.structs.replace(key, account=account, updated_at_ms=caller.now_ms)
            tx.keys.replace(key)
            description = f"Changed the remaining credits of {key.id} to {account.remaining}"
            keyspace = AuditResource(KEYSPACE, key.keyspace_id)
            Trail(tx, caller, self._ids).add("key.update", description, keyspace, key_resource(key))
            return RemainingAnswer(account.remaining)

        return await self._changes.write(caller, change)

    async def add_permissions(self, caller: Caller, request: ChangePermissions) -> list[NamedObject]:
        """Attach permissions; all that are attached then (§3.9). Raises NOT_FOUND, FORBIDDEN."""
        wanted = wanted_permissions(request.permissions)

        def change(tx: Transaction) -> list[NamedObject]:
            key, _ = live_key(tx, request.key_id, caller)
            return _named(permissions_of_key(tx, key, caller, self._ids).add(wanted, [CREATE_PERMISSION]))

        return await self._changes.write(caller, change)

    async def remove_permissions(self, caller: Caller, request: ChangePermissions) -> EmptyAnswer:
        """Detach permissions (§3.10). Raises NOT_FOUND for the key."""
        wanted = wanted_permissions(request.permissions)

        def change(tx: Transaction) -> EmptyAnswer:
            key, _ = live_key(tx, request.key_id, caller)
            permissions_of_key(tx, key, caller, self._ids).remove(wanted)
            return EmptyAnswer()

        return await self._changes.write(caller, change)

    async def set_permissions(self, caller: Caller, request: ChangePermissions) -> list[NamedObject]:
        """Make the direct permissions exactly the selected ones (§3.11). Raises NOT_FOUND, FORBIDDEN, BAD_REQUEST."""
        wanted = wanted_permissions(request.permissions)

        def change(tx: Transaction) -> list[NamedObject]:
            key, _ = live_key(tx, request.key_id, caller)
            refuse_all_empty("permissions", wanted)
            return _named(permissions_of_key(tx, key, caller, self._ids).replace(wanted, [CREATE_PERMISSION]))

        return await self._changes.write(caller, change)

    async def add_roles(self, caller: Caller, request: ChangeRoles) -> list[NamedObject]:
        """Attach roles; all that are attached then (§3.12). Raises NOT_FOUND, FORBIDDEN."""
        wanted = wanted_roles(request.roles)

        def change(tx: Transaction) -> list[NamedObject]:
            key, _ = live_key(tx, request.key_id, caller)
            # The first server asked for create_permission here by a slip; root keys made for it keep working (Q5).
            return _named(roles_of_key(tx, key, caller, self._ids).add(wanted, [CREATE_ROLE, CREATE_PERMISSION]))

        return await self._changes.write(caller, change)

    async def remove_roles(self, caller: Caller, request: ChangeRoles) -> EmptyAnswer:
        """Detach roles (§3.13). Raises NOT_FOUND for the key."""
        wanted = wanted_roles(request.roles)

        def change(tx: Transaction) -> EmptyAnswer:
            key, _ = live_key(tx, request.key_id, caller)
            roles_of_key(tx, key, caller, self._ids).remove(wanted)
            return EmptyAnswer()

        return await self._changes.write(caller, change)

    async def set_roles(self, caller: Caller, request: ChangeRoles) -> list[NamedObject]:
        """Make the roles exactly the selected ones (§3.14). Raises NOT_FOUND, FORBIDDEN, BAD_REQUEST."""
        wanted = wanted_roles(request.roles)

        def change(tx: Transaction) -> list[NamedObject]:
            key, _ = live_key(tx, request.key_id, caller)
            refuse_all_empty("roles", wanted)
            return _named(roles_of_key(tx, key, caller, self._ids).replace(wanted, [CREATE_ROLE]))

        return await self._changes.write(caller, change)

    # createKey, in the order of §3.4

    def _create(self, tx: Transaction, caller: Caller, request: CreateKey) -> CreatedKey:
        api = live_api(tx, request.api_id, caller.workspace_id)
        keyspace_id = keyspace_of(api)
        if request.recoverable and not api.store_encrypted_keys:
            raise precondition_failed(f"recoverable keys are not enabled for api {api.id}")
        account = _first_account(request, caller.now_ms)
        limit = None if request.ratelimit is UNSET else self._first_limit(request.ratelimit, caller.now_ms)
        if request.recoverable:
            caller.require("api.*.encrypt_key", f"api.{api.id}.encrypt_key")
        secret, start = self._new_secret(request, api)
        key = self._new_record(tx, caller, request, keyspace_id, hash_secret(secret), start, account)
        tx.keys.insert(key)
        if limit is not None:
            tx.keys.put_limit(key, limit)
        if request.recoverable:
            self._vault.keep(tx, key, secret, caller.now_ms)
        keyspace = AuditResource(KEYSPACE, key.keyspace_id)
        Trail(tx, caller, self._ids).add("key.create", f"Created {key.id}", key_resource(key), keyspace)
        if request.permissions:
            wanted = [Wanted(None, slug, create=True) for slug in request.permissions]
            permissions_of_key(tx, key, caller, self._ids).add(wanted, [CREATE_PERMISSION])
        if request.roles:
            wanted = [Wanted(None, name, create=True) for name in request.roles]
            roles_of_key(tx, key, caller, self._ids).add(wanted, [CREATE_ROLE])
        return CreatedKey(key.id, secret)

    def _new_secret(self, request: CreateKey, api: Api) -> tuple[str, str]:
        """The secret and its start."""
        requested = "" if request.prefix is UNSET else request.prefix
        prefix = (api.default_prefix or "") if request.prefix is UNSET else requested
        byte_length = api.default_bytes or DEFAULT_BYTE_LENGTH
        if request.byte_length is not UNSET:
            byte_length = request.byte_length
        secret = new_secret(prefix, byte_length, self._ids.random)
        return secret, start_of(secret, requested)

    def _new_record(
        self,
        tx: Transaction,
        caller: Caller,
        request: CreateKey,
        keyspace_id: str,
        hash_: str,
        start: str,
        account: Account,
    ) -> Key:
        owner_id = request.owner_id if request.external_id is UNSET else request.external_id
        identity = find_or_create_identity(tx, caller, self._ids, owner_id) if owner_id is not UNSET else None
        return Key(
            id=self._ids.new(IdPrefix.KEY, caller.now_ms),
            keyspace_id=keyspace_id,
            workspace_id=caller.workspace_id,
            hash=hash_,
            start=start,
            created_at_ms=caller.now_ms,
            name=or_none(request.name),
            owner_id=or_none(owner_id),
            identity_id=identity.id if identity else None,
            meta=json_text(request.meta),
            # 0 is "not set" (Q23).
            expires_ms=or_none(request.expires) or None,
            enabled=request.enabled,
            environment=or_none(request.environment),
            account=account,
        )

    def _first_limit(self, wanted: NewRatelimit, now_ms: int) -> Ratelimit:
        duration_ms = wanted.refill_interval if wanted.duration is UNSET else wanted.duration
        if duration_ms is UNSET:
            raise bad_request("ratelimit.duration: Required")
        return self._default_limit(wanted.limit, duration_ms, now_ms)

    def _default_limit(self, limit: int, duration_ms: int, now_ms: int) -> Ratelimit:
        return Ratelimit(self._ids.new(IdPrefix.RATELIMIT, now_ms), DEFAULT_LIMIT, limit, duration_ms, auto_apply=True)

    # updateKey, §3.6

    def _update(self, tx: Transaction, caller: Caller, key: Key, request: UpdateKey) -> None:
        _refuse_contradictions(request)
        if any(given(getattr(request, member)) for member in _RECORD_MEMBERS):
            key = self._changed_record(tx, caller, self._apply_refill(tx, key, caller), request)
            tx.keys.replace(key)
        if request.ratelimit is None:
            tx.keys.drop_limit(key, DEFAULT_LIMIT)
        elif request.ratelimit is not UNSET:
            tx.keys.put_limit(key, self._changed_limit(tx, key, request.ratelimit, caller.now_ms))
        trail = Trail(tx, caller, self._ids)
        trail.add("key.update", f"Updated {key.id}", key_resource(key, given_members(request, "keyId")))
        if request.permissions is not UNSET:
            wanted = wanted_permissions(request.permissions)
            refuse_all_empty("permissions", wanted)
            permissions_of_key(tx, key, caller, self._ids).replace(wanted, [CREATE_PERMISSION])
        if request.roles is not UNSET:
            wanted = wanted_roles(request.roles)
            refuse_all_empty("roles", wanted)
            roles_of_key(tx, key, caller, self._ids).replace(wanted, [CREATE_ROLE])

    def _changed_record(self, tx: Transaction, caller: Caller, key: Key, request: UpdateKey) -> Key:
        changes: dict[str, object] = {"updated_at_ms": caller.now_ms}
        if request.name is not UNSET:
            changes["name"] = request.name
        owner_id = request.owner_id if request.external_id is UNSET else request.external_id
        if owner_id is None:
            changes |= {"owner_id": None, "identity_id": None}
        elif owner_id is not UNSET:
            identity = find_or_create_identity(tx, caller, self._ids, owner_id)
            changes |= {"owner_id": owner_id, "identity_id": identity.id}
        if request.meta is not UNSET:
            changes["meta"] = json_text(request.meta)
        if request.expires is not UNSET:
            changes["expires_ms"] = request.expires or None
        if request.enabled is not UNSET:
            changes["enabled"] = request.enabled
        changes["account"] = _changed_account(key.account, request, caller.now_ms)
        return msgspec.structs.replace(key, **changes)

    def _changed_limit(self, tx: Transaction, key: Key, wanted: ChangedRatelimit, now_ms: int) -> Ratelimit:
        duration_ms = wanted.refill_interval if wanted.duration is UNSET else wanted.duration
        present = next((limit for limit in tx.keys.limits(key.id) if limit.name == DEFAULT_LIMIT), None)
        if present is not None:
            kept_ms = present.duration_ms if duration_ms is UNSET else duration_ms
            return msgspec.structs.replace(present, limit=wanted.limit, duration_ms=kept_ms)
        if duration_ms is UNSET:
            raise bad_request("ratelimit.duration: Required")
        return self._default_limit(wanted.limit, duration_ms, now_ms)

    def _apply_refill(self, tx: Transaction, key: Key, caller: Caller) -> Key:
        """The key with a due refill made durable, before anything changes its balance (§4.5)."""
        refilled = with_refill(key, caller.now_ms)
        if refilled is not key:
            tx.keys.replace(refilled)
            tx.audit.add([refill_entry(refilled, self._ids.new(IdPrefix.AUDIT_ENTRY, caller.now_ms))])
        return refilled


def live_key(tx: Transaction, key_id: str, caller: Caller) -> tuple[Key, Api]:
    """The key of the caller's workspace and its api. Raises NOT_FOUND."""
    key = tx.keys.get(key_id, caller.workspace_id)
    api = tx.apis.of_keyspace(key.keyspace_id) if key else None
    if key is None or api is None:
        raise not_found("key", key_id)
    return key, api


def _is_visible(key: Key, caller: Caller) -> bool:
    return key.deleted_at_ms is None and key.for_workspace_id is None and key.workspace_id == caller.workspace_id


def _named(items: Iterable[Permission | Role]) -> list[NamedObject]:
    return [NamedObject(item.id, item.name) for item in items]


def _first_account(request: CreateKey, now_ms: int) -> Account:
    """The credits of a new key. Raises BAD_REQUEST (§3.4 step 6)."""
    if request.remaining is UNSET:
        if request.refill is not UNSET:
            raise bad_request("refill: needs remaining, a key without it is unlimited")
        return Account(considered_at_ms=now_ms)
    if request.remaining <= 0:
        raise bad_request("remaining: Number must be greater than 0, leave it out for an unlimited key")
    account = Account(remaining=request.remaining, considered_at_ms=now_ms)
    if request.refill is UNSET:
        return account
    refill_day = _refill_day(request.refill)
    return msgspec.structs.replace(
        account, refill_amount=request.refill.amount, refill_day=refill_day, last_refill_at_ms=now_ms
    )


def _changed_account(account: Account, request: UpdateKey, now_ms: int) -> Account:
    """The credits after updateKey, from an account already refilled."""
    if request.remaining is not UNSET:
        account = with_balance(account, request.remaining, now_ms)
    if request.refill is None:
        return msgspec.structs.replace(account, refill_amount=None, refill_day=None, last_refill_at_ms=None)
    if request.refill is UNSET:
        return account
    return msgspec.structs.replace(
        account,
        refill_amount=request.refill.amount,
        refill_day=_refill_day(request.refill),
        # Never earlier: a boundary that was considered by a call of a later instant is not due again.
        considered_at_ms=max(now_ms, account.considered_at_ms),
    )


def _refuse_contradictions(request: UpdateKey) -> None:
    if isinstance(request.refill, Refill):
        if request.remaining is None:
            raise bad_request("a refill needs a limited key")
        _refill_day(request.refill)


def _refill_day(refill: Refill) -> int | None:
    """The stored day: None for daily, 1 to 31 for monthly. Raises BAD_REQUEST for a day with daily."""
    if refill.interval == "monthly":
        return 1 if refill.refill_day is UNSET else refill.refill_day
    if refill.refill_day is not UNSET:
        raise bad_request("refillDay can not be combined with a daily interval")
    return None
