"""Routes, and what every answer carries: request id, content type, the envelope of an error (keys-v1 §1.3, §1.6)."""

import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.http.operations import GET, OPERATIONS, POST, Operation
from keystead.http.problems import STATUSES, Problems
from keystead.testing.server import ServerInProcess

DOCS = "https://keys.example/errors"
REQUEST_ID = re.compile(r"req_[a-zA-Z0-9]+")
JSON = "application/json; charset=UTF-8"
GETS = [operation for operation in OPERATIONS if operation.method == GET]
POSTS = [operation for operation in OPERATIONS if operation.method == POST]
MAX_BODY_BYTES = 4096


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """A server with a docs URL of its own that reads short bodies only."""
    folder = tmp_path_factory.mktemp("server")
    with ServerInProcess(folder, errors_docs_url=DOCS, max_body_bytes=MAX_BODY_BYTES) as server:
        yield server


def error_of(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """The `error` of an answer that has to be a whole envelope."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error: dict[str, str] = answer.json()["error"]
    assert set(error) - {"reason"} == {"code", "docs", "message", "requestId"}
    assert all(isinstance(value, str) for value in error.values())
    assert error["code"] == code
    assert error["docs"] == f"{DOCS}/{code}"
    assert error["message"]
    assert error["requestId"] == answer.headers["Unkey-Request-Id"]
    return error


UNKNOWN = [
    "/",
    "/v1",
    "/v1/",
    "/v1/keys.nothing",
    "/v1/keys",
    "/v1/keys/verifyKey",
    "/v1/keys.getkey",
    "/V1/keys.getKey",
    "/v2/keys.getKey",
    "/keys.getKey",
    "//v1/keys.getKey",
    "/v1//keys.getKey",
    "/v1/../v1/keys.nothing",
    "/v1/keys.getKey%2F",
    "/v1/keys.getKey.json",
    "/v1/apis.updateRemaining",
    "/openapi.json/",
    "/docs/",
]


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_route(caller: httpx.Client, method: str, path: str) -> None:
    """A path that no operation has is 404 with the envelope."""
    answer = caller.send(httpx.Request(method, str(caller.base_url).rstrip("/") + path, headers=caller.headers))
    assert error_of(answer, 404, "NOT_FOUND")["message"] == "no such route"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_trailing_slash(caller: httpx.Client, operation: Operation) -> None:
    """A path with a slash at its end is another path, and nobody is redirected."""
    for query in ("", "?x=1"):
        answer = caller.request(operation.method, f"{operation.path}/{query}", json={})
        error_of(answer, 404, "NOT_FOUND")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_other_methods(caller: httpx.Client, operation: Operation) -> None:
    """A known path with another method is as unknown as any; there is no 405."""
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"} - {operation.method}:
        error_of(caller.request(method, operation.path, json={}), 404, "NOT_FOUND")


@pytest.mark.parametrize("operation", GETS, ids=lambda operation: operation.name)
def test_head_of_a_get_route(caller: httpx.Client, stranger: httpx.Client, operation: Operation) -> None:
    """HEAD answers as GET does, without the body: success, refusal and 400 alike."""
    names = ("apiId", "keyId", "externalId", "permissionId", "roleId", "namespaceId", "identifier")
    acceptable = dict.fromkeys(names, "unknown") | {"start": "0"}
    for client, params in ((caller, acceptable), (stranger, acceptable), (caller, {"limit": "0", "decrypt": "1"})):
        got = client.get(operation.path, params=params)
        head = client.head(operation.path, params=params)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
        assert REQUEST_ID.fullmatch(head.headers["Unkey-Request-Id"])


@pytest.mark.parametrize("path", [operation.path for operation in POSTS] + ["/v1/keys.nothing"])
def test_head_of_any_other_route(caller: httpx.Client, path: str) -> None:
    """HEAD of a route that has no GET is 404, without a body."""
    answer = caller.head(path)
    assert (answer.status_code, answer.content) == (404, b"")
    assert REQUEST_ID.fullmatch(answer.headers["Unkey-Request-Id"])


class Situation(NamedTuple):
    """A request, and the status and code of its answer; no code: success."""

    status: int
    code: str | None
    method: str
    path: str
    content: Any = None
    authorization: str | None = "root"


SITUATIONS = {
    "success": Situation(200, None, "POST", "/v1/apis.createApi", {"name": "situation"}),
    "empty answer": Situation(200, None, "GET", "/v1/apis.listApis?cursor=~"),
    "no root key needed": Situation(200, None, "GET", "/v1/liveness", authorization=None),
    "lane": Situation(200, None, "POST", "/v1/keys.verifyKey", {"key": "unknown"}),
    "lane by the router": Situation(200, None, "POST", "/v1/keys.verifyKey?x", {"key": "unknown"}),
    "lane, invalid": Situation(400, "BAD_REQUEST", "POST", "/v1/keys.verifyKey", {}),
    "lane by the router, invalid": Situation(400, "BAD_REQUEST", "POST", "/v1/keys.verifyKey?x", {}),
    "invalid": Situation(400, "BAD_REQUEST", "POST", "/v1/keys.whoami", {}),
    "invalid query": Situation(400, "BAD_REQUEST", "GET", "/v1/keys.getKey"),
    "refused before authentication": Situation(400, "BAD_REQUEST", "GET", "/v1/identities.getIdentity"),
    "stranger": Situation(401, "UNAUTHORIZED", "GET", "/v1/keys.getKey?keyId=k", authorization=None),
    "unknown root key": Situation(401, "UNAUTHORIZED", "GET", "/v1/keys.getKey?keyId=k", authorization="unknown"),
    "missing object": Situation(404, "NOT_FOUND", "GET", "/v1/keys.getKey?keyId=k"),
    "no route": Situation(404, "NOT_FOUND", "GET", "/v1/keys.nothing"),
    "not ready": Situation(412, "PRECONDITION_FAILED", "POST", "/v1/keys.createKey", {"recoverable": True}),
    "conflict": Situation(409, "CONFLICT", "POST", "/v1/permissions.createRole", {"name": "twice"}),
    "too large": Situation(413, "BAD_REQUEST", "POST", "/v1/keys.whoami", {"key": "x" * MAX_BODY_BYTES}),
    "lane, too large": Situation(413, "BAD_REQUEST", "POST", "/v1/keys.verifyKey", {"key": "x" * MAX_BODY_BYTES}),
    "target too long": Situation(414, "BAD_REQUEST", "GET", "/v1/keys.getKey?keyId=" + "k" * 40_000),
}


@pytest.fixture
def ask(stranger: httpx.Client, server: ServerInProcess) -> Any:
    """Brings a situation about."""

    def send(situation: Situation, **headers: str) -> httpx.Response:
        if situation.authorization:
            secret = server.root_key if situation.authorization == "root" else situation.authorization
            headers["Authorization"] = f"Bearer {secret}"
        content = situation.content
        if situation.code == "CONFLICT":
            stranger.post(situation.path, json=content, headers=headers)
        if situation.code == "PRECONDITION_FAILED":
            api = stranger.post("/v1/apis.createApi", json={"name": "not ready"}, headers=headers).json()
            content = content | {"apiId": api["apiId"]}
        return stranger.request(situation.method, situation.path, json=content, headers=headers)

    return send


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_what_every_answer_carries(ask: Any, situation: Situation) -> None:
    """Every answer is JSON with a request id; an error is exactly the envelope, with a link that ends in its code."""
    answer = ask(situation)
    assert answer.headers["Content-Type"] == JSON
    assert REQUEST_ID.fullmatch(answer.headers["Unkey-Request-Id"])
    if situation.code:
        error_of(answer, situation.status, situation.code)
    else:
        assert answer.status_code == situation.status
        assert answer.json().get("requestId", answer.headers["Unkey-Request-Id"]) == answer.headers["Unkey-Request-Id"]


@pytest.mark.parametrize("situation", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_request_ids_are_fresh(ask: Any, situation: Situation) -> None:
    """No two answers share an id, and a caller's own id is not repeated."""
    given = {"Unkey-Request-Id": "req_mine", "X-Request-Id": "req_mine"}
    ids = [ask(situation, **given).headers["Unkey-Request-Id"] for _ in range(20)]
    assert len({*ids, "req_mine"}) == 21


def test_request_id_of_a_verification(caller: httpx.Client) -> None:
    """The body of a verification has the id of the header, on both ways to it."""
    for path in ("/v1/keys.verifyKey", "/v1/keys.verifyKey?x=1"):
        answer = caller.post(path, json={"key": "unknown"})
        assert answer.json()["requestId"] == answer.headers["Unkey-Request-Id"]


HTTP_REFUSALS = {
    400: b"GET /v1/liveness HTTP/1.1\r\nHost: a\r\nBad Header: 1\r\n\r\n",
    413: b"POST /v1/keys.verifyKey HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n",
    414: b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    431: b"GET /v1/liveness HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("status", HTTP_REFUSALS)
def test_refusals_of_http_itself(server: ServerInProcess, status: int) -> None:
    """What never becomes a request is refused with the envelope too, code BAD_REQUEST."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(HTTP_REFUSALS[status])
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    answer = httpx.Response(int(line.split(" ")[1]), headers=headers, content=body)
    assert answer.headers["Content-Type"] == JSON
    assert REQUEST_ID.fullmatch(answer.headers["Unkey-Request-Id"])
    error_of(answer, status, "BAD_REQUEST")


def test_unexpected_failures_say_nothing(
    server: ServerInProcess, caller: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect is 500 with the envelope, whose message holds nothing of its cause, and the server goes on."""
    monkeypatch.setattr(server.application.storage.store, "find_at_once", _fail)
    for answer in (
        caller.get("/v1/keys.getKey", params={"keyId": "k"}),
        caller.post("/v1/keys.verifyKey", json={"key": "never seen"}),
        caller.post("/v1/keys.verifyKey?x=1", json={"key": "never seen"}),
    ):
        error = error_of(answer, 500, "INTERNAL_SERVER_ERROR")
        assert "secret" not in error["message"]
        assert answer.headers["Content-Type"] == JSON
    monkeypatch.undo()
    assert caller.post("/v1/keys.verifyKey", json={"key": "never seen"}).json()["code"] == "NOT_FOUND"


def _fail(_hash: str) -> None:
    raise ValueError("secret internals")


CODES = {
    "BAD_REQUEST": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "PRECONDITION_FAILED": 412,
    "TOO_MANY_REQUESTS": 429,
    "INTERNAL_SERVER_ERROR": 500,
}
"""D1: the pairs that the published client decodes, and no others."""


def test_every_code_has_its_status() -> None:
    """The codes and their statuses are exactly those of DECISIONS D1."""
    assert {code.value: STATUSES[code] for code in ErrorCode} == CODES


@pytest.mark.parametrize("code", ErrorCode)
@pytest.mark.parametrize("reason", [None, *Reason])
def test_envelope(code: ErrorCode, reason: Reason | None) -> None:
    """A failure becomes exactly the envelope; `reason` is there only when there is one, UNAVAILABLE is 503."""
    status, body = Problems("https://a/b").envelope(KeysteadError(code, "why", reason), "req_1")
    assert status == (503 if reason is Reason.UNAVAILABLE else CODES[code.value])
    error = {"code": code.value, "docs": f"https://a/b/{code.value}", "message": "why", "requestId": "req_1"}
    assert msgspec.json.decode(body) == {"error": error | ({"reason": reason.value} if reason else {})}
