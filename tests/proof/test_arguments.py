"""What the commands of the proof take."""

import subprocess
import sys

import pytest
from proof import arguments

NOTHING = [
    ("crash", "--runs=0"),
    ("fuzz", "--cases=-1"),
    ("full_disk", "--seconds=0"),
    ("scale", "--keys=10,none"),
    ("simulation", "--seconds=nan"),
    ("soak", "--clients=0"),
]


@pytest.mark.parametrize(("command", "argument"), NOTHING, ids=lambda value: value)
def test_a_proof_of_nothing_is_refused(command: str, argument: str) -> None:
    """No command ends green without having looked at anything; the message names the argument."""
    ended = subprocess.run([sys.executable, "-m", f"proof.{command}", argument], capture_output=True, text=True)
    assert ended.returncode == 2
    assert f"argument {argument.partition('=')[0]}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_counts_are_sorted() -> None:
    """Sizes are taken in any order."""
    assert arguments.counts("100,10") == (10, 100)
