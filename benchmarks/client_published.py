"""An interpreter that has the published client: made once under `benchmarks/.work`, never part of ours.

`python -m benchmarks.client_published` prints its path, or says why there is none.
"""

import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

RELEASE = "unkey.py==0.10.0"
# The same libraries on both sides, or the comparison would be of those.
_SHARED = ("anyio", "h11", "httpcore", "httpx", "pydantic", "pydantic-core", "pytest", "pytest-timeout")
_HOME = Path(__file__).parent / ".work" / "published"
_INTERPRETER = _HOME / "bin" / "python"
_READY = _HOME / "ready"


def published_interpreter() -> Path | None:
    """The interpreter, made on the first call; None, with a line on stderr, when the packages cannot be had."""
    found = installed_interpreter()
    if found is not None:
        return found
    print(f"making a virtual environment with {RELEASE} (once) ...", file=sys.stderr, flush=True)
    venv.create(_HOME, clear=True, with_pip=True)
    pip = [str(_INTERPRETER), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    if subprocess.run([*pip, *_wanted()], check=False, stdout=sys.stderr).returncode != 0:
        print("the published client cannot be installed here (see above): it is left out", file=sys.stderr)
        return None
    _READY.write_text(" ".join(_wanted()))
    return _INTERPRETER


def installed_interpreter() -> Path | None:
    """The interpreter if it has been made before, with the libraries that ours has now."""
    return _INTERPRETER if _READY.exists() and _READY.read_text().split() == _wanted() else None


def _wanted() -> list[str]:
    return [RELEASE, *(f"{name}=={version(name)}" for name in _SHARED)]


if __name__ == "__main__":
    found = published_interpreter()
    if found is None:
        sys.exit(1)
    print(found)
