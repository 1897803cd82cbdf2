"""What the system knows about: the data model (contract keys-v1 Appendix A).

Instants are milliseconds since the Unix epoch, durations milliseconds. `meta` is JSON text, kept verbatim.
"""

from collections.abc import Mapping

import msgspec

from keystead.core.credits import Account


class Workspace(msgspec.Struct, frozen=True):
    """A tenant; a disabled one answers nothing."""

    id: str
    name: str
    enabled: bool
    created_at_ms: int


class Api(msgspec.Struct, frozen=True):
    """An api and the settings of its keyspace. Without a keyspace it can hold no keys.

    `ip_whitelist` holds addresses and ranges; empty means no restriction.
    """

    id: str
    workspace_id: str
    name: str
    created_at_ms: int
    keyspace_id: str | None
    ip_whitelist: tuple[str, ...] = ()
    delete_protection: bool = False
    store_encrypted_keys: bool = False
    default_prefix: str | None = None
    default_bytes: int | None = None


class Identity(msgspec.Struct, frozen=True):
    """A customer of a workspace, named by the caller's `external_id`."""

    id: str
    workspace_id: str
    external_id: str
    environment: str = "default"
    meta: str | None = None


class Ratelimit(msgspec.Struct, frozen=True):
    """A named limit of a key or of an identity; `auto_apply` makes every verification take from it."""

    id: str
    name: str
    limit: int
    duration_ms: int
    auto_apply: bool = False


class Permission(msgspec.Struct, frozen=True):
    """A permission; verification compares `slug`."""

    id: str
    name: str
    slug: str
    description: str | None = None


class Role(msgspec.Struct, frozen=True):
    """A role: a set of permissions under a name."""

    id: str
    name: str
    description: str | None = None


class Key(msgspec.Struct, frozen=True):
    """The record of a key. `for_workspace_id` marks a root key and names the workspace it acts for (§2.1)."""

    id: str
    keyspace_id: str
    workspace_id: str
    hash: str
    start: str
    created_at_ms: int
    for_workspace_id: str | None = None
    name: str | None = None
    owner_id: str | None = None
    identity_id: str | None = None
    meta: str | None = None
    expires_ms: int | None = None
    updated_at_ms: int | None = None
    deleted_at_ms: int | None = None
    enabled: bool = True
    environment: str | None = None
    account: Account = Account()


class KeyDetails(msgspec.Struct, frozen=True):
    """A live key with what a listing shows of it (other-v1 §1.3).

    `permission_slugs` are those of the key, then those of its roles, each once. `ciphertext` is the sealed secret and
    the id of its data key.
    """

    key: Key
    identity: Identity | None
    limits: tuple[Ratelimit, ...]
    role_names: tuple[str, ...]
    permission_slugs: tuple[str, ...]
    ciphertext: tuple[str, str] | None


class QueuedKey(msgspec.Struct, frozen=True):
    """A key that waits to be imported (other-v1 §5.2).

    `seq` is its place in the queue. `item` is JSON without any plaintext. `due_at_ms` None: given up after `attempts`
    attempts, the last of which failed for the reason `error`.
    """

    seq: int
    workspace_id: str
    migration_id: str
    api_id: str
    root_key_id: str
    item: str
    created_at_ms: int
    attempts: int
    due_at_ms: int | None
    error: str | None


class DataKey(msgspec.Struct, frozen=True):
    """A workspace's encryption key, wrapped by the key-encryption key named (keys-v1 §5.5)."""

    id: str
    workspace_id: str
    wrapped: str
    key_encryption_key_id: str
    created_at_ms: int


class Namespace(msgspec.Struct, frozen=True):
    """Where identifiers are limited together; the name is unique in its workspace (other-v1 §4)."""

    id: str
    workspace_id: str
    name: str
    created_at_ms: int


class Override(msgspec.Struct, frozen=True):
    """What holds for the identifiers that match `identifier`, whatever a request says; 0 blocks (other-v1 §4.3).

    `is_async` is only kept to be shown: decisions are always exact.
    """

    id: str
    namespace_id: str
    identifier: str
    limit: int
    duration_ms: int
    is_async: bool = False


class AuditResource(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing an audit entry is about."""

    type: str
    id: str
    name: str | None = None
    meta: Mapping[str, str | bool | int | float | None] | None = None


class AuditEntry(msgspec.Struct, frozen=True):
    """A change, who made it and to what (keys-v1 Appendix B)."""

    id: str
    workspace_id: str
    time_ms: int
    event: str
    actor_type: str
    actor_id: str
    description: str
    resources: tuple[AuditResource, ...]
    location: str | None = None
    user_agent: str | None = None


class KeptAnswer(msgspec.Struct, frozen=True):
    """The answer of a successful change, kept to be replayed when the call is repeated (DECISIONS D15).

    `answer` is sealed under a key derived from the caller's `Idempotency-Key`, of which only a hash is here.
    """

    root_key_id: str
    operation: str
    idempotency_key_hash: str
    request_hash: str
    answer: str
    created_at_ms: int
