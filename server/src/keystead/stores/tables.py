"""The tables of the main database, one definition for every engine.

Instants and durations are milliseconds. `seq` columns give links and limits their order of creation. What belongs to a
key, role, permission or identity goes with it: the foreign keys cascade (keys-v1 §3.3, DECISIONS D10).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Sequence = BigInteger().with_variant(Integer, "sqlite")


def _id(name: str = "id") -> Column[str]:
    return Column(name, String(256), primary_key=True)


def _seq() -> Column[int]:
    return Column("seq", _Sequence, primary_key=True, autoincrement=True)


def _belongs_to(column: str, target: str, **options: bool) -> Column[str]:
    return Column(column, String(256), ForeignKey(target, ondelete="CASCADE"), **options)  # type: ignore[arg-type]


def _index_where(condition: str, name: str, *columns: str) -> Index:
    """An index of the rows that meet a condition."""
    return Index(name, *columns, sqlite_where=text(condition), postgresql_where=text(condition))


workspaces = Table(
    "workspaces",
    metadata,
    _id(),
    Column("name", String(256), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

keyspaces = Table(
    "keyspaces",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("store_encrypted_keys", Boolean, nullable=False),
    Column("default_prefix", String(8)),
    Column("default_bytes", Integer),
    Column("created_at_ms", BigInteger, nullable=False),
    # How many keys are not deleted, kept with every change of them: counting ten million takes seconds.
    Column("live_keys", BigInteger, nullable=False, server_default=text("0")),
)

apis = Table(
    "apis",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("name", String(256), nullable=False),
    Column("keyspace_id", String(256), ForeignKey("keyspaces.id"), unique=True),
    Column("ip_whitelist", Text),  # JSON array of addresses and ranges; null: no restriction
    Column("delete_protection", Boolean, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("deleted_at_ms", BigInteger),
    Index("ix_apis_workspace_id_id", "workspace_id", "id"),
)

identities = Table(
    "identities",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("external_id", String(256), nullable=False),
    Column("environment", String(256), nullable=False),
    Column("meta", Text),  # JSON object
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "external_id"),
    Index("ix_identities_workspace_id_environment_id", "workspace_id", "environment", "id"),
)

identity_counts = Table(
    "identity_counts",
    metadata,
    Column("workspace_id", String(256), ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("environment", String(256), primary_key=True),
    Column("identities", BigInteger, nullable=False),  # how many there are, kept with every change of them
)

keys = Table(
    "keys",
    metadata,
    _id(),
    _belongs_to("keyspace_id", "keyspaces.id", nullable=False),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("for_workspace_id", String(256), ForeignKey("workspaces.id", ondelete="CASCADE")),  # root keys only
    Column("hash", String(256), nullable=False, unique=True),  # base64 of SHA-256; soft-deleted keys keep theirs
    Column("start", String(256), nullable=False),
    Column("name", String(256)),
    Column("owner_id", String(256)),
    Column("identity_id", String(256), ForeignKey("identities.id", ondelete="SET NULL")),
    Column("meta", Text),  # JSON object
    Column("expires_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger),
    Column("deleted_at_ms", BigInteger),
    Column("enabled", Boolean, nullable=False),
    Column("environment", String(256)),
    Column("remaining", BigInteger),  # null: unlimited
    Column("refill_amount", BigInteger),
    Column("refill_day", Integer),  # null with an amount: daily
    Column("last_refill_at_ms", BigInteger),
    Column("refill_considered_at_ms", BigInteger, nullable=False),  # boundaries up to here have been considered
    # Two indexes, so that pages of an api's live keys step over no deleted ones, and each key is in one of them.
    _index_where("deleted_at_ms IS NULL", "ix_keys_live", "keyspace_id", "id"),
    _index_where("deleted_at_ms IS NOT NULL", "ix_keys_deleted", "keyspace_id", "id"),
    # Keys of one customer; they end in the id, so that a page sorts nothing.
    _index_where("owner_id IS NOT NULL", "ix_keys_owner", "workspace_id", "owner_id", "id"),
    _index_where("identity_id IS NOT NULL", "ix_keys_identity", "identity_id", "id"),
    _index_where("for_workspace_id IS NOT NULL", "ix_keys_for_workspace", "for_workspace_id", "id"),
)

data_keys = Table(
    "data_keys",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("wrapped", Text, nullable=False),
    Column("key_encryption_key_id", String(256), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("ix_data_keys_workspace_id", "workspace_id"),
)

encrypted_keys = Table(
    "encrypted_keys",
    metadata,
    Column("key_id", String(256), ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("ciphertext", String(1024), nullable=False),
    Column("data_key_id", String(256), ForeignKey("data_keys.id"), nullable=False),
)

ratelimits = Table(
    "ratelimits",
    metadata,
    _seq(),
    Column("id", String(256), nullable=False, unique=True),
    Column("name", String(256), nullable=False),
    Column("limit", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("auto_apply", Boolean, nullable=False),
    _belongs_to("key_id", "keys.id"),
    _belongs_to("identity_id", "identities.id"),
    UniqueConstraint("key_id", "name"),
    UniqueConstraint("identity_id", "name"),
)

permissions = Table(
    "permissions",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("name", String(512), nullable=False),
    Column("slug", String(128), nullable=False),
    Column("description", String(512)),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "slug"),
)

roles = Table(
    "roles",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("name", String(512), nullable=False),
    Column("description", String(512)),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "name"),
)

keys_permissions = Table(
    "keys_permissions",
    metadata,
    _seq(),
    _belongs_to("key_id", "keys.id", nullable=False),
    _belongs_to("permission_id", "permissions.id", nullable=False),
    UniqueConstraint("key_id", "permission_id"),
    Index("ix_keys_permissions_permission_id", "permission_id"),
)

keys_roles = Table(
    "keys_roles",
    metadata,
    _seq(),
    _belongs_to("key_id", "keys.id", nullable=False),
    _belongs_to("role_id", "roles.id", nullable=False),
    UniqueConstraint("key_id", "role_id"),
    Index("ix_keys_roles_role_id", "role_id"),
)

roles_permissions = Table(
    "roles_permissions",
    metadata,
    _seq(),
    _belongs_to("role_id", "roles.id", nullable=False),
    _belongs_to("permission_id", "permissions.id", nullable=False),
    UniqueConstraint("role_id", "permission_id"),
    Index("ix_roles_permissions_permission_id", "permission_id"),
)

namespaces = Table(
    "namespaces",
    metadata,
    _id(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("name", String(512), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "name"),
)

overrides = Table(
    "overrides",
    metadata,
    _seq(),  # the order of creation decides between wildcards (other-v1 §4.1)
    Column("id", String(256), nullable=False, unique=True),
    _belongs_to("namespace_id", "namespaces.id", nullable=False),
    Column("identifier", String(512), nullable=False),
    Column("limit", BigInteger, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("async", Boolean, nullable=False),
    UniqueConstraint("namespace_id", "identifier"),
)

queued_keys = Table(
    "queued_keys",
    metadata,
    _seq(),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("migration_id", String(256), nullable=False),
    Column("api_id", String(256), nullable=False),
    Column("root_key_id", String(256), nullable=False),  # the actor of the audit entry
    Column("item", Text, nullable=False),  # JSON; a plaintext is replaced by its hash and its ciphertext
    Column("created_at_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at_ms", BigInteger),  # null: given up
    Column("error", Text),
    Index("ix_queued_keys_due_at_ms", "due_at_ms"),
)

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("root_key_id", String(256), primary_key=True),
    Column("operation", String(256), primary_key=True),
    Column("idempotency_key_hash", String(64), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("answer", Text, nullable=False),  # sealed under a key derived from the Idempotency-Key (DECISIONS D15)
    Column("created_at_ms", BigInteger, nullable=False),
    Index("ix_kept_answers_created_at_ms", "created_at_ms"),
)

audit_log = Table(
    "audit_log",
    metadata,
    _seq(),
    Column("id", String(256), nullable=False, unique=True),
    _belongs_to("workspace_id", "workspaces.id", nullable=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("event", String(256), nullable=False),
    Column("actor_type", String(32), nullable=False),
    Column("actor_id", String(256), nullable=False),
    Column("description", Text, nullable=False),
    Column("resources", Text, nullable=False),  # JSON array of {type, id, name?, meta?}
    Column("location", String(256)),
    Column("user_agent", Text),
    Index("ix_audit_log_workspace_id_time_ms", "workspace_id", "time_ms"),
)
