"""The example pairs of keys-v1 §6, with the ids of their fixtures put into the store.

`...` in an expected body stands for a value that is made anew each time: ids, request ids and secrets. The examples are
independent of each other, so each begins with the same two keys.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from keystead.core.credits import Account
from keystead.core.entities import Api, Identity, Key, Permission, Ratelimit, Role, Workspace
from keystead.core.secrets import hash_secret
from keystead.testing.server import NOW_MS, ServerInProcess

WORKSPACE, API, KEYSPACE = "ws_7QmT2vXbN4kLr9Zc", "api_5hJ8kWq3TzYb6RnD", "ks_of_the_examples"
ROOT_SECRET = "unkey_3ZFTVMJ69MaQg71pn85SRmbU"
ACME, ACME_SECRET = "key_3L3Sx3k18tAt1q22", "acme_3ZFTVMJ69MaQg71pn85SRmbU"
BARE, BARE_SECRET = "key_bare", "3ZFTVMJ69MaQg71pn85SRmbU"
IDENTITY, PERMISSION, ROLE = "id_9PfK3dRs6VwXyGmB", "perm_4TzYb6RnD5hJ8kWq", "role_8kWq3TzYb6RnD5hJ"
CREATED_MS = 1_767_225_600_000

ACME_VERIFIED = {
    "requestId": ...,
    "keyId": ACME,
    "name": "billing worker",
    "ownerId": "org_42",
    "meta": {"plan": "pro", "seats": 12},
    "expires": 1798761600000,
    "enabled": True,
    "permissions": ["invoices.read", "invoices.pay"],
    "roles": ["biller"],
    "environment": "live",
    "identity": {"id": IDENTITY, "externalId": "org_42", "meta": {}},
}
BARE_VERIFIED = {"requestId": ..., "keyId": BARE, "enabled": True, "permissions": [], "roles": []}
BARE_OBJECT = {
    "id": BARE,
    "start": "3ZFTV",
    "apiId": API,
    "workspaceId": WORKSPACE,
    "createdAt": CREATED_MS,
    "remaining": 3,
    "refill": {"interval": "daily", "amount": 100, "refillDay": None, "lastRefillAt": CREATED_MS},
    "roles": [],
    "permissions": [],
    "enabled": True,
}


def error(code: str, message: str, **more: str) -> dict[str, Any]:
    """The envelope; the examples' own words where interoperability tests compare them, ours elsewhere."""
    docs = f"https://unkey.dev/docs/api-reference/errors/code/{code}"
    return {"error": {"code": code, "docs": docs, "message": message, "requestId": ..., **more}}


def refused(code: str) -> dict[str, Any]:
    """An envelope whose message is not given."""
    return {"error": {"code": code, "docs": ..., "message": ..., "requestId": ...}}


CREATE, ACME_KEY, BARE_KEY = {"apiId": API}, {"keyId": ACME}, {"keyId": BARE}

# (title, permissions of the root key or None for no credentials, operation, body, status, answer)
EXAMPLES: list[tuple[str, str | None, str, dict[str, Any], int, Any]] = [
    (
        "6.1 create",
        "*",
        "keys.createKey",
        {
            "apiId": API,
            "prefix": "acme",
            "byteLength": 16,
            "name": "billing worker",
            "externalId": "org_42",
            "meta": {"plan": "pro", "seats": 12},
            "roles": ["biller"],
            "permissions": ["invoices.read"],
            "expires": 1798761600000,
            "remaining": 500,
            "refill": {"interval": "monthly", "amount": 500, "refillDay": 15.0},
            "ratelimit": {"limit": 10, "duration": 60000, "async": True, "type": "fast"},
            "enabled": True,
            "recoverable": False,
            "environment": "live",
            "somethingUnknown": True,
        },
        200,
        {"keyId": ..., "key": ...},
    ),
    ("6.1 minimal", "*", "keys.createKey", CREATE, 200, {"keyId": ..., "key": ...}),
    (
        "6.1 unknown api",
        "*",
        "keys.createKey",
        {"apiId": "api_nope"},
        404,
        error("NOT_FOUND", "api api_nope not found"),
    ),
    (
        "6.1 daily with a day",
        "*",
        "keys.createKey",
        {**CREATE, "remaining": 10, "refill": {"interval": "daily", "amount": 5, "refillDay": 4}},
        400,
        refused("BAD_REQUEST"),
    ),
    (
        "6.1 not recoverable",
        "*",
        "keys.createKey",
        {**CREATE, "recoverable": True},
        412,
        error("PRECONDITION_FAILED", f"recoverable keys are not enabled for api {API}"),
    ),
    (
        "6.1 permission to create",
        f"api.{API}.create_key",
        "keys.createKey",
        {**CREATE, "permissions": ["not.there.yet"]},
        403,
        error("FORBIDDEN", "the root key needs * or rbac.*.create_permission", reason="INSUFFICIENT_PERMISSIONS"),
    ),
    ("6.1 nobody", None, "keys.createKey", CREATE, 401, error("UNAUTHORIZED", "key required")),
    ("6.1 nobody, nothing", None, "keys.createKey", {}, 400, error("BAD_REQUEST", "apiId: Required")),
    (
        "6.2 key",
        "*",
        "keys.getKey",
        ACME_KEY,
        200,
        {
            "id": ACME,
            "start": "acme_3ZFT",
            "apiId": API,
            "workspaceId": WORKSPACE,
            "name": "billing worker",
            "ownerId": "org_42",
            "meta": {"plan": "pro", "seats": 12},
            "createdAt": CREATED_MS,
            "expires": 1798761600000,
            "remaining": 500,
            "refill": {"interval": "monthly", "amount": 500, "refillDay": 15, "lastRefillAt": CREATED_MS},
            "ratelimit": {
                "async": False,
                "limit": 10,
                "duration": 60000,
                "refillRate": 10,
                "refillInterval": 60000,
            },
            "roles": ["biller"],
            "permissions": ["invoices.read"],
            "enabled": True,
            "identity": {"id": IDENTITY, "externalId": "org_42", "meta": {}},
        },
    ),
    ("6.2 bare key", "*", "keys.getKey", BARE_KEY, 200, BARE_OBJECT),
    ("6.2 not recoverable", "*", "keys.getKey", {**BARE_KEY, "decrypt": "true"}, 200, BARE_OBJECT),
    (
        "6.2 not permitted",
        "api.*.read_key",
        "keys.getKey",
        {**BARE_KEY, "decrypt": "true"},
        403,
        error(
            "FORBIDDEN",
            f"the root key needs *, api.*.decrypt_key or api.{API}.decrypt_key",
            reason="INSUFFICIENT_PERMISSIONS",
        ),
    ),
    (
        "6.2 missing",
        "*",
        "keys.getKey",
        {"keyId": "key_missing"},
        404,
        error("NOT_FOUND", "key key_missing not found"),
    ),
    ("6.2 no id", "*", "keys.getKey", {}, 400, error("BAD_REQUEST", "keyId: Required")),
    (
        "6.3 whoami",
        "*",
        "keys.whoami",
        {"key": ACME_SECRET},
        200,
        {
            "id": ACME,
            "name": "billing worker",
            "remaining": 500,
            "identity": {"id": IDENTITY, "externalId": "org_42"},
            "meta": {"plan": "pro", "seats": 12},
            "createdAt": CREATED_MS,
            "enabled": True,
            "environment": "live",
        },
    ),
    ("6.3 unknown", "*", "keys.whoami", {"key": "acme_unknown"}, 404, error("NOT_FOUND", "Key not found")),
    ("6.3 empty", "*", "keys.whoami", {"key": ""}, 400, refused("BAD_REQUEST")),
    (
        "6.4 valid",
        None,
        "keys.verifyKey",
        {"apiId": API, "key": ACME_SECRET, "tags": ["path=/v1/invoices", "region=eu"]},
        200,
        {
            "valid": True,
            "code": "VALID",
            **ACME_VERIFIED,
            "ratelimit": {"limit": 10, "remaining": 9, "reset": 1767225660000},
            "remaining": 499,
        },
    ),
    (
        "6.4 unknown",
        None,
        "keys.verifyKey",
        {"key": "nope"},
        200,
        {"valid": False, "code": "NOT_FOUND", "requestId": ...},
    ),
    (
        "6.4 permission not held",
        None,
        "keys.verifyKey",
        {
            "key": BARE_SECRET,
            "authorization": {"permissions": {"and": ["invoices.read", {"or": ["admin", "root"]}]}},
        },
        200,
        {"valid": False, "code": "INSUFFICIENT_PERMISSIONS", **BARE_VERIFIED},
    ),
    (
        "6.4 out of credits",
        None,
        "keys.verifyKey",
        {"key": BARE_SECRET, "remaining": {"cost": 4}},
        200,
        {"valid": False, "code": "USAGE_EXCEEDED", **BARE_VERIFIED, "remaining": 3},
    ),
    (
        "6.4 one name twice",
        None,
        "keys.verifyKey",
        {
            "key": BARE_SECRET,
            "ratelimits": [
                {"name": "tokens", "limit": 500, "duration": 3600000},
                {"name": "tokens", "limit": 20000, "duration": 86400000},
            ],
        },
        200,
        {
            "valid": True,
            "code": "VALID",
            **BARE_VERIFIED,
            "remaining": 2,
            "ratelimit": {"limit": 20000, "remaining": 19999, "reset": 1767312000000},
        },
    ),
    (
        "6.4 unknown limit",
        None,
        "keys.verifyKey",
        {"key": BARE_SECRET, "ratelimits": [{"name": "ghost"}]},
        400,
        error("BAD_REQUEST", 'ratelimit "ghost" is not configured for key "key_bare", and the key has no identity'),
    ),
    (
        "6.4 malformed query",
        None,
        "keys.verifyKey",
        {"key": BARE_SECRET, "authorization": {"permissions": {"and": ["p1", {}]}}},
        400,
        refused("BAD_REQUEST"),
    ),
    ("6.4 something else", None, "keys.verifyKey", {"something": "else"}, 400, refused("BAD_REQUEST")),
    (
        "6.5 update",
        "*",
        "keys.updateKey",
        {
            **ACME_KEY,
            "name": "Customer Y",
            "externalId": "org_43",
            "meta": None,
            "expires": 0,
            "ratelimit": {"type": "fast", "limit": 20, "refillRate": 1, "refillInterval": 60, "async": False},
            "remaining": 1000,
            "refill": {"interval": "daily", "amount": 100},
            "enabled": True,
            "roles": [{"name": "biller"}, {"name": "auditor", "create": True}],
            "permissions": [{"id": PERMISSION}],
        },
        200,
        {},
    ),
    (
        "6.5 remove",
        "*",
        "keys.updateKey",
        {**ACME_KEY, "ratelimit": None, "remaining": None, "refill": None, "externalId": None},
        200,
        {},
    ),
    (
        "6.5 refill without limit",
        "*",
        "keys.updateKey",
        {**ACME_KEY, "remaining": None, "refill": {"interval": "monthly", "amount": 5}},
        400,
        refused("BAD_REQUEST"),
    ),
    (
        "6.5 missing",
        "*",
        "keys.updateKey",
        {"keyId": "key_missing", "enabled": False},
        404,
        error("NOT_FOUND", "key key_missing not found"),
    ),
    (
        "6.6 increment",
        "*",
        "keys.updateRemaining",
        {**ACME_KEY, "op": "increment", "value": 10},
        200,
        {"remaining": 510},
    ),
    ("6.6 unlimited", "*", "keys.updateRemaining", {**ACME_KEY, "op": "set", "value": None}, 200, {"remaining": None}),
    ("6.6 another op", "*", "keys.updateRemaining", {**ACME_KEY, "op": "XXX", "value": 1}, 400, refused("BAD_REQUEST")),
    ("6.7 delete", "*", "keys.deleteKey", {**ACME_KEY, "permanent": False}, 200, {}),
    ("6.8 neither id", "*", "keys.getVerifications", {}, 400, refused("BAD_REQUEST")),
    (
        "6.8 another api",
        "api.api_other.read_key",
        "keys.getVerifications",
        BARE_KEY,
        403,
        error(
            "FORBIDDEN",
            f"the root key needs *, api.*.read_key or api.{API}.read_key",
            reason="INSUFFICIENT_PERMISSIONS",
        ),
    ),
    (
        "6.9 add",
        "*",
        "keys.addPermissions",
        {**BARE_KEY, "permissions": [{"id": PERMISSION}, {"name": "dns.record.delete", "create": True}]},
        200,
        [{"id": PERMISSION, "name": "dns.record.create"}, {"id": ..., "name": "dns.record.delete"}],
    ),
    ("6.9 empty entries", "*", "keys.addPermissions", {**BARE_KEY, "permissions": [{}, {}, {}]}, 200, []),
    (
        "6.9 empty key id",
        "*",
        "keys.addPermissions",
        {"keyId": "", "permissions": [{"id": "perm_123"}]},
        400,
        error("BAD_REQUEST", "keyId: String must contain at least 1 character(s)"),
    ),
    (
        "6.9 empty list",
        "*",
        "keys.addPermissions",
        {**BARE_KEY, "permissions": []},
        400,
        error("BAD_REQUEST", "permissions: Array must contain at least 1 element(s)"),
    ),
    (
        "6.9 unknown",
        "*",
        "keys.addPermissions",
        {**BARE_KEY, "permissions": [{"name": "ghost"}]},
        404,
        error("NOT_FOUND", "permission ghost not found"),
    ),
    (
        "6.10 remove",
        "*",
        "keys.removePermissions",
        {**BARE_KEY, "permissions": [{"id": PERMISSION}, {"name": "never.existed"}]},
        200,
        {},
    ),
    (
        "6.11 set",
        "*",
        "keys.setPermissions",
        {**BARE_KEY, "permissions": [{"slug": "dns.record.create"}, {"name": "dns.zone.read", "create": True}]},
        200,
        [{"id": PERMISSION, "name": "dns.record.create"}, {"id": ..., "name": "dns.zone.read"}],
    ),
    (
        "6.12 add roles",
        "*",
        "keys.addRoles",
        {**BARE_KEY, "roles": [{"id": ROLE}, {"name": "auditor", "create": True}]},
        200,
        [{"id": ROLE, "name": "biller"}, {"id": ..., "name": "auditor"}],
    ),
    (
        "6.12 set roles",
        "*",
        "keys.setRoles",
        {**BARE_KEY, "roles": [{"id": ROLE}]},
        200,
        [{"id": ROLE, "name": "biller"}],
    ),
    ("6.12 remove roles", "*", "keys.removeRoles", {**BARE_KEY, "roles": [{"id": ROLE}, {"name": "x"}]}, 200, {}),
    (
        "6.12 empty list",
        "*",
        "keys.setRoles",
        {**BARE_KEY, "roles": []},
        400,
        error("BAD_REQUEST", "roles: Array must contain at least 1 element(s)"),
    ),
]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerInProcess, httpx.Client]]:
    """A server with the workspace, the api, the identity, the permissions and the roles of the examples."""

    def furnish(tx: Any) -> None:
        tx.workspaces.insert(Workspace(WORKSPACE, "examples", True, CREATED_MS))
        tx.apis.insert(Api(API, WORKSPACE, "examples", CREATED_MS, KEYSPACE))
        tx.identities.insert(Identity(IDENTITY, WORKSPACE, "org_42"), CREATED_MS)
        for id_, slug in [(PERMISSION, "dns.record.create"), ("perm_r", "invoices.read"), ("perm_p", "invoices.pay")]:
            tx.permissions.insert(WORKSPACE, Permission(id_, slug, slug), CREATED_MS)
        tx.roles.insert(WORKSPACE, Role(ROLE, "biller"), CREATED_MS)
        tx.roles.connect_permissions(ROLE, ["perm_p"])

    with ServerInProcess(tmp_path_factory.mktemp("server")) as server:
        server.write(furnish)
        with httpx.Client(base_url=server.url, timeout=30) as client:
            yield server, client


@pytest.fixture
def ask(examples: tuple[ServerInProcess, httpx.Client]) -> Iterator[Any]:
    """A function of (permission of the root key or None, operation, body) → the answer; the keys are as at first."""
    server, client = examples
    acme = Key(
        id=ACME,
        keyspace_id=KEYSPACE,
        workspace_id=WORKSPACE,
        hash=hash_secret(ACME_SECRET),
        start="acme_3ZFT",
        created_at_ms=CREATED_MS,
        name="billing worker",
        owner_id="org_42",
        identity_id=IDENTITY,
        meta='{"plan": "pro", "seats": 12}',
        expires_ms=1798761600000,
        environment="live",
        account=Account(500, 500, 15, CREATED_MS, CREATED_MS),
    )
    bare = Key(
        id=BARE,
        keyspace_id=KEYSPACE,
        workspace_id=WORKSPACE,
        hash=hash_secret(BARE_SECRET),
        start="3ZFTV",
        created_at_ms=CREATED_MS,
        account=Account(3, 100, None, CREATED_MS, CREATED_MS),
    )

    def furnish(tx: Any) -> None:
        for key in (acme, bare):
            tx.keys.insert(key)
        tx.keys.put_limit(acme, Ratelimit("rl_acme", "default", 10, 60_000, auto_apply=True))
        tx.keys.connect_permissions(acme, ["perm_r"])
        tx.keys.connect_roles(acme, [ROLE])

    def clear(tx: Any) -> None:
        for key in (acme, bare):
            tx.keys.delete(key)

    roots: dict[str, str] = {}

    def root_key(permission: str) -> str:
        if permission not in roots:
            storage = server.application.storage
            made = server.call(lambda: storage.operator.create_root_key("test", [permission], WORKSPACE, NOW_MS))
            roots[permission] = made.key
        return roots[permission]

    def call(permission: str | None, operation: str, body: dict[str, Any]) -> httpx.Response:
        headers = {} if permission is None else {"Authorization": f"Bearer {root_key(permission)}"}
        if operation in ("keys.getKey", "keys.getVerifications"):
            return client.get(f"/v1/{operation}", params=body, headers=headers)
        return client.post(f"/v1/{operation}", json=body, headers=headers)

    server.write(furnish)
    yield call
    server.write(clear)


def matches(actual: Any, expected: Any) -> bool:
    """Whether two bodies are equal, where `...` equals any non-empty text."""
    if expected is ...:
        return isinstance(actual, str) and actual != ""
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(matches(actual[name], value) for name, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(matches(left, right) for left, right in zip(actual, expected, strict=True))
        )
    return bool(actual == expected)


@pytest.mark.parametrize(
    ("root", "operation", "body", "status", "expected"),
    [example[1:] for example in EXAMPLES],
    ids=[example[0] for example in EXAMPLES],
)
def test_example(ask: Any, root: str | None, operation: str, body: dict[str, Any], status: int, expected: Any) -> None:
    """The request of the example has the answer of the example, member by member."""
    response = ask(root, operation, body)
    assert response.status_code == status, response.text
    assert matches(response.json(), expected), response.text


def test_example_of_a_ratelimited_key(ask: Any, examples: tuple[ServerInProcess, httpx.Client]) -> None:
    """The 11th call in a window is ratelimited as in 6.4, names the limit in the header and takes no credits."""
    server, _ = examples
    # A minute later than the other examples, which take from the same limit.
    server.clock.advance(60_000)
    *valid, eleventh = [ask(None, "keys.verifyKey", {"key": ACME_SECRET}) for _ in range(11)]
    shown = ask("*", "keys.getKey", ACME_KEY)
    server.clock.advance(-60_000)
    assert [response.json()["code"] for response in valid] == ["VALID"] * 10
    expected = {
        "valid": False,
        "code": "RATE_LIMITED",
        **ACME_VERIFIED,
        "ratelimit": {"limit": 10, "remaining": 0, "reset": 1767225720000},
    }
    assert matches(eleventh.json(), expected), eleventh.text
    assert eleventh.headers["unkey-ratelimit-triggered"] == "default"
    assert shown.json()["remaining"] == 490


def test_example_of_an_update(ask: Any) -> None:
    """After the update of 6.5, getKey shows what the example says it does."""
    body = next(example[3] for example in EXAMPLES if example[0] == "6.5 update")
    ask("*", "keys.updateKey", body)
    shown = ask("*", "keys.getKey", ACME_KEY).json()
    expected = {
        "name": "Customer Y",
        "ownerId": "org_43",
        "ratelimit": {"async": False, "limit": 20, "duration": 60, "refillRate": 20, "refillInterval": 60},
        "remaining": 1000,
        "refill": {"interval": "daily", "amount": 100, "refillDay": None, "lastRefillAt": CREATED_MS},
        "roles": ["biller", "auditor"],
        "permissions": ["dns.record.create"],
        "updatedAt": NOW_MS,
    }
    assert {name: shown[name] for name in expected} == expected
    assert shown["identity"]["externalId"] == "org_43"
    assert not shown.keys() & {"meta", "expires"}
