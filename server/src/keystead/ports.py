"""What the services need from the outside, and what each implementation must keep.

Adapters (`stores`, `limiters`, `sinks`) implement these; only `assembly.py` chooses them. Times come in as arguments:
no adapter asks a clock.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from typing import Literal, Protocol, TypeVar

from keystead.core.credits import Spend
from keystead.core.entities import (
    Api,
    AuditEntry,
    DataKey,
    Identity,
    KeptAnswer,
    Key,
    KeyDetails,
    Namespace,
    Override,
    Permission,
    QueuedKey,
    Ratelimit,
    Role,
    Workspace,
)
from keystead.core.overrides import LimitedNamespace
from keystead.core.verify import VerifiableKey
from keystead.core.window import LimitDemand, LimitReading

T = TypeVar("T")

SpendTold = Callable[[Spend | None, Exception | None], None]
"""Takes the outcome of a spend: what was spent (None when the key is gone), or why it could not be tried."""


class Unknown(Enum):
    """Says that it can not be told at once whether something exists."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


class Workspaces(Protocol):
    """The tenants."""

    def get(self, workspace_id: str) -> Workspace | None:
        """The workspace, or None."""

    def insert(self, workspace: Workspace) -> None:
        """Add one."""

    def page(self, after_id: str, limit: int) -> list[Workspace]:
        """Up to `limit` workspaces with an id greater than `after_id`, by id."""

    def count(self) -> int:
        """How many there are."""

    def set_enabled(self, workspace_id: str, enabled: bool) -> None:
        """Enable or disable one; every key of it and every root key for it is affected."""

    def is_empty(self) -> bool:
        """Whether the database has never been used."""


class Apis(Protocol):
    """Apis with their keyspaces; deleted ones are never returned."""

    def get(self, api_id: str, workspace_id: str) -> Api | None:
        """The live api of that workspace, or None."""

    def of_keyspace(self, keyspace_id: str) -> Api | None:
        """The live api a keyspace belongs to, or None."""

    def insert(self, api: Api) -> None:
        """Add an api, and its keyspace if it names one."""

    def replace(self, api: Api) -> None:
        """Store the api's new settings."""

    def delete(self, api: Api, now_ms: int) -> None:
        """Delete the api softly. Its keys are as good as deleted from then on, their records stay."""

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Api]:
        """Up to `limit` apis of the workspace with an id greater than `after_id`, by id."""

    def count(self, workspace_id: str) -> int:
        """How many apis the workspace has."""


class Keys(Protocol):
    """Key records. Every change of one invalidates its cached form when the unit commits."""

    def get(self, key_id: str, workspace_id: str) -> Key | None:
        """The live key of that workspace, or None."""

    def find(self, key_id: str) -> Key | None:
        """The live key, in any workspace, or None."""

    def by_hash(self, hash_: str) -> Key | None:
        """The key with that hash, deleted or not, in any workspace, or None."""

    def by_owner(self, owner_id: str, workspace_id: str) -> list[Key]:
        """The live keys of the workspace whose own owner id is `owner_id`, by id."""

    def page(
        self,
        keyspace_id: str,
        after_id: str,
        limit: int,
        *,
        identity_id: str | None = None,
        owner_id: str | None = None,
        for_workspace_id: str | None = None,
    ) -> list[KeyDetails]:
        """Up to `limit` live keys of the keyspace with an id greater than `after_id`, by id.

        With `identity_id` only that identity's, with `owner_id` only those whose own owner id it is, with
        `for_workspace_id` only the root keys that act for that workspace. Takes a bounded number of statements.
        """

    def count(self, keyspace_id: str, for_workspace_id: str | None = None) -> int:
        """How many live keys the keyspace has, exactly and without counting them.

        Or only the root keys that act for that workspace, which are counted.
        """

    def known_hashes(self, hashes: Sequence[str]) -> set[str]:
        """Those of `hashes` that belong to a key, deleted or not, in any workspace."""

    def is_empty(self, keyspace_id: str) -> bool:
        """Whether the keyspace holds no key, not even a soft-deleted one."""

    def insert(self, key: Key) -> None:
        """Add one. Raises CONFLICT when its hash is known, soft-deleted keys included."""

    def insert_all(self, keys: Sequence[Key]) -> None:
        """Add several. Raises CONFLICT when a hash among them is known or there twice."""

    def replace(self, key: Key) -> None:
        """Store the new state of a live record (matched by id); a deleted one stays as it is."""

    def delete(self, key: Key) -> None:
        """Remove the record and everything that belongs to it; the hash is free again."""

    def delete_some(self, keyspace_id: str, limit: int, now_ms: int) -> list[tuple[str, str | None]]:
        """Delete up to `limit` live keys of the keyspace softly; their ids and names, empty when none was left."""

    def remove_some(self, keyspace_id: str, limit: int) -> list[tuple[str, str | None]]:
        """Remove up to `limit` keys of the keyspace, deleted ones too, as `delete` does; their ids and names."""

    def limits(self, key_id: str) -> list[Ratelimit]:
        """The key-level limits, in order of creation."""

    def put_limit(self, key: Key, limit: Ratelimit) -> None:
        """Add a key-level limit, or replace the one of that name."""

    def drop_limit(self, key: Key, name: str) -> None:
        """Remove the key-level limit of that name, if there is one."""

    def permissions(self, key_id: str) -> list[Permission]:
        """The directly attached permissions, in order of attachment."""

    def roles(self, key_id: str) -> list[Role]:
        """The attached roles, in order of attachment."""

    def connect_permissions(self, key: Key, permission_ids: Iterable[str]) -> None:
        """Attach permissions that are not attached yet."""

    def disconnect_permissions(self, key: Key, permission_ids: Iterable[str]) -> None:
        """Detach permissions."""

    def connect_roles(self, key: Key, role_ids: Iterable[str]) -> None:
        """Attach roles that are not attached yet."""

    def disconnect_roles(self, key: Key, role_ids: Iterable[str]) -> None:
        """Detach roles."""

    def ciphertext(self, key_id: str) -> tuple[str, str] | None:
        """The encrypted secret and the id of its data key, or None when the key is not recoverable."""

    def put_ciphertext(self, key_id: str, ciphertext: str, data_key_id: str) -> None:
        """Keep the encrypted secret of a recoverable key."""


class Permissions(Protocol):
    """Permissions of a workspace; slugs are unique in it and compared exactly."""

    def by_ids(self, workspace_id: str, ids: Sequence[str]) -> dict[str, Permission]:
        """Id → permission, for those of the workspace."""

    def by_slugs(self, workspace_id: str, slugs: Sequence[str]) -> dict[str, Permission]:
        """Slug → permission, for those of the workspace."""

    def by_names(self, workspace_id: str, names: Sequence[str]) -> dict[str, Permission]:
        """Name → permission, for those of the workspace; of several with one name the oldest."""

    def all(self, workspace_id: str) -> list[Permission]:
        """Every permission of the workspace, in order of creation."""

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Permission]:
        """Up to `limit` permissions of the workspace with an id greater than `after_id`, by id."""

    def count(self, workspace_id: str) -> int:
        """How many permissions the workspace has."""

    def insert(self, workspace_id: str, permission: Permission, now_ms: int) -> None:
        """Add one. Raises CONFLICT when the slug is taken."""

    def delete(self, permission_id: str) -> None:
        """Remove one and its links to keys and roles; every key that had it is affected."""


class Roles(Protocol):
    """Roles of a workspace; names are unique in it and compared exactly."""

    def by_ids(self, workspace_id: str, ids: Sequence[str]) -> dict[str, Role]:
        """Id → role, for those of the workspace."""

    def by_names(self, workspace_id: str, names: Sequence[str]) -> dict[str, Role]:
        """Name → role, for those of the workspace."""

    def all(self, workspace_id: str) -> list[Role]:
        """Every role of the workspace, in order of creation."""

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Role]:
        """Up to `limit` roles of the workspace with an id greater than `after_id`, by id."""

    def count(self, workspace_id: str) -> int:
        """How many roles the workspace has."""

    def insert(self, workspace_id: str, role: Role, now_ms: int) -> None:
        """Add one. Raises CONFLICT when the name is taken."""

    def delete(self, role_id: str) -> None:
        """Remove one and its links to keys and permissions; every key that had it is affected."""

    def permissions(self, role_id: str) -> list[Permission]:
        """The role's permissions, in order of attachment."""

    def connect_permissions(self, role_id: str, permission_ids: Iterable[str]) -> None:
        """Attach permissions; every key that has the role is affected."""

    def disconnect_permissions(self, role_id: str, permission_ids: Iterable[str]) -> None:
        """Detach permissions; every key that has the role is affected."""


class Identities(Protocol):
    """Identities of a workspace and their ratelimits."""

    def get(self, identity_id: str, workspace_id: str) -> Identity | None:
        """The identity of that workspace, or None."""

    def by_external_id(self, external_id: str, workspace_id: str) -> Identity | None:
        """The identity with that external id, any environment, or None."""

    def by_external_ids(self, external_ids: Sequence[str], workspace_id: str) -> dict[str, Identity]:
        """External id → identity, any environment, for those of the workspace."""

    def external_ids(self, identity_ids: Sequence[str], workspace_id: str) -> dict[str, str]:
        """Id → external id, for those of the workspace."""

    def page(
        self, workspace_id: str, environment: str, after_id: str, limit: int
    ) -> list[tuple[Identity, list[Ratelimit]]]:
        """Up to `limit` identities of that environment with an id greater than `after_id`, by id, with their limits."""

    def count(self, workspace_id: str, environment: str) -> int:
        """How many identities the workspace has in that environment, exactly and without counting them."""

    def insert(self, identity: Identity, now_ms: int) -> None:
        """Add one. Raises CONFLICT when the external id is taken."""

    def replace(self, identity: Identity) -> None:
        """Store the record's new state (matched by id); every key of the identity is affected."""

    def delete(self, identity: Identity) -> None:
        """Remove one and its limits; its keys stay, without an identity. The external id is free again."""

    def limits(self, identity_id: str) -> list[Ratelimit]:
        """The identity's limits, in order of creation."""

    def put_limit(self, identity_id: str, limit: Ratelimit) -> None:
        """Add a limit; every key of the identity is affected."""

    def change_limit(self, identity_id: str, limit: Ratelimit) -> None:
        """Store a limit's new values (matched by id), in its place; every key of the identity is affected."""

    def drop_limit(self, identity_id: str, limit_id: str) -> None:
        """Remove a limit; every key of the identity is affected."""


class Namespaces(Protocol):
    """Namespaces of ratelimits; names are unique in a workspace and compared exactly."""

    def get(self, namespace_id: str, workspace_id: str) -> Namespace | None:
        """The namespace of that workspace, or None."""

    def by_name(self, name: str, workspace_id: str) -> Namespace | None:
        """The namespace of that name in the workspace, or None."""

    def insert(self, namespace: Namespace) -> None:
        """Add one. Raises CONFLICT when the name is taken."""

    def page(self, workspace_id: str, after_id: str, limit: int) -> list[Namespace]:
        """Up to `limit` namespaces of the workspace with an id greater than `after_id`, by id."""

    def count(self, workspace_id: str) -> int:
        """How many namespaces the workspace has."""


class Overrides(Protocol):
    """Overrides of a namespace; identifiers are unique in it and compared literally.

    A change is in force for the next decision once the unit is committed and acknowledged.
    """

    def by_identifier(self, namespace_id: str, identifier: str) -> Override | None:
        """The override with exactly that identifier, or None."""

    def insert(self, namespace: Namespace, override: Override) -> None:
        """Add one, the youngest of its namespace. Raises CONFLICT when the identifier is taken."""

    def replace(self, namespace: Namespace, override: Override) -> None:
        """Store the override's new state (matched by id); its place in the order of creation stays."""

    def delete(self, namespace: Namespace, override: Override) -> None:
        """Remove it; the identifier is free again."""

    def page(self, namespace_id: str, after_id: str, limit: int) -> list[Override]:
        """Up to `limit` overrides of the namespace with an id greater than `after_id`, by id."""

    def count(self, namespace_id: str) -> int:
        """How many overrides the namespace has."""


class DataKeys(Protocol):
    """The wrapped encryption keys of workspaces."""

    def current(self, workspace_id: str) -> DataKey | None:
        """The one new secrets are sealed with, or None."""

    def get(self, data_key_id: str) -> DataKey | None:
        """The data key, or None."""

    def insert(self, data_key: DataKey) -> None:
        """Add one; it becomes the current one of its workspace."""

    def all(self) -> list[DataKey]:
        """Every data key, by id."""

    def rewrap(self, data_key_id: str, wrapped: str, key_encryption_key_id: str) -> None:
        """Store a data key wrapped anew."""


class QueuedKeys(Protocol):
    """The keys that wait to be imported, first those whose turn comes first, then in the order they were queued."""

    def add(self, queued: Sequence[QueuedKey]) -> None:
        """Put keys at the end of the queue; their `seq` is given here, whatever they say."""

    def due(self, now_ms: int, limit: int) -> list[QueuedKey]:
        """Up to `limit` keys whose turn has come, in order."""

    def next_due_ms(self) -> int | None:
        """The earliest instant at which a key's turn comes; None when none waits."""

    def given_up(self, after_seq: int = 0, limit: int | None = None) -> list[QueuedKey]:
        """The keys that will not be tried again, in order; only those after a `seq`, at most `limit`."""

    def reschedule(self, seq: int, attempts: int, due_at_ms: int | None, error: str | None) -> None:
        """Note what became of an attempt, or start over; `due_at_ms` None gives up."""

    def remove(self, seq: int) -> bool:
        """Take a key out of the queue; whether it was still there."""


class Audit(Protocol):
    """The audit log; entries are only ever added."""

    def add(self, entries: Iterable[AuditEntry]) -> None:
        """Append entries."""

    def of_workspace(self, workspace_id: str) -> list[AuditEntry]:
        """A workspace's entries, oldest first."""


class KeptAnswers(Protocol):
    """Answers of changes, kept for calls that are repeated."""

    def get(self, root_key_id: str, operation: str, idempotency_key_hash: str) -> KeptAnswer | None:
        """The kept answer, however old, or None."""

    def put(self, kept: KeptAnswer) -> None:
        """Keep an answer, in place of an older one of the same call."""

    def drop_older(self, than_ms: int) -> None:
        """Forget a bounded number of answers kept before that instant."""


class Transaction(Protocol):
    """One unit of work: all of it becomes durable together, or none of it. Valid only while the unit runs."""

    @property
    def workspaces(self) -> Workspaces:
        """The tenants."""

    @property
    def apis(self) -> Apis:
        """Apis and keyspaces."""

    @property
    def keys(self) -> Keys:
        """Keys, their limits and links."""

    @property
    def permissions(self) -> Permissions:
        """Permissions."""

    @property
    def roles(self) -> Roles:
        """Roles."""

    @property
    def identities(self) -> Identities:
        """Identities."""

    @property
    def namespaces(self) -> Namespaces:
        """Namespaces of ratelimits."""

    @property
    def overrides(self) -> Overrides:
        """Overrides of ratelimits."""

    @property
    def data_keys(self) -> DataKeys:
        """Encryption keys."""

    @property
    def queued_keys(self) -> QueuedKeys:
        """Keys that wait to be imported."""

    @property
    def kept_answers(self) -> KeptAnswers:
        """Answers kept for repeated calls."""

    @property
    def audit(self) -> Audit:
        """The audit log."""


class Store(Protocol):
    """Where everything but counters and events is kept."""

    def write(self, unit: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run `unit` and answer after its commit.

        Units run one after the other and see each other's changes. When `unit` raises, nothing of it remains and the
        exception is the answer. When this returns, no verification or limit answers from what was before. Raises
        INTERNAL_SERVER_ERROR with reason UNAVAILABLE when storage takes no writes.
        """

    def read(self, query: Callable[[Transaction], T]) -> Awaitable[T]:
        """Run `query` on a consistent snapshot that contains every acknowledged write."""

    def spend(self, key_id: str, cost: int, now_ms: int) -> Awaitable[Spend | None]:
        """Take `cost` credits, exactly and durably; None when the key is gone.

        Refills that are due at `now_ms` are applied first. An accepted spend is answered after its commit, and so is
        every answer that depends on one: it can not be forgotten by a crash.
        """

    def begin_spend(self, key_id: str, cost: int, now_ms: int, then: SpendTold) -> None:
        """As `spend`, but the outcome is told to `then`, later, on the event loop; it must not raise."""

    def find_at_once(self, hash_: str) -> VerifiableKey | Literal[Unknown.UNKNOWN] | None:
        """What can be told without waiting, from memory or from storage inside this process.

        The live key, None when no live key has that hash, or UNKNOWN: await `find`.
        """

    def find(self, hash_: str) -> Awaitable[VerifiableKey | None]:
        """The live key with that hash, from memory or storage; None when there is none."""

    def find_namespace_at_once(
        self, workspace_id: str, name: str
    ) -> LimitedNamespace | Literal[Unknown.UNKNOWN] | None:
        """What can be told without waiting, from memory or from storage inside this process.

        The namespace of that name with its overrides, None when there is none, or UNKNOWN: await `find_namespace`.
        """

    def find_namespace(self, workspace_id: str, name: str) -> Awaitable[LimitedNamespace | None]:
        """The namespace of that name with its overrides, from memory or storage; None when there is none."""


class Limiter(Protocol):
    """Counters of fixed windows."""

    def take(self, demands: Sequence[LimitDemand], now_ms: int) -> list[LimitReading]:
        """Answer every demand, in order; each is evaluated and taken on its own, nothing is rolled back (§4.4).

        Check and take of one demand are atomic.
        """


class VerificationLog(Protocol):
    """Where verification events go. An event is on its way to disk before the answer leaves."""

    def record(self, line: bytes) -> None:
        """Buffer one encoded event."""
