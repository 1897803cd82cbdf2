"""Keys of an api listed and deleted, apis deleted (contract other-v1 §1.3 to §1.5, §8)."""

from typing import Any

import pytest
from sqlalchemy import event

NOT_ALLOWED = (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")

KEY_OPERATIONS = ("apis.listKeys", "apis.deleteKeys")
OPERATIONS = (*KEY_OPERATIONS, "apis.deleteApi")


def test_a_listed_key_shows_what_it_has(tenant: Any) -> None:
    """Roles by name, permissions as slugs with those of the roles, the limit `default`, refill, identity (§1.3)."""
    role_id = tenant.ask("permissions.createRole", name="reader")["roleId"]
    inherited = [{"name": "invoice.read", "create": True}, {"name": "invoice.list", "create": True}]
    tenant.ask("permissions.setRolePermissions", roleId=role_id, permissions=inherited)
    key_id, secret = tenant.key(
        name="ci token",
        externalId="cust_77",
        roles=["reader"],
        permissions=["invoice.list", "invoice.send"],
        remaining=40,
        refill={"interval": "daily", "amount": 100},
        ratelimit={"limit": 10, "duration": 60_000},
        meta={"plan": "gold"},
        environment="test",
        prefix="acme",
    )
    (key,) = tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]
    identity = key.pop("identity")
    assert (identity["externalId"], identity["meta"]) == ("cust_77", {})
    last_refill_at = key["refill"].pop("lastRefillAt")
    assert last_refill_at == key["createdAt"]
    assert key == {
        "id": key_id,
        "start": secret[:9],
        "apiId": tenant.api_id,
        "workspaceId": tenant.id,
        "createdAt": last_refill_at,
        "name": "ci token",
        "ownerId": "cust_77",
        "meta": {"plan": "gold"},
        "remaining": 40,
        "refill": {"interval": "daily", "amount": 100, "refillDay": None},
        "ratelimit": {"async": False, "limit": 10, "duration": 60_000, "refillRate": 10, "refillInterval": 60_000},
        "roles": ["reader"],
        "permissions": ["invoice.list", "invoice.send", "invoice.read"],
        "enabled": True,
        "environment": "test",
    }


def test_a_bare_key_shows_no_empty_members(tenant: Any) -> None:
    """What is not set is left out, never null; the two lists are there."""
    tenant.key(enabled=False)
    (key,) = tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]
    assert set(key) == {"id", "start", "apiId", "workspaceId", "createdAt", "enabled", "roles", "permissions"}
    assert (key["enabled"], key["roles"], key["permissions"]) == (False, [], [])


def test_every_key_is_on_one_page(tenant: Any) -> None:
    """Paging over 250 keys shows each once, by id, with the exact total on every page, the last one empty."""
    made = tenant.import_keys([tenant.name("secret") for _ in range(250)])
    pages = list(tenant.pages("apis.listKeys", "keys", apiId=tenant.api_id))
    assert [len(page) for page in pages] == [100, 100, 50]
    assert [key["id"] for page in pages for key in page] == sorted(made)
    for cursor in ("", made[0], "zzz"):
        assert tenant.ask("apis.listKeys", apiId=tenant.api_id, limit=1, cursor=cursor)["total"] == 250


def test_pages_of_different_sizes_do_not_overlap(tenant: Any) -> None:
    """Two pages, of 2 and of 3 over ten keys, show five different keys (§10)."""
    tenant.import_keys([tenant.name("secret") for _ in range(10)])
    first = tenant.ask("apis.listKeys", apiId=tenant.api_id, limit=2)
    second = tenant.ask("apis.listKeys", apiId=tenant.api_id, limit=3, cursor=first["cursor"])
    assert len({key["id"] for key in first["keys"] + second["keys"]}) == 5


def test_a_page_takes_a_bounded_number_of_statements(tenant: Any, server: Any) -> None:
    """A page of a hundred keys with everything takes no more statements than a page of one."""
    tenant.ask("permissions.createRole", name="reader")
    tenant.ask("permissions.createPermission", name="invoice.read")
    items = [
        {
            "apiId": tenant.api_id,
            "plaintext": tenant.name("secret"),
            "externalId": tenant.name("customer"),
            "roles": ["reader"],
            "permissions": ["invoice.read"],
            "ratelimit": {"limit": 1, "refillRate": 1, "refillInterval": 1000},
        }
        for _ in range(100)
    ]
    tenant.answer(tenant.call("migrations.createKeys", items))
    statements: list[str] = []
    engine = server.application.storage.store._engine
    counted = {}

    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", count)
    try:
        for limit in (1, 100):
            statements.clear()
            page = tenant.ask("apis.listKeys", apiId=tenant.api_id, limit=limit, decrypt=True)
            assert all(key["plaintext"] for key in page["keys"])
            counted[limit] = len(statements)
    finally:
        event.remove(engine, "before_cursor_execute", count)
    assert counted[100] == counted[1] <= 14


def test_filters_narrow_the_list_but_not_the_total(tenant: Any) -> None:
    """By external id or by owner id only those keys are shown; the external id beats the owner id (§1.3)."""
    for number in range(4):
        tenant.key(name=f"of one {number}", externalId="customer one")
        tenant.key(name=f"of two {number}", externalId="customer two")

    def listed(**filters: str) -> set[str]:
        page = tenant.ask("apis.listKeys", apiId=tenant.api_id, **filters)
        assert page["total"] == 8
        return {key["name"].rpartition(" ")[0] for key in page["keys"]}

    assert listed(externalId="customer one") == {"of one"}
    assert listed(ownerId="customer two") == {"of two"}
    assert listed(externalId="customer one", ownerId="customer two") == {"of one"}
    assert listed() == {"of one", "of two"}
    assert tenant.ask("apis.listKeys", apiId=tenant.api_id, ownerId="nobody") == {"keys": [], "total": 8}


def test_an_unknown_external_id_lists_nothing(tenant: Any, foreign: Any) -> None:
    """It answers an empty page with the total 0, before `decrypt` is looked at (§1.3 step 4)."""
    tenant.key(externalId="customer one")
    foreign.key(externalId="customer two")
    root_key = tenant.new_root_key("api.*.read_key", "api.*.read_api")
    query = {"apiId": tenant.api_id, "externalId": "customer two", "decrypt": "true"}
    assert tenant.answer(tenant.call("apis.listKeys", query, root_key=root_key)) == {"keys": [], "total": 0}


def test_plaintexts_are_shown_to_whoever_may_decrypt(tenant: Any) -> None:
    """With `decrypt` recoverable keys show their secret, others just do not; it needs a permission (§1.3 step 7)."""
    tenant.api_id = tenant.api(storeEncryptedKeys=True)
    _, secret = tenant.key(name="recoverable", recoverable=True)
    tenant.key(name="other")
    query = {"apiId": tenant.api_id, "decrypt": "true"}
    reading = ("api.*.read_key", "api.*.read_api")
    assert tenant.refused("apis.listKeys", query, root_key=tenant.new_root_key(*reading))[:3] == NOT_ALLOWED
    for alternative in ("api.*.decrypt_key", f"api.{tenant.api_id}.decrypt_key"):
        root_key = tenant.new_root_key(*reading, alternative)
        keys = tenant.answer(tenant.call("apis.listKeys", query, root_key=root_key))["keys"]
        assert {key["name"]: key.get("plaintext") for key in keys} == {"recoverable": secret, "other": None}
    for no in ("false", "0", ""):
        keys = tenant.ask("apis.listKeys", apiId=tenant.api_id, decrypt=no)["keys"]
        assert not any("plaintext" in key for key in keys)


def test_a_due_refill_shows_in_the_list(tenant: Any, server: Any) -> None:
    """The balance is that of the instant, as if the refill had happened at midnight (keys-v1 §4.5)."""
    tenant.key(remaining=1, refill={"interval": "daily", "amount": 100})
    server.clock.advance(86_400_000)
    (key,) = tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]
    assert (key["remaining"], key["refill"]["refillDay"]) == (100, None)
    assert key["updatedAt"] == key["refill"]["lastRefillAt"] > key["createdAt"]


@pytest.mark.parametrize(
    ("query", "field"),
    [({}, "apiId"), ({"apiId": ""}, "apiId"), ({"limit": "0"}, "limit"), ({"limit": "101"}, "limit")]
    + [({name: ""}, name) for name in ("externalId", "ownerId")],
)
def test_a_malformed_query_is_refused(tenant: Any, query: dict[str, str], field: str) -> None:
    """400 names the parameter, also without credentials (§0.5)."""
    whole = query if field == "apiId" else {"apiId": tenant.api_id, **query}
    failure = tenant.refused("apis.listKeys", whole, root_key=None)
    assert failure[:2] == (400, "BAD_REQUEST")
    assert failure.message.startswith(f"{field}: ")


def test_listing_needs_two_permissions(tenant: Any) -> None:
    """Keys and api have to be readable, each by either alternative (§0.4)."""
    query = {"apiId": tenant.api_id}
    for scopes in (("*", "*"), ("*", tenant.api_id), (tenant.api_id, "*"), (tenant.api_id, tenant.api_id)):
        held = (f"api.{scopes[0]}.read_key", f"api.{scopes[1]}.read_api")
        tenant.answer(tenant.call("apis.listKeys", query, root_key=tenant.new_root_key(*held)))
        for one in held:
            assert tenant.refused("apis.listKeys", query, root_key=tenant.new_root_key(one))[:3] == NOT_ALLOWED


@pytest.mark.parametrize(("operation", "action"), [("apis.deleteKeys", "delete_key"), ("apis.deleteApi", "delete_api")])
def test_deleting_needs_its_permission(tenant: Any, operation: str, action: str) -> None:
    """Each alternative is enough; others are refused by name (§0.4)."""
    others = [f"api.{scope}.{other}" for scope in ("*", tenant.api_id) for other in ("read_key", "update_api")]
    failure = tenant.refused(operation, {"apiId": tenant.api_id}, root_key=tenant.new_root_key(*others))
    assert failure[:3] == NOT_ALLOWED
    assert f"api.{tenant.api_id}.{action}" in failure.message
    for scope in ("*", "<id>"):
        api_id = tenant.api()
        root_key = tenant.new_root_key(f"api.{scope.replace('<id>', api_id)}.{action}")
        tenant.answer(tenant.call(operation, {"apiId": api_id}, root_key=root_key))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_absent_or_foreign_api_is_not_found(tenant: Any, foreign: Any, operation: str) -> None:
    """404 for an api that never was and for one of another workspace, which is left as it is."""
    _, secret = foreign.key()
    for api_id in ("api_zzz", foreign.api_id):
        assert tenant.refused(operation, {"apiId": api_id})[:2] == (404, "NOT_FOUND")
    assert foreign.verify(secret)["valid"]


@pytest.mark.parametrize("operation", KEY_OPERATIONS)
def test_an_api_without_keyspace_has_no_keys(tenant: Any, operation: str) -> None:
    """412, and the api itself can be read and deleted."""
    api_id = tenant.api_without_keyspace()
    assert tenant.refused(operation, {"apiId": api_id})[:2] == (412, "PRECONDITION_FAILED")
    tenant.ask("apis.deleteApi", apiId=api_id)


def test_deleting_keys_softly_then_for_good(tenant: Any) -> None:
    """Softly the live ones count, for good all of them do; the api and other apis' keys stay (§1.4, §10)."""
    other, other_secret = tenant.key(apiId=tenant.api())
    made = [tenant.key() for _ in range(10)]
    tenant.clear_audit()
    assert tenant.ask("apis.deleteKeys", apiId=tenant.api_id) == {"deletedKeys": 10}
    assert {tenant.verify(secret)["code"] for _, secret in made} == {"NOT_FOUND"}
    assert sorted(tenant.events()["key.delete"]) == sorted(key_id for key_id, _ in made)
    assert tenant.ask("apis.deleteKeys", apiId=tenant.api_id) == {"deletedKeys": 0}
    assert tenant.ask("apis.listKeys", apiId=tenant.api_id) == {"keys": [], "total": 0}
    assert tenant.refused("keys.getKey", {"keyId": made[0][0]}).status == 404

    _, eleventh = tenant.key()
    tenant.clear_audit()
    assert tenant.ask("apis.deleteKeys", apiId=tenant.api_id, permanent=True) == {"deletedKeys": 11}
    assert len(tenant.events()["key.delete"]) == 11
    assert tenant.ask("apis.deleteKeys", apiId=tenant.api_id, permanent=True) == {"deletedKeys": 0}
    assert tenant.verify(eleventh)["code"] == "NOT_FOUND"
    assert tenant.verify(other_secret)["keyId"] == other
    tenant.ask("apis.getApi", apiId=tenant.api_id)


def test_only_permanent_deletion_frees_a_hash(tenant: Any) -> None:
    """A softly deleted key keeps its hash, one removed for good gives it back, and nothing of it is left (§8)."""
    tenant.ask("permissions.createPermission", name="invoice.read")
    secret = tenant.name("secret")
    item = {"apiId": tenant.api_id, "plaintext": secret, "permissions": ["invoice.read"]}
    (key_id,) = tenant.answer(tenant.call("migrations.createKeys", [item]))["keyIds"]
    tenant.ask("apis.deleteKeys", apiId=tenant.api_id)
    assert tenant.refused("migrations.createKeys", [item])[:2] == (409, "CONFLICT")
    tenant.ask("apis.deleteKeys", apiId=tenant.api_id, permanent=True)
    assert tenant.server.read(lambda tx: (tx.keys.ciphertext(key_id), tx.keys.permissions(key_id))) == (None, [])
    tenant.answer(tenant.call("migrations.createKeys", [{"apiId": tenant.api_id, "plaintext": secret}]))
    assert (tenant.verify(secret)["valid"], tenant.verify(secret)["permissions"]) == (True, [])


def test_deleting_more_keys_than_one_step_takes(tenant: Any) -> None:
    """2 500 keys go in one transaction, each with an entry, however many steps it takes."""
    secrets = [tenant.name("secret") for _ in range(2500)]
    made = tenant.import_keys(secrets)
    assert tenant.verify(secrets[0])["valid"]
    tenant.clear_audit()
    assert tenant.ask("apis.deleteKeys", apiId=tenant.api_id)["deletedKeys"] == 2500
    assert sorted(tenant.events()["key.delete"]) == sorted(made)
    assert {tenant.verify(secret)["code"] for secret in secrets[::500]} == {"NOT_FOUND"}
    assert tenant.ask("apis.deleteKeys", apiId=tenant.api_id, permanent=True)["deletedKeys"] == 2500


def test_deleting_an_api(tenant: Any) -> None:
    """Its keys are dead on the next request, its hashes stay reserved, and everything about it is 404 (§1.5)."""
    key_id, secret = tenant.key()
    assert tenant.verify(secret)["valid"]
    tenant.clear_audit()
    assert tenant.ask("apis.deleteApi", apiId=tenant.api_id) == {}
    assert tenant.verify(secret)["code"] == "NOT_FOUND"
    assert tenant.events() == {"api.delete": [tenant.api_id], "key.delete": [key_id]}
    for operation in ("apis.getApi", *OPERATIONS):
        assert tenant.refused(operation, {"apiId": tenant.api_id})[:2] == (404, "NOT_FOUND")
    assert tenant.ask("apis.listApis")["total"] == 0
    again = [{"apiId": tenant.api(), "plaintext": secret}]
    assert tenant.refused("migrations.createKeys", again)[:2] == (409, "CONFLICT")


def test_a_protected_api_is_not_deleted(tenant: Any) -> None:
    """412 with its reason, nothing changes; its keys may be deleted, and without protection the api too (§1.5)."""
    api_id = tenant.api(deleteProtection=True)
    _, secret = tenant.key(apiId=api_id)
    tenant.clear_audit()
    failure = tenant.refused("apis.deleteApi", {"apiId": api_id})
    assert failure[:3] == (412, "PRECONDITION_FAILED", "DELETE_PROTECTED")
    assert tenant.audit() == []
    assert tenant.verify(secret)["valid"]
    tenant.ask("apis.getApi", apiId=api_id)
    assert tenant.ask("apis.deleteKeys", apiId=api_id)["deletedKeys"] == 1
    tenant.ask("apis.updateApi", apiId=api_id, deleteProtection=False)
    assert tenant.ask("apis.deleteApi", apiId=api_id) == {}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_validation_comes_before_credentials(tenant: Any, operation: str) -> None:
    """Without `apiId` the answer is 400, with it and without credentials 401 (§0.5)."""
    assert tenant.refused(operation, {}, root_key=None)[:2] == (400, "BAD_REQUEST")
    assert tenant.refused(operation, {"apiId": tenant.api_id}, root_key=None)[:2] == (401, "UNAUTHORIZED")
