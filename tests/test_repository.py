"""What holds for everything that is committed."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Put together from parts, so that this file does not find itself.
REGISTRIES = re.compile(r"(pypi|pythonhosted|debian)[.]org|registry[.]npmjs")
MACHINE_PATHS = re.compile(
    "|".join(f"/{top}/{below}" for top, below in [("work", "(main|shared|[.]lib)"), ("root", "[.]")])
)


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINE_PATHS], ids=["registry hosts", "machine paths"])
def test_nothing_names_a_registry_or_this_machine(pattern: re.Pattern[str]):
    """No committed file names a package registry's host or a path of the machine it was written on."""
    found = [str(path) for path in committed() if pattern.search(path.read_text(errors="replace"))]
    assert not found


def test_requirements_are_pinned_with_hashes():
    """Every requirement names one version and its hashes, and no place it was downloaded from."""
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert files
    for path in files:
        text = path.read_text()
        assert "://" not in text, path
        lines = text.splitlines()
        for line, following in zip(lines, [*lines[1:], ""], strict=True):
            if line and not line.startswith((" ", "#")):
                assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ; .+)? \\", line), line
                assert following.startswith("    --hash=sha256:"), line
