"""The command line: what it prints, what it asks of the server, and how it fails."""

import asyncio
import contextlib
import datetime
import json
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner, Result

from keystead.cli.main import app
from keystead.config import Settings, markdown
from keystead.control import Command, ControlServer, DatabaseLock, Perform, choose_socket_path
from keystead.core.errors import ErrorCode, KeysteadError, StartupError

ROOT_KEY = "unkey_3ZFTVMJ69MaQg71pn85SRmbU"


class Recorder:
    """The commands of a server, which remember what they were asked for and where."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.settings: Settings | None = None

    def commands(self, place: str) -> Mapping[str, Command]:
        def command(name: str, result: dict[str, Any]) -> Command:
            async def run(arguments: dict[str, Any]) -> dict[str, Any]:
                self.calls.append((place, name, arguments))
                if "nonsense" in arguments.get("permissions", ()):
                    raise KeysteadError(ErrorCode.BAD_REQUEST, "permission nonsense is unknown")
                return result

            return run

        return {
            "root-key.create": command("root-key.create", {"keyId": "key_1", "key": ROOT_KEY}),
            "workspace.create": command("workspace.create", {"id": "ws_1"}),
            "encryption.rotate": command("encryption.rotate", {"rewrapped": 3}),
        }


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Stands in for the assembly, which wires the real server; it takes the same lock."""
    recorder = Recorder()

    @contextlib.contextmanager
    def offline(settings: Settings) -> Iterator[Perform]:
        recorder.settings = settings
        commands = recorder.commands("offline")

        async def perform(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            return await commands[name](arguments)

        with DatabaseLock(settings.database_path):
            yield lambda name, arguments: asyncio.run(perform(name, arguments))

    def serve(settings: Settings) -> int:
        recorder.settings = settings
        return 0

    assembly = types.ModuleType("keystead.assembly")
    vars(assembly).update(offline=offline, serve=serve)
    monkeypatch.setitem(sys.modules, "keystead.assembly", assembly)
    import keystead

    monkeypatch.setattr(keystead, "assembly", assembly, raising=False)
    return recorder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@contextlib.contextmanager
def server(database: Path, commands: Mapping[str, Command]) -> Iterator[None]:
    """A running server as the command line sees it: a held lock and a control socket."""
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        with DatabaseLock(database) as lock:
            control = ControlServer(choose_socket_path(database), commands)
            await control.start()
            lock.announce(control.socket_path)
            started.set()
            await asyncio.to_thread(stop.wait)
            await control.stop()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield
    finally:
        stop.set()
        thread.join()


CREATE_ROOT_KEY = ("root-key", "create", "--name", "ci", "--permission", "*", "--permission", "api.*.create_api")
COMMANDS = [
    (
        CREATE_ROOT_KEY,
        "root-key.create",
        {"name": "ci", "permissions": ["*", "api.*.create_api"], "workspace_id": None},
        {"keyId": "key_1", "key": ROOT_KEY},
    ),
    (
        ("root-key", "create", "--name", "ci", "--permission", "*", "--workspace", "ws_2"),
        "root-key.create",
        {"name": "ci", "permissions": ["*"], "workspace_id": "ws_2"},
        {"keyId": "key_1", "key": ROOT_KEY},
    ),
    (("workspace", "create", "Acme"), "workspace.create", {"name": "Acme"}, {"id": "ws_1"}),
    (("encryption", "rotate"), "encryption.rotate", {}, {"rewrapped": 3}),
]


@pytest.mark.parametrize(("words", "command", "arguments", "answer"), COMMANDS)
@pytest.mark.parametrize("place", ["offline", "server"])
def test_a_command_is_done_by_the_server_or_here(
    folder: Path,
    recorder: Recorder,
    place: str,
    words: tuple[str, ...],
    command: str,
    arguments: dict[str, Any],
    answer: dict[str, Any],
) -> None:
    """The same words do the same beside a running server and without one, and print one line of JSON."""
    database = folder / "acme.db"
    context: Callable[..., Any] = server if place == "server" else contextlib.nullcontext
    with context(database, recorder.commands("server")) if place == "server" else context():
        result = run(*words, "--database", str(database), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == answer
    assert result.stdout.count("\n") == 1
    assert recorder.calls == [(place, command, arguments)]


@pytest.mark.parametrize(("words", "shown"), [(words, answer) for words, _, _, answer in COMMANDS])
def test_without_json_people_read_the_same(recorder: Recorder, words: tuple[str, ...], shown: dict[str, Any]) -> None:
    """The text for people holds every value of the answer."""
    result = run(*words)
    assert result.exit_code == 0
    assert all(str(value) in result.stdout for value in shown.values())


def test_the_database_comes_from_flag_or_variable(
    folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--database` wins over KEYSTEAD_DATABASE_URL, which wins over the working directory."""
    expected = ["keystead.db", "variable.db", "flag.db"]
    found = []
    for flag, variable in (((), ""), ((), "variable.db"), (("--database", "sqlite:///flag.db"), "variable.db")):
        monkeypatch.setenv("KEYSTEAD_DATABASE_URL", variable)
        assert run("workspace", "create", "x", *flag).exit_code == 0
        assert recorder.settings is not None
        found.append(recorder.settings.database_path)
    assert found == [folder / name for name in expected]


def test_serve_hands_over_its_flags(folder: Path, recorder: Recorder) -> None:
    """Every flag of `serve` arrives in the settings, and the exit code is the server's."""
    listen, logging_flags = ("--host", "0.0.0.0", "--port", "0"), ("--log-level", "debug", "--log-format", "json")
    result = run("serve", *listen, "--database", "x.db", *logging_flags)
    assert result.exit_code == 0, result.output
    settings = recorder.settings
    assert settings is not None
    assert (settings.host, settings.port, settings.log_level, settings.log_format) == ("0.0.0.0", 0, "debug", "json")
    assert settings.database_path == folder / "x.db"


def test_serve_exits_with_the_servers_code(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that failed makes the command fail."""
    monkeypatch.setattr(sys.modules["keystead.assembly"], "serve", lambda settings: 1)
    assert run("serve").exit_code == 1


@pytest.mark.parametrize(
    ("certificate", "key", "expected"),
    [
        (None, "", "tls_certificate (from --tls-certificate)"),
        ("", None, "tls_key (from --tls-key)"),
        ("nonsense", "nonsense", "PEM"),
    ],
    ids=["no certificate", "no key", "nonsense"],
)
def test_serve_refuses_bad_tls_files(
    folder: Path, recorder: Recorder, certificate: str | None, key: str | None, expected: str
) -> None:
    """A certificate or key that is missing or no PEM stops the start with one line."""
    for name, content in (("c.pem", certificate), ("k.pem", key)):
        if content is not None:
            (folder / name).write_text(content)
    result = run("serve", "--tls-certificate", "c.pem", "--tls-key", "k.pem")
    assert result.exit_code == 1
    assert expected in result.stderr
    assert recorder.settings is None


def make_tls_files(folder: Path, encryption: serialization.KeySerializationEncryption) -> None:
    """A self-signed certificate `c.pem` and its key `k.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "c.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private_format = serialization.PrivateFormat.PKCS8
    (folder / "k.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, private_format, encryption))


def test_serve_takes_good_tls_files(folder: Path, recorder: Recorder) -> None:
    """A certificate with its key reaches the server as absolute paths."""
    make_tls_files(folder, serialization.NoEncryption())
    result = run("serve", "--tls-certificate", "c.pem", "--tls-key", "k.pem")
    assert result.exit_code == 0, result.output
    assert recorder.settings is not None
    assert recorder.settings.tls_certificate == folder / "c.pem"


def test_serve_never_asks_for_a_passphrase(folder: Path, recorder: Recorder) -> None:
    """A key with a passphrase is refused, instead of a service that hangs at a prompt nobody sees."""
    make_tls_files(folder, serialization.BestAvailableEncryption(b"hunter2"))
    result = run("serve", "--tls-certificate", "c.pem", "--tls-key", "k.pem")
    assert result.exit_code == 1
    assert "without a passphrase" in result.stderr


# --- Failures ---


@pytest.mark.parametrize(
    "words",
    [
        ("nothing",),
        ("serve", "--nothing"),
        ("serve", "--port", "http"),
        ("root-key",),
        ("root-key", "create"),
        ("root-key", "create", "--name", "x"),
        ("root-key", "create", "--permission", "*"),
        ("workspace", "create"),
        ("workspace", "create", "a", "b"),
        ("encryption", "nothing"),
    ],
    ids=" ".join,
)
def test_wrong_use_exits_with_2(recorder: Recorder, words: tuple[str, ...]) -> None:
    """Words that make no command are a usage error, and nothing is done."""
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage:" in result.output
    assert "Traceback" not in result.output
    assert recorder.calls == []


@pytest.mark.parametrize("place", ["offline", "server"])
def test_a_refusal_is_one_line(folder: Path, recorder: Recorder, place: str) -> None:
    """What the command refuses is told in one line on standard error with exit code 1, wherever it ran."""
    words = ("root-key", "create", "--name", "x", "--permission", "nonsense", "--database", "acme.db", "--json")
    if place == "server":
        with server(folder / "acme.db", recorder.commands("server")):
            result = run(*words)
    else:
        result = run(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: permission nonsense is unknown\n"


@pytest.mark.parametrize("error", [StartupError("the disk\nis full"), OSError(28, "the disk is full")])
def test_an_operators_error_has_no_traceback(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A start that fails tells why in one line."""

    def fail(settings: Settings) -> int:
        raise error

    monkeypatch.setattr(sys.modules["keystead.assembly"], "serve", fail)
    result = run("serve")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("the disk is full\n")
    assert result.stderr.count("\n") == 1


def test_a_command_waits_for_another(folder: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that finds the database just taken asks its holder instead of failing."""
    database = folder / "keystead.db"
    assembly = sys.modules["keystead.assembly"]
    offline = assembly.offline
    with contextlib.ExitStack() as stack:

        def overtaken(settings: Settings) -> Any:
            monkeypatch.setattr(assembly, "offline", offline)
            stack.enter_context(server(database, recorder.commands("server")))
            return offline(settings)

        monkeypatch.setattr(assembly, "offline", overtaken)
        assert run("workspace", "create", "x").exit_code == 0
    assert [place for place, _, _ in recorder.calls] == ["server"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("serve", "--port", "99999"), 1),
        (("serve", "--database", "postgresql://u:hunter2@h/d"), 1),
        (("workspace", "create", "x", "--config", "gone.toml"), 1),
        (("workspace", "create", "x", "--database", "none/keystead.db/"), 1),
        (("serve", "--port", "http"), 2),
        ((), 2),
    ],
    ids=str,
)
def test_the_installed_command_fails_in_one_line(words: tuple[str, ...], code: int) -> None:
    """As a process of its own the command exits with its code and never prints a traceback."""
    start = [sys.executable, "-c", "from keystead.cli.main import run; run()"]
    result = subprocess.run([*start, *words], capture_output=True, text=True, check=False)
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr
    if code == 1:
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1


# --- What it tells ---


def test_version() -> None:
    """The version is the installed distribution's."""
    from importlib.metadata import version

    assert run("--version").stdout == f"keystead {version('keystead')}\n"


def test_config_shows_values_and_sources_but_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting is listed with its value and source; a secret only as being set."""
    monkeypatch.setenv("KEYSTEAD_ROOT_KEY", ROOT_KEY)
    monkeypatch.setenv("KEYSTEAD_PORT", "1234")
    result = run("config", "--database", "acme.db")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == list(Settings.model_fields)
    assert ["port", "1234", "KEYSTEAD_PORT"] in rows
    assert ["root_key", "(hidden)", "KEYSTEAD_ROOT_KEY"] in rows
    assert ["database_url", "acme.db", "--database"] in rows
    assert ROOT_KEY not in result.output


def test_config_prints_the_docs_page() -> None:
    """`--markdown` prints exactly docs/settings.md."""
    assert run("config", "--markdown").stdout == markdown()


def test_a_misspelt_variable_is_a_warning(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown KEYSTEAD_ variable is pointed out on standard error, and the command goes on."""
    monkeypatch.setenv("KEYSTEAD_PROT", "1")
    result = run("workspace", "create", "x", "--json")
    assert result.exit_code == 0
    assert "KEYSTEAD_PORT" in result.stderr
    assert json.loads(result.stdout) == {"id": "ws_1"}


def test_openapi_prints_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    """The document is printed as JSON."""
    module = types.ModuleType("keystead.http.openapi")
    vars(module).update(document=lambda: {"openapi": "3.1.0", "info": {"title": "Schlüssel"}})
    monkeypatch.setitem(sys.modules, "keystead.http.openapi", module)
    assert json.loads(run("openapi").stdout) == {"openapi": "3.1.0", "info": {"title": "Schlüssel"}}


def test_help_is_quick_to_load() -> None:
    """The command line itself loads neither the server nor what only some commands need."""
    code = "import sys, keystead.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"sqlalchemy", "alembic", "starlette", "uvicorn", "cryptography", "rich", "pydantic", "structlog"}
    assert not heavy & set(loaded)
