"""The acceptance checklist of keys-v1, Appendix D: one test an item, in order."""

from typing import Any

import pytest

from keystead.testing.server import NOW_MS

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
TODAY_MS = NOW_MS // DAY_MS * DAY_MS


def codes(home: Any, secret: str, times: int, **members: Any) -> list[str]:
    """The outcomes of several equal verifications."""
    return [home.verify(secret, **members)["code"] for _ in range(times)]


@pytest.mark.parametrize("permanent", [False, True])
def test_item_01_create_verify_delete(home: Any, permanent: bool) -> None:
    """A key is valid once created and unknown once deleted, softly or for good."""
    key = home.key()
    assert home.verify(key.secret)["code"] == "VALID"
    assert home.ask("keys.deleteKey", keyId=key.id, permanent=permanent) == {}
    assert home.verify(key.secret)["code"] == "NOT_FOUND"


def test_item_02_a_hundred_credits(home: Any) -> None:
    """A balance of 100 lasts for exactly 100 verifications that count down, and getKey agrees."""
    key = home.key(remaining=100)
    answers = [home.verify(key.secret) for _ in range(101)]
    assert [(body["code"], body["remaining"]) for body in answers] == [
        *(("VALID", left) for left in range(99, -1, -1)),
        ("USAGE_EXCEEDED", 0),
    ]
    assert home.show(key.id)["remaining"] == 0


def test_item_03_increment_after_use(home: Any) -> None:
    """Credits that were used up and raised again can be spent at once."""
    key = home.key(remaining=5)
    assert codes(home, key.secret, 6) == ["VALID"] * 5 + ["USAGE_EXCEEDED"]
    assert home.ask("keys.updateRemaining", keyId=key.id, op="increment", value=5) == {"remaining": 5}
    assert home.verify(key.secret)["remaining"] == 4


def test_item_04_costs(home: Any) -> None:
    """A cost of 2 takes 2, a cost of 0 is valid at a balance of 0."""
    key = home.key(remaining=10)
    assert home.verify(key.secret, remaining={"cost": 2})["remaining"] == 8
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=0)
    body = home.verify(key.secret, remaining={"cost": 0})
    assert (body["code"], body["remaining"]) == ("VALID", 0)


def test_item_05_updated_ratelimit(home: Any, clock: Any) -> None:
    """An updated ratelimit holds at once, and renaming the key keeps it."""
    key = home.key()
    home.ask("keys.updateKey", keyId=key.id, ratelimit={"limit": 5, "duration": 5000})
    body = home.verify(key.secret)
    assert (body["ratelimit"]["limit"], body["ratelimit"]["remaining"]) == (5, 4)
    home.ask("keys.updateKey", keyId=key.id, name="renamed")
    assert home.verify(key.secret)["ratelimit"]["remaining"] == 3
    assert home.show(key.id)["ratelimit"]["duration"] == 5000


@pytest.mark.parametrize(
    ("key_limit", "identity_limit", "asked", "valid"),
    [
        ((4, 10_000), (1, 10 * MINUTE_MS), ["limit1"], 3),
        ((1, 10_000), (10, 10 * MINUTE_MS), ["limit1"], 1),
        ((4, 10_000), (1, 10 * MINUTE_MS), ["limit1", "limit2"], 2),
    ],
)
def test_item_06_key_limits_over_identity_limits(
    home: Any, clock: Any, key_limit: Any, identity_limit: Any, asked: list[str], valid: int
) -> None:
    """A key's limit replaces the identity's of its name; others of the identity hold beside it, and are named."""
    identity_id, external_id = home.identity()
    key = home.key(externalId=external_id)
    home.limit_key(key.id, "limit1", *key_limit)
    home.limit_identity(identity_id, "limit1", *identity_limit)
    home.limit_identity(identity_id, "limit2", 2, 10 * MINUTE_MS)
    body = {"key": key.secret, "ratelimits": [{"name": name} for name in asked]}
    responses = [home.call("keys.verifyKey", body) for _ in range(valid + 1)]
    limited = asked[-1] != "limit1" or key_limit[0] == valid
    assert [response.json()["code"] for response in responses] == ["VALID"] * valid + [
        "RATE_LIMITED" if limited else "VALID"
    ]
    assert responses[-1].headers.get("unkey-ratelimit-triggered") == (asked[-1] if limited else None)


def test_item_07_shared_identity_limit(home: Any, clock: Any) -> None:
    """A limit of an identity that one of its keys has exhausted rejects another."""
    identity_id, external_id = home.identity()
    home.limit_identity(identity_id, "shared", 3, HOUR_MS)
    first, second = home.key(externalId=external_id), home.key(externalId=external_id)
    assert codes(home, first.secret, 3, ratelimits=[{"name": "shared"}]) == ["VALID"] * 3
    assert codes(home, second.secret, 1, ratelimits=[{"name": "shared"}]) == ["RATE_LIMITED"]


@pytest.mark.parametrize("limit", ["automatic", "stored 0", "requested 0"])
def test_item_08_automatic_and_zero_limits(home: Any, clock: Any, limit: str) -> None:
    """An automatic limit holds without being named; a limit of 0 rejects the first call and tells the owner."""
    external_id = home.name("customer")
    key = home.key(externalId=external_id)
    members: dict[str, Any] = {}
    if limit == "automatic":
        home.ask("keys.updateKey", keyId=key.id, ratelimit={"limit": 1, "duration": HOUR_MS})
        assert home.verify(key.secret)["code"] == "VALID"
    elif limit == "stored 0":
        home.limit_key(key.id, "default", 0, HOUR_MS, auto_apply=True)
    else:
        members = {"ratelimits": [{"name": "any", "limit": 0, "duration": HOUR_MS}]}
    body = home.verify(key.secret, **members)
    assert body["code"] == "RATE_LIMITED"
    assert body["ownerId"] == body["identity"]["externalId"] == external_id


def test_item_09_overrides_of_the_request(home: Any, clock: Any) -> None:
    """A cost above an override's limit is rejected; an unconfigured name is 400, also beside a complete entry."""
    secret = home.key().secret
    override = {"name": "tokens", "cost": 2, "limit": 1, "duration": MINUTE_MS}
    assert home.verify(secret, ratelimits=[override])["code"] == "RATE_LIMITED"
    response = home.call("keys.verifyKey", {"key": secret, "ratelimits": [{"name": "ghost"}, override]})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"and": ["p1", {"or": ["p4", "p3"]}]}, "VALID"),
        ({"or": [{"and": ["p1", "p4"]}, {"and": ["p2", "p3"]}]}, "VALID"),
        ({"and": ["p1", {"or": ["p4", "p5"]}]}, "INSUFFICIENT_PERMISSIONS"),
        ({"and": ["p1", {}]}, "BAD_REQUEST"),
    ],
)
def test_item_10_permission_queries(home: Any, query: Any, code: str) -> None:
    """Nested queries hold over the permissions of overlapping roles; malformed ones are 400."""
    roles = [home.role("p1", "p2")[1], home.role("p2", "p3")[1]]
    body = {"key": home.key(roles=roles).secret, "authorization": {"permissions": query}}
    response = home.call("keys.verifyKey", body)
    answer = response.json()
    if code == "BAD_REQUEST":
        assert (response.status_code, answer["error"]["code"]) == (400, code)
    else:
        assert (answer["code"], sorted(answer["permissions"])) == (code, ["p1", "p2", "p3"])


def test_item_11_owner_of_an_identity(home: Any) -> None:
    """Verification prefers the identity's external id to the key's own owner id, getKey shows the key's own."""
    external_id = home.name("customer")
    key = home.key(externalId=external_id)
    home.alter(key.id, owner_id="own owner")
    assert home.verify(key.secret)["ownerId"] == external_id
    assert home.show(key.id)["ownerId"] == "own owner"


@pytest.mark.parametrize(("address", "code"), [("192.0.2.7", "VALID"), ("192.0.2.8", "FORBIDDEN"), (None, "FORBIDDEN")])
def test_item_12_ip_whitelist(home: Any, server: Any, address: str | None, code: str) -> None:
    """A key of an api with a whitelist is good from an address on it, from no other and from an unknown one."""
    secret = home.key(apiId=home.api(ipWhitelist=["192.0.2.7"])).secret
    # A header that names no address leaves the client's unknown.
    header = {"X-Forwarded-For": address or "unknown"}
    assert home.call("keys.verifyKey", {"key": secret}, **header).json()["code"] == code


def test_item_13_updates(home: Any, clock: Any) -> None:
    """Absent members stay, null removes, `ownerId` is an alias, and `enabled` is followed at once."""
    external_id = home.name("customer")
    key = home.key(name="n", externalId=external_id, expires=NOW_MS + DAY_MS, meta={"a": 1})

    def update(**members: Any) -> Any:
        home.ask("keys.updateKey", keyId=key.id, **members)
        return home.show(key.id)

    before = home.show(key.id)
    assert update() == before
    assert "expires" not in update(expires=None)
    assert update(name="m")["ownerId"] == external_id
    shown = update(externalId=None)
    assert "ownerId" not in shown
    assert "identity" not in shown
    for member in ("ownerId", "externalId"):
        shown = update(**{member: f"{external_id}.{member}"})
        assert shown["ownerId"] == shown["identity"]["externalId"] == f"{external_id}.{member}"
    for members, code in [({"enabled": False}, "DISABLED"), ({"name": "o"}, "DISABLED"), ({"enabled": True}, "VALID")]:
        update(**members)
        assert home.verify(key.secret)["code"] == code
    assert update()["meta"] == {"a": 1}


def test_item_14_refills(home: Any) -> None:
    """A monthly refill is due on day 1 by default; a day with daily and a refill of an unlimited key are 400."""
    refill = {"interval": "monthly", "amount": 5}
    key = home.key(remaining=1, refill=refill)
    assert home.show(key.id)["refill"]["refillDay"] == 1
    home.ask("keys.updateKey", keyId=key.id, refill={**refill, "refillDay": 7})
    home.ask("keys.updateKey", keyId=key.id, refill=refill)
    assert home.show(key.id)["refill"]["refillDay"] == 1
    daily = {"interval": "daily", "amount": 5, "refillDay": 1}
    for operation, body in [
        ("keys.createKey", {"apiId": home.api_id, "remaining": 1, "refill": daily}),
        ("keys.createKey", {"apiId": home.api_id, "refill": refill}),
        ("keys.updateKey", {"keyId": key.id, "refill": daily}),
        ("keys.updateKey", {"keyId": key.id, "remaining": None, "refill": refill}),
    ]:
        response = home.call(operation, body)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "BAD_REQUEST")


def test_item_15_recoverable_keys(home: Any) -> None:
    """A recoverable key shows its plaintext to those who may decrypt it, and only where the api keeps secrets."""
    api_id = home.api(storeEncryptedKeys=True)
    key = home.key(apiId=api_id, recoverable=True, prefix="acme")
    query = {"keyId": key.id, "decrypt": "true"}
    assert home.ask("keys.getKey", **query)["plaintext"] == key.secret
    reader = home.root_key("api.*.read_key")
    response = home.call("keys.getKey", query, root=reader)
    assert (response.status_code, response.json()["error"]["reason"]) == (403, "INSUFFICIENT_PERMISSIONS")
    assert "plaintext" not in home.answer(home.call("keys.getKey", {"keyId": key.id}, root=reader))
    response = home.call("keys.createKey", {"apiId": home.api_id, "recoverable": True})
    assert (response.status_code, response.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")
    home.ask("apis.updateApi", apiId=api_id, storeEncryptedKeys=False)
    assert home.ask("keys.getKey", **query)["plaintext"] == key.secret


def test_item_16_defaults_of_an_api(home: Any) -> None:
    """An api's prefix and byte count are the defaults of its keys; `start` counts a prefix of the request only."""
    api_id = home.api(defaultPrefix="dflt", defaultBytes=32)
    key = home.key(apiId=api_id)
    assert key.secret.startswith("dflt_2U")
    assert len(key.secret) == len("dflt_") + 46
    assert home.show(key.id)["start"] == "dflt_"
    key = home.key(apiId=api_id, prefix="own", byteLength=16)
    assert key.secret.startswith("own_3Z")
    assert home.show(key.id)["start"] == key.secret[:8]


@pytest.mark.parametrize("kind", ["permission", "role"])
def test_item_17_unknown_names_at_creation(home: Any, kind: str) -> None:
    """Unknown names are 403 without the permission to create them, made with it, and found afterwards."""
    body = {"apiId": home.api_id, f"{kind}s": [home.name(kind)]}
    plain, creating = (home.root_key("api.*.create_key", *more) for more in ((), (f"rbac.*.create_{kind}",)))
    statuses = [home.call("keys.createKey", body, root=root).status_code for root in (plain, creating, creating, plain)]
    assert statuses == [403, 200, 200, 200]


def test_item_18_verifications(home: Any, server: Any, clock: Any) -> None:
    """The series is empty at first, then counted, by key or summed by owner; the key wins; one day is a range."""
    owner_id = home.name("owner")
    first, second = home.key(ownerId=owner_id), home.key(ownerId=owner_id)

    def series(**query: Any) -> Any:
        while server.application.log.transfer.transfer_once():
            pass
        return home.ask("keys.getVerifications", **query)["verifications"]

    assert series(keyId=first.id) == []
    codes(home, first.secret, 10)
    codes(home, second.secret, 5)
    home.verify(first.secret, ratelimits=[{"name": "n", "limit": 0, "duration": 1000}])
    of_first = {"time": TODAY_MS, "success": 10, "rateLimited": 1, "usageExceeded": 0}
    assert series(keyId=first.id) == [of_first]
    assert series(ownerId=owner_id) == [{**of_first, "success": 15}]
    assert series(keyId=first.id, ownerId=owner_id) == [of_first]
    assert series(keyId=first.id, start=TODAY_MS, end=TODAY_MS, granularity="day") == [of_first]
