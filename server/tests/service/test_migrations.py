"""Keys imported at once, all or none (contract other-v1 §5.1, DECISIONS D8)."""

from typing import Any

import pytest
import structlog
from msgspec import UNSET

from keystead.contract.migrations import KeyHash, MigratedKey
from keystead.core.secrets import hash_secret

CREATE = "migrations.createKeys"
ENQUEUE = "migrations.enqueueKeys"
NOT_ALLOWED = (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
BAD = (400, "BAD_REQUEST")
CONTRACT_KEY, CONTRACT_HASH = "acme_live_7Qm2xZt9", "oDhEXkwewopZEnHZEfFwJJ8rUcZaJYzql2vPg2L/7D4="


def hashed(secret: str) -> dict[str, Any]:
    return {"hash": {"value": hash_secret(secret), "variant": "sha256_base64"}}


def item(tenant: Any, secret: str, **members: Any) -> dict[str, Any]:
    return {"apiId": tenant.api_id, **hashed(secret), **members}


def create(tenant: Any, *items: dict[str, Any]) -> list[str]:
    ids: list[str] = tenant.answer(tenant.call(CREATE, list(items)))["keyIds"]
    return ids


def count(tenant: Any) -> int:
    total: int = tenant.ask("apis.listKeys", apiId=tenant.api_id)["total"]
    return total


def test_an_imported_hash_verifies_like_any_other(tenant: Any) -> None:
    """The contract's own example, and the key was not known a moment before (§5)."""
    assert tenant.verify(CONTRACT_KEY)["code"] == "NOT_FOUND"
    given = {"apiId": tenant.api_id, "hash": {"value": CONTRACT_HASH, "variant": "sha256_base64"}}
    (key_id,) = create(tenant, given)
    assert tenant.verify(CONTRACT_KEY) | {"requestId": ""} == {
        "valid": True,
        "code": "VALID",
        "requestId": "",
        "keyId": key_id,
        "enabled": True,
        "permissions": [],
        "roles": [],
    }


def test_everything_an_item_says_is_kept(tenant: Any) -> None:
    """Each member shows in the listing; `prefix` does not, and `expires` 0 is never (§5.1)."""
    tenant.ask("permissions.createRole", name="billing admin")
    tenant.ask("permissions.createPermission", name="invoice.read")
    (key_id,) = create(
        tenant,
        item(
            tenant,
            "one",
            start="acme_live_7Qm2",
            prefix="acme",
            name="legacy 1",
            externalId="cust_77",
            meta={"plan": "gold"},
            roles=["billing admin"],
            permissions=["invoice.read"],
            expires=4_000_000_000_000,
            remaining=500,
            refill={"interval": "monthly", "amount": 600, "refillDay": 15.0},
            ratelimit={"limit": 20, "refillRate": 1, "refillInterval": 60_000, "type": "consistent", "async": True},
            enabled=False,
            environment="test",
        ),
    )
    (key,) = tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]
    assert (key["identity"].pop("id")[:3], key["identity"]) == ("id_", {"externalId": "cust_77", "meta": {}})
    assert key | {"identity": None} == {
        "id": key_id,
        "start": "acme_live_7Qm2",
        "apiId": tenant.api_id,
        "workspaceId": tenant.id,
        "createdAt": key["createdAt"],
        "name": "legacy 1",
        "ownerId": "cust_77",
        "meta": {"plan": "gold"},
        "roles": ["billing admin"],
        "permissions": ["invoice.read"],
        "expires": 4_000_000_000_000,
        "remaining": 500,
        "refill": {"interval": "monthly", "amount": 600, "refillDay": 15, "lastRefillAt": key["createdAt"]},
        "ratelimit": {"async": False, "limit": 20, "duration": 60_000, "refillRate": 20, "refillInterval": 60_000},
        "enabled": False,
        "environment": "test",
        "identity": None,
    }
    create(tenant, item(tenant, "two", expires=0))
    assert tenant.verify("two")["valid"]


def test_an_imported_ratelimit_applies_by_itself(tenant: Any) -> None:
    """It is the limit `default`, taken from by every verification (D8)."""
    create(tenant, item(tenant, "limited", ratelimit={"limit": 2, "refillRate": 9, "refillInterval": 60_000}))
    assert [tenant.verify("limited")["code"] for _ in range(3)] == ["VALID", "VALID", "RATE_LIMITED"]


def test_refills_of_imported_keys(tenant: Any) -> None:
    """Monthly without a day is the first; a daily refill has none (§5.1)."""
    create(
        tenant,
        item(tenant, "monthly", name="monthly", remaining=1, refill={"interval": "monthly", "amount": 5}),
        item(tenant, "daily", name="daily", remaining=1, refill={"interval": "daily", "amount": 5}),
    )
    keys = tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]
    assert {key["name"]: key["refill"]["refillDay"] for key in keys} == {"monthly": 1, "daily": None}


def test_a_plaintext_is_hashed_and_kept_sealed(tenant: Any) -> None:
    """It beats the hash beside it, can be decrypted though the api keeps no secrets, and gives the start (§5.1)."""
    (key_id,) = create(tenant, item(tenant, "the hash beside it", plaintext="old-token-0001"))
    assert tenant.verify("old-token-0001")["keyId"] == key_id
    assert tenant.verify("the hash beside it")["code"] == "NOT_FOUND"
    shown = tenant.ask("keys.getKey", keyId=key_id, decrypt=True)
    assert (shown["plaintext"], shown["start"]) == ("old-token-0001", "old-")
    (listed,) = tenant.ask("apis.listKeys", apiId=tenant.api_id, decrypt=True)["keys"]
    assert listed["plaintext"] == "old-token-0001"


def test_a_hundred_keys_come_in_order(tenant: Any) -> None:
    """The ids are in the order of the items; 101 are refused and `[]` is an empty list (§10)."""
    secrets = [tenant.name("secret") for _ in range(100)]
    ids = create(tenant, *(item(tenant, secret) for secret in secrets))
    assert [tenant.verify(secret)["keyId"] for secret in secrets] == ids
    failure = tenant.refused(CREATE, [item(tenant, tenant.name("secret")) for _ in range(101)])
    assert failure[:2] == BAD
    assert failure.message.startswith(": ")
    assert create(tenant) == []


def test_each_new_external_id_gets_one_identity(tenant: Any) -> None:
    """However many keys name it; an existing one is linked, an empty one is none (§5.1, §9)."""
    known = tenant.ask("identities.createIdentity", externalId="known", meta={"plan": "gold"})["identityId"]
    wanted = {"a": "fresh", "b": "fresh", "c": "known", "d": ""}
    create(tenant, *(item(tenant, secret, externalId=external_id) for secret, external_id in wanted.items()))
    identities = {secret: tenant.verify(secret).get("identity") for secret in wanted}
    assert identities["a"] == identities["b"] == {"id": identities["a"]["id"], "externalId": "fresh", "meta": {}}
    assert identities["c"] == {"id": known, "externalId": "known", "meta": {"plan": "gold"}}
    assert identities["d"] is None
    assert tenant.ask("identities.listIdentities")["total"] == 2
    create(tenant, item(tenant, "owned", ownerId="the owner"))
    assert tenant.verify("owned")["ownerId"] == "the owner"
    assert tenant.ask("identities.listIdentities")["total"] == 2


def test_permissions_are_found_by_slug_then_by_name(tenant: Any) -> None:
    """A slug beats a name; what is named twice is attached once (§9.7, §9.9)."""
    for name, slug in (("shown.one", "slug.one"), ("slug.one", "slug.two"), ("shown.two", "slug.three")):
        tenant.ask("permissions.createPermission", name=name, slug=slug)
        tenant.server.clock.advance(1)
    tenant.ask("permissions.createPermission", name="shown.two", slug="slug.four")
    tenant.ask("permissions.createRole", name="reader")
    create(
        tenant,
        item(tenant, "by slug", permissions=["slug.one"]),
        item(tenant, "by name", permissions=["shown.two"]),
        item(tenant, "twice", permissions=["slug.one", "shown.one", "slug.one"], roles=["reader", "reader"]),
    )
    assert tenant.verify("by slug")["permissions"] == ["slug.one"]
    assert tenant.verify("by name")["permissions"] == ["slug.three"], "the oldest of a name"
    twice = tenant.verify("twice")
    assert (twice["permissions"], twice["roles"]) == (["slug.one"], ["reader"])


def test_every_import_is_in_the_audit_log(tenant: Any) -> None:
    """One entry for each key, identity and link, in the caller's name."""
    permission_id = tenant.ask("permissions.createPermission", name="invoice.read")["permissionId"]
    role_id = tenant.ask("permissions.createRole", name="reader")["roleId"]
    tenant.clear_audit()
    members = {"externalId": "cust_77", "permissions": ["invoice.read"], "roles": ["reader"]}
    ids = create(tenant, item(tenant, "first", **members), item(tenant, "second", **members))
    happened = tenant.events()
    assert len(happened.pop("identity.create")) == 1
    assert happened == {
        "key.create": ids,
        "authorization.connect_permission_and_key": [permission_id] * 2,
        "authorization.connect_role_and_key": [role_id] * 2,
    }
    assert {entry.actor_type for entry in tenant.audit()} == {"key"}


# what is refused


def test_a_body_that_is_no_array_is_refused(tenant: Any) -> None:
    """Another content type counts as `{}`, which is no array; so does a missing one (§0.5)."""
    expected = ": Expected array, received object"
    for options in ({"json": {}}, {"content": b"[]"}, {"content": b"[]", "headers": {"Content-Type": "text/plain"}}):
        failure = tenant.refused(CREATE, root_key=None, **options)
        assert (failure[:2], failure.message) == (BAD, expected)
    padded = {"content": b" \n [] ", "headers": {"Content-Type": "application/json"}}
    assert tenant.answer(tenant.call(CREATE, **padded)) == {"keyIds": []}


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"ratelimit": {"limit": 1, "refillRate": 1, "refillInterval": 1, "type": "slow"}}, "1.ratelimit.type"),
        ({"ratelimit": {"limit": 1, "refillRate": 1}}, "1.ratelimit.refillInterval"),
        ({"ratelimit": {"limit": 0, "refillRate": 1, "refillInterval": 1}}, "1.ratelimit.limit"),
        ({"hash": {"value": "x", "variant": "sha256_hex"}}, "1.hash.variant"),
        ({"hash": {"value": "x" * 257, "variant": "sha256_base64"}}, "1.hash.value"),
        ({"prefix": "longer.than.8"}, "1.prefix"),
        ({"remaining": 0}, "1.remaining"),
        ({"remaining": 2**31}, "1.remaining"),
        ({"refill": {"interval": "weekly", "amount": 1}}, "1.refill.interval"),
        ({"refill": {"interval": "monthly", "amount": 1, "refillDay": None}}, "1.refill.refillDay"),
        ({"refill": {"interval": "monthly", "amount": 1, "refillDay": 1.5}}, "1.refill.refillDay"),
        ({"roles": [""]}, "1.roles.0"),
        ({"permissions": ["x", "y" * 513]}, "1.permissions.1"),
        ({"meta": []}, "1.meta"),
        ({"meta": {"text": "x" * 65_535}}, "1.meta"),
        ({"name": "x" * 257}, "1.name"),
        ({"start": "x" * 257}, "1.start"),
        ({"externalId": "x" * 257}, "1.externalId"),
        ({"ownerId": "x" * 257}, "1.ownerId"),
        ({"environment": "x" * 257}, "1.environment"),
        ({"expires": "soon"}, "1.expires"),
        ({"enabled": None}, "1.enabled"),
        ({"apiId": 7}, "1.apiId"),
    ],
)
def test_a_malformed_item_is_refused(tenant: Any, members: dict[str, Any], path: str) -> None:
    """400 names index and member before anybody is authenticated, and nothing is stored (§0.5)."""
    items = [item(tenant, "first"), item(tenant, "second") | members]
    failure = tenant.refused(CREATE, items, root_key=None)
    assert failure[:2] == BAD
    assert failure.message.startswith(f"{path}: ")
    assert tenant.refused(CREATE, items)[:2] == BAD
    assert count(tenant) == 0


@pytest.mark.parametrize(
    ("members", "word"),
    [
        ({"refill": {"interval": "daily", "amount": 1}}, "remaining"),
        ({"hash": None}, "plaintext"),
        ({"hash": None, "plaintext": ""}, "plaintext"),
        ({"hash": {"value": "", "variant": "sha256_base64"}}, "plaintext"),
        ({"remaining": 1, "refill": {"interval": "daily", "amount": 1, "refillDay": 2}}, "refillDay"),
        ({"plaintext": "x" * 741}, "740"),
    ],
)
def test_an_impossible_item_is_refused(tenant: Any, members: dict[str, Any], word: str) -> None:
    """400 names the item; nothing of the batch is stored (§5.1 steps c to e)."""
    bad = {name: value for name, value in (item(tenant, "second") | members).items() if value is not None}
    failure = tenant.refused(CREATE, [item(tenant, "first", externalId="cust_77"), bad])
    assert failure[:2] == BAD
    assert "item 1" in failure.message
    assert word in failure.message
    assert count(tenant) == 0
    assert tenant.ask("identities.listIdentities")["total"] == 0


def test_a_known_hash_is_a_conflict(tenant: Any, foreign: Any) -> None:
    """Inside the batch, of the same or another workspace, of a deleted key: 409, none of the batch is stored."""
    secrets = [tenant.name("secret") for _ in range(10)]
    repeated = [item(tenant, secret) for secret in (*secrets, secrets[3])]
    failure = tenant.refused(CREATE, repeated)
    assert failure[:2] == (409, "CONFLICT")
    assert "item 10" in failure.message
    _, own = tenant.key()
    _, theirs = foreign.key()
    deleted_id, deleted = tenant.key()
    tenant.ask("keys.deleteKey", keyId=deleted_id)
    tenant.clear_audit()
    for known in (own, theirs, deleted, tenant.root_key):
        batch = [item(tenant, secrets[0], externalId="new"), item(tenant, known)]
        assert tenant.refused(CREATE, batch)[:2] == (409, "CONFLICT")
    assert count(tenant) == 1
    assert tenant.audit() == []
    assert tenant.verify(secrets[0])["code"] == "NOT_FOUND"
    assert foreign.verify(theirs)["valid"]


def test_unknown_roles_and_permissions_are_named(tenant: Any, foreign: Any) -> None:
    """412 lists them, roles first, before permissions of the caller and apis are looked at (§5.1 steps 2 to 4)."""
    foreign.ask("permissions.createRole", name="theirs")
    known = tenant.name("role")
    tenant.ask("permissions.createRole", name=known)
    items = [
        item(tenant, "a", roles=[known, "theirs"], permissions=["nobody.may"]) | {"apiId": "api_zzz"},
        item(tenant, "b", roles=["auditor"]),
    ]
    failure = tenant.refused(CREATE, items, root_key=tenant.new_root_key())
    assert failure[:2] == (412, "PRECONDITION_FAILED")
    assert failure.message == 'unknown roles: ["theirs","auditor"]'
    failure = tenant.refused(CREATE, [item(tenant, "a", permissions=["nobody.may"])])
    assert (failure.status, failure.message) == (412, 'unknown permissions: ["nobody.may"]')


def test_very_many_names_are_no_failure_of_ours(tenant: Any) -> None:
    """More names than a statement takes are looked up all the same, and the message stays readable."""
    names = [f"role {number}" for number in range(40_000)]
    failure = tenant.refused(CREATE, [item(tenant, "a", roles=names)])
    assert failure.status == 412
    assert "and 39980 more" in failure.message


def test_items_are_judged_in_order(tenant: Any, foreign: Any) -> None:
    """Permission, api, keyspace, content: the first item that fails decides, and within it the first check (§5.1)."""
    bare = tenant.api_without_keyspace()
    fine, contentless = item(tenant, "a"), {"apiId": tenant.api_id}
    cases = [
        ([fine, {"apiId": "api_zzz"}], (404, "NOT_FOUND")),
        ([fine, {"apiId": foreign.api_id}], (404, "NOT_FOUND")),
        ([fine, {"apiId": bare}], (412, "PRECONDITION_FAILED")),
        ([fine, contentless], BAD),
        ([contentless, {"apiId": "api_zzz"}], BAD),
        ([{"apiId": "api_zzz"}, contentless], (404, "NOT_FOUND")),
        ([fine, fine, contentless], BAD),
    ]
    for items, expected in cases:
        assert tenant.refused(CREATE, items)[:2] == expected
    only_own = tenant.new_root_key(f"api.{tenant.api_id}.create_key")
    assert tenant.refused(CREATE, [fine, {"apiId": "api_zzz"}], root_key=only_own)[:3] == NOT_ALLOWED
    assert tenant.refused(CREATE, [contentless, {"apiId": "api_zzz"}], root_key=only_own)[:2] == BAD
    assert count(tenant) == 0


def test_importing_needs_create_key_for_every_api(tenant: Any) -> None:
    """The wildcard, or the permission on each api concerned, is enough, with a plaintext too (§5.1 step 4a)."""
    other = tenant.api()
    batch = lambda: [  # noqa: E731 - fresh secrets for each attempt
        {"apiId": api_id, "plaintext": tenant.name("secret")} for api_id in (tenant.api_id, other)
    ]
    both = (f"api.{tenant.api_id}.create_key", f"api.{other}.create_key")
    for held in (("api.*.create_key",), both):
        tenant.answer(tenant.call(CREATE, batch(), root_key=tenant.new_root_key(*held)))
    for held in (both[:1], both[1:], ("api.*.encrypt_key", "api.*.read_key")):
        assert tenant.refused(CREATE, batch(), root_key=tenant.new_root_key(*held))[:3] == NOT_ALLOWED


def test_a_hash_that_never_matches_is_taken_and_reported(tenant: Any) -> None:
    """Any text is stored, as the first server did; the log tells which items can never be verified (§5)."""
    with structlog.testing.capture_logs() as logs:
        dead = {"hash": {"value": "deadbeef" * 8, "variant": "sha256_base64"}}
        create(tenant, item(tenant, "fine"), item(tenant, "x") | dead, item(tenant, "y", plaintext="plain") | dead)
    (line,) = [line for line in logs if line["event"] == "imported_hashes_never_match"]
    assert (line["items"], line["workspace_id"]) == ([1], tenant.id)
    assert count(tenant) == 3


def test_a_batch_does_not_show_its_secrets() -> None:
    """Printing a request shows neither plaintext nor hash."""
    shown = repr([MigratedKey(api_id="api_1", plaintext="the secret", hash=KeyHash("the hash", "sha256_base64"))])
    assert "the secret" not in shown
    assert "the hash" not in shown
    assert MigratedKey(api_id="api_1").plaintext is UNSET


def test_two_thousand_keys_are_all_there(tenant: Any) -> None:
    """Imported a hundred at a time and listed page by page, each shows once and verifies."""
    secrets = [tenant.name("secret") for _ in range(2000)]
    ids = tenant.import_keys(secrets)
    pages = tenant.pages("apis.listKeys", "keys", apiId=tenant.api_id)
    listed = [key["id"] for page in pages for key in page]
    assert listed == sorted(ids)
    assert len(set(ids)) == 2000
    assert [tenant.verify(secret)["keyId"] for secret in secrets] == ids
