"""Requests whose members are acceptable one by one, but not together (keys-v1 §3.4, §3.6, §3.9; other-v1 §3 to §5)."""

import sqlite3
from contextlib import closing
from typing import Any

import httpx
import pytest

from keystead.testing.server import ServerInProcess

DAILY = {"interval": "daily", "amount": 5}
LIMIT = {"limit": 5}
HASH = {"value": "of a key from elsewhere", "variant": "sha256_base64"}


@pytest.fixture(scope="module")
def ids(caller: httpx.Client, api_id: str) -> dict[str, str]:
    """What the requests below are about."""
    key = caller.post("/v1/keys.createKey", json={"apiId": api_id}).json()
    role = caller.post("/v1/permissions.createRole", json={"name": "contradicted"}).json()
    identity = caller.post("/v1/identities.createIdentity", json={"externalId": "contradicted"}).json()
    return {"apiId": api_id, "keyId": key["keyId"], **role, **identity}


CONTRADICTIONS: list[tuple[str, str, dict[str, Any], str]] = [
    ("keys.createKey", "apiId", {"remaining": 0}, "remaining: "),
    ("keys.createKey", "apiId", {"remaining": -1}, "remaining: "),
    ("keys.createKey", "apiId", {"refill": DAILY}, "refill: "),
    ("keys.createKey", "apiId", {"remaining": 1, "refill": {**DAILY, "refillDay": 1}}, "refillDay"),
    ("keys.createKey", "apiId", {"ratelimit": LIMIT}, "ratelimit.duration: Required"),
    ("keys.updateKey", "keyId", {"remaining": None, "refill": DAILY}, "a refill"),
    ("keys.updateKey", "keyId", {"remaining": 1, "refill": {**DAILY, "refillDay": 1}}, "refillDay"),
    ("keys.updateKey", "keyId", {"ratelimit": LIMIT}, "ratelimit.duration: Required"),
    ("keys.updateKey", "keyId", {"roles": [{}, {"create": True}]}, "roles: "),
    ("keys.updateKey", "keyId", {"permissions": [{}]}, "permissions: "),
    ("keys.updateRemaining", "keyId", {"op": "increment", "value": 1}, "the key is unlimited"),
    ("keys.updateRemaining", "keyId", {"op": "decrement", "value": None}, "the key is unlimited"),
    ("keys.updateRemaining", "keyId", {"op": "set", "value": -1}, "remaining: "),
    ("keys.setPermissions", "keyId", {"permissions": [{}, {"create": True}]}, "permissions: "),
    ("keys.setRoles", "keyId", {"roles": [{}, {}, {}]}, "roles: "),
    ("permissions.setRolePermissions", "roleId", {"permissions": [{}]}, "permissions: "),
    ("apis.updateApi", "apiId", {"ipWhitelist": ["10.0.0.1", "example.org"]}, "ipWhitelist.1: "),
    ("apis.updateApi", "apiId", {"ipWhitelist": ["10.0.0.0/33"]}, "ipWhitelist.0: "),
    ("apis.updateApi", "apiId", {"ipWhitelist": [""]}, "ipWhitelist.0: "),
    ("apis.createApi", "name", {"ipWhitelist": ["::1", "fe80::/129"]}, "ipWhitelist.1: "),
    ("identities.updateIdentity", "environment", {"meta": {}}, "identityId or externalId is required"),
    ("identities.updateIdentity", "identityId", {"meta": {"a": "x" * 64_000}}, "meta: "),
    ("ratelimits.deleteOverride", "identifier", {"namespaceId": "", "namespaceName": ""}, "namespaceId or "),
    ("migrations.createKeys", "apiId", {}, "item 1: hash or plaintext is required"),
    ("migrations.createKeys", "apiId", {"plaintext": "", "hash": {**HASH, "value": ""}}, "item 1: hash or plaintext"),
    ("migrations.createKeys", "apiId", {"hash": HASH, "refill": DAILY}, "item 1: refill"),
    (
        "migrations.createKeys",
        "apiId",
        {"hash": HASH, "remaining": 1, "refill": {**DAILY, "refillDay": 1}},
        "item 1: refillDay",
    ),
    ("migrations.enqueueKeys", "apiId", {"migrationId": "m", "keys": [{"hash": HASH}, {}]}, "keys.1: hash or "),
]


@pytest.mark.parametrize(("operation", "about", "members", "beginning"), CONTRADICTIONS)
def test_contradictions_are_refused(
    server: ServerInProcess,
    caller: httpx.Client,
    ids: dict[str, str],
    operation: str,
    about: str,
    members: dict[str, Any],
    beginning: str,
) -> None:
    """Members that contradict each other are 400, and neither an object nor an audit entry is written."""
    body: Any = {about: ids.get(about, "contradiction"), **members}
    if operation == "migrations.createKeys":
        # An import is all or nothing: the first item would do.
        body = [{"apiId": ids["apiId"], "plaintext": "acceptable"}, body]
    before = contents(server)
    answer = caller.post(f"/v1/{operation}", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith(beginning), answer.text
    assert contents(server) == before


@pytest.mark.parametrize("verb", ["add", "remove"])
@pytest.mark.parametrize("noun", ["permissions", "roles"])
def test_selectors_that_name_nothing(
    server: ServerInProcess, caller: httpx.Client, ids: dict[str, str], verb: str, noun: str
) -> None:
    """Adding or removing what empty selectors name, which is nothing, changes nothing and is no mistake."""
    before = contents(server)
    body = {"keyId": ids["keyId"], noun: [{}, {}, {"create": True}]}
    answer = caller.post(f"/v1/keys.{verb}{noun.title()}", json=body)
    assert (answer.status_code, answer.json()) == (200, [] if verb == "add" else {})
    assert contents(server) == before


def contents(server: ServerInProcess) -> list[str]:
    """Everything that is stored, as text."""
    with closing(sqlite3.connect(server.settings.database_path)) as database:
        return list(database.iterdump())
