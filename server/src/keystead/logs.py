"""What the server says about itself: one pipeline for our messages and those of the libraries, to standard error.

Nothing secret leaves through here: members with telling names and anything that looks like a bearer token are
replaced before a line is written, whoever wrote it, and tracebacks are shown without the values of variables.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO

import structlog

HIDDEN = "(hidden)"

SECRET_MEMBERS = frozenset(
    {"key", "plaintext", "authorization", "root_key", "secret", "encryption_keys", "password", "token"}
)
"""Names of members whose values are never logged; compared without case, `-` and `_`."""

# The characters of RFC 6750 `b64token`; a text behind "Bearer" that is none can't be a credential.
_BEARER = re.compile(r"(\bbearer\s+)[A-Za-z0-9._~+/=-]+", re.IGNORECASE)
# Control characters, and what else ends a line; a traceback has lines of its own.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROLS_IN_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SECRET_NAMES = frozenset(name.replace("_", "") for name in SECRET_MEMBERS)


def configure(level: str = "info", log_format: str = "json", stream: TextIO | None = None) -> None:
    """Write messages of `level` and above as `json` or `console` lines to `stream`, standard error if not given.

    May be called again; the last call counts. uvicorn must be run with `log_config=None` to keep this.
    """
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    # Runs for structlog and for the standard library alike, so that a line looks the same whoever wrote it.
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A logger made before this call must follow it.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Before `redact`, so that the traceback's text is looked at too.
                structlog.processors.format_exc_info,
                redact,
                *([] if log_format == "json" else [_escape_controls]),
                _renderer(log_format, stream),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=number, force=True)
    # At "info" SQLAlchemy logs every statement with its parameters: hashes, names, metadata of customers.
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    # Its "info" tells of plugins being set up; that a migration ran, `stores.migrate` says itself.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def _escape_controls(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor for terminals: no text can end its line or steer the terminal. JSON does so by itself.

    The renderer escapes the values of members; the message and the traceback it writes as they are.
    """
    event["event"] = _CONTROLS.sub(_escaped, str(event["event"]))
    if "exception" in event:
        event["exception"] = _CONTROLS_IN_LINES.sub(_escaped, str(event["exception"]))
    return event


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode("ascii")


def _renderer(log_format: str, stream: TextIO) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        # The default prints local variables where Rich is installed.
        exception_formatter=structlog.dev.plain_traceback,
    )


def request_context(request_id: str) -> AbstractContextManager[None]:
    """Every message within, also in tasks started there, carries this `request_id`."""
    return structlog.contextvars.bound_contextvars(request_id=request_id)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: the event without secrets, made of plain values only."""
    return _clean_members(event)


def _clean_members(members: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): HIDDEN if _is_secret(name) else _clean(value) for name, value in members.items()}


def _is_secret(name: object) -> bool:
    return re.sub("[-_]", "", str(name)).lower() in _SECRET_NAMES


def _clean(value: object) -> object:
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _BEARER.sub(rf"\1{HIDDEN}", value)
        case bytes() | bytearray():
            return f"({len(value)} bytes)"  # what we hold as bytes is key material or a body
        case Mapping():
            return _clean_members(value)
        case list() | tuple() | set() | frozenset():
            return [_clean(item) for item in value]
        case _:
            return _clean(repr(value))
