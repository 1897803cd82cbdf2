"""The tests of behaviour against the published client, where it is at hand (`make compare` gets it)."""

import os
import subprocess
from pathlib import Path

import pytest
from benchmarks.client_published import installed_interpreter, published_interpreter

BEHAVIOUR = Path(__file__).with_name("behaviour")


def test_published_client_behaves_as_recorded():
    """The module that ours passes is passed by the published release too, in an environment of its own."""
    asked_for = os.environ.get("KEYSTEAD_COMPARE") == "1"
    interpreter = published_interpreter() if asked_for else installed_interpreter()
    if interpreter is None:
        pytest.skip("the published client is not installed: make compare")
    command = [interpreter, "-m", "pytest", "-c", os.devnull, "--rootdir", BEHAVIOUR, "--confcutdir", BEHAVIOUR]
    more = ["-p", "no:cacheprovider", "--import-mode=importlib", "-q", BEHAVIOUR]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
