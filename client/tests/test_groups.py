"""The groups beside `keys` on the wire (sdk.md sections 7, 11 and 13)."""

import asyncio

import httpx
import pytest

from unkey_py import models

EMPTY = ("object", {})
HASHED = {"apiId": "a", "hash": {"value": "v", "variant": "sha256_base64"}, "enabled": True}
LIMIT = {"name": "n", "limit": 1, "duration": 2}
IDENTITY = {"id": "id_1", "externalId": "e", "meta": {}, "ratelimits": [LIMIT]}
PERMISSION = {"id": "p", "name": "n"}
OVERRIDE = {"id": "o", "identifier": "i", "limit": 1, "duration": 2, "async": None}

# operation, arguments, method, path, query or body, attribute, answer
OPERATIONS = [
    ("analytics.get_verifications", {"request": {"api_id": "a", "key_id": ["k", "l"], "group_by": ["key", "day"]}},
     "GET", "analytics.getVerifications", "apiId=a&keyId=k&keyId=l&groupBy=key&groupBy=day&order=asc",
     "response_bodies", [{"total": 1, "notFound": 2}]),
    ("apis.create", {"request": {"name": "n"}}, "POST", "apis.createApi", {"name": "n"}, "object", {"apiId": "a"}),
    ("apis.delete", {"request": {"api_id": "a"}}, "POST", "apis.deleteApi", {"apiId": "a"}, *EMPTY),
    ("apis.delete_keys", {"request": {"api_id": "a"}}, "POST", "apis.deleteKeys",
     {"apiId": "a", "permanent": False}, "object", {"deletedKeys": 3}),
    ("apis.get", {"api_id": "a"}, "GET", "apis.getApi", "apiId=a", "object", {"id": "a", "workspaceId": "w"}),
    ("apis.list_keys", {"request": {"api_id": "a"}}, "GET", "apis.listKeys",
     "apiId=a&limit=100&revalidateKeysCache=false", "object", {"keys": [], "total": 0, "cursor": "c"}),
    ("identities.create", {"request": {"external_id": "e", "ratelimits": [LIMIT]}}, "POST",
     "identities.createIdentity", {"externalId": "e", "ratelimits": [LIMIT]}, "object", {"identityId": "id_1"}),
    ("identities.delete", {"request": {"identity_id": "i"}}, "POST", "identities.deleteIdentity",
     {"identityId": "i"}, *EMPTY),
    ("identities.get", {"external_id": "e"}, "GET", "identities.getIdentity", "externalId=e", "object", IDENTITY),
    ("identities.list", {}, "GET", "identities.listIdentities", "environment=default&limit=100", "object",
     {"identities": [], "total": 0}),
    ("identities.update", {}, "POST", "identities.updateIdentity", {"environment": "default"}, "object", IDENTITY),
    ("liveness.check", {}, "GET", "liveness", "", "object",
     {"status": "ok", "services": {"metrics": "m", "logger": "l", "ratelimit": "r", "usagelimit": "u"}}),
    ("migrations.create_keys", {"request": [models.RequestBody.model_validate(HASHED), {**HASHED, "name": "n"}]},
     "POST", "migrations.createKeys", [HASHED, HASHED | {"name": "n"}], "object", {"keyIds": ["k", "l"]}),
    ("migrations.enqueue", {"request": {"migration_id": "m", "api_id": "a", "keys": ({"plaintext": "p"},)}}, "POST",
     "migrations.enqueueKeys", {"migrationId": "m", "apiId": "a", "keys": [{"plaintext": "p", "enabled": True}]},
     "object", httpx.Response(202, json={})),
    ("permissions.create", {"request": {"name": "n", "description": ""}}, "POST", "permissions.createPermission",
     {"name": "n", "description": ""}, "object", {"permissionId": "p"}),
    ("permissions.create_role", {"request": {"name": "n"}}, "POST", "permissions.createRole", {"name": "n"}, "object",
     {"roleId": "r"}),
    ("permissions.delete", {"request": {"permission_id": "p"}}, "POST", "permissions.deletePermission",
     {"permissionId": "p"}, *EMPTY),
    ("permissions.delete_role", {"request": {"role_id": "r"}}, "POST", "permissions.deleteRole", {"roleId": "r"},
     *EMPTY),
    ("permissions.get", {"permission_id": "p"}, "GET", "permissions.getPermission", "permissionId=p", "object",
     PERMISSION),
    ("permissions.get_role", {"role_id": "r"}, "GET", "permissions.getRole", "roleId=r", "object", PERMISSION),
    ("permissions.list", {}, "GET", "permissions.listPermissions", "", "response_bodies", [PERMISSION]),
    ("permissions.list_roles", {}, "GET", "permissions.listRoles", "", "response_bodies", [PERMISSION]),
    ("ratelimit.get_override", {"identifier": "i", "namespace_name": "n"}, "GET", "ratelimits.getOverride",
     "identifier=i&namespaceName=n", "object", OVERRIDE),
    ("ratelimit.list_overrides", {"namespace_id": "n"}, "GET", "ratelimits.listOverrides", "namespaceId=n&limit=100",
     "object", {"overrides": [OVERRIDE], "total": 1}),
    ("ratelimit.set_override", {"request": {"identifier": "i", "limit": 1, "duration": 2}}, "POST",
     "ratelimits.setOverride", {"identifier": "i", "limit": 1, "duration": 2, "async": False}, "object",
     {"overrideId": "o"}),
    ("ratelimits.delete_override", {"request": {"identifier": "i"}}, "POST", "ratelimits.deleteOverride",
     {"identifier": "i"}, *EMPTY),
    ("ratelimits.limit", {"request": {"identifier": "i", "limit": 1, "duration": 2}}, "POST", "ratelimits.limit",
     {"identifier": "i", "limit": 1, "duration": 2, "namespace": "default", "cost": 1, "async": False}, "object",
     {"success": True, "limit": 1, "remaining": 0, "reset": 9}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "arguments", "method", "path", "sent", "attribute", "answer"),
    OPERATIONS,
    ids=[row[0] for row in OPERATIONS],
)
def test_operations(server, invoke, operation, arguments, method, path, sent, attribute, answer):
    """Each operation sends what it was given to its path, and gives the answer under its attribute."""
    server.answers = [answer]
    group, _, name = operation.partition(".")
    result = invoke(getattr(getattr(server.client(), group), name), **arguments)
    request = server.requests[-1]
    assert (request.method, request.url.path) == (method, f"/v1/{path}")
    assert (request.url.query.decode() if method == "GET" else server.body) == sent
    expected = answer.json() if isinstance(answer, httpx.Response) else answer
    body = getattr(result, attribute)
    items = body if isinstance(body, list) else [body]
    dumped = [item.model_dump(mode="json", by_alias=True, exclude_unset=True) for item in items]
    assert (dumped if isinstance(body, list) else dumped[0]) == expected


PAGES = [{"identities": [], "total": 3, "cursor": c} for c in ("", "two", None)]


def test_pages(server):
    """`next` walks the listing with the first call's parameters, an empty cursor included, and ends with None."""
    server.answers = [*PAGES, {}]
    page = server.client().identities.list(
        limit=7, environment="test", server_url="http://other", http_headers={"x-mine": "1"}, timeout_ms=9
    )
    page = page.next()
    assert page.object.cursor == "two"
    last = page.next()
    assert last.next() is None
    assert [request.url.params.get("cursor") for request in server.requests] == [None, "", "two"]
    for request in server.requests:
        assert (request.url.host, request.headers["x-mine"]) == ("other", "1")
        assert (request.url.params["limit"], request.url.params["environment"]) == ("7", "test")
        assert set(request.extensions["timeout"].values()) == {0.009}


def test_pages_without_blocking(server):
    """After `list_async` the next page is awaited and comes through the same client."""
    server.answers = list(PAGES)

    async def walk():
        identities = server.client(client=httpx.Client()).identities
        page, seen = await identities.list_async(), 0
        while page is not None:
            page, seen = await page.next(), seen + 1
        return seen

    assert asyncio.run(walk()) == 3


def test_a_page_that_is_null(server):
    """A listing whose body is null has no next page."""
    null = httpx.Response(200, content=b"null", headers={"content-type": "application/json"})
    server.answers = [null]
    page = server.client().identities.list()
    assert page.object is None
    assert page.next() is None


def test_none_is_no_update(server):
    """An update may be called without a request, but not with None."""
    with pytest.raises(ValueError, match="validation error"):
        server.client().identities.update(request=None)
    assert server.requests == []
