"""Identities listed, updated and deleted (contract other-v1 §3.3 to §3.5, §8)."""

from typing import Any

import pytest

from keystead.core.entities import Identity

NOT_ALLOWED = (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")

TOKENS = {"name": "tokens", "limit": 5000, "duration": 3_600_000}
REQUESTS = {"name": "requests", "limit": 10, "duration": 60_000}


def make(tenant: Any, external_id: str = "cust_77", **members: Any) -> str:
    identity_id: str = tenant.ask("identities.createIdentity", externalId=external_id, **members)["identityId"]
    return identity_id


def put(tenant: Any, environment: str, external_id: str) -> str:
    """An identity of another environment, which no operation makes."""
    identity = Identity(tenant.name("id"), tenant.id, external_id, environment)
    tenant.server.write(lambda tx: tx.identities.insert(identity, 0))
    return identity.id


def limit_ids(tenant: Any, identity_id: str) -> dict[str, str]:
    """Name → id of the stored limits."""
    return {limit.name: limit.id for limit in tenant.server.read(lambda tx: tx.identities.limits(identity_id))}


# listIdentities


def test_a_listed_identity_has_no_meta(tenant: Any) -> None:
    """Id, external id and ratelimits, `[]` when there are none (§3.3)."""
    full, bare = make(tenant, meta={"plan": "gold"}, ratelimits=[TOKENS, REQUESTS]), make(tenant, "cust_78")
    page = tenant.ask("identities.listIdentities")
    assert sorted(page["identities"], key=lambda each: each["externalId"]) == [
        {"id": full, "externalId": "cust_77", "ratelimits": [TOKENS, REQUESTS]},
        {"id": bare, "externalId": "cust_78", "ratelimits": []},
    ]
    assert page["total"] == 2


def test_every_identity_is_on_one_page(tenant: Any, foreign: Any) -> None:
    """Paging over 250 identities shows each once, by id; the total does not depend on page or cursor."""
    make(foreign)
    secrets = [tenant.name("secret") for _ in range(250)]
    for start in range(0, 250, 50):
        items = [
            {"apiId": tenant.api_id, "plaintext": secret, "externalId": secret}
            for secret in secrets[start : start + 50]
        ]
        tenant.answer(tenant.call("migrations.createKeys", items))
    pages = list(tenant.pages("identities.listIdentities", "identities", limit=80))
    assert [len(page) for page in pages] == [80, 80, 80, 10]
    listed = [each for page in pages for each in page]
    assert [each["id"] for each in listed] == sorted(each["id"] for each in listed)
    assert {each["externalId"] for each in listed} == set(secrets)
    assert tenant.ask("identities.listIdentities", limit=1, cursor="zzz") == {"identities": [], "total": 250}


def test_environments_are_listed_apart(tenant: Any) -> None:
    """Only the environment asked for, by default `default`, is shown and counted (§10)."""
    home, away = make(tenant), put(tenant, "staging", "cust_78")
    for query, expected in (({}, [home]), ({"environment": "default"}, [home]), ({"environment": "staging"}, [away])):
        page = tenant.ask("identities.listIdentities", **query)
        assert ([each["id"] for each in page["identities"]], page["total"]) == (expected, 1)
    assert tenant.ask("identities.listIdentities", environment="Staging") == {"identities": [], "total": 0}


def test_listing_needs_the_environments_permission(tenant: Any) -> None:
    """The wildcard or the environment itself is enough, another environment's is not (§0.4)."""
    for held in ("identity.*.read_identity", "identity.default.read_identity"):
        tenant.answer(tenant.call("identities.listIdentities", root_key=tenant.new_root_key(held)))
    root_key = tenant.new_root_key("identity.default.read_identity")
    failure = tenant.refused("identities.listIdentities", {"environment": "staging"}, root_key=root_key)
    assert failure[:3] == NOT_ALLOWED
    assert "identity.staging.read_identity" in failure.message


@pytest.mark.parametrize("limit", ["0", "101", "1.5", "many"])
def test_a_malformed_page_is_refused(tenant: Any, limit: str) -> None:
    """400 names the parameter, before credentials are asked for."""
    failure = tenant.refused("identities.listIdentities", {"limit": limit}, root_key=None)
    assert failure[:2] == (400, "BAD_REQUEST")
    assert failure.message.startswith("limit: ")


# updateIdentity


def test_the_answer_is_the_identity_after_it(tenant: Any) -> None:
    """All four members, the same as getIdentity shows then; by id and by external id alike (§3.4)."""
    identity_id = make(tenant, meta={"plan": "gold"}, ratelimits=[TOKENS])
    changed = tenant.ask("identities.updateIdentity", externalId="cust_77", meta={}, ratelimits=[REQUESTS])
    assert changed == {"id": identity_id, "externalId": "cust_77", "meta": {}, "ratelimits": [REQUESTS]}
    assert tenant.ask("identities.getIdentity", identityId=identity_id) == changed
    by_id = tenant.ask("identities.updateIdentity", identityId=identity_id, externalId="ignored", meta={"n": 1})
    assert (by_id["externalId"], by_id["meta"], by_id["ratelimits"]) == ("cust_77", {"n": 1}, [REQUESTS])


def test_absent_members_stay(tenant: Any) -> None:
    """A change of `meta` keeps the ratelimits and the other way round; a change of nothing changes nothing."""
    identity_id = make(tenant, meta={"plan": "gold"}, ratelimits=[TOKENS])
    assert tenant.ask("identities.updateIdentity", identityId=identity_id, meta={"a": 1})["ratelimits"] == [TOKENS]
    assert tenant.ask("identities.updateIdentity", identityId=identity_id, ratelimits=[])["meta"] == {"a": 1}
    untouched = tenant.ask("identities.updateIdentity", identityId=identity_id)
    assert (untouched["meta"], untouched["ratelimits"]) == ({"a": 1}, [])


def test_ratelimits_are_replaced_by_name(tenant: Any) -> None:
    """One that keeps its name keeps its id and place, others go or come after it; each change has an entry (§3.4)."""
    identity_id = make(tenant, ratelimits=[TOKENS, REQUESTS])
    before = limit_ids(tenant, identity_id)
    tenant.clear_audit()
    wider, new = REQUESTS | {"limit": 20}, {"name": "new", "limit": 1, "duration": 1000}
    changed = tenant.ask("identities.updateIdentity", identityId=identity_id, ratelimits=[new, wider])
    assert changed["ratelimits"] == [wider, new]
    after = limit_ids(tenant, identity_id)
    assert after["requests"] == before["requests"]
    assert tenant.events() == {
        "identity.update": [identity_id],
        "ratelimit.create": [after["new"]],
        "ratelimit.update": [after["requests"]],
        "ratelimit.delete": [before["tokens"]],
    }


def test_setting_the_same_ratelimits_again_changes_nothing(tenant: Any) -> None:
    """Ten times the same set leaves the same limits with the same ids (§10)."""
    identity_id = make(tenant, ratelimits=[TOKENS, REQUESTS])
    before = limit_ids(tenant, identity_id)
    tenant.clear_audit()
    for _ in range(10):
        tenant.ask("identities.updateIdentity", identityId=identity_id, ratelimits=[TOKENS, REQUESTS])
    assert limit_ids(tenant, identity_id) == before
    assert tenant.events() == {"identity.update": [identity_id] * 10}


def test_an_update_counts_for_the_next_verification(tenant: Any) -> None:
    """New `meta` and new limits hold at once for every key of the identity, also for a thousand keys (§10)."""
    identity_id = make(tenant, ratelimits=[REQUESTS])
    secrets = [tenant.name("secret") for _ in range(1000)]
    tenant.import_keys(secrets, externalId="cust_77")
    named = {"ratelimits": [{"name": "requests"}]}
    some = secrets[::250]
    assert {tenant.verify(secret, **named)["ratelimit"]["limit"] for secret in some} == {10}
    changed = {"meta": {"plan": "free"}, "ratelimits": [REQUESTS | {"limit": 20}]}
    tenant.ask("identities.updateIdentity", identityId=identity_id, **changed)
    for secret in some:
        verified = tenant.verify(secret, **named)
        assert (verified["ratelimit"]["limit"], verified["identity"]["meta"]) == (20, {"plan": "free"})
    tenant.ask("identities.updateIdentity", identityId=identity_id, ratelimits=[])
    assert tenant.refused("keys.verifyKey", {"key": secrets[0], **named})[:2] == (400, "BAD_REQUEST")


def test_the_environment_is_part_of_the_external_selector(tenant: Any) -> None:
    """By external id the environment counts, `default` unless given; by id it does not (§3.4)."""
    identity_id = put(tenant, "staging", "cust_77")
    refused = tenant.refused("identities.updateIdentity", {"externalId": "cust_77", "meta": {}})
    assert refused[:2] == (404, "NOT_FOUND")
    for selector in ({"externalId": "cust_77", "environment": "staging"}, {"identityId": identity_id}):
        assert tenant.ask("identities.updateIdentity", **selector, meta={})["id"] == identity_id


def test_the_order_of_refusals(tenant: Any) -> None:
    """Schema, credentials, selector, repeated name, size of `meta`, existence, each before the next (§3.4)."""
    operation = "identities.updateIdentity"
    twice, large = [TOKENS, TOKENS], {"text": "x" * 64_000}
    too_short = [TOKENS | {"duration": 999}]
    malformed = tenant.refused(operation, {"ratelimits": too_short}, root_key=None)
    assert malformed[:2] == (400, "BAD_REQUEST")
    assert malformed.message.startswith("ratelimits.0.duration: ")
    assert tenant.refused(operation, {}, root_key=None).status == 401
    assert tenant.refused(operation, {"ratelimits": twice, "meta": large})[:2] == (400, "BAD_REQUEST")
    named = {"externalId": "nobody"}
    assert tenant.refused(operation, {**named, "ratelimits": twice, "meta": large})[:2] == (409, "CONFLICT")
    failure = tenant.refused(operation, {**named, "meta": large})
    assert (failure.status, failure.message.partition(":")[0]) == (400, "meta")
    assert tenant.refused(operation, named)[:2] == (404, "NOT_FOUND")
    for null in ("meta", "ratelimits", "environment", "identityId", "externalId"):
        assert tenant.refused(operation, {**named, null: None}).status == 400
    for empty in ("identityId", "externalId"):
        assert tenant.refused(operation, {empty: ""}).message.startswith(f"{empty}: ")


def test_updating_needs_the_wildcard(tenant: Any) -> None:
    """There is no form of the permission for one identity (§0.4)."""
    identity_id = make(tenant)
    one = tenant.new_root_key(f"identity.{identity_id}.update_identity")
    body = {"identityId": identity_id, "meta": {}}
    assert tenant.refused("identities.updateIdentity", body, root_key=one)[:3] == NOT_ALLOWED
    right = tenant.new_root_key("identity.*.update_identity")
    tenant.answer(tenant.call("identities.updateIdentity", body, root_key=right))


# deleteIdentity


def test_keys_outlive_their_identity(tenant: Any) -> None:
    """They stay valid and keep their own owner id; the identity and its limits are gone from them at once (§3.5)."""
    identity_id = make(tenant, ratelimits=[REQUESTS])
    key_id, secret = tenant.key(externalId="cust_77")
    named = {"ratelimits": [{"name": "requests"}]}
    assert tenant.verify(secret, **named)["identity"]["id"] == identity_id
    limit_id = limit_ids(tenant, identity_id)["requests"]
    tenant.clear_audit()
    assert tenant.ask("identities.deleteIdentity", identityId=identity_id) == {}
    assert tenant.events() == {"ratelimit.delete": [limit_id], "identity.delete": [identity_id]}
    verified = tenant.verify(secret)
    assert (verified["valid"], verified["ownerId"], "identity" in verified) == (True, "cust_77", False)
    assert tenant.refused("keys.verifyKey", {"key": secret, **named})[:2] == (400, "BAD_REQUEST")
    own = {"ratelimits": [{"name": "requests", "limit": 3, "duration": 1000}]}
    assert tenant.verify(secret, **own)["ratelimit"]["limit"] == 3
    assert "identity" not in tenant.ask("keys.getKey", keyId=key_id)
    assert tenant.ask("apis.listKeys", apiId=tenant.api_id, externalId="cust_77") == {"keys": [], "total": 0}


def test_an_external_id_is_free_again(tenant: Any) -> None:
    """A new identity of the same external id has a new id and adopts no key (§3.5)."""
    identity_id = make(tenant)
    _, secret = tenant.key(externalId="cust_77")
    tenant.ask("identities.deleteIdentity", identityId=identity_id)
    assert tenant.refused("identities.deleteIdentity", {"identityId": identity_id})[:2] == (404, "NOT_FOUND")
    assert make(tenant) != identity_id
    assert "identity" not in tenant.verify(secret)
    page = tenant.ask("apis.listKeys", apiId=tenant.api_id, externalId="cust_77")
    assert (page["keys"], page["total"]) == ([], 1)


@pytest.mark.parametrize("operation", ["identities.updateIdentity", "identities.deleteIdentity"])
def test_an_absent_or_foreign_identity_is_not_found(tenant: Any, foreign: Any, operation: str) -> None:
    """404, and the other workspace's stays as it is."""
    theirs = make(foreign, meta={"plan": "gold"})
    for identity_id in ("id_zzz", theirs):
        assert tenant.refused(operation, {"identityId": identity_id})[:2] == (404, "NOT_FOUND")
    assert foreign.ask("identities.getIdentity", identityId=theirs)["meta"] == {"plan": "gold"}


def test_deleting_by_id_only_and_with_its_permission(tenant: Any) -> None:
    """The id is required; the wildcard or the identity's own permission is enough (§3.5, §0.4)."""
    operation = "identities.deleteIdentity"
    for body in ({"externalId": "cust_77"}, {"identityId": ""}):
        assert tenant.refused(operation, body, root_key=None).message.startswith("identityId: ")
    for scope in ("*", "<id>"):
        identity_id = make(tenant, f"cust {scope}")
        wrong = tenant.new_root_key("identity.id_other.delete_identity", "identity.*.update_identity")
        assert tenant.refused(operation, {"identityId": identity_id}, root_key=wrong)[:3] == NOT_ALLOWED
        right = tenant.new_root_key(f"identity.{scope.replace('<id>', identity_id)}.delete_identity")
        tenant.answer(tenant.call(operation, {"identityId": identity_id}, root_key=right))
