"""Permissions and roles of a workspace: createPermission, createRole, setRolePermissions (other-v1 §2, DECISIONS)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from keystead.core.entities import Permission, Role
from keystead.core.ids import ALPHABET

DESCRIPTIONS = [None, "", "abc", "View invoices", "ä" * 256]


@contextmanager
def unchanged(home: Any) -> Iterator[None]:
    """The audit log, and so the workspace, may not differ afterwards."""
    before = home.audit()
    yield
    assert home.audit() == before


def events(home: Any, count: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """The youngest audit entries: event and resources."""
    return [(e.event, [(r.type, r.id) for r in e.resources]) for e in home.audit()[-count:]] if count else []


# --- createPermission and createRole --------------------------------------------------------------------------------


@pytest.mark.parametrize("description", DESCRIPTIONS)
@pytest.mark.parametrize("has_slug", [False, True])
def test_create_permission(home: Any, server: Any, has_slug: bool, description: str | None) -> None:
    """A permission has its name, its slug or else the name for it, and its description; the answer is the id."""
    name = home.name("invoice")
    slug = f"slug:{name}" if has_slug else name
    body = {"name": name} | ({"slug": slug} if has_slug else {})
    made = home.ask(
        "permissions.createPermission", **body, **({} if description is None else {"description": description})
    )
    assert set(made) == {"permissionId"}
    assert re.fullmatch(f"perm_[{ALPHABET}]+", made["permissionId"])
    stored = server.read(lambda tx: tx.permissions.by_slugs(home.id, [slug]))
    assert stored == {slug: Permission(made["permissionId"], name, slug, description)}
    assert events(home, 1) == [("permission.create", [("permission", made["permissionId"])])]
    assert home.audit()[-1].resources[0].meta == {"name": name}


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_create_role(home: Any, server: Any, description: str | None) -> None:
    """A role has its name, of any characters, and its description, and no permissions; the answer is the id."""
    name = home.name("Rôle * / \N{KEY}")
    made = home.ask(
        "permissions.createRole", name=name, **({} if description is None else {"description": description})
    )
    assert set(made) == {"roleId"}
    assert re.fullmatch(f"role_[{ALPHABET}]+", made["roleId"])
    assert server.read(lambda tx: tx.roles.by_names(home.id, [name])) == {name: Role(made["roleId"], name, description)}
    assert server.read(lambda tx: tx.roles.permissions(made["roleId"])) == []
    assert events(home, 1) == [("role.create", [("role", made["roleId"])])]
    assert home.audit()[-1].resources[0].meta == {"name": name}


def test_slug_and_name_of_a_permission(home: Any) -> None:
    """Verification compares and shows slugs, getKey shows names."""
    slug = home.name("slug")
    home.ask("permissions.createPermission", name="a.name", slug=slug)
    key = home.key(permissions=[slug])
    assert home.show(key.id)["permissions"] == ["a.name"]
    assert home.verify(key.secret, authorization={"permissions": slug})["permissions"] == [slug]
    assert home.verify(key.secret, authorization={"permissions": "a.name"})["code"] == "INSUFFICIENT_PERMISSIONS"


@pytest.mark.parametrize("has_slug", [False, True])
def test_slug_that_is_taken(home: Any, foreign: Any, has_slug: bool) -> None:
    """A slug that exists is 409 and nothing is written; equal names, other cases and other workspaces are free."""
    name = home.name("taken")
    home.ask("permissions.createPermission", name=name)
    again = {"name": "other.name", "slug": name} if has_slug else {"name": name, "description": "again"}
    with unchanged(home):
        answer = home.call("permissions.createPermission", again)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
        assert name in answer.json()["error"]["message"]
    home.ask("permissions.createPermission", name=name, slug=f"{name}.other")
    home.ask("permissions.createPermission", name=name.upper())
    foreign.ask("permissions.createPermission", name=name)


def test_role_name_that_is_taken(home: Any, foreign: Any) -> None:
    """A role's name that exists is 409 and nothing is written; other cases and other workspaces are free."""
    name = home.name("billing admin")
    home.ask("permissions.createRole", name=name)
    with unchanged(home):
        answer = home.call("permissions.createRole", {"name": name, "description": "again"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
        assert name in answer.json()["error"]["message"]
    home.ask("permissions.createRole", name=name.upper())
    home.ask("permissions.createRole", name=f"{name} ")
    foreign.ask("permissions.createRole", name=name)


def test_what_createkey_made_is_taken(home: Any) -> None:
    """Permissions and roles that a createKey call brought about are there like any other."""
    slug, role = home.name("implicit"), home.name("implicit")
    home.key(permissions=[slug], roles=[role])
    assert home.call("permissions.createPermission", {"name": slug}).status_code == 409
    assert home.call("permissions.createRole", {"name": role}).status_code == 409


# --- setRolePermissions ---------------------------------------------------------------------------------------------


def slugs_of(home: Any, key: Any) -> set[str]:
    """What the key may do, as verification shows it."""
    return set(home.verify(key.secret)["permissions"])


def test_set_is_in_force_at_the_next_verification(home: Any) -> None:
    """Every key with the role has the new set at its next verification, others have what they had."""
    (first, first_slug), (second, second_slug) = home.permission(), home.permission()
    own = home.permission()[1]
    role_id, role = home.role()
    keys = [home.key(roles=[role]), home.key(roles=[role, home.name("role")], permissions=[own]), home.key()]

    def all_slugs() -> list[set[str]]:
        return [slugs_of(home, key) for key in keys]

    assert all_slugs() == [set(), {own}, set()]
    for selectors, slugs in (
        ([{"id": first}], {first_slug}),
        ([{"id": first}, {"slug": second_slug}], {first_slug, second_slug}),
        ([{"name": second_slug}], {second_slug}),
        ([{"id": second}, {}], {second_slug}),
        ([], set()),
    ):
        home.ask("permissions.setRolePermissions", roleId=role_id, permissions=selectors)
        assert all_slugs() == [slugs, slugs | {own}, set()]
    assert home.show(keys[1].id)["permissions"] == [own]


def test_answer_of_set(home: Any) -> None:
    """The answer is the complete new set in request order, each once, existing ones before created ones."""
    (first, first_slug), (second, second_slug) = home.permission(), home.permission()
    role_id, _ = home.role(first_slug)
    new = home.name("created")
    selectors = [{"slug": new, "create": True}, {"id": second}, {"name": first_slug}, {"slug": second_slug}, {}]
    answer = home.ask("permissions.setRolePermissions", roleId=role_id, permissions=selectors)
    assert [entry["name"] for entry in answer] == [second_slug, first_slug, new]
    assert [entry["id"] for entry in answer[:2]] == [second, first]
    assert all(set(entry) == {"id", "name"} for entry in answer)
    assert home.ask("permissions.setRolePermissions", roleId=role_id, permissions=[]) == []


def test_audit_of_set(home: Any) -> None:
    """There is one entry for each link made or ended and each permission created, and none when nothing changes."""
    (kept, kept_slug), (gone, gone_slug), (fresh, fresh_slug) = home.permission(), home.permission(), home.permission()
    role_id, _ = home.role(kept_slug, gone_slug)
    new = home.name("created")
    selectors = [{"slug": kept_slug}, {"slug": fresh_slug, "create": True}, {"name": new, "create": True}]
    answer = home.ask("permissions.setRolePermissions", roleId=role_id, permissions=selectors)
    created = answer[-1]["id"]
    assert events(home, 4) == [
        ("authorization.disconnect_role_and_permission", [("role", role_id), ("permission", gone)]),
        ("permission.create", [("permission", created)]),
        ("authorization.connect_role_and_permission", [("role", role_id), ("permission", fresh)]),
        ("authorization.connect_role_and_permission", [("role", role_id), ("permission", created)]),
    ]
    with unchanged(home):
        again = [{"id": kept}, {"id": fresh}, {"id": created, "create": True}]
        assert home.ask("permissions.setRolePermissions", roleId=role_id, permissions=again) == answer


@pytest.mark.parametrize(
    "selector",
    [
        {"id": "perm_unknown"},
        {"id": "perm_unknown", "create": True},
        {"id": "perm_unknown", "slug": "#known"},
        {"slug": "unknown"},
        {"slug": "unknown", "create": False},
        {"slug": "unknown", "name": "#known"},
        {"name": "#KNOWN"},
        {"id": "#foreign"},
        {"slug": "#foreign slug"},
    ],
)
def test_selectors_that_find_nothing(home: Any, foreign: Any, selector: dict[str, Any]) -> None:
    """A permission that is not in the workspace is 404, and of the whole list nothing is done."""
    _, known = home.permission()
    foreign_id, foreign_slug = foreign.permission()
    words = {"#known": known, "#KNOWN": known.upper(), "#foreign": foreign_id, "#foreign slug": foreign_slug}
    wanted = {member: words.get(text, text) for member, text in selector.items()}
    role_id, role = home.role(home.name("present"))
    key = home.key(roles=[role])
    before = slugs_of(home, key)
    with unchanged(home):
        body = {"roleId": role_id, "permissions": [{"slug": home.name("new"), "create": True}, wanted]}
        assert home.call("permissions.setRolePermissions", body).status_code == 404
    assert slugs_of(home, key) == before


def test_roles_that_are_not_there(home: Any, foreign: Any) -> None:
    """An unknown role, one of another workspace, and a name instead of an id are 404."""
    foreign_role, _ = foreign.role("untouched")
    _, name = home.role()
    with unchanged(home), unchanged(foreign):
        for role_id in ("role_unknown", foreign_role, name):
            answer = home.call("permissions.setRolePermissions", {"roleId": role_id, "permissions": []})
            assert answer.status_code == 404
            assert answer.json()["error"]["message"] == f"role {role_id} not found"
