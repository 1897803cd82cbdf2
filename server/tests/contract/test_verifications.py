"""What getVerifications tells of past verifications (keys-v1 §3.8)."""

from collections.abc import Callable
from typing import Any

import pytest

from keystead.testing.server import NOW_MS

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TODAY_MS = NOW_MS // DAY_MS * DAY_MS

FULL = {"name": "none left", "limit": 0, "duration": HOUR_MS}


@pytest.fixture
def counted(home: Any, server: Any, clock: Any) -> Callable[..., Any]:
    """A function of a query → the series, once every event so far has been transferred."""

    def ask(**query: Any) -> Any:
        while server.application.log.transfer.transfer_once():
            pass
        return home.ask("keys.getVerifications", **query)["verifications"]

    return ask


def day(time: int, success: int = 0, rate_limited: int = 0, usage_exceeded: int = 0) -> dict[str, int]:
    return {"time": time, "success": success, "rateLimited": rate_limited, "usageExceeded": usage_exceeded}


def test_a_key_never_verified(home: Any, counted: Any) -> None:
    """Without verifications the series is empty."""
    assert counted(keyId=home.key().id) == []


def test_outcomes(home: Any, counted: Any) -> None:
    """Valid, ratelimited and exceeded verifications are counted, whatever they cost or are tagged."""
    key = home.key(remaining=3)
    home.verify(key.secret, remaining={"cost": 2}, tags=["a", "b"])
    home.verify(key.secret, remaining={"cost": 0})
    home.verify(key.secret)
    for _ in range(2):
        assert home.verify(key.secret)["code"] == "USAGE_EXCEEDED"
    assert home.verify(key.secret, ratelimits=[FULL])["code"] == "RATE_LIMITED"
    assert counted(keyId=key.id) == [day(TODAY_MS, 3, 1, 2)]


def test_what_is_not_counted(home: Any, counted: Any) -> None:
    """Other outcomes and calls that ended as errors show nowhere, and neither does asking about a key."""
    key = home.key()
    assert home.verify(key.secret, apiId="api_other")["code"] == "FORBIDDEN"
    assert home.verify(key.secret, authorization={"permissions": "never"})["code"] == "INSUFFICIENT_PERMISSIONS"
    assert home.call("keys.verifyKey", {"key": key.secret, "ratelimits": [{"name": "ghost"}]}).status_code == 400
    home.ask("keys.whoami", key=key.secret)
    home.ask("keys.updateKey", keyId=key.id, enabled=False)
    assert home.verify(key.secret)["code"] == "DISABLED"
    assert counted(keyId=key.id) == []


def test_a_new_key_with_an_old_secret_starts_at_zero(home: Any, counted: Any) -> None:
    """Verifications of an unknown secret belong to no key."""
    key = home.key()
    home.ask("keys.deleteKey", keyId=key.id, permanent=True)
    home.verify(key.secret)
    assert counted(keyId=home.key().id) == []


@pytest.fixture
def three_days(home: Any, clock: Any) -> Any:
    """A key verified once two days ago at noon, twice yesterday just before midnight, three times today."""
    clock.set(TODAY_MS - 3 * DAY_MS)
    key = home.key()
    for at_ms, times in [(TODAY_MS - 2 * DAY_MS + 12 * HOUR_MS, 1), (TODAY_MS - 1, 2), (NOW_MS, 3)]:
        clock.set(at_ms)
        for _ in range(times):
            home.verify(key.secret)
    return key


FIRST, SECOND, THIRD = day(TODAY_MS - 2 * DAY_MS, 1), day(TODAY_MS - DAY_MS, 2), day(TODAY_MS, 3)
RANGES: list[tuple[str, dict[str, Any], list[dict[str, int]]]] = [
    ("by default the last 24 hours, whole days", {}, [SECOND, THIRD]),
    ("zeros are the default", {"start": 0, "end": 0}, [SECOND, THIRD]),
    ("empty texts are the default", {"start": "", "end": ""}, [SECOND, THIRD]),
    ("everything", {"start": 1}, [FIRST, SECOND, THIRD]),
    ("start inside a day", {"start": TODAY_MS - DAY_MS - 1}, [FIRST, SECOND, THIRD]),
    ("start at a midnight", {"start": TODAY_MS - DAY_MS}, [SECOND, THIRD]),
    ("end inside a day", {"start": 1, "end": TODAY_MS - 1}, [FIRST, SECOND]),
    ("end at a midnight", {"start": 1, "end": TODAY_MS}, [FIRST, SECOND, THIRD]),
    ("one day", {"start": TODAY_MS - DAY_MS, "end": TODAY_MS - DAY_MS}, [SECOND]),
    ("one instant inside a day", {"start": TODAY_MS - 7, "end": TODAY_MS - 7}, [SECOND]),
    ("start after end", {"start": TODAY_MS, "end": TODAY_MS - 1}, []),
    ("before all", {"start": 1, "end": TODAY_MS - 2 * DAY_MS - 1}, []),
    ("after all", {"start": TODAY_MS + DAY_MS, "end": TODAY_MS + 2 * DAY_MS}, []),
    ("by day", {"granularity": "day"}, [SECOND, THIRD]),
]


@pytest.mark.parametrize(("query", "expected"), [case[1:] for case in RANGES], ids=[case[0] for case in RANGES])
def test_ranges(three_days: Any, counted: Any, query: dict[str, Any], expected: list[dict[str, int]]) -> None:
    """Every UTC day that overlaps the range is listed, ascending, and no day without verifications (Q39)."""
    assert counted(keyId=three_days.id, **query) == expected


def test_by_owner(home: Any, foreign: Any, counted: Any) -> None:
    """All live keys of an owner are summed into one entry a day; other owners', deleted and foreign ones are not."""
    owner_id = home.name("owner")
    keys = [home.key(ownerId=owner_id), home.key(ownerId=owner_id, apiId=home.api()), home.key(ownerId=owner_id)]
    for key in (*keys, foreign.key(ownerId=owner_id), home.key(ownerId=home.name("owner"))):
        home.verify(key.secret)
    home.verify(keys[0].secret, ratelimits=[FULL])
    assert counted(ownerId=owner_id) == [day(TODAY_MS, 3, 1)]
    home.ask("keys.deleteKey", keyId=keys[2].id)
    assert counted(ownerId=owner_id) == [day(TODAY_MS, 2, 1)]


def test_key_beats_owner(home: Any, counted: Any) -> None:
    """With both given the key counts, whoever its owner is; an empty one counts as absent."""
    owner_id = home.name("owner")
    owned, other = home.key(ownerId=owner_id), home.key()
    home.verify(owned.secret)
    assert counted(keyId=other.id, ownerId=owner_id) == []
    assert counted(keyId="", ownerId=owner_id) == [day(TODAY_MS, 1)]
    assert counted(keyId=owned.id, ownerId="") == [day(TODAY_MS, 1)]
    assert counted(keyId=owned.id, ownerId="nobody at all") == [day(TODAY_MS, 1)]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"keyId": "", "ownerId": ""}, 400),
        ({"keyId": "key_nope", "granularity": "hour"}, 400),
        ({"keyId": "key_nope", "start": "abc"}, 400),
        ({"keyId": "key_nope", "end": "1.5"}, 400),
        ({"keyId": ["key_nope", "key_nope"]}, 400),
        ({"keyId": "key_nope"}, 404),
        ({"ownerId": "nobody at all"}, 404),
    ],
)
def test_refusals(home: Any, query: dict[str, Any], status: int) -> None:
    """What is malformed is 400, what does not exist 404."""
    assert home.call("keys.getVerifications", query).status_code == status


def test_neither_id_is_told_after_authentication(home: Any) -> None:
    """That an id is missing is told to those who may ask (§3.8)."""
    assert home.call("keys.getVerifications", {}, authorization="").status_code == 401
    message = home.call("keys.getVerifications", {}).json()["error"]["message"]
    assert "keyId" in message
    assert "ownerId" in message


def test_calls_count_as_verifications_of_the_root_key(home: Any, server: Any, counted: Any) -> None:
    """Each call is one verification of its root key, whatever its outcome (§2.1)."""
    root = home.new_root_key("api.*.read_api")
    home.limit_key(root.id, "own", 2, HOUR_MS, auto_apply=True)
    statuses = [home.call("apis.listApis", root=root).status_code for _ in range(3)]
    home.call("keys.getKey", root=root)
    assert statuses == [200, 200, 429]
    counted(keyId=home.key().id)
    (of_today,) = server.application.log.counts.verifications_by_day([root.id], TODAY_MS, NOW_MS)
    assert tuple(of_today) == (TODAY_MS, 2, 1, 0)
