"""Permissions and roles read and deleted (contract other-v1 §2, §8, DECISIONS D10)."""

from typing import Any, NamedTuple

import pytest

from keystead.core.secrets import hash_secret

NOT_ALLOWED = (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")


class Kind(NamedTuple):
    """The operations of permissions, or those of roles."""

    noun: str
    create: str
    get: str
    list: str
    delete: str

    @property
    def id_member(self) -> str:
        return f"{self.noun}Id"


PERMISSION = Kind(
    "permission",
    "permissions.createPermission",
    "permissions.getPermission",
    "permissions.listPermissions",
    "permissions.deletePermission",
)
ROLE = Kind("role", "permissions.createRole", "permissions.getRole", "permissions.listRoles", "permissions.deleteRole")

both = pytest.mark.parametrize("kind", [PERMISSION, ROLE], ids=lambda kind: kind.noun)


def make(tenant: Any, kind: Kind, **members: str) -> str:
    made: str = tenant.ask(kind.create, **members)[kind.id_member]
    return made


def test_a_permission_shows_its_members(tenant: Any) -> None:
    """Id, name and slug always; the description if it was ever set, an empty one as such (§2.2)."""
    bare = make(tenant, PERMISSION, name="invoice.read")
    full = make(tenant, PERMISSION, name="invoice.read", slug="invoice.send", description="")
    shown = tenant.ask(PERMISSION.get, permissionId=bare)
    assert shown == {"id": bare, "name": "invoice.read", "slug": "invoice.read"}
    other = {"id": full, "name": "invoice.read", "slug": "invoice.send", "description": ""}
    assert tenant.ask(PERMISSION.get, permissionId=full) == other
    assert sorted(tenant.ask(PERMISSION.list), key=lambda each: each["slug"]) == [shown, other]


def test_a_role_shows_its_members(tenant: Any) -> None:
    """Id and name always, the description if set, never its permissions (§2.6)."""
    bare = make(tenant, ROLE, name="billing admin")
    full = make(tenant, ROLE, name="auditor", description="Reads everything")
    tenant.ask("permissions.setRolePermissions", roleId=bare, permissions=[{"name": "invoice.read", "create": True}])
    assert tenant.ask(ROLE.get, roleId=bare) == {"id": bare, "name": "billing admin"}
    assert tenant.ask(ROLE.get, roleId=full) == {"id": full, "name": "auditor", "description": "Reads everything"}


@both
def test_listings_are_complete_arrays(tenant: Any, foreign: Any, kind: Kind) -> None:
    """A bare array of all there is, in order of creation, of this workspace only; `[]` when there is none (§2.3)."""
    assert tenant.ask(kind.list) == []
    make(foreign, kind, name="foreign.one")
    made = []
    for number in range(120):
        tenant.server.clock.advance(1)
        made.append(make(tenant, kind, name=f"name.{number}"))
    assert [each["id"] for each in tenant.ask(kind.list)] == made


@both
def test_what_is_absent_or_foreign_is_not_found(tenant: Any, foreign: Any, kind: Kind) -> None:
    """404 for an unknown id, also the empty one of a deletion, and for one of another workspace, which stays."""
    theirs = make(foreign, kind, name="some.name")
    for operation in (kind.get, kind.delete):
        for id_ in (f"{kind.noun}_zzz", theirs):
            assert tenant.refused(operation, {kind.id_member: id_})[:2] == (404, "NOT_FOUND")
    assert tenant.refused(kind.delete, {kind.id_member: ""})[:2] == (404, "NOT_FOUND")
    assert foreign.ask(kind.get, **{kind.id_member: theirs})["name"] == "some.name"


@both
def test_validation_comes_before_credentials(tenant: Any, kind: Kind) -> None:
    """A missing or empty id is 400 without credentials, where one is needed (§0.5)."""
    for operation, body in ((kind.get, {}), (kind.get, {kind.id_member: ""}), (kind.delete, {})):
        failure = tenant.refused(operation, body, root_key=None)
        assert failure[:2] == (400, "BAD_REQUEST")
        assert failure.message.startswith(f"{kind.id_member}: ")
    assert tenant.refused(kind.list, root_key=None)[:2] == (401, "UNAUTHORIZED")


@both
def test_each_operation_needs_its_permission(tenant: Any, kind: Kind) -> None:
    """Reading and deleting have one permission each; any other is refused by name (§0.4)."""
    id_ = make(tenant, kind, name="some.name")
    other = "role" if kind is PERMISSION else "permission"
    for operation, action in ((kind.get, "read"), (kind.list, "read"), (kind.delete, "delete")):
        needed = f"rbac.*.{action}_{kind.noun}"
        wrong = tenant.new_root_key(f"rbac.*.{action}_{other}", f"rbac.*.create_{kind.noun}")
        failure = tenant.refused(operation, {kind.id_member: id_}, root_key=wrong)
        assert failure[:3] == NOT_ALLOWED
        assert needed in failure.message
        right = tenant.new_root_key(needed)
        tenant.answer(tenant.call(operation, {kind.id_member: id_}, root_key=right))


@both
def test_deleting_twice_and_making_it_again(tenant: Any, kind: Kind) -> None:
    """The second deletion is 404; the name is free, and the new one takes over nothing of the old (§2.4)."""
    id_ = make(tenant, kind, name="some.name")
    member = f"{kind.noun}s"
    key_id, secret = tenant.key(**{member: ["some.name"]})
    assert tenant.verify(secret)[member] == ["some.name"]
    tenant.clear_audit()
    assert tenant.ask(kind.delete, **{kind.id_member: id_}) == {}
    assert tenant.events() == {f"{kind.noun}.delete": [id_]}
    assert tenant.refused(kind.delete, {kind.id_member: id_}).status == 404
    assert tenant.refused(kind.get, {kind.id_member: id_}).status == 404
    assert make(tenant, kind, name="some.name") != id_
    verified = tenant.verify(secret)
    assert (verified["valid"], verified[member]) == (True, [])
    assert tenant.ask("keys.getKey", keyId=key_id)[member] == []
    assert tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"][0][member] == []


def test_a_deleted_permission_is_gone_from_keys_and_roles(tenant: Any) -> None:
    """Keys that had it themselves or by a role lose it at once, keep the rest, and stay (D10)."""
    role_id = make(tenant, ROLE, name="reader")
    pair = [{"name": "invoice.read", "create": True}, {"name": "invoice.list", "create": True}]
    by_name = {
        each["name"]: each["id"]
        for each in tenant.ask("permissions.setRolePermissions", roleId=role_id, permissions=pair)
    }
    _, direct = tenant.key(permissions=["invoice.read", "invoice.list"])
    _, by_role = tenant.key(roles=["reader"])
    needs = {"authorization": {"permissions": "invoice.read"}}
    assert {tenant.verify(secret, **needs)["code"] for secret in (direct, by_role)} == {"VALID"}
    tenant.ask(PERMISSION.delete, permissionId=by_name["invoice.read"])
    for secret in (direct, by_role):
        assert tenant.verify(secret, **needs)["code"] == "INSUFFICIENT_PERMISSIONS"
        assert tenant.verify(secret)["permissions"] == ["invoice.list"]
    assert tenant.verify(by_role)["roles"] == ["reader"]


def test_a_deleted_role_takes_its_permissions_along(tenant: Any) -> None:
    """Its keys stay valid without it and without what it gave; its permissions stay where they are (D10)."""
    role_id = make(tenant, ROLE, name="reader")
    tenant.ask("permissions.setRolePermissions", roleId=role_id, permissions=[{"name": "invoice.read", "create": True}])
    _, secret = tenant.key(roles=["reader"], permissions=["invoice.send"])
    assert tenant.verify(secret)["permissions"] == ["invoice.send", "invoice.read"]
    tenant.ask(ROLE.delete, roleId=role_id)
    verified = tenant.verify(secret)
    assert (verified["code"], verified["roles"], verified["permissions"]) == ("VALID", [], ["invoice.send"])
    assert {each["name"] for each in tenant.ask(PERMISSION.list)} == {"invoice.read", "invoice.send"}


def test_a_root_key_loses_what_is_deleted(tenant: Any) -> None:
    """A root key that may do something by a role, or by a permission of its own, may not on the next request."""
    role_id = make(tenant, ROLE, name="reader")
    permission_id = make(tenant, PERMISSION, name="rbac.any.read_role", slug=f"api.{tenant.api_id}.read_api")
    by_role, direct = tenant.new_root_key(), tenant.new_root_key()

    def grant(tx: Any) -> None:
        # Root keys hold what the operator gave them; links to a workspace's own things are put there here.
        tx.roles.connect_permissions(role_id, [permission_id])
        tx.keys.connect_roles(tx.keys.by_hash(hash_secret(by_role)), [role_id])
        tx.keys.connect_permissions(tx.keys.by_hash(hash_secret(direct)), [permission_id])

    def statuses() -> list[int]:
        query = {"apiId": tenant.api_id}
        return [tenant.call("apis.getApi", query, root_key=key).status_code for key in (by_role, direct)]

    assert statuses() == [403, 403]
    tenant.server.write(grant)
    assert statuses() == [200, 200]
    tenant.ask(ROLE.delete, roleId=role_id)
    assert statuses() == [403, 200]
    tenant.ask(PERMISSION.delete, permissionId=permission_id)
    assert statuses() == [403, 403]
