"""The outbox: what was recorded is handed over before an answer leaves."""

import asyncio
from typing import Any

from structlog.testing import capture_logs

from keystead.http.outbox import Outbox


class Recorder:
    """A transport that writes down what it is told, together with its siblings."""

    def __init__(self, name: str, log: list[Any]) -> None:
        self.name = name
        self.log = log
        self.fails = False

    def write(self, data: bytes) -> None:
        """Write it down."""
        if self.fails:
            raise RuntimeError("closed")
        self.log.append((self.name, data))

    def write_eof(self) -> None:
        """Write it down."""
        self.log.append((self.name, "eof"))

    def close(self) -> None:
        """Write it down."""
        self.log.append((self.name, "close"))

    def abort(self) -> None:
        """Write it down."""
        self.log.append((self.name, "abort"))


def test_batches_are_announced_and_keep_their_order() -> None:
    """All output of a turn leaves as one batch after one call of before_sending, in the order it was sent."""
    log: list[Any] = []
    a: Any = Recorder("a", log)
    b: Any = Recorder("b", log)

    async def scenario() -> None:
        outbox = Outbox(lambda: log.append("before"))
        outbox.send(a, b"1")
        outbox.send(b, b"2")
        outbox.send(a, b"3")
        outbox.send(b, b"")
        outbox.close(a)
        assert log == []
        await asyncio.sleep(0)
        outbox.send(a, b"4")
        outbox.flush()
        outbox.flush()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    first = ["before", ("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", "eof"), ("a", "close")]
    assert log == [*first, "before", ("a", b"4")]


def test_failing_record_loses_no_answer() -> None:
    """When before_sending fails, that is logged, and the answers leave."""
    log: list[Any] = []
    a: Any = Recorder("a", log)

    def fail() -> None:
        raise OSError("disk full")

    async def scenario() -> None:
        outbox = Outbox(fail)
        outbox.send(a, b"1")
        await asyncio.sleep(0)

    with capture_logs() as logs:
        asyncio.run(scenario())
    assert log == [("a", b"1")]
    assert logs[0]["event"] == "before_sending_failed"


def test_failing_transport_does_not_harm_the_others() -> None:
    """A transport that cannot be written to is dropped; the others get their answers."""
    log: list[Any] = []
    a: Any = Recorder("a", log)
    b: Any = Recorder("b", log)
    a.fails = True

    async def scenario() -> None:
        outbox = Outbox(lambda: None)
        outbox.send(a, b"1")
        outbox.send(b, b"2")
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert log == [("a", "abort"), ("b", b"2")]


def test_every_answer_passes_the_outbox(bench: Any) -> None:
    """Answers of lanes, of the application, and refusals are all announced before a byte of them is written."""
    client = bench.connect()
    requests = [b"POST /echo", b"POST /echo", b"GET /stream", b"nonsense"]
    for request in requests:
        written = len(client.transport.output)
        seen = len(bench.sendings)
        client.send(request + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert bench.sendings[seen] == written < len(client.transport.output)
