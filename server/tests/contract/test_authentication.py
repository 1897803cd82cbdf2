"""Who is let in: the outcomes of keys-v1 §2.2 in their order, and "not found" against "not allowed" (§2.5)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from keystead.contract.service import NoInput
from keystead.core.credits import Account
from keystead.http.operations import GET, OPERATIONS
from keystead.service.operator import OPERATOR_WORKSPACE_ID, ROOT_KEYS_API_ID
from keystead.testing.server import NOW_MS

HASH = {"value": "of a key from elsewhere", "variant": "sha256_base64"}
LIMIT = {"identifier": "customer", "limit": 10, "duration": 60_000}
BODIES: dict[str, Any] = {
    "keys.getKey": {"keyId": "key_nope"},
    "keys.whoami": {"key": "nope"},
    "keys.deleteKey": {"keyId": "key_nope"},
    "keys.createKey": {"apiId": "api_nope"},
    "keys.updateKey": {"keyId": "key_nope"},
    "keys.updateRemaining": {"keyId": "key_nope", "op": "set", "value": 1},
    "keys.getVerifications": {"keyId": "key_nope"},
    "keys.addPermissions": {"keyId": "key_nope", "permissions": [{"name": "x"}]},
    "keys.removePermissions": {"keyId": "key_nope", "permissions": [{"name": "x"}]},
    "keys.setPermissions": {"keyId": "key_nope", "permissions": [{"name": "x"}]},
    "keys.addRoles": {"keyId": "key_nope", "roles": [{"name": "x"}]},
    "keys.removeRoles": {"keyId": "key_nope", "roles": [{"name": "x"}]},
    "keys.setRoles": {"keyId": "key_nope", "roles": [{"name": "x"}]},
    "apis.createApi": {"name": "some api"},
    "apis.getApi": {"apiId": "api_nope"},
    "apis.listKeys": {"apiId": "api_nope"},
    "apis.deleteKeys": {"apiId": "api_nope"},
    "apis.deleteApi": {"apiId": "api_nope"},
    "apis.updateApi": {"apiId": "api_nope"},
    "apis.listApis": {},
    "permissions.createPermission": {"name": "some.permission"},
    "permissions.getPermission": {"permissionId": "perm_nope"},
    "permissions.listPermissions": {},
    "permissions.deletePermission": {"permissionId": "perm_nope"},
    "permissions.createRole": {"name": "some role"},
    "permissions.getRole": {"roleId": "role_nope"},
    "permissions.listRoles": {},
    "permissions.deleteRole": {"roleId": "role_nope"},
    "permissions.setRolePermissions": {"roleId": "role_nope", "permissions": []},
    "identities.createIdentity": {"externalId": "somebody"},
    "identities.getIdentity": {"identityId": "id_nope"},
    "identities.listIdentities": {"environment": "nope"},
    "identities.updateIdentity": {"identityId": "id_nope"},
    "identities.deleteIdentity": {"identityId": "id_nope"},
    "ratelimits.limit": LIMIT,
    "ratelimits.setOverride": {"namespaceId": "rlns_nope", **LIMIT},
    "ratelimits.getOverride": {"namespaceId": "rlns_nope", "identifier": "nobody"},
    "ratelimits.listOverrides": {"namespaceName": "nope"},
    "ratelimits.deleteOverride": {"namespaceName": "nope", "identifier": "nobody"},
    "ratelimits.listNamespaces": {},
    "migrations.createKeys": [{"apiId": "api_nope", "hash": HASH}],
    "migrations.enqueueKeys": {"migrationId": "spring", "apiId": "api_nope", "keys": [{"hash": HASH}]},
    "analytics.getVerifications": {"apiId": "api_nope", "start": 0},
}
"""A valid body for each operation that needs a root key, about objects that do not exist."""

WITHOUT_INPUT = {"permissions.listPermissions", "permissions.listRoles"}
MALFORMED = {name: {} for name in BODIES if name not in WITHOUT_INPUT} | {
    # Their members are all optional, or what is wrong without them is told after authentication.
    "keys.getVerifications": {"granularity": "hour"},
    "apis.listApis": {"limit": "x"},
    "identities.listIdentities": {"limit": "101"},
    "identities.updateIdentity": {"identityId": ""},
    "ratelimits.listNamespaces": {"limit": "0"},
}
"""A call that is 400 before anybody is authenticated, for each operation that takes anything."""

every_operation = pytest.mark.parametrize("operation", BODIES)
every_operation_with_input = pytest.mark.parametrize("operation", MALFORMED)

HEADER_CASES = [
    ("absent", ""),
    ("scheme alone", "Bearer"),
    ("unknown", "Bearer INVALID_KEY"),
    ("unknown and bare", "INVALID_KEY"),
    ("of another scheme", "Basic {secret}"),
]

# What makes a root key refused, in the order of §2.2, with the answer to it.
OUTCOMES: dict[str, tuple[int, str, str | None]] = {
    "workspace disabled": (403, "FORBIDDEN", None),
    "disabled": (403, "FORBIDDEN", "DISABLED"),
    "expired": (403, "FORBIDDEN", "EXPIRED"),
    "address refused": (403, "FORBIDDEN", None),
    "permission missing": (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS"),
    "ratelimited": (429, "TOO_MANY_REQUESTS", "RATE_LIMITED"),
    "out of credits": (403, "FORBIDDEN", "USAGE_EXCEEDED"),
}
RECORD_CHANGES: dict[str, dict[str, Any]] = {
    "disabled": {"enabled": False},
    "expired": {"expires_ms": NOW_MS - 1},
    "out of credits": {"account": Account(remaining=0)},
}
MESSAGES = {
    "workspace disabled": "workspace is disabled",
    "disabled": "disabled",
    "expired": "expired",
    "address refused": "address",
    "permission missing": "rbac.*.create_role",
    "ratelimited": "ratelimited",
    "out of credits": "credits",
}


class Troubled(NamedTuple):
    """Makes root keys that several things are wrong with."""

    home: Any
    server: Any

    @contextmanager
    def root_key(self, *troubles: str) -> Iterator[Any]:
        """A root key of the workspace; what is wrong beyond it is put right at the end."""
        root = self.home.new_root_key("api.*.read_api" if "permission missing" in troubles else "*")
        for trouble in troubles:
            if trouble in RECORD_CHANGES:
                self.home.alter(root.id, **RECORD_CHANGES[trouble])
        if "ratelimited" in troubles:
            self.home.limit_key(root.id, "own", 0, 60_000, auto_apply=True)
        if "workspace disabled" in troubles:
            self.home.enable(False)
        if "address refused" in troubles:
            self.home.change_api(ROOT_KEYS_API_ID, ip_whitelist=("192.0.2.1",))
        try:
            yield root
        finally:
            if "workspace disabled" in troubles:
                self.home.enable(True)
            if "address refused" in troubles:
                self.home.change_api(ROOT_KEYS_API_ID, ip_whitelist=())


@pytest.fixture
def troubled(home: Any, server: Any) -> Troubled:
    return Troubled(home, server)


def refusal(response: Any) -> tuple[int, str, str | None]:
    """Status, code and reason of an answer that is an error envelope."""
    error = response.json()["error"]
    assert error.keys() - {"reason"} == {"code", "docs", "message", "requestId"}
    assert error["docs"] == f"https://unkey.dev/docs/api-reference/errors/code/{error['code']}"
    assert error["requestId"] == response.headers["unkey-request-id"]
    return response.status_code, error["code"], error.get("reason")


def test_every_operation_is_tested() -> None:
    """Each operation that needs a root key has a body here."""
    assert BODIES.keys() == {operation.name for operation in OPERATIONS if operation.authenticated}
    assert MALFORMED.keys() | WITHOUT_INPUT == BODIES.keys()
    assert {operation.name for operation in OPERATIONS if operation.request is NoInput} == WITHOUT_INPUT | {"liveness"}


@every_operation
@pytest.mark.parametrize(("case", "header"), HEADER_CASES, ids=[case for case, _ in HEADER_CASES])
def test_without_a_known_root_key(home: Any, operation: str, case: str, header: str) -> None:
    """Absent, empty and unknown credentials are 401 before any object is looked for."""
    response = home.call(operation, BODIES[operation], authorization=header.format(secret=home.root.secret))
    assert refusal(response) == (401, "UNAUTHORIZED", None)
    if case in ("absent", "scheme alone"):
        assert response.json()["error"]["message"] == "key required"


def test_empty_header(home: Any) -> None:
    """An empty header is as none."""
    response = home.call("apis.listApis", authorization="", Authorization="")
    assert refusal(response) == (401, "UNAUTHORIZED", None)
    assert response.json()["error"]["message"] == "key required"


@every_operation
def test_ordinary_key_is_no_root_key(home: Any, operation: str) -> None:
    """A customer's key is 401 everywhere, also when it holds `*`."""
    key = home.key(permissions=["*"])
    response = home.call(operation, BODIES[operation], root=key)
    assert refusal(response) == (401, "UNAUTHORIZED", None)
    assert response.json()["error"]["message"] == "root key required"


def test_deleted_root_key(home: Any) -> None:
    """A root key that was deleted is unknown on the next call."""
    root = home.new_root_key("*")
    assert home.call("apis.listApis", root=root).status_code == 200
    home.alter(root.id, deleted_at_ms=NOW_MS)
    assert refusal(home.call("apis.listApis", root=root)) == (401, "UNAUTHORIZED", None)


@every_operation_with_input
def test_validation_comes_first(home: Any, operation: str) -> None:
    """A malformed call is 400, with credentials or without (D2)."""
    for authorization in ("", "Bearer INVALID_KEY", None):
        response = home.call(operation, MALFORMED[operation], authorization=authorization)
        assert refusal(response) == (400, "BAD_REQUEST", None)


@every_operation
@pytest.mark.parametrize("trouble", [trouble for trouble in OUTCOMES if trouble != "permission missing"])
def test_each_refusal(home: Any, troubled: Troubled, operation: str, trouble: str) -> None:
    """Whatever is wrong with the root key is told by status, code and reason, before any object is looked for."""
    with troubled.root_key(trouble) as root:
        response = home.call(operation, BODIES[operation], root=root)
    assert refusal(response) == OUTCOMES[trouble]
    assert MESSAGES[trouble] in response.json()["error"]["message"]


ORDER = list(OUTCOMES)


@pytest.mark.parametrize(
    ("first", "second"), [(first, second) for at, first in enumerate(ORDER) for second in ORDER[at + 1 :]]
)
def test_order_of_refusals(home: Any, troubled: Troubled, first: str, second: str) -> None:
    """Of two things wrong with a root key, the one that §2.2 names first is told."""
    with troubled.root_key(second, first) as root:
        assert refusal(home.call("permissions.createRole", {"name": "never"}, root=root)) == OUTCOMES[first]


def test_operator_workspace_disabled(home: Any, server: Any) -> None:
    """Disabling the workspace that owns the root keys refuses them all, as the tenant's own would."""
    server.write(lambda tx: tx.workspaces.set_enabled(OPERATOR_WORKSPACE_ID, False))
    try:
        response = home.call("apis.listApis")
    finally:
        server.write(lambda tx: tx.workspaces.set_enabled(OPERATOR_WORKSPACE_ID, True))
    assert refusal(response) == OUTCOMES["workspace disabled"]


def test_other_workspaces_go_on(home: Any, foreign: Any) -> None:
    """A disabled workspace refuses its own root keys and nobody else's."""
    home.enable(False)
    try:
        assert home.call("apis.listApis").status_code == 403
        assert foreign.call("apis.listApis").status_code == 200
    finally:
        home.enable(True)
    assert home.call("apis.listApis").status_code == 200


@pytest.mark.parametrize("spelling", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "{}"])
def test_spellings_of_the_header(home: Any, spelling: str) -> None:
    """The scheme may be written in any case or left out (§1.2)."""
    response = home.call("apis.listApis", authorization=spelling.format(home.root.secret))
    assert response.status_code == 200


def test_admitted_address(home: Any) -> None:
    """A root key is accepted from an address on its api's list, and only from there."""
    home.change_api(ROOT_KEYS_API_ID, ip_whitelist=("192.0.2.0/24",))
    try:
        statuses = [
            home.call("apis.listApis", **{"X-Forwarded-For": address}).status_code
            for address in ("192.0.2.7", "198.51.100.7")
        ]
    finally:
        home.change_api(ROOT_KEYS_API_ID, ip_whitelist=())
    assert statuses == [200, 403]


@pytest.mark.parametrize(("expires_ms", "status"), [(NOW_MS - 1, 403), (NOW_MS, 200), (NOW_MS + 1, 200)])
def test_the_instant_of_expiry(home: Any, clock: Any, expires_ms: int, status: int) -> None:
    """A root key is good up to and including the instant of its expiry."""
    root = home.new_root_key("*")
    home.alter(root.id, expires_ms=expires_ms)
    assert home.call("apis.listApis", root=root).status_code == status


@every_operation
def test_one_call_takes_one_use(home: Any, operation: str) -> None:
    """Each call takes one credit and one unit of a limit of its root key, whatever becomes of it (Q32)."""
    root = home.new_root_key("*")
    home.alter(root.id, account=Account(remaining=10))
    home.limit_key(root.id, "own", 3, 60_000, auto_apply=True)
    for used in (1, 2, 3):
        assert home.call(operation, BODIES[operation], root=root).status_code in (200, 404, 409)
        assert home.record(root.id).account.remaining == 10 - used
    assert refusal(home.call(operation, BODIES[operation], root=root)) == OUTCOMES["ratelimited"]
    assert home.record(root.id).account.remaining == 7


@every_operation_with_input
def test_a_malformed_call_takes_nothing(home: Any, operation: str) -> None:
    """Validation comes first, so a 400 costs the root key neither credits nor a unit of its limit."""
    root = home.new_root_key("*")
    home.alter(root.id, account=Account(remaining=1))
    home.limit_key(root.id, "own", 1, 60_000, auto_apply=True)
    assert home.call(operation, MALFORMED[operation], root=root).status_code == 400
    assert home.record(root.id).account.remaining == 1
    assert home.call("apis.listApis", root=root).status_code == 200


SELECTORS: list[tuple[str, dict[str, Any], int]] = [
    ("identities.getIdentity", {}, 400),
    ("ratelimits.setOverride", LIMIT, 400),
    ("ratelimits.listOverrides", {}, 400),
    ("analytics.getVerifications", {"apiId": "api_nope", "start": 2, "end": 2}, 400),
    ("analytics.getVerifications", {"apiId": "api_nope", "start": NOW_MS}, 400),
    ("analytics.getVerifications", {"apiId": "api_nope", "start": 0, "groupBy": ["tag", "tags"]}, 400),
    ("keys.getVerifications", {}, 401),
    ("identities.updateIdentity", {}, 401),
    ("ratelimits.getOverride", {"identifier": "nobody"}, 401),
    ("ratelimits.deleteOverride", {"identifier": "nobody"}, 401),
]


@pytest.mark.parametrize(("operation", "body", "status"), SELECTORS)
def test_what_is_missing_is_told_before_or_after_authentication(
    home: Any, operation: str, body: dict[str, Any], status: int
) -> None:
    """A call that names nothing is 400 to its owner; whether strangers learn it is fixed for each (other-v1 §9.6)."""
    assert home.call(operation, body, authorization="").status_code == status
    assert refusal(home.call(operation, body)) == (400, "BAD_REQUEST", None)


def test_refused_for_a_missing_permission_takes_nothing_when_known_at_once(home: Any) -> None:
    """The permission stands before limits and credits where the request alone tells which one is needed (§2.2)."""
    root = home.new_root_key("api.*.read_api")
    home.alter(root.id, account=Account(remaining=1))
    assert home.call("permissions.createRole", {"name": "never"}, root=root).status_code == 403
    assert home.record(root.id).account.remaining == 1


def test_limits_of_a_root_key_end_with_their_window(home: Any, clock: Any) -> None:
    """A ratelimited root key is let in again in the next window."""
    root = home.new_root_key("*")
    home.limit_key(root.id, "own", 1, 60_000, auto_apply=True)
    assert [home.call("apis.listApis", root=root).status_code for _ in range(2)] == [200, 429]
    clock.set((NOW_MS // 60_000 + 1) * 60_000)
    assert home.call("apis.listApis", root=root).status_code == 200


# "Not found" against "not allowed", §2.5

LOOKED_FOR_FIRST = [
    "keys.getKey",
    "keys.whoami",
    "keys.deleteKey",
    "keys.updateKey",
    "keys.updateRemaining",
    "keys.getVerifications",
    "keys.setPermissions",
    "keys.setRoles",
    "permissions.setRolePermissions",
]
ALLOWED_FIRST = [
    "keys.createKey",
    "keys.addPermissions",
    "keys.removePermissions",
    "keys.addRoles",
    "keys.removeRoles",
    "apis.getApi",
    "apis.listKeys",
    "apis.deleteKeys",
    "apis.deleteApi",
    "apis.updateApi",
    "permissions.getPermission",
    "permissions.deletePermission",
    "permissions.getRole",
    "permissions.deleteRole",
    "identities.getIdentity",
    "identities.updateIdentity",
    "identities.deleteIdentity",
    "ratelimits.setOverride",
    "ratelimits.getOverride",
    "ratelimits.listOverrides",
    "ratelimits.deleteOverride",
    "migrations.createKeys",
    "migrations.enqueueKeys",
    "analytics.getVerifications",
]


def test_every_operation_on_objects_looks_or_asks_first() -> None:
    """Each operation about objects that have to exist is in one of the two lists."""
    assert len(LOOKED_FOR_FIRST + ALLOWED_FIRST) == len({*LOOKED_FOR_FIRST, *ALLOWED_FIRST})
    assert {*LOOKED_FOR_FIRST, *ALLOWED_FIRST} | WITHOUT_OBJECT == BODIES.keys()


@pytest.mark.parametrize(
    ("operation", "status"), [(o, 404) for o in LOOKED_FOR_FIRST] + [(o, 403) for o in ALLOWED_FIRST]
)
def test_missing_object_and_missing_permission(home: Any, operation: str, status: int) -> None:
    """Which of the two is told when both are missing is fixed for each operation (§2.5 (b))."""
    assert home.call(operation, BODIES[operation], root=home.root_key("random.first.name")).status_code == status


def test_limiting_looks_for_the_namespace_first(home: Any) -> None:
    """Without any permission an unknown namespace is 404 and a known one 403 (other-v1 §4.1, §10)."""
    _, name = home.namespace()
    root = home.root_key("random.first.name")
    for namespace, status in ((home.name("namespace"), 404), (name, 403)):
        assert home.call("ratelimits.limit", {"namespace": namespace, **LIMIT}, root=root).status_code == status


@pytest.mark.parametrize("noun", ["roles", "permissions"])
def test_importing_looks_for_names_first(home: Any, noun: str) -> None:
    """Without any permission an unknown name is 412 and a known one 403, of any item (other-v1 §5.1, §10)."""
    known = home.role()[1] if noun == "roles" else home.permission()[1]
    root = home.root_key("random.first.name")
    for name, status in (("nope", 412), (known, 403)):
        items = [{"apiId": "api_nope"}, {"apiId": "api_nope", noun: [name]}]
        assert home.call("migrations.createKeys", items, root=root).status_code == status


@pytest.mark.parametrize("operation", ["keys.getKey", "keys.deleteKey", "keys.updateKey", "keys.updateRemaining"])
def test_existing_object_without_credentials(home: Any, operation: str) -> None:
    """Strangers can not probe for key ids: an existing key is 401 to them, as a missing one is (§2.5 (a))."""
    body = {**BODIES[operation], "keyId": home.key().id}
    assert refusal(home.call(operation, body, authorization="")) == (401, "UNAUTHORIZED", None)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (name, f"{noun} {body[member]} not found")
        for member, noun in (
            ("keyId", "key"),
            ("apiId", "api"),
            ("permissionId", "permission"),
            ("roleId", "role"),
            ("identityId", "identity"),
            ("namespaceId", "namespace"),
            ("namespaceName", "namespace"),
        )
        for name, body in BODIES.items()
        if member in body
    ]
    + [("keys.whoami", "Key not found"), ("migrations.createKeys", "api api_nope not found")],
)
def test_missing_objects(home: Any, operation: str, message: str) -> None:
    """What does not exist is 404 and named, the secret of whoami excepted."""
    response = home.call(operation, BODIES[operation])
    assert refusal(response) == (404, "NOT_FOUND", None)
    assert response.json()["error"]["message"] == message


class Estate(NamedTuple):
    """One of each kind of object, of one workspace."""

    key: Any
    api_id: str
    permission_id: str
    role_id: str
    identity: tuple[str, str]
    namespace_id: str
    namespace_name: str
    identifier: str
    """Of an override in the namespace."""

    @classmethod
    def of(cls, workspace: Any) -> "Estate":
        identity = workspace.identity()
        key = workspace.key(externalId=identity[1])
        objects = key, workspace.api_id, workspace.permission()[0], workspace.role()[0], identity
        return cls(*objects, *workspace.override())


FOREIGN: list[tuple[str, str, Callable[[Estate, Estate], Any]]] = [
    ("keys.getKey", "key", lambda own, other: {"keyId": other.key.id}),
    ("keys.getKey", "key, decrypted", lambda own, other: {"keyId": other.key.id, "decrypt": True}),
    ("keys.whoami", "key", lambda own, other: {"key": other.key.secret}),
    ("keys.deleteKey", "key", lambda own, other: {"keyId": other.key.id}),
    ("keys.deleteKey", "key, for good", lambda own, other: {"keyId": other.key.id, "permanent": True}),
    ("keys.createKey", "api", lambda own, other: {"apiId": other.api_id}),
    ("keys.updateKey", "key", lambda own, other: {"keyId": other.key.id, "name": "mine now"}),
    (
        "keys.updateKey",
        "permission",
        lambda own, other: {"keyId": own.key.id, "permissions": [{"id": other.permission_id}]},
    ),
    ("keys.updateKey", "role", lambda own, other: {"keyId": own.key.id, "roles": [{"id": other.role_id}]}),
    ("keys.updateRemaining", "key", lambda own, other: {"keyId": other.key.id, "op": "set", "value": 1}),
    ("keys.getVerifications", "key", lambda own, other: {"keyId": other.key.id}),
    ("keys.getVerifications", "owner", lambda own, other: {"ownerId": other.identity[1]}),
    *(
        (
            f"keys.{verb}{kind.capitalize()}s",
            "key",
            lambda own, other, kind=kind: {"keyId": other.key.id, f"{kind}s": [{"id": getattr(own, f"{kind}_id")}]},
        )
        for verb in ("add", "remove", "set")
        for kind in ("permission", "role")
    ),
    *(
        (
            f"keys.{verb}{kind.capitalize()}s",
            kind,
            lambda own, other, kind=kind: {"keyId": own.key.id, f"{kind}s": [{"id": getattr(other, f"{kind}_id")}]},
        )
        for verb in ("add", "set")
        for kind in ("permission", "role")
    ),
    ("apis.getApi", "api", lambda own, other: {"apiId": other.api_id}),
    ("apis.listKeys", "api", lambda own, other: {"apiId": other.api_id}),
    ("apis.listKeys", "api, decrypted", lambda own, other: {"apiId": other.api_id, "decrypt": True}),
    ("apis.deleteKeys", "api", lambda own, other: {"apiId": other.api_id}),
    ("apis.deleteKeys", "api, for good", lambda own, other: {"apiId": other.api_id, "permanent": True}),
    ("apis.deleteApi", "api", lambda own, other: {"apiId": other.api_id}),
    ("apis.updateApi", "api", lambda own, other: {"apiId": other.api_id, "name": "mine now"}),
    *(
        (f"permissions.{verb}Permission", "permission", lambda own, other: {"permissionId": other.permission_id})
        for verb in ("get", "delete")
    ),
    *((f"permissions.{verb}Role", "role", lambda own, other: {"roleId": other.role_id}) for verb in ("get", "delete")),
    ("permissions.setRolePermissions", "role", lambda own, other: {"roleId": other.role_id, "permissions": []}),
    (
        "permissions.setRolePermissions",
        "permission",
        lambda own, other: {"roleId": own.role_id, "permissions": [{"id": other.permission_id}]},
    ),
    ("identities.getIdentity", "identity", lambda own, other: {"identityId": other.identity[0]}),
    ("identities.getIdentity", "external id", lambda own, other: {"externalId": other.identity[1]}),
    ("identities.updateIdentity", "identity", lambda own, other: {"identityId": other.identity[0], "ratelimits": []}),
    ("identities.updateIdentity", "external id", lambda own, other: {"externalId": other.identity[1], "meta": {}}),
    ("identities.deleteIdentity", "identity", lambda own, other: {"identityId": other.identity[0]}),
    *(
        (
            f"ratelimits.{operation}",
            selector,
            lambda own, other, selector=selector, of=of, members=members: {
                selector: getattr(other, of),
                "identifier": other.identifier,
                **members,
            },
        )
        for operation, members in (
            ("setOverride", {"limit": 1, "duration": 60_000}),
            ("getOverride", {}),
            ("listOverrides", {}),
            ("deleteOverride", {}),
        )
        for selector, of in (("namespaceId", "namespace_id"), ("namespaceName", "namespace_name"))
    ),
    *(
        (
            f"ratelimits.{verb}Override",
            "identifier",
            lambda own, other: {"namespaceId": own.namespace_id, "identifier": other.identifier},
        )
        for verb in ("get", "delete")
    ),
    ("migrations.createKeys", "api", lambda own, other: [{"apiId": other.api_id, "hash": HASH}]),
    (
        "migrations.createKeys",
        "api of the second",
        lambda own, other: [{"apiId": own.api_id, "hash": HASH}, {"apiId": other.api_id, "plaintext": "mine now"}],
    ),
    (
        "migrations.enqueueKeys",
        "api",
        lambda own, other: {"migrationId": "m", "apiId": other.api_id, "keys": [{"hash": HASH}]},
    ),
    ("analytics.getVerifications", "api", lambda own, other: {"apiId": other.api_id, "start": 0}),
    (
        "analytics.getVerifications",
        "external id",
        lambda own, other: {"apiId": own.api_id, "start": 0, "externalId": other.identity[1]},
    ),
]

# Operations without an object that could be foreign or missing: a namespace to limit in is made when it is missing.
WITHOUT_OBJECT = {
    "apis.createApi",
    "apis.listApis",
    "permissions.createPermission",
    "permissions.listPermissions",
    "permissions.createRole",
    "permissions.listRoles",
    "identities.createIdentity",
    "identities.listIdentities",
    "ratelimits.limit",
    "ratelimits.listNamespaces",
}


@pytest.fixture(scope="module")
def estates(home: Any, foreign: Any) -> tuple[Estate, Estate]:
    """What the default workspace has, and what the other has."""
    return Estate.of(home), Estate.of(foreign)


def test_every_operation_meets_a_foreign_object() -> None:
    """No operation is left out of the table of foreign objects."""
    assert {operation for operation, _, _ in FOREIGN} | WITHOUT_OBJECT == BODIES.keys()


@pytest.mark.parametrize(
    ("operation", "what", "body_of"), FOREIGN, ids=[f"{operation} {what}" for operation, what, _ in FOREIGN]
)
def test_objects_of_other_workspaces(
    home: Any, foreign: Any, estates: tuple[Estate, Estate], operation: str, what: str, body_of: Any
) -> None:
    """What belongs to another workspace is not found, even by `*`, and nothing changes there or here (Q15)."""
    before = home.audit_length(), foreign.audit_length()
    response = home.call(operation, body_of(*estates))
    assert refusal(response) == (404, "NOT_FOUND", None)
    assert (home.audit_length(), foreign.audit_length()) == before


LISTINGS: list[tuple[str, str | None, Callable[[Estate], str]]] = [
    ("apis.listApis", "apis", lambda estate: estate.api_id),
    ("permissions.listPermissions", None, lambda estate: estate.permission_id),
    ("permissions.listRoles", None, lambda estate: estate.role_id),
    ("identities.listIdentities", "identities", lambda estate: estate.identity[0]),
    ("ratelimits.listNamespaces", "namespaces", lambda estate: estate.namespace_id),
]


@pytest.mark.parametrize(("operation", "member", "id_of"), LISTINGS, ids=[operation for operation, _, _ in LISTINGS])
def test_listings_show_the_own_workspace_only(
    home: Any, estates: tuple[Estate, Estate], operation: str, member: str | None, id_of: Callable[[Estate], str]
) -> None:
    """What the other workspace has is neither listed nor counted."""
    answer = home.ask(operation)
    listed = [item["id"] for item in (answer[member] if member else answer)]
    assert id_of(estates[0]) in listed
    assert id_of(estates[1]) not in listed
    assert not member or answer["total"] == len(listed)


def test_listed_apis_are_of_the_own_workspace(home: Any) -> None:
    """Every api that is listed says that it belongs to the workspace of the root key."""
    assert {api["workspaceId"] for api in home.ask("apis.listApis")["apis"]} == {home.id}


def test_keys_of_an_api_belong_to_its_workspace(home: Any, estates: tuple[Estate, Estate]) -> None:
    """An external id of the own workspace selects its keys, one of the other workspace none."""
    own, other = estates
    selected = [
        home.ask("apis.listKeys", apiId=own.api_id, externalId=estate.identity[1])["keys"] for estate in (own, other)
    ]
    assert [[key["id"] for key in keys] for keys in selected] == [[own.key.id], []]


@pytest.mark.parametrize("noun", ["roles", "permissions"])
def test_an_import_attaches_what_is_the_workspaces_own(home: Any, foreign: Any, noun: str) -> None:
    """A role or permission of the other workspace is as unknown as any, and nothing is imported (other-v1 §5.1)."""
    name = foreign.role()[1] if noun == "roles" else foreign.permission()[1]
    before = home.audit_length(), foreign.audit_length()
    response = home.call("migrations.createKeys", [{"apiId": home.api_id, "plaintext": "mine", noun: [name]}])
    assert refusal(response) == (412, "PRECONDITION_FAILED", None)
    assert (home.audit_length(), foreign.audit_length()) == before


def test_limiting_in_a_foreign_namespace(home: Any, foreign: Any) -> None:
    """A namespace's name is the workspace's own: who uses that of another makes one, with counts of its own."""
    namespace_id, name, identifier = foreign.override()
    asked = {"namespace": name, "identifier": identifier, "limit": 10, "duration": 60_000, "cost": 10}
    assert home.ask("ratelimits.limit", **asked)["success"] is True
    assert foreign.ask("ratelimits.limit", **asked | {"cost": 1})["limit"] == 1
    assert namespace_id not in {listed["id"] for listed in home.ask("ratelimits.listNamespaces")["namespaces"]}


def test_root_keys_are_no_keys_of_the_workspace(home: Any) -> None:
    """A root key can be neither shown, changed, deleted nor asked about through the operations."""
    for operation, body in BODIES.items():
        if "keyId" in body:
            assert home.call(operation, {**body, "keyId": home.root.id}).status_code == 404
    assert home.call("keys.whoami", {"key": home.root.secret}).status_code == 404


@pytest.mark.parametrize("operation", [name for name, body in BODIES.items() if "api_nope" in str(body)])
def test_the_api_of_root_keys_is_no_api_of_the_workspace(home: Any, operation: str) -> None:
    """No operation reaches the api of the root keys: it can be neither listed nor deleted nor given keys."""
    body = BODIES[operation]
    aimed = [item | {"apiId": ROOT_KEYS_API_ID} for item in body] if isinstance(body, list) else None
    response = home.call(operation, aimed or body | {"apiId": ROOT_KEYS_API_ID})
    assert refusal(response) == (404, "NOT_FOUND", None)


def test_names_of_two_workspaces_do_not_meet(home: Any, foreign: Any) -> None:
    """A name of the other workspace is not found here, and its owner keeps the only object of that name."""
    _, slug = foreign.permission()
    response = home.call("keys.addPermissions", {"keyId": home.key().id, "permissions": [{"name": slug}]})
    assert refusal(response) == (404, "NOT_FOUND", None)
    home.ask("keys.addPermissions", keyId=home.key().id, permissions=[{"name": slug, "create": True}])
    assert foreign.call("permissions.createPermission", {"name": slug}).status_code == 409


def test_request_ids(home: Any, http: Any) -> None:
    """Every answer has a fresh id of its own making in the header, whatever the caller sends (§1.3)."""
    responses = [
        home.call("apis.listApis", **{"Unkey-Request-Id": "req_mine"}),
        home.call("apis.listApis"),
        home.call("apis.listApis", authorization=""),
        home.call("keys.verifyKey", {"key": "nobody"}),
        home.call("keys.verifyKey", {}),
        http.get("/v1/keys.nothing"),
    ]
    ids = [response.headers["unkey-request-id"] for response in responses]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("req_[a-zA-Z0-9]+", id_) and id_ != "req_mine" for id_ in ids)
    assert all(r.headers["content-type"] == "application/json; charset=UTF-8" for r in responses)


@pytest.mark.parametrize("path", ["/v1/keys.nothing", "/v1/keys.getKey/", "/v1", "/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_routes(http: Any, method: str, path: str) -> None:
    """Unknown paths are 404 in the envelope (Q34)."""
    assert refusal(http.request(method, path)) == (404, "NOT_FOUND", None)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_other_methods(http: Any, operation: Any) -> None:
    """A known path with another method is as unknown as any (§1.8)."""
    for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - {operation.method}:
        assert refusal(http.request(method, operation.path)) == (404, "NOT_FOUND", None)
    assert operation.method != GET or http.request("POST", operation.path, json={}).status_code == 404
