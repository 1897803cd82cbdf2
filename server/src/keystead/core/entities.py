"""What the system knows about: the data model (contract keys-v1 Appendix A).

Instants are milliseconds since the Unix epoch, durations milliseconds. `meta` is JSON text, kept verbatim.
"""

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


class DataKey(msgspec.Struct, frozen=True):
    """A workspace's encryption key, wrapped by the key-encryption key named (keys-v1 §5.5)."""

    id: str
    workspace_id: str
    wrapped: str
    key_encryption_key_id: str
    created_at_ms: int


class AuditResource(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing an audit entry is about."""

    type: str
    id: str
    name: str | None = None
    meta: dict[str, str] | None = None


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
