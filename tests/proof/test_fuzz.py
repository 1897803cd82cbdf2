"""The fuzzer: a short run of it, and that each of its checks notices what it is for."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import structlog
import uvloop
from proof.fuzz import __main__ as command
from proof.fuzz import grammar, operations
from proof.fuzz.answers import ANY, split_answers
from proof.fuzz.bodies import Lockstep
from proof.fuzz.cases import Case, raw_case, shrink, split_case, try_case, two_part_cuts
from proof.fuzz.conversation import Ending, InMemory, Wanted
from proof.fuzz.judge import Judge
from proof.fuzz.reading import End, Reading, read
from proof.fuzz.run import KINDS, Found
from proof.fuzz.scene import require_health, require_no_trace, set_up
from proof.fuzz.violation import Violation
from proof.fuzz.watch import Watch, complaints_of_this_process, require_no_errors

from keystead.assembly import Outside, open_application, open_storage
from keystead.clock import ManualClock
from keystead.config import Settings
from keystead.http import protocol
from keystead.http.limits import HttpLimits
from keystead.http.protocol import Connection
from keystead.http.verify_lane import VerifyLane
from keystead.testing.server import NOW_MS

HEAD = b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2026 00:00:00 GMT\r\ncontent-type: application/json; charset=UTF-8\r\n"
OK = HEAD + b"content-length: 2\r\nunkey-request-id: req_1\r\n\r\n{}"


def verify(key: str = grammar.GOOD_KEY, fields: bytes = b"", framing: bytes = b"") -> bytes:
    """A verification."""
    body = b'{"key":"%b"}' % key.encode()
    framing = framing or b"Content-Length: %d\r\n" % len(body)
    head = b"POST /v1/keys.verifyKey HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return head + fields + framing + b"\r\n" + body


def in_memory(folder: Path, use: Callable[[InMemory], Awaitable[Any]], patience_s: float = 30.0) -> Any:
    """What `use` makes of a server in this process, which is waited for so long."""

    async def run() -> Any:
        settings = Settings(database_url=str(folder / "keystead.db"), root_key=grammar.ROOT_KEY)
        outside = Outside(clock=ManualClock(NOW_MS))
        async with open_storage(settings, outside) as storage, open_application(storage) as application:
            await set_up(InMemory(application))
            return await use(InMemory(application, patience_s))

    return uvloop.run(run())


def found_in(folder: Path, *streams: bytes, ending: Ending = Ending.EOF, cuts: tuple[int, ...] = ()) -> str:
    """What the oracle says of these streams, each on a connection of its own; nothing if all is well."""

    async def use(server: InMemory) -> str:
        judge = Judge(server, HttpLimits())
        for stream in streams:
            try:
                await try_case(Case((stream,), cuts, ending, compares=bool(cuts)), judge)
            except Violation as violation:
                return str(violation)
        return ""

    # Nothing here waits for a disk.
    found: str = in_memory(folder, use, patience_s=1.0)
    return found


# ---- the command


@pytest.mark.parametrize(("seed", "cases"), [(7, 1200), (None, 300)])
def test_short_run(capsys: pytest.CaptureFixture[str], seed: int | None, cases: int) -> None:
    """A short run of the command ends green, with one seed for ever and with another each time."""
    code = command.main(["--cases", str(cases), *(["--seed", str(seed)] if seed is not None else [])])
    printed = capsys.readouterr().out
    assert code == 0, printed
    assert re.search(r"^fuzz: [\d,]+ cases .* 0 5xx, 0 hangs, memory .* no violation \(seed \d+\)$", printed, re.M)


def test_one_case_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A single case can be tried again, of whatever kind."""
    assert command.main(["--seed", "7", "--case", "3"]) == 0
    assert "1 cases (1 raw" in capsys.readouterr().out


def test_same_case_for_the_same_number() -> None:
    """A seed and a number always give the same case; other numbers give others."""
    assert raw_case(7, 5) == raw_case(7, 5)
    assert split_case(7, 5) == split_case(7, 5)
    assert len({raw_case(7, number) for number in range(50)}) == 50
    assert len({raw_case(seed, 5) for seed in range(50)}) == 50


def test_every_two_part_cut() -> None:
    """A full run cuts each of the fixed streams in two at every byte."""
    of_full_run = range(10, 97_500 // len(KINDS) * KINDS.count("split"), 2)
    cuts = {(case.parts, case.cuts) for case in (split_case(7, number) for number in of_full_run)}
    assert len(cuts) == two_part_cuts() > 5000


def test_summary_tells_violations() -> None:
    """The summary counts what was found."""
    found = Found(violations=["violation in case 1 (raw): 500: b''", "violation in case 2 (raw): hung: x"])
    assert "1 5xx, 1 hangs" in command.summary(found, 7)
    assert "2 violations (seed 7)" in command.summary(found, 7)


# ---- the oracle is not empty


def test_nothing_is_found_in_what_is_right(tmp_path: Path) -> None:
    """Well-formed, refused, cut short and silent streams are all right as they are answered."""
    good = verify() + verify("unknown")
    assert not found_in(tmp_path, good, good + b"\0", good[:-5], verify(fields=b"Connection: close\r\n") + b"\0")


def test_swallowed_request_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers every request but the second of a pipeline."""
    complete = Connection.on_message_complete

    def swallow(self: Connection) -> None:
        complete(self)
        if len(self._queue) == 2:
            self._queue.pop()

    monkeypatch.setattr(Connection, "on_message_complete", swallow)
    assert "hung" in found_in(tmp_path, verify() + verify("unknown"))


def test_exchanged_answers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers the last request first."""
    complete = Connection.on_message_complete

    def overtake(self: Connection) -> None:
        complete(self)
        self._queue.rotate(1)

    monkeypatch.setattr(Connection, "on_message_complete", overtake)
    assert "alone on a connection" in found_in(tmp_path, verify() + verify("unknown"))


def test_second_answer_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers pipelined requests twice."""
    send = protocol.Outbox.send

    def twice(self: protocol.Outbox, transport: Any, data: bytes | None) -> None:
        send(self, transport, data)
        if data and b'"NOT_FOUND"' in data:
            send(self, transport, data)

    monkeypatch.setattr(protocol.Outbox, "send", twice)
    found = found_in(tmp_path, verify() + verify("unknown"))
    assert "answers to one request" in found or "more answers than requests" in found


def test_500_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that fails at some byte in a body."""
    act = VerifyLane.__call__

    def fail(self: VerifyLane, exchange: Any, body: bytes) -> None:
        if b"\x07" in body:
            raise ValueError("a bell")
        act(self, exchange, body)

    monkeypatch.setattr(VerifyLane, "__call__", fail)
    assert found_in(tmp_path, verify("a\x07")).startswith("500: ")


def test_length_and_coding_accepted_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that prefers the length where there is a coding too."""
    parse = Connection._parse

    def lenient(self: Connection, data: bytes | memoryview) -> None:
        parse(self, bytes(data).replace(b"Transfer-Encoding: chunked\r\n", b""))

    monkeypatch.setattr(Connection, "_parse", lenient)
    assert "length and a coding" in found_in(tmp_path, verify(fields=b"Transfer-Encoding: chunked\r\n"))


def test_executed_hidden_request_is_found(tmp_path: Path) -> None:
    """A hidden request that was executed, by whatever way, is found by its trace."""

    async def use(server: InMemory) -> None:
        await require_no_trace(server)
        hidden = [grammar.hidden(Random(number)) for number in range(10)]
        await server.talk([next(h for h in hidden if b"createApi" in h)], Ending.SILENCE, Wanted(1, ends=False))
        with pytest.raises(Violation, match="a hidden request was executed"):
            await require_no_trace(server)

    in_memory(tmp_path, use)


def test_dependence_on_the_cut_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that refuses differently what comes in two pieces."""
    refuse = Connection._refuse

    def sensitive(self: Connection, status: int, message: str) -> None:
        refuse(self, 414 if self._head_spans else status, message)

    stream = verify(fields=b"Transfer-Encoding: chunked\r\n")
    assert not found_in(tmp_path, stream, cuts=(50,))
    monkeypatch.setattr(Connection, "_refuse", sensitive)
    (tmp_path / "second").mkdir()
    assert found_in(tmp_path / "second", stream, cuts=(50,)).startswith("cut: [(414")


def test_answers_kept_back_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers only once the client has ended its side."""
    advance = Connection._advance

    def late(self: Connection) -> None:
        if self._input_over or b"kept back" not in getattr(self._request, "body", b""):
            advance(self)

    monkeypatch.setattr(Connection, "_advance", late)
    assert found_in(tmp_path, verify("kept back")).startswith("hung: waited in vain")


def test_silent_clients_kept_for_ever_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without time-outs."""
    monkeypatch.setattr(Connection, "keep_time", lambda self, now: None)
    assert "never closed" in found_in(tmp_path, b"GET / HT", ending=Ending.SILENCE)


def test_leaked_connections_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that keeps its closed connections."""
    leaked = []
    lost = Connection.connection_lost

    def leak(self: Connection, error: Exception | None) -> None:
        leaked.append(self)
        lost(self, error)

    async def use(server: InMemory) -> list[str]:
        judge = Judge(server, HttpLimits())
        for number in range(20):
            await try_case(Case((verify(f"k{number}"),), (), Ending.EOF), judge)
        return server.left_behind()

    monkeypatch.setattr(Connection, "connection_lost", leak)
    (left,) = in_memory(tmp_path, use)
    assert left.endswith("connections in memory")


def test_unhealthy_server_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not know a good key any more."""

    async def use(server: InMemory) -> None:
        await require_health(server)
        monkeypatch.setattr(grammar, "GOOD_KEY", "forgotten")
        with pytest.raises(Violation, match="NOT_FOUND"):
            await require_health(server)

    in_memory(tmp_path, use)


def test_lane_and_router_at_odds_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that takes a body the router refuses."""
    act = VerifyLane.__call__

    def lenient(self: VerifyLane, exchange: Any, body: bytes) -> None:
        act(self, exchange, body.replace(b"NaN", b"1").replace(b'""', b'"x"'))

    async def use(server: InMemory) -> str:
        # One server is enough where nothing is spent.
        lockstep = Lockstep(server, server, ["", "x"])
        for number in range(300):
            try:
                await lockstep.try_case(1, number)
            except Violation as violation:
                return str(violation)
        return ""

    monkeypatch.setattr(VerifyLane, "__call__", lenient)
    assert "the router" in in_memory(tmp_path, use)


def test_undocumented_answers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations whose statuses are not documented, or that let strangers in."""

    async def use(server: InMemory) -> str:
        for number in range(100):
            try:
                await operations.try_case(server, {}, 1, number)
            except Violation as violation:
                return str(violation)
        return ""

    assert in_memory(tmp_path, use) == ""
    monkeypatch.setattr(operations, "_STATUSES", {name: {200, 202} for name in operations._STATUSES})
    (tmp_path / "second").mkdir()
    assert "is not documented" in in_memory(tmp_path / "second", use)


# ---- answers


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        (OK.replace(b"200 OK", b"503 x"), "503"),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), "HTTP/1.0"),
        (OK[:-1], "not HTTP/1.1|cut short"),
        (OK + b"x", "not HTTP/1.1|no complete"),
        (OK.replace(b"{}", b"{]"), "not JSON"),
        (OK.replace(b"unkey-request-id", b"x-evil"), "unexpected header"),
        (OK.replace(b"req_1", b"req_1<>"), "unexpected header"),
        (OK.replace(b"unkey-request-id: req_1\r\n", b""), "missing headers"),
        (OK.replace(b"unkey", b"connection: close\r\nconnection: close\r\nunkey"), "twice"),
        (OK.replace(b"200 OK", b"400 x"), "without the envelope"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, "nobody expects"),
    ],
)
def test_bad_answers_are_found(output: bytes, complaint: str) -> None:
    """An answer that is not HTTP, not JSON, not the envelope, or has a header of the client's making."""
    with pytest.raises(Violation, match=complaint):
        split_answers(output, [ANY])


def test_good_answers_are_read() -> None:
    """Several answers are told apart."""
    assert [answer.status for answer in split_answers(OK * 3, [ANY] * 3)] == [200] * 3


# ---- the reference

TARGET = b"POST /x HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("stream", "requests", "end"),
    [
        (b"", 0, End.CLEAN),
        (TARGET + b"\r\n" + TARGET + b"\r\n", 2, End.CLEAN),
        (TARGET + b"Content-Length: 3\r\n\r\nabc\r\n", 1, End.CLEAN),
        (TARGET + b"Content-Length: 3\r\n\r\nab", 0, End.PARTIAL),
        (TARGET + b"Content-Length: 3, 3\r\n\r\nabc", 0, End.REFUSED),
        (TARGET + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 0, End.REFUSED),
        (TARGET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc", 0, End.REFUSED),
        (TARGET + b"Content-Length : 3\r\n\r\nabc", 0, End.REFUSED),
        (TARGET + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 1, End.CLEAN),
        (TARGET + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 0, End.REFUSED),
        (TARGET + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 0, End.REFUSED),
        (TARGET + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 0, End.REFUSED),
        (TARGET + b"A: b\r\n c\r\n\r\n", 0, End.REFUSED),
        (TARGET.replace(b"\r\n", b"\n") + b"\n", 0, End.REFUSED),
        (TARGET + b"Connection: close\r\n\r\n\0\0", 1, End.CLOSED),
        (TARGET.replace(b"1.1", b"1.0") + b"\r\n\0", 1, End.CLOSED),
        (TARGET + b"\r\nGET /", 1, End.PARTIAL),
    ],
)
def test_reference(stream: bytes, requests: int, end: End) -> None:
    """The reference reads what RFC 9112 says, and refuses what two readers could read differently."""
    reading = read(stream, HttpLimits())
    assert (len(reading.requests), reading.end) == (requests, end)


def test_reference_is_compared_with_h11(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that reads a body too short is noticed."""
    monkeypatch.setattr("proof.fuzz.judge.read", lambda stream, limits: _shortened(read(stream, limits)))
    with pytest.raises(Violation, match="h11"):
        Judge(None, HttpLimits()).read(TARGET + b"Content-Length: 3\r\n\r\nabc")  # type: ignore[arg-type]


def _shortened(reading: Reading) -> Reading:
    return replace(reading, requests=tuple(replace(r, body=r.body[:-1]) for r in reading.requests))


# ---- around the cases


def test_failing_case_is_shrunk() -> None:
    """What is not needed for a failure is dropped: parts, lines and cuts."""

    async def fails(case: Case) -> bool:
        return b"B" in case.stream

    case = Case((b"a\n", b"a\nB\na\n", b"a"), (1, 2, 3), Ending.EOF)
    smallest = asyncio.run(shrink(case, fails))
    assert (smallest.stream, smallest.cuts) == (b"B\n", ())


def test_growing_memory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that grows beyond its bound after the warm-up is a violation; growing before is not."""
    readings = iter([100.0, 104.0, 120.0, 120.0])
    monkeypatch.setattr(Watch, "open", lambda self: (4, 20))
    monkeypatch.setattr(Watch, "memory_mib", lambda self: next(readings))
    watch = Watch(1, tmp_path / "log", bound_mib=10)
    watch.warmed_up()
    watch.require_bounds()
    with pytest.raises(Violation, match=r"grown by 20\.0 MiB"):
        watch.require_bounds()


def test_connections_left_open_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that keeps sockets open is a violation."""
    counts = iter([(4, 20), (100, 20)])
    monkeypatch.setattr(Watch, "open", lambda self: next(counts))
    watch = Watch(1, tmp_path / "log", bound_mib=10)
    with pytest.raises(Violation, match="100 sockets"):
        asyncio.run(watch.require_files_returned(patience_s=0))


@pytest.mark.parametrize("line", ['{"level": "error", "event": "x"}', "Traceback (most recent call last):"])
def test_complaints_in_the_log_are_found(tmp_path: Path, line: str) -> None:
    """An error or a traceback in the log is a violation, what is told besides is not."""
    log = tmp_path / "log"
    log.write_text('{"level": "info"}\n')
    require_no_errors(log)
    log.write_text(f'{{"level": "info"}}\n{line}\n')
    with pytest.raises(Violation, match="complains"):
        require_no_errors(log)


def test_complaints_of_servers_in_this_process_are_found() -> None:
    """What is logged as an error here, or by the event loop, is a complaint; what is told besides is not."""

    async def run() -> list[str]:
        with complaints_of_this_process() as complaints:
            log = structlog.get_logger()
            log.info("nothing")
            log.error("something")
            asyncio.get_running_loop().call_exception_handler({"message": "a task failed"})
        return complaints

    first, second = asyncio.run(run())
    assert "something" in first
    assert "a task failed" in second
