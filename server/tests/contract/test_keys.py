"""Showing, deleting and creating keys (keys-v1 §3.1 to §3.4, §5)."""

import re
from typing import Any

import pytest

from keystead.core.entities import Api
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.secrets import hash_secret
from keystead.testing.server import NOW_MS

MINUTE_MS = 60_000
DAY_MS = 86_400_000
BASE58 = "[1-9A-HJ-NP-Za-km-z]"


def refusal(response: Any) -> tuple[int, str]:
    """Status and message of an error."""
    return response.status_code, response.json()["error"]["message"]


def events_since(home: Any, before: list[Any]) -> list[str]:
    """The audit events that came after `before`."""
    return [entry.event for entry in home.audit()[len(before) :]]


# getKey, §3.1


def test_key_with_everything(home: Any, clock: Any) -> None:
    """A key object shows every member that has a value; permissions are names, directly attached ones only (Q21)."""
    shown, slug, (_, role) = home.name("shown"), home.name("slug"), home.role("inherited.only")
    home.ask("permissions.createPermission", name=shown, slug=slug)
    identity_id, external_id = home.identity(meta={"tier": 3})
    key = home.key(
        prefix="acme",
        name="billing worker",
        externalId=external_id,
        meta={"plan": "pro"},
        roles=[role],
        permissions=[slug],
        expires=NOW_MS + DAY_MS,
        remaining=500,
        refill={"interval": "monthly", "amount": 500, "refillDay": 15.0},
        ratelimit={"limit": 10, "duration": MINUTE_MS, "async": True, "type": "fast"},
        environment="live",
    )
    assert home.show(key.id) == {
        "id": key.id,
        "start": key.secret[:9],
        "apiId": home.api_id,
        "workspaceId": home.id,
        "name": "billing worker",
        "ownerId": external_id,
        "meta": {"plan": "pro"},
        "createdAt": NOW_MS,
        "expires": NOW_MS + DAY_MS,
        "remaining": 500,
        "refill": {"interval": "monthly", "amount": 500, "refillDay": 15, "lastRefillAt": NOW_MS},
        "ratelimit": {
            "async": False,
            "limit": 10,
            "duration": MINUTE_MS,
            "refillRate": 10,
            "refillInterval": MINUTE_MS,
        },
        "roles": [role],
        "permissions": [shown],
        "enabled": True,
        "identity": {"id": identity_id, "externalId": external_id, "meta": {"tier": 3}},
    }


def test_key_with_nothing(home: Any, clock: Any) -> None:
    """Members without a value are left out, and only those."""
    key = home.key()
    assert home.show(key.id) == {
        "id": key.id,
        "start": key.secret[:5],
        "apiId": home.api_id,
        "workspaceId": home.id,
        "createdAt": NOW_MS,
        "roles": [],
        "permissions": [],
        "enabled": True,
    }


def test_empty_values_count_as_set(home: Any) -> None:
    """An empty name and an empty meta are shown; a daily refill has the day null."""
    key = home.key(name="", meta={}, remaining=3, refill={"interval": "daily", "amount": 100})
    shown = home.show(key.id)
    assert (shown["name"], shown["meta"], shown["refill"]["refillDay"]) == ("", {}, None)
    assert shown["refill"]["interval"] == "daily"


def test_limits_of_other_names_are_not_the_keys_ratelimit(home: Any) -> None:
    """The member `ratelimit` is the key's own `default`, neither another limit nor the identity's."""
    identity_id, external_id = home.identity()
    home.limit_identity(identity_id, "default", 5, MINUTE_MS, auto_apply=True)
    key = home.key(externalId=external_id)
    home.limit_key(key.id, "other", 5, MINUTE_MS, auto_apply=True)
    assert "ratelimit" not in home.show(key.id)


@pytest.mark.parametrize("members", [{"enabled": False}, {"expires": 1}])
def test_unusable_keys_are_shown(home: Any, members: dict[str, Any]) -> None:
    """Disabled and expired keys are shown as any other."""
    assert members.items() <= home.show(home.key(**members).id).items()


@pytest.mark.parametrize(
    ("word", "is_true"),
    [
        ("true", True),
        ("1", True),
        ("yes", True),
        ("anything", True),
        ("false", False),
        ("FALSE", False),
        ("0", False),
        ("no", False),
        ("Off", False),
        ("", False),
        (None, False),
    ],
)
def test_words_for_decrypt(home: Any, word: str | None, is_true: bool) -> None:
    """The plaintext is shown when `decrypt` says so; `false` and its like are false (D9)."""
    key = home.key(apiId=home.api(storeEncryptedKeys=True), recoverable=True)
    query = {"keyId": key.id} | ({} if word is None else {"decrypt": word})
    shown = home.ask("keys.getKey", **query)
    assert shown.get("plaintext") == (key.secret if is_true else None)


def test_decrypting_what_is_not_recoverable(home: Any) -> None:
    """Asking for the plaintext of a key that does not keep it is no error."""
    key = home.key(apiId=home.api(storeEncryptedKeys=True))
    assert "plaintext" not in home.ask("keys.getKey", keyId=key.id, decrypt=True)


# whoami, §3.2


def test_whoami_with_everything(home: Any, clock: Any) -> None:
    """Whoami shows every member that has a value; the identity comes without meta."""
    identity_id, external_id = home.identity(meta={"tier": 3})
    key = home.key(
        name="billing worker", remaining=500, externalId=external_id, meta={"plan": "pro"}, environment="live"
    )
    assert home.ask("keys.whoami", key=key.secret) == {
        "id": key.id,
        "name": "billing worker",
        "remaining": 500,
        "identity": {"id": identity_id, "externalId": external_id},
        "meta": {"plan": "pro"},
        "createdAt": NOW_MS,
        "enabled": True,
        "environment": "live",
    }


@pytest.mark.parametrize("meta", [{}, {"meta": {}}])
def test_whoami_with_nothing(home: Any, clock: Any, meta: dict[str, Any]) -> None:
    """Whoami leaves out what has no value, an empty meta too (Q22)."""
    key = home.key(**meta)
    assert home.ask("keys.whoami", key=key.secret) == {"id": key.id, "createdAt": NOW_MS, "enabled": True}


def test_whoami_costs_nothing(home: Any, clock: Any) -> None:
    """Whoami takes from neither limits nor credits, and answers for keys that verification refuses."""
    key = home.key(remaining=1, ratelimit={"limit": 1, "duration": MINUTE_MS}, enabled=False, expires=1)
    for _ in range(3):
        answer = home.ask("keys.whoami", key=key.secret)
        assert (answer["remaining"], answer["enabled"]) == (1, False)


@pytest.mark.parametrize("permanent", [None, False, True])
def test_whoami_of_unknown_keys(home: Any, permanent: bool | None) -> None:
    """Unknown and deleted secrets are 404, and the message does not repeat them."""
    key = home.key()
    secret = key.secret
    if permanent is None:
        secret = "acme_unknown"
    else:
        home.ask("keys.deleteKey", keyId=key.id, permanent=permanent)
    assert refusal(home.call("keys.whoami", {"key": secret})) == (404, "Key not found")


# deleteKey, §3.3


@pytest.mark.parametrize("members", [{}, {"permanent": False}, {"permanent": True}])
def test_deleting(home: Any, members: dict[str, Any]) -> None:
    """A deleted key is gone for every operation at once, a second deletion too; one audit entry tells of it."""
    key = home.key(name="doomed")
    before = home.audit()
    assert home.ask("keys.deleteKey", keyId=key.id, **members) == {}
    assert events_since(home, before) == ["key.delete"]
    (resource,) = home.audit()[-1].resources
    assert (resource.type, resource.id, resource.name) == ("key", key.id, "doomed")
    for operation, body in [
        ("keys.deleteKey", {"permanent": True}),
        ("keys.getKey", {}),
        ("keys.updateKey", {}),
        ("keys.updateRemaining", {"op": "set", "value": 1}),
        ("keys.getVerifications", {}),
        ("keys.addPermissions", {"permissions": [{}]}),
        ("keys.removeRoles", {"roles": [{}]}),
        ("keys.setRoles", {"roles": [{}]}),
    ]:
        response = home.call(operation, {"keyId": key.id, **body})
        assert refusal(response) == (404, f"key {key.id} not found"), operation
    assert events_since(home, before) == ["key.delete"]


@pytest.mark.parametrize("permanent", [False, True])
def test_hash_of_a_deleted_key(home: Any, server: Any, permanent: bool) -> None:
    """A softly deleted key keeps its hash for good, a permanently deleted one gives it back (Q31)."""
    key = home.key()
    record = home.record(key.id)
    home.ask("keys.deleteKey", keyId=key.id, permanent=permanent)
    if permanent:
        server.write(lambda tx: tx.keys.insert(record))
        assert home.verify(key.secret)["code"] == "VALID"
    else:
        with pytest.raises(KeysteadError) as caught:
            server.write(lambda tx: tx.keys.insert(record))
        assert caught.value.code is ErrorCode.CONFLICT


def test_permanent_deletion_takes_everything_along(home: Any) -> None:
    """What belonged to a permanently deleted key is gone from every table; permissions, roles and identity stay."""
    (_, slug), (_, role), (identity_id, external_id) = home.permission(), home.role(), home.identity()
    key = home.key(
        apiId=home.api(storeEncryptedKeys=True),
        recoverable=True,
        permissions=[slug],
        roles=[role],
        externalId=external_id,
        ratelimit={"limit": 1, "duration": 1000},
    )
    assert set(home.rows_about(key.id).values()) == {1}
    home.ask("keys.deleteKey", keyId=key.id, permanent=True)
    assert set(home.rows_about(key.id).values()) == {0}
    assert home.ask("identities.getIdentity", identityId=identity_id)["externalId"] == external_id
    home.ask("keys.addPermissions", keyId=home.key().id, permissions=[{"slug": slug}])
    home.ask("keys.addRoles", keyId=home.key().id, roles=[{"name": role}])


# createKey, §3.4


@pytest.mark.parametrize(
    ("byte_length", "characters", "beginning"),
    [(None, 24, "3Z"), (16, 24, "3Z"), (18, 26, "s"), (24, 35, "2"), (32, 46, "2U"), (64, 89, "V"), (255, 350, "Q")],
)
@pytest.mark.parametrize("prefix", [None, "", "acme", "a_b", "p" * 16])
def test_secrets(home: Any, byte_length: int | None, characters: int, beginning: str, prefix: str | None) -> None:
    """A secret is its prefix and a base58 text whose length and beginning follow from the byte length (§5.1)."""
    members = {"prefix": prefix, "byteLength": byte_length}
    key = home.key(**{name: value for name, value in members.items() if value is not None})
    lead = f"{prefix}_" if prefix else ""
    assert key.secret.startswith(lead + beginning)
    assert re.fullmatch(f"{BASE58}{{{characters}}}", key.secret.removeprefix(lead))
    assert re.fullmatch(f"key_{BASE58}+", key.id)
    assert home.show(key.id)["start"] == key.secret[: len(prefix or "") + 5]
    assert home.record(key.id).hash == hash_secret(key.secret)


@pytest.mark.parametrize(
    ("settings", "members", "lead", "characters", "start"),
    [
        ({"defaultPrefix": "dflt"}, {}, "dflt_", 24, 5),
        ({"defaultPrefix": "dflt"}, {"prefix": "own"}, "own_", 24, 8),
        ({"defaultPrefix": "dflt"}, {"prefix": ""}, "", 24, 5),
        ({"defaultBytes": 32}, {}, "", 46, 5),
        ({"defaultBytes": 32}, {"byteLength": 16}, "", 24, 5),
        ({"defaultPrefix": "dflt", "defaultBytes": 24}, {}, "dflt_", 35, 5),
    ],
)
def test_defaults_of_the_api(
    home: Any, settings: dict[str, Any], members: dict[str, Any], lead: str, characters: int, start: int
) -> None:
    """An api's default prefix and byte count apply where the request says nothing; they do not lengthen `start`."""
    key = home.key(apiId=home.api(**settings), **members)
    assert key.secret.startswith(lead)
    assert len(key.secret) == len(lead) + characters
    assert home.show(key.id)["start"] == key.secret[:start]


def test_each_call_makes_another_key(home: Any) -> None:
    """The same body twice makes two keys with two secrets."""
    first, second = home.key(name="same"), home.key(name="same")
    assert first.id != second.id
    assert first.secret != second.secret


# Members of createKey and what getKey shows of them, None for left out.
CREATED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("past expiry", {"expires": 1}, {"expires": 1}),
    ("expiry 0 is none", {"expires": 0}, {"expires": None}),
    ("disabled", {"enabled": False}, {"enabled": False}),
    ("enabled", {"enabled": True}, {"enabled": True}),
    ("name of 256", {"name": "n" * 256}, {"name": "n" * 256}),
    ("remaining", {"remaining": 1}, {"remaining": 1, "refill": None}),
    ("largest remaining", {"remaining": 2**31 - 1}, {"remaining": 2**31 - 1}),
    (
        "daily refill",
        {"remaining": 1, "refill": {"interval": "daily", "amount": 5}},
        {"refill": {"interval": "daily", "amount": 5, "refillDay": None, "lastRefillAt": NOW_MS}},
    ),
    (
        "monthly refill, first by default",
        {"remaining": 1, "refill": {"interval": "monthly", "amount": 5}},
        {"refill": {"interval": "monthly", "amount": 5, "refillDay": 1, "lastRefillAt": NOW_MS}},
    ),
    (
        "deprecated refillInterval",
        {"ratelimit": {"limit": 5, "refillInterval": 700, "refillRate": 9, "type": "consistent"}},
        {"ratelimit": {"async": False, "limit": 5, "duration": 700, "refillRate": 5, "refillInterval": 700}},
    ),
    (
        "duration beats refillInterval",
        {"ratelimit": {"limit": 5, "refillInterval": 700, "duration": 1000}},
        {"ratelimit": {"async": False, "limit": 5, "duration": 1000, "refillRate": 5, "refillInterval": 1000}},
    ),
    ("empty lists", {"roles": [], "permissions": []}, {"roles": [], "permissions": []}),
    ("no updatedAt", {"remaining": 5}, {"updatedAt": None}),
    ("environment is not shown", {"environment": "live"}, {"environment": None}),
]


@pytest.mark.parametrize(("members", "shown"), [case[1:] for case in CREATED], ids=[case[0] for case in CREATED])
def test_created_members(home: Any, clock: Any, members: dict[str, Any], shown: dict[str, Any]) -> None:
    """What createKey is given is what getKey shows, with the defaults of §3.4."""
    key = home.show(home.key(**members).id)
    assert {name: key.get(name) for name in shown} == shown


@pytest.mark.parametrize("members", [("externalId",), ("ownerId",), ("externalId", "ownerId")])
def test_identity_of_a_new_key(home: Any, members: tuple[str, ...]) -> None:
    """An external id links the identity, made at the first time; `ownerId` is its alias and loses against it."""
    named = home.name("customer")
    body = {member: named if member == members[0] else "ignored" for member in members}
    before = home.audit()
    first = home.show(home.key(**body).id)
    assert events_since(home, before) == ["identity.create", "key.create"]
    second = home.show(home.key(**body).id)
    assert first["ownerId"] == first["identity"]["externalId"] == named
    assert first["identity"] == second["identity"] | {"meta": {}}
    assert home.call("identities.getIdentity", {"externalId": "ignored"}).status_code == 404


def test_external_ids_are_compared_exactly(home: Any) -> None:
    """Two spellings of an external id are two identities (§1.5)."""
    external_id = home.name("customer")
    shown = [home.show(home.key(externalId=spelling).id) for spelling in (external_id, external_id.upper())]
    assert shown[0]["identity"]["id"] != shown[1]["identity"]["id"]


@pytest.mark.parametrize("kind", ["permission", "role"])
def test_named_permissions_and_roles(home: Any, kind: str) -> None:
    """Existing names are attached, missing ones made, each once however often it is listed (Q33)."""
    existing = (home.permission() if kind == "permission" else home.role())[1]
    new = home.name("new")
    before = home.audit()
    key = home.key(**{f"{kind}s": [existing, new, existing, new]})
    assert home.verify(key.secret)[f"{kind}s"] == [existing, new]
    link = f"authorization.connect_{kind}_and_key"
    assert sorted(events_since(home, before)) == sorted(["key.create", f"{kind}.create", link, link])
    assert home.verify(home.key(**{f"{kind}s": [new]}).secret)[f"{kind}s"] == [new]


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("remaining 0", {"remaining": 0}, 400),
    ("remaining negative", {"remaining": -1}, 400),
    ("remaining beyond 32 bits", {"remaining": 2**31}, 400),
    ("refill without remaining", {"refill": {"interval": "daily", "amount": 5}}, 400),
    ("daily with a day", {"remaining": 1, "refill": {"interval": "daily", "amount": 5, "refillDay": 4}}, 400),
    ("day 0", {"remaining": 1, "refill": {"interval": "monthly", "amount": 5, "refillDay": 0}}, 400),
    ("day 32", {"remaining": 1, "refill": {"interval": "monthly", "amount": 5, "refillDay": 32}}, 400),
    ("day a fraction", {"remaining": 1, "refill": {"interval": "monthly", "amount": 5, "refillDay": 1.5}}, 400),
    ("refill amount 0", {"remaining": 1, "refill": {"interval": "daily", "amount": 0}}, 400),
    ("refill by week", {"remaining": 1, "refill": {"interval": "weekly", "amount": 5}}, 400),
    ("15 bytes", {"byteLength": 15}, 400),
    ("256 bytes", {"byteLength": 256}, 400),
    ("bytes as text", {"byteLength": "16"}, 400),
    ("prefix of 17", {"prefix": "p" * 17}, 400),
    ("name null", {"name": None}, 400),
    ("name of 257", {"name": "n" * 257}, 400),
    ("ratelimit without limit", {"ratelimit": {"type": "x"}}, 400),
    ("ratelimit without duration", {"ratelimit": {"limit": 5}}, 400),
    ("ratelimit of 999 ms", {"ratelimit": {"limit": 5, "duration": 999}}, 400),
    ("ratelimit of limit 0", {"ratelimit": {"limit": 0, "duration": 1000}}, 400),
    ("ratelimit beyond 32 bits", {"ratelimit": {"limit": 2**31, "duration": 1000}}, 400),
    ("ratelimit of another type", {"ratelimit": {"limit": 5, "duration": 1000, "type": "x"}}, 400),
    ("meta a list", {"meta": [1]}, 400),
    ("meta null", {"meta": None}, 400),
    ("meta too large", {"meta": {"a": "x" * 65_535}}, 400),
    ("role without name", {"roles": [""]}, 400),
    ("role name of 513", {"roles": ["r" * 513]}, 400),
    ("permission slug of 129", {"permissions": ["p" * 129]}, 400),
    ("external id empty", {"externalId": ""}, 400),
    ("owner id empty", {"ownerId": ""}, 400),
    ("expires null", {"expires": None}, 400),
    ("expires beyond the year 9999", {"expires": 253_402_300_800_000}, 400),
    ("enabled null", {"enabled": None}, 400),
    ("enabled a number", {"enabled": 1}, 400),
    ("environment of 257", {"environment": "e" * 257}, 400),
    ("recoverable where secrets are not kept", {"recoverable": True}, 412),
    ("unknown api", {"apiId": "api_nope"}, 404),
    ("api empty", {"apiId": ""}, 404),
]


@pytest.mark.parametrize(("members", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_creations(home: Any, members: dict[str, Any], status: int) -> None:
    """What §3.4 refuses is refused, and leaves nothing behind."""
    before = home.audit_length()
    response = home.call("keys.createKey", {"apiId": home.api_id, "externalId": home.name("nobody"), **members})
    assert response.status_code == status, response.text
    code = {400: "BAD_REQUEST", 404: "NOT_FOUND", 412: "PRECONDITION_FAILED"}[status]
    assert response.json()["error"]["code"] == code
    assert home.audit_length() == before


def test_api_without_keyspace(home: Any, server: Any) -> None:
    """An api that can not hold keys is 412."""
    api = Api(home.name("api"), home.id, "bare", NOW_MS, None)
    server.write(lambda tx: tx.apis.insert(api))
    response = home.call("keys.createKey", {"apiId": api.id})
    assert (response.status_code, response.json()["error"]["code"]) == (412, "PRECONDITION_FAILED")


@pytest.mark.parametrize(
    ("members", "held"),
    [
        ({"roles": ["never.made"]}, ["rbac.*.create_permission"]),
        ({"permissions": ["never.made"]}, ["rbac.*.create_role"]),
    ],
)
def test_a_refused_creation_leaves_nothing(home: Any, members: dict[str, Any], held: list[str]) -> None:
    """What was already made of a key when the last permission is found missing is taken back (Q17)."""
    external_id, slug, role = home.name("nobody"), home.name("permission"), home.name("role")
    body = {"permissions": [slug] if "rbac.*.create_permission" in held else [], "roles": []} | members
    if "rbac.*.create_role" in held:
        body["roles"] = [role]
    root = home.root_key("api.*.create_key", *held)
    before = home.audit_length()
    response = home.call("keys.createKey", {"apiId": home.api_id, "externalId": external_id, **body}, root=root)
    assert response.status_code == 403
    assert home.audit_length() == before
    assert home.call("identities.getIdentity", {"externalId": external_id}).status_code == 404
    key_id = home.key().id
    for operation, selectors in [
        ("keys.addPermissions", {"permissions": [{"name": slug}]}),
        ("keys.addRoles", {"roles": [{"name": role}]}),
    ]:
        assert home.call(operation, {"keyId": key_id, **selectors}).status_code == 404


@pytest.mark.parametrize(
    ("members", "held", "status"),
    [
        ({"apiId": "api_nope", "recoverable": True}, ["api.*.create_key"], 404),
        ({"recoverable": True, "remaining": 0}, ["api.*.create_key"], 412),
        ({"remaining": 0, "permissions": ["never.made"]}, ["api.*.create_key"], 400),
        ({"apiId": "keeping", "recoverable": True, "remaining": 0}, ["api.*.create_key"], 400),
        ({"apiId": "keeping", "recoverable": True, "permissions": ["never.made"]}, ["api.*.create_key"], 403),
        ({"apiId": "api_nope"}, ["api.*.read_key"], 403),
    ],
)
def test_order_of_refusals(home: Any, members: dict[str, Any], held: list[str], status: int) -> None:
    """Of several things wrong with a creation, the first in the steps of §3.4 is told."""
    body = {"apiId": home.api_id, **members}
    if body["apiId"] == "keeping":
        body["apiId"] = home.api(storeEncryptedKeys=True)
    assert home.call("keys.createKey", body, root=home.root_key(*held)).status_code == status


def test_audit_of_a_creation(home: Any, clock: Any) -> None:
    """A creation leaves one entry for the key, each thing made and each link, about the objects of Appendix B."""
    external_id, slug, role = home.name("customer"), home.name("permission"), home.name("role")
    before = home.audit()
    response = home.call(
        "keys.createKey",
        {"apiId": home.api_id, "name": "n", "externalId": external_id, "permissions": [slug], "roles": [role]},
        **{"User-Agent": "tester", "X-Forwarded-For": "192.0.2.9"},
    )
    made = home.answer(response)
    entries = {entry.event: entry for entry in home.audit()[len(before) :]}
    resources = {event: [resource.type for resource in entry.resources] for event, entry in entries.items()}
    assert resources == {
        "identity.create": ["identity"],
        "key.create": ["key", "keyAuth"],
        "permission.create": ["permission"],
        "authorization.connect_permission_and_key": ["permission", "key"],
        "role.create": ["role"],
        "authorization.connect_role_and_key": ["role", "key"],
    }
    assert entries["key.create"].resources[0].id == made["keyId"]
    assert entries["permission.create"].resources[0].meta == {"name": slug}
    assert entries["role.create"].resources[0].meta == {"name": role}
    for entry in entries.values():
        assert (entry.actor_type, entry.actor_id, entry.time_ms) == ("key", home.root.id, NOW_MS)
        assert (entry.location, entry.user_agent) == ("192.0.2.9", "tester")
        assert made["key"] not in repr(entry)
