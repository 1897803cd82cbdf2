"""The application's answers on the wire."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from keystead.http.asgi import split_target

HOST = b"Host: keys.test\r\n"


def get(target: bytes, headers: bytes = b"", method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A request without body."""
    return b"%b %b HTTP/%b\r\n%b%b\r\n" % (method, target, version, HOST, headers)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a/b?c=d?e", b"/a/b", b"c=d?e"),
        (b"/", b"/", b""),
        (b"*", b"*", b""),
        (b"http://keys.test/a?b", b"/a", b"b"),
        (b"http://keys.test", b"/", b""),
        (b"http://keys.test?b", b"/", b"b"),
        (b"//a/b", b"//a/b", b""),
        (b"/x?u=http://y/z", b"/x", b"u=http://y/z"),
    ],
)
def test_targets(target: bytes, path: bytes, query: bytes) -> None:
    """Every form of request target is split into path and query."""
    assert split_target(target) == (path, query)


def test_scope(bench: Any) -> None:
    """The application sees the decoded path, the query as sent, all headers in order, and the body."""
    request = b"POST /%C3%A4%ff?a=%20 HTTP/1.1\r\n" + HOST + b"X: 1 \r\nx: 2\r\nContent-Length: 2\r\n\r\nhi"
    (answer,) = bench.connect(is_tls=True).send(request).answers()
    assert answer.json == {
        "method": "POST",
        "path": "/ä\ufffd",
        "raw_path": "/%C3%A4%ff",
        "query": "a=%20",
        "client": ["192.0.2.7", 4711],
        "headers": [["host", "keys.test"], ["x", "1"], ["x", "2"], ["content-length", "2"]],
        "version": "1.1",
        "scheme": "https",
        "body": "hi",
    }
    assert answer.headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def test_stream_is_chunked(bench: Any) -> None:
    """An answer of unknown length is chunked in HTTP/1.1."""
    (answer,) = bench.connect().send(get(b"/stream")).answers()
    assert answer.body == b"one,two,three"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in answer.headers


def test_stream_to_an_old_client_ends_with_the_connection(bench: Any) -> None:
    """HTTP/1.0 knows no chunks: such an answer ends with the connection, whatever the client asked."""
    client = bench.connect().send(get(b"/stream", b"Connection: keep-alive\r\n", version=b"1.0"))
    (answer,) = client.answers()
    assert answer.body == b"one,two,three"
    assert answer.headers["connection"] == "close"
    assert client.is_ended


@pytest.mark.parametrize("path", [b"/x", b"/stream"])
def test_head(bench: Any, path: bytes) -> None:
    """HEAD is answered without body and the connection goes on."""
    client = bench.connect().send(get(path, method=b"HEAD"), get(b"/stream"))
    head, full = client.answers(without_body=(0,))
    assert head.body == b""
    assert full.body == b"one,two,three"


def test_statuses_without_body(bench: Any) -> None:
    """204 and 304 have neither body nor length."""
    client = bench.connect().send(get(b"/empty"), get(b"/unchanged"), get(b"/stream"))
    answers = client.answers()
    assert [answer.status for answer in answers] == [204, 304, 200]
    assert all("content-length" not in answer.headers for answer in answers)


@pytest.mark.parametrize("path", [b"/fail", b"/silent", b"/split-header", b"/long"])
def test_failures_before_the_answer(bench: Any, path: bytes) -> None:
    """An application that fails, says nothing, or something impossible, gives a 500; the connection goes on."""
    with capture_logs():
        client = bench.connect().send(get(path), get(b"/stream"))
    assert client.statuses == [500, 200]


def test_failure_in_the_middle(bench: Any) -> None:
    """A failure within the body ends the connection without the last chunk, so that the client can tell."""
    with capture_logs() as logs:
        client = bench.connect().send(get(b"/fail-late"))
    assert bytes(client.transport.output).endswith(b"4\r\npart\r\n")
    assert client.is_ended
    assert "request_failed" in [entry["event"] for entry in logs]


def test_short_answer(bench: Any) -> None:
    """An answer shorter than it declared ends the connection."""
    with capture_logs():
        client = bench.connect().send(get(b"/short"))
    assert bytes(client.transport.output).endswith(b"abc")
    assert client.is_ended


def test_application_may_end_the_connection(bench: Any) -> None:
    """The application's `connection: close` is obeyed, its transfer-encoding is not, its date is kept."""
    client = bench.connect().send(get(b"/bye"))
    (answer,) = client.answers()
    assert answer.headers == {"date": "today", "content-length": "3", "connection": "close"}
    assert client.is_ended


def test_disconnect_is_received(bench: Any) -> None:
    """The application hears of a client that is gone, and may send into the void."""
    client = bench.connect().send(get(b"/wait"))
    assert bench.site.received == ["http.request"]
    client.lose()
    bench.run(lambda: None)
    assert bench.site.received == ["http.request", "http.disconnect"]
    assert client.transport.output == b""
    assert not bench.state.tasks


def test_receive_after_the_answer(bench: Any) -> None:
    """After its answer the application receives http.disconnect instead of waiting for ever."""
    client = bench.connect().send(get(b"/after"))
    assert bench.site.received == ["http.request", "http.disconnect"]
    assert client.statuses == [200]


def test_back_pressure(bench: Any) -> None:
    """An application cannot send more while the client does not read; it goes on, and ends with the client."""
    client = bench.connect()
    write = client.transport.write

    def write_and_stall(data: bytes) -> None:
        write(data)
        client.connection.pause_writing()

    client.transport.write = write_and_stall
    client.send(get(b"/flood"))
    assert len(client.transport.output) < 20_000
    before = len(client.transport.output)
    bench.run(client.connection.resume_writing)
    assert before < len(client.transport.output) < 40_000
    client.lose()
    for _ in range(300):
        bench.run(lambda: None)
    assert not bench.state.tasks


def test_tasks_are_registered(bench: Any) -> None:
    """A request of the application is a task that the server knows, and a cancelled one ends the connection."""
    client = bench.connect().send(get(b"/wait"))
    (task,) = bench.state.tasks
    assert isinstance(task, asyncio.Task)
    bench.run(task.cancel)
    assert client.is_ended
    assert not bench.state.tasks
