"""Pages of overrides and namespaces (contract other-v1 §0.6, §4.5; DECISIONS for listNamespaces)."""

from typing import Any

import pytest

from keystead.core.entities import Namespace, Override

LIST_OVERRIDES = "ratelimits.listOverrides"
LIST_NAMESPACES = "ratelimits.listNamespaces"
NAMED = {"namespaceName": "email.outbound"}


def pages(tenant: Any, operation: str, member: str, **query: Any) -> list[list[Any]]:
    """Every page, followed by cursor until none comes back; each says the same total."""
    found: list[list[Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = tenant.ask(operation, **query, **cursor)
        found.append(answer[member])
        if not answer[member]:
            assert "cursor" not in answer
            assert answer["total"] == sum(map(len, found))
            return found
        assert answer["cursor"] == answer[member][-1]["id"]
        cursor = {"cursor": answer["cursor"]}


def put_overrides(tenant: Any, count: int) -> None:
    def put(tx: Any) -> None:
        namespace = tx.namespaces.get(tenant.namespace_id, tenant.workspace_id)
        for number in range(count):
            # Ids in another order than that of creation.
            override_id = f"rlor_{number * 7919 % 1000:03}{tenant.workspace_id}"
            tx.overrides.insert(namespace, Override(override_id, namespace.id, f"cust_{number}", number, 1000))

    tenant.server.write(put)


@pytest.mark.parametrize(("limit", "sizes"), [({}, [100, 100, 50, 0]), ({"limit": 60}, [60, 60, 60, 60, 10, 0])])
def test_all_overrides_come_once(tenant: Any, limit: dict[str, int], sizes: list[int]) -> None:
    """250 overrides come in pages by id, none twice and none left out; the last page has a cursor, the empty none."""
    put_overrides(tenant, 250)
    found = pages(tenant, LIST_OVERRIDES, "overrides", **NAMED, **limit)
    assert [len(page) for page in found] == sizes
    ids = [override["id"] for page in found for override in page]
    assert ids == sorted(set(ids))
    assert {override["identifier"] for page in found for override in page} == {f"cust_{n}" for n in range(250)}
    assert tenant.limit("cust_249")["limit"] == 249


def test_an_override_of_the_listing(tenant: Any) -> None:
    """An item has the five members of getOverride, and the parameter `identifier` is ignored."""
    override_id = tenant.override("cust_*", 50)
    item = {"id": override_id, "identifier": "cust_*", "limit": 50, "duration": 60_000, "async": False}
    expected = {"overrides": [item], "total": 1, "cursor": override_id}
    assert tenant.ask(LIST_OVERRIDES, **NAMED, identifier="other") == expected
    assert tenant.ask(LIST_OVERRIDES, namespaceId=tenant.namespace_id) == expected


def test_no_overrides(tenant: Any) -> None:
    """A namespace without overrides has an empty page without a cursor."""
    assert tenant.ask(LIST_OVERRIDES, **NAMED) == {"overrides": [], "total": 0}


def test_a_listing_shows_one_namespace(tenant: Any, foreign: Any) -> None:
    """Overrides of other namespaces and workspaces are neither shown nor counted."""
    foreign.override("cust_*", 1)
    tenant.limit(namespace="sms")
    tenant.override("cust_*", 2, namespaceName="sms")
    assert tenant.ask(LIST_OVERRIDES, **NAMED)["total"] == 0
    assert tenant.ask(LIST_OVERRIDES, namespaceName="sms")["total"] == 1


@pytest.mark.parametrize(
    ("operation", "named"), [(LIST_OVERRIDES, NAMED), (LIST_NAMESPACES, {})], ids=["overrides", "namespaces"]
)
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": "1"}, 200),
        ({"limit": "100"}, 200),
        ({"limit": "1e1"}, 200),
        ({"limit": ""}, 400),
        ({"limit": "0"}, 400),
        ({"limit": "101"}, 400),
        ({"limit": "x"}, 400),
        ({"limit": ["1", "2"]}, 400),
        ({"cursor": ""}, 200),
        ({"cursor": "anything"}, 200),
        ({"cursor": "\x00"}, 200),
        ({"unknown": "1"}, 200),
    ],
    ids=str,
)
def test_queries(tenant: Any, operation: str, named: dict[str, str], query: dict[str, Any], status: int) -> None:
    """The page's size is checked before authentication; any cursor is accepted."""
    pairs = [(name, v) for name, value in query.items() for v in (value if isinstance(value, list) else [value])]
    tenant.connection.send(operation, None, query=[*named.items(), *pairs])
    assert tenant.connection.receive().status == status
    if status == 400:
        tenant.connection.send(operation, None, query=[*named.items(), *pairs], root_key=None)
        assert tenant.connection.receive().status == 400


def test_all_namespaces_come_once(tenant: Any, foreign: Any) -> None:
    """250 namespaces of the workspace come in pages by id, and nobody else's."""

    def put(tx: Any) -> None:
        for number in range(249):
            namespace_id = f"rlns_{number * 7919 % 1000:03}{tenant.workspace_id}"
            tx.namespaces.insert(Namespace(namespace_id, tenant.workspace_id, f"name {number}", 0))

    tenant.server.write(put)
    found = pages(tenant, LIST_NAMESPACES, "namespaces")
    assert [len(page) for page in found] == [100, 100, 50, 0]
    ids = [namespace["id"] for page in found for namespace in page]
    assert ids == sorted(set(ids))
    names = {namespace["name"] for page in found for namespace in page}
    assert names == {"email.outbound", *(f"name {n}" for n in range(249))}
    assert foreign.ask(LIST_NAMESPACES)["total"] == 1


def test_a_namespace_of_the_listing(tenant: Any) -> None:
    """An item has an id and a name, and shows at once."""
    tenant.limit(namespace="")
    listed = tenant.ask(LIST_NAMESPACES)["namespaces"]
    assert {item["name"]: item["id"] for item in listed} == tenant.namespaces()
    assert all(set(item) == {"id", "name"} for item in listed)


def test_who_may_list_namespaces(tenant: Any) -> None:
    """`ratelimit.*.read_namespace` or `*`; nothing else, and nobody without credentials."""
    for permission in ("*", "ratelimit.*.read_namespace"):
        assert tenant.call(LIST_NAMESPACES, root_key=tenant.new_root_key(permission)).status == 200
    others = ("ratelimit.*.read_override", "ratelimit.*.limit", f"ratelimit.{tenant.namespace_id}.read_namespace")
    for held in ((), others):
        answer = tenant.call(LIST_NAMESPACES, root_key=tenant.new_root_key(*held))
        assert (answer.status, answer.json["error"]["reason"]) == (403, "INSUFFICIENT_PERMISSIONS")
        assert "ratelimit.*.read_namespace" in answer.json["error"]["message"]
    assert tenant.failure(LIST_NAMESPACES, {}, root_key=None) == (401, "UNAUTHORIZED", None)
