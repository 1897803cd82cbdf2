"""Permissions and roles of a key: add, remove and set, and what entries of their lists mean (keys-v1 §3.9 to §3.14)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest


class Kind(NamedTuple):
    """What is linked: permissions or roles."""

    noun: str

    @property
    def member(self) -> str:
        return f"{self.noun}s"

    def operation(self, verb: str) -> str:
        return f"keys.{verb}{self.noun.capitalize()}s"

    def new(self, home: Any) -> tuple[str, str]:
        """A new one that nothing is linked to; its id and the name selectors find it by."""
        made: tuple[str, str] = home.permission() if self.noun == "permission" else home.role()
        return made

    def names(self, home: Any, key: Any) -> list[str]:
        """What the key has, as verification shows it."""
        shown: list[str] = home.verify(key.secret)[self.member]
        return shown

    def event(self, verb: str) -> str:
        return f"authorization.{verb}_{self.noun}_and_key"


KINDS = [Kind("permission"), Kind("role")]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)


@contextmanager
def unchanged(home: Any, kind: Kind, key: Any) -> Iterator[None]:
    """Neither what the key has nor the audit log may differ afterwards."""
    before = kind.names(home, key), home.audit_length()
    yield
    assert (kind.names(home, key), home.audit_length()) == before


class Scene(NamedTuple):
    """A key that has `first` and `second`, and `third` that it has not: each an id and a name."""

    key: Any
    first: tuple[str, str]
    second: tuple[str, str]
    third: tuple[str, str]

    def filled(self, selectors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Selectors whose `#first` and `@first` stand for the id and the name of `first`."""
        texts = {}
        for word in ("first", "second", "third"):
            texts[f"#{word}"], texts[f"@{word}"] = getattr(self, word)
        return [
            {member: texts.get(value, value) if isinstance(value, str) else value for member, value in entry.items()}
            for entry in selectors
        ]


@pytest.fixture
def scene(home: Any, kind: Kind) -> Scene:
    first, second, third = (kind.new(home) for _ in range(3))
    return Scene(home.key(**{kind.member: [first[1], second[1]]}), first, second, third)


# Selectors → what the key has after add, in the order of the answer; what set leaves; what remove leaves. A number is
# the status of a refusal.
SELECTORS: list[tuple[str, list[dict[str, Any]], Any, Any, Any]] = [
    ("by id", [{"id": "#third"}], "third first second", "third", "first second"),
    ("by name", [{"name": "@third"}], "third first second", "third", "first second"),
    ("attached by id", [{"id": "#second"}], "second first", "second", "first"),
    ("attached by name", [{"name": "@second"}], "second first", "second", "first"),
    ("two", [{"name": "@third"}, {"id": "#first"}], "third first second", "third first", "second"),
    ("both attached", [{"id": "#second"}, {"name": "@first"}], "second first", "second first", ""),
    ("id beats name", [{"id": "#third", "name": "@first"}], "third first second", "third", "first second"),
    ("id beats unknown name", [{"id": "#second", "name": "ghost"}], "second first", "second", "first"),
    ("duplicates", [{"id": "#third"}, {"name": "@third"}], "third first second", "third", "first second"),
    ("create of what exists", [{"name": "@third", "create": True}], "third first second", "third", "first second"),
    ("with empty entries", [{}, {"name": "@third"}, {"create": True}], "third first second", "third", "first second"),
    ("only empty entries", [{}, {}, {}], "first second", 400, "first second"),
    ("unknown name", [{"name": "@third"}, {"name": "ghost"}], 404, 404, "first second"),
    ("unknown name, not to create", [{"name": "ghost", "create": False}], 404, 404, "first second"),
    ("unknown id", [{"id": "ghost_id"}], 404, 404, "first second"),
    ("unknown id, to create", [{"id": "ghost_id", "name": "@third", "create": True}], 404, 404, "first second"),
    ("empty list", [], 400, 400, 400),
    ("short id", [{"id": "ab"}], 400, 400, 400),
    ("empty name", [{"name": ""}], 400, 400, 400),
    ("null id", [{"id": None, "name": "@third"}], 400, 400, 400),
    ("null create", [{"name": "@third", "create": None}], 400, 400, 400),
]


@each_kind
@pytest.mark.parametrize("verb", ["add", "set", "remove"])
@pytest.mark.parametrize(
    ("selectors", "added", "left_by_set", "left_by_remove"),
    [case[1:] for case in SELECTORS],
    ids=[case[0] for case in SELECTORS],
)
def test_selectors(
    home: Any,
    kind: Kind,
    scene: Scene,
    verb: str,
    selectors: list[dict[str, Any]],
    added: Any,
    left_by_set: Any,
    left_by_remove: Any,
) -> None:
    """Every entry counts, an id beats a name, empty entries name nothing, and a refusal changes nothing."""
    expected = {"add": added, "set": left_by_set, "remove": left_by_remove}[verb]
    body = {"keyId": scene.key.id, kind.member: scene.filled(selectors)}
    if isinstance(expected, int):
        with unchanged(home, kind, scene.key):
            assert home.call(kind.operation(verb), body).status_code == expected
        return
    answer = home.ask(kind.operation(verb), **body)
    objects = [getattr(scene, word) for word in expected.split()]
    if verb == "remove":
        assert answer == {}
    else:
        assert [(item["id"], item["name"]) for item in answer] == objects
    assert sorted(kind.names(home, scene.key)) == sorted(name for _, name in objects)


@each_kind
@pytest.mark.parametrize("verb", ["add", "set"])
def test_creating(home: Any, kind: Kind, scene: Scene, verb: str) -> None:
    """What is missing is made once, with an id of its kind, and found by the next call (Q5, Q33)."""
    name = home.name("new")
    entry = {"name": name, "create": True}
    body = {"keyId": scene.key.id, kind.member: [entry, {"name": scene.first[1]}, entry]}
    before = home.audit()
    answer = home.ask(kind.operation(verb), **body)
    assert [entry.event for entry in home.audit()[len(before) :]].count(f"{kind.noun}.create") == 1
    # set tells what existed before what it made (§3.11), add tells in the order of the request (§3.9).
    first = {"id": scene.first[0], "name": scene.first[1]}
    made = next(item for item in answer if item["name"] == name)
    assert answer[:2] == ([made, first] if verb == "add" else [first, made])
    assert made["id"].startswith({"permission": "perm_", "role": "role_"}[kind.noun])
    other = home.key()
    assert home.ask(kind.operation("add"), keyId=other.id, **{kind.member: [{"id": made["id"]}]}) == [made]


def test_slugs_and_names_of_permissions(home: Any) -> None:
    """Permissions are found by slug, under `slug` or its older spelling `name`; answers show their names."""
    name, slug = home.name("shown"), home.name("slug")
    permission_id = home.ask("permissions.createPermission", name=name, slug=slug)["permissionId"]
    key = home.key()
    for entry in ({"slug": slug}, {"name": slug}, {"slug": slug, "name": "ghost"}):
        shown = home.ask("keys.setPermissions", keyId=key.id, permissions=[entry])
        assert shown == [{"id": permission_id, "name": name}]
        assert home.ask("keys.removePermissions", keyId=key.id, permissions=[entry]) == {}
        assert home.verify(key.secret)["permissions"] == []
    response = home.call("keys.addPermissions", {"keyId": key.id, "permissions": [{"name": name}]})
    assert response.status_code == 404


def test_a_created_permission_has_its_text_as_name_and_slug(home: Any) -> None:
    """A permission made by a selector has the text for its name and its slug."""
    slug = home.name("new permission")
    key = home.key()
    (made,) = home.ask("keys.addPermissions", keyId=key.id, permissions=[{"slug": slug, "create": True}])
    assert made["name"] == slug
    assert home.verify(key.secret)["permissions"] == home.show(key.id)["permissions"] == [slug]


@pytest.mark.parametrize(("length", "status"), [(128, 200), (129, 400)])
def test_length_of_a_slug(home: Any, length: int, status: int) -> None:
    """A permission slug has at most 128 characters (Q30)."""
    body = {"keyId": home.key().id, "permissions": [{"name": "s" * length, "create": True}]}
    assert home.call("keys.addPermissions", body).status_code == status


@pytest.mark.parametrize(("length", "status"), [(512, 200), (513, 400)])
def test_length_of_a_role_name(home: Any, length: int, status: int) -> None:
    """A role name has at most 512 characters."""
    body = {"keyId": home.key().id, "roles": [{"name": "r" * length, "create": True}]}
    assert home.call("keys.addRoles", body).status_code == status


def test_inherited_permissions_are_not_the_keys_own(home: Any) -> None:
    """What comes through a role is neither detached nor listed, and attaching it directly is a link of its own."""
    slug = home.name("permission")
    key = home.key(roles=[home.role(slug)[1]])
    assert home.ask("keys.removePermissions", keyId=key.id, permissions=[{"slug": slug}]) == {}
    assert home.verify(key.secret)["permissions"] == [slug]
    assert [item["name"] for item in home.ask("keys.addPermissions", keyId=key.id, permissions=[{"slug": slug}])] == [
        slug
    ]
    home.ask("keys.setRoles", keyId=key.id, roles=[{"name": home.role()[1]}])
    assert home.verify(key.secret)["permissions"] == [slug]


@each_kind
@pytest.mark.parametrize("verb", ["add", "set", "remove"])
def test_repeating_changes_nothing(home: Any, kind: Kind, scene: Scene, verb: str) -> None:
    """The same call again has the same answer and leaves no audit entry."""
    body = {"keyId": scene.key.id, kind.member: [{"name": scene.first[1]}, {"id": scene.third[0]}]}
    first = home.ask(kind.operation(verb), **body)
    with unchanged(home, kind, scene.key):
        assert home.ask(kind.operation(verb), **body) == first


@each_kind
def test_names_are_compared_exactly(home: Any, kind: Kind, scene: Scene) -> None:
    """Names and ids differ when they are written in other letters (§1.5)."""
    id_, name = scene.first
    for selector in ({"name": name.upper()}, {"name": f"{name} "}, {"id": id_.upper()}):
        body = {"keyId": scene.key.id, kind.member: [selector]}
        with unchanged(home, kind, scene.key):
            assert home.call(kind.operation("add"), body).status_code == 404
            assert home.ask(kind.operation("remove"), **body) == {}
    made = {"name": name.upper(), "create": True}
    home.ask(kind.operation("add"), keyId=scene.key.id, **{kind.member: [made]})
    assert {name, name.upper()} <= set(kind.names(home, scene.key))


@each_kind
def test_removed_things_still_exist(home: Any, kind: Kind, scene: Scene) -> None:
    """Detaching deletes nothing but the link."""
    home.ask(kind.operation("remove"), keyId=scene.key.id, **{kind.member: [{"id": scene.first[0]}]})
    home.ask(kind.operation("add"), keyId=scene.key.id, **{kind.member: [{"id": scene.first[0]}]})
    assert sorted(kind.names(home, scene.key)) == sorted([scene.first[1], scene.second[1]])


@each_kind
def test_audit_of_links(home: Any, kind: Kind, scene: Scene) -> None:
    """Each link made or cut leaves one entry about both ends, and each thing made one of its own."""
    new = home.name("new")
    before = home.audit()
    selectors = [{"id": scene.first[0]}, {"id": scene.third[0]}, {"name": new, "create": True}]
    home.ask(kind.operation("set"), keyId=scene.key.id, **{kind.member: selectors})
    entries = home.audit()[len(before) :]
    assert sorted(entry.event for entry in entries) == sorted(
        [kind.event("disconnect"), kind.event("connect"), kind.event("connect"), f"{kind.noun}.create"]
    )
    for entry in entries:
        assert entry.actor_id == home.root.id
        types = [resource.type for resource in entry.resources]
        assert types == ([kind.noun] if entry.event.endswith(".create") else [kind.noun, "key"])
    (cut,) = [entry for entry in entries if entry.event == kind.event("disconnect")]
    assert [resource.id for resource in cut.resources] == [scene.second[0], scene.key.id]


# The order of the errors of set, §3.11: each root key lacks one thing more than the next.
ORDER = [
    ((), "remove_{noun}_from_key"),
    (("remove_{noun}_from_key",), "404"),
    (("remove_{noun}_from_key", "add_{noun}_to_key"), "404"),
]


@each_kind
@pytest.mark.parametrize(("held", "told"), ORDER)
def test_set_tells_what_is_missing_in_order(
    home: Any, kind: Kind, scene: Scene, held: tuple[str, ...], told: str
) -> None:
    """A link that may not be cut is told before what is unknown; nothing is changed by then."""
    root = home.root_key(*(f"rbac.*.{text.format(noun=kind.noun)}" for text in held))
    selectors = [{"name": home.name("new"), "create": True}, {"name": "ghost"}]
    with unchanged(home, kind, scene.key):
        response = home.call(kind.operation("set"), {"keyId": scene.key.id, kind.member: selectors}, root=root)
    if told == "404":
        assert response.status_code == 404
    else:
        assert response.status_code == 403
        assert told.format(noun=kind.noun) in response.json()["error"]["message"]


@each_kind
@pytest.mark.parametrize(
    ("held", "told"),
    [((), "create_{noun}"), (("create_{noun}",), "add_{noun}_to_key"), (("add_{noun}_to_key",), "create_{noun}")],
)
def test_creating_by_set_needs_both_permissions(
    home: Any, kind: Kind, scene: Scene, held: tuple[str, ...], told: str
) -> None:
    """What set creates it also attaches: creating is asked for first, then attaching."""
    texts = (*held, "remove_{noun}_from_key")
    root = home.root_key(*(f"rbac.*.{text.format(noun=kind.noun)}" for text in texts))
    selectors = [{"name": home.name("new"), "create": True}]
    with unchanged(home, kind, scene.key):
        response = home.call(kind.operation("set"), {"keyId": scene.key.id, kind.member: selectors}, root=root)
    assert response.status_code == 403
    assert told.format(noun=kind.noun) in response.json()["error"]["message"]


@each_kind
@pytest.mark.parametrize("verb", ["add", "set", "remove"])
def test_texts_compared_literally(home: Any, kind: Kind, verb: str) -> None:
    """Three messages of these operations are compared by interoperability tests (§1.4)."""
    messages = [
        home.call(kind.operation(verb), body).json()["error"]["message"]
        for body in (
            {"keyId": "", kind.member: [{"id": "perm_123"}]},
            {"keyId": "key_bare", kind.member: []},
            {"keyId": "key_nope", kind.member: [{}]},
        )
    ]
    assert messages[:2] == [
        "keyId: String must contain at least 1 character(s)",
        f"{kind.member}: Array must contain at least 1 element(s)",
    ]
    assert messages[2] == "key key_nope not found"


# setRolePermissions, an extension of DECISIONS


def test_permissions_of_a_role(home: Any) -> None:
    """A role's permissions become exactly the selected ones; an empty list clears; keys that have the role follow."""
    (first_id, first), (second_id, second) = home.permission(), home.permission()
    role_id, role = home.role(first)
    key = home.key(roles=[role])
    selectors = [{"id": second_id}, {"slug": first}, {"name": home.name("new"), "create": True}]
    answer = home.ask("permissions.setRolePermissions", roleId=role_id, permissions=selectors)
    assert [item["id"] for item in answer[:2]] == [second_id, first_id]
    assert sorted(home.verify(key.secret)["permissions"]) == sorted(item["name"] for item in answer)
    assert home.ask("permissions.setRolePermissions", roleId=role_id, permissions=[]) == []
    assert home.verify(key.secret)["permissions"] == []
    before = home.audit_length()
    for selector, status in [({"name": "ghost"}, 404), ({"id": "ghost_id"}, 404), ({}, 400)]:
        body = {"roleId": role_id, "permissions": [{"slug": second}, selector] if selector else [selector]}
        assert home.call("permissions.setRolePermissions", body).status_code == status
    assert home.audit_length() == before
