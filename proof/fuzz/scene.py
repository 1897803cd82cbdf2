"""What the servers hold before the fuzzing, and what is looked for in them afterwards."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx

from proof.fuzz import grammar
from proof.fuzz.answers import Asked, split_answers
from proof.fuzz.conversation import Conversation, Ending, Wanted
from proof.fuzz.violation import Violation, shown


async def call(server: Conversation, operation: str, members: Any = None, query: str = "") -> Any:
    """The answer of an operation that has to succeed; a GET when there are no members. Raises Violation."""
    method = "GET" if members is None else "POST"
    body = b"" if members is None else json.dumps(members).encode()
    lines = [f"{method} /v1/{operation}{query} HTTP/1.1", "Host: fuzz.test", f"Content-Length: {len(body)}"]
    lines += [f"Authorization: Bearer {grammar.ROOT_KEY}", "Content-Type: application/json", "", ""]
    transcript = await server.talk(["\r\n".join(lines).encode() + body], Ending.EOF, Wanted(1, ends=False))
    answers = split_answers(transcript.output, [Asked(method.encode())])
    if transcript.hung or len(answers) != 1 or answers[0].status != 200:
        raise Violation(f"{operation} {members} is answered {shown(transcript.output)} {transcript.hung}")
    return answers[0].json


async def set_up(server: Conversation) -> str:
    """Make the key that the grammar knows; the id of its api."""
    api = await call(server, "apis.createApi", {"name": "fuzz"})
    await call(server, "migrations.createKeys", [{"apiId": api["apiId"], "plaintext": grammar.GOOD_KEY}])
    api_id: str = api["apiId"]
    return api_id


async def require_health(server: Conversation) -> None:
    """Violation unless a well-formed verification is answered VALID."""
    answer = await call(server, "keys.verifyKey", {"key": grammar.GOOD_KEY})
    if answer["code"] != "VALID":
        raise Violation(f"a well-formed verification is answered {answer}")


async def require_no_trace(server: Conversation) -> None:
    """Violation if a hidden request was executed."""
    for operation, member in (("apis.listApis", "apis"), ("ratelimits.listNamespaces", "namespaces")):
        query = "?limit=100"
        while True:
            page = await call(server, operation, query=query)
            if any(thing["name"] == grammar.SMUGGLED for thing in page[member]):
                raise Violation(f"a hidden request was executed: {operation} shows {grammar.SMUGGLED!r}")
            if "cursor" not in page or len(page[member]) < 100:
                break
            query = f"?limit=100&cursor={page['cursor']}"


async def keys_of_all_kinds(server: Conversation) -> list[str]:
    """Keys with everything a verification looks at, and the words that are no keys."""
    api_id = await set_up(server)
    kinds: list[dict[str, Any]] = [
        {"remaining": 50},
        {"remaining": 1000, "refill": {"interval": "daily", "amount": 5}},
        {"ratelimit": {"limit": 20, "duration": 60_000}},
        {"ratelimit": {"limit": 1000, "duration": 60_000}, "remaining": 10_000},
        {"enabled": False},
        {"permissions": ["read"], "roles": [], "externalId": "customer"},
        {"externalId": "customer", "meta": {"plan": "pro"}, "name": "fuzz", "environment": "live"},
    ]
    made = [await call(server, "keys.createKey", {"apiId": api_id, **kind}) for kind in kinds]
    return [grammar.GOOD_KEY, grammar.ROOT_KEY, "fuzz_unknown", *[key["key"] for key in made]]


CREATED = {
    "externalId": "described",
    "meta": {"plan": "pro"},
    "roles": ["described"],
    "permissions": ["described.read"],
    "expires": 4_000_000_000_000,
    "remaining": 2**31 - 1,
    "refill": {"interval": "monthly", "amount": 100},
    "ratelimit": {"limit": 2**31 - 1, "duration": 60_000},
    "recoverable": True,
    "environment": "live",
    "name": "described",
}
"""A key with every member that createKey takes."""


def maker_of_things(http: httpx.Client) -> Callable[[], dict[str, Any]]:
    """Makes one of everything and says its names: made-up ids alone would end in 404, and some were deleted before."""
    numbers = itertools.count(1)

    def make() -> dict[str, Any]:
        def ask(operation: str, **members: Any) -> dict[str, Any]:
            answer = http.post(f"/v1/{operation}", json=members)
            if answer.status_code != 200:
                raise Violation(f"{operation} {members} is answered {answer.status_code} {answer.text}")
            made: dict[str, Any] = answer.json()
            return made

        name = f"described.{next(numbers)}"
        api = ask("apis.createApi", name=name, storeEncryptedKeys=True)
        key = ask("keys.createKey", apiId=api["apiId"], **CREATED)
        limit = {"identifier": name, "limit": 1, "duration": 60_000}
        ask("ratelimits.limit", namespace=name, **limit)
        ask("ratelimits.setOverride", namespaceName=name, **limit)
        return {
            "apiId": api["apiId"],
            **ask("permissions.createPermission", name=name),
            **ask("permissions.createRole", name=name),
            **ask("identities.createIdentity", externalId=name),
            "externalId": "described",
            "permissions": [{"slug": "described.read"}, {}],
            "roles": [{"name": "described"}],
            "namespaceId": "",
            "namespaceName": name,
            "identifier": name,
            **key,
        }

    return make


KEPT = {"keys.createKey": {"roles", "permissions", "externalId"}, "identities.createIdentity": {"externalId"}}
"""Operation → members that name no existing thing in it, and stay as generated."""
