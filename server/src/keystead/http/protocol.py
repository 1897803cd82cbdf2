"""HTTP/1.1 on a connection: parsing, order, refusals, time-outs; the hot lanes and the way to the application.

Rules that hold everywhere below:

* A connection answers its requests strictly one after the other (RFC 9112 9.3.2): what has been parsed while one is
  unanswered waits in `_queue`, refusals too, so an error never overtakes the answers before it.
* All output goes through the `Outbox`.
* Only the sweep reads the clock. A phase of the connection that begins sets `_deadline` to `_UNARMED`; the next sweep
  turns that into an instant, a later one acts on it. Requests thus pay one assignment for all their time-outs.
* On `_flags == 0` the connection is at rest: between two requests, nothing waiting, the client reading. Only then may
  a request skip the parser (see `_KnownHead`).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import httptools
import structlog

from keystead.http.asgi import App, AsgiExchange, make_scope
from keystead.http.exchange import Exchange, Lane, Refuse
from keystead.http.forwarded import ForwardedFrom, plain_address
from keystead.http.heads import Heads
from keystead.http.limits import HttpLimits
from keystead.http.outbox import Outbox

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

__all__ = ["Connection", "Exchange", "ForwardedFrom", "HttpLimits", "Lane", "Outbox", "ProtocolFactory", "Refuse"]

_log = structlog.get_logger()

_BUSY = 1  # a request has been started and not yet answered
_QUEUED = 2  # parsed requests wait for it
_MIDWAY = 4  # the parser is inside a request
_STALLED = 8  # the client does not read: the transport's buffer is full
_ENDING = 16  # no request is accepted after those already received
_OLD = 32  # the request being answered is HTTP/1.0 and asked to keep the connection
_SHUT = 64  # our last byte has been sent; input is thrown away

_UNARMED = 0.0
_NEVER = float("inf")
_SWEEP_S = 1.0

# Requests started in one go before the other connections, and the writing, get their turn.
_TURN = 64
# Heads remembered per connection, and the longest one worth it.
_KNOWN_HEADS = 16
_KNOWN_HEAD_BYTES = 1024
# Framing (chunk sizes, extensions, trailers) may outweigh the body by this; a guard, no limit of the protocol.
_FRAMING_FACTOR = 16

# (head, lane, content type, authorization, user agent, client address). Clients repeat themselves: on one connection
# most requests have the head of an earlier one, byte for byte. Parsing depends on the bytes alone when the parser is
# between two requests, so an equal head means an equal outcome and neither needs to be worked out again. Looked up by
# the length of head and body together, which the head decides. It holds header values only as long as the connection.
_KnownHead = tuple[bytes, Lane, bytes | None, bytes | None, bytes | None, str | None]

# Fields that make a request need more than a look at its length.
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade"))
# Fields of which two would let two readers understand two different requests (RFC 9112 3.2, 6.3).
_SINGLE = (b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type")
# What a Host header may hold (RFC 3986 3.2.2).
_HOST_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+,;=:[]")


class _Refused(Exception):
    """The request being parsed is refused by HTTP itself."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Ignored(Exception):
    """Input behind the last request that the connection accepts."""


class _Request:
    """A request that has been parsed, or as much of it as there is."""

    __slots__ = ("body", "ends", "fields", "headers", "is_old", "is_usual", "lane", "method", "target")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        fields: dict[bytes, bytes],
        lane: Lane | None,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers  # lower-case name, value; in the order received
        self.fields = fields  # the same; of a repeated name only the last
        self.lane = lane
        self.body: bytes = b""
        self.ends = False  # the connection ends with the answer
        self.is_old = False  # HTTP/1.0
        self.is_usual = True  # the head alone decides what the request is


class _Refusal:
    """A place in the queue at which the client is refused and the connection ends."""

    __slots__ = ("has_body", "message", "status")

    def __init__(self, status: int, message: str, *, has_body: bool) -> None:
        self.status = status
        self.message = message
        self.has_body = has_body


class ProtocolFactory:
    """Makes the connections of a server, and holds what they share.

    `lanes` maps an exact request target to what answers POST to it. `refuse` words the answers to requests that HTTP
    itself refuses. `clock` tells seconds that never go back (default: the event loop's), `wall_clock` seconds since
    the epoch, for the Date header. Hand the factory itself to `uvicorn.Config(http=...)`.
    """

    def __init__(
        self,
        lanes: Mapping[bytes, Lane],
        outbox: Outbox,
        refuse: Refuse,
        *,
        limits: HttpLimits | None = None,
        forwarded: ForwardedFrom | None = None,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.lanes = dict(lanes)
        self.outbox = outbox
        self.refuse = refuse
        self.limits = limits or HttpLimits()
        self.forwarded = forwarded
        self.heads = Heads()
        self.live: set[Connection] = set()
        self._clock = clock
        self._wall_clock = wall_clock
        self._ticking = False

    def __call__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "Connection":
        """A new connection, as `uvicorn.Server` asks for it."""
        loop = _loop or asyncio.get_running_loop()
        if not self._ticking:
            self._ticking = True
            self._tick(loop)
        return Connection(self, config, server_state, app_state, loop)

    def sweep(self) -> None:
        """End what has lasted too long on any connection; needs no call, it happens once a second."""
        if self._clock is None:
            self._clock = asyncio.get_running_loop().time
        now = self._clock()
        for connection in tuple(self.live):
            connection.keep_time(now)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self.heads.refresh(self._wall_clock())
        self.sweep()
        loop.call_later(_SWEEP_S, self._next_tick, loop)

    def _next_tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # A server without connections sleeps; the next one to come starts the clockwork again.
        self._ticking = bool(self.live)
        if self._ticking:
            self._tick(loop)


class Connection(asyncio.Protocol):
    """One client's connection; also the `Exchange` and the `Wire` of the request being answered."""

    __slots__ = (
        "_advancing",
        "_app_state",
        "_body",
        "_chunk_size",
        "_completed",
        "_config",
        "_continue_owed",
        "_deadline",
        "_factory",
        "_feed",
        "_flags",
        "_gone",
        "_good_host",
        "_head_spans",
        "_headers",
        "_heads",
        "_input_over",
        "_known",
        "_limits",
        "_loop",
        "_parsed",
        "_parser",
        "_peer",
        "_peer_port",
        "_queue",
        "_queued_bytes",
        "_raw_size",
        "_reading",
        "_request",
        "_send",
        "_server_state",
        "_target",
        "_transport",
        "_turn_scheduled",
        "_unread_by_client",
        "_upgrading",
        "_writers",
        "authorization",
        "client_address",
        "content_type",
        "user_agent",
    )

    _transport: asyncio.Transport
    # of httptools; None once the connection is lost
    _parser: Any
    _feed: Any

    def __init__(
        self,
        factory: ProtocolFactory,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._factory = factory
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = loop
        self._limits = factory.limits
        self._heads = factory.heads.by_status
        self._send = factory.outbox.send
        self._known: dict[int, _KnownHead] = {}
        # Requests to lanes that were not known.
        self._parsed = 0
        self._flags = 0
        self._deadline = _UNARMED
        self._unread_by_client = 0
        self._input_over = False
        # The last Host header that was found acceptable; empty is (RFC 9112 3.2).
        self._good_host = b""
        self._peer: str | None = None
        self._peer_port = 0
        self._reset_parser()
        # The request being parsed; `_request` is None until its header is complete.
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._request: _Request | None = None
        self._body: bytes | bytearray = b""
        self._continue_owed = False
        self._upgrading = False
        self._head_spans = False
        self._chunk_size = 0
        self._raw_size = 0
        self._completed = 0
        # What waits.
        self._queue: deque[_Request | _Refusal] = deque()
        self._queued_bytes = 0
        self._reading = True
        self._advancing = False
        self._turn_scheduled = False
        self._writers: list[asyncio.Future[None]] = []
        self._gone: asyncio.Future[None] | None = None
        # The request being answered, as a lane sees it.
        self.content_type: bytes | None = None
        self.authorization: bytes | None = None
        self.user_agent: bytes | None = None
        self.client_address: str | None = None

    # ---- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the connection, or refuse it when there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        if isinstance(peer, (tuple, list)) and len(peer) >= 2:
            self._peer = plain_address(str(peer[0]))
            self._peer_port = int(peer[1])
        self.client_address = self._peer
        live = self._factory.live
        live.add(self)
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn knows its own classes only
        if len(live) > self._limits.max_connections:
            self._turn_away(len(live))

    def _turn_away(self, live: int) -> None:
        if live > 2 * self._limits.max_connections:
            self._flags = _SHUT
            self._transport.abort()  # those who are being told already use up as much as those who are served
        else:
            self._refuse(503, "Too many connections")
            self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything that was to be sent."""
        self._flags = _SHUT
        self._factory.live.discard(self)
        self._server_state.connections.discard(self)
        self._parser = self._feed = None  # the parser holds our methods: a cycle
        self._known = {}
        self._queue.clear()
        self._wake_writers()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def eof_received(self) -> bool | None:
        """Answer what has been asked, then close: half a connection is enough for that (RFC 9112 9.6)."""
        self._input_over = True
        self._drop_partial_request()
        if self._flags & _SHUT:
            self._factory.outbox.close(self._transport)
        else:
            self._flags |= _ENDING
            self._advance()
        if self._transport.can_write_eof():
            return True
        # TLS closes both directions at once: what is not written now is lost.
        self._factory.outbox.flush()
        return None

    def pause_writing(self) -> None:
        """Stop working for a client that does not read."""
        self._flags |= _STALLED
        self._deadline = _UNARMED
        self._regulate_reading()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._flags &= ~_STALLED
        self._deadline = _UNARMED
        self._wake_writers()
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent; a lane's request with a known head is answered right here."""
        known = self._known.get(len(data))
        if known is not None and not self._flags and data.startswith(known[0]):
            head, lane, self.content_type, self.authorization, self.user_agent, self.client_address = known
            self._flags = _BUSY
            try:
                lane(self, data[len(head) :])
            except Exception:
                self._lane_failed()
            return
        self._parse(data)

    # ---- time

    def keep_time(self, now: float) -> None:
        """Arm or enforce the time-out of the present phase; `now` in seconds."""
        deadline = self._deadline
        if deadline == _UNARMED:
            self._deadline = now + self._patience()
        elif deadline <= now:
            self._out_of_time()

    def _patience(self) -> float:
        flags = self._flags
        limits = self._limits
        if flags & (_STALLED | _SHUT):
            self._unread_by_client = self._transport.get_write_buffer_size()
            return limits.write_timeout_s if self._unread_by_client else limits.linger_timeout_s
        if flags & (_BUSY | _QUEUED):
            return _NEVER
        if flags & _MIDWAY:
            return limits.header_timeout_s if self._request is None else limits.body_timeout_s
        return limits.keep_alive_timeout_s

    def _out_of_time(self) -> None:
        flags = self._flags
        self._deadline = _UNARMED
        if flags & (_STALLED | _SHUT):
            if self._transport.get_write_buffer_size() >= self._unread_by_client:
                self._transport.abort()
            # else it has read something: a slow client, not a dead one
        elif flags & (_BUSY | _QUEUED):
            pass  # armed while idle; the wait is ours now
        elif flags & _MIDWAY:
            self._refuse(408, "The request did not arrive in time")
            self._advance()
        else:
            self._hang_up(linger=False)

    # ---- parsing

    def _reset_parser(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._feed = self._parser.feed_data

    def _parse(self, data: bytes | memoryview) -> None:
        flags = self._flags
        if flags & _SHUT or flags & (_ENDING | _MIDWAY) == _ENDING:
            return
        began_midway = bool(flags & _MIDWAY)
        self._head_spans = began_midway
        self._chunk_size = len(data)
        self._raw_size = self._raw_size + len(data) if began_midway else len(data)
        self._completed = 0
        if self._feed_all(data):
            if self._flags & _MIDWAY:
                self._bound_partial_request()
            elif self._completed == 1 and not began_midway:
                self._learn_head(data)
        self._advance()

    def _feed_all(self, data: bytes | memoryview) -> bool:
        """Parse `data`; False when parsing has come to its end."""
        pieces: list[bytes | memoryview] = [data]
        while pieces:
            piece = pieces.pop()
            try:
                self._feed(piece)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrading = False
                pieces = [memoryview(piece)[upgrade.args[0] :], self._head_without_upgrade()]
                self._reset_parser()
            except httptools.HttpParserError as error:
                self._parsing_failed(error.__context__)
                return False
        return True

    def _parsing_failed(self, cause: BaseException | None) -> None:
        if isinstance(cause, _Ignored) or self._flags & (_ENDING | _MIDWAY) == _ENDING:
            return  # what follows the last request is nobody's business (RFC 9112 9.6)
        if isinstance(cause, _Refused):
            self._refuse(cause.status, cause.message)
        elif cause is None:
            self._refuse(400, "Malformed HTTP request")
        else:
            _log.error("parser_failed", exc_info=cause)
            self._refuse(500, "Internal error")

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if self._flags & _ENDING and not self._flags & _MIDWAY:
            raise _Ignored
        self._flags |= _MIDWAY
        self._deadline = _UNARMED
        self._target = b""
        self._headers = []
        self._request = None
        self._body = b""

    def on_url(self, piece: bytes) -> None:
        """A piece of the request target."""
        self._target += piece
        if len(self._target) > self._limits.max_target_bytes:
            raise _Refused(414, "The request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field; the parser leaves white space behind the value (RFC 9112 5.1)."""
        if self._request is None:  # else a trailer field, which may not be taken for a header field (RFC 9110 6.5.1)
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Decide by the header whether the request is acceptable."""
        parser = self._parser
        headers = self._headers
        target = self._target
        limits = self._limits
        if len(headers) > limits.max_headers:
            raise _Refused(431, "Too many header fields")
        if (self._head_spans or self._chunk_size > limits.max_header_bytes) and self._head_is_too_large():
            raise _Refused(431, "The header is too large")
        fields = dict(headers)
        if len(fields) != len(headers):
            _refuse_doubles(headers)
        method = parser.get_method()
        lane = self._factory.lanes.get(target) if method == b"POST" else None
        self._request = request = _Request(method, target, headers, fields, lane)
        self._deadline = _UNARMED
        request.ends = not parser.should_keep_alive()
        version = parser.get_http_version()
        if version != "1.1":
            self._accept_old(request, version)
        elif (host := fields.get(b"host")) != self._good_host:
            if host is None or not _HOST_BYTES.issuperset(host):
                raise _Refused(400, "Exactly one valid Host header is required")  # RFC 9112 3.2
            self._good_host = host  # the same one every time, nearly always
        if b"#" in target or method == b"CONNECT":
            raise _Refused(400, "The request target is not acceptable")  # RFC 9112 3.2; we are no proxy
        if int(fields.get(b"content-length", b"0")) > limits.max_body_bytes:
            raise _Refused(413, "The request body is too large")
        if not _UNUSUAL.isdisjoint(fields):
            self._accept_unusual(request)

    def on_body(self, piece: bytes) -> None:
        """A piece of the body, already without chunk framing."""
        body = self._body
        if not body:
            self._body = body = piece
        else:
            if isinstance(body, bytes):
                self._body = body = bytearray(body)
            body += piece
        if len(body) > self._limits.max_body_bytes:
            raise _Refused(413, "The request body is too large")

    def on_message_complete(self) -> None:
        """The request is complete; it waits for its turn."""
        if self._upgrading:
            return  # the parser has only left the header behind
        request = self._request
        assert request is not None
        request.body = bytes(self._body)
        self._body = b""
        self._continue_owed = False
        self._completed += 1
        self._queue.append(request)
        self._queued_bytes += len(request.body)
        self._flags = self._flags & ~_MIDWAY | _QUEUED
        if request.ends:
            self._flags |= _ENDING

    def _accept_old(self, request: _Request, version: str) -> None:
        if version != "1.0":
            raise _Refused(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here")
        request.is_old = True
        if b"transfer-encoding" in request.fields:
            raise _Refused(400, "Transfer-Encoding is unknown to HTTP/1.0")  # RFC 9112 6.1: faulty framing

    def _accept_unusual(self, request: _Request) -> None:
        fields = request.fields
        request.is_usual = False
        coding = fields.get(b"transfer-encoding", b"chunked")
        if coding.lower() != b"chunked":
            # RFC 9112 6.1 suggests 501, but bad input never gives a 5xx here (contract D1).
            raise _Refused(400, "The only transfer coding supported is chunked")
        expectation = fields.get(b"expect")
        if expectation is not None and not request.is_old:  # RFC 9110 10.1.1: ignored in HTTP/1.0
            if expectation.lower() != b"100-continue":
                raise _Refused(417, "The expectation cannot be met")
            has_body = b"transfer-encoding" in fields or int(fields.get(b"content-length", b"0")) > 0
            self._continue_owed = has_body
        # RFC 9110 7.8: an upgrade may be ignored; the parser insists on it and has to be fed the head without it.
        self._upgrading = self._parser.should_upgrade()

    def _head_without_upgrade(self) -> bytes:
        request = self._request
        assert request is not None
        version = b"1.0" if request.is_old else b"1.1"
        lines = [b"%b %b HTTP/%b\r\n" % (request.method, request.target, version)]
        lines += [b"%b: %b\r\n" % field for field in request.headers if field[0] != b"upgrade"]
        return b"".join(lines) + b"\r\n"

    def _head_is_too_large(self) -> bool:
        size = len(self._target) + sum(len(name) + len(value) + 4 for name, value in self._headers)
        return size > self._limits.max_header_bytes

    def _bound_partial_request(self) -> None:
        """Refuse an incomplete request whose unseen part (a long field, chunk framing) is beyond all measure."""
        if self._completed:
            self._raw_size = 0  # unknown; at most one chunk escapes the count
        elif self._request is None:
            if self._raw_size > self._limits.max_header_bytes:
                self._refuse(431, "The header is too large")
        elif self._raw_size > self._limits.max_header_bytes + _FRAMING_FACTOR * len(self._body):
            self._refuse(413, "The request body's framing is too large")

    def _learn_head(self, data: bytes | memoryview) -> None:
        """Remember the head of the only request in `data` if a lane may skip parsing it next time."""
        request = self._queue[-1]
        if isinstance(request, _Refusal) or request.lane is None or not isinstance(data, bytes):
            return
        if request.ends or request.is_old or not request.is_usual:
            return
        size = len(data) - len(request.body)
        self._parsed += 1
        if self._parsed > 2 * _KNOWN_HEADS and self._parsed % 8:
            return  # a client whose heads never repeat (a trace id in each) must not pay for learning every one
        if size > _KNOWN_HEAD_BYTES or not data.startswith(b"POST ") or data.find(b"\r\n\r\n") + 4 != size:
            return
        if len(self._known) >= _KNOWN_HEADS:
            self._known.clear()
        get = request.fields.get
        self._known[len(data)] = (
            data[:size],
            request.lane,
            get(b"content-type"),
            get(b"authorization"),
            get(b"user-agent"),
            self._client_of(request),
        )

    # ---- answering, in order

    def _refuse(self, status: int, message: str) -> None:
        """Queue the end of the connection: a refusal in place of the request being parsed."""
        is_head = self._flags & _MIDWAY and self._method_so_far() == b"HEAD"
        self._drop_partial_request()
        self._queue.append(_Refusal(status, message, has_body=not is_head))
        self._flags |= _ENDING | _QUEUED

    def _method_so_far(self) -> bytes | None:
        # Before the target the parser still holds the method of the request before.
        method: bytes | None = self._parser.get_method() if self._target else None
        return method

    def _drop_partial_request(self) -> None:
        self._flags &= ~_MIDWAY
        self._headers = []
        self._body = b""
        self._continue_owed = False

    def _advance(self) -> None:
        """Start what waits until a request stays unanswered."""
        if self._advancing:
            return
        self._advancing = True
        self._turn_scheduled = False
        queue = self._queue
        started = 0
        while queue and not self._flags & (_BUSY | _STALLED | _SHUT):
            if started == _TURN:
                self._schedule_turn()
                break
            started += 1
            entry = queue.popleft()
            if not queue:
                self._flags &= ~_QUEUED
            self._start(entry)
        self._advancing = False
        if self._flags:
            self._settle()
        elif not self._reading:
            self._regulate_reading()

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._advance)

    def _settle(self) -> None:
        """What else is due once no further request can be started."""
        flags = self._flags
        if not flags & (_BUSY | _QUEUED | _SHUT):
            if flags & _MIDWAY:
                self._send_continue()
            elif flags & _ENDING:
                self._hang_up(linger=self._can_linger())
        self._regulate_reading()

    def _send_continue(self) -> None:
        """Ask for the body, once the earlier requests are answered; not if it is on its way (RFC 9110 10.1.1)."""
        if self._continue_owed:
            self._continue_owed = False
            if not self._body:
                self._send(self._transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start(self, entry: _Request | _Refusal) -> None:
        if isinstance(entry, _Refusal):
            self._answer_refusal(entry)
            return
        self._queued_bytes -= len(entry.body)
        self._flags |= _OLD | _BUSY if entry.is_old else _BUSY
        lane = entry.lane
        if lane is None:
            self._start_app(entry)
            return
        get = entry.fields.get
        self.content_type = get(b"content-type")
        self.authorization = get(b"authorization")
        self.user_agent = get(b"user-agent")
        if self._factory.forwarded is not None:
            self.client_address = self._client_of(entry)
        try:
            lane(self, entry.body)
        except Exception:
            self._lane_failed()

    def _client_of(self, request: _Request) -> str | None:
        forwarded = self._factory.forwarded
        if forwarded is None:
            return self._peer
        wanted = forwarded.header.lower()
        return forwarded.client(self._peer, [value for name, value in request.headers if name == wanted])

    def respond(self, status: int, body: bytes, extra_headers: bytes = b"") -> None:
        """Answer the request that a lane was given; see `Exchange.respond`."""
        if self._flags != _BUSY:
            self._respond_with_care(status, body, extra_headers)
            return
        self._flags = 0
        self._deadline = _UNARMED
        head = self._heads.get(status) or self._factory.heads.of(status)
        self._send(self._transport, b"%b%d\r\n%b\r\n%b" % (head, len(body), extra_headers, body))

    def _respond_with_care(self, status: int, body: bytes, extra_headers: bytes) -> None:
        """Answer while something else is the matter: waiting requests, an old client, the end of the connection."""
        if self._flags & _SHUT:
            return
        if not self._flags & _BUSY:
            raise RuntimeError("the request has been answered already")
        head = self._factory.heads.of(status)
        extra_headers += self.connection_header()
        self._send(self._transport, b"%b%d\r\n%b\r\n%b" % (head, len(body), extra_headers, body))
        self.finish(keep_alive=True)

    def _answer_refusal(self, refusal: _Refusal) -> None:
        body, extra_headers = self._factory.refuse(refusal.status, refusal.message)
        head = self._factory.heads.of(refusal.status)
        data = b"%b%d\r\n%bconnection: close\r\n\r\n" % (head, len(body), extra_headers)
        self._send(self._transport, data + body if refusal.has_body else data)
        self._hang_up(linger=True)

    def _lane_failed(self) -> None:
        _log.exception("lane_failed")
        if self._flags & _BUSY:
            self.respond(500, *self._factory.refuse(500, "Internal error"))

    def _hang_up(self, *, linger: bool) -> None:
        """End the connection after what has been sent.

        Closing while the client still sends would reset the connection and could destroy our last answer before the
        client reads it; so unless the client is known to be done, only our side is closed and its input is thrown
        away for a while (RFC 9112 9.6).
        """
        self._flags = self._flags & _STALLED | _SHUT
        self._deadline = _UNARMED
        self._known = {}
        if not linger:
            self._factory.outbox.close(self._transport)
        elif self._transport.can_write_eof():
            self._send(self._transport, b"")
        self._regulate_reading()

    def _can_linger(self) -> bool:
        """Whether waiting for the client's end is of use: under TLS our own end could not be seen before it."""
        return not self._input_over and self._transport.can_write_eof()

    def _regulate_reading(self) -> None:
        """Read only while there is room for more requests; while lingering, always."""
        flags = self._flags
        limits = self._limits
        wanted = bool(flags & _SHUT) or (
            not flags & _STALLED
            and len(self._queue) <= limits.max_pipelined
            and self._queued_bytes <= limits.max_pipelined_bytes
        )
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def shutdown(self) -> None:
        """Finish the requests already received, and then close (uvicorn's graceful shutdown)."""
        if self._flags & _SHUT:
            return
        if self._flags & _MIDWAY and self._request is None:
            self._drop_partial_request()
        if self._flags & (_BUSY | _QUEUED | _MIDWAY):
            self._flags |= _ENDING
            self._advance()
        else:
            # No answer is on its way that lingering could save, and a restart must not wait for idle clients.
            self._hang_up(linger=False)

    def cut_off(self) -> None:
        """End the connection now: no request is started and no answer leaves any more."""
        self._flags = _SHUT
        self._queue.clear()
        self._known = {}
        self._transport.abort()

    # ---- the application's side

    def _start_app(self, request: _Request) -> None:
        client = self._client_of(request)
        config = self._config
        scope = make_scope(
            method=request.method.decode("ascii"),
            target=request.target,
            headers=request.headers,
            http_version="1.0" if request.is_old else "1.1",
            scheme="https" if self._transport.get_extra_info("sslcontext") else "http",
            client=(client, self._peer_port) if client is not None else None,
            server=_server_of(self._transport),
            root_path=config.root_path,
            state=self._app_state.copy(),
        )
        app: App = config.loaded_app
        self._gone = None
        tasks = self._server_state.tasks
        task = self._loop.create_task(AsgiExchange(self, scope, request.body).run(app))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    @property
    def is_gone(self) -> bool:
        """Nothing more can be sent."""
        return bool(self._flags & _SHUT)

    @property
    def date(self) -> bytes:
        """The Date header line of this second."""
        return self._factory.heads.date

    def connection_header(self) -> bytes:
        """The header line that the answer being given must carry about the connection (RFC 9112 9.3, 9.6)."""
        flags = self._flags
        if flags & (_ENDING | _QUEUED | _MIDWAY) == _ENDING:
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if flags & _OLD else b""

    def write(self, data: bytes) -> None:
        """Send a part of the application's answer."""
        if not self._flags & _SHUT:
            self._send(self._transport, data)

    async def drained(self) -> None:
        """Return when the client has taken enough of what was written, or is gone."""
        await asyncio.sleep(0)  # lets the outbox write, which tells whether the client keeps up
        while self._flags & (_STALLED | _SHUT) == _STALLED:
            writer = self._loop.create_future()
            self._writers.append(writer)
            await writer

    async def disconnected(self) -> None:
        """Return when the client is gone, or the request answered."""
        if not self._flags & _SHUT:
            if self._gone is None:
                self._gone = self._loop.create_future()
            await asyncio.shield(self._gone)

    def finish(self, *, keep_alive: bool) -> None:
        """The answer is complete; otherwise end the connection, so that the client can tell."""
        if self._flags & _SHUT:
            return
        self._flags &= ~(_BUSY | _OLD)
        self._deadline = _UNARMED
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        if keep_alive:
            self._advance()
        else:
            self._hang_up(linger=self._can_linger())

    def fail(self) -> None:
        """Answer that something went wrong inside."""
        self.respond(500, *self._factory.refuse(500, "Internal error"))

    def _wake_writers(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)


def _refuse_doubles(headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise _Refused(400, f"The header {name.decode('ascii')} may occur only once")


def _server_of(transport: asyncio.Transport) -> tuple[str, int | None] | None:
    name = transport.get_extra_info("sockname")
    if isinstance(name, (tuple, list)) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return (name, None) if isinstance(name, str) and name else None
