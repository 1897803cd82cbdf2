"""Who may do what: the tables of keys-v1 §2.4 and §2.5, other-v1 §0.4 and the extensions of DECISIONS, as data.

Written from the contract, not from the server's table of operations. A row is one call: the steps at which it can be
refused, in their order, and how to make a call that is about fresh objects.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Prepared = tuple[Any, dict[str, str]]
"""A body whose objects exist, and the ids that placeholders such as `<apiId>` stand for."""

OWN, FOREIGN, ABSENT = "own", "foreign", "absent"
"""Whose object a call is about: the workspace's, another workspace's, nobody's."""

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
UNRELATED = "api.*.verify_key"
"""In the vocabulary, but no operation asks for it: verifications need no root key."""
LITERAL = ("api.*.*", "*.*.*", "**", "api", "rbac.*.*", "identity.*.*", "ratelimit.*.*", "API.*.READ_KEY", "random.one")
"""No permission is a pattern (§2.3): whoever holds one of these may do nothing."""

# Members of requests that say which object is meant.
_NAMING = {
    "keyId",
    "key",
    "apiId",
    "permissionId",
    "roleId",
    "identityId",
    "externalId",
    "ownerId",
    "namespaceId",
    "namespaceName",
    "namespace",
}


class Need(NamedTuple):
    """A step: one of these permissions, or `*`. `hides`: without it the answer is 404, not 403."""

    alternatives: tuple[str, ...]
    hides: bool = False


class Found(NamedTuple):
    """A step: the object is there and the workspace's own, else 404."""


FOUND = Found()
Step = Need | Found


class Row(NamedTuple):
    """One call. `elsewhere` are the steps when the object is foreign or absent, if they are others."""

    operation: str
    when: str
    steps: tuple[Step, ...]
    prepare: Callable[[Any], Prepared]
    elsewhere: tuple[Step, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.operation} {self.when}".strip()

    @property
    def needs(self) -> tuple[Need, ...]:
        """What it takes to succeed with an object of the workspace's own."""
        return tuple(step for step in self.steps if isinstance(step, Need))

    @property
    def targets(self) -> tuple[str, ...]:
        """Whose object it can be about."""
        return (OWN, FOREIGN, ABSENT) if FOUND in self.steps or self.elsewhere else (OWN,)

    def besides(self, need: Need) -> tuple[str, ...]:
        """Everything but this need, by the permissions that hold everywhere."""
        return tuple(other.alternatives[0] for other in self.needs if other is not need)


class Outcome(NamedTuple):
    """How a call has to end: its status, and for 403 the permissions that the message has to name."""

    status: int
    named: tuple[str, ...] = ()


def expected(row: Row, held: frozenset[str], target: str, ids: dict[str, str]) -> Outcome:
    """What the contract says about a call with these permissions."""
    for step in row.steps if target == OWN or not row.elsewhere else row.elsewhere:
        if isinstance(step, Found):
            if target != OWN:
                return Outcome(404)
        elif held.isdisjoint(named := ("*", *filled(step.alternatives, ids))):
            return Outcome(404) if step.hides else Outcome(403, named)
    return Outcome(202 if row.operation == "migrations.enqueueKeys" else 200)


def filled(templates: tuple[str, ...], ids: dict[str, str]) -> tuple[str, ...]:
    """The permission strings about the ids of a call; templates about other ids are left out."""
    texts = [re.sub(r"<(\w+)>", lambda match: ids.get(match[1], match[0]), template) for template in templates]
    return tuple(text for text in texts if "<" not in text)


def vocabulary(*ids: dict[str, str]) -> tuple[str, ...]:
    """Every permission there is: each action on everything, on each of these objects and on one that nobody has."""
    known = {
        placeholder: dict.fromkeys(["*", *more, *(known[placeholder] for known in ids if placeholder in known)])
        for placeholder, more in (
            ("apiId", ["api_nope"]),
            ("identityId", ["id_nope"]),
            ("environment", ["default", "other"]),
            ("namespaceId", ["rlns_nope"]),
        )
    }
    return (
        "*",
        *(f"api.{scope}.{action}" for scope in known["apiId"] for action in API_ACTIONS),
        *(f"rbac.*.{action}" for action in RBAC_ACTIONS),
        *(
            f"identity.{scope}.{action}"
            for scope in known["identityId"] | known["environment"]
            for action in IDENTITY_ACTIONS
        ),
        *(f"ratelimit.{scope}.{action}" for scope in known["namespaceId"] for action in RATELIMIT_ACTIONS),
        *LITERAL,
    )


def vanished(prepared: Prepared) -> Prepared:
    """The same call about objects that nobody has; their ids and names are as long."""
    body, ids = prepared
    return _vanished(body), {placeholder: _nobodys(value) for placeholder, value in ids.items()}


def _vanished(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _nobodys(member) if name in _NAMING and isinstance(member, str) else _vanished(member)
            for name, member in value.items()
        }
    return [_vanished(item) for item in value] if isinstance(value, list) else value


def _nobodys(text: str) -> str:
    return text[:-1] + "_"


def of_api(action: str) -> Need:
    return Need((f"api.*.{action}", f"api.<apiId>.{action}"))


def rbac(action: str) -> Need:
    return Need((f"rbac.*.{action}",))


# --- What calls are about -------------------------------------------------------------------------------------


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
    first: tuple[Step, ...]
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
UPDATE = (FOUND, of_api("update_key"))
LINKS = (
    Linked("keys.setPermissions", "permissions", (FOUND,), key_with_permissions),
    Linked("keys.updateKey", "permissions", UPDATE, key_with_permissions),
    Linked("permissions.setRolePermissions", "permissions", (FOUND,), role_with_permissions),
    Linked("keys.setRoles", "roles", (FOUND,), key_with_roles),
    Linked("keys.updateKey", "roles", UPDATE, key_with_roles),
)


def link_rows() -> Iterator[Row]:
    """Attach, create and detach, for each operation that replaces what is attached (§3.11: detach, create, attach)."""
    for link in LINKS:
        kind = link.member.removesuffix("s")
        holder = "role" if link.operation.endswith("setRolePermissions") else "key"
        add, remove = rbac(f"add_{kind}_to_{holder}"), rbac(f"remove_{kind}_from_{holder}")
        create = rbac(f"create_{kind}")
        existing = existing_permission if kind == "permission" else existing_role
        for what, steps, selectors in (
            ("attached", (add,), (the_same, existing)),
            ("created", (create, add), (the_same, new)),
            ("detached", (remove, add), (existing,)),
        ):
            yield Row(link.operation, f"a {kind} is {what}", (*link.first, *steps), link.selecting(*selectors))


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


# --- The table ------------------------------------------------------------------------------------------------

CREATE_KEY = of_api("create_key")
LIST_KEYS = (of_api("read_key"), of_api("read_api"))
CREATE_NAMESPACE = Need(("ratelimit.*.create_namespace",), hides=True)
LIMIT = Need(("ratelimit.*.limit", "ratelimit.<namespaceId>.limit"))
LIMIT_NEW = (CREATE_NAMESPACE, Need(("ratelimit.*.limit",)))
ROWS = (
    Row("keys.getKey", "", (FOUND, of_api("read_key")), with_key()),
    Row("keys.getKey", "decrypt", (FOUND, of_api("read_key"), of_api("decrypt_key")), with_key(decrypt=True)),
    Row("keys.whoami", "", (FOUND, of_api("read_key")), whoami),
    Row("keys.deleteKey", "", (FOUND, of_api("delete_key")), with_key()),
    Row("keys.deleteKey", "for good", (FOUND, of_api("delete_key")), with_key(permanent=True)),
    Row("keys.createKey", "", (CREATE_KEY, FOUND), with_members(apiId=own_api)),
    Row(
        "keys.createKey",
        "a permission is created",
        (CREATE_KEY, FOUND, rbac("create_permission")),
        with_members(apiId=own_api, permissions=fresh_list("permission")),
    ),
    Row(
        "keys.createKey",
        "a role is created",
        (CREATE_KEY, FOUND, rbac("create_role")),
        with_members(apiId=own_api, roles=fresh_list("role")),
    ),
    Row("keys.createKey", "recoverable", (CREATE_KEY, FOUND, of_api("encrypt_key")), recoverable),
    Row("keys.updateKey", "", UPDATE, with_key(name="renamed")),
    Row("keys.updateRemaining", "", UPDATE, with_key(op="set", value=5)),
    Row("keys.getVerifications", "", (FOUND, of_api("read_key")), with_key()),
    Row("keys.getVerifications", "by owner", (FOUND, of_api("read_key")), owned),
    Row(
        "keys.addPermissions",
        "",
        (rbac("add_permission_to_key"), FOUND),
        with_members(keyId=fresh_key_id, permissions=existing_permissions),
    ),
    Row(
        "keys.addPermissions",
        "a permission is created",
        (rbac("add_permission_to_key"), FOUND, rbac("create_permission")),
        with_members(keyId=fresh_key_id, permissions=fresh_selectors("permission")),
    ),
    Row(
        "keys.removePermissions",
        "",
        (rbac("remove_permission_from_key"), FOUND),
        with_key(permissions=[{"name": "x"}]),
    ),
    Row(
        "keys.addRoles",
        "",
        (rbac("add_role_to_key"), FOUND),
        with_members(keyId=fresh_key_id, roles=existing_roles),
    ),
    Row(
        "keys.addRoles",
        "a role is created",
        (rbac("add_role_to_key"), FOUND, Need(("rbac.*.create_role", "rbac.*.create_permission"))),
        with_members(keyId=fresh_key_id, roles=fresh_selectors("role")),
    ),
    Row("keys.removeRoles", "", (rbac("remove_role_from_key"), FOUND), with_key(roles=[{"name": "x"}])),
    *link_rows(),
    Row("apis.createApi", "", (Need(("api.*.create_api",)),), with_members(name=fresh("api"))),
    Row("apis.getApi", "", (of_api("read_api"), FOUND), with_members(apiId=own_api)),
    Row("apis.listKeys", "", (*LIST_KEYS, FOUND), with_members(apiId=own_api)),
    Row(
        "apis.listKeys",
        "decrypt",
        (*LIST_KEYS, FOUND, of_api("decrypt_key")),
        with_members(apiId=own_api, decrypt=True),
    ),
    Row("apis.deleteKeys", "", (of_api("delete_key"), FOUND), doomed_api),
    Row("apis.deleteApi", "", (of_api("delete_api"), FOUND), doomed_api),
    Row("apis.updateApi", "", (of_api("update_api"), FOUND), with_members(apiId=own_api, name=fresh("api"))),
    Row("apis.listApis", "", (Need(("api.*.read_api",)),), with_members()),
    Row("permissions.createPermission", "", (rbac("create_permission"),), with_members(name=fresh("permission"))),
    Row(
        "permissions.getPermission",
        "",
        (rbac("read_permission"), FOUND),
        with_members(permissionId=fresh_permission_id),
    ),
    Row("permissions.listPermissions", "", (rbac("read_permission"),), with_members()),
    Row(
        "permissions.deletePermission",
        "",
        (rbac("delete_permission"), FOUND),
        with_members(permissionId=fresh_permission_id),
    ),
    Row("permissions.createRole", "", (rbac("create_role"),), with_members(name=fresh("role"))),
    Row("permissions.getRole", "", (rbac("read_role"), FOUND), with_members(roleId=fresh_role_id)),
    Row("permissions.listRoles", "", (rbac("read_role"),), with_members()),
    Row("permissions.deleteRole", "", (rbac("delete_role"), FOUND), with_members(roleId=fresh_role_id)),
    Row(
        "identities.createIdentity",
        "",
        (Need(("identity.*.create_identity",)),),
        with_members(externalId=fresh("customer")),
    ),
    Row(
        "identities.getIdentity",
        "",
        (Need(("identity.*.read_identity", "identity.<identityId>.read_identity")), FOUND),
        identity,
    ),
    Row(
        "identities.getIdentity",
        "by external id",
        (Need(("identity.*.read_identity",)), FOUND),
        identity_by_external_id,
    ),
    Row(
        "identities.listIdentities",
        "",
        (Need(("identity.*.read_identity", "identity.<environment>.read_identity")),),
        environment,
    ),
    Row("identities.updateIdentity", "", (Need(("identity.*.update_identity",)), FOUND), identity),
    Row(
        "identities.deleteIdentity",
        "",
        (Need(("identity.*.delete_identity", "identity.<identityId>.delete_identity")), FOUND),
        identity,
    ),
    Row("ratelimits.limit", "", (LIMIT,), limited, elsewhere=LIMIT_NEW),
    Row("ratelimits.limit", "a namespace is created", LIMIT_NEW, limited_for_the_first_time),
    Row(
        "ratelimits.setOverride",
        "",
        (Need(("ratelimit.*.set_override",)), FOUND),
        in_namespace(identifier="customer*", limit=1, duration=60_000),
    ),
    Row("ratelimits.getOverride", "", (Need(("ratelimit.*.read_override",)), FOUND), override),
    Row("ratelimits.listOverrides", "", (Need(("ratelimit.*.read_override",)), FOUND), in_namespace()),
    Row("ratelimits.deleteOverride", "", (Need(("ratelimit.*.delete_override",)), FOUND), override),
    Row("ratelimits.listNamespaces", "", (Need(("ratelimit.*.read_namespace",)),), with_members()),
    Row("migrations.createKeys", "", (CREATE_KEY, FOUND), imported(own_api)),
    Row("migrations.enqueueKeys", "", (CREATE_KEY, FOUND), queued("hash")),
    Row("migrations.enqueueKeys", "plaintext", (CREATE_KEY, of_api("encrypt_key"), FOUND), queued("plaintext")),
    Row("analytics.getVerifications", "", (of_api("read_api"), FOUND), with_members(apiId=own_api, start=0)),
)

WITHOUT_ROOT_KEY = {"keys.verifyKey", "liveness"}
"""Operations that ask nobody for anything."""
