"""Long lists of values for statements, whose parameters are bounded (SQLite: 32 766 unless built otherwise)."""

from collections.abc import Iterable, Iterator

_BATCH = 500


def batches(values: Iterable[str]) -> Iterator[list[str]]:
    """The values, each once and in order, a bounded number at a time; nothing for none."""
    unique = list(dict.fromkeys(values))
    for start in range(0, len(unique), _BATCH):
        yield unique[start : start + _BATCH]
