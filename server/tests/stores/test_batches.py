"""Long lists of values, in the portions that statements take."""

import pytest

from keystead.stores.sql.batches import batches

SMALLEST_LIMIT = 999  # of SQLite before 3.32; one parameter is the workspace
LENGTHS = [0, 1, 997, 998, 999, 1000, 1001, 3000, 100_000]


@pytest.mark.parametrize("length", LENGTHS)
def test_batches(length: int) -> None:
    """Every value comes once and in order, and no portion is more than a statement takes."""
    values = [f"id_{number}" for number in range(length)]
    portions = list(batches(values + values[::-1]))
    assert [value for portion in portions for value in portion] == values
    assert all(0 < len(portion) < SMALLEST_LIMIT for portion in portions)
