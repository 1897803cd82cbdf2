"""Counts per day and month beside those per hour, totals over all keys, and how far back each is kept."""

import hashlib
import json
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

_COUNTERS = (
    "valid",
    "forbidden",
    "usage_exceeded",
    "rate_limited",
    "disabled",
    "insufficient_permissions",
    "expired",
)
_DAY_MS = 86_400_000


def upgrade() -> None:
    """Make the new tables and fill them from the counts per hour that are there."""
    _make_names()
    _make_counts()
    kept = op.create_table(
        "counts_kept",
        sa.Column("slice", sa.Text, primary_key=True),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(kept, [{"slice": name, "from_ms": 0} for name in ("hour", "day", "month")])
    _number_tag_lists()
    _carry_over()
    for name in ("verifications_hourly", "verification_subjects", "carried_months"):
        op.drop_table(name)


def _make_names() -> None:
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "counted_keyspaces",
        sa.Column("no", number, primary_key=True),
        sa.Column("keyspace_id", sa.Text, nullable=False),
        sa.UniqueConstraint("keyspace_id", name="counted_keyspace"),
    )
    op.create_table(
        "counted_keys",
        sa.Column("no", number, primary_key=True),
        sa.Column("keyspace_no", sa.BigInteger, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.UniqueConstraint("key_id", name="counted_key"),
    )
    op.create_table(
        "counted_identities",
        sa.Column("no", number, primary_key=True),
        sa.Column("identity_id", sa.Text, nullable=False),
        sa.UniqueConstraint("identity_id", name="counted_identity"),
    )
    op.create_table(
        "counted_tag_lists",
        sa.Column("no", number, primary_key=True),
        sa.Column("keyspace_no", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.UniqueConstraint("keyspace_no", "digest", name="counted_tag_list"),
    )
    op.create_table(
        "counted_tags",
        _key_column("keyspace_no"),
        sa.Column("tag", sa.Text, primary_key=True),
        _key_column("tag_list_no"),
        sqlite_with_rowid=False,
    )
    op.create_index("counted_tags_by_list", "counted_tags", ["tag_list_no"])


def _make_counts() -> None:
    by_key = ("key_no", "identity_no", "tag_list_no")
    _create_counts("verification_counts_hourly", "keyspace_no", "day_ms", *by_key, "slice_ms")
    _create_counts("verification_counts_daily", "keyspace_no", "slice_ms", *by_key)
    _create_counts("verification_counts_monthly", "keyspace_no", "slice_ms", *by_key)
    for length in ("hourly", "daily", "monthly"):
        _create_counts(f"verification_totals_{length}", "keyspace_no", "kind", "slice_ms", "member_no")


def _create_counts(name: str, *key: str) -> None:
    op.create_table(
        name,
        *(_key_column(column) for column in key),
        *(sa.Column(counter, sa.BigInteger, nullable=False) for counter in _COUNTERS),
        sqlite_with_rowid=False,
    )


def _key_column(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def _number_tag_lists() -> None:
    connection = op.get_bind()
    for name, column in (("keyspaces", "keyspace_id"), ("identities", "identity_id")):
        op.execute(
            f"INSERT INTO counted_{name} ({column}) "  # noqa: S608 (constants, here and below)
            f"SELECT DISTINCT {column} FROM verification_subjects WHERE {column} <> ''"
        )
    op.execute(
        "INSERT INTO counted_keys (keyspace_no, key_id) SELECT DISTINCT keyspace.no, subject.key_id "
        "FROM verification_subjects AS subject JOIN counted_keyspaces AS keyspace USING (keyspace_id)"
    )
    lists = connection.execute(
        sa.text(
            "SELECT DISTINCT keyspace.no, subject.tags FROM verification_subjects AS subject "
            "JOIN counted_keyspaces AS keyspace USING (keyspace_id) WHERE subject.tags <> '[]'"
        )
    ).all()
    for keyspace_no, tags in lists:
        number = connection.execute(
            sa.text("INSERT INTO counted_tag_lists (keyspace_no, digest, tags) VALUES (:k, :d, :t) RETURNING no"),
            {"k": keyspace_no, "d": hashlib.sha256(tags.encode()).hexdigest(), "t": tags},
        ).scalar_one()
        for tag in set(json.loads(tags)):
            connection.execute(
                sa.text("INSERT INTO counted_tags (keyspace_no, tag, tag_list_no) VALUES (:k, :t, :n)"),
                {"k": keyspace_no, "t": tag, "n": number},
            )


def _carry_over() -> None:
    connection = op.get_bind()
    months = op.create_table(
        "carried_months",
        sa.Column("day_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("month_ms", sa.BigInteger, nullable=False),
    )
    per_hour = sa.table("verifications_hourly", sa.column("hour_ms", sa.BigInteger)).c
    days = connection.execute(sa.select(per_hour.hour_ms - per_hour.hour_ms % _DAY_MS).distinct())
    op.bulk_insert(months, [{"day_ms": day_ms, "month_ms": _month_of(day_ms)} for (day_ms,) in days])
    counters = ", ".join(_COUNTERS)
    sums = ", ".join(f"SUM({counter})" for counter in _COUNTERS)
    op.execute(
        f"INSERT INTO verification_counts_hourly SELECT keyspace.no, hour_ms - hour_ms % {_DAY_MS}, counted_key.no, "  # noqa: S608
        f"COALESCE(counted_identity.no, 0), COALESCE(list.no, 0), hour_ms, {sums} "
        "FROM verifications_hourly AS old JOIN verification_subjects AS subject ON subject.id = old.subject_id "
        "JOIN counted_keyspaces AS keyspace USING (keyspace_id) JOIN counted_keys AS counted_key USING (key_id) "
        "LEFT JOIN counted_identities AS counted_identity USING (identity_id) "
        "LEFT JOIN counted_tag_lists AS list ON list.keyspace_no = keyspace.no AND list.tags = subject.tags "
        "GROUP BY 1, 2, 3, 4, 5, 6"
    )
    rest = f"key_no, identity_no, tag_list_no, {sums}"
    for length, slice_ms in (("daily", "day_ms"), ("monthly", "month_ms")):
        op.execute(
            f"INSERT INTO verification_counts_{length} SELECT keyspace_no, {slice_ms}, {rest} "  # noqa: S608
            "FROM verification_counts_hourly JOIN carried_months USING (day_ms) GROUP BY 1, 2, 3, 4, 5"
        )
    for length in ("hourly", "daily", "monthly"):
        for kind, member in enumerate(("0", "identity_no", "tag_list_no")):
            op.execute(
                f"INSERT INTO verification_totals_{length} (keyspace_no, kind, slice_ms, member_no, {counters}) "  # noqa: S608
                f"SELECT keyspace_no, {kind}, slice_ms, {member} AS member, {sums} FROM verification_counts_{length} "
                f"WHERE {'identity_no > 0' if kind == 1 else 'true'} GROUP BY keyspace_no, slice_ms, member"
            )


def _month_of(day_ms: int) -> int:
    day = datetime.fromtimestamp(day_ms / 1000, UTC)
    return int(day.replace(day=1).timestamp()) * 1000
