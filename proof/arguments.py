"""What the commands take: a proof of nothing must not end green."""

from argparse import ArgumentTypeError


def count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ArgumentTypeError(f"{number} is none: at least 1")
    return number


def seconds(text: str) -> float:
    """A duration from a second on."""
    number = float(text)
    if not 1 <= number < float("inf"):
        raise ArgumentTypeError(f"{text} is too short or no number of seconds: at least 1")
    return number


def counts(text: str) -> tuple[int, ...]:
    """Whole numbers from 1 on, with commas between them, each once and ascending."""
    return tuple(sorted({count(part) for part in text.split(",")}))
