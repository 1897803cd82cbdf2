"""Every operation with values drawn from its wire types, right and wrong, and with every kind of credentials.

schemathesis does the same from the outside (`described`), at some thirty milliseconds a case; this is the bulk.
"""

import json
from random import Random
from typing import Any
from urllib.parse import urlencode

import msgspec

from keystead.http.openapi import document
from keystead.http.operations import GET, OPERATIONS, Operation
from proof.fuzz import grammar
from proof.fuzz.answers import ANY, Answer, split_answers
from proof.fuzz.conversation import Conversation, Ending, Wanted
from proof.fuzz.scene import KEPT
from proof.fuzz.values import Values
from proof.fuzz.violation import Violation, shown

_ROOT = b"Bearer " + grammar.ROOT_KEY.encode()
_STRANGERS: list[bytes | None] = [
    None,
    b"",
    b"Bearer ",
    b"Bearer wrong",
    b"Bearer " + grammar.GOOD_KEY.encode(),
    b"\xff",
]
_TYPES = [*[b"application/json"] * 9, b"text/plain", b"application/json; charset=\xff"]
_REPEATABLE = [b"fuzz-repeated-call-1", b"fuzz-repeated-call-2", b"short", b"\xff" * 20, b"a key with blanks", b""]


def documented_statuses(operation: Operation) -> set[int]:
    """What the OpenAPI document says an operation can answer."""
    responses = document()["paths"][operation.path][operation.method.lower()]["responses"]
    return {int(status) for status in responses}


_STATUSES = {operation.name: documented_statuses(operation) for operation in OPERATIONS}


async def try_case(server: Conversation, things: dict[str, Any], seed: int, number: int) -> None:
    """One request. `things` are the names of what exists. Raises Violation."""
    rng = Random(f"{seed}/operations/{number}")
    operation = rng.choice(OPERATIONS)
    authorization = _ROOT if rng.random() < 0.8 else rng.choice(_STRANGERS)
    request = _request(rng, operation, things, authorization)
    transcript = await server.talk([request], Ending.EOF, Wanted(1, ends=False))
    if transcript.hung:
        raise Violation(f"hung: {transcript.hung}\n{shown(request)}")
    try:
        answers = split_answers(transcript.output, [ANY])
        if len(answers) != 1:
            raise Violation(f"{len(answers)} answers")
        _check(operation, answers[0], is_stranger=authorization is not _ROOT)
    except Violation as violation:
        raise Violation(f"{operation.name}: {violation}\n{shown(request)}") from None


def _request(rng: Random, operation: Operation, things: dict[str, Any], authorization: bytes | None) -> bytes:
    kept = KEPT.get(operation.name, set())
    known = {name: [value] for name, value in things.items() if name not in kept}
    values = Values(rng, known, spoil=rng.choice([0.0, 0.02, 0.2]))
    target, body = operation.path.encode(), b""
    fields = [b"Host: fuzz.test"]
    if authorization is not None:
        fields.append(b"Authorization: " + authorization)
    if operation.method == GET:
        target += b"?" + _query(rng, values.members(operation.request))
    else:
        body = json.dumps(values.of(operation.request), ensure_ascii=rng.random() < 0.5).encode(
            "utf-8", "surrogatepass"
        )
        if rng.random() < 0.1:
            body = grammar.odd_body(rng, body)
        fields += [b"Content-Type: " + rng.choice(_TYPES), b"Content-Length: %d" % len(body)]
        if rng.random() < 0.1:
            fields.append(b"Idempotency-Key: " + rng.choice(_REPEATABLE))
    return b"\r\n".join([b"%b %b HTTP/1.1" % (operation.method.encode(), target), *fields, b"", b""]) + body


def _query(rng: Random, members: dict[str, Any]) -> bytes:
    pairs = [(name, value) for name, value in members.items() if not isinstance(value, int) or abs(value) < 10**300]
    if rng.random() < 0.1:
        pairs += rng.sample(pairs, min(len(pairs), 1))
    if rng.random() < 0.1:
        pairs.append(
            (rng.choice(["limit", "cursor", "start", "apiId"]), rng.choice(["", "1e400", "0x10", "-1", " 5 "]))
        )
    return urlencode(pairs, doseq=True, errors="surrogatepass").encode()


def _check(operation: Operation, answer: Answer, *, is_stranger: bool) -> None:
    if answer.status not in _STATUSES[operation.name]:
        raise Violation(f"{answer.status} is not documented: {shown(answer.body)}")
    if not 200 <= answer.status < 300:
        return
    if answer.status != operation.success:
        raise Violation(f"{answer.status} instead of {operation.success}")
    if is_stranger and operation.authenticated:
        raise Violation("a stranger is let in")
    try:
        msgspec.json.decode(answer.body, type=operation.answer)
    except msgspec.ValidationError as error:
        raise Violation(f"an answer that is not as described ({error}): {shown(answer.body)}") from None
