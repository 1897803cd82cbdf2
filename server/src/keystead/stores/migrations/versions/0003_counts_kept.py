"""Exact totals without counting; pages of one customer's keys without looking at the others'.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the counts with what they are now, and replace the indexes."""
    op.add_column("keyspaces", sa.Column("live_keys", sa.BigInteger(), nullable=False, server_default=sa.text("0")))
    op.execute(
        "UPDATE keyspaces SET live_keys = "
        "(SELECT count(*) FROM keys WHERE keys.keyspace_id = keyspaces.id AND keys.deleted_at_ms IS NULL)"
    )
    op.create_table(
        "identity_counts",
        sa.Column("workspace_id", sa.String(length=256), nullable=False),
        sa.Column("environment", sa.String(length=256), nullable=False),
        sa.Column("identities", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name=op.f("fk_identity_counts_workspace_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "environment", name=op.f("pk_identity_counts")),
    )
    op.execute(
        "INSERT INTO identity_counts (workspace_id, environment, identities) "
        "SELECT workspace_id, environment, count(*) FROM identities GROUP BY workspace_id, environment"
    )
    for replaced in ("ix_keys_keyspace_id_id", "ix_keys_workspace_id_owner_id", "ix_keys_identity_id"):
        op.drop_index(replaced, "keys")
    _index_where("deleted_at_ms IS NOT NULL", "ix_keys_deleted", "keyspace_id", "id")
    _index_where("owner_id IS NOT NULL", "ix_keys_owner", "workspace_id", "owner_id", "id")
    _index_where("identity_id IS NOT NULL", "ix_keys_identity", "identity_id", "id")
    _index_where("for_workspace_id IS NOT NULL", "ix_keys_for_workspace", "for_workspace_id", "id")


def _index_where(condition: str, name: str, *columns: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "keys", columns, unique=False, sqlite_where=where, postgresql_where=where)
