"""The largest and smallest values that validation lets through are kept, shown and verified like any other."""

from typing import Any

import httpx
import pytest

INT32 = 2**31 - 1
INT64 = 2**63 - 1
YEAR_9999_MS = 253_402_300_799_999
KEY = "\N{KEY}"

LARGEST: dict[str, Any] = {
    "prefix": KEY * 8,
    "name": KEY * 128,
    "byteLength": 255,
    "externalId": KEY * 128,
    "meta": {"a": "x" * (65_535 - 8)},
    "roles": [KEY * 255 + f"{number:02}" for number in range(50)],
    "permissions": [KEY * 63 + f"{number:02}" for number in range(50)],
    "expires": YEAR_9999_MS,
    "remaining": INT32,
    "refill": {"interval": "monthly", "amount": INT32, "refillDay": 31},
    "ratelimit": {"limit": INT32, "duration": INT64},
    "environment": KEY * 128,
}
SMALLEST: dict[str, Any] = {
    "prefix": "",
    "name": "",
    "byteLength": 16,
    "externalId": "x",
    "meta": {},
    "roles": [],
    "permissions": [],
    "expires": 0,
    "remaining": 1,
    "refill": {"interval": "monthly", "amount": 1, "refillDay": 1},
    "ratelimit": {"limit": 1, "duration": 1000},
    "environment": "",
}


def answer_of(answer: httpx.Response) -> Any:
    """The body of a success."""
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()


@pytest.mark.parametrize("members", [LARGEST, SMALLEST], ids=["largest", "smallest"])
def test_extreme_keys(caller: httpx.Client, api_id: str, members: dict[str, Any]) -> None:
    """A key of nothing but extremes is shown as it was made, verifies, and spends."""
    made = answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id, **members}))
    shown = answer_of(caller.get("/v1/keys.getKey", params={"keyId": made["keyId"]}))
    for name in ("name", "meta", "roles", "permissions", "remaining"):
        assert shown[name] == members[name]
    assert shown["ownerId"] == members["externalId"]
    assert shown.get("expires", 0) == members["expires"]
    assert shown["refill"].items() >= members["refill"].items()
    assert shown["ratelimit"].items() >= members["ratelimit"].items()
    verified = answer_of(caller.post("/v1/keys.verifyKey", json={"key": made["key"]}))
    assert (verified["code"], verified["remaining"]) == ("VALID", members["remaining"] - 1)
    assert verified["ratelimit"]["remaining"] == members["ratelimit"]["limit"] - 1
    assert verified["environment"] == members["environment"]


IMPORTED: dict[str, dict[str, Any]] = {
    "largest": {
        "start": KEY * 128,
        "prefix": KEY * 4,
        "name": KEY * 128,
        "ownerId": KEY * 128,
        "meta": LARGEST["meta"],
        "roles": [KEY * 255 + "00"],
        "permissions": [KEY * 63 + "00"],
        "expires": YEAR_9999_MS,
        "remaining": INT32,
        "refill": LARGEST["refill"],
        "environment": KEY * 128,
        "ratelimit": {"limit": INT32, "refillRate": INT32, "refillInterval": INT64, "duration": INT64},
    },
    "smallest": {
        "start": "",
        "prefix": "",
        "name": "",
        "ownerId": "",
        "meta": {},
        "roles": [],
        "permissions": [],
        "expires": 0,
        "remaining": 1,
        "refill": SMALLEST["refill"],
        "environment": "",
        "ratelimit": {"limit": 1, "refillRate": 1, "refillInterval": 1, "duration": 1000},
    },
}


@pytest.mark.parametrize("size", IMPORTED)
def test_extreme_imports(caller: httpx.Client, api_id: str, size: str) -> None:
    """A hundred keys of nothing but extremes fit into one body (D2), are shown as they were sent, and verify."""
    answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id, **LARGEST}))
    secrets = [f"{size} {number:0200}" for number in range(100)]
    items = [{"apiId": api_id, "plaintext": secret, **IMPORTED[size]} for secret in secrets]
    key_ids = answer_of(caller.post("/v1/migrations.createKeys", json=items))["keyIds"]
    assert len(set(key_ids)) == 100
    shown = answer_of(caller.get("/v1/keys.getKey", params={"keyId": key_ids[-1]}))
    sent = IMPORTED[size]
    assert [shown[name] for name in ("start", "name", "meta", "roles")] == [
        sent[name] for name in ("start", "name", "meta", "roles")
    ]
    verified = answer_of(caller.post("/v1/keys.verifyKey", json={"key": secrets[-1]}))
    assert (verified["code"], verified["remaining"]) == ("VALID", sent["remaining"] - 1)
    assert verified["ratelimit"]["limit"] == sent["ratelimit"]["limit"]


EXTREME_CALLS = [
    {"ratelimits": [{"name": "x", "limit": INT64, "duration": INT64, "cost": INT64}]},
    {"ratelimits": [{"name": "x", "limit": 0, "duration": 1, "cost": 0}]},
    {"ratelimits": [{"name": "x", "limit": INT64, "duration": 1}] * 1000},
    {"ratelimits": [{"name": f"{number}" + "x" * 1000, "limit": 1, "duration": INT64} for number in range(1000)]},
    {"ratelimit": {"cost": INT64}},
    {"remaining": {"cost": 0}},
    {"tags": [KEY * 64] * 10},
    {"apiId": "x" * 1_000_000},
    {"authorization": {"permissions": {"or": ["x"] * 100_000 + [""]}}},
]


@pytest.mark.parametrize("members", EXTREME_CALLS, ids=lambda members: str(members)[:70])
def test_extreme_verifications(caller: httpx.Client, api_id: str, members: dict[str, Any]) -> None:
    """A verification that asks for extremes is answered, and the key verifies afterwards."""
    key = answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id, "remaining": 10}))["key"]
    outcome = answer_of(caller.post("/v1/keys.verifyKey", json={"key": key, **members}))["code"]
    assert outcome in ("VALID", "RATE_LIMITED", "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
    assert answer_of(caller.post("/v1/keys.verifyKey", json={"key": key}))["code"] == "VALID"


@pytest.mark.parametrize(
    ("members", "outcome"),
    [
        ({"remaining": {"cost": INT64}}, "USAGE_EXCEEDED"),
        ({"ratelimits": [{"name": "x", "limit": 1, "duration": 1, "cost": INT64}]}, "RATE_LIMITED"),
        ({"ratelimits": [{"name": "x", "limit": INT64, "duration": INT64, "cost": INT64}]}, "VALID"),
        ({"ratelimits": [{"name": "x", "limit": 0, "duration": INT64}]}, "RATE_LIMITED"),
    ],
)
def test_extreme_costs(caller: httpx.Client, api_id: str, members: dict[str, Any], outcome: str) -> None:
    """A cost of any size is compared, never overflows, and is taken only where there is enough."""
    key = answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id, "remaining": INT32}))["key"]
    answer = answer_of(caller.post("/v1/keys.verifyKey", json={"key": key, **members}))
    assert answer["code"] == outcome
    assert answer.get("remaining", INT32) == INT32 - (1 if outcome == "VALID" else 0)


@pytest.mark.parametrize("expires", [-YEAR_9999_MS, -1, 1])
def test_instants_long_ago(caller: httpx.Client, api_id: str, expires: int) -> None:
    """An expiry before anybody could use the key is kept and shown, and the key is expired from the start."""
    made = answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id, "expires": expires}))
    assert answer_of(caller.get("/v1/keys.getKey", params={"keyId": made["keyId"]}))["expires"] == expires
    assert answer_of(caller.post("/v1/keys.verifyKey", json={"key": made["key"]}))["code"] == "EXPIRED"


@pytest.mark.parametrize(
    ("op", "value", "outcome"),
    [
        ("set", INT32, INT32),
        ("increment", INT32 - 10, INT32),
        ("increment", INT32, None),
        ("decrement", INT32, 0),
        ("decrement", -INT32, None),
        ("increment", -INT32 - 1, 0),
        ("decrement", -INT32 - 1, None),
    ],
)
def test_balances_stay_in_range(caller: httpx.Client, api_id: str, op: str, value: int, outcome: int | None) -> None:
    """A balance never leaves 0 to 2³¹ - 1: below it stops at 0, above it is 400 and stays as it was."""
    made = answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id, "remaining": 10}))
    answer = caller.post("/v1/keys.updateRemaining", json={"keyId": made["keyId"], "op": op, "value": value})
    assert answer.status_code == (400 if outcome is None else 200), answer.text
    shown = answer_of(caller.get("/v1/keys.getKey", params={"keyId": made["keyId"]}))
    assert shown["remaining"] == (10 if outcome is None else outcome)


def test_long_lists_of_selectors(caller: httpx.Client, api_id: str) -> None:
    """Thousands of selectors are resolved in one call, and none is lost between the statements that look for them."""
    made = answer_of(caller.post("/v1/keys.createKey", json={"apiId": api_id}))
    wanted = [{"name": f"many {number % 1500}", "create": True} for number in range(3000)]
    body = {"keyId": made["keyId"], "permissions": wanted}
    assert len(answer_of(caller.post("/v1/keys.setPermissions", json=body))) == 1500
    again = body | {"permissions": [{"name": f"many {number}"} for number in range(1500)]}
    assert len(answer_of(caller.post("/v1/keys.setPermissions", json=again))) == 1500
    again["permissions"].append({"id": "perm_unknown"})
    assert caller.post("/v1/keys.setPermissions", json=again).status_code == 404
    assert len(answer_of(caller.post("/v1/keys.setPermissions", json=body | {"permissions": wanted[:1]}))) == 1
