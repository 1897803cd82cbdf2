"""The README tells the truth."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from keystead.testing.server import ServerInProcess

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_it_opens_with_the_two_commands():
    """`make serve` and `make test` are the first commands a reader meets, and the Makefile has them."""
    commands = re.findall(r"```console\n(.*?)\n```", README, re.DOTALL)
    assert commands[:2] == ["make serve", "make test"]


def test_every_make_target_it_names_exists():
    """No target of the README is missing from the Makefile."""
    named = set(re.findall(r"`make (\w+)`", README)) | set(re.findall(r"^make (\w+)$", README, re.MULTILINE))
    assert named
    makefile = (ROOT / "Makefile").read_text()
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`keystead ([a-z -]+?)(?: [A-Z]+| --[^`]*)?`", README))))
def test_every_command_it_names_exists(command: str):
    """Each `keystead` command of the README answers to --help."""
    words = [sys.executable, "-m", "keystead", *shlex.split(command), "--help"]
    assert subprocess.run(words, capture_output=True).returncode == 0


def test_every_link_leads_somewhere():
    """Relative links name files of the repository."""
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_curl_lines_run(tmp_path):
    """The first key of the README can be made as written, with only ids and keys replaced."""
    block = next(b for b in re.findall(r"```console\n(.*?)\n```", README, re.DOTALL) if "curl" in b)
    _, create_api, create_key, verify = block.split("\n\n")
    with ServerInProcess(tmp_path) as server:
        setup = f"export KEYSTEAD_URL={server.url} ROOT_KEY={server.root_key}\n"
        api_id = run(setup + create_api)["apiId"]
        key = run(setup + create_key.replace("api_...", api_id))["key"]
        assert run(setup + verify.replace('"..."', f'"{key}"'))["valid"] is True


def test_the_python_lines_run(tmp_path, capsys):
    """The Python example of the README runs as written, with only ids and the server's URL replaced."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with ServerInProcess(tmp_path) as server:
        setup = f"export KEYSTEAD_URL={server.url} ROOT_KEY={server.root_key}\n"
        block = next(b for b in re.findall(r"```console\n(.*?)\n```", README, re.DOTALL) if "curl" in b)
        api_id = run(setup + block.split("\n\n")[1])["apiId"]
        replaced = code.replace("<root key>", server.root_key).replace("<api>", api_id)
        exec(replaced.replace("http://127.0.0.1:3000", server.url), {})
    assert capsys.readouterr().out.strip().splitlines()[-1] == "True"


def run(script: str) -> dict:
    import json

    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
