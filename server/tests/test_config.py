"""Settings: sources and their order, refusals that name the setting, secrets that stay hidden, docs that agree."""

import base64
import ipaddress
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keystead.config import Settings, describe, markdown, unknown_variables
from keystead.core.errors import StartupError

KEY = base64.b64encode(bytes(range(32))).decode()
ROOT_KEY = "unkey_3ZFTVMJ69MaQg71pn85SRmbU"
DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an environment without our variables."""
    for name in list(os.environ):
        if name.startswith("KEYSTEAD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(**flags: Any) -> str:
    with pytest.raises(StartupError) as caught:
        Settings(**flags)
    return str(caught.value)


# --- Defaults ---


def test_no_setting_is_needed(folder: Path) -> None:
    """Without any setting there is a complete configuration on files in the working directory."""
    settings = Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert settings.database_path == folder / "keystead.db"
    assert settings.analytics_database == folder / "keystead-analytics.db"
    assert settings.spool_folder == folder / "keystead-spool"
    assert settings.limits_file == folder / "keystead-limits"
    assert settings.encryption_key_file == folder / "keystead-encryption-keys"
    assert settings.max_body_bytes == 8 * 1024 * 1024
    assert settings.key_cache_entries == 200_000
    assert settings.errors_docs_url == "https://unkey.dev/docs/api-reference/errors/code"
    assert settings.root_key is None
    assert settings.trusted_proxies == ()


def test_defaults_are_allowed_values() -> None:
    """Every default would be accepted if it were given."""
    settings = Settings()
    given = {name: getattr(settings, name) for name in Settings.model_fields}
    again = Settings(**given)
    assert all(getattr(again, name) == value for name, value in given.items())


def test_what_lies_beside_a_database_follows_it(folder: Path) -> None:
    """Two databases in one folder share neither spool nor analytics nor limits nor keys."""
    first = Settings(database_url="/data/acme.db")
    assert first.analytics_database == Path("/data/acme-analytics.db")
    assert first.spool_folder == Path("/data/acme-spool")
    assert first.limits_file == Path("/data/acme-limits")
    assert first.encryption_key_file == Path("/data/acme-encryption-keys")
    assert Settings(database_url="/data/acme").spool_folder == Path("/data/acme-spool")
    assert Settings(database_url="/data/acme.db", spool_folder="/fast/spool").spool_folder == Path("/fast/spool")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///keys.db", "{folder}/keys.db"),
        ("sqlite:///sub/../keys.db", "{folder}/keys.db"),
        ("sqlite:////data/keys.db", "/data/keys.db"),
        ("SQLite:////data/keys.db", "/data/keys.db"),
        ("keys.db", "{folder}/keys.db"),
        ("./keys.db", "{folder}/keys.db"),
        ("/data/keys.db", "/data/keys.db"),
        ("/data/my keys?.db", "/data/my keys?.db"),
    ],
)
def test_a_database_is_a_url_or_a_path(folder: Path, url: str, path: str) -> None:
    """Relative and absolute files are understood in both notations."""
    assert Settings(database_url=url).database_path == Path(path.format(folder=folder))


def test_the_log_format_follows_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """People at a terminal get console lines, everything else gets JSON."""
    for terminal, expected in ((True, "console"), (False, "json")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        assert Settings().log_format == expected


def test_settings_are_frozen() -> None:
    """What was read at the start can't be changed afterwards."""
    with pytest.raises(ValueError, match="frozen"):
        Settings().port = 1


# --- Sources ---


def test_sources_win_in_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag before environment before file before default, and each value tells where it came from."""
    assert (Settings().port, Settings().origin("port")) == (3000, "default")
    (folder / "keystead.toml").write_text("port = 1")
    assert (Settings().port, Settings().origin("port")) == (1, "file keystead.toml")
    monkeypatch.setenv("KEYSTEAD_PORT", "2")
    assert (Settings().port, Settings().origin("port")) == (2, "KEYSTEAD_PORT")
    assert (Settings(port=3).port, Settings(port=3).origin("port")) == (3, "--port")


def test_the_file_is_chosen_by_flag_then_variable_then_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly one file is read."""
    for name, port in (("keystead.toml", 1), ("variable.toml", 2), ("flag.toml", 3)):
        (folder / name).write_text(f"port = {port}")
    assert Settings().port == 1
    monkeypatch.setenv("KEYSTEAD_CONFIG", "variable.toml")
    assert Settings().port == 2
    assert Settings(config=str(folder / "flag.toml")).port == 3
    assert Settings(config=folder / "flag.toml").origin("port") == f"file {folder / 'flag.toml'}"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file may pass on variables that nobody set."""
    monkeypatch.setenv("KEYSTEAD_ROOT_KEY", "")
    monkeypatch.setenv("KEYSTEAD_PORT", "")
    monkeypatch.setenv("KEYSTEAD_CONFIG", "")
    assert (Settings().root_key, Settings().port, Settings().origin("port")) == (None, 3000, "default")


def test_a_service_of_kubernetes_named_keystead_is_no_setting(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Kubernetes tells the pods of such a service does not keep the server from starting, nor is it a mistake."""
    for name, value in {
        "KEYSTEAD_PORT": "tcp://10.0.0.7:3000",
        "KEYSTEAD_PORT_3000_TCP": "tcp://10.0.0.7:3000",
        "KEYSTEAD_PORT_3000_TCP_ADDR": "10.0.0.7",
        "KEYSTEAD_SERVICE_HOST": "10.0.0.7",
        "KEYSTEAD_SERVICE_PORT": "3000",
        "KEYSTEAD_SERVICE_PORT_HTTP": "3000",
    }.items():
        monkeypatch.setenv(name, value)
    assert (Settings().port, Settings().origin("port")) == (3000, "default")
    assert unknown_variables() == []
    (folder / "keystead.toml").write_text("port = 1")
    assert (Settings().port, Settings().origin("port")) == (1, "file keystead.toml")


def test_lists_are_written_with_commas_or_as_toml_lists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list means the same in a variable and in the file."""
    networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    (folder / "keystead.toml").write_text('forwarded_header = "X-Real-IP"\ntrusted_proxies = ["10.0.0.0/8", "::1"]')
    assert Settings().trusted_proxies == networks
    monkeypatch.setenv("KEYSTEAD_TRUSTED_PROXIES", "10.0.0.0/8, ::1,")
    assert Settings().trusted_proxies == networks
    monkeypatch.setenv("KEYSTEAD_ENCRYPTION_KEYS", f"{KEY},{KEY}")
    assert [key.get_secret_value() for key in Settings().encryption_keys] == [KEY, KEY]


def test_unknown_variables_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable is named with its likely spelling; the client's own variable is no mistake."""
    assert unknown_variables() == []
    monkeypatch.setenv("KEYSTEAD_URL", "http://127.0.0.1:3000")
    assert unknown_variables() == []
    monkeypatch.setenv("KEYSTEAD_DATABASE_ULR", "x")
    (sentence,) = unknown_variables()
    assert "KEYSTEAD_DATABASE_ULR" in sentence
    assert "KEYSTEAD_DATABASE_URL" in sentence
    Settings()


# --- Refusals ---

BAD_VALUES: list[tuple[str, Any]] = [
    *[("port", value) for value in (-1, 65_536, "http", "", 1.5, True, None, [])],
    *[("host", value) for value in ("", 5)],
    *[
        ("database_url", value)
        for value in (
            "postgresql://u:hunter2@h/d",
            "postgres://h/d",
            "postgresql+psycopg://h/d",
            "mysql://h/d",
            "sqlite://",
            "sqlite:///",
            "sqlite://keys.db",
            "sqlite:keys.db",
            "file:keys.db",
            "sqlite:///:memory:",
            ":memory:",
            "sqlite:///keys.db?mode=ro",
            "",
            "/",
            ".",
            "keys/",
            "a\0b",
        )
    ],
    *[("spool_folder", value) for value in ("", 5)],
    *[("limits_file", value) for value in ("", 5)],
    *[("metrics", value) for value in ("", "maybe", 5)],
    *[("encryption_keys", value) for value in ("AAAA", f"{KEY},x", [KEY, KEY[:-4]], 5, "é")],
    *[("root_key", value) for value in ("", "two words", "schlüssel", "x" * 513, "tab\t")],
    *[("trusted_proxies", value) for value in ("10.0.0.1/8", "proxy.example", ["1.2.3.4/33"], 5)],
    *[("forwarded_header", value) for value in ("", "X Forwarded", "X:", "é")],
    *[("max_body_bytes", value) for value in (0, -1, 2**60)],
    *[("header_timeout_s", value) for value in (0, -1, "inf", "nan", "soon", True)],
    *[("analytics_interval_s", value) for value in (0, 5)],
    *[("log_level", value) for value in ("loud", "", 10)],
    *[("log_format", value) for value in ("xml", 1)],
    *[("errors_docs_url", value) for value in ("", "errors", "ftp://x", "https://x/", "https://x y", "https://")],
    *[("tls_certificate", value) for value in ("", 5)],
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES, ids=str)
def test_a_bad_value_is_refused_with_name_and_source(name: str, value: Any) -> None:
    """A value that can't be meant stops the start in one line that names the setting and its source."""
    message = refusal(**{name: value})
    assert message.startswith(f"setting {name} (from ")
    assert "\n" not in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if name not in ("config", "database_url")])
def test_every_setting_refuses_nonsense(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting takes an object of the wrong kind, and the message says what it takes."""
    about = Settings.model_fields[name].json_schema_extra
    assert isinstance(about, dict)
    assert str(about["takes"]) in refusal(**{name: {"a": 1}})


def test_bounds_are_inclusive_and_in_the_message() -> None:
    """The smallest and largest allowed numbers are allowed, and a refusal tells them."""
    assert (Settings(port=0).port, Settings(port=65_535).port) == (0, 65_535)
    assert "from 0 to 65535" in refusal(port=65_536)


def test_postgresql_is_announced_not_misunderstood() -> None:
    """A PostgreSQL URL is refused as something that comes later, without its password."""
    assert "later version" in refusal(database_url="postgresql://u:hunter2@h/d")


def test_the_source_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator learns which of the sources holds the bad value."""
    assert "(from --port)" in refusal(port="x")
    (folder / "keystead.toml").write_text('port = "x"')
    assert "(from file keystead.toml)" in refusal()
    monkeypatch.setenv("KEYSTEAD_PORT", "y")
    assert "(from KEYSTEAD_PORT)" in refusal()


def test_all_bad_settings_are_told_at_once() -> None:
    """Two mistakes need one restart, not two."""
    message = refusal(port="x", log_level="loud", database_url="mysql://h/d")
    assert all(f"setting {name} " in message for name in ("port", "log_level", "database_url"))
    assert "encryption_key_file" not in message


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"tls_certificate": "/c"}, "tls_key"),
        ({"tls_key": "/k"}, "tls_certificate"),
        ({"forwarded_header": "X-Real-IP"}, "trusted_proxies"),
        ({"trusted_proxies": "10.0.0.1"}, "forwarded_header"),
    ],
)
def test_pairs_come_together(given: dict[str, str], missing: str) -> None:
    """One half of a pair is refused, naming it and the half that is missing."""
    message = refusal(**given)
    assert f"needs {missing}" in message
    assert next(iter(given)) in message


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"limits_file": "keystead.db"}, "database_url"),
        ({"limits_file": "here/../keystead-encryption-keys"}, "limits_file"),
        ({"analytics_database": "link.db"}, "database_url"),
        ({"spool_folder": "keystead-limits"}, "spool_folder"),
    ],
)
def test_no_file_is_used_twice(folder: Path, given: dict[str, str], other: str) -> None:
    """Two parts of the server on one file, by whatever path, are refused, naming both settings."""
    (folder / "here").mkdir()
    (folder / "link.db").symlink_to("keystead.db")
    message = refusal(**given)
    assert f"is the same as {other}" in message
    assert next(iter(given)) in message


@pytest.mark.parametrize(
    ("days", "allowed"),
    [((90, 400, 0), True), ((30, 30, 30), True), ((0, 0, 0), True), ((0, 400, 0), False), ((90, 400, 399), False)],
)
def test_longer_slices_are_kept_longer(days: tuple[int, int, int], allowed: bool) -> None:
    """Hours are never kept longer than days, nor days than months; 0 is for ever."""
    names = [f"analytics_{length}_retention_days" for length in ("hourly", "daily", "monthly")]
    given = dict(zip(names, days, strict=True))
    if allowed:
        assert tuple(Settings(**given).analytics_retention_days.values()) == days
    else:
        assert "is less than analytics_" in refusal(**given)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"prot = 3000", "did you mean port?"),
        (b"[server]\nport = 3000", "server is not a setting"),
        (b'config = "other.toml"', "config is not a setting"),
        (b"port = ", "not valid TOML"),
        (b"\xff", "not valid TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_path(folder: Path, content: bytes, expected: str) -> None:
    """An unknown name or a file that is no TOML stops the start."""
    (folder / "keystead.toml").write_bytes(content)
    message = refusal()
    assert "keystead.toml" in message
    assert expected in message


def test_a_chosen_file_must_be_there(folder: Path) -> None:
    """A missing or unreadable file that was asked for is not passed over."""
    assert "gone.toml" in refusal(config="gone.toml")
    assert str(folder) in refusal(config=str(folder))


def test_an_unknown_argument_is_refused() -> None:
    """A caller in code that misspells a setting learns it at once."""
    assert "did you mean database_url?" in refusal(database_ulr="x")


# --- Secrets ---


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No representation of the settings, and not `keystead config`, shows a secret."""
    monkeypatch.setenv("KEYSTEAD_ROOT_KEY", ROOT_KEY)
    settings = Settings(encryption_keys=[KEY])
    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()} {describe(settings)}"
    assert ROOT_KEY not in shown
    assert KEY not in shown
    views = {view.name: view for view in describe(settings)}
    assert (views["root_key"].value, views["root_key"].origin) == ("(hidden)", "KEYSTEAD_ROOT_KEY")
    assert settings.root_key is not None
    assert settings.root_key.get_secret_value() == ROOT_KEY


@pytest.mark.parametrize("name", ["root_key", "encryption_keys"])
def test_a_bad_secret_is_not_repeated(name: str) -> None:
    """A refused secret appears neither in the message nor in the chain of causes that a traceback prints."""
    bad = "half-a-secret with a blank"
    with pytest.raises(StartupError) as caught:
        Settings(**{name: bad, "port": "x"})
    assert "half-a-secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- Docs ---


def test_the_docs_page_is_the_generated_one() -> None:
    """docs/settings.md is what `keystead config --markdown` prints."""
    assert DOCS.read_text("utf-8") == markdown()


def test_every_setting_is_documented() -> None:
    """Every setting has a row with a description and says what it takes."""
    page = markdown()
    for name, field in Settings.model_fields.items():
        assert f"| `{name}` |" in page
        assert field.description
        assert field.description in page
        assert isinstance(field.json_schema_extra, dict)
        assert field.json_schema_extra["takes"]


def test_the_page_does_not_depend_on_where_it_is_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated page holds no path and no value of the machine it is generated on."""
    before = markdown()
    monkeypatch.setenv("KEYSTEAD_PORT", "1234")
    assert markdown() == before
    assert str(folder) not in before


def test_every_flag_reaches_its_setting() -> None:
    """A flag that the page names exists on `keystead serve`."""
    import inspect

    from keystead.cli.serve import serve

    flags = {"--" + name.replace("_", "-") for name in inspect.signature(serve).parameters}
    documented = {
        str(field.json_schema_extra["flag"])
        for field in Settings.model_fields.values()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra["flag"]
    }
    assert documented == flags


def test_reading_settings_imports_nothing_of_the_server() -> None:
    """Settings cost little at the start: neither storage, web framework, encryption nor terminal tools are loaded."""
    code = "import sys, keystead.config; keystead.config.Settings(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "alembic", "starlette", "uvicorn", "cryptography", "rich", "typer"} & set(loaded)
