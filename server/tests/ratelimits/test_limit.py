"""ratelimits.limit: the window, the counters, the namespace, and who may (contract other-v1 §4.1, §4.2)."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from keystead.core.credits import Account
from keystead.core.entities import Ratelimit
from keystead.testing.server import NOW_MS

END_OF_MINUTE_MS = 1_767_225_660_000


def test_the_examples_of_the_contract(tenant: Any) -> None:
    """A cost of 3 leaves 7 of 10; one that no longer fits is refused, takes nothing and shows what is left."""
    first = {"success": True, "limit": 10, "remaining": 7, "reset": END_OF_MINUTE_MS}
    assert tenant.limit(cost=3) == first
    assert tenant.limit(cost=6)["remaining"] == 1
    refused = {"success": False, "limit": 10, "remaining": 1, "reset": END_OF_MINUTE_MS}
    assert tenant.limit(cost=3) == tenant.limit(cost=3) == refused
    assert tenant.limit()["success"] is True


def test_the_window_is_aligned_to_the_epoch(tenant: Any, clock: Any) -> None:
    """At the end of the window, a multiple of its duration, the count starts anew."""
    assert tenant.limit(cost=10)["success"] is True
    clock.set(END_OF_MINUTE_MS - 1)
    assert tenant.limit() == {"success": False, "limit": 10, "remaining": 0, "reset": END_OF_MINUTE_MS}
    clock.set(END_OF_MINUTE_MS)
    assert tenant.limit() == {"success": True, "limit": 10, "remaining": 9, "reset": END_OF_MINUTE_MS + 60_000}


def test_a_cost_of_zero_looks(tenant: Any) -> None:
    """Looking five times leaves everything; a full limit refuses even a look (§4.2 rule 1)."""
    assert [tenant.limit(cost=0) for _ in range(5)] == [
        {"success": True, "limit": 10, "remaining": 10, "reset": END_OF_MINUTE_MS}
    ] * 5
    tenant.limit(cost=10)
    assert tenant.limit(cost=0) == {"success": False, "limit": 10, "remaining": 0, "reset": END_OF_MINUTE_MS}


def test_a_cost_beyond_the_limit_is_refused(tenant: Any) -> None:
    """A cost that never fits takes nothing, however often it is tried."""
    assert tenant.limit(cost=11)["success"] is False
    assert tenant.limit(cost=2**63 - 1)["remaining"] == 10


@pytest.mark.parametrize(
    "other",
    [{"limit": 11}, {"duration": 61_000}, {"identifier": "CUST_77"}, {"identifier": ""}, {"namespace": "other"}],
    ids=str,
)
def test_what_makes_another_counter(tenant: Any, other: dict[str, Any]) -> None:
    """Limit, duration, identifier and namespace are part of the counter: none shares its count with another."""
    tenant.limit(cost=10)
    decision = tenant.limit(**{"cost": 0, **other})
    assert decision["remaining"] == decision["limit"]


@pytest.mark.parametrize("same", [{"async": True}, {"async": False}, {"meta": {"a": 1}}, {"resources": []}], ids=str)
def test_what_makes_no_other_counter(tenant: Any, same: dict[str, Any]) -> None:
    """`async`, `meta` and `resources` have no part in the count (§4.2 REC)."""
    tenant.limit(cost=4)
    assert tenant.limit(cost=0, **same)["remaining"] == 6


def test_workspaces_do_not_share_counters(tenant: Any, foreign: Any) -> None:
    """The same names in another workspace are another namespace."""
    tenant.limit(cost=10)
    assert foreign.limit(cost=0)["remaining"] == 10


def test_limits_of_keys_are_apart(tenant: Any) -> None:
    """An identifier that looks like the counter of a key is not that counter."""
    root_key = tenant.new_root_key("*")
    record = tenant.record(root_key)
    limit = Ratelimit("rl_apart", "default", 3, 60_000, auto_apply=True)
    tenant.server.write(lambda tx: tx.keys.put_limit(record, limit))
    for namespace in (record.id, "email.outbound"):
        tenant.limit("default", namespace=namespace, limit=3, cost=3)
    assert tenant.call("ratelimits.limit", tenant.asked(), root_key=root_key).status == 200


def test_extremes_are_numbers_like_any(tenant: Any) -> None:
    """The largest limit, duration and cost are counted exactly."""
    decision = tenant.limit("big", limit=2**31 - 1, duration=2**63 - 1, cost=2**31 - 1)
    assert decision == {"success": True, "limit": 2**31 - 1, "remaining": 0, "reset": 2**63 - 1}


def test_the_namespace_is_default_unless_named(tenant: Any) -> None:
    """Without a namespace it is `default`; the empty name is another one, and legal."""
    body = {"identifier": "anna", "limit": 10, "duration": 60_000}
    assert tenant.ask("ratelimits.limit", **body, cost=4)["remaining"] == 6
    assert tenant.ask("ratelimits.limit", **body, cost=0, namespace="default")["remaining"] == 6
    assert tenant.ask("ratelimits.limit", **body, cost=0, namespace="")["remaining"] == 10
    assert set(tenant.namespaces()) == {"email.outbound", "default", ""}


VALUES = {"text": "a", "true": True, "int": 1, "float": 1.5, "null": None}


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"meta": VALUES}, 200),
        ({"resources": [{"type": "project", "id": "p_1", "name": "one", "meta": VALUES}]}, 200),
        ({"limit": 10.0, "duration": 6e4, "cost": 0.0}, 200),
        ({"unknown": [1]}, 200),
        ({"limit": 2**31 - 1}, 200),
        ({"limit": 0}, 400),
        ({"limit": -1}, 400),
        ({"limit": 2**31}, 400),
        ({"limit": 1.5}, 400),
        ({"limit": "10"}, 400),
        ({"limit": None}, 400),
        ({"duration": 1000}, 200),
        ({"duration": 999}, 400),
        ({"duration": 2**63}, 400),
        ({"cost": -1}, 400),
        ({"cost": 2**63}, 400),
        ({"cost": None}, 400),
        ({"identifier": None}, 400),
        ({"identifier": 7}, 400),
        ({"namespace": None}, 400),
        ({"namespace": "n" * 512}, 200),
        ({"namespace": "n" * 513}, 400),
        ({"async": "true"}, 400),
        ({"async": None}, 400),
        ({"meta": []}, 400),
        ({"meta": None}, 400),
        ({"meta": {"a": []}}, 400),
        ({"meta": {"a": {}}}, 400),
        ({"resources": {}}, 400),
        ({"resources": [{"type": "project"}]}, 400),
        ({"resources": [{"type": "project", "id": 1}]}, 400),
        ({"resources": [{"type": "project", "id": "p_1", "name": None}]}, 400),
        ({"resources": [{"type": "project", "id": "p_1", "meta": {"a": []}}]}, 400),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_what_is_accepted(tenant: Any, members: dict[str, Any], status: int) -> None:
    """Members are checked by the contract's table; a 400 names the member first, and both ways in agree."""
    body = tenant.asked(**members)
    for operation in ("ratelimits.limit", "ratelimits.limit?pretty"):
        answer = in_another_dress(tenant, body) if "?" in operation else tenant.call(operation, body)
        assert answer.status == status, answer
        if status == 400:
            assert answer.json["error"]["code"] == "BAD_REQUEST"
            assert answer.json["error"]["message"].startswith(next(iter(members)))


@pytest.mark.parametrize("missing", ["identifier", "limit", "duration"])
def test_what_is_required(tenant: Any, missing: str) -> None:
    """Without one of the required members the answer names it, before anybody is authenticated."""
    body = {name: value for name, value in tenant.asked().items() if name != missing}
    answer = tenant.call("ratelimits.limit", body, root_key=None)
    assert answer.status == 400
    assert answer.json["error"]["message"] == f"{missing}: Required"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'{"identifier":"\\ud800","limit":1,"duration":1000}', b"[]", b"7"]
)
def test_what_is_no_json(tenant: Any, raw: bytes) -> None:
    """A body that can not be read is a 400, never a failure."""
    tenant.connection.send("ratelimits.limit", None, raw=raw)
    assert tenant.connection.receive().status == 400


def in_another_dress(tenant: Any, body: dict[str, Any]) -> Any:
    """The same request with a query string: it comes through the router."""
    tenant.connection.send("ratelimits.limit?pretty=", body)
    return tenant.connection.receive()


def test_both_ways_in_count_together(tenant: Any) -> None:
    """The lane and the router answer from one counter, in the same words."""
    tenant.limit(cost=2)
    through_router = in_another_dress(tenant, tenant.asked(cost=2))
    assert through_router.body == b'{"success":true,"limit":10,"remaining":6,"reset":1767225660000}'
    through_lane = tenant.call("ratelimits.limit", tenant.asked(cost=0))
    assert through_lane.body == through_router.body
    names = {"content-type", "unkey-request-id"}
    assert names <= set(through_lane.headers) & set(through_router.headers)
    assert through_lane.headers["content-type"] == through_router.headers["content-type"]


# Who may


@pytest.mark.parametrize("permission", ["*", "ratelimit.*.limit", "ratelimit.<id>.limit"])
def test_who_may_limit(tenant: Any, permission: str) -> None:
    """Each of the three permissions is enough for a namespace that exists."""
    root_key = tenant.new_root_key(permission.replace("<id>", tenant.namespace_id))
    assert tenant.call("ratelimits.limit", tenant.asked(), root_key=root_key).status == 200


@pytest.mark.parametrize(
    "held",
    [
        (),
        ("ratelimit.rlns_other.limit",),
        ("ratelimit.email.outbound.limit",),
        ("ratelimit.*.create_namespace", "ratelimit.*.set_override", "api.*.limit"),
    ],
    ids=str,
)
def test_who_may_not_limit(tenant: Any, held: tuple[str, ...]) -> None:
    """Anything else is a 403 that names what would do, and takes nothing."""
    answer = tenant.call("ratelimits.limit", tenant.asked(), root_key=tenant.new_root_key(*held))
    error = answer.json["error"]
    assert (answer.status, error["code"], error["reason"]) == (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
    for needed in ("*", "ratelimit.*.limit", f"ratelimit.{tenant.namespace_id}.limit"):
        assert needed in error["message"]
    assert tenant.limit(cost=0)["remaining"] == 10


def test_an_unknown_namespace_is_not_found_without_the_permission_to_create_it(tenant: Any, foreign: Any) -> None:
    """Who may not create gets 404 whatever else is held: the namespace comes before the permission (§4.1)."""
    foreign.limit(namespace="theirs")
    for held in ((), ("ratelimit.*.limit",), (f"ratelimit.{foreign.namespaces()['theirs']}.limit",)):
        root_key = tenant.new_root_key(*held)
        for _ in range(2):
            body = tenant.asked(namespace="theirs")
            assert tenant.failure("ratelimits.limit", body, root_key=root_key) == (404, "NOT_FOUND", None)
    assert set(tenant.namespaces()) == {"email.outbound"}


def test_creating_needs_the_permission_to_limit_too(tenant: Any) -> None:
    """Who may create but not limit gets 403, and no namespace is made (§4.1 step 4 REC)."""
    root_key = tenant.new_root_key("ratelimit.*.create_namespace")
    failure = tenant.failure("ratelimits.limit", tenant.asked(namespace="new"), root_key=root_key)
    assert failure == (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
    assert "new" not in tenant.namespaces()


@pytest.mark.parametrize("held", [("*",), ("ratelimit.*.create_namespace", "ratelimit.*.limit")], ids=str)
def test_a_namespace_is_made_by_its_first_use(tenant: Any, held: tuple[str, ...]) -> None:
    """Who may, makes it by using it; one audit entry says so, and from then on it is there for everybody."""
    root_key = tenant.new_root_key(*held)
    first = tenant.call("ratelimits.limit", tenant.asked(namespace="new"), root_key=root_key)
    second = tenant.call(
        "ratelimits.limit", tenant.asked(namespace="new"), root_key=tenant.new_root_key("ratelimit.*.limit")
    )
    assert [answer.json["remaining"] for answer in (first, second)] == [9, 8]
    made = tenant.audit("ratelimitNamespace.create")[-1]
    namespace_id = tenant.namespaces()["new"]
    assert namespace_id.startswith("rlns_")
    assert [(r.type, r.id, r.name) for r in made.resources] == [("ratelimitNamespace", namespace_id, "new")]
    assert made.actor_id == tenant.record(root_key).id


def test_a_name_known_to_be_free_is_taken_at_once(tenant: Any) -> None:
    """That a name was looked for in vain before does not hide the namespace once it is made."""
    poor = tenant.new_root_key("ratelimit.*.limit")
    body = tenant.asked(namespace="late")
    assert tenant.call("ratelimits.limit", body, root_key=poor).status == 404
    tenant.limit(namespace="late")
    assert tenant.call("ratelimits.limit", body, root_key=poor).json["remaining"] == 8


# Who is calling


def test_credentials_are_asked_for_after_the_schema(tenant: Any) -> None:
    """Without a root key it is 401, with a malformed body 400 (§0.5)."""
    assert tenant.failure("ratelimits.limit", tenant.asked(), root_key=None) == (401, "UNAUTHORIZED", None)
    assert tenant.failure("ratelimits.limit", tenant.asked(), root_key="nobody's") == (401, "UNAUTHORIZED", None)
    assert tenant.failure("ratelimits.limit", {}, root_key=None) == (400, "BAD_REQUEST", None)


def test_an_ordinary_key_is_no_root_key(tenant: Any) -> None:
    """A customer's key may not limit."""
    api_id = tenant.ask("apis.createApi", name="test")["apiId"]
    secret = tenant.ask("keys.createKey", apiId=api_id)["key"]
    assert tenant.failure("ratelimits.limit", tenant.asked(), root_key=secret) == (401, "UNAUTHORIZED", None)


@pytest.mark.parametrize("known", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"enabled": False}, (403, "FORBIDDEN", "DISABLED")),
        ({"expires_ms": NOW_MS - 1}, (403, "FORBIDDEN", "EXPIRED")),
        ({"account": Account(remaining=0)}, (403, "FORBIDDEN", "USAGE_EXCEEDED")),
        ({"deleted_at_ms": 1}, (401, "UNAUTHORIZED", None)),
    ],
    ids=["disabled", "expired", "spent", "deleted"],
)
def test_root_keys_that_are_refused(tenant: Any, changes: Any, failure: Any, known: bool) -> None:
    """What refuses a root key elsewhere refuses it here, also one that was just good, and nothing is taken."""
    root_key = tenant.new_root_key("*")
    if known:
        assert tenant.call("ratelimits.limit", tenant.asked(cost=0), root_key=root_key).status == 200
    changed = msgspec.structs.replace(tenant.record(root_key), **changes)
    tenant.server.write(lambda tx: tx.keys.replace(changed))
    for _ in range(2):
        assert tenant.failure("ratelimits.limit", tenant.asked(), root_key=root_key) == failure
    assert tenant.limit(cost=0)["remaining"] == 10


def test_a_disabled_workspace_is_refused(tenant: Any) -> None:
    """Not even a root key with `*` may limit in a disabled workspace."""
    tenant.server.write(lambda tx: tx.workspaces.set_enabled(tenant.workspace_id, False))
    assert tenant.failure("ratelimits.limit", tenant.asked()) == (403, "FORBIDDEN", None)


@pytest.mark.parametrize("namespace", ["email.outbound", "new"])
@pytest.mark.parametrize("known", [False, True], ids=["cold", "warm"])
def test_a_call_costs_the_root_key_one_credit(tenant: Any, namespace: str, known: bool) -> None:
    """One credit of the root key a call, on every way through the lane; refused decisions cost one as well."""
    root_key = tenant.new_root_key("*")
    if known:
        tenant.call("ratelimits.limit", tenant.asked(cost=0), root_key=root_key)
    record = msgspec.structs.replace(tenant.record(root_key), account=Account(remaining=3))
    tenant.server.write(lambda tx: tx.keys.replace(record))
    for left in (2, 1, 0):
        tenant.call("ratelimits.limit", tenant.asked(namespace=namespace, cost=7), root_key=root_key)
        assert tenant.record(root_key).account.remaining == left
    body = tenant.asked(namespace=namespace)
    assert tenant.failure("ratelimits.limit", body, root_key=root_key) == (403, "FORBIDDEN", "USAGE_EXCEEDED")


@pytest.mark.parametrize("namespace", ["email.outbound", "new"])
def test_a_call_takes_one_from_the_limit_of_the_root_key(tenant: Any, namespace: str) -> None:
    """The root key's own limit counts each call once, whether or not the namespace had to be made."""
    root_key = tenant.new_root_key("*")
    record = tenant.record(root_key)
    limit = Ratelimit(f"rl_{record.id}", "default", 3, 60_000, auto_apply=True)
    tenant.server.write(lambda tx: tx.keys.put_limit(record, limit))
    body = tenant.asked(namespace=namespace, cost=0)
    assert [tenant.call("ratelimits.limit", body, root_key=root_key).status for _ in range(4)] == [200, 200, 200, 429]
    assert tenant.failure("ratelimits.limit", body, root_key=root_key) == (429, "TOO_MANY_REQUESTS", "RATE_LIMITED")


def test_the_scheme_may_be_left_out_and_secrets_are_utf_8(tenant: Any) -> None:
    """The header is read as everywhere: any case of the scheme, the bare key, no decoding failure."""
    address = urlsplit(tenant.server.url)
    body = json.dumps(tenant.asked(cost=0)).encode()
    for header, status in [
        (f"bEaReR {tenant.root_key}".encode(), 200),
        (tenant.root_key.encode(), 200),
        (b"Bearer", 401),
        (b"Bearer \xff\xfe", 401),
        ("Bearer schlüssel".encode(), 401),
    ]:
        head = (
            b"POST /v1/ratelimits.limit HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        )
        with socket.create_connection((address.hostname, address.port), timeout=30) as raw:
            raw.sendall(head + b"Content-Length: %d\r\nAuthorization: %b\r\n\r\n%b" % (len(body), header, body))
            assert int(raw.makefile("rb").readline().split()[1]) == status, header
