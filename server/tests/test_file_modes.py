"""What is stored is for the operator alone: nobody else on the machine may open any of it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess

OF_THE_TEST = {"server.log"}


@pytest.fixture
def _careless() -> Iterator[None]:
    """A process that hides nothing of what it makes, unless it asks for it."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Path → permission bits, of everything in the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.name not in OF_THE_TEST:
            found[str(path.relative_to(folder))] = oct(stat.S_IMODE(path.lstat().st_mode))
    return found


def wanted(folder: Path) -> dict[str, str]:
    return {name: oct(0o700 if (folder / name).is_dir() else 0o600) for name in modes(folder)}


@pytest.mark.usefixtures("_careless")
def test_what_a_server_makes(tmp_path: Path) -> None:
    """Database, log beside it, analytics, spool, counters, lock, control socket and key file are the owner's alone."""
    with ServerProcess(tmp_path) as server:
        with Connection(server.url, server.root_key) as connection:
            api_id = connection.post("apis.createApi", {"name": "private", "storeEncryptedKeys": True}).json["apiId"]
            made = connection.post("keys.createKey", {"apiId": api_id, "recoverable": True}).json
            assert connection.post("keys.verifyKey", {"key": made["key"]}).json["code"] == "VALID"
            asked = {"namespace": "n", "identifier": "i", "limit": 1, "duration": 60_000}
            assert connection.post("ratelimits.limit", asked).status == 200
        running = modes(tmp_path)
        assert running == wanted(tmp_path)
    expected = {"keystead.db", "keystead.db-wal", "keystead.db.lock", "keystead.db.sock", "keystead-spool"}
    expected |= {"keystead-analytics.db", "keystead-encryption-keys"}
    assert expected <= running.keys()
    assert any(name.startswith("keystead-spool/") for name in running)
    assert modes(tmp_path) == wanted(tmp_path)


@pytest.mark.usefixtures("_careless")
def test_what_a_command_makes(tmp_path: Path) -> None:
    """A command on a database that no server has open leaves nothing that others may open."""
    command = [sys.executable, "-m", "keystead", "root-key", "create", "--name", "n", "--permission", "*", "--json"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    subprocess.run(command, cwd=tmp_path, env=inherited, check=True, capture_output=True, timeout=60)
    assert "keystead.db" in modes(tmp_path)
    assert modes(tmp_path) == wanted(tmp_path)


def test_what_was_copied_here_is_warned_of(tmp_path: Path) -> None:
    """A database that others may open, as one restored from a backup may be, is named in the log with what to do."""
    with ServerProcess(tmp_path):
        pass
    (tmp_path / "keystead.db").chmod(0o644)
    (tmp_path / "server.log").unlink()
    with ServerProcess(tmp_path):
        pass
    warnings = [line for line in (tmp_path / "server.log").read_text().splitlines() if "open_to_others" in line]
    assert len(warnings) == 1
    assert f"chmod go= {tmp_path / 'keystead.db'}" in warnings[0]
