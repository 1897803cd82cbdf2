"""Importing keys issued elsewhere: at once, all or nothing, or through the queue (contract other-v1 §5)."""

from collections.abc import Sequence

import msgspec
import structlog
from msgspec import UNSET

from keystead.contract.keys import EmptyAnswer
from keystead.contract.migrations import EnqueueKeys, KeyFromElsewhere, MigratedKey, MigratedKeys
from keystead.core.entities import Api, QueuedKey
from keystead.core.ids import IdPrefix
from keystead.core.secrets import hash_secret, is_hash
from keystead.encryption import SECRET_MAX_BYTES
from keystead.ports import Transaction
from keystead.service.access import Caller
from keystead.service.apis import keyspace_of, live_api
from keystead.service.changes import Changes
from keystead.service.failures import bad_request, conflict, not_found
from keystead.service.ids import Ids
from keystead.service.imported_keys import ImportedKey, attachable, imported_key, insert_imported
from keystead.service.migration_queue import MigrationQueue
from keystead.service.vault import Vault

_log = structlog.get_logger()


class Migrations:
    """The use cases of imports."""

    def __init__(self, changes: Changes, vault: Vault, ids: Ids, queue: MigrationQueue) -> None:
        self._changes = changes
        self._vault = vault
        self._ids = ids
        self._queue = queue

    async def create_keys(self, caller: Caller, request: Sequence[MigratedKey]) -> MigratedKeys:
        """Import keys, all or none; their ids in the order of the request (§5.1).

        Raises PRECONDITION_FAILED for an unknown role or permission; then, item by item, FORBIDDEN, NOT_FOUND or
        PRECONDITION_FAILED for its api, BAD_REQUEST for its content; then CONFLICT for a known hash.
        """
        hashes = [_hash_of_plaintext(item) or _given_hash(item) for item in request]
        made = await self._changes.write(caller, lambda tx: self._create(tx, caller, request, hashes))
        _warn_of_dead(hashes, caller)
        return made

    async def enqueue_keys(self, caller: Caller, request: EnqueueKeys) -> EmptyAnswer:
        """Queue keys of one api; they are imported one by one, soon (§5.2).

        Raises FORBIDDEN, NOT_FOUND for an api that is absent or without a keyspace, BAD_REQUEST for an item's content.
        """
        if any(item.plaintext is not UNSET for item in request.keys):
            caller.require("api.*.encrypt_key", f"api.{request.api_id}.encrypt_key")
        hashes = [_given_hash(item) or _hash_of_plaintext(item) for item in request.keys]
        queued = await self._changes.write(caller, lambda tx: self._enqueue(tx, caller, request, hashes))
        _warn_of_dead(hashes, caller)
        self._queue.wake()
        return queued

    def _create(
        self, tx: Transaction, caller: Caller, request: Sequence[MigratedKey], hashes: Sequence[str]
    ) -> MigratedKeys:
        known = attachable(
            tx,
            caller.workspace_id,
            (name for item in request for name in item.roles or ()),
            (name for item in request for name in item.permissions or ()),
        )
        keyspace_ids = self._keyspaces(tx, caller, request)
        _refuse_known(tx, hashes)
        key_ids = [self._ids.new(IdPrefix.KEY, caller.now_ms) for _ in request]
        sealed = self._sealed(tx, caller, request, key_ids)
        imported = [
            imported_key(
                item,
                key_id,
                hash_,
                external_id=item.external_id or None,
                limit=(item.ratelimit.limit, item.ratelimit.refill_interval) if item.ratelimit else None,
                sealed=sealed.get(key_id),
            )
            for item, key_id, hash_ in zip(request, key_ids, hashes, strict=True)
        ]
        insert_imported(tx, caller, self._ids, list(zip(imported, keyspace_ids, strict=True)), known)
        return MigratedKeys(key_ids)

    def _keyspaces(self, tx: Transaction, caller: Caller, request: Sequence[MigratedKey]) -> list[str]:
        """The keyspace of each item, after its checks in the order of §5.1."""
        apis: dict[str, Api] = {}
        keyspace_ids = []
        for position, item in enumerate(request):
            caller.require("api.*.create_key", f"api.{item.api_id}.create_key")
            if item.api_id not in apis:
                apis[item.api_id] = live_api(tx, item.api_id, caller.workspace_id)
            keyspace_ids.append(keyspace_of(apis[item.api_id]))
            _refuse_content(item, f"item {position}")
        return keyspace_ids

    def _enqueue(self, tx: Transaction, caller: Caller, request: EnqueueKeys, hashes: Sequence[str]) -> EmptyAnswer:
        api = live_api(tx, request.api_id, caller.workspace_id)
        if api.keyspace_id is None:
            raise not_found("keyspace of api", api.id)
        for position, item in enumerate(request.keys):
            _refuse_secretless(item, f"keys.{position}")
        key_ids = [self._ids.new(IdPrefix.KEY, caller.now_ms) for _ in request.keys]
        sealed = self._sealed(tx, caller, request.keys, key_ids)
        imported = [
            imported_key(
                item,
                key_id,
                hash_,
                external_id=None,
                limit=(item.ratelimit.limit, item.ratelimit.duration) if item.ratelimit else None,
                sealed=sealed.get(key_id),
            )
            for item, key_id, hash_ in zip(request.keys, key_ids, hashes, strict=True)
        ]
        tx.queued_keys.add([_queued(caller, request, item) for item in imported])
        return EmptyAnswer()

    def _sealed(
        self, tx: Transaction, caller: Caller, items: Sequence[KeyFromElsewhere], key_ids: Sequence[str]
    ) -> dict[str, tuple[str, str]]:
        """Key id → plaintext sealed for later decryption, whatever the keyspace's setting (§5.1)."""
        plaintexts = {key_id: item.plaintext for item, key_id in zip(items, key_ids, strict=True) if item.plaintext}
        return self._vault.seal_all(tx, caller.workspace_id, plaintexts, caller.now_ms)


def _queued(caller: Caller, request: EnqueueKeys, item: ImportedKey) -> QueuedKey:
    return QueuedKey(
        seq=0,
        workspace_id=caller.workspace_id,
        migration_id=request.migration_id,
        api_id=request.api_id,
        root_key_id=caller.key_id,
        item=msgspec.json.encode(item).decode(),
        created_at_ms=caller.now_ms,
        attempts=0,
        due_at_ms=caller.now_ms,
        error=None,
    )


def _hash_of_plaintext(item: KeyFromElsewhere) -> str:
    return hash_secret(item.plaintext) if item.plaintext else ""


def _given_hash(item: KeyFromElsewhere) -> str:
    return item.hash.value if item.hash else ""


def _refuse_content(item: MigratedKey, where: str) -> None:
    """Raise BAD_REQUEST for what §5.1 refuses beyond the types."""
    if item.refill is not UNSET and item.remaining is UNSET:
        raise bad_request(f"{where}: refill needs remaining, a key without it is unlimited")
    _refuse_secretless(item, where)
    if item.refill and item.refill.interval == "daily" and item.refill.refill_day is not UNSET:
        raise bad_request(f"{where}: refillDay can not be combined with a daily interval")


def _refuse_secretless(item: KeyFromElsewhere, where: str) -> None:
    if not item.plaintext and not _given_hash(item):
        raise bad_request(f"{where}: hash or plaintext is required")
    if item.plaintext and len(item.plaintext.encode()) > SECRET_MAX_BYTES:
        raise bad_request(f"{where}: plaintext must be at most {SECRET_MAX_BYTES} bytes in UTF-8")


def _refuse_known(tx: Transaction, hashes: Sequence[str]) -> None:
    known = tx.keys.known_hashes(hashes)
    for position, hash_ in enumerate(hashes):
        if hash_ in known:
            raise conflict(f"item {position}: a key with this hash already exists")
        known.add(hash_)


def _warn_of_dead(hashes: Sequence[str], caller: Caller) -> None:
    """Say in the log which items can never be verified: whoever imports them hashed them in another way."""
    dead = [position for position, hash_ in enumerate(hashes) if not is_hash(hash_)]
    if dead:
        _log.warning(
            "imported_hashes_never_match",
            hint="expected: standard base64, with padding, of the 32 bytes of SHA-256 of the whole key",
            items=dead,
            workspace_id=caller.workspace_id,
            request_id=caller.origin.request_id,
        )
