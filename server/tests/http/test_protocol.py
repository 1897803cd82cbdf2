"""The connection's behaviour, event by event, without sockets: every order of events can be had at will."""

from ipaddress import ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from keystead.http.protocol import ForwardedFrom, HttpLimits

HOST = b"Host: keys.test\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def post(target: bytes, body: bytes = b"{}", headers: bytes = b"", version: bytes = b"1.1") -> bytes:
    """A POST with a declared length."""
    return b"POST %b HTTP/%b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        target,
        version,
        HOST,
        headers,
        len(body),
        body,
    )


def get(target: bytes, headers: bytes = b"", method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A request without body."""
    return b"%b %b HTTP/%b\r\n%b%b\r\n" % (method, target, version, HOST, headers)


def chunked(target: bytes, *chunks: bytes, headers: bytes = b"", trailers: bytes = b"") -> bytes:
    """A POST in chunks."""
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n%b\r\n" % (target, HOST, headers)
    return head + pieces + b"0\r\n" + trailers + b"\r\n"


# ---- lanes


def test_lane_answer_is_exact(bench: Any) -> None:
    """A lane's answer has exactly the promised header lines, and its own."""
    client = bench.connect().send(post(b"/later"))
    bench.run(bench.site.waiting[0][0].respond, 200, b'{"a":1}', b"unkey-request-id: req_x\r\n")
    assert bytes(client.transport.output) == (
        b"HTTP/1.1 200 OK\r\ndate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        b"content-type: application/json; charset=UTF-8\r\ncontent-length: 7\r\n"
        b'unkey-request-id: req_x\r\n\r\n{"a":1}'
    )
    assert not client.is_ended


def test_lane_sees_the_request(bench: Any) -> None:
    """A lane sees the body, the raw header values whatever the names' case, and the peer."""
    headers = b"CONTENT-TYPE: application/json \r\nauthorization:  Bearer x\r\nUser-Agent: t/1\r\n"
    (answer,) = bench.connect().send(post(b"/echo", b"abc", headers)).answers()
    assert answer.json == {
        "body": "abc",
        "content_type": "application/json",
        "authorization": "Bearer x",
        "user_agent": "t/1",
        "client_address": "192.0.2.7",
    }


@pytest.mark.parametrize("target", [b"/echo?pretty", b"/echo/", b"/Echo", b"http://keys.test/echo"])
def test_only_the_exact_target_is_a_lanes(bench: Any, target: bytes) -> None:
    """A lane answers its exact target only; the application gets the rest."""
    (answer,) = bench.connect().send(post(target)).answers()
    assert answer.json["method"] == "POST"


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"OPTIONS", b"DELETE"])
def test_only_post_is_a_lanes(bench: Any, method: bytes) -> None:
    """A lane answers POST only."""
    (answer,) = bench.connect().send(get(b"/echo", method=method)).answers()
    assert answer.json["method"] == method.decode()


def test_repeated_heads_mean_the_same_each_time(bench: Any) -> None:
    """Requests that skip the parser are understood as the parsed ones, whatever came in between."""
    client = bench.connect()
    one = post(b"/echo", b"one", b"Authorization: 1\r\nContent-Type: a/b\r\n")
    two = post(b"/echo", b"two", b"Authorization: 2\r\nContent-Type: c/d\r\n")
    three = post(b"/echo", b"three")
    stream = [one, two, one, three, three, get(b"/x"), one, one.replace(b"one", b"eno"), two, two, three]
    client.send(*stream)
    echoed = [answer.json for answer in client.answers()]
    wanted = ["one", "two", "one", "three", "three", "", "one", "eno", "two", "two", "three"]
    assert [e["body"] for e in echoed] == wanted
    assert [e.get("authorization") for e in echoed] == ["1", "2", "1", None, None, None, "1", "1", "2", "2", None]


def test_known_head_inside_a_request_is_body(bench: Any) -> None:
    """Bytes that equal a request seen before are body, not a request, where a body is due."""
    client = bench.connect()
    known = post(b"/echo", b"x")
    client.send(known, known)
    wrapped = post(b"/echo", known)
    client.send(wrapped[: -len(known)], known)
    assert [answer.json["body"] for answer in client.answers()] == ["x", "x", known.decode()]
    client.send(b"PO", known)
    assert client.statuses == [200, 200, 200, 400]


def test_many_different_heads(bench: Any) -> None:
    """Any number of different heads is answered; remembering them is bounded."""
    client = bench.connect()
    for number in range(200):
        client.send(post(b"/echo", b"x" * number))
    assert [len(answer.json["body"]) for answer in client.answers()] == list(range(200))
    assert len(client.connection._known) <= 16


def test_failing_lane_is_answered_500(bench: Any) -> None:
    """An exception in a lane is logged and answered 500; the connection goes on, parsed or remembered."""
    client = bench.connect()
    with capture_logs() as logs:
        client.send(post(b"/boom"), post(b"/boom"), post(b"/echo"))
    assert client.statuses == [500, 500, 200]
    assert [entry["event"] for entry in logs] == ["lane_failed"] * 2


def test_lane_failing_after_its_answer(bench: Any) -> None:
    """An exception after the answer is logged only."""
    client = bench.connect()
    with capture_logs() as logs:
        client.send(post(b"/oops"), post(b"/oops"), post(b"/echo"))
    assert client.statuses == [200, 200, 200]
    assert [entry["event"] for entry in logs] == ["lane_failed"] * 2


def test_second_answer_is_an_error(bench: Any) -> None:
    """A lane that answers twice is told so."""
    client = bench.connect().send(post(b"/later"))
    exchange, _ = bench.site.waiting[0]
    bench.run(exchange.respond, 200, b"{}")
    with pytest.raises(RuntimeError, match="already"):
        bench.run(exchange.respond, 200, b"{}")
    assert client.statuses == [200]


def test_answer_to_a_lost_client(bench: Any) -> None:
    """Answering a client that is gone does nothing."""
    client = bench.connect().send(post(b"/later"))
    client.lose()
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.transport.output == b""
    assert not bench.state.connections


# ---- order


def test_pipelined_requests_are_answered_in_order(bench: Any) -> None:
    """Requests are answered one after the other, lanes and application alike, each after the one before it."""
    client = bench.connect()
    client.send(post(b"/later", b"1") + get(b"/stream") + post(b"/later", b"2") + post(b"/echo", b"3"))
    assert client.answers() == []
    assert len(bench.site.waiting) == 1
    bench.run(bench.site.waiting[0][0].respond, 200, b'"1"')
    assert len(bench.site.waiting) == 2
    bench.run(bench.site.waiting[1][0].respond, 200, b'"2"')
    bodies = [answer.body for answer in client.answers()]
    assert bodies[:3] == [b'"1"', b"one,two,three", b'"2"']
    assert client.answers()[3].json["body"] == "3"


def test_thousands_of_pipelined_requests(bench: Any) -> None:
    """Thousands of requests in one piece are answered without deep recursion, in order."""
    client = bench.connect()
    client.send(b"".join(post(b"/echo", b"%d" % number) for number in range(3000)))
    bench.run(lambda: None)
    bench.run(lambda: None)
    assert [answer.json["body"] for answer in client.answers()] == [str(number) for number in range(3000)]


def test_reading_stops_while_too_much_waits(bench: Any) -> None:
    """A client that pipelines more than may wait is not read from until its requests are answered."""
    client = bench.connect().send(post(b"/later") + post(b"/echo") * 32)
    assert client.transport.reads
    client.send(post(b"/echo"))
    assert not client.transport.reads
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.transport.reads
    assert client.statuses == [200] * 34


def test_reading_stops_while_large_bodies_wait(bench: Any) -> None:
    """The bytes of waiting bodies are bounded too."""
    client = bench.connect().send(post(b"/later") + post(b"/echo", b"x" * 300_000))
    assert not client.transport.reads
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.transport.reads
    assert client.statuses == [200, 200]


def test_error_waits_for_earlier_answers(bench: Any) -> None:
    """A malformed request is refused after the answers to those before it, not instead of them."""
    client = bench.connect().send(post(b"/later") + b"\x16\x03\x01 nonsense\r\n\r\n")
    assert not client.is_ended
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.statuses == [200, 400]
    assert client.is_ended


# ---- refusals

LONG = b"x" * 40_000
MALFORMED = [
    ("garbage", b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    ("unknown method", b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("bare line feeds", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("bare line feed in the header", b"GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 400),
    ("folded field", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400),
    ("space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("raw non-ASCII target", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("fragment in the target", get(b"/#f"), 400),
    ("relative target", get(b"foo"), 400),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", 400),
    ("no version", b"GET /\r\n\r\n", 400),
    ("HTTP/0.9", get(b"/", version=b"0.9"), 400),
    ("HTTP/1.2", get(b"/", version=b"1.2"), 400),
    ("HTTP/2.0", get(b"/", version=b"2.0"), 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("no Host on a lane", b"POST /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
    ("two Hosts", get(b"/", HOST), 400),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("length and chunks", post(b"/", b"abc", b"Transfer-Encoding: chunked\r\n"), 400),
    ("chunks and length", chunked(b"/", b"abc", headers=b"Content-Length: 3\r\n"), 400),
    ("two lengths", post(b"/", b"abc", b"Content-Length: 4\r\n"), 400),
    ("two equal lengths", post(b"/", b"abc", b"Content-Length: 3\r\n"), 400),
    ("list of lengths", post(b"/", b"", b"Content-Length: 0, 0\r\n"), 400),
    ("negative length", get(b"/", b"Content-Length: -1\r\n"), 400),
    ("signed length", get(b"/", b"Content-Length: +1\r\n"), 400),
    ("hexadecimal length", get(b"/", b"Content-Length: 0x1\r\n"), 400),
    ("empty length", get(b"/", b"Content-Length:\r\n"), 400),
    ("enormous length", get(b"/", b"Content-Length: 99999999999999999999999\r\n"), 400),
    ("other coding", get(b"/", b"Transfer-Encoding: gzip\r\n"), 400),
    ("coding behind chunked", get(b"/", b"Transfer-Encoding: chunked, gzip\r\n"), 400),
    ("coding before chunked", get(b"/", b"Transfer-Encoding: gzip, chunked\r\n"), 400),
    ("hidden coding", get(b"/", b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    ("two codings", chunked(b"/", headers=b"Transfer-Encoding: chunked\r\n"), 400),
    ("chunks in 1.0", chunked(b"/", b"a").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    ("bad chunk size", chunked(b"/", b"a").replace(b"\r\n1\r\n", b"\r\nx\r\n"), 400),
    ("chunk longer than its size", chunked(b"/", b"ab").replace(b"2\r\n", b"1\r\n"), 400),
    ("two authorizations", post(b"/echo", b"", b"Authorization: a\r\nauthorization: b\r\n"), 400),
    ("CONNECT", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ("unknown expectation", post(b"/echo", b"x", b"Expect: tea\r\n"), 417),
    ("long target", get(b"/" + LONG), 414),
    ("long target without an end", b"GET /" + LONG, 414),
    ("large field", get(b"/", b"A: " + LONG + b"\r\n"), 431),
    ("large field without an end", b"GET / HTTP/1.1\r\nA: " + LONG, 431),
    ("large fields", get(b"/", b"".join(b"A%d: %b\r\n" % (n, b"x" * 600) for n in range(60))), 431),
    ("many fields", get(b"/", b"A: b\r\n" * 101), 431),
    ("large declared body", post(b"/echo", b"")[:-5] + b"8388609\r\n\r\n", 413),
]


@pytest.mark.parametrize("pieces", ["whole", "bytes"])
@pytest.mark.parametrize(("request_", "status"), [pytest.param(r, s, id=n) for n, r, s in MALFORMED])
def test_malformed_requests(bench: Any, request_: bytes, status: int, pieces: str) -> None:
    """Each malformed request is answered once, with its status and the envelope, and the connection ends."""
    client = bench.connect()
    stream = [request_] if pieces == "whole" else [request_[n : n + 1] for n in range(len(request_))]
    if len(stream) > 10_000:
        stream = [request_[n : n + 999] for n in range(0, len(request_), 999)]
    client.send(*stream)
    (answer,) = client.answers()
    assert answer.status == status
    assert answer.json["error"]["message"]
    assert answer.headers["connection"] == "close"
    assert answer.headers["unkey-request-id"] == "req_1"
    assert client.is_ended
    assert bench.site.waiting == []
    client.send(get(b"/"))
    assert len(client.answers()) == 1


@pytest.mark.parametrize(
    "malformed", [b"\r\n", b"Host: a\r\nA: \0\r\n\r\n", b"Host: a\r\nA : b\r\n\r\n", b"A: " + LONG]
)
def test_refused_head_has_no_body(bench: Any, malformed: bytes) -> None:
    """A refused HEAD is answered without body, but with its length, wherever in the header the fault is."""
    client = bench.connect().send(b"HEAD / HTTP/1.1\r\n" + malformed)
    (answer,) = client.answers(without_body=(0,))
    assert answer.status in (400, 431)
    assert int(answer.headers["content-length"]) > 0


def test_refusal_behind_a_head_has_a_body(bench: Any) -> None:
    """What is refused before its method is known is answered with a body, also after a HEAD."""
    client = bench.connect().send(get(b"/x", method=b"HEAD") + b"\x16\r\n\r\n")
    first, second = client.answers(without_body=(0,))
    assert (first.status, second.status) == (200, 400)
    assert second.json["error"]["message"]


def test_large_chunked_body(make_bench: Any) -> None:
    """A chunked body is refused as soon as it exceeds the cap, and accepted at the cap."""
    bench = make_bench(limits=HttpLimits(max_body_bytes=10))
    client = bench.connect().send(chunked(b"/echo", b"12345", b"67890"))
    client.send(chunked(b"/echo", b"12345", b"678901", b"more").removesuffix(b"0\r\n\r\n"))
    assert client.statuses == [200, 413]
    assert client.is_ended


def test_endless_chunk_framing(bench: Any) -> None:
    """Extensions and trailers without end are refused although no limit of the body is touched."""
    client = bench.connect().send(chunked(b"/echo", b"a").removesuffix(b"\r\n") + b"T: ")
    for _ in range(10):
        client.send(b"x" * 10_000)
    assert client.statuses == [413]


def test_chunked_body_is_joined_and_trailers_ignored(bench: Any) -> None:
    """Chunks are joined; a trailer cannot pose as a header."""
    request = chunked(b"/echo", b"ab", b"c", trailers=b"Authorization: Bearer evil\r\n")
    (answer,) = bench.connect().send(request).answers()
    assert answer.json["body"] == "abc"
    assert answer.json["authorization"] is None


def test_body_at_the_cap(make_bench: Any) -> None:
    """A body exactly as long as allowed is accepted."""
    bench = make_bench(limits=HttpLimits(max_body_bytes=10))
    client = bench.connect().send(post(b"/echo", b"x" * 10), post(b"/echo", b"x" * 11))
    assert client.statuses == [200, 413]


def test_too_many_connections(make_bench: Any) -> None:
    """One connection too many is told so, the others are served, and room is found again."""
    bench = make_bench(limits=HttpLimits(max_connections=2))
    clients = [bench.connect() for _ in range(3)]
    for client in clients:
        client.send(post(b"/echo"))
    assert [client.statuses for client in clients] == [[200], [200], [503]]
    assert clients[2].is_ended
    clients[2].lose()
    clients[0].lose()
    assert bench.connect().send(post(b"/echo")).statuses == [200]


def test_far_too_many_connections(make_bench: Any) -> None:
    """Beyond twice the bound connections are dropped without a word."""
    bench = make_bench(limits=HttpLimits(max_connections=1))
    clients = [bench.connect() for _ in range(4)]
    assert [client.transport.is_aborted for client in clients] == [False, False, True, True]


# ---- the end of a connection


@pytest.mark.parametrize(
    ("version", "header", "told", "ends"),
    [
        (b"1.1", b"", None, False),
        (b"1.1", b"Connection: keep-alive\r\n", None, False),
        (b"1.1", b"Connection: close\r\n", "close", True),
        (b"1.1", b"Connection: x, Close\r\n", "close", True),
        (b"1.0", b"", "close", True),
        (b"1.0", b"Connection: close\r\n", "close", True),
        (b"1.0", b"Connection: Keep-Alive\r\n", "keep-alive", False),
    ],
)
@pytest.mark.parametrize("target", [b"/echo", b"/app"])
def test_keep_alive(bench: Any, target: bytes, version: bytes, header: bytes, told: str | None, ends: bool) -> None:
    """The connection lasts as the version and Connection say, and the answer tells (RFC 9112 9.3)."""
    client = bench.connect()
    client.send(*[post(target, b"1", header, version)] * 3)
    assert [answer.headers.get("connection") for answer in client.answers()] == [told] * (1 if ends else 3)
    assert client.is_ended == ends


def test_nothing_follows_close(bench: Any) -> None:
    """What follows a request with `Connection: close` is neither answered nor refused."""
    client = bench.connect()
    client.send(post(b"/later", b"1", b"Connection: close\r\n") + get(b"/x") + b"\0garbage", b"\0more")
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.statuses == [200]
    assert client.is_ended


def test_only_the_last_answer_says_close(bench: Any) -> None:
    """Of pipelined requests that end with `Connection: close`, only the last answer announces the end."""
    client = bench.connect().send(post(b"/echo") * 2 + post(b"/echo", b"", b"Connection: close\r\n"))
    assert [answer.headers.get("connection") for answer in client.answers()] == [None, None, "close"]


def test_our_end_leaves_the_client_time_to_read(bench: Any) -> None:
    """After a refusal our side ends, input is thrown away, and the connection closes with the client's end."""
    client = bench.connect().send(b"nonsense\r\n\r\n")
    assert client.transport.has_eof
    assert not client.transport.is_closed
    client.send(b"x" * 100_000)
    assert client.transport.reads
    client.end()
    assert client.transport.is_closed
    assert not client.transport.is_aborted


def test_lingering_is_bounded(bench: Any) -> None:
    """A client that never ends is dropped a little after our end."""
    client = bench.connect().send(b"nonsense\r\n\r\n")
    bench.pass_time(1.9)
    assert not client.transport.is_closed
    bench.pass_time(0.2)
    assert client.transport.is_closed


def test_half_closed_client_is_answered(bench: Any) -> None:
    """A client that has ended its side is answered all it has asked, and then closed."""
    client = bench.connect().send(post(b"/later") + get(b"/stream") + b"GET /incompl")
    client.end()
    assert not client.is_ended
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.statuses == [200, 200]
    assert [answer.headers.get("connection") for answer in client.answers()] == [None, "close"]
    assert client.transport.is_closed


@pytest.mark.parametrize("is_tls", [False, True])
def test_end_right_after_the_request(bench: Any, is_tls: bool) -> None:
    """An answer still in the outbox when the client's end arrives is sent."""
    client = bench.connect(is_tls=is_tls)

    def both() -> None:
        client.connection.data_received(post(b"/echo"))
        client.connection.eof_received()

    bench.run(both)
    assert client.statuses == [200]


@pytest.mark.parametrize("partial", [b"", b"GET / HT", post(b"/echo", b"abc")[:-1]])
def test_end_of_an_idle_client(bench: Any, partial: bytes) -> None:
    """A client that ends without a complete request is closed without a word."""
    client = bench.connect()
    if partial:
        client.send(partial)
    client.end()
    assert client.transport.is_closed
    assert client.answers() == []


def test_tls_close_does_not_wait(bench: Any) -> None:
    """Under TLS, where one side cannot end alone, a connection that is to end after its answer is closed."""
    client = bench.connect(is_tls=True).send(post(b"/echo", b"", b"Connection: close\r\n"))
    assert client.statuses == [200]
    assert client.transport.is_closed


# ---- shutdown


def test_shutdown_closes_idle_connections(bench: Any) -> None:
    """An idle connection, or one in the middle of a header, closes at once."""
    clients = [bench.connect(), bench.connect().send(b"GET / HT"), bench.connect().send(post(b"/echo"))]
    for client in clients:
        bench.run(client.connection.shutdown)
    assert all(client.is_ended for client in clients)


def test_shutdown_finishes_what_was_received(bench: Any) -> None:
    """Requests already received are answered, the last with `connection: close`; later ones are not."""
    client = bench.connect().send(post(b"/later") + post(b"/echo"))
    bench.run(client.connection.shutdown)
    client.send(post(b"/echo"))
    assert not client.is_ended
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert [answer.headers.get("connection") for answer in client.answers()] == [None, "close"]
    assert client.is_ended


def test_shutdown_waits_for_a_body(bench: Any) -> None:
    """A request whose body is on its way is finished."""
    request = post(b"/echo", b"abc")
    client = bench.connect().send(request[:-2])
    bench.run(client.connection.shutdown)
    assert not client.is_ended
    client.send(request[-2:] + post(b"/echo"))
    assert [answer.headers.get("connection") for answer in client.answers()] == ["close"]
    assert client.is_ended


# ---- time


@pytest.mark.parametrize(
    ("partial", "seconds"), [(b"G", 10), (b"GET / HTTP/1.1\r\nA: b\r\n", 10), (post(b"/echo", b"abc")[:-1], 30)]
)
def test_slow_request(bench: Any, partial: bytes, seconds: float) -> None:
    """A header or a body that takes too long is answered 408, and the connection ends."""
    client = bench.connect().send(post(b"/echo"), partial)
    bench.pass_time(seconds - 0.1)
    assert client.statuses == [200]
    bench.pass_time(0.2)
    assert client.statuses == [200, 408]
    assert client.is_ended


def test_trickling_does_not_prolong(bench: Any) -> None:
    """A client that sends a byte now and then gets no more time by it."""
    client = bench.connect()
    for byte in b"GET /slow":
        client.send(bytes([byte]))
        bench.pass_time(1.5)
    assert client.statuses == [408]


@pytest.mark.parametrize("first", [b"", post(b"/echo"), post(b"/echo") * 3, get(b"/x")])
def test_idle_connection(bench: Any, first: bytes) -> None:
    """A connection without a request is closed silently after its time."""
    client = bench.connect()
    if first:
        client.send(first)
    answered = bytes(client.transport.output)
    bench.pass_time(74.9)
    assert not client.transport.is_closed
    bench.pass_time(0.2)
    assert client.transport.is_closed
    assert client.transport.output == answered


def test_requests_keep_a_connection_alive(bench: Any) -> None:
    """The idle time starts anew with each answer, also of requests that skip the parser."""
    client = bench.connect()
    for _ in range(5):
        client.send(post(b"/echo"))
        bench.pass_time(70)
    assert client.statuses == [200] * 5
    assert not client.transport.is_closed


def test_our_own_slowness_is_not_the_clients(bench: Any) -> None:
    """No time-out of the client runs while a request is being answered, nor counts afterwards."""
    client = bench.connect().send(post(b"/later") + b"GET /x HT")
    bench.pass_time(1000)
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    bench.pass_time(9)
    client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
    assert client.statuses == [200, 200]


def test_idle_deadline_does_not_hit_a_later_request(bench: Any) -> None:
    """A deadline armed while idle does not end a request begun meanwhile."""
    client = bench.connect().send(post(b"/later"))
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    bench.run(bench.factory.sweep)
    client.send(post(b"/later"))
    bench.pass_time(100)
    bench.run(bench.site.waiting[1][0].respond, 200, b"{}")
    assert client.statuses == [200, 200]


# ---- back-pressure


def test_client_that_does_not_read(bench: Any) -> None:
    """While a client does not read, no request of it is started nor read; when it reads again, it goes on."""
    client = bench.connect().send(post(b"/echo"))
    bench.run(client.connection.pause_writing)
    assert not client.transport.reads
    client.send(post(b"/echo"))
    assert client.statuses == [200]
    bench.run(client.connection.resume_writing)
    assert client.statuses == [200, 200]
    assert client.transport.reads


def test_client_that_never_reads_is_dropped(bench: Any) -> None:
    """A client that takes nothing for the write time-out is dropped; one that takes a little is not."""
    client = bench.connect().send(post(b"/echo"))
    client.transport.unread = 100_000
    bench.run(client.connection.pause_writing)
    bench.pass_time(31)
    assert client.transport.is_closed
    slow = bench.connect()
    slow.transport.unread = 100_000
    bench.run(slow.connection.pause_writing)
    for unread in (90_000, 80_000, 70_000):
        bench.run(bench.factory.sweep)
        slow.transport.unread = unread
        bench.pass_time(31)
    assert not slow.transport.is_closed


# ---- expectations and upgrades


def test_continue_is_sent_when_the_body_is_wanted(bench: Any) -> None:
    """`Expect: 100-continue` is answered 100 once the header is complete, then the request."""
    request = post(b"/echo", b"abc", b"Expect: 100-Continue\r\n")
    client = bench.connect().send(request[:-3])
    assert client.transport.output == CONTINUE
    client.send(b"abc")
    assert client.statuses == [100, 200]


def test_no_continue_when_the_body_is_there(bench: Any) -> None:
    """No 100 is sent to a client that did not wait, nor without a body, nor to HTTP/1.0."""
    client = bench.connect().send(post(b"/echo", b"abc", b"Expect: 100-continue\r\n"))
    client.send(post(b"/echo", b"", b"Expect: 100-continue\r\n"))
    assert client.statuses == [200, 200]
    old = bench.connect().send(post(b"/echo", b"abc", b"Expect: 100-continue\r\n", b"1.0")[:-3])
    assert old.transport.output == b""


def test_no_continue_for_a_refused_body(bench: Any) -> None:
    """A client that declares too large a body is refused before it sends it."""
    client = bench.connect()
    client.send(b"POST /echo HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n")
    assert client.statuses == [413]
    assert client.is_ended


def test_continue_waits_for_earlier_answers(bench: Any) -> None:
    """The 100 of a pipelined request follows the answers of the earlier ones."""
    client = bench.connect()
    client.send(post(b"/later") + post(b"/echo", b"abc", b"Expect: 100-continue\r\n")[:-3])
    assert client.transport.output == b""
    bench.run(bench.site.waiting[0][0].respond, 200, b"{}")
    assert client.statuses == [200, 100]
    client.send(b"abc")
    assert client.statuses == [200, 100, 200]


@pytest.mark.parametrize("target", [b"/echo", b"/app"])
def test_upgrade_is_ignored(bench: Any, target: bytes) -> None:
    """A request that offers an upgrade is answered like any other, body and successors included."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    upgrading = post(target, b"abc", offer)
    client = bench.connect().send(upgrading + upgrading + post(b"/echo", b"next"), upgrading)
    assert [answer.json["body"] for answer in client.answers()] == ["abc", "abc", "next", "abc"]
    assert not client.is_ended


# ---- addresses


@pytest.mark.parametrize(
    ("peer", "shown"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1, 0, 0), "192.0.2.7"),
        (("2001:DB8::1", 1, 0, 0), "2001:db8::1"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::1"),
        ("", None),
        (None, None),
    ],
)
def test_client_address_is_the_peers(bench: Any, peer: Any, shown: str | None) -> None:
    """Lanes and application see the peer's address in plain form; over a Unix socket, none."""
    client = bench.connect(peer).send(post(b"/echo", b"", b"X-Forwarded-For: 9.9.9.9\r\n"), get(b"/app"))
    lane, app = client.answers()
    assert lane.json["client_address"] == shown
    assert app.json["client"] == ([shown, 1] if shown else None)


def test_forwarded_address(make_bench: Any) -> None:
    """With a named header and trusted proxies, lanes (remembered heads too) and application see the client."""
    bench = make_bench(forwarded=ForwardedFrom(b"X-Forwarded-For", (ip_network("192.0.2.0/24"),)))
    client = bench.connect()
    one = post(b"/echo", b"", b"x-forwarded-for: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n")
    two = post(b"/echo", b"", b"x-forwarded-for: 6.6.6.6\r\nX-Forwarded-For: 8.8.8.8\r\n")
    client.send(one, two, one, one, post(b"/echo"), get(b"/app", b"X-Forwarded-For: 9.9.9.9\r\n"))
    *lanes, app = client.answers()
    seen = [answer.json["client_address"] for answer in lanes]
    assert seen == ["9.9.9.9", "8.8.8.8", "9.9.9.9", "9.9.9.9", "192.0.2.7"]
    assert app.json["client"] == ["9.9.9.9", 4711]


# ---- splits

REQUESTS = [
    post(b"/echo", b"{}"),
    post(b"/echo", b'{"key":"abc"}', b"Content-Type: application/json\r\nAuthorization: Bearer x\r\n"),
    post(b"/echo", b"", b"Connection: keep-alive\r\n", b"1.0"),
    post(b"/echo", b"abc", b"Expect: 100-continue\r\n"),
    post(b"/echo", b"abc", b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
    chunked(b"/echo", b"abc", b"defg", trailers=b"T: x\r\n"),
    b"\r\n" + post(b"/echo", post(b"/echo", b"nested")),
    get(b"/path%20x?q=1", b"A: b\r\nA: c\r\n"),
    get(b"/stream"),
    chunked(b"/app", b"x" * 20),
    post(b"/boom"),
]
ENDINGS = [
    b"",
    b"GET /half",
    post(b"/echo", b"half")[:-2],
    post(b"/echo", b"x", b"Connection: close\r\n") + b"ignored",
    get(b"/old", version=b"1.0"),
    *[request for _, request, _ in MALFORMED if len(request) < 1000],
]


# The fixture is only a maker: every example makes a bench of its own.
OWN_BENCH = [HealthCheck.function_scoped_fixture]


@settings(max_examples=300, deadline=None, suppress_health_check=OWN_BENCH)
@given(
    requests=st.lists(st.sampled_from(REQUESTS), max_size=6),
    ending=st.sampled_from(ENDINGS),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
)
@example(requests=REQUESTS, ending=b"", cuts=list(range(2000)))
@example(requests=[REQUESTS[0]] * 4, ending=ENDINGS[3], cuts=[len(REQUESTS[0]) * n for n in range(1, 5)])
def test_splits_do_not_matter(make_bench: Any, requests: list[bytes], ending: bytes, cuts: list[int]) -> None:
    """However a stream of requests is cut into pieces, the answers and the end of the connection are the same.

    Only the interim 100 may differ: it is not sent to a client whose body is there already.
    """
    stream = b"".join(requests) + ending
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in pairwise(edges)]
    bench = make_bench()
    with capture_logs():
        whole = bench.connect().send(stream) if stream else bench.connect()
        cut = bench.connect().send(*pieces)
    bench.close()
    assert cut.transport.output.replace(CONTINUE, b"") == whole.transport.output.replace(CONTINUE, b"")
    assert cut.is_ended == whole.is_ended
    assert len(whole.answers()) >= len(requests)


@settings(max_examples=200, deadline=None, suppress_health_check=OWN_BENCH)
@given(junk=st.binary(min_size=1, max_size=200), cut=st.integers(0, 200))
def test_any_bytes_are_survived(make_bench: Any, junk: bytes, cut: int) -> None:
    """Arbitrary bytes never give a 5xx, never an exception, and never a second refusal."""
    bench = make_bench()
    client = bench.connect().send(*[piece for piece in (junk[:cut], junk[cut:]) if piece])
    bench.close()
    assert all(status < 500 for status in client.statuses)
    assert len(client.statuses) <= 1 or not client.is_ended
