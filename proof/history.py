"""Concurrent histories of a few hot keys, recorded at the clients and held against `proof.one_key`."""

import base64
import hashlib
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from keystead.testing.connection import Answer, Connection
from proof.clients import Program, Request
from proof.linearizability import NEVER, UNANSWERED, Call, Violation, violation
from proof.one_key import (
    ABSENT,
    CONFLICT,
    DONE,
    NOT_FOUND,
    UNLIMITED,
    Create,
    Delete,
    Rename,
    SetEnabled,
    State,
    TopUp,
    Verified,
    Verify,
    apply,
    changes_nothing,
)
from proof.one_key import Answer as Told
from proof.one_key import Request as Asked

_DEEPEST_PIPELINE = 3


class UnexpectedAnswer(Exception):
    """An answer that the specification of a key has no word for."""


class History:
    """What many clients do to a few secrets at the same time, and what they were answered when.

    `programs` are for `Clients.work`, as often as wanted. Each call is recorded with the instants before it was
    sent and after its answer was read (`by_secret`). `violations` checks each secret alone.
    """

    def __init__(self, client: Connection, seed: int, *, secrets: int = 4) -> None:
        """Makes an api with `client`; there is no key yet."""
        self._random = random.Random(seed)
        self._api_id = client.post("apis.createApi", {"name": f"history {seed}"}).json["apiId"]
        self._secrets = [f"history_{seed}_{number}" for number in range(secrets)]
        self.by_secret: dict[str, list[Call]] = defaultdict(list)
        self._last_ids = dict.fromkeys(self._secrets, "key_of_nobody")
        self._names = 0

    @property
    def calls(self) -> int:
        """How many calls have been recorded."""
        return sum(len(calls) for calls in self.by_secret.values())

    def programs(self, clients: int) -> list[Program]:
        """Clients that send up to three requests one behind the other."""
        return [partial(self._next_requests, object()) for _ in range(clients)]

    def process_ended(self) -> None:
        """The server's process is gone: what it has not answered until now it will not do any more."""
        now = time.monotonic_ns()
        for calls in self.by_secret.values():
            calls[:] = [
                replace(c, responded=now) if c.answer is UNANSWERED and c.responded == NEVER else c for c in calls
            ]

    def process_ended_in_order(self) -> None:
        """The server has ended as it was asked to: what it has not answered it has not done."""
        for calls in self.by_secret.values():
            calls[:] = [c for c in calls if c.answer is not UNANSWERED or c.responded != NEVER]

    def violations(self) -> dict[str, Violation]:
        """Secret → what can not be explained about it; empty when all is well."""
        nothing: State = ABSENT
        found = {
            secret: violation(identified(calls), nothing, apply, changes_nothing=changes_nothing)
            for secret, calls in self.by_secret.items()
        }
        return {secret: what for secret, what in found.items() if what is not None}

    def _next_requests(self, connection: object) -> Sequence[Request]:
        # About one key, so that their order counts.
        secret = self._random.choice(self._secrets)
        return [self._request(secret, connection) for _ in range(self._random.randint(1, _DEEPEST_PIPELINE))]

    def _request(self, secret: str, connection: object) -> Request:
        asked = self._choose(secret)
        operation, members = self._on_the_wire(secret, asked)
        invoked = time.monotonic_ns()

        def settle(answer: Answer | None) -> None:
            if answer is None:
                self.by_secret[secret].append(Call(invoked, NEVER, asked, connection=connection))
                return
            responded = time.monotonic_ns()
            told = _told(asked, answer)
            request = asked
            if isinstance(asked, Create) and told == DONE:
                request = asked._replace(key_id=answer.json["keyIds"][0])
                self._last_ids[secret] = request.key_id
            if isinstance(told, Verified):
                self._last_ids[secret] = told.key_id
            self.by_secret[secret].append(Call(invoked, responded, request, told, connection))

        return Request(operation, members, settle)

    def _choose(self, secret: str) -> Asked:
        chance, key_id = self._random.random(), self._last_ids[secret]
        if chance < 0.15:
            name = self._new_name()
            return Create(f"unknown {name}", name, self._random.choice([None, 10, 30]))
        if chance < 0.25:
            return Rename(key_id, self._new_name())
        if chance < 0.32:
            return SetEnabled(key_id, self._random.random() < 0.7)
        if chance < 0.42:
            return TopUp(key_id, self._random.randint(1, 5))
        if chance < 0.47:
            return Delete(key_id, True)
        return Verify(self._random.randint(0, 3))

    def _new_name(self) -> str:
        self._names += 1
        return f"name {self._names}"

    def _on_the_wire(self, secret: str, asked: Asked) -> tuple[str, Any]:
        match asked:
            case Create(_, name, remaining):
                hash_ = base64.b64encode(hashlib.sha256(secret.encode()).digest()).decode()
                members = {"apiId": self._api_id, "name": name, "hash": {"value": hash_, "variant": "sha256_base64"}}
                return "migrations.createKeys", [members | ({} if remaining is None else {"remaining": remaining})]
            case Rename(key_id, name):
                return "keys.updateKey", {"keyId": key_id, "name": name}
            case SetEnabled(key_id, enabled):
                return "keys.updateKey", {"keyId": key_id, "enabled": enabled}
            case TopUp(key_id, value):
                return "keys.updateRemaining", {"keyId": key_id, "op": "increment", "value": value}
            case Delete(key_id, permanent):
                return "keys.deleteKey", {"keyId": key_id, "permanent": permanent}
            case Verify(cost):
                return "keys.verifyKey", {"key": secret, "remaining": {"cost": cost}}


def _told(asked: Asked, answer: Answer) -> Told:
    """An answer in the words of the specification."""
    json = answer.json
    match asked, answer.status:
        case Verify(), 200 if json["code"] == "NOT_FOUND":
            return NOT_FOUND
        case Verify(), 200:
            return Verified(json["code"], json["keyId"], json["name"], json.get("remaining"))
        case TopUp(), 200:
            remaining: int = json["remaining"]
            return remaining
        case TopUp(), 400:
            return UNLIMITED
        case ((Create() | Rename() | SetEnabled() | Delete()), 200):
            return DONE
        case Create(), 409:
            return CONFLICT
        case ((Rename() | SetEnabled() | Delete() | TopUp()), 404):
            return NOT_FOUND
    raise UnexpectedAnswer(f"{asked}: {answer.status} {answer.body!r}")


def identified(calls: Sequence[Call]) -> list[Call]:
    """The calls, with the ids of keys whose creation got no answer.

    Names are given once, and nobody can rename a key before it has been seen: so the first to see it saw the name that
    it was created with.
    """
    ids = {call.answer.name: call.answer.key_id for call in calls if isinstance(call.answer, Verified)}
    return [
        replace(call, request=call.request._replace(key_id=ids.get(call.request.name, call.request.key_id)))
        if isinstance(call.request, Create) and call.answer is UNANSWERED
        else call
        for call in calls
    ]
