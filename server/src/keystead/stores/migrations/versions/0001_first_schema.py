"""The first schema.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "workspaces",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=256), nullable=False),
        sa.Column("actor_type", sa.String(length=32), nullable=False),
        sa.Column("actor_id", sa.String(length=256), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("resources", sa.Text(), nullable=False),
        sa.Column("location", sa.String(length=256), nullable=True),
        sa.Column("user_agent", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_audit_log_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("id", name=op.f("uq_audit_log_id")),
    )
    op.create_index("ix_audit_log_workspace_id_time_ms", "audit_log", ["workspace_id", "time_ms"], unique=False)
    op.create_table(
        "data_keys",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("wrapped", sa.Text(), nullable=False),
        sa.Column("key_encryption_key_id", sa.String(length=256), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_data_keys_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_keys")),
    )
    op.create_index("ix_data_keys_workspace_id", "data_keys", ["workspace_id"], unique=False)
    op.create_table(
        "identities",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("external_id", sa.String(length=256), nullable=False),
        sa.Column("environment", sa.String(length=256), nullable=False),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_identities_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("workspace_id", "external_id", name=op.f("uq_identities_workspace_id_external_id")),
    )
    op.create_table(
        "keyspaces",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("store_encrypted_keys", sa.Boolean(), nullable=False),
        sa.Column("default_prefix", sa.String(length=8), nullable=True),
        sa.Column("default_bytes", sa.Integer(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_keyspaces_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keyspaces")),
    )
    op.create_table(
        "permissions",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("slug", sa.String(length=128), nullable=False),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_permissions_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permissions")),
        sa.UniqueConstraint("workspace_id", "slug", name=op.f("uq_permissions_workspace_id_slug")),
    )
    op.create_table(
        "roles",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("description", sa.String(length=512), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_roles_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_roles")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_roles_workspace_id_name")),
    )
    op.create_table(
        "apis",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("keyspace_id", sa.String(length=256), nullable=True),
        sa.Column("ip_whitelist", sa.Text(), nullable=True),
        sa.Column("delete_protection", sa.Boolean(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["keyspace_id"], ["keyspaces.id"], name=op.f("fk_apis_keyspace_id")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_apis_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_apis")),
        sa.UniqueConstraint("keyspace_id", name=op.f("uq_apis_keyspace_id")),
    )
    op.create_index("ix_apis_workspace_id_id", "apis", ["workspace_id", "id"], unique=False)
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("keyspace_id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("for_workspace_id", sa.String(length=256), nullable=True),
        sa.Column("hash", sa.String(length=256), nullable=False),
        sa.Column("start", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=True),
        sa.Column("owner_id", sa.String(length=256), nullable=True),
        sa.Column("identity_id", sa.String(length=256), nullable=True),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("deleted_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("environment", sa.String(length=256), nullable=True),
        sa.Column("remaining", sa.BigInteger(), nullable=True),
        sa.Column("refill_amount", sa.BigInteger(), nullable=True),
        sa.Column("refill_day", sa.Integer(), nullable=True),
        sa.Column("last_refill_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("refill_considered_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["for_workspace_id"], ["workspaces.id"], name=op.f("fk_keys_for_workspace_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.id"], name=op.f("fk_keys_identity_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["keyspace_id"], ["keyspaces.id"], name=op.f("fk_keys_keyspace_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_keys_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_keys_hash")),
    )
    op.create_index(
        "ix_keys_identity_id",
        "keys",
        ["identity_id"],
        unique=False,
        sqlite_where=sa.text("identity_id IS NOT NULL"),
        postgresql_where=sa.text("identity_id IS NOT NULL"),
    )
    op.create_index("ix_keys_keyspace_id_id", "keys", ["keyspace_id", "id"], unique=False)
    op.create_index(
        "ix_keys_workspace_id_owner_id",
        "keys",
        ["workspace_id", "owner_id"],
        unique=False,
        sqlite_where=sa.text("owner_id IS NOT NULL"),
        postgresql_where=sa.text("owner_id IS NOT NULL"),
    )
    op.create_table(
        "roles_permissions",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("role_id", sa.String(length=256), nullable=False),
        sa.Column("permission_id", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(
            ["permission_id"],
            ["permissions.id"],
            name=op.f("fk_roles_permissions_permission_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["roles.id"], name=op.f("fk_roles_permissions_role_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_roles_permissions")),
        sa.UniqueConstraint("role_id", "permission_id", name=op.f("uq_roles_permissions_role_id_permission_id")),
    )
    op.create_index("ix_roles_permissions_permission_id", "roles_permissions", ["permission_id"], unique=False)
    op.create_table(
        "encrypted_keys",
        sa.Column("key_id", sa.String(length=256), nullable=False),
        sa.Column("ciphertext", sa.String(length=1024), nullable=False),
        sa.Column("data_key_id", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(["data_key_id"], ["data_keys.id"], name=op.f("fk_encrypted_keys_data_key_id")),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_encrypted_keys_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_encrypted_keys")),
    )
    op.create_table(
        "keys_permissions",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key_id", sa.String(length=256), nullable=False),
        sa.Column("permission_id", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_keys_permissions_key_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["permission_id"],
            ["permissions.id"],
            name=op.f("fk_keys_permissions_permission_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_keys_permissions")),
        sa.UniqueConstraint("key_id", "permission_id", name=op.f("uq_keys_permissions_key_id_permission_id")),
    )
    op.create_index("ix_keys_permissions_permission_id", "keys_permissions", ["permission_id"], unique=False)
    op.create_table(
        "keys_roles",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("key_id", sa.String(length=256), nullable=False),
        sa.Column("role_id", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_keys_roles_key_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["role_id"], ["roles.id"], name=op.f("fk_keys_roles_role_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_keys_roles")),
        sa.UniqueConstraint("key_id", "role_id", name=op.f("uq_keys_roles_key_id_role_id")),
    )
    op.create_index("ix_keys_roles_role_id", "keys_roles", ["role_id"], unique=False)
    op.create_table(
        "ratelimits",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("auto_apply", sa.Boolean(), nullable=False),
        sa.Column("key_id", sa.String(length=256), nullable=True),
        sa.Column("identity_id", sa.String(length=256), nullable=True),
        sa.ForeignKeyConstraint(
            ["identity_id"], ["identities.id"], name=op.f("fk_ratelimits_identity_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_ratelimits_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ratelimits")),
        sa.UniqueConstraint("id", name=op.f("uq_ratelimits_id")),
        sa.UniqueConstraint("identity_id", "name", name=op.f("uq_ratelimits_identity_id_name")),
        sa.UniqueConstraint("key_id", "name", name=op.f("uq_ratelimits_key_id_name")),
    )
