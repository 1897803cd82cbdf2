"""Which permissions let a root key do what: every row of keys-v1 §2.4, other-v1 §0.4 and the extensions of DECISIONS.

A case is one need of one operation. `besides` is what the operation needs apart from it, so that only this need is in
question.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from keystead.core.entities import Role
from keystead.http.operations import OPERATIONS

Prepared = tuple[Any, dict[str, str]]
"""A body whose objects exist, and the ids that placeholders such as `<apiId>` stand for."""

UNRELATED = "api.*.verify_key"
"""In the vocabulary, but no operation asks for it: verifications need no root key."""
RANDOM = ("random.first.name", "random.second.name")

API_ACTIONS = [
    "read_api",
    "create_api",
    "delete_api",
    "update_api",
    "create_key",
    "update_key",
    "delete_key",
    "encrypt_key",
    "decrypt_key",
    "read_key",
    "verify_key",
    "read_analytics",
]
RBAC_ACTIONS = [
    "create_permission",
    "update_permission",
    "delete_permission",
    "read_permission",
    "create_role",
    "update_role",
    "delete_role",
    "read_role",
    "add_permission_to_key",
    "remove_permission_from_key",
    "add_role_to_key",
    "remove_role_from_key",
    "add_permission_to_role",
    "remove_permission_from_role",
]
RATELIMIT_ACTIONS = [
    "limit",
    "create_namespace",
    "read_namespace",
    "update_namespace",
    "delete_namespace",
    "set_override",
    "read_override",
    "delete_override",
]
IDENTITY_ACTIONS = [f"{verb}_identity" for verb in ("create", "read", "update", "delete")]
VOCABULARY = (
    *(f"api.{scope}.{action}" for scope in ("*", "<apiId>") for action in API_ACTIONS),
    *(f"rbac.*.{action}" for action in RBAC_ACTIONS),
    *(f"identity.{scope}.{action}" for scope in ("*", "<identityId>", "<environment>") for action in IDENTITY_ACTIONS),
    *(f"ratelimit.{scope}.{action}" for scope in ("*", "<namespaceId>") for action in RATELIMIT_ACTIONS),
)
OF_OTHERS = (
    *(f"api.api_other.{action}" for action in API_ACTIONS),
    *(f"identity.{scope}.{action}" for scope in ("id_other", "other") for action in IDENTITY_ACTIONS),
    *(f"ratelimit.rlns_other.{action}" for action in RATELIMIT_ACTIONS),
)
"""The vocabulary about objects that no call here is about."""


class Case(NamedTuple):
    """One need: `prepare` makes what the call is about."""

    operation: str
    when: str
    alternatives: tuple[str, ...]
    prepare: Callable[[Any], Prepared]
    besides: tuple[str, ...] = ()


def of_api(action: str) -> tuple[str, str]:
    return f"api.*.{action}", f"api.<apiId>.{action}"


def with_key(**members: Any) -> Callable[[Any], Prepared]:
    """A call about a fresh key of the workspace's api."""

    def prepare(home: Any) -> Prepared:
        return {"keyId": home.key().id, **members}, {"apiId": home.api_id}

    return prepare


def with_members(**members: Any) -> Callable[[Any], Prepared]:
    """A call about the workspace's api; functions among the members are asked for fresh names."""

    def prepare(home: Any) -> Prepared:
        body = {name: value(home) if callable(value) else value for name, value in members.items()}
        return body, {"apiId": home.api_id}

    return prepare


def whoami(home: Any) -> Prepared:
    return {"key": home.key().secret}, {"apiId": home.api_id}


def recoverable(home: Any) -> Prepared:
    api_id = home.api(storeEncryptedKeys=True)
    return {"apiId": api_id, "recoverable": True}, {"apiId": api_id}


def owned(home: Any) -> Prepared:
    owner_id = home.name("owner")
    home.key(ownerId=owner_id)
    return {"ownerId": owner_id}, {"apiId": home.api_id}


def identity(home: Any) -> Prepared:
    identity_id, _ = home.identity()
    return {"identityId": identity_id}, {"identityId": identity_id}


def identity_by_external_id(home: Any) -> Prepared:
    identity_id, external_id = home.identity()
    return {"externalId": external_id}, {"identityId": identity_id}


def environment(_home: Any) -> Prepared:
    return {"environment": "staging"}, {"environment": "staging"}


def doomed_api(home: Any) -> Prepared:
    api_id = home.api()
    home.key(apiId=api_id)
    return {"apiId": api_id}, {"apiId": api_id}


def in_namespace(**members: Any) -> Callable[[Any], Prepared]:
    """A call about a fresh namespace."""

    def prepare(home: Any) -> Prepared:
        namespace_id, _ = home.namespace()
        return {"namespaceId": namespace_id, **members}, {"namespaceId": namespace_id}

    return prepare


def override(home: Any) -> Prepared:
    namespace_id, _, identifier = home.override()
    return {"namespaceId": namespace_id, "identifier": identifier}, {"namespaceId": namespace_id}


def limited(home: Any) -> Prepared:
    namespace_id, name = home.namespace()
    return {"namespace": name, **LIMITED}, {"namespaceId": namespace_id}


def limited_for_the_first_time(home: Any) -> Prepared:
    return {"namespace": home.name("namespace"), **LIMITED}, {}


def imported(*api_of: Callable[[Any], str]) -> Callable[[Any], Prepared]:
    """An import of one key into each of these apis."""

    def prepare(home: Any) -> Prepared:
        items = [{"apiId": api(home), "plaintext": home.name("plaintext")} for api in api_of]
        return items, {"apiId": items[0]["apiId"]}

    return prepare


def queued(member: str) -> Callable[[Any], Prepared]:
    """A key that is queued with its plaintext or its hash."""

    def prepare(home: Any) -> Prepared:
        name = home.name("elsewhere")
        item = {"hash": {"value": name, "variant": "sha256_base64"}} if member == "hash" else {"plaintext": name}
        return {"migrationId": "table", "apiId": home.api_id, "keys": [item]}, {"apiId": home.api_id}

    return prepare


class Linked(NamedTuple):
    """Something with permissions or roles attached: the start of a call that changes them."""

    operation: str
    member: str
    base: tuple[str, ...]
    holder: Callable[[Any, list[str]], dict[str, str]]

    def attached(self, home: Any) -> tuple[dict[str, str], str]:
        """A fresh holder with one thing attached, and that thing's name."""
        name = home.permission()[1] if self.member == "permissions" else home.role()[1]
        return self.holder(home, [name]), name

    def selecting(self, *selectors: Callable[[Any, str], dict[str, Any]]) -> Callable[[Any], Prepared]:
        """A call that lists what `selectors` make of the name attached."""

        def prepare(home: Any) -> Prepared:
            holder, name = self.attached(home)
            return {**holder, self.member: [select(home, name) for select in selectors]}, {"apiId": home.api_id}

        return prepare


def key_with_permissions(home: Any, slugs: list[str]) -> dict[str, str]:
    return {"keyId": home.key(permissions=slugs).id}


def key_with_roles(home: Any, names: list[str]) -> dict[str, str]:
    return {"keyId": home.key(roles=names).id}


def role_with_permissions(home: Any, slugs: list[str]) -> dict[str, str]:
    return {"roleId": home.role(*slugs)[0]}


def the_same(_home: Any, name: str) -> dict[str, Any]:
    return {"name": name}


def existing_permission(home: Any, _name: str) -> dict[str, Any]:
    return {"name": home.permission()[1]}


def existing_role(home: Any, _name: str) -> dict[str, Any]:
    return {"name": home.role()[1]}


def new(home: Any, _name: str) -> dict[str, Any]:
    return {"name": home.name("new"), "create": True}


LIMITED = {"identifier": "customer", "limit": 10, "duration": 60_000}
UPDATE_KEY = ("api.*.update_key",)
LINKS = (
    Linked("keys.setPermissions", "permissions", (), key_with_permissions),
    Linked("keys.updateKey", "permissions", UPDATE_KEY, key_with_permissions),
    Linked("permissions.setRolePermissions", "permissions", (), role_with_permissions),
    Linked("keys.setRoles", "roles", (), key_with_roles),
    Linked("keys.updateKey", "roles", UPDATE_KEY, key_with_roles),
)


def link_cases() -> Iterator[Case]:
    """Attach, create and detach, for each operation that replaces what is attached."""
    for link in LINKS:
        kind = link.member.removesuffix("s")
        holder = "role" if link.operation.endswith("setRolePermissions") else "key"
        add, remove = f"rbac.*.add_{kind}_to_{holder}", f"rbac.*.remove_{kind}_from_{holder}"
        existing = existing_permission if kind == "permission" else existing_role
        yield Case(
            link.operation, f"a {kind} is attached", (add,), link.selecting(the_same, existing), besides=link.base
        )
        yield Case(
            link.operation,
            f"a {kind} is created",
            (f"rbac.*.create_{kind}",),
            link.selecting(the_same, new),
            besides=(*link.base, add),
        )
        yield Case(
            link.operation,
            f"a {kind} is detached",
            (remove,),
            link.selecting(existing),
            besides=(*link.base, add),
        )


def fresh(noun: str) -> Callable[[Any], str]:
    return lambda home: home.name(noun)


def fresh_list(noun: str) -> Callable[[Any], list[str]]:
    return lambda home: [home.name(noun)]


def fresh_selectors(noun: str) -> Callable[[Any], list[dict[str, Any]]]:
    return lambda home: [{"name": home.name(noun), "create": True}]


def own_api(home: Any) -> str:
    return str(home.api_id)


def existing_permissions(home: Any) -> list[dict[str, str]]:
    return [{"name": home.permission()[1]}]


def existing_roles(home: Any) -> list[dict[str, str]]:
    return [{"name": home.role()[1]}]


def fresh_key_id(home: Any) -> str:
    return str(home.key().id)


def fresh_permission_id(home: Any) -> str:
    return str(home.permission()[0])


def fresh_role_id(home: Any) -> str:
    return str(home.role()[0])


CREATE_KEY = ("api.*.create_key",)
LIST_KEYS = ("api.*.read_key", "api.*.read_api")
CREATE_NAMESPACE = ("ratelimit.*.create_namespace",)
CASES = (
    Case("keys.getKey", "", of_api("read_key"), with_key()),
    Case("keys.getKey", "decrypt", of_api("decrypt_key"), with_key(decrypt=True), ("api.*.read_key",)),
    Case("keys.whoami", "", of_api("read_key"), whoami),
    Case("keys.deleteKey", "", of_api("delete_key"), with_key()),
    Case("keys.createKey", "", of_api("create_key"), with_members(apiId=own_api)),
    Case(
        "keys.createKey",
        "a permission is created",
        ("rbac.*.create_permission",),
        with_members(apiId=own_api, permissions=fresh_list("permission")),
        CREATE_KEY,
    ),
    Case(
        "keys.createKey",
        "a role is created",
        ("rbac.*.create_role",),
        with_members(apiId=own_api, roles=fresh_list("role")),
        CREATE_KEY,
    ),
    Case("keys.createKey", "recoverable", of_api("encrypt_key"), recoverable, CREATE_KEY),
    Case("keys.updateKey", "", of_api("update_key"), with_key(name="renamed")),
    Case("keys.updateRemaining", "", of_api("update_key"), with_key(op="set", value=5)),
    Case("keys.getVerifications", "", of_api("read_key"), with_key()),
    Case("keys.getVerifications", "by owner", of_api("read_key"), owned),
    Case(
        "keys.addPermissions",
        "",
        ("rbac.*.add_permission_to_key",),
        with_members(keyId=fresh_key_id, permissions=existing_permissions),
    ),
    Case(
        "keys.addPermissions",
        "a permission is created",
        ("rbac.*.create_permission",),
        with_members(keyId=fresh_key_id, permissions=fresh_selectors("permission")),
        ("rbac.*.add_permission_to_key",),
    ),
    Case("keys.removePermissions", "", ("rbac.*.remove_permission_from_key",), with_key(permissions=[{"name": "x"}])),
    Case(
        "keys.addRoles",
        "",
        ("rbac.*.add_role_to_key",),
        with_members(keyId=fresh_key_id, roles=existing_roles),
    ),
    Case(
        "keys.addRoles",
        "a role is created",
        ("rbac.*.create_role", "rbac.*.create_permission"),
        with_members(keyId=fresh_key_id, roles=fresh_selectors("role")),
        ("rbac.*.add_role_to_key",),
    ),
    Case("keys.removeRoles", "", ("rbac.*.remove_role_from_key",), with_key(roles=[{"name": "x"}])),
    *link_cases(),
    Case("apis.createApi", "", ("api.*.create_api",), with_members(name=fresh("api"))),
    Case("apis.getApi", "", of_api("read_api"), with_members(apiId=own_api)),
    Case("apis.listKeys", "keys", of_api("read_key"), with_members(apiId=own_api), ("api.*.read_api",)),
    Case("apis.listKeys", "api", of_api("read_api"), with_members(apiId=own_api), ("api.*.read_key",)),
    Case("apis.listKeys", "decrypt", of_api("decrypt_key"), with_members(apiId=own_api, decrypt=True), LIST_KEYS),
    Case("apis.deleteKeys", "", of_api("delete_key"), doomed_api),
    Case("apis.deleteApi", "", of_api("delete_api"), doomed_api),
    Case("apis.updateApi", "", of_api("update_api"), with_members(apiId=own_api, name=fresh("api"))),
    Case("apis.listApis", "", ("api.*.read_api",), with_members()),
    Case("permissions.createPermission", "", ("rbac.*.create_permission",), with_members(name=fresh("permission"))),
    Case("permissions.getPermission", "", ("rbac.*.read_permission",), with_members(permissionId=fresh_permission_id)),
    Case("permissions.listPermissions", "", ("rbac.*.read_permission",), with_members()),
    Case(
        "permissions.deletePermission",
        "",
        ("rbac.*.delete_permission",),
        with_members(permissionId=fresh_permission_id),
    ),
    Case("permissions.createRole", "", ("rbac.*.create_role",), with_members(name=fresh("role"))),
    Case("permissions.getRole", "", ("rbac.*.read_role",), with_members(roleId=fresh_role_id)),
    Case("permissions.listRoles", "", ("rbac.*.read_role",), with_members()),
    Case("permissions.deleteRole", "", ("rbac.*.delete_role",), with_members(roleId=fresh_role_id)),
    Case("identities.createIdentity", "", ("identity.*.create_identity",), with_members(externalId=fresh("customer"))),
    Case("identities.getIdentity", "", ("identity.*.read_identity", "identity.<identityId>.read_identity"), identity),
    Case("identities.getIdentity", "by external id", ("identity.*.read_identity",), identity_by_external_id),
    Case(
        "identities.listIdentities",
        "",
        ("identity.*.read_identity", "identity.<environment>.read_identity"),
        environment,
    ),
    Case("identities.updateIdentity", "", ("identity.*.update_identity",), identity),
    Case(
        "identities.deleteIdentity",
        "",
        ("identity.*.delete_identity", "identity.<identityId>.delete_identity"),
        identity,
    ),
    Case("ratelimits.limit", "", ("ratelimit.*.limit", "ratelimit.<namespaceId>.limit"), limited),
    Case(
        "ratelimits.limit",
        "a namespace is created",
        CREATE_NAMESPACE,
        limited_for_the_first_time,
        besides=("ratelimit.*.limit",),
    ),
    Case(
        "ratelimits.setOverride",
        "",
        ("ratelimit.*.set_override",),
        in_namespace(identifier="customer*", limit=1, duration=60_000),
    ),
    Case("ratelimits.getOverride", "", ("ratelimit.*.read_override",), override),
    Case("ratelimits.listOverrides", "", ("ratelimit.*.read_override",), in_namespace()),
    Case("ratelimits.deleteOverride", "", ("ratelimit.*.delete_override",), override),
    Case("ratelimits.listNamespaces", "", ("ratelimit.*.read_namespace",), with_members()),
    Case("migrations.createKeys", "", of_api("create_key"), imported(own_api)),
    Case("migrations.enqueueKeys", "", of_api("create_key"), queued("hash")),
    Case("migrations.enqueueKeys", "plaintext", of_api("encrypt_key"), queued("plaintext"), CREATE_KEY),
    Case("analytics.getVerifications", "", of_api("read_api"), with_members(apiId=own_api, start=0)),
)

HIDDEN = {"ratelimits.limit a namespace is created"}
"""Cases whose refusal is NOT_FOUND: to who may not create it, what is missing is missing (other-v1 §4.1 step 3)."""


BY_NAME = {operation.name: operation for operation in OPERATIONS}


def name_of(case: Case) -> str:
    return f"{case.operation} {case.when}".strip()


def filled(templates: tuple[str, ...], ids: dict[str, str]) -> tuple[str, ...]:
    """The permission strings about the ids of a call; templates about other ids are left out."""
    texts = [re.sub(r"<(\w+)>", lambda match: ids.get(match[1], match[0]), template) for template in templates]
    return tuple(text for text in texts if "<" not in text)


def test_every_need_of_every_operation_has_a_case() -> None:
    """An operation or a need added to the table without a case here is noticed, and so is a case nobody needs."""
    needs = {
        (operation.name, frozenset(need.alternatives))
        for operation in OPERATIONS
        if operation.authenticated
        for need in operation.needs
    }
    tested = {(case.operation, frozenset(case.alternatives)) for case in CASES if case.when != "by external id"}
    assert tested == needs
    assert {case.operation for case in CASES} == {operation.name for operation in OPERATIONS if operation.authenticated}


def test_the_vocabulary_has_every_need() -> None:
    """What "everything else" leaves out is what the operation accepts, and nothing accepts the unrelated one."""
    accepted = {text for case in CASES for text in case.alternatives}
    assert accepted < set(VOCABULARY)
    assert UNRELATED in set(VOCABULARY) - accepted


@pytest.mark.parametrize("company", [(), (UNRELATED,)], ids=["alone", "with an unrelated one"])
@pytest.mark.parametrize(
    ("case", "alternative"),
    [pytest.param(case, text, id=f"{name_of(case)}: {text}") for case in CASES for text in (*case.alternatives, "*")],
)
def test_each_alternative_is_enough(home: Any, case: Case, alternative: str, company: tuple[str, ...]) -> None:
    """Each accepted permission lets the call through, alone and in company; `*` needs nothing besides (D7)."""
    body, ids = case.prepare(home)
    besides = () if alternative == "*" else case.besides
    root = home.root_key(*filled((alternative, *besides, *company), ids))
    home.answer(home.call(case.operation, body, root=root))


@pytest.mark.parametrize("held", ["nothing", "random", "another object's", "everything else"])
@pytest.mark.parametrize("case", [case for case in CASES if name_of(case) not in HIDDEN], ids=name_of)
def test_anything_else_is_refused(home: Any, case: Case, held: str) -> None:
    """Without an accepted permission the call is refused by 403, names what would do, and changes nothing."""
    body, ids = case.prepare(home)
    accepted = filled(case.alternatives, ids)
    sets = {
        "nothing": (),
        "random": RANDOM,
        "another object's": OF_OTHERS,
        "everything else": tuple(text for text in filled(VOCABULARY, ids) if text not in accepted),
    }
    root = home.root_key(*case.besides, *(text for text in sets[held] if text not in case.besides))
    before = home.audit_length()
    response = home.call(case.operation, body, root=root)
    assert response.status_code == 403, response.text
    error = response.json()["error"]
    assert (error["code"], error["reason"]) == ("FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
    assert all(text in error["message"] for text in ("*", *accepted)), error["message"]
    assert home.audit_length() == before


@pytest.mark.parametrize("case", [case for case in CASES if BY_NAME[case.operation].keeps_answers], ids=name_of)
def test_each_change_is_done_once(home: Any, case: Case) -> None:
    """Whatever may be done is done once for an `Idempotency-Key`, whose answer is given again to the byte (D15)."""
    body, _ = case.prepare(home)
    headers = {"Idempotency-Key": home.name("idempotency-key")}
    first = home.call(case.operation, body, **headers)
    home.answer(first)
    before = home.audit_length()
    again = home.call(case.operation, body, **headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    # What is queued is done a moment later, by the worker.
    assert home.audit_length() == before or case.operation == "migrations.enqueueKeys"
    other = [*body, *body] if isinstance(body, list) else body | {"unknown": True}
    assert home.call(case.operation, other, **headers).status_code == 409


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.operation} {link.member}")
def test_a_call_that_changes_nothing_needs_no_conditional_permission(home: Any, link: Linked) -> None:
    """Setting what is attached already asks only for the base permission, if there is one (§2.4)."""
    body, _ = link.selecting(the_same)(home)
    home.answer(home.call(link.operation, body, root=home.root_key(*link.base)))


@pytest.mark.parametrize(
    ("operation", "members", "base"),
    [
        ("keys.createKey", ("permissions", "roles"), CREATE_KEY),
        ("keys.addPermissions", ("permissions",), ("rbac.*.add_permission_to_key",)),
        ("keys.addRoles", ("roles",), ("rbac.*.add_role_to_key",)),
    ],
)
def test_attaching_what_exists_needs_no_creation(
    home: Any, operation: str, members: tuple[str, ...], base: tuple[str, ...]
) -> None:
    """Existing permissions and roles are attached without a permission to create or, by createKey, to attach (Q18)."""
    names = {"permissions": home.permission()[1], "roles": home.role()[1]}
    if operation == "keys.createKey":
        body = {"apiId": home.api_id, **{member: [names[member]] for member in members}}
    else:
        body = {"keyId": home.key().id, **{m: [{"name": names[m], "create": True}] for m in members}}
    home.answer(home.call(operation, body, root=home.root_key(*base)))


def test_verifications_of_an_owner_need_every_api(home: Any) -> None:
    """An owner whose keys belong to two apis is shown only to who may read both, by name or by wildcard."""
    owner_id, other_api_id = home.name("owner"), home.api()
    home.key(ownerId=owner_id)
    home.key(ownerId=owner_id, apiId=other_api_id)
    first, second = f"api.{home.api_id}.read_key", f"api.{other_api_id}.read_key"
    statuses = {
        held: home.call("keys.getVerifications", {"ownerId": owner_id}, root=home.root_key(*held)).status_code
        for held in [(first,), (second,), (first, second), ("api.*.read_key",)]
    }
    assert statuses == {(first,): 403, (second,): 403, (first, second): 200, ("api.*.read_key",): 200}


def test_a_namespace_that_may_not_be_created(home: Any) -> None:
    """Who may do everything but create namespaces is told that there is none, and none is made (other-v1 §4.1)."""
    body, ids = limited_for_the_first_time(home)
    root = home.root_key(*(text for text in filled(VOCABULARY, ids) if text not in CREATE_NAMESPACE))
    before = home.audit_length()
    response = home.call("ratelimits.limit", body, root=root)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert home.audit_length() == before


def test_an_import_needs_every_api(home: Any) -> None:
    """Each key of an import needs its own api's permission, by name or by wildcard; else none is made (§5.1)."""
    other_api_id = home.api()
    first, second = f"api.{home.api_id}.create_key", f"api.{other_api_id}.create_key"
    items, _ = imported(own_api, lambda _home: other_api_id)(home)
    for held, missing in (((first,), second), ((second,), first)):
        root = home.root_key(*held)
        before = home.audit_length()
        response = home.call("migrations.createKeys", items, root=root)
        assert response.status_code == 403
        assert missing in response.json()["error"]["message"]
        assert home.audit_length() == before
    home.answer(home.call("migrations.createKeys", items, root=home.root_key(first, second)))


def test_an_import_of_nothing_needs_nothing(home: Any) -> None:
    """The permission belongs to the keys: without any there is nothing to be allowed (§5.1)."""
    assert home.answer(home.call("migrations.createKeys", [], root=home.root_key())) == {"keyIds": []}


def test_decryption_is_not_judged_where_nothing_can_be_listed(home: Any) -> None:
    """For an external id that nobody has, listKeys answers at once, without a look at `decrypt` (other-v1 §1.3)."""
    body = {"apiId": home.api_id, "externalId": "nobody", "decrypt": True}
    answer = home.answer(home.call("apis.listKeys", body, root=home.root_key(*LIST_KEYS)))
    assert answer == {"keys": [], "total": 0}


def test_listing_an_environment(home: Any) -> None:
    """The permission for an environment is for that one; without the parameter it is `default` (other-v1 §3.3)."""
    root = home.root_key("identity.default.read_identity")
    statuses = [
        home.call("identities.listIdentities", query, root=root).status_code
        for query in ({}, {"environment": "default"}, {"environment": "staging"}, {"environment": "*"})
    ]
    assert statuses == [200, 200, 403, 403]


def test_single_permissions_do_not_add_up(home: Any) -> None:
    """Holding a permission for every api there is does not replace the one for all (§2.3)."""
    apis = [api["id"] for api in home.ask("apis.listApis")["apis"]]
    root = home.root_key(*(f"api.{api_id}.read_api" for api_id in apis))
    assert home.call("apis.listApis", root=root).status_code == 403


def test_permissions_of_roles_count(home: Any, server: Any) -> None:
    """A root key holds the permissions of its roles as its own (§2.3)."""
    donor, root = home.new_root_key("api.*.create_api"), home.new_root_key()
    role = Role(home.name("role"), home.name("role"))

    def give(tx: Any) -> None:
        tx.roles.insert("ws_operator", role, 0)
        tx.roles.connect_permissions(role.id, [p.id for p in tx.keys.permissions(donor.id)])
        tx.keys.connect_roles(tx.keys.find(root.id), [role.id])

    assert home.call("apis.createApi", {"name": "by role"}, root=root).status_code == 403
    server.write(give)
    assert home.call("apis.createApi", {"name": "by role"}, root=root).status_code == 200


def test_verification_and_liveness_need_no_root_key(home: Any) -> None:
    """Neither verifyKey nor liveness asks for credentials or minds invalid ones (Q37)."""
    secret = home.key().secret
    for authorization in ("", "Bearer nobody"):
        assert home.call("keys.verifyKey", {"key": secret}, authorization=authorization).json()["code"] == "VALID"
        assert home.call("liveness", authorization=authorization).status_code == 200
