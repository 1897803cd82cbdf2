"""The same body by the hot lane and by the router: two servers in lockstep have to say the same.

Both have the same clock, the same randomness and so the same ids and keys. One is asked at the exact path, which is the
lane's, the other with a query string, which sends the same call through the router. So every answer is compared whole,
what is left of credits and limits included; only the ids of requests are the lane's and the router's own.
"""

import json
from random import Random
from typing import Any

from keystead.contract.ratelimits import Limit
from keystead.core.verify import VerificationRequest
from proof.fuzz import grammar
from proof.fuzz.answers import ANY, Answer, split_answers
from proof.fuzz.conversation import Ending, InMemory, Wanted
from proof.fuzz.values import Values
from proof.fuzz.violation import Violation, shown

_TYPES = [
    *[b"application/json"] * 20,
    b"application/json; charset=utf-8",
    b"APPLICATION/JSON",
    b"application/problem+json",
    b"text/plain",
    b"",
]
_CREDENTIALS = [*[b"Bearer " + grammar.ROOT_KEY.encode()] * 8, grammar.ROOT_KEY.encode(), b"Bearer x", b"\xff", b""]


class Lockstep:
    """Two servers with the same past. `keys` are in both, as `Values` may put them into a body."""

    def __init__(self, lane: InMemory, router: InMemory, keys: list[str]) -> None:
        self._lane = lane
        self._router = router
        self._keys = keys

    async def try_case(self, seed: int, number: int) -> None:
        """Ask both. Raises Violation."""
        rng = Random(f"{seed}/bodies/{number}")
        target, body = self._body(rng)
        fields = [b"Host: fuzz.test"]
        for name, value in ((b"Content-Type", rng.choice(_TYPES)), (b"Authorization", rng.choice(_CREDENTIALS))):
            if value:
                fields.append(b"%b: %b" % (name, value))
        by_lane = await _ask(self._lane, target, fields, body)
        by_router = await _ask(self._router, target + b"?by=router", fields, body)
        if _said(by_lane) != _said(by_router):
            raise Violation(
                f"the lane answers {_said(by_lane)}, the router {_said(by_router)}\n"
                f"to {target!r} with {fields} and the body {shown(body)}"
            )

    def _body(self, rng: Random) -> tuple[bytes, bytes]:
        known: dict[str, list[Any]] = {
            "key": self._keys,
            "apiId": ["", "api_unknown"],
            "name": ["default", "other", "identity"],
            "namespace": ["fuzz", "default", ""],
            "identifier": ["one", "two"],
            "limit": [1, 2, 3, 1000],
            "cost": [0, 1, 2, 2**63 - 1],
            "permissions": ["read", "write", {"and": ["read", {"or": ["write", "other"]}]}, {"or": []}],
        }
        is_limit = rng.random() < 0.4
        values = Values(rng, known, spoil=rng.choice([0.0, 0.0, 0.1]))
        target, kind = (b"/v1/ratelimits.limit", Limit) if is_limit else (b"/v1/keys.verifyKey", VerificationRequest)
        body = json.dumps(values.of(kind), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        return target, grammar.odd_body(rng, body) if rng.random() < 0.3 else body


async def _ask(server: InMemory, target: bytes, fields: list[bytes], body: bytes) -> Answer:
    lines = [b"POST %b HTTP/1.1" % target, *fields, b"Content-Length: %d" % len(body), b"", b""]
    transcript = await server.talk([b"\r\n".join(lines) + body], Ending.EOF, Wanted(1, ends=False))
    if transcript.hung:
        raise Violation(f"hung: {transcript.hung}: {target!r} {fields} {shown(body)}")
    answers = split_answers(transcript.output, [ANY])
    if len(answers) != 1:
        raise Violation(f"{len(answers)} answers to one request: {target!r} {fields} {shown(body)}")
    return answers[0]


def _said(answer: Answer) -> tuple[int, Any, bytes | None]:
    members = answer.json
    if isinstance(members, dict):
        members = {name: member for name, member in members.items() if name != "requestId"}
        if "error" in members:
            members["error"] = {name: member for name, member in members["error"].items() if name != "requestId"}
    return answer.status, members, answer.headers.get(b"unkey-ratelimit-triggered")
