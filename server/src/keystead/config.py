"""The settings: one class yields the variables, the file, the flags, `keystead config` and the docs page.

Every setting is declared once below, with what it takes, its default and what it is for. Sources, first wins:
flags (keyword arguments), environment variables `KEYSTEAD_<NAME>`, a TOML file, the defaults. The class is
frozen: what was read at start-up is what runs.
"""

import base64
import binascii
import difflib
import itertools
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from keystead.core.errors import StartupError
from keystead.core.series import Slice

ENVIRONMENT_PREFIX = "KEYSTEAD_"
DEFAULT_FILE = "keystead.toml"

# Read by the Python client, which often shares its environment with a server: not a misspelt setting.
FOREIGN_VARIABLES = frozenset({"KEYSTEAD_URL"})

# Kubernetes tells every pod of a service named `keystead` in these; one has the name of a setting, and is an address.
_OF_KUBERNETES = re.compile(r"KEYSTEAD_SERVICE_(HOST|PORT(_\w+)?)|KEYSTEAD_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?")
_PORT_OF_KUBERNETES = re.compile(r"(tcp|udp|sctp)://")

_MEBIBYTE = 1024 * 1024
_DAY_S = 86_400
_LONGEST_SHOWN_VALUE = 80

# In the order of `Slice`.
_RETENTIONS = tuple(f"analytics_{length}_retention_days" for length in ("hourly", "daily", "monthly"))

# What the server writes to, each its own: one that took another for damaged would set it aside.
_WRITTEN = ("database_path", "analytics_database", "spool_folder", "limits_file", "encryption_key_file")

# What a setting takes, in words; messages and the docs page use the same.
_TEXT = "text"
_PATH = "a path"


# --- How one setting is declared ----------------------------------------------------------------------------


def _setting(
    description: str, takes: str, *, shown: str = "", flag: str = "", secret: bool = False, **field: Any
) -> Any:
    """A field; `shown` is a computed default in words, `flag` the command line's name for it."""
    about: dict[str, str | bool] = {"takes": takes, "shown": shown, "flag": flag, "secret": secret}
    return Field(description=description, json_schema_extra={**about}, repr=not secret, **field)


def _count(default: int, description: str, low: int, high: int, *, flag: str = "") -> Any:
    """A whole number from `low` to `high`."""
    takes = f"a whole number from {low} to {high}"
    return _setting(description, takes, flag=flag, default=default, ge=low, le=high)


def _seconds(default: float, description: str, low: float, high: float) -> Any:
    """A duration in seconds from `low` to `high`."""
    takes = f"seconds, from {low:g} to {high:g}"
    shown = f"`{default:g}`"
    return _setting(description, takes, shown=shown, default=float(default), ge=low, le=high, allow_inf_nan=False)


def _choice(*choices: str) -> str:
    return "one of " + ", ".join(f"`{choice}`" for choice in choices)


# --- What values look like ----------------------------------------------------------------------------------


def _not_a_bool(value: object) -> object:
    # Pydantic reads `true` as the number 1; in a settings file it is a slip.
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "not a number")
    return value


def _split(value: object) -> object:
    """Lists may be written as text with commas, which is all that an environment variable can hold."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _not_empty(value: object) -> object:
    # Path("") is the working directory, which is never what an empty path meant.
    if value in ("", Path()):
        raise PydanticCustomError("empty_path", "an empty path")
    return value


def _database_path(url: str) -> Path:
    """The file that a database URL names; ValueError with advice for anything but an SQLite file."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        if re.match(r"\w{2,}:", url):  # `sqlite:x.db` would make a file of that name
            raise ValueError("neither sqlite:///PATH nor a path")
        rest = "/" + url
    elif re.match(r"(postgres|postgresql)(\+\w+)?$", scheme, re.IGNORECASE):
        raise ValueError("PostgreSQL comes with a later version; this one takes sqlite:///PATH or a path")
    elif scheme.lower() != "sqlite":
        raise ValueError(f"{scheme}:// is not supported; use sqlite:///PATH or a path")
    if not rest.startswith("/"):
        raise ValueError("sqlite:// takes three slashes before a relative path and four before an absolute one")
    name = rest[1:]
    if name in ("", ":memory:") or name.endswith("/"):
        raise ValueError("keys must survive a restart: name a file, as in sqlite:///keystead.db or /data/keystead.db")
    if separator and "?" in name:
        raise ValueError("options after ? are not supported in sqlite:/// URLs")
    path = Path(os.path.realpath(name))
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    return path


def _database_url(url: str) -> str:
    _database_path(url)
    return url


def _beside_database(suffix: str) -> Any:
    """A default path that carries the database's name: two databases in one folder never share."""

    def default(values: dict[str, Any]) -> Path:
        path = _database_path(values["database_url"])
        return path.with_name(path.name.removesuffix(".db") + suffix)

    return default


def _encryption_key(value: SecretStr) -> SecretStr:
    try:
        raw = base64.b64decode(value.get_secret_value(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32:
        raise PydanticCustomError("encryption_key", "not a base64 key of 32 bytes")
    return value


def _root_key(value: SecretStr) -> SecretStr:
    # It travels as `Authorization: Bearer <root key>`: only visible characters arrive unchanged.
    if not re.fullmatch(r"[!-~]{1,512}", value.get_secret_value()):
        raise PydanticCustomError("root_key", "not a root key")
    return value


def _default_log_format() -> str:
    return "console" if sys.stderr.isatty() else "json"


Count = Annotated[int, BeforeValidator(_not_a_bool)]
Seconds = Annotated[float, BeforeValidator(_not_a_bool)]
AbsolutePath = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(Path.absolute)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
RootKey = Annotated[SecretStr, AfterValidator(_root_key)]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "console"]


# --- The settings -------------------------------------------------------------------------------------------


class Settings(BaseSettings):
    """Every setting of a server; `Settings()` reads all sources, keyword arguments are flags and win.

    Raises StartupError, naming the setting, where its value came from and what it takes, for an unknown or
    bad one.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        # A compose file that passes on a variable nobody set hands us an empty one.
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    config: AbsolutePath | None = _setting(
        "The settings file. Its keys are the names in this table.",
        _PATH,
        default=None,
        shown=f"`{DEFAULT_FILE}` in the working directory, if present",
        flag="--config",
    )

    host: str = _setting(
        "Address to listen on.", "a host name or address", default="127.0.0.1", flag="--host", min_length=1
    )
    port: Count = _count(3000, "Port to listen on; 0 takes any free one.", 0, 65_535, flag="--port")

    database_url: DatabaseUrl = _setting(
        "Where keys and everything else but analytics is kept.",
        "`sqlite:///PATH` or a path",
        default="sqlite:///keystead.db",
        flag="--database",
    )
    analytics_database: AbsolutePath = _setting(
        "SQLite file of the verification log that analytics reads.",
        _PATH,
        default_factory=_beside_database("-analytics.db"),
        shown="beside the database: `keystead-analytics.db`",
    )
    spool_folder: AbsolutePath = _setting(
        "Folder of verification events on their way to analytics.",
        _PATH,
        default_factory=_beside_database("-spool"),
        shown="beside the database: `keystead-spool`",
    )
    limits_file: AbsolutePath = _setting(
        "File of the windows of rate limits that are open. On a local disk: what it holds is mapped into memory.",
        _PATH,
        default_factory=_beside_database("-limits"),
        shown="beside the database: `keystead-limits`",
    )

    encryption_key_file: AbsolutePath = _setting(
        "File of the keys that protect recoverable keys, base64, one a line, the first is current; made at "
        "first use. Back it up: without it no recoverable key can be read again. Only its owner "
        "may have access.",
        _PATH,
        default_factory=_beside_database("-encryption-keys"),
        shown="beside the database: `keystead-encryption-keys`",
    )
    encryption_keys: Annotated[tuple[EncryptionKey, ...], NoDecode, BeforeValidator(_split)] = _setting(
        "The same keys given here instead of in the file, for secret stores; the first is current.",
        "a list of base64 keys of 32 bytes (in a variable: with commas)",
        default=(),
        shown="none: the file is used",
        secret=True,
    )
    root_key: RootKey | None = _setting(
        "Guarantees at start-up that this root key exists in the default workspace with the permission `*`.",
        "1 to 512 visible ASCII characters",
        default=None,
        shown="none: the first start makes one and prints it once",
        secret=True,
    )

    tls_certificate: AbsolutePath | None = _setting(
        "PEM file with the certificate chain; together with `tls_key` it makes the server speak HTTPS.",
        _PATH,
        default=None,
        flag="--tls-certificate",
    )
    tls_key: AbsolutePath | None = _setting(
        "PEM file with the private key, without a passphrase.", _PATH, default=None, flag="--tls-key"
    )

    forwarded_header: str | None = _setting(
        "Header in which trusted proxies tell the client's address, such as `X-Forwarded-For`; "
        "needs `trusted_proxies`.",
        "a header name",
        default=None,
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$",
    )
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)] = _setting(
        "Addresses of the proxies whose `forwarded_header` is believed.",
        "a list of addresses and CIDR ranges (in a variable: with commas)",
        default=(),
        shown="none",
    )

    max_body_bytes: Count = _count(
        8 * _MEBIBYTE, "Largest request body; a larger one is refused with 413.", 1024, 1024 * _MEBIBYTE
    )
    max_header_bytes: Count = _count(
        32 * 1024,
        "Largest request line and headers together; larger ones are refused with 431.",
        1024,
        _MEBIBYTE,
    )
    header_timeout_s: Seconds = _seconds(10, "Time a client has to send the headers of a request.", 0.1, _DAY_S)
    body_timeout_s: Seconds = _seconds(30, "Time a client has to send the body of a request.", 0.1, _DAY_S)
    keep_alive_timeout_s: Seconds = _seconds(75, "Time an idle connection is kept open.", 0.1, _DAY_S)
    write_timeout_s: Seconds = _seconds(30, "Time a client has to take an answer.", 0.1, _DAY_S)
    max_connections: Count = _count(
        10_000,
        "Connections open at the same time; the limit of open files is raised to that where the system allows.",
        1,
        1_000_000,
    )
    shutdown_timeout_s: Seconds = _seconds(20, "Time running requests have to end when the server stops.", 0, _DAY_S)

    key_cache_entries: Count = _count(
        200_000, "Keys held in memory, for verification and for counting it.", 1, 100_000_000
    )
    unknown_key_cache_entries: Count = _count(
        10_000, "Unknown keys remembered, so that guessing does not reach the database.", 0, 100_000_000
    )

    unknown_keys_per_minute: Count = _count(
        0,
        "Unknown keys that one address (IPv6: one /64) may try in a minute, as customer key or root key. After that it "
        "is answered 429, whatever it sends, until the minute ends: good keys too, or the right guess would still be "
        "told. 0 is no bound. For servers that strangers reach.",
        0,
        1_000_000,
    )
    unknown_keys_exempt: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)] = _setting(
        "Addresses that `unknown_keys_per_minute` does not bind: your own servers, which verify other people's keys.",
        "a list of addresses and CIDR ranges (in a variable: with commas)",
        default=(),
        shown="none",
    )

    log_level: Annotated[LogLevel, BeforeValidator(_lower)] = _setting(
        "The least important messages that are logged.",
        _choice("debug", "info", "warning", "error"),
        default="info",
        flag="--log-level",
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower)] = _setting(
        "How messages are written to standard error.",
        _choice("json", "console"),
        default_factory=_default_log_format,
        shown="`console` on a terminal, else `json`",
        flag="--log-format",
    )
    metrics: bool = _setting(
        "Answers `GET /metrics`, to anybody who can reach the server: numbers of the whole server, no key and no id. "
        "See [metrics](metrics.md).",
        "`true` or `false`",
        shown="`false`",
        default=False,
    )
    errors_docs_url: str = _setting(
        "Start of the link `error.docs`; the error's code is added after a slash.",
        "an http:// or https:// URL without a slash at its end",
        default="https://unkey.dev/docs/api-reference/errors/code",
        pattern=r"^https?://[!-~]*[!-.0-~]$",
    )

    spool_segment_bytes: Count = _count(
        16 * _MEBIBYTE, "Size at which the spool begins a new file.", 64 * 1024, 1024 * _MEBIBYTE
    )
    spool_buffer_bytes: Count = _count(
        64 * _MEBIBYTE,
        "Events held in memory while the disk takes no writes; beyond it they are lost, counted and logged.",
        4096,
        1024 * _MEBIBYTE,
    )
    # getVerifications shows an event within 5 s (contract D11): leave room for the transfer itself.
    analytics_interval_s: Seconds = _seconds(1, "Time between transfers from the spool to analytics.", 0.05, 4)
    analytics_hourly_retention_days: Count = _count(
        90, "Days for which verifications are kept by the hour; 0 for ever. See [analytics](analytics.md).", 0, 36_500
    )
    analytics_daily_retention_days: Count = _count(
        400, "Days for which verifications are kept by the day; 0 for ever. Not shorter than by the hour.", 0, 36_500
    )
    analytics_monthly_retention_days: Count = _count(
        0, "Days for which verifications are kept by the month; 0 for ever. Not shorter than by the day.", 0, 36_500
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **flags: Any) -> None:
        try:
            super().__init__(**flags)
        except ValidationError as error:
            message = _explain(error, _origins_of(flags))
            # The cause holds the rejected values, secrets among them.
            raise StartupError(message) from None
        self._origins = _origins_of(flags)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, first wins."""
        assert isinstance(env_settings, EnvSettingsSource)
        env_settings.env_vars = {
            name: value for name, value in env_settings.env_vars.items() if not _is_of_kubernetes(name, value)
        }
        return init_settings, env_settings, _FileSource(settings_cls)

    @model_validator(mode="after")
    def _pairs_are_complete(self) -> "Settings":
        for first, second in (("tls_certificate", "tls_key"), ("forwarded_header", "trusted_proxies")):
            given, missing = (first, second) if getattr(self, first) else (second, first)
            if getattr(self, given) and not getattr(self, missing):
                raise PydanticCustomError("pair", "needs {missing} as well", {"setting": given, "missing": missing})
        return self

    @model_validator(mode="after")
    def _longer_slices_are_kept_longer(self) -> "Settings":
        for shorter, longer in itertools.pairwise(_RETENTIONS):
            days = getattr(self, longer)
            if days and not 0 < getattr(self, shorter) <= days:
                raise PydanticCustomError("pair", "is less than {shorter}", {"setting": longer, "shorter": shorter})
        return self

    @model_validator(mode="after")
    def _files_are_apart(self) -> "Settings":
        seen: dict[str, str] = {}
        for name in _WRITTEN:
            other = seen.setdefault(os.path.realpath(getattr(self, name)), name)
            if other != name:
                other = other.replace("_path", "_url")
                raise PydanticCustomError("pair", "is the same as {other}", {"setting": name, "other": other})
        return self

    @property
    def analytics_retention_days(self) -> dict[Slice, int]:
        """For how many days verifications are kept by the hour, day and month; 0 for ever."""
        return {slice_: getattr(self, name) for slice_, name in zip(Slice, _RETENTIONS, strict=True)}

    @property
    def database_path(self) -> Path:
        """The SQLite file, absolute and without symbolic links: one database has one path."""
        return _database_path(self.database_url)

    def origin(self, name: str) -> str:
        """Where the value of a setting came from: a flag, a variable, a file or `default`."""
        return self._origins.get(name, "default")


class _FileSource(PydanticBaseSettingsSource):
    """The TOML file that flags or environment name, else the default one if it is there."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface; the file is read as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return _read_file(self.current_state.get("config"))


# --- Where values come from ---------------------------------------------------------------------------------


def _chosen_file(config: str | Path | None) -> Path | None:
    if config not in (None, ""):
        return Path(str(config))
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _read_file(config: str | Path | None) -> dict[str, Any]:
    """The settings in the chosen file, {} without one; StartupError for an unreadable one."""
    path = _chosen_file(config)
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StartupError(f"settings file {path}: {error.strerror or 'cannot be read'}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise StartupError(f"settings file {path} is not valid TOML: {error}") from None
    allowed = set(Settings.model_fields) - {"config"}
    for name in values:
        if name not in allowed:
            raise StartupError(f"settings file {path}: {name} is not a setting{_suggest(name, allowed)}")
    return values


def _origins_of(flags: Mapping[str, object]) -> dict[str, str]:
    """Name → where its value came from, for every setting that is not at its default."""
    environment = {
        name.upper(): name for name, value in os.environ.items() if value and not _is_of_kubernetes(name, value)
    }
    config = flags.get("config") or os.environ.get(environment.get("KEYSTEAD_CONFIG", ""))
    path = _chosen_file(config if isinstance(config, str | Path) else None)
    origins = dict.fromkeys(_read_file(path), f"file {path}")
    for name, field in Settings.model_fields.items():
        variable = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if variable:
            origins[name] = variable
        if name in flags:
            origins[name] = _about(field)["flag"] or "argument"
    return origins


def _is_of_kubernetes(name: str, value: str | None) -> bool:
    name = name.upper()
    is_port = name == "KEYSTEAD_PORT" and _PORT_OF_KUBERNETES.match(value or "") is not None
    return is_port or _OF_KUBERNETES.fullmatch(name) is not None


def unknown_variables() -> list[str]:
    """One sentence for each `KEYSTEAD_*` environment variable that is no setting: most likely misspelt."""
    allowed = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    return [
        f"environment variable {name} is not a setting{_suggest(name.upper(), allowed)}"
        for name, value in sorted(os.environ.items())
        if name.upper().startswith(ENVIRONMENT_PREFIX)
        and name.upper() not in allowed | FOREIGN_VARIABLES
        and not _is_of_kubernetes(name, value)
    ]


def _suggest(name: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(allowed), n=1)
    return f"; did you mean {near[0]}?" if near else "; `keystead config` lists all settings"


# --- Messages -----------------------------------------------------------------------------------------------


def _about(field: FieldInfo) -> dict[str, Any]:
    about = field.json_schema_extra
    assert isinstance(about, dict)  # every field is made by _setting
    return about


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    """One line about all bad settings: name, source, what is wrong, what is allowed; no secret's value."""
    sentences: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":  # follows from a bad database_url, which has its own line
            continue
        name = str(detail["loc"][0]) if detail["loc"] else detail["ctx"]["setting"]
        sentences.setdefault(name, _sentence(name, detail, origins))
    return "; ".join(sentences.values())


def _sentence(name: str, detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    if name not in Settings.model_fields:
        return f"{name} is not a setting{_suggest(name, Settings.model_fields)}"
    start = f"setting {name} (from {origins.get(name, 'default')})"
    if detail["type"] == "pair":
        return f"{start} {detail['msg']}"
    if detail["type"] == "value_error":  # our own validators say it better than a general sentence
        return f"{start}: {detail['ctx']['error']}"
    about = _about(Settings.model_fields[name])
    value = "its value" if about["secret"] else repr(detail["input"])
    if len(value) > _LONGEST_SHOWN_VALUE:
        value = value[:_LONGEST_SHOWN_VALUE] + "…"
    return f"{start}: {value} is not allowed; it takes {about['takes']}"


# --- What is shown to people --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SettingView:
    """One setting as shown to the operator; `value` is `(hidden)` for a secret that is set."""

    name: str
    value: str
    origin: str


def describe(settings: Settings) -> list[SettingView]:
    """Every setting with its present value and where that came from, in the order of the docs page."""
    return [
        SettingView(name, _shown_value(getattr(settings, name), secret=_about(field)["secret"]), settings.origin(name))
        for name, field in Settings.model_fields.items()
    ]


def _shown_value(value: object, *, secret: bool) -> str:
    if value is None or value == ():
        return ""
    if secret:
        return "(hidden)"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


_PAGE_START = """\
# Settings

<!-- Generated by `keystead config --markdown`; change `keystead/config.py` instead. -->

No setting is needed to start a working server. A value is looked for in this order, the first found wins:

1. a flag of the command line, for the settings that have one;
2. the environment variable `KEYSTEAD_` + the name in capitals, such as `KEYSTEAD_PORT` (an empty one counts as
   not set, and so does what Kubernetes puts into `KEYSTEAD_PORT` for a service named `keystead`);
3. the settings file in TOML: the one that `--config` or `KEYSTEAD_CONFIG` names, else `keystead.toml` in the
   working directory;
4. the default.

A relative path is relative to the server's working directory. Names "beside the database" follow the name of
the database: for `acme.db` they begin with `acme-`. A bad value, or an unknown name in the file, stops the start
with a message that says which and why; an unknown `KEYSTEAD_*` variable is a warning. `keystead config` shows
every value and where it came from.

| Setting | Flag | Takes | Default | What it is for |
|---|---|---|---|---|
"""


def markdown() -> str:
    """The page `docs/settings.md`."""
    return _PAGE_START + "".join(_row(name, field) + "\n" for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    about = _about(field)
    default = about["shown"] or ("none" if field.default is None else f"`{field.default}`")
    flag = f"`{about['flag']}`" if about["flag"] else ""
    secret = " **Secret.**" if about["secret"] else ""
    return f"| `{name}` | {flag} | {about['takes']} | {default} | {field.description}{secret} |"


if __name__ == "__main__":
    sys.stdout.write(markdown())
