"""Counts of verifications per subject and hour, and how far the spool is transferred."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

_COUNTERS = (
    "valid",
    "forbidden",
    "usage_exceeded",
    "rate_limited",
    "disabled",
    "insufficient_permissions",
    "expired",
)


def upgrade() -> None:
    """Make the three tables; the position starts before the first segment."""
    op.create_table(
        "verification_subjects",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("workspace_id", sa.Text, nullable=False),
        sa.Column("keyspace_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("identity_id", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.UniqueConstraint("key_id", "identity_id", "external_id", "tags", name="verification_subject"),
    )
    op.create_index("verification_subjects_by_keyspace", "verification_subjects", ["keyspace_id"])
    op.create_table(
        "verifications_hourly",
        sa.Column("subject_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("hour_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(counter, sa.BigInteger, nullable=False) for counter in _COUNTERS),
        sa.ForeignKeyConstraint(["subject_id"], ["verification_subjects.id"], name="verifications_hourly_subject"),
        sqlite_with_rowid=False,
    )
    position = op.create_table(
        "spool_position",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("byte_offset", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(position, [{"id": 1, "segment": 0, "byte_offset": 0}])
