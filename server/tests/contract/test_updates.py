"""Changing keys: updateKey, updateRemaining, and what `updatedAt` tells of it (keys-v1 §3.6, §3.7, §3.16)."""

from typing import Any

import pytest

from keystead.testing.server import NOW_MS

MINUTE_MS = 60_000
DAY_MS = 86_400_000
LATER_MS = NOW_MS + 5_000

RATELIMIT = {"async": False, "limit": 10, "duration": MINUTE_MS, "refillRate": 10, "refillInterval": MINUTE_MS}
MONTHLY = {"interval": "monthly", "amount": 500, "refillDay": 15, "lastRefillAt": NOW_MS}


@pytest.fixture
def key(home: Any, clock: Any) -> Any:
    """A key that has everything updateKey can change, made at NOW_MS; the clock stands at LATER_MS."""
    _, external_id = home.identity()
    made = home.key(
        name="first",
        externalId=external_id,
        meta={"plan": "pro", "seats": 1},
        expires=NOW_MS + DAY_MS,
        remaining=100,
        refill={"interval": "monthly", "amount": 500, "refillDay": 15},
        ratelimit={"limit": 10, "duration": MINUTE_MS},
        permissions=["kept.permission"],
        roles=["kept role"],
    )
    clock.set(LATER_MS)
    return made


# What updateKey is given → the members of the key object that differ afterwards, None for gone. Whatever is not listed
# has to stay as it was; `updatedAt` is looked at elsewhere.
CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("nothing", {}, {}),
    ("name", {"name": "second"}, {"name": "second"}),
    ("empty name", {"name": ""}, {"name": ""}),
    ("no name", {"name": None}, {"name": None}),
    ("meta, replaced whole", {"meta": {"a": 1}}, {"meta": {"a": 1}}),
    ("empty meta", {"meta": {}}, {"meta": {}}),
    ("no meta", {"meta": None}, {"meta": None}),
    ("expiry", {"expires": NOW_MS + 2 * DAY_MS}, {"expires": NOW_MS + 2 * DAY_MS}),
    ("expiry 0 is none", {"expires": 0}, {"expires": None}),
    ("no expiry", {"expires": None}, {"expires": None}),
    ("disabled", {"enabled": False}, {"enabled": False}),
    ("enabled", {"enabled": True}, {}),
    ("balance", {"remaining": 7}, {"remaining": 7}),
    ("balance 0", {"remaining": 0}, {"remaining": 0}),
    ("unlimited, refill goes too", {"remaining": None}, {"remaining": None, "refill": None}),
    ("no refill, balance stays", {"refill": None}, {"refill": None}),
    ("unlimited without refill", {"remaining": None, "refill": None}, {"remaining": None, "refill": None}),
    (
        "daily stays daily",
        {"refill": {"interval": "daily", "amount": 3}},
        {"refill": {"interval": "daily", "amount": 3, "refillDay": None, "lastRefillAt": NOW_MS}},
    ),
    (
        "monthly, first by default",
        {"refill": {"interval": "monthly", "amount": 3}},
        {"refill": {**MONTHLY, "amount": 3, "refillDay": 1}},
    ),
    (
        "monthly with a day",
        {"refill": {"interval": "monthly", "amount": 3, "refillDay": 31.0}},
        {"refill": {**MONTHLY, "amount": 3, "refillDay": 31}},
    ),
    ("ratelimit gone", {"ratelimit": None}, {"ratelimit": None}),
    (
        "limit, duration stays",
        {"ratelimit": {"limit": 20}},
        {"ratelimit": {**RATELIMIT, "limit": 20, "refillRate": 20}},
    ),
    (
        "limit and duration",
        {"ratelimit": {"limit": 20, "duration": 1}},
        {"ratelimit": {"async": False, "limit": 20, "duration": 1, "refillRate": 20, "refillInterval": 1}},
    ),
    (
        "deprecated refillInterval",
        {"ratelimit": {"type": "fast", "limit": 20, "refillRate": 1, "refillInterval": 60, "async": False}},
        {"ratelimit": {"async": False, "limit": 20, "duration": 60, "refillRate": 20, "refillInterval": 60}},
    ),
    ("roles cleared", {"roles": []}, {"roles": []}),
    ("permissions cleared", {"permissions": []}, {"permissions": []}),
    ("roles set", {"roles": [{"name": "made role", "create": True}]}, {"roles": ["made role"]}),
    (
        "permissions set",
        {"permissions": [{"slug": "made.permission", "create": True}]},
        {"permissions": ["made.permission"]},
    ),
    ("identity unlinked", {"externalId": None}, {"ownerId": None, "identity": None}),
    ("owner unlinked", {"ownerId": None}, {"ownerId": None, "identity": None}),
    ("externalId null beats ownerId", {"externalId": None, "ownerId": "x"}, {"ownerId": None, "identity": None}),
    (
        "everything at once",
        {"name": None, "meta": None, "expires": None, "remaining": None, "ratelimit": None, "ownerId": None},
        {
            "name": None,
            "meta": None,
            "expires": None,
            "remaining": None,
            "refill": None,
            "ratelimit": None,
            "ownerId": None,
            "identity": None,
        },
    ),
]


@pytest.mark.parametrize(("members", "differing"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_changes(home: Any, key: Any, members: dict[str, Any], differing: dict[str, Any]) -> None:
    """What is given is changed, null removes, and what is absent stays as it is."""
    before = home.show(key.id)
    assert home.ask("keys.updateKey", keyId=key.id, **members) == {}
    after = home.show(key.id)
    after.pop("updatedAt", None)
    assert after == {name: value for name, value in (before | differing).items() if value is not None}


@pytest.mark.parametrize("members", [("externalId",), ("ownerId",), ("externalId", "ownerId")])
@pytest.mark.parametrize("exists", [False, True])
def test_changing_the_identity(home: Any, key: Any, exists: bool, members: tuple[str, ...]) -> None:
    """An external id links its identity, made when there is none; `ownerId` is its alias and loses against it."""
    external_id = home.name("customer")
    identity_id = home.ask("identities.createIdentity", externalId=external_id)["identityId"] if exists else None
    home.ask("keys.updateKey", keyId=key.id, **{m: external_id if m == members[0] else "ignored" for m in members})
    shown = home.show(key.id)
    assert shown["ownerId"] == shown["identity"]["externalId"] == external_id
    assert identity_id in (None, shown["identity"]["id"])
    assert home.verify(key.secret)["ownerId"] == external_id
    assert home.call("identities.getIdentity", {"externalId": "ignored"}).status_code == 404


def test_a_first_ratelimit(home: Any, clock: Any) -> None:
    """A ratelimit given to a key that had none is automatic; limits of other names and of the identity stay."""
    identity_id, external_id = home.identity()
    key = home.key(externalId=external_id)
    home.limit_identity(identity_id, "default", 50, MINUTE_MS, auto_apply=True)
    home.limit_key(key.id, "other", 3, MINUTE_MS)
    home.ask("keys.updateKey", keyId=key.id, ratelimit={"limit": 5, "duration": 5000})
    assert home.verify(key.secret)["ratelimit"]["limit"] == 5
    home.ask("keys.updateKey", keyId=key.id, ratelimit=None)
    assert home.verify(key.secret)["ratelimit"]["limit"] == 50
    assert home.verify(home.key(externalId=external_id).secret)["ratelimit"] == home.verify(key.secret)["ratelimit"] | {
        "remaining": 48
    }
    assert home.verify(key.secret, ratelimits=[{"name": "other", "cost": 3}])["code"] == "VALID"


def test_a_limit_that_is_not_automatic_stays_so(home: Any, clock: Any) -> None:
    """Changing the limit `default` keeps whether it is automatic."""
    key = home.key()
    home.limit_key(key.id, "default", 5, MINUTE_MS, auto_apply=False)
    home.ask("keys.updateKey", keyId=key.id, ratelimit={"limit": 6})
    assert "ratelimit" not in home.verify(key.secret)
    assert home.verify(key.secret, ratelimits=[{"name": "default"}])["ratelimit"]["limit"] == 6


def test_refill_on_an_unlimited_key(home: Any, clock: Any) -> None:
    """A refill without `remaining` is accepted on an unlimited key, shown, and without a last refill."""
    key = home.key()
    home.ask("keys.updateKey", keyId=key.id, refill={"interval": "daily", "amount": 3})
    shown = home.show(key.id)
    assert shown["refill"] == {"interval": "daily", "amount": 3, "refillDay": None}
    assert "remaining" not in shown


def test_a_refill_changed_by_a_call_from_before_the_boundary(home: Any, clock: Any) -> None:
    """A call from just before midnight that gets its turn just after it does not have the key refilled once more."""
    refill = {"interval": "daily", "amount": 10}
    key = home.key(remaining=10, refill=refill)
    midnight_ms = (NOW_MS // DAY_MS + 1) * DAY_MS
    assert home.verify(key.secret)["remaining"] == 9
    clock.set(midnight_ms)
    assert home.verify(key.secret)["remaining"] == 9
    clock.set(midnight_ms - 1)
    home.ask("keys.updateKey", keyId=key.id, refill=refill)
    clock.set(midnight_ms + 1)
    assert home.verify(key.secret)["remaining"] == 8


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("refill of an unlimited key", {"remaining": None, "refill": {"interval": "monthly", "amount": 5}}, 400),
    ("daily with a day", {"refill": {"interval": "daily", "amount": 5, "refillDay": 4}}, 400),
    ("refill amount 0", {"refill": {"interval": "daily", "amount": 0}}, 400),
    ("remaining negative", {"remaining": -1}, 400),
    ("remaining beyond 32 bits", {"remaining": 2**31}, 400),
    ("enabled null", {"enabled": None}, 400),
    ("roles null", {"roles": None}, 400),
    ("permissions null", {"permissions": None}, 400),
    ("meta a list", {"meta": []}, 400),
    ("external id empty", {"externalId": ""}, 400),
    ("owner id empty", {"ownerId": ""}, 400),
    ("ratelimit without limit", {"ratelimit": {"duration": 1000}}, 400),
    ("ratelimit duration 0", {"ratelimit": {"limit": 1, "duration": 0}}, 400),
    ("role id too short", {"roles": [{"id": "ro"}]}, 400),
    ("permission name empty", {"permissions": [{"name": ""}]}, 400),
    ("only empty selectors", {"permissions": [{}]}, 400),
    ("only empty role selectors", {"roles": [{}, {"create": True}]}, 400),
    ("unknown role", {"roles": [{"name": "ghost"}]}, 404),
    ("unknown role id", {"roles": [{"id": "role_nope"}]}, 404),
    ("permission id as role", {"roles": [{"id": "perm_4TzYb6RnD5hJ8kWq"}]}, 404),
    ("unknown permission", {"permissions": [{"name": "ghost"}]}, 404),
    ("unknown permission id", {"permissions": [{"id": "perm_nope", "name": "kept.permission", "create": True}]}, 404),
]


@pytest.mark.parametrize(("members", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_changes(home: Any, key: Any, members: dict[str, Any], status: int) -> None:
    """What §3.6 refuses is refused and leaves nothing of the call behind, the members that were right included."""
    right = {"name": "second", "externalId": home.name("nobody"), "ratelimit": {"limit": 99}, "roles": []}
    before, audit = home.show(key.id), home.audit_length()
    response = home.call("keys.updateKey", {"keyId": key.id, **right, **members})
    assert response.status_code == status, response.text
    assert (home.show(key.id), home.audit_length()) == (before, audit)


@pytest.mark.parametrize(
    ("key_id", "held", "status"), [("key_nope", "*", 404), ("existing", "api.*.read_key", 403), ("existing", "*", 400)]
)
def test_order_of_refusals(home: Any, key: Any, key_id: str, held: str, status: int) -> None:
    """A missing key is told before a missing permission, and both before a contradiction in the request."""
    contradiction = {"remaining": None, "refill": {"interval": "monthly", "amount": 5}}
    body = {"keyId": key.id if key_id == "existing" else key_id, **contradiction}
    assert home.call("keys.updateKey", body, root=home.root_key(held)).status_code == status


def test_a_first_ratelimit_needs_a_duration(home: Any) -> None:
    """A ratelimit without duration is 400 on a key that has none to keep it from (Q26)."""
    key = home.key()
    response = home.call("keys.updateKey", {"keyId": key.id, "name": "second", "ratelimit": {"limit": 5}})
    assert response.status_code == 400
    assert "name" not in home.show(key.id)


@pytest.mark.parametrize(
    ("members", "held"),
    [
        ({"permissions": []}, []),
        ({"permissions": [{"name": "kept.permission"}], "roles": []}, ["rbac.*.remove_permission_from_key"]),
        ({"permissions": [], "roles": []}, ["rbac.*.remove_permission_from_key"]),
        (
            {"permissions": [{"name": "new.permission", "create": True}], "roles": []},
            ["rbac.*.remove_permission_from_key", "rbac.*.create_permission", "rbac.*.add_permission_to_key"],
        ),
    ],
)
def test_a_forbidden_part_undoes_the_whole(home: Any, key: Any, members: dict[str, Any], held: list[str]) -> None:
    """When the root key lacks a permission for part of the change, nothing is changed (Q17)."""
    root = home.root_key("api.*.update_key", *held)
    before, audit = home.show(key.id), home.audit_length()
    body = {"keyId": key.id, "name": "second", "remaining": 1, "externalId": home.name("nobody"), **members}
    response = home.call("keys.updateKey", body, root=root)
    assert response.status_code == 403
    assert (home.show(key.id), home.audit_length()) == (before, audit)
    assert home.call("keys.addPermissions", {"keyId": key.id, "permissions": [{"name": "new.permission"}]}).is_error


def test_audit_of_a_change(home: Any, key: Any) -> None:
    """An update leaves one entry for the key with each given member as JSON text, and one for each link."""
    before = home.audit()
    home.ask("keys.updateKey", keyId=key.id, name=None, meta={"a": [1]}, enabled=True, roles=[])
    update, detach = home.audit()[len(before) :]
    assert (update.event, detach.event) == ("key.update", "authorization.disconnect_role_and_key")
    assert [(r.type, r.id) for r in update.resources] == [("key", key.id)]
    assert update.resources[0].meta == {"name": "null", "meta": '{"a":[1]}', "enabled": "true", "roles": "[]"}
    assert [r.type for r in detach.resources] == ["role", "key"]
    home.ask("keys.updateKey", keyId=key.id)
    assert home.audit()[-1].event == "key.update"


# updateRemaining, §3.7

BALANCES: list[tuple[int | None, str, int | None, int | None | str]] = [
    # stored, operation, value → the balance, or the status of the refusal as text
    (100, "increment", 10, 110),
    (100, "increment", 0, 100),
    (100, "increment", -10, 90),
    (100, "increment", -101, 0),
    (100, "decrement", 10, 90),
    (100, "decrement", 100, 0),
    (100, "decrement", 101, 0),
    (100, "decrement", -10, 110),
    (100, "set", 5, 5),
    (100, "set", 0, 0),
    (100, "set", None, None),
    (None, "set", 5, 5),
    (None, "set", None, None),
    (100, "set", 2**31 - 1, 2**31 - 1),
    (100, "set", -1, "400"),
    (100, "set", 2**31, "400"),
    (100, "increment", 2**31 - 1, "400"),
    (100, "decrement", -(2**31), "400"),
    (100, "increment", None, "400"),
    (100, "decrement", None, "400"),
    (None, "increment", 1, "400"),
    (None, "decrement", 1, "400"),
    (None, "increment", None, "400"),
    (100, "XXX", 1, "400"),
]


@pytest.mark.parametrize(("stored", "op", "value", "expected"), BALANCES)
def test_balances(home: Any, stored: int | None, op: str, value: int | None, expected: Any) -> None:
    """The balance is set, raised or lowered, never below 0 or beyond 32 bits; what makes no sense is 400."""
    key = home.key(**({} if stored is None else {"remaining": stored}))
    response = home.call("keys.updateRemaining", {"keyId": key.id, "op": op, "value": value})
    if expected == "400":
        assert (response.status_code, response.json()["error"]["code"]) == (400, "BAD_REQUEST")
        assert home.show(key.id).get("remaining") == stored
    else:
        assert home.answer(response) == {"remaining": expected}
        assert home.show(key.id).get("remaining") == expected
        body = home.verify(key.secret, remaining={"cost": 0})
        assert (body["code"], body.get("remaining")) == ("VALID", expected)


@pytest.mark.parametrize("missing", ["op", "value"])
def test_members_of_update_remaining(home: Any, missing: str) -> None:
    """Both members are required, though the value may be null."""
    body = {"keyId": home.key(remaining=1).id, "op": "set", "value": 1}
    del body[missing]
    response = home.call("keys.updateRemaining", body)
    assert response.json()["error"]["message"] == f"{missing}: Required"


@pytest.mark.parametrize(
    ("op", "value", "refill"), [("set", 5, MONTHLY), ("increment", 1, MONTHLY), ("set", None, None)]
)
def test_refill_after_update_remaining(home: Any, key: Any, op: str, value: int | None, refill: Any) -> None:
    """The refill stays, unless the key becomes unlimited (D5)."""
    home.ask("keys.updateRemaining", keyId=key.id, op=op, value=value)
    assert home.show(key.id).get("refill") == refill
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=1)
    assert home.show(key.id).get("refill") == refill


def test_audit_of_update_remaining(home: Any, key: Any) -> None:
    """A changed balance leaves one entry about the keyspace and the key."""
    before = home.audit()
    home.ask("keys.updateRemaining", keyId=key.id, op="set", value=5)
    (entry,) = home.audit()[len(before) :]
    assert entry.event == "key.update"
    assert [(r.type, r.id) for r in entry.resources] == [
        ("keyAuth", home.record(key.id).keyspace_id),
        ("key", key.id),
    ]


# updatedAt, §3.16

UPDATED: list[tuple[str, dict[str, Any], bool]] = [
    ("keys.updateKey", {}, False),
    ("keys.updateKey", {"name": "first"}, True),
    ("keys.updateKey", {"name": None}, True),
    ("keys.updateKey", {"externalId": None}, True),
    ("keys.updateKey", {"ownerId": "somebody"}, True),
    ("keys.updateKey", {"meta": None}, True),
    ("keys.updateKey", {"expires": None}, True),
    ("keys.updateKey", {"remaining": 5}, True),
    ("keys.updateKey", {"refill": None}, True),
    ("keys.updateKey", {"enabled": True}, True),
    ("keys.updateKey", {"ratelimit": {"limit": 3}}, False),
    ("keys.updateKey", {"ratelimit": None, "roles": [], "permissions": []}, False),
    ("keys.updateRemaining", {"op": "set", "value": 5}, True),
    ("keys.addPermissions", {"permissions": [{"name": "another.permission", "create": True}]}, False),
    ("keys.removePermissions", {"permissions": [{"name": "kept.permission"}]}, False),
    ("keys.setPermissions", {"permissions": [{"name": "another.permission", "create": True}]}, False),
    ("keys.addRoles", {"roles": [{"name": "another role", "create": True}]}, False),
    ("keys.removeRoles", {"roles": [{"name": "kept role"}]}, False),
    ("keys.setRoles", {"roles": [{"name": "another role", "create": True}]}, False),
]


@pytest.mark.parametrize(("operation", "members", "is_update"), UPDATED)
def test_updated_at(home: Any, key: Any, operation: str, members: dict[str, Any], is_update: bool) -> None:
    """`updatedAt` is the instant of the last change of the record itself; links and limits are not part of it."""
    assert "updatedAt" not in home.show(key.id)
    home.ask(operation, keyId=key.id, **members)
    assert home.show(key.id).get("updatedAt") == (LATER_MS if is_update else None)


def test_updated_at_of_a_deleted_key(home: Any, key: Any, server: Any) -> None:
    """A soft deletion is a change of the record."""
    hash_ = home.record(key.id).hash
    home.ask("keys.deleteKey", keyId=key.id)
    record = server.read(lambda tx: tx.keys.by_hash(hash_))
    assert (record.updated_at_ms, record.deleted_at_ms) == (LATER_MS, LATER_MS)


def test_updated_at_of_a_refill(home: Any, clock: Any) -> None:
    """A refill changes the record as of its boundary."""
    key = home.key(remaining=1, refill={"interval": "daily", "amount": 3})
    clock.advance(DAY_MS)
    assert home.show(key.id)["updatedAt"] == (NOW_MS // DAY_MS + 1) * DAY_MS
