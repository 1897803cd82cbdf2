"""Ratelimit namespaces and overrides, queued imports, kept answers; listing live keys and identities.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "kept_answers",
        sa.Column("root_key_id", sa.String(length=256), nullable=False),
        sa.Column("operation", sa.String(length=256), nullable=False),
        sa.Column("idempotency_key_hash", sa.String(length=64), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("root_key_id", "operation", "idempotency_key_hash", name=op.f("pk_kept_answers")),
    )
    op.create_index("ix_kept_answers_created_at_ms", "kept_answers", ["created_at_ms"], unique=False)
    op.create_table(
        "namespaces",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_namespaces_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_namespaces")),
        sa.UniqueConstraint("workspace_id", "name", name=op.f("uq_namespaces_workspace_id_name")),
    )
    op.create_table(
        "queued_keys",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("migration_id", sa.String(length=256), nullable=False),
        sa.Column("api_id", sa.String(length=256), nullable=False),
        sa.Column("root_key_id", sa.String(length=256), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_queued_keys_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_queued_keys")),
    )
    op.create_index("ix_queued_keys_due_at_ms", "queued_keys", ["due_at_ms"], unique=False)
    op.create_table(
        "overrides",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("namespace_id", sa.String(length=256), nullable=False),
        sa.Column("identifier", sa.String(length=512), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("async", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace_id"], ["namespaces.id"], name=op.f("fk_overrides_namespace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_overrides")),
        sa.UniqueConstraint("id", name=op.f("uq_overrides_id")),
        sa.UniqueConstraint("namespace_id", "identifier", name=op.f("uq_overrides_namespace_id_identifier")),
    )
    op.create_index(
        "ix_identities_workspace_id_environment_id", "identities", ["workspace_id", "environment", "id"], unique=False
    )
    op.create_index(
        "ix_keys_live",
        "keys",
        ["keyspace_id", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at_ms IS NULL"),
        postgresql_where=sa.text("deleted_at_ms IS NULL"),
    )
