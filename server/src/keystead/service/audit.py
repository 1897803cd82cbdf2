"""Audit entries of what callers change (contract keys-v1 Appendix B)."""

import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial

import msgspec
import structlog

from keystead.core.entities import Api, AuditEntry, AuditResource, Identity, Key, Namespace, Override, Permission, Role
from keystead.core.errors import KeysteadError, Reason
from keystead.core.ids import IdPrefix
from keystead.core.pacing import Pace
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.ids import Ids

_log = structlog.get_logger()

KEYSPACE = "keyAuth"
"""What Appendix B calls a keyspace."""


def key_resource(key: Key, meta: dict[str, str] | None = None) -> AuditResource:
    """A key as the object of an entry."""
    return AuditResource("key", key.id, key.name, meta)


def api_resource(api: Api, meta: dict[str, str] | None = None) -> AuditResource:
    """An api as the object of an entry."""
    return AuditResource("api", api.id, api.name, meta)


def identity_resource(identity: Identity) -> AuditResource:
    """An identity as the object of an entry."""
    return AuditResource("identity", identity.id, identity.external_id)


def permission_resource(permission: Permission) -> AuditResource:
    """A permission as the object of an entry."""
    return AuditResource("permission", permission.id, permission.name, {"name": permission.name})


def keyspace_resource(keyspace_id: str) -> AuditResource:
    """A keyspace as the object of an entry."""
    return AuditResource(KEYSPACE, keyspace_id)


def role_resource(role: Role) -> AuditResource:
    """A role as the object of an entry."""
    return AuditResource("role", role.id, role.name, {"name": role.name})


def namespace_resource(namespace: Namespace) -> AuditResource:
    """A namespace of ratelimits as the object of an entry."""
    return AuditResource("ratelimitNamespace", namespace.id, namespace.name)


def override_resource(override: Override, meta: dict[str, str] | None = None) -> AuditResource:
    """An override as the object of an entry."""
    return AuditResource("ratelimitOverride", override.id, override.identifier, meta)


def entry_of(caller: Caller, ids: Ids, event: str, description: str, resources: Iterable[AuditResource]) -> AuditEntry:
    """An entry about what a caller did."""
    origin = caller.origin
    return AuditEntry(
        id=ids.new(IdPrefix.AUDIT_ENTRY, origin.now_ms),
        workspace_id=caller.workspace_id,
        time_ms=origin.now_ms,
        event=event,
        actor_type=caller.actor_type,
        actor_id=caller.key_id,
        description=description,
        resources=tuple(resources),
        location=origin.client_address,
        user_agent=origin.user_agent,
    )


def given_members(request: msgspec.Struct, id_member: str) -> dict[str, str]:
    """Every member that a request gives beside the id of its object, as JSON text, for the object's `meta`."""
    members = msgspec.json.decode(msgspec.json.encode(request), type=dict[str, msgspec.Raw])
    return {name: bytes(text).decode() for name, text in members.items() if name != id_member}


class Trail:
    """Writes a caller's entries into the transaction of the change they describe."""

    def __init__(self, tx: Transaction, caller: Caller, ids: Ids) -> None:
        self._tx = tx
        self._caller = caller
        self._ids = ids

    def add(self, event: str, description: str, *resources: AuditResource) -> None:
        """Add one entry."""
        self._tx.audit.add([self._entry(event, description, resources)])

    def each(self, event: str, changes: Iterable[tuple[str, tuple[AuditResource, ...]]]) -> None:
        """Add one entry for each (description, resources)."""
        self._tx.audit.add([self._entry(event, description, resources) for description, resources in changes])

    def links(self, event: str, pairs: Iterable[tuple[AuditResource, AuditResource]]) -> None:
        """Add one entry for each pair that was connected or disconnected."""
        verb = "Disconnected" if "disconnect" in event else "Connected"
        self._tx.audit.add(
            [self._entry(event, f"{verb} {left.id} and {right.id}", (left, right)) for left, right in pairs]
        )

    def _entry(self, event: str, description: str, resources: tuple[AuditResource, ...]) -> AuditEntry:
        return entry_of(self._caller, self._ids, event, description, resources)


class Afterwards:
    """Entries about what changes nothing: written in the background, in order, while nobody waits for them.

    Whatever has come up while one unit was being written goes into the next one, so a flood of entries costs few
    units. While storage takes no writes up to `max_waiting` entries, of together about `max_characters`, wait in memory
    and are tried again; what comes beyond is lost, counted and logged. `drain` before the store closes: an orderly end
    loses none that can be written.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_waiting: int = 10_000,
        max_characters: int = 64 * 2**20,
        retry_s: float = 1.0,
    ) -> None:
        self._store = store
        self._max_waiting = max_waiting
        self._max_characters = max_characters
        self._retry_s = retry_s
        self._entries: list[AuditEntry] = []
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False
        self._characters = 0  # of what waits; kept while storage takes no writes
        self._draining = asyncio.Event()
        self._loss_pace = Pace()
        self.lost = 0
        """Entries lost since the start."""

    @property
    def waiting(self) -> int:
        """Entries that have not been written yet."""
        return len(self._entries) + self._under_way

    def add(self, entry: AuditEntry) -> None:
        """Take charge of an entry; call on the event loop."""
        if self._is_failing:
            self._characters += _characters(entry)
            if self.waiting >= self._max_waiting or self._characters > self._max_characters:
                self._characters -= _characters(entry)
                self._lose(1, entry.time_ms / 1000)
                return
        self._entries.append(entry)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write())

    async def drain(self) -> None:
        """Return when everything that was added has been written, or is lost because storage takes no writes."""
        self._draining.set()
        while self._task is not None:
            await self._task
        self._draining.clear()

    async def _write(self) -> None:
        try:
            while self._entries:
                entries, self._entries = self._entries, []
                self._under_way = len(entries)
                try:
                    await self._store.write(partial(_append, entries))
                    self._is_failing = False
                except Exception as failure:
                    await self._keep(entries, failure)
                finally:
                    self._under_way = 0
        finally:
            self._task = None

    async def _keep(self, entries: list[AuditEntry], failure: Exception) -> None:
        """Have them tried again, unless this is the end or trying again does not help."""
        known = failure if isinstance(failure, KeysteadError) else None
        if known is None or known.reason is not Reason.UNAVAILABLE or self._draining.is_set():
            self.lost += len(entries)
            # The text of an unexpected failure may repeat what was to be stored.
            error = known.message if known else f"an unexpected failure: {type(failure).__name__}"
            _log.error("audit_entries_lost", entries=len(entries), lost_since_start=self.lost, error=error)
            return
        self._is_failing = True
        self._entries, self._under_way = entries + self._entries, 0
        self._characters = sum(map(_characters, self._entries))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), self._retry_s)

    def _lose(self, entries: int, now_s: float) -> None:
        self.lost += entries
        if self._loss_pace.is_due(now_s):
            _log.error("audit_entries_lost", entries=entries, lost_since_start=self.lost, error="too many are waiting")


def _characters(entry: AuditEntry) -> int:
    """About how long an entry is, with 100 for each resource itself."""
    texts = [entry.description, entry.user_agent or ""]
    for resource in entry.resources:
        texts += (resource.id, resource.type, resource.name or "", str(resource.meta or ""))
    return sum(map(len, texts)) + 100 * len(entry.resources)


def _append(entries: list[AuditEntry], tx: Transaction) -> None:
    tx.audit.add(entries)
