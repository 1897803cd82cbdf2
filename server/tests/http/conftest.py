"""Two ways to talk to the protocol: without sockets, where a test decides what happens when, and over real ones."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import uvicorn
import uvloop
from uvicorn.server import ServerState

from keystead.http.protocol import Connection, Exchange, HttpLimits, Outbox, ProtocolFactory
from keystead.testing.transport import MemoryTransport

# What the server switches off in uvicorn; proxy headers are ours to interpret.
OFF: dict[str, Any] = {"lifespan": "off", "ws": "none", "log_config": None}


class Answer(NamedTuple):
    """One answer as a client understands it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


def read_answers(raw: bytes, without_body: tuple[int, ...] = ()) -> list[Answer]:
    """Split a server's output into answers; `without_body` are the positions of answers to HEAD."""
    answers: list[Answer] = []
    while raw:
        head, end, raw = raw.partition(b"\r\n\r\n")
        assert end, f"incomplete head: {head!r}"
        line, *fields = head.decode("latin-1").split("\r\n")
        version, status = line.split(" ")[:2]
        assert version == "HTTP/1.1"
        names = [field.split(": ", 1)[0].lower() for field in fields]
        assert len(names) == len(set(names)), names
        headers = dict(zip(names, (field.split(": ", 1)[1] for field in fields), strict=True))
        if len(answers) in without_body or int(status) in (100, 204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body, raw = _read_chunks(raw)
        elif "content-length" in headers:
            size = int(headers["content-length"])
            assert len(raw) >= size, "incomplete body"
            body, raw = raw[:size], raw[size:]
        else:
            body, raw = raw, b""
        answers.append(Answer(int(status), headers, body))
    return answers


def _read_chunks(raw: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        body, raw = body + raw[:length], raw[length + 2 :]
        if length == 0:
            return body, raw


def refuse(status: int, message: str) -> tuple[bytes, bytes]:
    """The error envelope, as far as these tests care."""
    return json.dumps({"error": {"message": message}}).encode(), b"unkey-request-id: req_1\r\n"


class Site:
    """The lanes and the application that the tests ask; what they saw is in the lists."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Exchange, bytes]] = []
        self.received: list[str] = []  # types of what the application received after the body
        self.errors: list[BaseException] = []
        self.lanes = {b"/echo": self.echo, b"/later": self.later, b"/boom": self.boom, b"/oops": self.oops}

    def echo(self, exchange: Exchange, body: bytes) -> None:
        """Tell what the lane saw."""
        seen = {
            "body": body.decode("latin-1"),
            "content_type": _text(exchange.content_type),
            "authorization": _text(exchange.authorization),
            "user_agent": _text(exchange.user_agent),
            "client_address": exchange.client_address,
        }
        exchange.respond(200, json.dumps(seen).encode(), b"unkey-request-id: req_2\r\n")

    def later(self, exchange: Exchange, body: bytes) -> None:
        """Leave the answer to the test."""
        self.waiting.append((exchange, body))

    def boom(self, exchange: Exchange, body: bytes) -> None:
        """Fail before answering."""
        raise ValueError("boom")

    def oops(self, exchange: Exchange, body: bytes) -> None:
        """Fail after answering."""
        exchange.respond(200, b"{}")
        raise ValueError("oops")

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """An ASGI application; the path says what it does."""
        handler = getattr(self, "app_" + scope["path"].strip("/").replace("-", "_"), None)
        if handler is not None:
            await handler(scope, receive, send)
            return
        body = (await receive())["body"]
        seen = {
            "method": scope["method"],
            "path": scope["path"],
            "raw_path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "client": scope["client"],
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "version": scope["http_version"],
            "scheme": scope["scheme"],
            "body": body.decode("latin-1"),
        }
        await self.answer(send, json.dumps(seen).encode())

    async def answer(self, send: Any, *pieces: bytes, status: int = 200, headers: Any = ()) -> None:
        """Send an answer in pieces."""
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for number, piece in enumerate(pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": number < len(pieces)})

    async def app_stream(self, scope: Any, receive: Any, send: Any) -> None:
        """Three pieces of unknown length."""
        await self.answer(send, b"one,", b"", b"two,", b"three")

    async def app_flood(self, scope: Any, receive: Any, send: Any) -> None:
        """Count what could be sent before the client was gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
            self.received.append("sent")

    async def app_fail(self, scope: Any, receive: Any, send: Any) -> None:
        """Fail before anything has been sent."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("fail")

    async def app_fail_late(self, scope: Any, receive: Any, send: Any) -> None:
        """Fail in the middle."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError("late")

    async def app_silent(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer nothing."""

    async def app_empty(self, scope: Any, receive: Any, send: Any) -> None:
        """No content."""
        await self.answer(send, b"", status=204)

    async def app_unchanged(self, scope: Any, receive: Any, send: Any) -> None:
        """Not modified."""
        await self.answer(send, b"ignored", status=304, headers=[(b"etag", b'"x"')])

    async def app_split_header(self, scope: Any, receive: Any, send: Any) -> None:
        """Try to smuggle a header line."""
        await self.answer(send, b"", headers=[(b"location", b"/x\r\nset-cookie: a=b")])

    async def app_long(self, scope: Any, receive: Any, send: Any) -> None:
        """Send more than declared."""
        await self.answer(send, b"abc", headers=[(b"content-length", b"2")])

    async def app_short(self, scope: Any, receive: Any, send: Any) -> None:
        """Send less than declared."""
        await self.answer(send, b"abc", headers=[(b"content-length", b"5")])

    async def app_bye(self, scope: Any, receive: Any, send: Any) -> None:
        """End the connection from the application; its other hop-by-hop fields are not its business."""
        headers = [(b"Connection", b"close"), (b"transfer-encoding", b"gzip"), (b"date", b"today")]
        await self.answer(send, b"bye", headers=headers)

    async def app_wait(self, scope: Any, receive: Any, send: Any) -> None:
        """Wait until the client is gone."""
        self.received.append((await receive())["type"])
        self.received.append((await receive())["type"])
        await self.answer(send, b"too late")

    async def app_after(self, scope: Any, receive: Any, send: Any) -> None:
        """Receive after having answered."""
        await self.answer(send, b"done")
        self.received.append((await receive())["type"])
        self.received.append((await receive())["type"])


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


class MemoryClient:
    """A client without a socket."""

    def __init__(self, bench: "Bench", connection: Connection, transport: MemoryTransport) -> None:
        self._bench = bench
        self.connection = connection
        self.transport = transport

    def send(self, *pieces: bytes) -> "MemoryClient":
        """Let the server receive each piece by itself, with turns of the loop in between."""
        for piece in pieces:
            if self.transport.is_closed:
                break
            self._bench.run(self.connection.data_received, piece)
        return self

    def end(self) -> "MemoryClient":
        """Shut down the client's sending side."""
        self._bench.run(self.connection.eof_received)
        return self

    def lose(self) -> "MemoryClient":
        """Break the connection."""
        self.transport.is_closed = True
        self._bench.run(self.connection.connection_lost, None)
        return self

    @property
    def is_ended(self) -> bool:
        """Whether the server will send no more."""
        return self.transport.has_eof or self.transport.is_closed

    def answers(self, without_body: tuple[int, ...] = ()) -> list[Answer]:
        """What the server has answered so far."""
        return read_answers(bytes(self.transport.output), without_body)

    @property
    def statuses(self) -> list[int]:
        """The statuses of these answers."""
        return [answer.status for answer in self.answers()]


class Bench:
    """A server without sockets, on a loop and a clock of its own."""

    def __init__(self, **options: Any) -> None:
        self.site = Site()
        self.loop = uvloop.new_event_loop()
        self.now = 1000.0
        self.sendings: list[int] = []  # for each batch of output, what had been written before it
        self.outbox = Outbox(lambda: self.sendings.append(sum(len(c.transport.output) for c in self.clients)))
        self.clients: list[MemoryClient] = []
        self.factory = ProtocolFactory(
            self.site.lanes, self.outbox, refuse, clock=lambda: self.now, wall_clock=lambda: 1.7e9, **options
        )
        self.config = uvicorn.Config(self.site.app, interface="asgi3", proxy_headers=False, **OFF)
        self.config.load()
        self.state = ServerState()

    def connect(self, peer: Any = ("192.0.2.7", 4711), *, is_tls: bool = False) -> MemoryClient:
        """A new client."""
        extra = {"peername": peer, "sockname": ("127.0.0.1", 3000)}
        if is_tls:
            extra["sslcontext"] = object()
        transport = MemoryTransport(extra, is_tls=is_tls)
        connection = self.run(lambda: self.factory(self.config, self.state, {}))
        client = MemoryClient(self, connection, transport)
        self.clients.append(client)
        self.run(connection.connection_made, transport)
        return client

    def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call something inside the loop, then let the loop turn until tasks have had their chance."""

        async def inside() -> Any:
            result = call(*arguments)
            for _ in range(40):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(inside())

    def pass_time(self, seconds: float) -> None:
        """Sweep now, and again after `seconds`."""
        self.run(self.factory.sweep)
        self.now += seconds
        self.run(self.factory.sweep)

    def close(self) -> None:
        """Lose all clients and close the loop."""
        if self.loop.is_closed():
            return
        for client in self.clients:
            client.lose()
        self.loop.close()


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    """Makes benches; takes the factory's options."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> Bench:
            bench = Bench(**options)
            stack.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """A bench with the default limits."""
    return make_bench()


class RealServer:
    """uvicorn with our protocol on uvloop, in a thread."""

    def __init__(self, limits: HttpLimits | None = None, **options: Any) -> None:
        self.site = Site()
        self.factory = ProtocolFactory(
            self.site.lanes, Outbox(lambda: None), refuse, limits=limits, clock=lambda: self.now
        )
        self.now = 1000.0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            options.pop("app", self.site.app),
            http=self.factory,  # type: ignore[arg-type]  # uvicorn only calls it
            loop="uvloop",
            interface="asgi3",
            proxy_headers=False,
            **OFF,
            **options,
        )
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._started.wait(10)

    def _run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            # The listener queues clients from the start, so nobody needs to wait for uvicorn's own readiness.
            self._started.set()
            await self.server.serve(sockets=[self._listener])

        uvloop.run(serve())

    def connect(self, tls: ssl.SSLContext | None = None) -> socket.socket:
        """A client's socket."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        return tls.wrap_socket(sock, server_hostname="localhost") if tls else sock

    def call(self, function: Callable[[], Any]) -> Any:
        """Run `function` in the server's loop; its result."""

        async def inside() -> Any:
            return function()

        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(10)

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the server's loop turn until `condition` holds."""

        async def inside() -> None:
            while not condition():
                await asyncio.sleep(0)

        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(inside(), self.loop).result(10)

    def begin_shutdown(self) -> None:
        """Ask uvicorn to stop gracefully."""
        self.server.should_exit = True

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(10)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """Stop."""
        self.begin_shutdown()
        if self._thread.is_alive():
            self.server.force_exit = True
            self.join()


@pytest.fixture
def make_server() -> Iterator[Callable[..., RealServer]]:
    """Makes servers; takes limits and uvicorn's options."""
    with contextlib.ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> RealServer:
            server = RealServer(*arguments, **options)
            stack.callback(server.close)
            return server

        yield make


def receive_all(sock: socket.socket) -> bytes:
    """Everything until the server's end."""
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.fixture
def read_to_end() -> Callable[[socket.socket], bytes]:
    """Reads a socket until the server's end."""
    return receive_all


@pytest.fixture
def parse_answers() -> Callable[..., list[Answer]]:
    """Splits a server's output into answers."""
    return read_answers
