"""The schema of the analytics database, kept apart from keys so that neither waits for the other.

Why counts per hour, day and month and no events: docs/adr/2026-11-23-verification-rollups.md. The migrations beside
this module make the same schema; a test compares them.

Keyspaces, keys, identities and lists of tags are numbered once, so that a row of counts is small integers. The number 0
stands for no identity and for the empty list. `slice_ms` is the start of the hour, day or month (UTC).
"""

from pathlib import Path

import sqlalchemy as sa

from keystead.core.series import COUNTED_OUTCOMES, Slice

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0002"

metadata = sa.MetaData()

COUNTERS = tuple(outcome.lower() for outcome in COUNTED_OUTCOMES)
"""The columns with the counts, one per outcome."""

# SQLite numbers rows by itself only in a column of type INTEGER.
_row_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _key_column(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _counts(name: str, *key: str) -> sa.Table:
    """A table of counts. The order of `key` is the order on disk."""
    return sa.Table(
        name,
        metadata,
        *(_key_column(column) for column in key),
        *(sa.Column(counter, sa.BigInteger, nullable=False) for counter in COUNTERS),
        sqlite_with_rowid=False,
    )


keyspaces = sa.Table(
    "counted_keyspaces",
    metadata,
    sa.Column("no", _row_number, primary_key=True),
    sa.Column("keyspace_id", sa.Text, nullable=False),
    sa.UniqueConstraint("keyspace_id", name="counted_keyspace"),
)

keys = sa.Table(
    "counted_keys",
    metadata,
    sa.Column("no", _row_number, primary_key=True),
    sa.Column("keyspace_no", sa.BigInteger, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    # A key never changes its keyspace.
    sa.UniqueConstraint("key_id", name="counted_key"),
)

identities = sa.Table(
    "counted_identities",
    metadata,
    sa.Column("no", _row_number, primary_key=True),
    sa.Column("identity_id", sa.Text, nullable=False),
    sa.UniqueConstraint("identity_id", name="counted_identity"),
)

tag_lists = sa.Table(
    "counted_tag_lists",
    metadata,
    sa.Column("no", _row_number, primary_key=True),
    sa.Column("keyspace_no", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    # By a digest, because ten long tags are more than PostgreSQL takes into an index.
    sa.UniqueConstraint("keyspace_no", "digest", name="counted_tag_list"),
)
"""Lists as compact JSON, in the order of the request: grouping by `tags` means the whole list (other-v1 §6.3)."""

tags = sa.Table(
    "counted_tags",
    metadata,
    _key_column("keyspace_no"),
    sa.Column("tag", sa.Text, primary_key=True),
    _key_column("tag_list_no"),
    sa.Index("counted_tags_by_list", "tag_list_no"),
    sqlite_with_rowid=False,
)
"""Which lists carry a tag."""

# The day comes before the key, so that a round of the transfer, which is of one time, touches few pages; for one key
# that costs a look-up a day.
counts_hourly = _counts(
    "verification_counts_hourly", "keyspace_no", "day_ms", "key_no", "identity_no", "tag_list_no", "slice_ms"
)
counts_daily = _counts("verification_counts_daily", "keyspace_no", "slice_ms", "key_no", "identity_no", "tag_list_no")
counts_monthly = _counts(
    "verification_counts_monthly", "keyspace_no", "slice_ms", "key_no", "identity_no", "tag_list_no"
)

BY_KEY = {Slice.HOUR: counts_hourly, Slice.DAY: counts_daily, Slice.MONTH: counts_monthly}
"""Counts of each key, identity and list of tags."""

OF_KEYSPACE, OF_IDENTITY, OF_TAG_LIST = 0, 1, 2
"""What a total is of. The member is 0, the identity or the list; events without identity have no total of that kind."""

totals_hourly = _counts("verification_totals_hourly", "keyspace_no", "kind", "slice_ms", "member_no")
totals_daily = _counts("verification_totals_daily", "keyspace_no", "kind", "slice_ms", "member_no")
totals_monthly = _counts("verification_totals_monthly", "keyspace_no", "kind", "slice_ms", "member_no")

TOTALS = {Slice.HOUR: totals_hourly, Slice.DAY: totals_daily, Slice.MONTH: totals_monthly}
"""The same events again, all keys together: a keyspace's series must not cost what its keys number."""

retention = sa.Table(
    "counts_kept",
    metadata,
    sa.Column("slice", sa.Text, primary_key=True),
    sa.Column("from_ms", sa.BigInteger, nullable=False),
)
"""For `hour`, `day` and `month`: slices that start before are gone, though their rows may still await deletion."""

spool_position = sa.Table(
    "spool_position",
    metadata,
    sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="one_row"), primary_key=True),
    sa.Column("segment", sa.BigInteger, nullable=False),
    sa.Column("byte_offset", sa.BigInteger, nullable=False),
)
"""One row: the counts hold exactly what stands before this position of the spool."""
