"""Overrides: set, shown, listed, deleted, and in force (contract other-v1 §4.1, §4.3 to §4.6)."""

from collections.abc import Callable
from typing import Any

import pytest

NAMED = {"namespaceName": "email.outbound"}
SET = "ratelimits.setOverride"
GET = "ratelimits.getOverride"
LIST = "ratelimits.listOverrides"
DELETE = "ratelimits.deleteOverride"

BODIES: dict[str, dict[str, Any]] = {
    SET: {"identifier": "cust_*", "limit": 50, "duration": 60_000},
    GET: {"identifier": "cust_*"},
    LIST: {},
    DELETE: {"identifier": "cust_*"},
}

NEEDED = {
    SET: "ratelimit.*.set_override",
    GET: "ratelimit.*.read_override",
    LIST: "ratelimit.*.read_override",
    DELETE: "ratelimit.*.delete_override",
}

every_operation = pytest.mark.parametrize("operation", BODIES)


# in force


def test_an_override_replaces_limit_and_duration(tenant: Any) -> None:
    """The answer reports the override's limit and window; the request's own no longer count."""
    tenant.override("cust_77", 50, 3_600_000)
    decision = tenant.limit(cost=3)
    assert decision == {"success": True, "limit": 50, "remaining": 47, "reset": 1_767_225_600_000 + 3_600_000}
    assert tenant.limit(limit=1, duration=1000, cost=0)["remaining"] == 47


def test_every_change_is_in_force_for_the_very_next_decision(tenant: Any) -> None:
    """Set, changed, deleted and set again: each acknowledged change decides the next request (D11)."""
    assert tenant.limit()["limit"] == 10
    first_id = tenant.override("cust_*", 50)
    assert tenant.limit() == {"success": True, "limit": 50, "remaining": 49, "reset": 1_767_225_660_000}
    assert tenant.override("cust_*", 40) == first_id
    assert tenant.limit()["remaining"] == 39
    assert tenant.ask(DELETE, **NAMED, identifier="cust_*") == {}
    assert tenant.limit()["remaining"] == 8
    assert tenant.override("cust_*", 50) != first_id
    assert tenant.limit()["remaining"] == 48


def test_a_limit_of_zero_blocks(tenant: Any) -> None:
    """An override of 0 refuses whatever it costs, with nothing remaining."""
    tenant.override("cust_77", 0)
    for cost in (0, 1, 5):
        assert tenant.limit(cost=cost) == {"success": False, "limit": 0, "remaining": 0, "reset": 1_767_225_660_000}
    assert tenant.limit("ben")["success"] is True


@pytest.mark.parametrize("order", [["cust_77", "cust_*"], ["cust_*", "cust_77"]], ids=["exact first", "exact last"])
def test_exact_beats_wildcard(tenant: Any, order: list[str]) -> None:
    """The identifier itself wins over a wildcard, whichever was made first."""
    limits = {"cust_77": 70, "cust_*": 80}
    for identifier in order:
        tenant.override(identifier, limits[identifier])
    assert tenant.limit()["limit"] == 70
    assert tenant.limit("cust_78")["limit"] == 80


def test_of_several_wildcards_the_oldest_wins(tenant: Any) -> None:
    """Creation decides, not how specific a pattern is; changing one does not make it younger."""
    tenant.override("cust_*", 20)
    tenant.override("cust_7*", 30)
    tenant.override("***", 40)
    assert tenant.limit()["limit"] == 20
    tenant.override("cust_*", 25)
    assert tenant.limit()["limit"] == 25
    tenant.ask(DELETE, **NAMED, identifier="cust_*")
    assert tenant.limit()["limit"] == 30
    tenant.override("cust_*", 20)
    assert tenant.limit()["limit"] == 30
    assert tenant.limit("ben")["limit"] == 40


@pytest.mark.parametrize(
    ("pattern", "identifier", "applies"),
    [
        ("Cust_*", "cust_77", False),
        ("a.c*", "abc", False),
        ("*.com", "x.com", True),
        ("*.com", "x.com\n", False),
        ("a*c", "a\nc", False),
        ("a**c", "ac", True),
        ("***", "", True),
        ("cust", "cust_77", False),
    ],
)
def test_what_a_pattern_matches(tenant: Any, pattern: str, identifier: str, applies: bool) -> None:
    """Case counts, the whole identifier has to match, and a star takes anything but a newline."""
    tenant.override(pattern, 99)
    assert tenant.limit(identifier)["limit"] == (99 if applies else 10)


def test_overrides_belong_to_a_namespace_of_a_workspace(tenant: Any, foreign: Any) -> None:
    """Neither another namespace nor another workspace knows of an override."""
    tenant.limit(namespace="sms")
    tenant.override("cust_77", 50)
    assert tenant.limit(namespace="sms")["limit"] == 10
    assert foreign.limit()["limit"] == 10


def test_a_wildcard_that_is_asked_for_by_name_is_exact(tenant: Any) -> None:
    """An identifier that reads like a pattern meets the override of that very text first."""
    tenant.override("***", 40)
    tenant.override("cust_*", 20)
    assert tenant.limit("cust_*")["limit"] == 20


# setOverride


def test_setting_again_changes_in_place(tenant: Any) -> None:
    """The id stays, all values are the new ones, and what is left out is back to its default."""
    override_id = tenant.override("cust_*", 50, **{"async": True})
    assert override_id.startswith("rlor_")
    shown = tenant.ask(GET, **NAMED, identifier="cust_*")
    assert shown == {"id": override_id, "identifier": "cust_*", "limit": 50, "duration": 60_000, "async": True}
    assert tenant.override("cust_*", 60, 1000, namespaceId=tenant.namespace_id) == override_id
    shown = tenant.ask(GET, namespaceId=tenant.namespace_id, identifier="cust_*")
    assert shown == {"id": override_id, "identifier": "cust_*", "limit": 60, "duration": 1000, "async": False}


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"identifier": ""}, 400),
        ({"identifier": "*"}, 400),
        ({"identifier": "ab"}, 400),
        ({"identifier": "   "}, 200),
        ({"identifier": "😀a"}, 200),
        ({"identifier": "i" * 512}, 200),
        ({"identifier": "i" * 513}, 400),
        ({"identifier": None}, 400),
        ({"limit": 0}, 200),
        ({"limit": -1}, 400),
        ({"limit": 2**31 - 1}, 200),
        ({"limit": 2**31}, 400),
        ({"duration": 999}, 400),
        ({"duration": 2**31 - 1}, 200),
        ({"duration": 2**31}, 400),
        ({"async": None}, 400),
        ({"async": 1}, 400),
        ({"namespaceId": None}, 400),
        ({"namespaceName": 1}, 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_set_override_accepts(tenant: Any, members: dict[str, Any], status: int) -> None:
    """Members are checked by the contract's table, before anybody is authenticated, and named first."""
    body = {**NAMED, **BODIES[SET], **members}
    answer = tenant.call(SET, body)
    assert answer.status == status, answer
    if status == 400:
        assert answer.json["error"]["message"].startswith(f"{next(iter(members))}: ")
        assert tenant.failure(SET, body, root_key=None) == (400, "BAD_REQUEST", None)


# which namespace


@every_operation
@pytest.mark.parametrize("selector", [{}, {"namespaceId": ""}, {"namespaceId": "", "namespaceName": ""}], ids=str)
def test_a_namespace_has_to_be_named(tenant: Any, operation: str, selector: dict[str, str]) -> None:
    """Without an id and a name it is a 400: before authentication in two operations, after it in the others (§9.6)."""
    body = {**BODIES[operation], **selector}
    assert tenant.failure(operation, body) == (400, "BAD_REQUEST", None)
    assert tenant.call(operation, body).json["error"]["message"] == "namespaceId or namespaceName is required"
    before = operation in (SET, LIST)
    assert tenant.failure(operation, body, root_key=None)[0] == (400 if before else 401)
    poor = tenant.new_root_key()
    assert tenant.failure(operation, body, root_key=poor)[0] == (400 if before else 403)


@every_operation
@pytest.mark.parametrize(
    "select",
    [
        lambda _foreign: {"namespaceName": "nope"},
        lambda _foreign: {"namespaceId": "rlns_nope"},
        lambda foreign: {"namespaceId": foreign.namespace_id},
        lambda foreign: {"namespaceId": foreign.namespace_id, "namespaceName": "email.outbound"},
        lambda _foreign: {"namespaceName": "EMAIL.outbound"},
        lambda _foreign: {"namespaceName": "email.*"},
    ],
    ids=["unknown name", "unknown id", "foreign id", "the id wins", "another case", "no wildcards"],
)
def test_unknown_namespaces(tenant: Any, foreign: Any, operation: str, select: Callable[[Any], Any]) -> None:
    """A namespace that is not there, or somebody else's, is a 404; none is made, and the other one stays as it is."""
    foreign.override("cust_*", 50)
    body = {**BODIES[operation], **select(foreign), **({"limit": 1} if operation == SET else {})}
    assert tenant.failure(operation, body) == (404, "NOT_FOUND", None)
    assert set(tenant.namespaces()) == {"email.outbound"}
    assert foreign.limit()["limit"] == 50


@every_operation
def test_the_id_of_a_namespace_wins_over_a_name(tenant: Any, operation: str) -> None:
    """With both given the name is not looked at."""
    tenant.override("cust_*", 50)
    body = {**BODIES[operation], "namespaceId": tenant.namespace_id, "namespaceName": "nope"}
    assert tenant.call(operation, body).status == 200


# who may


@every_operation
def test_who_may(tenant: Any, operation: str) -> None:
    """The operation's permission or `*` is enough."""
    for permission in ("*", NEEDED[operation]):
        tenant.override("cust_*", 50)
        body = {**NAMED, **BODIES[operation]}
        assert tenant.call(operation, body, root_key=tenant.new_root_key(permission, "api.*.read_api")).status == 200


@every_operation
@pytest.mark.parametrize("namespace", ["email.outbound", "nope"])
def test_who_may_not(tenant: Any, operation: str, namespace: str) -> None:
    """Anything else is a 403 that names what would do, also about a namespace that is not there (§9.5)."""
    tenant.override("cust_*", 50)
    needed = NEEDED[operation]
    action = needed.rpartition(".")[2]
    others = {*NEEDED.values(), "ratelimit.*.limit", f"ratelimit.{tenant.namespace_id}.{action}"} - {needed}
    for held in ((), tuple(sorted(others))):
        answer = tenant.call(
            operation, {**BODIES[operation], "namespaceName": namespace}, root_key=tenant.new_root_key(*held)
        )
        error = answer.json["error"]
        assert (answer.status, error["code"], error["reason"]) == (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
        assert needed in error["message"]
    assert tenant.limit()["limit"] == 50


@every_operation
def test_nobody_without_credentials(tenant: Any, operation: str) -> None:
    """No root key is a 401, an unknown one too."""
    for root_key in (None, "nobody's"):
        failure = tenant.failure(operation, {**NAMED, **BODIES[operation]}, root_key=root_key)
        assert failure == (401, "UNAUTHORIZED", None)


# getOverride, deleteOverride


@pytest.mark.parametrize("operation", [GET, DELETE])
@pytest.mark.parametrize("identifier", ["cust_77", "CUST_*", "*", "", "%", "cust__"])
def test_identifiers_are_compared_literally(tenant: Any, operation: str, identifier: str) -> None:
    """Only the stored text itself names an override: no wildcard, no other case."""
    tenant.override("cust_*", 50)
    assert tenant.failure(operation, {**NAMED, "identifier": identifier}) == (404, "NOT_FOUND", None)
    assert tenant.limit()["limit"] == 50


@pytest.mark.parametrize("operation", [GET, DELETE])
def test_an_identifier_is_required(tenant: Any, operation: str) -> None:
    """Without one it is a 400, before authentication."""
    assert tenant.failure(operation, NAMED, root_key=None) == (400, "BAD_REQUEST", None)


def test_deleting_twice(tenant: Any) -> None:
    """A deleted override is gone: shown no more, listed no more, and not to be deleted again."""
    tenant.override("cust_*", 50)
    body = {**NAMED, "identifier": "cust_*"}
    assert tenant.call(DELETE, body).body == b"{}"
    for operation in (DELETE, GET):
        assert tenant.failure(operation, body) == (404, "NOT_FOUND", None)
    assert tenant.ask(LIST, **NAMED) == {"overrides": [], "total": 0}


# what is left behind


def test_changes_leave_audit_entries(tenant: Any) -> None:
    """Each change leaves one entry with the override and its namespace; what failed leaves none."""
    override_id = tenant.override("cust_*", 50)
    tenant.override("cust_*", 60)
    tenant.ask(DELETE, **NAMED, identifier="cust_*")
    tenant.call(DELETE, {**NAMED, "identifier": "cust_*"})
    entries = tenant.audit("ratelimit.set_override", "ratelimit.delete_override")
    assert [entry.event for entry in entries] == ["ratelimit.set_override"] * 2 + ["ratelimit.delete_override"]
    for entry in entries:
        assert entry.actor_id == tenant.record(tenant.root_key).id
        assert [(r.type, r.id, r.name) for r in entry.resources] == [
            ("ratelimitOverride", override_id, "cust_*"),
            ("ratelimitNamespace", tenant.namespace_id, "email.outbound"),
        ]
    assert entries[1].resources[0].meta == {"limit": "60", "duration": "60000"}
