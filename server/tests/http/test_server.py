"""The protocol under uvicorn, over real sockets."""

import asyncio
import contextlib
import datetime
import json
import signal
import socket
import ssl
import threading
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from keystead.http.outbox import Outbox
from keystead.http.protocol import HttpLimits, ProtocolFactory
from keystead.http.server import HttpServer


def post(target: bytes, body: bytes = b"{}", headers: bytes = b"") -> bytes:
    """A POST with a declared length."""
    return b"POST %b HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (target, headers, len(body), body)


CLOSE = b"Connection: close\r\n"


def test_pipeline_over_a_socket(make_server: Any, read_to_end: Any, parse_answers: Any) -> None:
    """Thousands of pipelined requests to lanes and application are answered in order, then the connection ends."""
    server = make_server()
    requests = [post(b"/echo" if number % 7 else b"/app", b"%d" % number) for number in range(5000)]
    with server.connect() as sock:
        everything = b"".join(requests) + post(b"/echo", b"end", CLOSE)
        sender = threading.Thread(target=sock.sendall, args=(everything,))
        sender.start()
        answers = parse_answers(read_to_end(sock))
        sender.join()
    assert [answer.json["body"] for answer in answers] == [*map(str, range(5000)), "end"]


def test_answer_survives_a_refused_body(make_server: Any, read_to_end: Any, parse_answers: Any) -> None:
    """A client that is still sending when it is refused can read the refusal."""
    server = make_server(HttpLimits(max_body_bytes=1000))
    with server.connect() as sock:
        sock.sendall(post(b"/echo", b"x" * 200_000))
        (answer,) = parse_answers(read_to_end(sock))
    assert answer.status == 413


@pytest.mark.parametrize("is_tls", [False, True])
def test_refused_client_that_stays(make_server: Any, certificate: tuple[Path, Path], is_tls: bool) -> None:
    """A refused client that does not close is dropped after a short while, over TCP and TLS."""
    cert, key = certificate
    server = make_server(**({"ssl_certfile": str(cert), "ssl_keyfile": str(key)} if is_tls else {}))
    with server.connect(ssl.create_default_context(cafile=str(cert)) if is_tls else None) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
        server.call(server.factory.sweep)
        server.now += 3
        server.call(server.factory.sweep)
        server.until(lambda: not server.factory.live)


def test_half_close_over_a_socket(make_server: Any, read_to_end: Any, parse_answers: Any) -> None:
    """A client that shuts down its side right after its request gets the answer."""
    server = make_server()
    with server.connect() as sock:
        sock.sendall(post(b"/echo") + post(b"/app"))
        sock.shutdown(socket.SHUT_WR)
        assert [answer.status for answer in parse_answers(read_to_end(sock))] == [200, 200]
    server.until(lambda: not server.factory.live)


def test_client_that_resets(make_server: Any) -> None:
    """A client that resets while it is being answered leaves nothing behind, and a late answer does nothing."""
    server = make_server()
    sock = server.connect()
    sock.sendall(post(b"/later"))
    server.until(lambda: bool(server.site.waiting))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    server.until(lambda: not server.factory.live)
    server.call(lambda: server.site.waiting[0][0].respond(200, b"{}"))


def test_client_that_does_not_read(make_server: Any) -> None:
    """A client that never reads a long answer is dropped after the write time-out; until then we hold little."""
    server = make_server()
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        server.until(lambda: any(connection._flags & 8 for connection in server.factory.live))
        assert len(server.site.received) < 1000
        server.call(server.factory.sweep)
        server.now += 31
        server.call(server.factory.sweep)
        server.until(lambda: not server.factory.live)


def test_date_is_now(make_server: Any, read_to_end: Any, parse_answers: Any) -> None:
    """The Date header tells the present second, give or take two."""
    server = make_server()
    with server.connect() as sock:
        sock.sendall(post(b"/echo", b"", CLOSE))
        (answer,) = parse_answers(read_to_end(sock))
    shown = parsedate_to_datetime(answer.headers["date"])
    assert abs(shown - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(seconds=3)


def test_graceful_shutdown(make_server: Any, read_to_end: Any, parse_answers: Any) -> None:
    """A graceful shutdown closes idle clients and waits for all answers to a busy one."""
    server = make_server()
    with server.connect() as idle, server.connect() as busy:
        busy.sendall(post(b"/later") + post(b"/app"))
        server.until(lambda: len(server.factory.live) == 2 and bool(server.site.waiting))
        server.begin_shutdown()
        assert read_to_end(idle) == b""
        idle.close()
        server.call(lambda: server.site.waiting[0][0].respond(200, b"{}"))
        answers = parse_answers(read_to_end(busy))
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[1].headers["connection"] == "close"
        busy.close()
        server.join()


def test_nobody_is_answered_after_the_end() -> None:
    """Who is still sending when the server is made to end at once is cut off, and not answered by half of a server."""
    asyncio.run(_end_amid_a_request())


async def _end_amid_a_request() -> None:
    started: list[bytes] = []

    def lane(exchange: Any, body: bytes) -> None:
        started.append(body)
        exchange.respond(200, b"{}")

    factory = ProtocolFactory({b"/lane": lane}, Outbox(lambda: None), lambda status, message: (b"{}", b""))
    server = HttpServer(Starlette(), factory, shutdown_timeout_s=60)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(post(b"/lane", b"whole"))
        assert (await reader.readuntil(b"{}")).startswith(b"HTTP/1.1 200 ")
        writer.write(post(b"/lane", b"in parts")[:-3])
        while not any(connection._flags for connection in factory.live):
            await asyncio.sleep(0)
        for _ in range(2):
            server.handle_exit(signal.SIGTERM, None)
        await serving
        writer.write(b"rts")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    assert started == [b"whole"]
    writer.close()


def test_a_start_that_is_interrupted_answers_nobody() -> None:
    """Ended right after the sockets were opened, a server leaves none open: what answers rest on is closed next."""
    asyncio.run(_interrupt_a_start())


async def _interrupt_a_start() -> None:
    def lane(exchange: Any, body: bytes) -> None:
        exchange.respond(200, b"{}")

    def interrupt() -> None:
        raise asyncio.CancelledError

    factory = ProtocolFactory({b"/lane": lane}, Outbox(lambda: None), lambda status, message: (b"{}", b""))
    server = HttpServer(Starlette(), factory, shutdown_timeout_s=60, on_ready=interrupt)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with contextlib.suppress(asyncio.CancelledError):
            await server.serve(sockets=[listener])
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(post(b"/lane"))
            with contextlib.suppress(TimeoutError):
                assert await asyncio.wait_for(reader.read(1000), 0.5) == b""
            writer.close()


async def _echo(request: Request) -> PlainTextResponse:
    body = await request.body()
    task = BackgroundTask(request.app.state.done.append, body)
    return PlainTextResponse(b"%b via %b" % (body, request.url.path.encode()), background=task)


async def _stream(request: Request) -> StreamingResponse:
    async def pieces() -> Any:
        for number in range(3):
            yield f"{number};"
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


def test_starlette(make_server: Any, read_to_end: Any, parse_answers: Any) -> None:
    """Starlette works behind it: routes, bodies, streams, background tasks, its own 404 and 405."""
    app = Starlette(routes=[Route("/echo2", _echo, methods=["POST"]), Route("/s", _stream)])
    app.state.done = []
    server = make_server(app=app)
    with server.connect() as sock:
        sock.sendall(post(b"/echo2", b"hi") + post(b"/nowhere") + post(b"/s") + post(b"/echo", b"x"))
        sock.sendall(b"GET /s HTTP/1.1\r\nHost: a\r\n" + CLOSE + b"\r\n")
        answers = parse_answers(read_to_end(sock))
    assert [answer.status for answer in answers] == [200, 404, 405, 200, 200]
    assert answers[0].body == b"hi via /echo2"
    assert answers[4].body == b"0;1;2;"
    server.until(lambda: app.state.done == [b"hi"])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_tls(make_server: Any, certificate: tuple[Path, Path], read_to_end: Any, parse_answers: Any) -> None:
    """Over TLS the same holds: lanes, application, a large answer, refusals, the end of the connection."""
    cert, key = certificate
    server = make_server(ssl_certfile=str(cert), ssl_keyfile=str(key))
    trust = ssl.create_default_context(cafile=str(cert))
    with server.connect(trust) as sock:
        sock.sendall(post(b"/echo") + post(b"/app", b"x" * 300_000) + post(b"/echo", b"end", CLOSE))
        answers = parse_answers(read_to_end(sock))
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert json.loads(answers[1].body)["scheme"] == "https"
    with server.connect(trust) as sock:
        sock.sendall(b"nonsense\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
