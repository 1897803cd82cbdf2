"""The verification pipeline: its outcomes, their order, what they carry and what they cost (keys-v1 §4)."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, NamedTuple

import pytest

from keystead.core.entities import Identity
from keystead.testing.server import NOW_MS

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
MIDNIGHT_MS = NOW_MS // DAY_MS * DAY_MS

FULL = {"name": "none left", "limit": 0, "duration": MINUTE_MS}
"""A limit that always rejects, given whole by the request."""


def at(text: str) -> int:
    """An instant of UTC in milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def envelope(response: Any) -> tuple[int, str]:
    """Status and code of an answer that is an error and not a verification."""
    body = response.json()
    assert body.keys() == {"error"}
    return response.status_code, body["error"]["code"]


def outcome(response: Any) -> tuple[int, str]:
    """Status and code of any answer."""
    body = response.json()
    return (response.status_code, body["code"]) if "code" in body else envelope(response)


# Outcomes and their members


class Trouble(NamedTuple):
    """One thing wrong with a verification: what `provoke` does to the key and adds to the call, and the answer."""

    provoke: Callable[[Any, Any], dict[str, Any]]
    answer: tuple[int, str]


def nothing(home: Any, key: Any) -> dict[str, Any]:
    return {}


def delete(home: Any, key: Any) -> dict[str, Any]:
    home.ask("keys.deleteKey", keyId=key.id)
    return {}


def disable_workspace(home: Any, key: Any) -> dict[str, Any]:
    home.enable(False)
    return {}


def disable(home: Any, key: Any) -> dict[str, Any]:
    home.ask("keys.updateKey", keyId=key.id, enabled=False)
    return {}


def expire(home: Any, key: Any) -> dict[str, Any]:
    home.ask("keys.updateKey", keyId=key.id, expires=NOW_MS - 1)
    return {}


def refuse_address(home: Any, key: Any) -> dict[str, Any]:
    home.ask("apis.updateApi", apiId=home.show(key.id)["apiId"], ipWhitelist=["192.0.2.1"])
    return {}


def empty(home: Any, key: Any) -> dict[str, Any]:
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=3)
    return {"remaining": {"cost": 4}}


def asking(**members: Any) -> Callable[[Any, Any], dict[str, Any]]:
    return lambda home, key: members


# In the order of §4.2.
TROUBLES = {
    "unknown": Trouble(delete, (200, "NOT_FOUND")),
    "workspace disabled": Trouble(disable_workspace, (403, "FORBIDDEN")),
    "disabled": Trouble(disable, (200, "DISABLED")),
    "other api": Trouble(asking(apiId="api_other"), (200, "FORBIDDEN")),
    "expired": Trouble(expire, (200, "EXPIRED")),
    "address refused": Trouble(refuse_address, (200, "FORBIDDEN")),
    "malformed query": Trouble(asking(authorization={"permissions": {"and": []}}), (400, "BAD_REQUEST")),
    "permission missing": Trouble(asking(authorization={"permissions": "never"}), (200, "INSUFFICIENT_PERMISSIONS")),
    "unknown limit": Trouble(asking(ratelimits=[{"name": "ghost"}]), (400, "BAD_REQUEST")),
    "ratelimited": Trouble(asking(ratelimits=[FULL]), (200, "RATE_LIMITED")),
    "out of credits": Trouble(empty, (200, "USAGE_EXCEEDED")),
}


@pytest.fixture
def troubled(home: Any, clock: Any) -> Any:
    """A function of (key, names of troubles) → the answer to a verification with all of them."""

    def verify(key: Any, *names: str) -> Any:
        members: dict[str, Any] = {}
        # A deleted key can not be changed any more, and nothing can in a disabled workspace.
        last = ("unknown", "workspace disabled")
        try:
            for name in sorted(names, key=lambda name: last.index(name) if name in last else -1):
                members |= TROUBLES[name].provoke(home, key)
            return home.call("keys.verifyKey", {"key": key.secret, **members})
        finally:
            home.enable(True)

    return verify


# Queries and limits each share a member of the request, so they can not be wrong in two ways at once.
PAIRS = [
    pair
    for pair in combinations(TROUBLES, 2)
    if pair not in [("malformed query", "permission missing"), ("unknown limit", "ratelimited")]
]


@pytest.mark.parametrize("name", TROUBLES)
def test_each_outcome(home: Any, troubled: Any, name: str) -> None:
    """Each thing that can be wrong has its own answer."""
    response = troubled(home.key(apiId=home.api()), name)
    assert outcome(response) == TROUBLES[name].answer
    if name == "workspace disabled":
        assert response.json()["error"]["message"] == "workspace is disabled"


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_the_earlier_check_decides(home: Any, troubled: Any, first: str, second: str) -> None:
    """Of two things wrong, the one that §4.2 checks first is answered."""
    assert outcome(troubled(home.key(apiId=home.api()), first, second)) == TROUBLES[first].answer


def test_a_malformed_query_beats_an_unsatisfied_one(home: Any) -> None:
    """A query is read whole before any of it is evaluated (§4.2 step 7a)."""
    query = {"and": ["never", {}]}
    response = home.call("keys.verifyKey", {"key": home.key().secret, "authorization": {"permissions": query}})
    assert envelope(response) == (400, "BAD_REQUEST")


def test_an_unknown_limit_beats_a_full_one(home: Any) -> None:
    """Every limit is resolved before any is taken from (§4.2 step 8a)."""
    body = {"key": home.key().secret, "ratelimits": [FULL, {"name": "ghost"}]}
    assert envelope(home.call("keys.verifyKey", body)) == (400, "BAD_REQUEST")


ALWAYS = {"valid", "code", "requestId"}
FOUND = {"keyId", "enabled", "permissions", "roles"}
IF_SET = {"name", "ownerId", "meta", "expires", "environment", "identity"}
STAGES = {
    "nothing": {"ratelimit", "remaining"},
    "ratelimited": {"ratelimit"},
    "out of credits": {"ratelimit", "remaining"},
}
BARE_STAGES = {"ratelimited": {"ratelimit"}, "out of credits": {"remaining"}}
BODIES = [name for name in TROUBLES if TROUBLES[name].answer[0] == 200]


@pytest.fixture
def rich_key(home: Any) -> Any:
    """A key that has everything a verification can report."""
    _, external_id = home.identity(meta={"tier": 3})
    return home.key(
        apiId=home.api(),
        name="billing worker",
        externalId=external_id,
        meta={"plan": "pro"},
        expires=NOW_MS + DAY_MS,
        environment="live",
        remaining=5,
        ratelimit={"limit": 10, "duration": MINUTE_MS},
        permissions=["own.one"],
    )


@pytest.mark.parametrize("name", ["nothing", *BODIES])
def test_members_of_a_rich_key(home: Any, rich_key: Any, troubled: Any, name: str) -> None:
    """A key that has everything reports exactly the members that §4.7 lists for the outcome."""
    body = troubled(rich_key, *([] if name == "nothing" else [name])).json()
    expected = ALWAYS if name == "unknown" else ALWAYS | FOUND | IF_SET | STAGES.get(name, set())
    assert body.keys() == expected
    assert body["valid"] is (body["code"] == "VALID")
    assert body.get("enabled", True) is (body["code"] != "DISABLED")


@pytest.mark.parametrize("name", ["nothing", *BODIES])
def test_members_of_a_bare_key(home: Any, troubled: Any, name: str) -> None:
    """A key that has nothing reports no member without a value, null included."""
    body = troubled(home.key(apiId=home.api()), *([] if name == "nothing" else [name])).json()
    expected = ALWAYS if name == "unknown" else ALWAYS | FOUND | BARE_STAGES.get(name, set())
    assert body.keys() == expected | ({"expires"} if name == "expired" else set())


def test_values_of_a_valid_answer(home: Any, rich_key: Any, clock: Any) -> None:
    """Every member of a valid answer has the key's value, and the header repeats the request's id."""
    response = home.call("keys.verifyKey", {"key": rich_key.secret}, authorization="")
    body = response.json()
    shown = home.show(rich_key.id)
    assert body == {
        "valid": True,
        "code": "VALID",
        "requestId": response.headers["unkey-request-id"],
        "keyId": rich_key.id,
        "name": "billing worker",
        "ownerId": shown["ownerId"],
        "meta": {"plan": "pro"},
        "expires": NOW_MS + DAY_MS,
        "enabled": True,
        "permissions": ["own.one"],
        "roles": [],
        "environment": "live",
        "identity": {**shown["identity"], "meta": {"tier": 3}},
        "ratelimit": {"limit": 10, "remaining": 9, "reset": MIDNIGHT_MS + MINUTE_MS},
        "remaining": 4,
    }
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    assert "unkey-ratelimit-triggered" not in response.headers


def test_identity_without_meta_shows_an_empty_one(home: Any) -> None:
    """The identity's `meta` is always there, `{}` when there is none, and so are an empty name and meta of the key."""
    _, external_id = home.identity()
    body = home.verify(home.key(externalId=external_id, name="", meta={}).secret)
    assert (body["identity"]["meta"], body["name"], body["meta"]) == ({}, "", {})


def test_meta_is_kept_verbatim(home: Any, http: Any) -> None:
    """Free-form members keep their order, their numbers and their text."""
    meta = '{"z":1.0,"a":1e3,"big":12345678901234567890,"text":"ä\\u00e9\\n","deep":[{"b":null},[]]}'
    body = f'{{"apiId":"{home.api_id}","byteLength":16.0,"meta":{meta}}}'
    headers = {"Authorization": home.root.secret, "Content-Type": "application/json"}
    secret = http.post("/v1/keys.createKey", content=body, headers=headers).json()["key"]
    assert f'"meta":{meta}' in http.post("/v1/keys.verifyKey", json={"key": secret}).text


def test_owner_id_falls_back_to_the_keys_own(home: Any) -> None:
    """A key without identity reports its own owner id, as imported keys have."""
    key = home.key()
    home.alter(key.id, owner_id="own owner")
    body = home.verify(key.secret)
    assert body["ownerId"] == "own owner"
    assert "identity" not in body


def test_permissions_are_slugs_direct_and_inherited(home: Any) -> None:
    """Permissions are the slugs of direct and role permissions, each once; roles are names."""
    slug = home.name("slug")
    permission_id = home.ask("permissions.createPermission", name=home.name("shown"), slug=slug)["permissionId"]
    first, second = home.role(slug, "inherited.one"), home.role("inherited.one", "inherited.two")
    key = home.key(roles=[first[1], second[1]])
    home.ask("keys.addPermissions", keyId=key.id, permissions=[{"id": permission_id}])
    body = home.verify(key.secret)
    assert sorted(body["permissions"]) == sorted([slug, "inherited.one", "inherited.two"])
    assert body["roles"] == [first[1], second[1]]


@pytest.mark.parametrize("expires_ms", [NOW_MS, NOW_MS + 1])
def test_a_key_is_valid_up_to_its_expiry(home: Any, clock: Any, expires_ms: int) -> None:
    """A key expires after the instant of its expiry, not at it."""
    secret = home.key(expires=expires_ms).secret
    assert home.verify(secret)["code"] == "VALID"
    clock.set(expires_ms + 1)
    assert home.verify(secret)["code"] == "EXPIRED"


@pytest.mark.parametrize("permanent", [False, True])
def test_deleted_keys_are_unknown(home: Any, permanent: bool) -> None:
    """A deleted key is unknown on the very next verification, though it was valid just before."""
    key = home.key()
    assert home.verify(key.secret)["code"] == "VALID"
    home.ask("keys.deleteKey", keyId=key.id, permanent=permanent)
    body = home.verify(key.secret)
    assert body == {"valid": False, "code": "NOT_FOUND", "requestId": body["requestId"]}


def test_keys_of_deleted_apis_are_unknown(home: Any) -> None:
    """A key whose api is deleted is unknown to verification and to every operation."""
    api_id = home.api()
    key = home.key(apiId=api_id)
    home.delete_api(api_id)
    assert home.verify(key.secret)["code"] == "NOT_FOUND"
    for operation, body in [
        ("keys.getKey", {"keyId": key.id}),
        ("keys.whoami", {"key": key.secret}),
        ("keys.updateKey", {"keyId": key.id}),
        ("keys.createKey", {"apiId": api_id}),
    ]:
        assert home.call(operation, body).status_code == 404


def test_root_keys_are_unknown(home: Any) -> None:
    """A root key is no key to verify (D6), not even while its workspace is disabled."""
    assert home.verify(home.root.secret)["code"] == "NOT_FOUND"
    home.enable(False)
    try:
        assert home.verify(home.root.secret)["code"] == "NOT_FOUND"
    finally:
        home.enable(True)


def test_keys_of_any_workspace(home: Any, foreign: Any) -> None:
    """A key is found whatever workspace it belongs to, and a root key sent along does not matter."""
    secret = foreign.key().secret
    assert home.answer(home.call("keys.verifyKey", {"key": secret}, root=home.root))["code"] == "VALID"


@pytest.mark.parametrize(
    ("api_id", "code"), [("", "VALID"), ("own", "VALID"), ("other", "FORBIDDEN"), ("api_nope", "FORBIDDEN")]
)
def test_api_check(home: Any, api_id: str, code: str) -> None:
    """The api is checked when it is named; the empty text names none."""
    named = {"own": home.api_id, "other": home.api()}.get(api_id, api_id)
    assert home.verify(home.key().secret, apiId=named)["code"] == code


# Requests that are refused

MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("no key", {"something": "else"}, "key: Required"),
    ("empty key", {"key": ""}, "key: String must contain at least 1 character(s)"),
    ("key null", {"key": None}, "key: "),
    ("key a number", {"key": 1}, "key: "),
    ("api null", {"key": "x", "apiId": None}, "apiId: "),
    ("eleven tags", {"key": "x", "tags": ["t"] * 11}, "tags: "),
    ("empty tag", {"key": "x", "tags": ["t", ""]}, "tags.1: "),
    ("long tag", {"key": "x", "tags": ["t" * 129]}, "tags.0: "),
    ("long tag in UTF-16", {"key": "x", "tags": ["😀" * 65]}, "tags.0: "),
    ("tags no list", {"key": "x", "tags": "t"}, "tags: "),
    ("authorization null", {"key": "x", "authorization": None}, "authorization: "),
    ("cost negative", {"key": "x", "remaining": {"cost": -1}}, "remaining.cost: "),
    ("cost a fraction", {"key": "x", "remaining": {"cost": 0.5}}, "remaining.cost: "),
    ("cost a boolean", {"key": "x", "remaining": {"cost": True}}, "remaining.cost: "),
    ("cost null", {"key": "x", "remaining": {"cost": None}}, "remaining.cost: "),
    ("deprecated cost negative", {"key": "x", "ratelimit": {"cost": -1}}, "ratelimit.cost: "),
    ("limit without name", {"key": "x", "ratelimits": [{}]}, "ratelimits.0.name: Required"),
    ("limit with empty name", {"key": "x", "ratelimits": [{"name": ""}]}, "ratelimits.0.name: "),
    ("limit cost negative", {"key": "x", "ratelimits": [{"name": "a", "cost": -1}]}, "ratelimits.0.cost: "),
    ("limit negative", {"key": "x", "ratelimits": [{"name": "a", "limit": -1}]}, "ratelimits.0.limit: "),
    ("duration zero", {"key": "x", "ratelimits": [{"name": "a", "duration": 0}]}, "ratelimits.0.duration: "),
]


@pytest.mark.parametrize(("body", "message"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_malformed_requests(home: Any, body: dict[str, Any], message: str) -> None:
    """A malformed body is 400 and names the member, before any key is looked for."""
    response = home.call("keys.verifyKey", body, authorization="")
    assert envelope(response) == (400, "BAD_REQUEST")
    assert response.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        ("", "application/json"),
        ('{"key": ', "application/json"),
        ('{"key": "x", "remaining": {"cost": NaN}}', "application/json"),
        ("[]", "application/json"),
        ("null", "application/json"),
        ('"x"', "application/json"),
        ('{"key": "x"}', "text/plain"),
        ('{"key": "x"}', None),
    ],
)
def test_bodies_that_are_not_read(http: Any, content: str, content_type: str | None) -> None:
    """What is no JSON object, or is not declared as JSON, is 400."""
    headers = {"Content-Type": content_type} if content_type else {}
    response = http.post("/v1/keys.verifyKey", content=content, headers=headers)
    assert envelope(response) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/vnd.api+json", "APPLICATION/JSON", "application/json"],
)
@pytest.mark.parametrize("path", ["/v1/keys.verifyKey", "/v1/keys.verifyKey?pretty", "/v1/keys.verifyKey?a=1&a=2"])
def test_every_dress_of_a_request(home: Any, http: Any, path: str, content_type: str) -> None:
    """Whatever its content type and query string, a verification is answered the same, its limit's header included."""
    body = json.dumps({"key": home.key(name="dressed").secret, "unknown": {"at": [1.5]}, "ratelimits": [FULL]})
    response = http.post(path, content=body, headers={"Content-Type": content_type})
    assert (response.status_code, response.json()["code"]) == (200, "RATE_LIMITED")
    assert response.json()["name"] == "dressed"
    assert response.headers["unkey-ratelimit-triggered"] == "none left"


@pytest.mark.parametrize(
    "members",
    [
        {"tags": []},
        {"tags": ["t" * 128] * 10},
        {"tags": ["😀" * 64]},
        {"authorization": {}},
        {"ratelimits": []},
        {"remaining": {}},
        {"ratelimit": {}},
        {"remaining": {"cost": 1.0}},
        {"ratelimits": [{"name": "n", "limit": 5.0, "duration": 6e4, "cost": 1.0}]},
        {"unknown": None, "remaining": {"unknown": [None]}},
    ],
)
def test_accepted_requests(home: Any, members: dict[str, Any]) -> None:
    """Empty members, the largest tags, integral floats and unknown members are accepted."""
    assert home.verify(home.key().secret, **members)["code"] == "VALID"


# Which limits are in effect, §4.3


def reported(body: dict[str, Any]) -> tuple[int, int]:
    """Limit and remaining of an answer."""
    return body["ratelimit"]["limit"], body["ratelimit"]["remaining"]


@pytest.fixture
def limited(home: Any, clock: Any) -> Any:
    """A key with the configured limits that the table of requests below speaks of."""
    identity_id, external_id = home.identity()
    home.limit_identity(identity_id, "shared", 40, HOUR_MS)
    home.limit_identity(identity_id, "both", 30, HOUR_MS)
    key = home.key(externalId=external_id, ratelimit={"limit": 10, "duration": MINUTE_MS})
    home.limit_key(key.id, "tokens", 100, DAY_MS)
    home.limit_key(key.id, "both", 20, HOUR_MS)
    return key


# What a request says, which limit is looked at afterwards, and what that limit reports then.
REQUESTS: list[tuple[str, dict[str, Any], str, tuple[int, int]]] = [
    ("automatic", {}, "default", (10, 9)),
    ("configured, not named", {}, "tokens", (100, 100)),
    ("configured and named", {"ratelimits": [{"name": "tokens"}]}, "tokens", (100, 99)),
    ("with a cost", {"ratelimits": [{"name": "tokens", "cost": 7}]}, "tokens", (100, 93)),
    ("with cost 0", {"ratelimits": [{"name": "tokens", "cost": 0}]}, "tokens", (100, 100)),
    ("of the identity", {"ratelimits": [{"name": "shared"}]}, "shared", (40, 39)),
    ("key beats identity", {"ratelimits": [{"name": "both"}]}, "both", (20, 19)),
    ("lone limit ignored", {"ratelimits": [{"name": "tokens", "limit": 1, "cost": 5}]}, "tokens", (100, 95)),
    ("lone duration ignored", {"ratelimits": [{"name": "tokens", "duration": 1, "cost": 5}]}, "tokens", (100, 95)),
    (
        "overridden",
        {"ratelimits": [{"name": "tokens", "limit": 8, "duration": DAY_MS, "cost": 2}]},
        "tokens",
        (100, 98),
    ),
    (
        "overridden with another duration",
        {"ratelimits": [{"name": "tokens", "limit": 8, "duration": HOUR_MS, "cost": 2}]},
        "tokens",
        (100, 100),
    ),
    ("automatic one named", {"ratelimits": [{"name": "default", "cost": 4}]}, "default", (10, 6)),
    (
        "repeated, the last wins",
        {"ratelimits": [{"name": "tokens", "cost": 50}, {"name": "tokens", "cost": 3}]},
        "tokens",
        (100, 97),
    ),
    ("deprecated cost", {"ratelimit": {"cost": 3}}, "default", (10, 7)),
    ("deprecated cost 0", {"ratelimit": {"cost": 0}}, "default", (10, 10)),
    ("deprecated cost for no other", {"ratelimit": {"cost": 3}, "ratelimits": [{"name": "both"}]}, "both", (20, 19)),
    (
        "deprecated cost beside an entry",
        {"ratelimit": {"cost": 3}, "ratelimits": [{"name": "default", "cost": 2}]},
        "default",
        (10, 8),
    ),
]


@pytest.mark.parametrize(
    ("members", "name", "expected"), [case[1:] for case in REQUESTS], ids=[case[0] for case in REQUESTS]
)
def test_limits_in_effect(
    home: Any, limited: Any, members: dict[str, Any], name: str, expected: tuple[int, int]
) -> None:
    """A request takes from the limits it names and the automatic ones, as configured or as it overrides them."""
    assert home.verify(limited.secret, **members)["code"] == "VALID"
    if name != "default":
        # Where it is in effect, `default` is the one reported.
        home.ask("keys.updateKey", keyId=limited.id, ratelimit=None)
    body = home.verify(limited.secret, ratelimits=[{"name": name, "cost": 0}])
    assert reported(body) == expected


def test_no_limit_in_effect(home: Any) -> None:
    """Without a limit in effect there is nothing to report, though one is configured."""
    key = home.key()
    home.limit_key(key.id, "named only", 1, MINUTE_MS)
    assert "ratelimit" not in home.verify(key.secret)
    assert home.verify(key.secret, ratelimits=[{"name": "named only"}])["code"] == "VALID"
    assert home.verify(key.secret, ratelimits=[{"name": "named only"}])["code"] == "RATE_LIMITED"


@pytest.mark.parametrize("external_id", [None, "with identity"])
def test_unknown_limit(home: Any, external_id: str | None) -> None:
    """A limit that is configured nowhere and not given whole is 400, says whose it is not, and takes nothing."""
    members = {"externalId": home.name("customer")} if external_id else {}
    key = home.key(remaining=5, ratelimit={"limit": 10, "duration": MINUTE_MS}, **members)
    entries = [{"name": "whole", "limit": 9, "duration": MINUTE_MS}, {"name": "ghost", "limit": 5}]
    response = home.call("keys.verifyKey", {"key": key.secret, "ratelimits": entries})
    assert envelope(response) == (400, "BAD_REQUEST")
    message = response.json()["error"]["message"]
    identity = home.show(key.id).get("identity")
    named = [identity["id"], identity["externalId"]] if identity else ["no identity"]
    assert all(text in message for text in ("ghost", key.id, *named)), message
    body = home.verify(key.secret, ratelimits=[{**entries[0], "cost": 0}])
    assert (reported(body), body["remaining"]) == ((10, 9), 4)


# Merged order, and which limit is reported, §4.4

MERGED = ["identity's automatic", "key's automatic", "first asked for", "second asked for"]


@pytest.fixture
def ordered(home: Any, clock: Any) -> Any:
    """A function of the names that reject, and more entries → the answer; the request names limits backwards."""
    identity_id, external_id = home.identity()
    home.limit_identity(identity_id, MERGED[0], 11, HOUR_MS, auto_apply=True)
    key = home.key(externalId=external_id)
    home.limit_key(key.id, MERGED[1], 12, HOUR_MS, auto_apply=True)

    def verify(rejecting: tuple[str, ...], *more: dict[str, Any]) -> Any:
        asked = [{"name": name, "limit": 13, "duration": HOUR_MS} for name in MERGED[2:]]
        overriding = [
            {"name": name, "limit": 0, "duration": (MERGED.index(name) + 2) * HOUR_MS} for name in reversed(rejecting)
        ]
        return home.call("keys.verifyKey", {"key": key.secret, "ratelimits": [*asked, *overriding, *more]})

    return verify


@pytest.mark.parametrize(
    "rejecting", [names for count in (1, 2, 3, 4) for names in combinations(MERGED, count)], ids=len
)
def test_the_first_that_rejects_is_reported(ordered: Any, rejecting: tuple[str, ...]) -> None:
    """Of several limits that reject, the first in merged order is reported and named in the header."""
    response = ordered(rejecting)
    duration_ms = (MERGED.index(rejecting[0]) + 2) * HOUR_MS
    assert response.headers["unkey-ratelimit-triggered"] == rejecting[0]
    reset_ms = (NOW_MS // duration_ms + 1) * duration_ms
    assert response.json()["ratelimit"] == {"limit": 0, "remaining": 0, "reset": reset_ms}


def test_the_first_is_reported_when_all_accept(ordered: Any) -> None:
    """When all accept, the first in merged order is reported, without a header."""
    response = ordered(())
    assert reported(response.json()) == (11, 10)
    assert "unkey-ratelimit-triggered" not in response.headers


def test_default_is_reported_before_the_first(ordered: Any) -> None:
    """When all accept and `default` is in effect, it is the one reported, wherever it stands."""
    response = ordered((), {"name": "default", "limit": 99, "duration": HOUR_MS})
    assert reported(response.json()) == (99, 98)


def test_a_rejecting_limit_is_reported_before_default(ordered: Any) -> None:
    """When another limit rejects, its three numbers are reported, not those of `default`."""
    response = ordered((MERGED[3],), {"name": "default", "limit": 99, "duration": HOUR_MS})
    assert reported(response.json()) == (0, 0)
    assert response.headers["unkey-ratelimit-triggered"] == MERGED[3]


def test_nothing_is_rolled_back(home: Any, clock: Any) -> None:
    """Limits that accepted stay taken from when another rejects: the example of §4.4."""
    key = home.key(remaining=5, ratelimit={"limit": 10, "duration": MINUTE_MS})
    home.limit_key(key.id, "tokens", 100, DAY_MS)
    home.verify(key.secret, ratelimit={"cost": 9})
    response = home.call("keys.verifyKey", {"key": key.secret, "ratelimits": [{"name": "tokens", "cost": 200}]})
    body = response.json()
    assert body["code"] == "RATE_LIMITED"
    assert body["ratelimit"] == {"limit": 100, "remaining": 100, "reset": MIDNIGHT_MS + DAY_MS}
    assert response.headers["unkey-ratelimit-triggered"] == "tokens"
    assert "remaining" not in body
    assert home.show(key.id)["remaining"] == 4
    assert reported(home.verify(key.secret)) == (10, 0)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("limit1", "limit1"),
        ("two words", "two words"),
        ("per/minute; a=1", "per/minute; a=1"),
        ("täglich", "t%C3%A4glich"),
        ("日", "%E6%97%A5"),
        ("a\r\nSet-Cookie: b=c", "a%0D%0ASet-Cookie%3A%20b%3Dc"),
        ("tab\there", "tab%09here"),
        ("nul\0", "nul%00"),
        (" padded ", "%20padded%20"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/keys.verifyKey", "/v1/keys.verifyKey?by=router"])
def test_header_of_the_limit_that_rejected(home: Any, http: Any, path: str, name: str, header: str) -> None:
    """The header is the limit's name, percent-encoded where a header could not carry it, and never ends early."""
    for _ in range(2):  # from storage, then from memory
        response = http.post(path, json={"key": home.key().secret, "ratelimits": [{**FULL, "name": name}]})
        assert response.json()["code"] == "RATE_LIMITED"
        assert response.headers["unkey-ratelimit-triggered"] == header
        assert "set-cookie" not in response.headers


# Counting, §4.4


def test_counting_to_the_limit(home: Any, clock: Any) -> None:
    """Costs add up to exactly the limit; what does not fit is refused and not taken."""
    secret = home.key(ratelimit={"limit": 10, "duration": MINUTE_MS}).secret
    asked = [4, 4, 3, 2, 1, 0]
    answers = [home.verify(secret, ratelimits=[{"name": "default", "cost": cost}]) for cost in asked]
    assert [(body["valid"], reported(body)) for body in answers] == [
        (True, (10, 6)),
        (True, (10, 2)),
        (False, (10, 2)),
        (True, (10, 0)),
        (False, (10, 0)),
        (False, (10, 0)),
    ]


@pytest.mark.parametrize(
    ("limit", "used", "cost", "accepted", "remaining"),
    [
        (0, 0, 1, False, 0),
        (0, 0, 0, False, 0),
        (1, 0, 0, True, 1),
        (1, 1, 0, False, 0),
        (1, 0, 1, True, 0),
        (1, 0, 2, False, 1),
        (5, 3, 2, True, 0),
        (5, 3, 3, False, 2),
        (2**53, 0, 2**52, True, 2**52),
    ],
)
def test_one_decision(home: Any, clock: Any, limit: int, used: int, cost: int, accepted: bool, remaining: int) -> None:
    """A cost is accepted iff it fits; a full or zero limit rejects even a cost of 0."""
    secret = home.key().secret
    entry = {"name": "n", "limit": max(limit, used), "duration": MINUTE_MS}
    if used:
        home.verify(secret, ratelimits=[{**entry, "cost": used}])
    body = home.verify(secret, ratelimits=[{**entry, "limit": limit, "cost": cost}])
    assert (body["valid"], reported(body)) == (accepted, (limit, remaining))


def test_remaining_is_never_negative(home: Any, clock: Any) -> None:
    """A limit lowered below what was used reports 0 left: the counter does not depend on the limit's value (D3)."""
    secret = home.key().secret
    entry = {"name": "n", "limit": 10, "duration": MINUTE_MS}
    home.verify(secret, ratelimits=[{**entry, "cost": 7}])
    assert reported(home.verify(secret, ratelimits=[{**entry, "limit": 3}])) == (3, 0)
    assert reported(home.verify(secret, ratelimits=[entry])) == (10, 2)


@pytest.mark.parametrize("duration_ms", [1, 1000, MINUTE_MS, HOUR_MS, DAY_MS, 7 * DAY_MS, 12_345, 2**53])
def test_windows_are_aligned_to_the_epoch(home: Any, clock: Any, duration_ms: int) -> None:
    """A window ends at a multiple of its duration since the epoch, and the next one begins empty."""
    secret = home.key().secret
    entries = [{"name": "n", "limit": 1, "duration": duration_ms}]
    end_ms = (NOW_MS // duration_ms + 1) * duration_ms
    assert home.verify(secret, ratelimits=entries)["ratelimit"] == {"limit": 1, "remaining": 0, "reset": end_ms}
    assert home.verify(secret, ratelimits=entries)["code"] == "RATE_LIMITED"
    clock.set(end_ms - 1)
    assert home.verify(secret, ratelimits=entries)["code"] == "RATE_LIMITED"
    clock.set(end_ms)
    body = home.verify(secret, ratelimits=entries)
    assert (body["code"], body["ratelimit"]["reset"]) == ("VALID", end_ms + duration_ms)


def test_durations_are_counted_apart(home: Any, clock: Any) -> None:
    """The same name with another duration has a counter of its own (D3)."""
    secret = home.key().secret
    codes = [
        home.verify(secret, ratelimits=[{"name": "n", "limit": 1, "duration": duration_ms}])["code"]
        for duration_ms in (MINUTE_MS, HOUR_MS, MINUTE_MS, HOUR_MS)
    ]
    assert codes == ["VALID", "VALID", "RATE_LIMITED", "RATE_LIMITED"]


WHOLE = {"name": "n", "limit": 1, "duration": HOUR_MS}
# What is configured, what is asked for, and whether a second key of the same identity finds the limit used up.
SCOPES: list[tuple[str, str, list[dict[str, Any]], bool]] = [
    ("identity's limit", "identity", [{"name": "n"}], True),
    ("identity's automatic limit", "identity auto", [], True),
    ("identity's limit overridden", "identity", [WHOLE], True),
    ("key's limit", "key", [{"name": "n"}], False),
    ("key's automatic limit", "key auto", [], False),
    ("key's limit overridden", "key", [WHOLE], False),
    ("key's limit over the identity's", "identity key", [{"name": "n"}], False),
    ("request's own limit", "", [WHOLE], True),
]


@pytest.mark.parametrize(
    ("configured", "entries", "is_shared"), [case[1:] for case in SCOPES], ids=[case[0] for case in SCOPES]
)
def test_scope_of_a_counter(
    home: Any, clock: Any, configured: str, entries: list[dict[str, Any]], is_shared: bool
) -> None:
    """A limit is counted where it is defined, one given only in the request with the identity (D3)."""
    identity_id, external_id = home.identity()
    keys = [home.key(externalId=external_id) for _ in range(2)]
    automatic = "auto" in configured
    if "identity" in configured:
        home.limit_identity(identity_id, "n", 1, HOUR_MS, auto_apply=automatic)
    if "key" in configured:
        for key in keys:
            home.limit_key(key.id, "n", 1, HOUR_MS, auto_apply=automatic)
    assert home.verify(keys[0].secret, ratelimits=entries)["code"] == "VALID"
    assert home.verify(keys[0].secret, ratelimits=entries)["code"] == "RATE_LIMITED"
    assert home.verify(keys[1].secret, ratelimits=entries)["code"] == ("RATE_LIMITED" if is_shared else "VALID")


def test_keys_without_identity_are_counted_apart(home: Any, clock: Any) -> None:
    """A limit given only in the request is counted per key when there is no identity."""
    for key in (home.key(), home.key()):
        assert [home.verify(key.secret, ratelimits=[WHOLE])["code"] for _ in range(2)] == ["VALID", "RATE_LIMITED"]


def test_refused_before_the_limits_takes_nothing(home: Any, clock: Any) -> None:
    """A verification refused before the limits takes from neither limits nor credits."""
    key = home.key(remaining=5, ratelimit={"limit": 10, "duration": MINUTE_MS})
    assert home.verify(key.secret, authorization={"permissions": "never"})["code"] == "INSUFFICIENT_PERMISSIONS"
    body = home.verify(key.secret)
    assert (reported(body), body["remaining"]) == ((10, 9), 4)


# Credits, §4.5


@pytest.mark.parametrize(
    ("balance", "members", "code", "after"),
    [
        (10, {}, "VALID", 9),
        (10, {"remaining": {}}, "VALID", 9),
        (10, {"remaining": {"cost": 2}}, "VALID", 8),
        (10, {"remaining": {"cost": 10}}, "VALID", 0),
        (10, {"remaining": {"cost": 11}}, "USAGE_EXCEEDED", 10),
        (10, {"remaining": {"cost": 2**40}}, "USAGE_EXCEEDED", 10),
        (10, {"remaining": {"cost": 0}}, "VALID", 10),
        (1, {}, "VALID", 0),
        (0, {}, "USAGE_EXCEEDED", 0),
        (0, {"remaining": {"cost": 0}}, "VALID", 0),
    ],
)
def test_spending(home: Any, balance: int, members: dict[str, Any], code: str, after: int) -> None:
    """A cost is spent if the balance covers it, else refused and the balance left as it was (D4)."""
    key = home.key(remaining=1)
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=balance)
    body = home.verify(key.secret, **members)
    assert (body["code"], body["remaining"]) == (code, after)
    assert home.show(key.id)["remaining"] == after
    assert home.ask("keys.whoami", key=key.secret)["remaining"] == after


def test_unlimited_keys_cost_nothing(home: Any) -> None:
    """A key without credits reports none, whatever it is said to cost."""
    key = home.key()
    body = home.verify(key.secret, remaining={"cost": 1000})
    assert body["code"] == "VALID"
    assert "remaining" not in body


def test_usage_exceeded_has_taken_from_the_limits(home: Any, clock: Any) -> None:
    """Limits come before credits: the call that finds no credits has used a unit of the limit, and reports it."""
    key = home.key(remaining=1, ratelimit={"limit": 3, "duration": MINUTE_MS})
    answers = [home.verify(key.secret) for _ in range(4)]
    assert [(body["code"], reported(body), body.get("remaining")) for body in answers] == [
        ("VALID", (3, 2), 0),
        ("USAGE_EXCEEDED", (3, 1), 0),
        ("USAGE_EXCEEDED", (3, 0), 0),
        ("RATE_LIMITED", (3, 0), None),
    ]


# Refills, §4.5

DAILY = {"interval": "daily", "amount": 10}


def monthly(day: int | None = None) -> dict[str, Any]:
    return {"interval": "monthly", "amount": 10} | ({} if day is None else {"refillDay": day})


REFILLS: list[tuple[str, dict[str, Any], str, str, str | None]] = [
    # refill, made at, asked at → the boundary that refilled
    ("daily, the day before", DAILY, "2026-01-01T00:00:30", "2026-01-01T23:59:59.999", None),
    ("daily, at midnight", DAILY, "2026-01-01T00:00:30", "2026-01-02", "2026-01-02"),
    ("daily, later that day", DAILY, "2026-01-01T00:00:30", "2026-01-02T17:00:00", "2026-01-02"),
    ("daily, missed days", DAILY, "2026-01-01T00:00:30", "2026-03-05T12:00:00", "2026-03-05"),
    ("daily, made at midnight", DAILY, "2026-01-01T00:00:00", "2026-01-01T12:00:00", None),
    ("monthly, first by default", monthly(), "2026-01-01T00:00:30", "2026-01-31T23:59:59.999", None),
    ("monthly, first by default, due", monthly(), "2026-01-01T00:00:30", "2026-02-01", "2026-02-01"),
    ("monthly, day before", monthly(15), "2026-01-01T00:00:30", "2026-01-14T23:59:59.999", None),
    ("monthly, on the day", monthly(15), "2026-01-01T00:00:30", "2026-01-15", "2026-01-15"),
    ("monthly, missed", monthly(15), "2026-01-01T00:00:30", "2026-04-02", "2026-03-15"),
    ("monthly, over the year", monthly(15), "2025-12-20T00:00:00", "2026-01-14", None),
    ("monthly, 31 in a short month", monthly(31), "2026-02-01T00:00:30", "2026-02-28", "2026-02-28"),
    ("monthly, 31 before its end", monthly(31), "2026-02-01T00:00:30", "2026-02-27T23:59:59.999", None),
    ("monthly, 30 in February", monthly(30), "2026-02-01T00:00:30", "2026-02-28", "2026-02-28"),
    ("monthly, 29 in February", monthly(29), "2026-02-01T00:00:30", "2026-02-28", "2026-02-28"),
    ("monthly, 29 in a leap year, early", monthly(29), "2028-02-01T00:00:30", "2028-02-28T23:59:59.999", None),
    ("monthly, 29 in a leap year", monthly(29), "2028-02-01T00:00:30", "2028-02-29", "2028-02-29"),
    ("monthly, 31 in April", monthly(31), "2026-04-01T00:00:30", "2026-04-30", "2026-04-30"),
    ("monthly, 31 in a long month", monthly(31), "2026-03-01T00:00:30", "2026-03-30T23:59:59.999", None),
    ("monthly, 30 in a long month", monthly(30), "2026-03-01T00:00:30", "2026-03-30", "2026-03-30"),
]


@pytest.mark.parametrize(
    ("refill", "made", "asked", "boundary"), [case[1:] for case in REFILLS], ids=[case[0] for case in REFILLS]
)
def test_refills(home: Any, clock: Any, refill: dict[str, Any], made: str, asked: str, boundary: str | None) -> None:
    """A refill is due at its boundaries and at no other instant, once, and shows as of the latest of them."""
    clock.set(at(made))
    key = home.key(remaining=4, refill=refill)
    assert home.verify(key.secret)["remaining"] == 3
    clock.set(at(asked))
    assert home.verify(key.secret, remaining={"cost": 0})["remaining"] == (10 if boundary else 3)
    shown = home.show(key.id)
    assert shown["remaining"] == (10 if boundary else 3)
    assert shown["refill"]["lastRefillAt"] == (at(boundary) if boundary else at(made))


@pytest.mark.parametrize("by", ["verify", "getKey", "whoami", "increment"])
@pytest.mark.parametrize(("after_ms", "balance"), [(DAY_MS - 1, 3), (DAY_MS, 10)])
def test_everything_sees_a_due_refill(home: Any, clock: Any, by: str, after_ms: int, balance: int) -> None:
    """A due refill is applied before anything reads or changes the balance, and only once."""
    clock.set(MIDNIGHT_MS)
    key = home.key(remaining=3, refill=DAILY)
    clock.set(MIDNIGHT_MS + after_ms)
    ask = {
        "verify": lambda: home.verify(key.secret, remaining={"cost": 0})["remaining"],
        "getKey": lambda: home.show(key.id)["remaining"],
        "whoami": lambda: home.ask("keys.whoami", key=key.secret)["remaining"],
        "increment": lambda: home.ask("keys.updateRemaining", keyId=key.id, op="increment", value=0)["remaining"],
    }[by]
    assert [ask(), ask(), home.show(key.id)["remaining"]] == [balance] * 3


def test_a_refill_is_taken_from_at_once(home: Any, clock: Any) -> None:
    """The first call after the boundary is valid with the amount less its cost, though the balance was used up."""
    key = home.key(remaining=1, refill=DAILY)
    assert [home.verify(key.secret)["code"] for _ in range(2)] == ["VALID", "USAGE_EXCEEDED"]
    clock.set(MIDNIGHT_MS + DAY_MS)
    assert home.verify(key.secret, remaining={"cost": 10})["remaining"] == 0
    assert home.verify(key.secret)["code"] == "USAGE_EXCEEDED"
    clock.advance(DAY_MS)
    assert home.verify(key.secret)["remaining"] == 9


@pytest.mark.parametrize("balance", [10, 11, 500])
def test_a_balance_not_below_the_amount_is_left_alone(home: Any, clock: Any, balance: int) -> None:
    """A boundary passes a balance that is not lower by, also when the balance falls later that day."""
    key = home.key(remaining=balance, refill=DAILY)
    clock.set(MIDNIGHT_MS + DAY_MS + HOUR_MS)
    assert home.verify(key.secret, remaining={"cost": balance - 1})["remaining"] == 1
    clock.advance(HOUR_MS)
    assert home.verify(key.secret, remaining={"cost": 0})["remaining"] == 1
    assert home.show(key.id)["refill"]["lastRefillAt"] == NOW_MS
    clock.set(MIDNIGHT_MS + 2 * DAY_MS)
    assert home.verify(key.secret, remaining={"cost": 0})["remaining"] == 10


@pytest.mark.parametrize(
    "change",
    [{"enabled": False}, {"expires": NOW_MS - 1}],
    ids=["disabled", "expired"],
)
def test_unusable_keys_are_refilled(home: Any, clock: Any, change: dict[str, Any]) -> None:
    """Disabled and expired keys are refilled as any other."""
    key = home.key(remaining=1, refill=DAILY)
    home.ask("keys.updateKey", keyId=key.id, **change)
    clock.advance(DAY_MS)
    assert home.show(key.id)["remaining"] == 10


def test_unlimited_keys_are_not_refilled(home: Any, clock: Any) -> None:
    """A refill set on an unlimited key sleeps until the key is limited, and then begins with the next boundary."""
    key = home.key()
    home.ask("keys.updateKey", keyId=key.id, refill=DAILY)
    clock.advance(DAY_MS)
    assert "remaining" not in home.show(key.id)
    assert "remaining" not in home.verify(key.secret)
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=2)
    assert home.show(key.id)["remaining"] == 2
    clock.advance(DAY_MS)
    assert home.show(key.id)["remaining"] == 10


def test_setting_a_refill_begins_now(home: Any, clock: Any) -> None:
    """Boundaries before the refill was set are not made up for."""
    key = home.key(remaining=3)
    clock.advance(5 * DAY_MS)
    home.ask("keys.updateKey", keyId=key.id, refill=DAILY)
    assert home.verify(key.secret)["remaining"] == 2
    clock.advance(DAY_MS)
    assert home.verify(key.secret)["remaining"] == 9


@pytest.mark.parametrize(
    ("operation", "members", "balance"),
    [
        ("keys.updateRemaining", {"op": "increment", "value": 5}, 15),
        ("keys.updateRemaining", {"op": "decrement", "value": 4}, 6),
        ("keys.updateRemaining", {"op": "set", "value": 2}, 2),
        ("keys.updateKey", {"remaining": 2}, 2),
        ("keys.updateKey", {"name": "other"}, 10),
        ("keys.updateKey", {"refill": {"interval": "monthly", "amount": 7}}, 10),
        ("keys.updateKey", {"refill": None}, 10),
    ],
)
def test_a_due_refill_comes_before_a_change(
    home: Any, clock: Any, operation: str, members: dict[str, Any], balance: int
) -> None:
    """What changes a key after a boundary changes the refilled key, and the boundary is not applied again."""
    key = home.key(remaining=3, refill=DAILY)
    clock.advance(DAY_MS)
    home.ask(operation, keyId=key.id, **members)
    assert home.show(key.id)["remaining"] == balance
    clock.advance(HOUR_MS)
    assert home.show(key.id)["remaining"] == balance


def test_a_refill_is_in_the_audit_log(home: Any, clock: Any) -> None:
    """A refill leaves one entry of the actor `system`, as of its boundary, about the workspace and the key."""
    key = home.key(remaining=3, refill=DAILY, name="refilled")
    clock.advance(DAY_MS)
    for _ in range(3):
        home.verify(key.secret)
    entries = [entry for entry in home.audit() if entry.actor_type == "system" and entry.resources[-1].id == key.id]
    assert [(entry.event, entry.time_ms) for entry in entries] == [("key.update", MIDNIGHT_MS + DAY_MS)]
    assert [(resource.type, resource.id) for resource in entries[0].resources] == [
        ("workspace", home.id),
        ("key", key.id),
    ]


# Permission queries, §4.6

HELD = ["dns.read", "dns.*", "a", "b"]
QUERIES: list[tuple[Any, str]] = [
    (None, "VALID"),
    ("", "VALID"),
    ("a", "VALID"),
    ("c", "INSUFFICIENT_PERMISSIONS"),
    ("A", "INSUFFICIENT_PERMISSIONS"),
    ("inherited", "VALID"),
    ("dns.read", "VALID"),
    ("dns.*", "VALID"),
    ("dns.write", "INSUFFICIENT_PERMISSIONS"),
    ("*", "INSUFFICIENT_PERMISSIONS"),
    ({"and": ["a", "b"]}, "VALID"),
    ({"and": ["a", "c"]}, "INSUFFICIENT_PERMISSIONS"),
    ({"and": ["a"]}, "VALID"),
    ({"or": ["c", "b"]}, "VALID"),
    ({"or": ["c", "d"]}, "INSUFFICIENT_PERMISSIONS"),
    ({"and": ["a", {"or": ["c", "inherited"]}]}, "VALID"),
    ({"and": ["a", {"or": ["c", "d"]}]}, "INSUFFICIENT_PERMISSIONS"),
    ({"or": [{"and": ["a", "c"]}, {"and": ["a", "b"]}]}, "VALID"),
    ({"or": ["a", "c"], "and": ["c"]}, "INSUFFICIENT_PERMISSIONS"),
    ({"or": [], "and": ["a"]}, "VALID"),
    ({"and": ["a"], "note": [1]}, "VALID"),
    ({"and": [""]}, "INSUFFICIENT_PERMISSIONS"),
    ({"or": ["", "a"]}, "VALID"),
    ({}, "BAD_REQUEST"),
    ({"not": ["a"]}, "BAD_REQUEST"),
    ({"and": []}, "BAD_REQUEST"),
    ({"or": []}, "BAD_REQUEST"),
    ({"and": "a"}, "BAD_REQUEST"),
    ({"and": None, "or": ["a"]}, "BAD_REQUEST"),
    ({"and": ["a", {}]}, "BAD_REQUEST"),
    ({"and": ["a", None]}, "BAD_REQUEST"),
    ({"or": ["a", 1]}, "BAD_REQUEST"),
    ({"or": ["a", ["b"]]}, "BAD_REQUEST"),
    (["a"], "BAD_REQUEST"),
    (1, "BAD_REQUEST"),
    (True, "BAD_REQUEST"),
    (False, "BAD_REQUEST"),
    (0, "BAD_REQUEST"),
]


@pytest.fixture(scope="module")
def permitted(home: Any) -> Any:
    """A key with the permissions that the table of queries speaks of."""
    return home.key(permissions=HELD, roles=[home.role("inherited", "a")[1]])


@pytest.mark.parametrize(("query", "code"), QUERIES, ids=lambda value: json.dumps(value))
def test_permission_queries(home: Any, permitted: Any, query: Any, code: str) -> None:
    """Queries hold literally, by any nesting of `and` and `or`; malformed ones are 400."""
    response = home.call("keys.verifyKey", {"key": permitted.secret, "authorization": {"permissions": query}})
    assert outcome(response) == (400 if code == "BAD_REQUEST" else 200, code)


# Address lists, §4.2 step 6

ADDRESSES: list[tuple[list[str], str, bool]] = [
    (["192.0.2.1"], "192.0.2.1", True),
    (["192.0.2.1"], "192.0.2.10", False),
    (["192.0.2.1"], "192.0.2.2", False),
    (["198.51.100.1", " 192.0.2.1 "], "192.0.2.1", True),
    (["192.0.2.0/24"], "192.0.2.255", True),
    (["192.0.2.0/24"], "192.0.3.0", False),
    (["192.0.2.77/24"], "192.0.2.1", True),
    (["0.0.0.0/0"], "203.0.113.9", True),
    (["0.0.0.0/0"], "2001:db8::1", False),
    (["192.0.2.1"], "::ffff:192.0.2.1", True),
    (["2001:db8::1"], "2001:db8::1", True),
    (["2001:db8::1"], "2001:0DB8:0:0::1", True),
    (["2001:db8::/32"], "2001:db8:ffff::1", True),
    (["2001:db8::/32"], "2001:db9::1", False),
    (["2001:db8::/32", "192.0.2.0/24"], "192.0.2.9", True),
    (["192.0.2.1"], "no address", False),
    ([], "192.0.2.1", True),
    ([], "no address", True),
]


@pytest.mark.parametrize(("entries", "address", "admitted"), ADDRESSES)
def test_address_lists(home: Any, entries: list[str], address: str, admitted: bool) -> None:
    """A key is good only from the addresses on its api's list, compared as addresses; no list admits all."""
    secret = home.key(apiId=home.api(ipWhitelist=entries)).secret
    headers = {"X-Forwarded-For": address}
    for _ in range(2):
        response = home.call("keys.verifyKey", {"key": secret}, **headers)
        assert response.json()["code"] == ("VALID" if admitted else "FORBIDDEN")


def test_forwarded_headers_of_others_are_ignored(home: Any) -> None:
    """Only the header that the operator named tells the client's address."""
    secret = home.key(apiId=home.api(ipWhitelist=["127.0.0.1"])).secret
    headers = {"True-Client-IP": "192.0.2.1", "CF-Connecting-IP": "192.0.2.1"}
    assert home.call("keys.verifyKey", {"key": secret}, **headers).json()["code"] == "VALID"


# What was written is seen at once, D11


def test_every_change_is_seen_at_once(home: Any) -> None:
    """Each operation that changes what a verification answers is seen by the very next one, cached or not."""
    key = home.key()
    role_id, role = home.role()
    seen: Callable[..., Any] = lambda *members: [home.verify(key.secret).get(member) for member in members]  # noqa: E731
    assert seen("name", "roles", "permissions") == [None, [], []]
    home.ask("keys.updateKey", keyId=key.id, name="new")
    assert seen("name") == ["new"]
    home.ask("keys.addRoles", keyId=key.id, roles=[{"id": role_id}])
    assert seen("roles", "permissions") == [[role], []]
    home.ask("permissions.setRolePermissions", roleId=role_id, permissions=[{"slug": "late", "create": True}])
    assert seen("permissions") == [["late"]]
    home.ask("permissions.setRolePermissions", roleId=role_id, permissions=[])
    assert seen("permissions") == [[]]
    home.ask("keys.setPermissions", keyId=key.id, permissions=[{"slug": "late"}])
    assert seen("permissions") == [["late"]]
    home.ask("keys.removePermissions", keyId=key.id, permissions=[{"slug": "late"}])
    home.ask("keys.removeRoles", keyId=key.id, roles=[{"id": role_id}])
    assert seen("roles", "permissions") == [[], []]
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=5)
    assert seen("remaining") == [4]
    home.ask("keys.updateKey", keyId=key.id, remaining=None, enabled=False)
    assert seen("remaining", "code") == [None, "DISABLED"]


def test_a_key_is_usable_right_after_its_creation(home: Any, server: Any) -> None:
    """A secret that was asked for before it existed, and remembered as unknown, is found once it exists."""
    key = home.key()
    record = home.record(key.id)
    home.ask("keys.deleteKey", keyId=key.id, permanent=True)
    assert home.verify(key.secret)["code"] == "NOT_FOUND"
    server.write(lambda tx: tx.keys.insert(record))
    assert home.verify(key.secret)["code"] == "VALID"


def test_identity_of_another_environment(home: Any, server: Any) -> None:
    """An identity is linked and reported whatever its environment."""
    external_id = home.name("customer")
    made = Identity(home.name("id"), home.id, external_id, environment="staging", meta='{"a":1}')
    server.write(lambda tx: tx.identities.insert(made, NOW_MS))
    body = home.verify(home.key(externalId=external_id).secret)
    assert body["identity"] == {"id": made.id, "externalId": external_id, "meta": {"a": 1}}
