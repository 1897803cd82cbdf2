"""One pipeline for all messages, and no secret in any of them."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from keystead import logs

SECRET = "unkey_3ZFTVMJ69MaQg71pn85SRmbU"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Other tests find logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for handler in handlers:  # basicConfig(force=True) would close pytest's own
        root.removeHandler(handler)
    yield
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def logged(write: Callable[[], object], level: str = "info", log_format: str = "json") -> str:
    stream = io.StringIO()
    logs.configure(level, log_format, stream)
    write()
    return stream.getvalue()


def test_a_json_line_has_the_members_one_searches_for() -> None:
    """A message is one line of JSON with time, level, logger, event and its own members."""
    line = logged(lambda: structlog.get_logger("keystead.test").info("server started", port=3000))
    assert line.count("\n") == 1
    record = json.loads(line)
    assert record.pop("timestamp").endswith("Z")
    assert record == {"event": "server started", "level": "info", "logger": "keystead.test", "port": 3000}


@pytest.mark.parametrize("name", ["uvicorn.error", "sqlalchemy.pool", "alembic.runtime.migration"])
def test_libraries_go_through_the_same_pipeline(name: str) -> None:
    """A library's message has the same members, with its arguments filled in."""
    record = json.loads(logged(lambda: logging.getLogger(name).warning("port %d is taken", 3000)))
    assert (record["event"], record["level"], record["logger"]) == ("port 3000 is taken", "warning", name)


def test_the_console_format_is_for_people() -> None:
    """The console format shows event and members in plain text, without colours where there is no terminal."""
    line = logged(lambda: structlog.get_logger("x").info("server started", port=3000), log_format="console")
    assert "server started" in line
    assert "port=3000" in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_the_level_bounds_ours_and_foreign_messages(level: str, expected: int) -> None:
    """Messages below the level are dropped, from whomever."""
    for log in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        lines = logged(
            lambda log=log: [getattr(log, name)("x") for name in ("debug", "info", "warning", "error")], level
        )  # type: ignore[misc]
        assert lines.count("\n") == expected


def test_sql_statements_are_not_logged() -> None:
    """Even at the lowest level SQLAlchemy's statements and their parameters stay out."""
    assert logged(lambda: logging.getLogger("sqlalchemy.engine.Engine").info("INSERT"), "debug") == ""


def test_messages_of_a_request_carry_its_id() -> None:
    """Within a request every message has its id, ours and foreign ones, in tasks too, and none afterwards."""

    async def work(request_id: str) -> None:
        with logs.request_context(request_id):
            await asyncio.gather(asyncio.sleep(0), inner())
        structlog.get_logger("x").info("after")

    async def inner() -> None:
        structlog.get_logger("x").info("ours")
        logging.getLogger("y").info("theirs")

    lines = logged(lambda: asyncio.run(work("req_1")))
    assert [json.loads(line).get("request_id") for line in lines.splitlines()] == ["req_1", "req_1", None]


class Opaque:
    def __repr__(self) -> str:
        return f"<Request authorization='Bearer {SECRET}'>"


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "members",
    [
        *[{name: SECRET} for name in sorted(logs.SECRET_MEMBERS)],
        {"Authorization": SECRET},
        {"rootKey": SECRET},
        {"ROOT-KEY": SECRET},
        {"headers": {"authorization": f"Bearer {SECRET}"}},
        {"header": f"bearer  {SECRET}"},
        {"items": [{"deep": ({"plaintext": SECRET},)}]},
        {"request": Opaque()},
        {"body": SECRET.encode()},
    ],
    ids=str,
)
def test_no_secret_gets_through(members: dict[str, Any], log_format: str) -> None:
    """Secrets are hidden by the name of their member at any depth, and bearer tokens wherever they stand."""
    assert SECRET not in logged(lambda: structlog.get_logger("x").info("done", **members), "info", log_format)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_secret_in_texts_and_tracebacks(log_format: str) -> None:
    """Bearer tokens are hidden in messages and exceptions, and tracebacks show no values of variables."""

    def fail() -> None:
        local = SECRET
        try:
            raise ValueError(f"bad header Bearer {SECRET}", len(local))
        except ValueError:
            structlog.get_logger("x").exception("failed with Bearer " + SECRET)
            logging.getLogger("y").exception("failed with Bearer %s", SECRET)

    written = logged(fail, "info", log_format)
    assert SECRET not in written
    assert written.count("Traceback (most recent call last)") == 2
    assert written.count("ValueError") >= 2


def test_ordinary_members_are_left_alone() -> None:
    """What is no secret arrives unchanged: ids, numbers, nested values."""
    members = {"key_id": "key_1", "count": 2, "ratio": 0.5, "ok": True, "none": None, "nested": {"ids": ["a"]}}
    record = json.loads(logged(lambda: structlog.get_logger("x").info("done", **members)))
    assert {name: record[name] for name in members} == members


def test_a_message_stays_on_its_line() -> None:
    """A line break in a logged value can't forge a second JSON line."""
    line = logged(lambda: structlog.get_logger("x").info("name is a\n{}", name="b\n{}"))
    assert line.count("\n") == 1


def test_no_text_steers_the_terminal() -> None:
    """Text of strangers, in a message, a member or an error, can neither clear the screen nor begin a line."""
    text = "x\x1b[2J\r\x9b1m\u2028y"

    def write() -> None:
        structlog.get_logger().info("first " + text, name=text)
        logging.getLogger("library").info("second %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            structlog.get_logger().exception("third")

    shown = logged(write, log_format="console")
    assert not set("\x1b\r\x9b\u2028") & set(shown)
    assert shown.count("\\x1b[2J") >= 4
    assert sum(line.startswith("20") for line in shown.splitlines()) == 3


def test_configuring_again_replaces() -> None:
    """The last configuration counts, and lines are not doubled."""
    first = io.StringIO()
    logs.configure("info", "json", first)
    assert logged(lambda: structlog.get_logger("x").info("once")).count("\n") == 1
    assert first.getvalue() == ""
