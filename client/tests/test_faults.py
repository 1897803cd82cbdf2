"""Servers that misbehave, on a real socket: what every operation then does, blocking and not."""

import asyncio
import importlib
import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from unkey_py import Unkey, models
from unkey_py._flow import Chance
from unkey_py.basesdk import BaseSDK
from unkey_py.utils import BackoffStrategy, RetryConfig

CASES = json.loads((Path(__file__).parent / "behaviour" / "operations.json").read_text(encoding="utf-8"))
FIRST = {case["operation"]: case for case in reversed(CASES)}
OPERATIONS = {
    name: getattr(importlib.import_module(f"unkey_py.{name.partition('.')[0]}"), f"_{name.partition('.')[2].upper()}")
    for name in FIRST
}
CONFIGURED = RetryConfig("backoff", BackoffStrategy(50, 1000, 1.5, 30_000), True)
TIMEOUT_MS = 150


class FaultServer:
    """Plays `script` to each request in turn, its last part for ever; keeps the requests as (first line, headers)."""

    def __init__(self):
        self.script, self.requests = [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, *script):
        self.script, self.requests = list(script), []

    def close(self):
        for open_socket in (self._listener, *self._connections):
            # The other side may have been faster.
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection.makefile("rb") as received:
                while line := received.readline():
                    headers = httpx.Headers()
                    while (header := received.readline().decode().strip()) != "":
                        name, _, value = header.partition(":")
                        headers[name] = value.strip()
                    received.read(int(headers.get("content-length", 0)))
                    self.requests.append((line.decode(), headers))
                    part = self.script[0] if len(self.script) == 1 else self.script.pop(0)
                    if not part(connection):
                        return
        except OSError:
            pass  # the client gave up


def answers(status, body, content_type="application/json", **headers):
    """A whole answer."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-type: {content_type}", f"content-length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]

    def part(connection):
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        return True

    return part


def right(case):
    """The answer that a healthy server gives."""
    return answers(case["status"], case["answer"])


def refuses(code, status):
    """An error in the documented envelope."""
    return answers(status, {"error": {"code": code, "docs": "d", "message": "m", "requestId": "req_1"}})


def hangs(connection):
    """Takes the request and never answers."""
    return True


def hangs_up(connection):
    """Takes the request and closes the connection."""
    connection.shutdown(socket.SHUT_RDWR)
    return False


def breaks_off(connection):
    """Closes the connection in the middle of the body."""
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"id":')
    connection.shutdown(socket.SHUT_RDWR)
    return False


@pytest.fixture
def server():
    made = FaultServer()
    yield made
    made.close()


@pytest.fixture
def slept(monkeypatch):
    """What was waited between attempts; the clock passes by that only, and chance gives nothing."""
    waited = []

    async def sleep_async(seconds):
        waited.append(seconds)

    monkeypatch.setattr(BaseSDK, "_chance", Chance(lambda: round(sum(waited) * 1000), lambda: 0.0))
    monkeypatch.setattr(BaseSDK, "_sleep", staticmethod(waited.append))
    monkeypatch.setattr(BaseSDK, "_sleep_async", staticmethod(sleep_async))
    return waited


@pytest.fixture(params=["sync", "async"])
def every_operation(request, server, slept):
    """Runs all operations against the server; (name, case, what came of it), an exception being an outcome too.

    `script` makes the server's part of one operation from its case.
    """

    def run(script, **settings):
        unkey = Unkey("root", **({"server_url": server.url, "timeout_ms": 5000} | settings))
        outcomes = []

        async def call(name, case):
            group, _, method = name.partition(".")
            operation = getattr(getattr(unkey, group), method)
            if request.param == "sync":
                return operation(**case["arguments"])
            return await getattr(getattr(unkey, group), f"{method}_async")(**case["arguments"])

        async def call_all():
            async with unkey:
                for name, case in FIRST.items():
                    server.play(*script(case))
                    slept.clear()
                    try:
                        outcome = await call(name, case)
                    except Exception as error:
                        outcome = error
                    outcomes.append(Outcome(name, case, outcome, list(server.requests), list(slept)))

        asyncio.run(call_all())
        assert len(outcomes) == 41
        return outcomes

    return run


class Outcome:
    """What became of one operation."""

    def __init__(self, name, case, result, requests, slept):
        self.name, self.case, self.result, self.requests, self.slept = name, case, result, requests, slept
        self.operation = OPERATIONS[name]

    @property
    def answer(self):
        """The answer as it would be sent again; what went wrong is raised."""
        if isinstance(self.result, Exception):
            raise self.result
        body = getattr(self.result, self.case["attribute"])
        given = body if isinstance(body, list) else [body]
        return [one.model_dump(mode="json", by_alias=True) for one in given]

    def check_idempotency(self):
        """What changes something says so with one key on all attempts; nothing else carries one."""
        keys = [headers.get("idempotency-key") for _, headers in self.requests]
        assert len(set(keys)) == 1, self.name
        assert (keys[0] is not None) == self.operation.changes, self.name


def test_nobody_listens(every_operation):
    """No connection: repeated until the patience ends, for every operation, then httpx's exception names the server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for outcome in every_operation(lambda case: [hangs], server_url=url):
        assert isinstance(outcome.result, httpx.ConnectError), outcome.name
        assert url in str(outcome.result)
        assert "is a server running there?" in str(outcome.result)
        assert 30 < sum(outcome.slept) <= 31


def test_silence(every_operation):
    """No answer: a timeout soon after the time set, and the request was sent once when retrying is off."""
    began = time.monotonic()
    for outcome in every_operation(lambda case: [hangs], timeout_ms=TIMEOUT_MS, retry_config=None):
        assert isinstance(outcome.result, httpx.ReadTimeout), outcome.name
        assert len(outcome.requests) == 1
    assert time.monotonic() - began < 41 * (TIMEOUT_MS / 1000 + 0.5)


def test_silence_then_an_answer(every_operation):
    """After a timeout a request is repeated with the same Idempotency-Key, except where that might spend twice."""
    for outcome in every_operation(lambda case: [hangs, right(case)], timeout_ms=TIMEOUT_MS):
        outcome.check_idempotency()
        if outcome.operation.spends:
            assert isinstance(outcome.result, httpx.ReadTimeout)
            assert len(outcome.requests) == 1
        else:
            assert outcome.answer == outcome.case["dumped"], outcome.name
            assert (len(outcome.requests), outcome.slept) == (2, [0.05])


@pytest.mark.parametrize("fault", [hangs_up, breaks_off])
def test_connections_that_break(every_operation, fault):
    """A connection that breaks after the request is httpx's exception at once; nothing is sent twice."""
    for outcome in every_operation(lambda case: [fault, right(case)]):
        assert isinstance(outcome.result, httpx.RemoteProtocolError), outcome.name
        assert len(outcome.requests) == 1


@pytest.mark.parametrize(
    ("configuration", "is_cautious"), [({}, True), ({"retry_config": CONFIGURED}, False)], ids=["default", "configured"]
)
def test_500_then_an_answer(every_operation, configuration, is_cautious):
    """A server error is repeated with the same Idempotency-Key; what may spend twice only if the caller asks."""
    script = lambda case: [refuses("INTERNAL_SERVER_ERROR", 500), right(case)]  # noqa: E731
    for outcome in every_operation(script, **configuration):
        outcome.check_idempotency()
        if outcome.operation.spends and is_cautious:
            assert isinstance(outcome.result, models.ErrInternalServerError)
            assert len(outcome.requests) == 1
        else:
            assert outcome.answer == outcome.case["dumped"], outcome.name
            assert len(outcome.requests) == 2


def test_503_then_an_answer(every_operation):
    """An overloaded server has not acted, so every operation is repeated."""
    for outcome in every_operation(lambda case: [answers(503, b"busy", "text/plain"), right(case)]):
        outcome.check_idempotency()
        assert outcome.answer == outcome.case["dumped"], outcome.name
        assert (len(outcome.requests), outcome.slept) == (2, [0.05])


def test_503_for_ever(every_operation):
    """A server that stays overloaded is an SDKError in the end."""
    for outcome in every_operation(lambda case: [answers(503, b"busy", "text/plain")]):
        assert isinstance(outcome.result, models.SDKError), outcome.name
        assert (outcome.result.status_code, outcome.result.body) == (503, "busy")
        assert 30 < sum(outcome.slept) <= 31


LIMITED = {"error": {"code": "TOO_MANY_REQUESTS", "docs": "d", "message": "m", "requestId": "req_1"}}


def test_429(every_operation):
    """A limit is told at once unless the caller has given a retry configuration."""
    for outcome in every_operation(lambda case: [answers(429, LIMITED, retry_after=3), right(case)]):
        assert isinstance(outcome.result, models.ErrTooManyRequests), outcome.name
        assert len(outcome.requests) == 1


def test_429_with_a_configuration(every_operation):
    """With one, a request that was limited is repeated when the server says, with the same Idempotency-Key."""
    script = lambda case: [answers(429, LIMITED, retry_after=3), right(case)]  # noqa: E731
    for outcome in every_operation(script, retry_config=CONFIGURED):
        outcome.check_idempotency()
        assert outcome.answer == outcome.case["dumped"], outcome.name
        assert outcome.slept == [3]


def test_429_beyond_the_patience(every_operation):
    """A server that asks for more time than the caller has is not waited for."""
    script = lambda case: [answers(429, LIMITED, retry_after=31), right(case)]  # noqa: E731
    for outcome in every_operation(script, retry_config=CONFIGURED):
        assert isinstance(outcome.result, models.ErrTooManyRequests), outcome.name
        assert (len(outcome.requests), outcome.slept) == (1, [])


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"<html>", "text/html", "Unexpected response received"),
        (b"{}", "application/problem+json", "Unexpected response received"),
        (b'{"broken', "application/json", "Response body does not fit"),
        (b"", "application/json", "Response body does not fit"),
        (b"\xff\xfe", "application/json", "Response body does not fit"),
        (b"3", "application/json", "Response body does not fit"),
    ],
)
def test_answers_that_make_no_sense(every_operation, body, content_type, message):
    """A success that is none becomes an SDKError, and is not asked for again."""
    for outcome in every_operation(lambda case: [answers(case["status"], body, content_type)]):
        assert isinstance(outcome.result, models.SDKError), outcome.name
        assert outcome.result.message.startswith(message)
        assert outcome.result.raw_response.content == body
        assert len(outcome.requests) == 1


@pytest.mark.parametrize("body", [b"{", b'{"error":{}}', b'{"error":"x"}', b"[]", b""])
@pytest.mark.parametrize("status", [400, 404, 429])
def test_errors_that_make_no_sense(every_operation, status, body):
    """An error whose body is not the documented one becomes an SDKError with all of it."""
    for outcome in every_operation(lambda case: [answers(status, body)]):
        assert isinstance(outcome.result, models.SDKError), outcome.name
        assert (outcome.result.status_code, outcome.result.body) == (status, body.decode())


def test_missing_members(every_operation):
    """An answer that lacks a required member becomes an SDKError; what is optional may be missing."""
    for outcome in every_operation(lambda case: [answers(case["status"], [{}] if _is_list(case) else {})]):
        if outcome.case["answer"] == {}:
            assert outcome.answer == [{}], outcome.name
        else:
            assert isinstance(outcome.result, models.SDKError), outcome.name
            assert outcome.result.message == "Response body does not fit"


def test_surprise_members(every_operation):
    """Members that this release does not know are ignored, at every level."""
    for outcome in every_operation(lambda case: [answers(case["status"], _with_surprises(case["answer"]))]):
        assert outcome.answer == outcome.case["dumped"], outcome.name


def test_unknown_codes_of_errors(every_operation):
    """A code that this release does not know is kept in the exception of its status."""
    for outcome in every_operation(lambda case: [refuses("SOMETHING_NEW", 403)]):
        assert isinstance(outcome.result, models.ErrForbidden), outcome.name
        assert outcome.result.data.error.code == "SOMETHING_NEW"


def test_unknown_values(server):
    """Values that this release does not know are kept where the answer has an enumeration."""
    with Unkey("root", server_url=server.url) as unkey:
        server.play(answers(200, {"valid": False, "code": "SOMETHING_NEW", "requestId": "r"}))
        verified = unkey.keys.verify(request={"key": "k"}).v1_keys_verify_key_response
        key = {"id": "k", "start": "s", "workspaceId": "w", "createdAt": 1}
        key |= {"refill": {"interval": "yearly", "amount": 1}}
        key |= {"ratelimit": {"async": True, "type": "new", "limit": 1, "duration": 1}}
        server.play(answers(200, key))
        got = unkey.keys.get(key_id="k").key
    assert (verified.code, verified.code.value) == ("SOMETHING_NEW", "SOMETHING_NEW")
    assert (got.refill.interval, got.ratelimit.type) == ("yearly", "new")


def _is_list(case):
    return isinstance(case["answer"], list)


def _with_surprises(value):
    if isinstance(value, list):
        return [_with_surprises(member) for member in value]
    if not isinstance(value, dict):
        return value
    # Free-form members belong to the caller: everything in them is meant.
    known = {name: member if name == "meta" else _with_surprises(member) for name, member in value.items()}
    return known | {"surprise": {"of": [1]}}
