"""What a strict type checker makes of programs that use the client."""

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_programs_pass_a_strict_checker(tmp_path):
    """A user's program and the documentation's examples pass mypy --strict, and misuse does not."""
    page = (HERE.parents[1] / "examples" / "keys-sdk.md").read_text()
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)):
        (tmp_path / f"example_{number}.py").write_text(example)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "--config-file="]
    checked = subprocess.run(
        [*command, str(HERE / "typing" / "program.py"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "no issues found in 15 source files" in checked.stdout, checked.stdout + checked.stderr
