"""The bridge from a parsed request to the ASGI application and back.

The application sees ASGI 3 (specification 2.3): the complete body in one message, `http.disconnect` once the client is
gone or answered, and messages sent to a client that is gone are dropped.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

import structlog

from keystead.http.heads import status_line

_log = structlog.get_logger()

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

# The connection's own affairs, whatever an application says about them (RFC 9112 6.1, 9.6).
_OURS = frozenset((b"transfer-encoding", b"connection", b"keep-alive"))


class Wire(Protocol):
    """What the bridge needs of the connection it answers on."""

    @property
    def is_gone(self) -> bool:
        """Nothing more can be sent."""
        ...

    @property
    def date(self) -> bytes:
        """The Date header line."""
        ...

    def connection_header(self) -> bytes:
        """The header line that says what becomes of the connection, or nothing."""
        ...

    def write(self, data: bytes) -> None:
        """Send `data` after what was sent before."""
        ...

    async def drained(self) -> None:
        """Return when the client has taken enough of what was written, or is gone."""
        ...

    async def disconnected(self) -> None:
        """Return when the client is gone."""
        ...

    def finish(self, *, keep_alive: bool) -> None:
        """The answer is complete, or can't be completed when `keep_alive` is False."""
        ...

    def fail(self) -> None:
        """Answer that something went wrong inside."""
        ...


def split_target(target: bytes) -> tuple[bytes, bytes]:
    """Path, still encoded, and query of a request target in any of its forms (RFC 9112 3.2)."""
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") and b"://" in path:
        _, slash, rest = path.partition(b"://")[2].partition(b"/")
        path = slash + rest or b"/"
    return path, query


def make_scope(
    *,
    method: str,
    target: bytes,
    headers: list[tuple[bytes, bytes]],
    http_version: str,
    scheme: str,
    client: tuple[str, int] | None,
    server: tuple[str, int | None] | None,
    root_path: str,
    state: dict[str, Any],
) -> Scope:
    """The ASGI scope of a request."""
    raw_path, query = split_target(target)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": http_version,
        "method": method,
        "scheme": scheme,
        "path": root_path + unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": root_path.encode("ascii") + raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": headers,
        "client": client,
        "server": server,
        "state": state,
    }


class AsgiExchange:
    """One request as the application's `receive` and `send`."""

    __slots__ = (
        "_body",
        "_chunked",
        "_complete",
        "_head",
        "_head_sent",
        "_is_1_0",
        "_is_head",
        "_keep_alive",
        "_scope",
        "_unsent",
        "_wire",
        "_without_body",
    )

    def __init__(self, wire: Wire, scope: Scope, body: bytes) -> None:
        self._wire = wire
        self._scope = scope
        self._body: bytes | None = body
        self._is_1_0 = scope["http_version"] == "1.0"
        self._is_head = scope["method"] == "HEAD"
        # The start message is kept until the first piece of body: the whole answer may then go out as one piece, and
        # an application that fails in between can still be answered 500.
        self._head: Message | None = None
        self._head_sent = False
        self._complete = False
        self._keep_alive = True
        self._chunked = False
        # The answer ends with its head (RFC 9110 6.4.1).
        self._without_body = False
        # Bytes that the application still owes of the content-length it declared.
        self._unsent: int | None = None

    async def run(self, app: App) -> None:
        """Let `app` answer; an answer it fails to give is given, or the connection closed."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            if not self._wire.is_gone:
                _log.exception("request_failed", method=self._scope["method"], path=self._scope["path"])
        except BaseException:  # cancelled: the server does not wait any longer
            if not self._complete:
                self._complete = True
                self._wire.finish(keep_alive=False)
            raise
        if self._complete or self._wire.is_gone:
            return
        if self._head_sent:
            _log.error("answer_incomplete", method=self._scope["method"], path=self._scope["path"])
            self._wire.finish(keep_alive=False)
        else:
            self._complete = True
            self._wire.fail()

    async def receive(self) -> Message:
        """The body, then the end of the client's interest."""
        body = self._body
        if body is not None:
            self._body = None
            return {"type": "http.request", "body": body, "more_body": False}
        if not self._complete:
            await self._wire.disconnected()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take one message of the answer."""
        if self._wire.is_gone:
            return
        kind = message["type"]
        if kind == "http.response.start" and self._head is None:
            self._head = message
        elif kind == "http.response.body" and self._head is not None and not self._complete:
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        head = b"" if self._head_sent else self._make_head(None if more else len(body))
        data = head + self._framed(bytes(body), more=more)
        self._head_sent = True
        if data:
            self._wire.write(data)
        if more:
            await self._wire.drained()
        elif self._unsent:
            raise RuntimeError("answer is shorter than its content-length")
        else:
            self._complete = True
            self._wire.finish(keep_alive=self._keep_alive)

    def _make_head(self, length: int | None) -> bytes:
        """Status line and header; `length` is the body's if that is known now."""
        message = self._head
        assert message is not None
        status: int = message["status"]
        self._without_body = self._is_head or status in (204, 304) or status < 200
        lines = [status_line(status)]
        declared = self._take_headers(message.get("headers", ()), lines)
        if declared is None and status not in (204, 304):
            if length is not None and not (self._is_head and length == 0):
                lines.append(b"content-length: %d\r\n" % length)
            elif not self._without_body:
                self._frame_by_chunks_or_close(lines)
        elif not self._without_body:
            self._unsent = declared
        if not self._keep_alive:
            lines.append(b"connection: close\r\n")
        else:
            lines.append(self._wire.connection_header())
        lines.append(b"\r\n")
        return b"".join(lines)

    def _take_headers(self, headers: Iterable[tuple[bytes, bytes]], lines: list[bytes]) -> int | None:
        """Append the application's header lines; the content-length among them, if any."""
        declared = None
        has_date = False
        for raw_name, value in headers:
            name = raw_name.lower()
            if b"\n" in value or b"\r" in value or b"\0" in value:
                raise ValueError("line break in a header value")  # RFC 9110 5.5
            if name in _OURS:
                if name == b"connection" and value.strip().lower() == b"close":
                    self._keep_alive = False
                continue
            if name == b"content-length":
                declared = int(value)
            has_date = has_date or name == b"date"
            lines.append(b"%b: %b\r\n" % (name, value))
        if not has_date:
            lines.append(self._wire.date)
        return declared

    def _frame_by_chunks_or_close(self, lines: list[bytes]) -> None:
        if self._is_1_0:
            self._keep_alive = False  # 1.0 knows no chunks: the end of the body is the end (RFC 9112 6.1, 6.3)
        else:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._without_body:
            return b""
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._unsent is not None:
            if len(body) > self._unsent:
                raise RuntimeError("answer is longer than its content-length")
            self._unsent -= len(body)
        return body
