"""The tables of the analytics database, kept apart from keys so that neither waits for the other.

Why counts per hour and no events: docs/adr/2026-11-23-verification-rollups.md. The migrations beside this module make
the same schema; a test compares them.
"""

from pathlib import Path

import sqlalchemy as sa

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0001"

metadata = sa.MetaData()

# SQLite numbers rows by itself only in a column of type INTEGER.
_row_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")

verification_subjects = sa.Table(
    "verification_subjects",
    metadata,
    sa.Column("id", _row_number, primary_key=True),
    sa.Column("workspace_id", sa.Text, nullable=False),
    sa.Column("keyspace_id", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("identity_id", sa.Text, nullable=False),
    sa.Column("external_id", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    # A key never changes its keyspace or workspace, so these need not be part of it.
    sa.UniqueConstraint("key_id", "identity_id", "external_id", "tags", name="verification_subject"),
    sa.Index("verification_subjects_by_keyspace", "keyspace_id"),
)
"""Everything verifications are grouped and filtered by, except their time.

`identity_id` and `external_id` are empty for a key without identity: nulls would never conflict. `tags` is the compact
JSON list, in the order the request gave them, since grouping by tags means the whole list (other-v1 §6.3).
"""

verifications_hourly = sa.Table(
    "verifications_hourly",
    metadata,
    sa.Column("subject_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("hour_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("valid", sa.BigInteger, nullable=False),
    sa.Column("forbidden", sa.BigInteger, nullable=False),
    sa.Column("usage_exceeded", sa.BigInteger, nullable=False),
    sa.Column("rate_limited", sa.BigInteger, nullable=False),
    sa.Column("disabled", sa.BigInteger, nullable=False),
    sa.Column("insufficient_permissions", sa.BigInteger, nullable=False),
    sa.Column("expired", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["subject_id"], ["verification_subjects.id"], name="verifications_hourly_subject"),
    sqlite_with_rowid=False,
)
"""How often each subject was verified with each outcome in the UTC hour that starts at `hour_ms`."""

spool_position = sa.Table(
    "spool_position",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
    sa.Column("segment", sa.BigInteger, nullable=False),
    sa.Column("byte_offset", sa.BigInteger, nullable=False),
)
"""One row: the counts hold exactly what stands before this position of the spool."""
