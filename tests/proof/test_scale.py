"""The table of scale: it runs on databases it makes, has all its rows, and judges them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from benchmarks import growth
from proof import scale
from proof.scale import Bounds, Row

from keystead.core.secrets import hash_secret


def rows(**changed: dict[int, list[float]]) -> list[Row]:
    """Measurements in which everything costs the same at both sizes; `changed` replaces some."""
    names = [scale.START, *(operation.name for operation in scale.OPERATIONS), scale.MEMORY, scale.CROWDED]
    values = {name: {10: [1.0, 1.0, 1.0], 100: [1.0, 1.0, 1.0]} for name in names} | changed
    return [Row(name, "µs", values[name]) for name in names]


def test_a_small_table_has_all_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two small databases are made by growing, measured by every operation, and left as they were."""
    folders = {size: growth.grown(size, tmp_path) for size in (1_000, 10_000)}
    effort = scale.Effort(rounds=1, warm=64, cold=32, reads=4, pages=2, changes=4, crowd=64, starts=1, working_set=32)
    measured = scale.measure(folders, effort)
    names = [row.name for row in measured]
    assert names == list(dict.fromkeys(names))
    assert {scale.START, scale.MEMORY, scale.CROWDED, *(operation.name for operation in scale.OPERATIONS)} <= set(names)
    for row in measured:
        assert row.values.keys() == folders.keys()
        assert all(value > 0 for values in row.values.values() for value in values), row
        # Nothing may grow with the keys as such; that is tenfold here, and noise is far from it.
        assert row.ratio(10_000) < 8, row
    scale.print_table(measured, sorted(folders))
    table = capsys.readouterr().out
    assert all(name in table for name in names)
    for size, folder in folders.items():
        with closing(sqlite3.connect(folder / "keystead.db")) as connection:
            assert connection.execute("SELECT count(*) FROM keys").fetchone() == (size + 1,)  # and the root key


def test_a_grown_database_is_whole_and_has_the_smaller_ones_keys(tmp_path: Path) -> None:
    """Every key is there with its identity, links and hash, the counts say so, and nothing refers to nothing."""
    growth.grown(20, tmp_path)
    with closing(sqlite3.connect(growth.grown(200, tmp_path) / "keystead.db")) as connection:
        hashes = {row[0] for row in connection.execute("SELECT hash FROM keys WHERE identity_id IS NOT NULL")}
        assert hashes == {hash_secret(growth.secret(number)) for number in range(200)}
        for table in ("identities", "keys_roles"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (200,)
        assert connection.execute("SELECT count(*) FROM keys_permissions").fetchone() == (401,)  # and the root key's
        counted = "SELECT (SELECT live_keys FROM keyspaces WHERE id = 'ks_benchmarks'), identities FROM identity_counts"
        assert connection.execute(counted).fetchall() == [(200, 200)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        (scale.WARM, {10: [1.0, 2.0, 4.0], 100: [1.2, 2.4, 4.8]}, "verify, warm: 1.20 times the smallest"),
        (scale.LATE, {10: [1.0], 100: [1.6]}, "listKeys, last page: 1.60 times the smallest"),
        ("listKeys, first page", {10: [1.0], 100: [1.6]}, "listKeys, first page: 1.60 times the smallest"),
        (scale.START, {10: [2.5], 100: [1.0]}, "start to the first answer: 2.50"),
        (scale.CROWDED, {10: [90.0], 100: [900.0]}, "900.00 µs at 100 keys"),
    ],
)
def test_what_grows_too_much_is_named(name: str, values: dict[int, list[float]], says: str) -> None:
    """Each bound is seen to be overstepped, with the value and the size."""
    (found,) = scale.violations(rows(**{name: values}), Bounds())
    assert says in found
    assert found in scale.summary(rows(**{name: values}), [found], 1.0)


def test_what_stays_is_not_reported() -> None:
    """Equal costs are no violation."""
    assert scale.violations(rows(), Bounds()) == []
    assert scale.summary(rows(), [], 1.0).endswith("no violation")


def test_a_ratio_is_of_the_same_round() -> None:
    """A round in which the whole machine was slow counts for no more than the others."""
    row = Row("", "µs", {10: [1.0, 10.0, 1.0], 100: [1.1, 11.0, 1.1]})
    assert row.ratio(100) == pytest.approx(1.1)
