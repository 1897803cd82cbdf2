"""`keystead serve` as an operator meets it: it starts, refuses in one clear line, and works with the command line."""

import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from keystead import assembly
from keystead.config import Settings
from keystead.core.errors import StartupError
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import ServerInProcess, ServerProcess

ROOT_KEY = "a_root_key_of_the_operators_own_choice"


def keystead(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    return subprocess.run(
        [sys.executable, "-m", "keystead", *arguments],
        cwd=folder,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def refusal(folder: Path, *arguments: str, **environment: str) -> str:
    """The one line with which `keystead serve` refuses to start."""
    done = keystead(folder, "serve", "--port", "0", "--log-level", "warning", *arguments, **environment)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def offline(folder: Path, command: str, **arguments: Any) -> Any:
    """What a command makes in a database that no server has open, without a process of its own."""
    with assembly.offline(Settings(database_url=str(folder / "keystead.db"))) as perform:
        return perform(command, arguments)


def refusal_in_process(folder: Path, root_key: str) -> str:
    """Why a server with this root key in its settings does not start."""
    with pytest.raises(StartupError) as caught, ServerInProcess(folder, root_key=root_key):
        pass
    return str(caught.value)


def make(folder: Path, *arguments: str) -> Any:
    """The answer of a command that prints JSON."""
    done = keystead(folder, *arguments, "--json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@contextlib.contextmanager
def served(folder: Path, *arguments: str, **environment: str) -> Iterator[ServerProcess]:
    """A server in `folder`; it has to end with 0."""
    server = ServerProcess(folder, *arguments, **environment).start()
    try:
        yield server
    finally:
        assert server.stop() == 0


def call(server: ServerProcess, operation: str, members: Any, root_key: str | None = None) -> Answer:
    with Connection(server.url, root_key or server.root_key) as client:
        return client.post(operation, members)


def workspace_of(server: ServerProcess, root_key: str) -> str:
    """The workspace in which a root key makes things."""
    with Connection(server.url, root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        workspace_id = client.get("apis.getApi", apiId=api_id).json["workspaceId"]
    assert isinstance(workspace_id, str)
    return workspace_id


# Root keys


def test_the_first_start_prints_a_root_key_once(tmp_path: Path) -> None:
    """The first start prints a root key for everything; later ones print none, and the first still works."""
    with served(tmp_path) as server:
        root_key = server.root_key
        assert call(server, "apis.createApi", {"name": "first"}).status == 200
    again = ServerProcess(tmp_path)
    with again:
        assert again.root_key == ""
        assert call(again, "apis.createApi", {"name": "second"}, root_key).status == 200


def test_a_workspace_made_before_does_not_replace_the_first_root_key(tmp_path: Path) -> None:
    """A server without any root key prints one when it starts, also when its database is not empty."""
    offline(tmp_path, "workspace.create", name="acme")
    with served(tmp_path) as server:
        assert call(server, "apis.createApi", {"name": "test"}).status == 200


def test_a_first_start_that_fails_late_is_made_up_for(tmp_path: Path) -> None:
    """A first start that got as far as making the database, and no further, has not used up the first root key."""
    (tmp_path / "keystead-spool").touch(0o600)
    assert "verification log" in refusal(tmp_path)
    (tmp_path / "keystead-spool").unlink()
    with served(tmp_path) as server:
        assert call(server, "apis.createApi", {"name": "test"}).status == 200


def test_a_root_key_that_nobody_can_read_is_not_made(tmp_path: Path) -> None:
    """A first start that can not print its root key says so and makes none; the next one prints one that works."""
    with open("/dev/full", "w") as full:
        failed = subprocess.run(
            [sys.executable, "-m", "keystead", "serve", "--port", "0", "--log-level", "warning"],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: The first root key can not be printed to standard output: No space left")
    assert "Traceback" not in failed.stderr
    with served(tmp_path) as server:
        assert call(server, "apis.createApi", {"name": "test"}).status == 200


def test_a_root_key_made_before_the_first_start_is_enough(tmp_path: Path) -> None:
    """Who has made a root key already is not given another one."""
    root_key = offline(tmp_path, "root-key.create", name="mine", permissions=["*"])["key"]
    with served(tmp_path) as server:
        assert server.root_key == ""
        assert call(server, "apis.createApi", {"name": "test"}, root_key).status == 200


def test_the_root_key_of_the_environment(tmp_path: Path) -> None:
    """KEYSTEAD_ROOT_KEY is made when it is missing, may be given again, and is never printed."""
    for number in range(2):
        with served(tmp_path, KEYSTEAD_ROOT_KEY=ROOT_KEY) as server:
            assert call(server, "apis.createApi", {"name": f"test {number}"}, ROOT_KEY).status == 200
            assert workspace_of(server, ROOT_KEY) == "ws_default"
    assert ROOT_KEY not in (tmp_path / "server.log").read_text()
    # Added to a database that has been in use for long.
    with served(tmp_path, KEYSTEAD_ROOT_KEY=ROOT_KEY + "_2") as server:
        assert call(server, "apis.createApi", {"name": "test"}, ROOT_KEY + "_2").status == 200
        assert call(server, "apis.createApi", {"name": "test"}, ROOT_KEY).status == 200


def _change(sql: str) -> Callable[[Path, str], None]:
    def change(folder: Path, key_id: str) -> None:
        with sqlite3.connect(folder / "keystead.db") as connection:
            assert connection.execute(sql, {"id": key_id, "now": 1}).rowcount == 1
        connection.close()

    return change


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_change("UPDATE keys SET deleted_at_ms = :now WHERE id = :id"), "is revoked"),
        (_change("UPDATE keys SET enabled = 0 WHERE id = :id"), "is disabled"),
        (_change("UPDATE keys SET expires_ms = :now WHERE id = :id"), "has expired"),
        (_change("UPDATE keys SET for_workspace_id = NULL WHERE id = :id"), "is not a root key"),
        (_change("UPDATE keys SET remaining = 5 WHERE id = :id"), "has limited credits"),
        (_change("DELETE FROM keys_permissions WHERE key_id = :id"), "lacks the permission *"),
    ],
    ids=["revoked", "disabled", "expired", "ordinary", "limited", "weaker"],
)
def test_a_spoilt_root_key_of_the_environment_is_refused(
    tmp_path: Path, spoil: Callable[[Path, str], None], why: str
) -> None:
    """When KEYSTEAD_ROOT_KEY is no longer what it promises, the server refuses to start, says why and mends nothing."""
    made = offline(tmp_path, "root-key.create", name="mine", permissions=["*"])
    spoil(tmp_path, made["keyId"])
    said = refusal_in_process(tmp_path, made["key"])
    assert f"KEYSTEAD_ROOT_KEY ({made['keyId']}) {why}" in said
    assert made["key"] not in said
    assert refusal_in_process(tmp_path, made["key"]) == said


def test_a_lesser_root_key_in_the_environment_is_refused(tmp_path: Path) -> None:
    """A root key with other permissions, one of another workspace, and a customer's key are refused, each with why."""
    weak = offline(tmp_path, "root-key.create", name="weak", permissions=["api.*.create_key"])["key"]
    acme = offline(tmp_path, "workspace.create", name="acme")["id"]
    foreign = offline(tmp_path, "root-key.create", name="foreign", permissions=["*"], workspace_id=acme)["key"]
    with ServerInProcess(tmp_path, root_key=ROOT_KEY) as server, Connection(server.url, ROOT_KEY) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        ordinary = client.post("keys.createKey", {"apiId": api_id, "permissions": ["*"]}).json["key"]
    for root_key, why in (
        (weak, "lacks the permission *"),
        (foreign, "acts for another workspace"),
        (ordinary, "is not a root key"),
    ):
        assert why in refusal_in_process(tmp_path, root_key)
    # And as the operator sees it.
    assert "lacks the permission *" in refusal(tmp_path, KEYSTEAD_ROOT_KEY=weak)


# The command line beside the server and without it


def test_what_is_made_beside_a_server_is_usable_at_once(tmp_path: Path) -> None:
    """Root keys and workspaces made beside a running server work with its next answer, refused ones before or not."""
    with served(tmp_path) as server:
        workspace_id = make(tmp_path, "workspace", "create", "acme")["id"]
        made = make(tmp_path, "root-key", "create", "--name", "a", "--permission", "*", "--workspace", workspace_id)
        assert workspace_of(server, made["key"]) == workspace_id
        weak = make(tmp_path, "root-key", "create", "--name", "b", "--permission", "api.*.create_api")["key"]
        assert workspace_of_fails(server, weak) == 403
        assert workspace_of(server, server.root_key) == "ws_default"


def workspace_of_fails(server: ServerProcess, root_key: str) -> int:
    """The status with which reading an api is refused."""
    with Connection(server.url, root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        return client.get("apis.getApi", apiId=api_id).status


def test_what_is_made_without_a_server_is_there_when_it_starts(tmp_path: Path) -> None:
    """The same commands work on a database that no server has open, the very first too, and show at the next start."""
    workspace_id = make(tmp_path, "workspace", "create", "acme")["id"]
    made = make(tmp_path, "root-key", "create", "--name", "a", "--permission", "*", "--workspace", workspace_id)
    with served(tmp_path) as server:
        assert workspace_of(server, made["key"]) == workspace_id


def test_a_refused_command_is_one_line(tmp_path: Path) -> None:
    """A root key for an unknown workspace is refused in the same words with and without a server."""
    command = ("root-key", "create", "--name", "a", "--permission", "*", "--workspace", "ws_none")
    without = keystead(tmp_path, *command)
    with served(tmp_path):
        beside = keystead(tmp_path, *command)
    for done in (without, beside):
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "error: workspace ws_none not found\n"


# Starts that are refused


def test_a_port_in_use(tmp_path: Path) -> None:
    """A port that somebody has already is said to be in use, with what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refusal(tmp_path, "--port", port)
    assert port in line
    assert "Address already in use" in line
    assert "--port" in line


def test_output_that_can_not_be_written_keeps_no_server_from_serving(tmp_path: Path) -> None:
    """Whoever sends standard output to a full disk, or to nobody, has a server all the same."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "keystead", "serve", "--port", "0", "--log-format", "json"],
            cwd=tmp_path,
            env=inherited | {"KEYSTEAD_ROOT_KEY": ROOT_KEY},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr is not None
    lines = (json.loads(line) for line in process.stderr if line.startswith("{"))
    url = next(line["url"] for line in lines if line["event"] == "serving")
    for _ in range(3):
        assert httpx.get(f"{url}/v1/liveness").status_code == 200
        time.sleep(0.1)
    process.terminate()
    _, log = process.communicate(timeout=60)
    assert (process.returncode, "error:" in log) == (0, False)


@pytest.mark.parametrize(("max_connections", "is_enough"), [(150, True), (250, False)])
def test_open_files_are_allowed_for_all_connections(tmp_path: Path, max_connections: int, is_enough: bool) -> None:
    """A low limit of open files is raised for the connections; where it can not be, a warning says how many fit."""
    serve = f"ulimit -Sn 200; ulimit -Hn 300; exec {sys.executable} -m keystead serve --port 0"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTEAD_")}
    with subprocess.Popen(
        ["sh", "-c", serve],
        cwd=tmp_path,
        env=inherited | {"KEYSTEAD_MAX_CONNECTIONS": str(max_connections)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("docs") for line in process.stdout)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        process.terminate()
        _, log = process.communicate(timeout=60)
    assert limits.partition("Max open files")[2].split()[0] == "300"
    assert ("max_connections to 200 or less" in log) is not is_enough


def test_a_second_server_on_the_same_database(tmp_path: Path) -> None:
    """A second server on the same database is refused and the first goes on undisturbed."""
    with served(tmp_path) as server:
        line = refusal(tmp_path)
        assert "keystead.db is in use by process" in line
        assert str(server.process.pid) in line  # type: ignore[union-attr]
        assert call(server, "apis.createApi", {"name": "test"}).status == 200


@pytest.mark.parametrize("setting", ["limits_file", "spool_folder", "analytics_database"])
def test_a_second_server_with_a_database_of_its_own(tmp_path: Path, setting: str) -> None:
    """Two servers never write to the same file beside their databases: the second says which, and may have it later."""
    shared = {f"KEYSTEAD_{setting.upper()}": str(tmp_path / "shared")}
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    refused = pytest.raises(RuntimeError, match="shared is in use by a server with another database")
    with served(first, **shared), refused:
        ServerProcess(second, **shared).start()
    with served(second, **shared):
        pass


def test_a_restart_takes_the_same_port_at_once(tmp_path: Path) -> None:
    """A server that was stopped or killed while clients were connected starts again on its port without a wait."""
    server = ServerProcess(tmp_path).start()
    for end in (server.stop, server.kill):
        with Connection(server.url, server.root_key) as client:
            assert client.post("apis.createApi", {"name": "test"}).status == 200
            end()
            server.start()
    assert server.stop() == 0


def _newer(folder: Path) -> None:
    offline(folder, "workspace.create", name="acme")
    with sqlite3.connect(folder / "keystead.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def _newer_analytics(folder: Path) -> None:
    with ServerInProcess(folder):
        pass
    with sqlite3.connect(folder / "keystead-analytics.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    ("prepare", "arguments", "environment", "says"),
    [
        (_newer, (), {}, "was written by a newer Keystead"),
        (_newer_analytics, (), {}, "was written by a newer Keystead"),
        (lambda folder: (folder / "keystead.db").write_text("no database"), (), {}, "is not readable as SQLite"),
        (lambda folder: (folder / "keystead-analytics.db").write_text("none"), (), {}, "keystead-analytics.db"),
        (lambda folder: (folder / "keystead-spool").write_text("none"), (), {}, "keystead-spool"),
        (lambda folder: (folder / "keystead-limits").mkdir(), (), {}, "keystead-limits"),
        (None, ("--database", "absent/keystead.db"), {}, "absent"),
        (None, ("--host", "203.0.113.1"), {}, "203.0.113.1"),
        (None, ("--host", "a..b"), {}, "Name or service not known. "),
        (lambda folder: (folder / "keystead.db").symlink_to("keystead.db"), (), {}, "unable to open"),
        (None, (), {"KEYSTEAD_MAX_BODY_BYTES": "lots"}, "KEYSTEAD_MAX_BODY_BYTES"),
        (lambda folder: (folder / "keystead.toml").write_text("prot = 1"), (), {}, "prot"),
    ],
    ids=[
        "newer database",
        "newer analytics",
        "no database",
        "no analytics database",
        "a file for the spool",
        "a folder for the limits",
        "missing folder",
        "foreign address",
        "impossible name",
        "a link to itself",
        "bad variable",
        "unknown setting",
    ],
)
def test_a_start_that_can_not_be_is_one_clear_line(
    tmp_path: Path,
    prepare: Callable[[Path], object] | None,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    says: str,
) -> None:
    """Whatever keeps the server from starting, it says so in one line that names the culprit, and exits with 1."""
    if prepare:
        prepare(tmp_path)
    assert says in refusal(tmp_path, *arguments, **environment)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    """A database in a folder that takes no files is refused with the reason of the system."""
    # Nobody can make files there, not even root, whom permissions would not stop.
    line = refusal(tmp_path, "--database", "/proc/keystead.db")
    assert "/proc/keystead.db" in line


def test_a_moved_folder_keeps_working(tmp_path: Path) -> None:
    """Everything a server needs is beside its database: the folder can be copied elsewhere after a stop."""
    with served(tmp_path) as server:
        api_id = call(server, "apis.createApi", {"name": "test"}).json["apiId"]
        key = call(server, "keys.createKey", {"apiId": api_id, "remaining": 5}).json["key"]
        assert call(server, "keys.verifyKey", {"key": key}).json["remaining"] == 4
    copy = tmp_path.with_name(tmp_path.name + "-copy")
    shutil.copytree(tmp_path, copy)
    with served(copy) as server:
        assert call(server, "keys.verifyKey", {"key": key}).json["remaining"] == 3


AT_ITS_END = """
import atexit, gc, pathlib
atexit.register(lambda: pathlib.Path("collected").write_text(
    f"{gc.get_freeze_count()} {len(gc.get_objects())} {gc.get_threshold()[0]}"
))
"""


def test_garbage_collections_leave_out_what_a_start_has_made(tmp_path: Path) -> None:
    """A collection while the server serves is rare and spares the server itself, which would hold all answers up."""
    (tmp_path / "sitecustomize.py").write_text(AT_ITS_END)
    with served(tmp_path, PYTHONPATH=str(tmp_path)) as server, Connection(server.url) as connection:
        assert connection.get("liveness").status == 200
    frozen, rest, threshold = map(int, (tmp_path / "collected").read_text().split())
    assert frozen > 10 * rest
    assert threshold > 10_000
