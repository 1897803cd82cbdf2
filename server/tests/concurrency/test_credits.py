"""Credits and limits are exact, however many spend at the same time."""

from collections import Counter
from typing import Any

import pytest


def _verify(secret: str, **members: Any) -> tuple[str, Any]:
    return "keys.verifyKey", {"key": secret, **members}


def test_exactly_what_was_granted_is_spent(tenant: Any) -> None:
    """Of 64 concurrent verifications against 50 credits 50 are valid, and they are told 49 to 0, each once."""
    key_id, secret = tenant.key(remaining=50)
    answers = tenant.at_once([_verify(secret)] * 64)
    valid = [answer.json["remaining"] for answer in answers if answer.json["valid"]]
    refused = [(answer.json["code"], answer.json["remaining"]) for answer in answers if not answer.json["valid"]]
    assert sorted(valid) == list(range(50))
    assert refused == [("USAGE_EXCEEDED", 0)] * 14
    assert tenant.stored(key_id)["remaining"] == 0


def test_a_cost_is_taken_whole_or_not_at_all(tenant: Any) -> None:
    """At a cost of 3, 64 concurrent verifications take 16 times 3 of 50 credits and leave the last 2 alone."""
    key_id, secret = tenant.key(remaining=50)
    answers = tenant.at_once([_verify(secret, remaining={"cost": 3})] * 64)
    valid = [answer.json["remaining"] for answer in answers if answer.json["valid"]]
    refused = [(answer.json["code"], answer.json["remaining"]) for answer in answers if not answer.json["valid"]]
    assert sorted(valid) == list(range(2, 50, 3))
    assert refused == [("USAGE_EXCEEDED", 2)] * 48
    assert tenant.stored(key_id)["remaining"] == 2


@pytest.mark.parametrize("cost", [1, 3])
def test_nothing_is_lost_while_credits_are_added(tenant: Any, cost: int) -> None:
    """Verifications and increments at the same time form one chain of balances, from the first to the last."""
    key_id, secret = tenant.key(remaining=10)
    before: Counter[int] = Counter()
    after: Counter[int] = Counter()
    outcomes = set()
    increment = ("keys.updateRemaining", {"keyId": key_id, "op": "increment", "value": 5})
    requests = ([_verify(secret, remaining={"cost": cost})] * 3 + [increment]) * 16
    for _ in range(8):
        for (operation, _members), answer in zip(requests, tenant.at_once(requests), strict=True):
            balance = answer.json["remaining"]
            after[balance] += 1
            if operation == "keys.updateRemaining":
                before[balance - 5] += 1
            else:
                outcomes.add(answer.json["code"])
                assert answer.json["valid"] or balance < cost
                before[balance + cost if answer.json["valid"] else balance] += 1
    before[tenant.stored(key_id)["remaining"]] += 1
    after[10] += 1
    # Every balance that somebody left behind is the one that the next found.
    assert before == after
    assert "VALID" in outcomes


def test_no_increment_is_lost(tenant: Any) -> None:
    """64 concurrent increments and decrements add up."""
    key_id, _ = tenant.key(remaining=1000)
    changes = [
        ("keys.updateRemaining", {"keyId": key_id, "op": "decrement" if number % 2 else "increment", "value": number})
        for number in range(64)
    ]
    assert all(answer.status == 200 for answer in tenant.at_once(changes))
    assert tenant.stored(key_id)["remaining"] == 1000 + sum(range(0, 64, 2)) - sum(range(1, 64, 2))


@pytest.mark.parametrize("credits_too", [False, True])
@pytest.mark.parametrize("limit", [1, 10, 50])
def test_a_ratelimit_is_exact(tenant: Any, limit: int, credits_too: bool) -> None:
    """Of 64 concurrent verifications exactly as many pass as the limit says, and only those are paid for."""
    account = {"remaining": 1000} if credits_too else {}
    key_id, secret = tenant.key(ratelimit={"limit": limit, "duration": 60_000}, **account)
    answers = [answer.json for answer in tenant.at_once([_verify(secret)] * 64)]
    passed = [answer["ratelimit"]["remaining"] for answer in answers if answer["valid"]]
    refused = [(answer["code"], answer["ratelimit"]["remaining"]) for answer in answers if not answer["valid"]]
    assert sorted(passed) == list(range(limit))
    assert refused == [("RATE_LIMITED", 0)] * (64 - limit)
    if credits_too:
        assert tenant.stored(key_id)["remaining"] == 1000 - limit


@pytest.mark.parametrize("limit", [1, 10, 50])
def test_the_keys_of_an_identity_share_its_limit_exactly(tenant: Any, limit: int) -> None:
    """64 concurrent verifications of 8 keys of one identity pass exactly as often as its limit says."""
    limits = [{"name": "shared", "limit": limit, "duration": 60_000}]
    tenant.call("identities.createIdentity", {"externalId": "customer", "ratelimits": limits})
    secrets = [tenant.key(externalId="customer")[1] for _ in range(8)]
    answers = tenant.at_once([_verify(secret, ratelimits=[{"name": "shared"}]) for secret in secrets * 8])
    passed = [answer.json["ratelimit"]["remaining"] for answer in answers if answer.json["valid"]]
    assert sorted(passed) == list(range(limit))


def test_a_due_refill_happens_once(tenant: Any) -> None:
    """When a refill has become due, concurrent verifications share one refill and one audit entry tells of it."""
    key_id, secret = tenant.key(remaining=30, refill={"interval": "daily", "amount": 30})
    tenant.at_once([_verify(secret)] * 20)
    tenant.server.clock.advance(86_400_000)
    answers = [answer.json for answer in tenant.at_once([_verify(secret)] * 64)]
    assert sorted(answer["remaining"] for answer in answers if answer["valid"]) == list(range(30))
    entries = tenant.server.read(lambda tx: tx.audit.of_workspace(tenant.workspace_id))
    refills = [entry for entry in entries if entry.actor_type == "system"]
    assert [(entry.event, entry.resources[1].id) for entry in refills] == [("key.update", key_id)]
    midnight = tenant.server.clock.now_ms() // 86_400_000 * 86_400_000
    assert refills[0].time_ms == midnight == tenant.stored(key_id)["refill"]["lastRefillAt"]
