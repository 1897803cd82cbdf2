"""Answers read strictly: by h11, which shares no code with the server, and then by what the contract promises of each.

A promise is also that no byte of a request comes back in a header: of every header the names and forms are known.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import h11

from proof.fuzz.violation import Violation, shown

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    408: "BAD_REQUEST",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "BAD_REQUEST",
    414: "BAD_REQUEST",
    417: "BAD_REQUEST",
    429: "TOO_MANY_REQUESTS",
    431: "BAD_REQUEST",
}
"""Status of a failure → its code (DECISIONS D1, D2)."""

_FORMS = {
    b"date": re.compile(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"),
    b"content-type": re.compile(rb"application/json; charset=UTF-8|text/html; charset=utf-8"),
    b"content-length": re.compile(rb"0|[1-9]\d*"),
    b"connection": re.compile(rb"close|keep-alive"),
    b"unkey-request-id": re.compile(rb"req_[a-zA-Z0-9]+"),
    b"unkey-ratelimit-triggered": re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?"),
}
_ALWAYS = {b"date", b"content-type", b"content-length", b"unkey-request-id"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LONGEST_HEAD = 65_536


@dataclass(frozen=True)
class Answer:
    """A final answer; header names are lower case. `json` is None where there is no JSON body."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    json: Any

    @property
    def ends(self) -> bool:
        """Whether the connection ends with it."""
        return self.headers.get(b"connection") == b"close"

    @property
    def meaning(self) -> tuple[int, Any]:
        """The answer without what is new every time: ids, and what is left of limits."""
        return self.status, _timeless(self.json) if self.json is not None else self.body


def _timeless(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value.keys() == {"success", "limit", "remaining", "reset"}:
        return {"limit": value["limit"]}
    if value.keys() == {"apiId", "name"}:
        return {"name": value["name"]}
    if "error" in value:
        return {"error": {name: member for name, member in value["error"].items() if name != "requestId"}}
    return {name: member for name, member in value.items() if name != "requestId"}


@dataclass(frozen=True)
class Asked:
    """What must be known of a request to read its answer."""

    method: bytes
    may_be_continued: bool = False


ANY = Asked(b"POST")


def split_answers(output: bytes, asked: list[Asked]) -> list[Answer]:
    """The answers in `output`, the first to `asked[0]` and so on. Raises Violation for anything that is not right."""
    answers: list[Answer] = []
    rest = output
    while rest:
        request = asked[len(answers)] if len(answers) < len(asked) else ANY
        answer, rest = _next_answer(rest, request)
        if answer is None:
            if rest:
                raise Violation(f"bytes after 100 Continue: {shown(rest)}")
            break
        check(answer, request.method)
        answers.append(answer)
    return answers


def _next_answer(data: bytes, request: Asked) -> tuple[Answer | None, bytes]:
    if data.startswith(_CONTINUE):
        if not request.may_be_continued:
            raise Violation("100 Continue that nobody expects")
        data = data.removeprefix(_CONTINUE)
        if not data:
            return None, b""
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
    method = request.method if request.method != b"CONNECT" else b"GET"
    client.send(h11.Request(method=method, target="/", headers=[("host", "a"), ("content-length", "0")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    body = b""
    try:
        head = client.next_event()
        if not isinstance(head, h11.Response):
            raise Violation(f"no complete answer: {shown(data)}")
        while isinstance(event := client.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError as error:
        raise Violation(f"an answer that is not HTTP/1.1 ({error}): {shown(data)}") from None
    if not isinstance(event, h11.EndOfMessage):
        raise Violation(f"an answer cut short: {shown(data)}")
    if head.http_version != b"1.1":
        raise Violation(f"an answer in HTTP/{head.http_version.decode()}")
    rest = bytes(client.trailing_data[0])
    names = [name for name, _ in head.headers]
    if len(names) != len(set(names)):
        raise Violation(f"a header twice: {names}")
    headers = dict(head.headers)
    return Answer(head.status_code, headers, body, _decoded(headers, body)), rest


def _decoded(headers: dict[bytes, bytes], body: bytes) -> Any:
    if not body or not headers.get(b"content-type", b"").startswith(b"application/json"):
        return None
    try:
        return json.loads(body)
    except ValueError:
        raise Violation(f"a body that is not JSON: {shown(body)}") from None


def check(answer: Answer, method: bytes) -> None:
    """What holds for every answer, whatever was asked. Raises Violation."""
    if answer.status >= 500:
        raise Violation(f"{answer.status}: {shown(answer.body)}")
    for name, value in answer.headers.items():
        form = _FORMS.get(name)
        if form is None or not form.fullmatch(value):
            raise Violation(f"an unexpected header: {name!r}: {shown(value)}")
    if missing := _ALWAYS - answer.headers.keys():
        raise Violation(f"missing headers: {missing}")
    if method != b"HEAD":
        _check_body(answer)


def _check_body(answer: Answer) -> None:
    if 200 <= answer.status < 300:
        if not answer.body:
            raise Violation(f"{answer.status} without a body")
        return
    envelope = answer.json.get("error") if isinstance(answer.json, dict) else None
    if not isinstance(envelope, dict) or set(answer.json) != {"error"}:
        raise Violation(f"{answer.status} without the envelope: {shown(answer.body)}")
    members = {name: type(member) for name, member in envelope.items() if name != "reason"}
    if members != {"code": str, "docs": str, "message": str, "requestId": str}:
        raise Violation(f"{answer.status} with a strange envelope: {shown(answer.body)}")
    if envelope["code"] != _CODES.get(answer.status):
        raise Violation(f"{answer.status} with the code {envelope['code']}")
    if envelope["requestId"].encode() != answer.headers[b"unkey-request-id"]:
        raise Violation("the envelope names another request than the header")
