"""What is attached to what: permissions and roles of a key, permissions of a role (contract keys-v1 §3.9 to §3.14).

A request names things by selectors. Everything is resolved and every permission of the caller is checked before
anything changes; the change is part of the caller's transaction, one audit entry a link.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from msgspec import UNSET

from keystead.contract.keys import PermissionSelector, RoleSelector
from keystead.core.entities import AuditResource, Key, Permission, Role
from keystead.core.ids import IdPrefix
from keystead.ports import Transaction
from keystead.service.access import Caller
from keystead.service.audit import Trail, key_resource, permission_resource, role_resource
from keystead.service.failures import bad_request, not_found
from keystead.service.ids import Ids

Linked = TypeVar("Linked", Permission, Role)

CREATE_PERMISSION = "rbac.*.create_permission"
CREATE_ROLE = "rbac.*.create_role"


class Wanted(NamedTuple):
    """One selector: `id` beats `name`; with neither it names nothing. `create` when the name is not found."""

    id: str | None
    name: str | None
    create: bool = False


def wanted_permissions(selectors: Iterable[PermissionSelector]) -> list[Wanted]:
    """Selectors of permissions, compared by slug; `slug` beats its older spelling `name`."""
    return [
        Wanted(
            None if s.id is UNSET else s.id,
            next((text for text in (s.slug, s.name) if text is not UNSET), None),
            s.create is True,
        )
        for s in selectors
    ]


def wanted_roles(selectors: Iterable[RoleSelector]) -> list[Wanted]:
    """Selectors of roles, compared by name."""
    return [
        Wanted(None if s.id is UNSET else s.id, None if s.name is UNSET else s.name, s.create is True)
        for s in selectors
    ]


@dataclass(frozen=True)
class Kind(Generic[Linked]):
    """How one kind of thing is found and made in a workspace."""

    noun: str
    name_of: Callable[[Linked], str]
    by_ids: Callable[[Sequence[str]], dict[str, Linked]]
    by_names: Callable[[Sequence[str]], dict[str, Linked]]
    create: Callable[[str], Linked]


@dataclass(frozen=True)
class Links(Generic[Linked]):
    """The things of one kind that are attached to one holder.

    `event` ends the names of the audit events; `pair` orders the two resources of an entry. `may_*` are the permission
    strings that attaching and detaching need.
    """

    kind: Kind[Linked]
    present: list[Linked]
    connect: Callable[[Iterable[str]], None]
    disconnect: Callable[[Iterable[str]], None]
    event: str
    pair: Callable[[Linked], tuple[AuditResource, AuditResource]]
    may_connect: str
    may_disconnect: str
    caller: Caller
    trail: Trail

    def add(self, wanted: Sequence[Wanted], may_create: Sequence[str]) -> list[Linked]:
        """Attach what is wanted and not attached yet; all that is attached then, the wanted first (§3.9).

        Raises NOT_FOUND for what does not exist, FORBIDDEN when something must be created without permission.
        """
        chosen = self._choose(wanted)
        if any(isinstance(item, str) for item in chosen):
            self.caller.require(*may_create)
        selected = self._attach(chosen)
        ids = {item.id for item in selected}
        return selected + [item for item in self.present if item.id not in ids]

    def remove(self, wanted: Sequence[Wanted]) -> None:
        """Detach what is wanted; what is not attached is ignored (§3.10)."""
        self._detach(self._selected(wanted))

    def replace(self, wanted: Sequence[Wanted], may_create: Sequence[str]) -> list[Linked]:
        """Make the attached set exactly what is wanted; the new set, existing first, then created (§3.11).

        Errors come in the order of §3.11: detaching, unknown, creating, attaching; nothing is changed by then.
        """
        staying = {item.id for item in self._selected(wanted)}
        gone = [item for item in self.present if item.id not in staying]
        if gone:
            self.caller.require(self.may_disconnect)
        chosen = self._choose(wanted)
        to_create = [item for item in chosen if isinstance(item, str)]
        if to_create:
            self.caller.require(*may_create)
        attached = {item.id for item in self.present}
        if any(isinstance(item, str) or item.id not in attached for item in chosen):
            self.caller.require(self.may_connect)
        self._detach(gone)
        existing: list[Linked | str] = [item for item in chosen if not isinstance(item, str)]
        return self._attach(existing + list(to_create))

    def _choose(self, wanted: Sequence[Wanted]) -> list[Linked | str]:
        """What is wanted, each once in request order: things that exist, or the names of those to create."""
        by_id = self.kind.by_ids([item.id for item in wanted if item.id is not None])
        by_name = self.kind.by_names([item.name for item in wanted if item.id is None and item.name is not None])
        chosen: dict[str, Linked | str] = {}
        for id_, name, create in wanted:
            found = by_id.get(id_) if id_ is not None else by_name.get(name or "")
            if found is not None:
                chosen[found.id] = found
            elif id_ is not None:
                raise not_found(self.kind.noun, id_)
            elif name is not None:
                if not create:
                    raise not_found(self.kind.noun, name)
                chosen["new " + name] = name
        return list(chosen.values())

    def _attach(self, chosen: Sequence[Linked | str]) -> list[Linked]:
        selected: list[Linked] = [self.kind.create(item) if isinstance(item, str) else item for item in chosen]
        attached = {item.id for item in self.present}
        fresh = [item for item in selected if item.id not in attached]
        self.connect([item.id for item in fresh])
        self.trail.links(f"authorization.connect_{self.event}", map(self.pair, fresh))
        return selected

    def _detach(self, gone: Sequence[Linked]) -> None:
        self.disconnect([item.id for item in gone])
        self.trail.links(f"authorization.disconnect_{self.event}", map(self.pair, gone))

    def _selected(self, wanted: Sequence[Wanted]) -> list[Linked]:
        """What is attached and wanted."""
        # Sets: whoever compares each with each holds every writer up, for minutes where a request names many.
        ids = {w.id for w in wanted if w.id is not None}
        names = {w.name for w in wanted if w.id is None}
        return [item for item in self.present if item.id in ids or self.kind.name_of(item) in names]


def permissions_of_key(tx: Transaction, key: Key, caller: Caller, ids: Ids) -> Links[Permission]:
    """The permissions directly attached to a key."""
    trail = Trail(tx, caller, ids)
    return Links(
        kind=permission_kind(tx, caller, ids),
        present=tx.keys.permissions(key.id),
        connect=lambda fresh: tx.keys.connect_permissions(key, fresh),
        disconnect=lambda gone: tx.keys.disconnect_permissions(key, gone),
        event="permission_and_key",
        pair=lambda permission: (permission_resource(permission), key_resource(key)),
        may_connect="rbac.*.add_permission_to_key",
        may_disconnect="rbac.*.remove_permission_from_key",
        caller=caller,
        trail=trail,
    )


def roles_of_key(tx: Transaction, key: Key, caller: Caller, ids: Ids) -> Links[Role]:
    """The roles of a key."""
    trail = Trail(tx, caller, ids)
    return Links(
        kind=role_kind(tx, caller, ids),
        present=tx.keys.roles(key.id),
        connect=lambda fresh: tx.keys.connect_roles(key, fresh),
        disconnect=lambda gone: tx.keys.disconnect_roles(key, gone),
        event="role_and_key",
        pair=lambda role: (role_resource(role), key_resource(key)),
        may_connect="rbac.*.add_role_to_key",
        may_disconnect="rbac.*.remove_role_from_key",
        caller=caller,
        trail=trail,
    )


def permissions_of_role(tx: Transaction, role: Role, caller: Caller, ids: Ids) -> Links[Permission]:
    """The permissions of a role."""
    trail = Trail(tx, caller, ids)
    return Links(
        kind=permission_kind(tx, caller, ids),
        present=tx.roles.permissions(role.id),
        connect=lambda fresh: tx.roles.connect_permissions(role.id, fresh),
        disconnect=lambda gone: tx.roles.disconnect_permissions(role.id, gone),
        event="role_and_permission",
        pair=lambda permission: (role_resource(role), permission_resource(permission)),
        may_connect="rbac.*.add_permission_to_role",
        may_disconnect="rbac.*.remove_permission_from_role",
        caller=caller,
        trail=trail,
    )


def permission_kind(tx: Transaction, caller: Caller, ids: Ids) -> Kind[Permission]:
    """Permissions of the caller's workspace."""
    return Kind(
        noun="permission",
        name_of=lambda permission: permission.slug,
        by_ids=lambda found: tx.permissions.by_ids(caller.workspace_id, found),
        by_names=lambda slugs: tx.permissions.by_slugs(caller.workspace_id, slugs),
        create=lambda slug: create_permission(tx, caller, ids, slug, slug, None),
    )


def role_kind(tx: Transaction, caller: Caller, ids: Ids) -> Kind[Role]:
    """Roles of the caller's workspace."""
    return Kind(
        noun="role",
        name_of=lambda role: role.name,
        by_ids=lambda found: tx.roles.by_ids(caller.workspace_id, found),
        by_names=lambda names: tx.roles.by_names(caller.workspace_id, names),
        create=lambda name: create_role(tx, caller, ids, name, None),
    )


def create_permission(
    tx: Transaction, caller: Caller, ids: Ids, name: str, slug: str, description: str | None
) -> Permission:
    """A new permission of the caller's workspace. Raises CONFLICT when the slug is taken."""
    permission = Permission(ids.new(IdPrefix.PERMISSION, caller.now_ms), name, slug, description)
    tx.permissions.insert(caller.workspace_id, permission, caller.now_ms)
    Trail(tx, caller, ids).add("permission.create", f"Created {permission.id}", permission_resource(permission))
    return permission


def create_role(tx: Transaction, caller: Caller, ids: Ids, name: str, description: str | None) -> Role:
    """A new role of the caller's workspace. Raises CONFLICT when the name is taken."""
    role = Role(ids.new(IdPrefix.ROLE, caller.now_ms), name, description)
    tx.roles.insert(caller.workspace_id, role, caller.now_ms)
    Trail(tx, caller, ids).add("role.create", f"Created {role.id}", role_resource(role))
    return role


def refuse_all_empty(field: str, wanted: Sequence[Wanted]) -> None:
    """Raise BAD_REQUEST for a non-empty list none of whose entries names anything: it would clear by accident (Q3)."""
    if wanted and all(item.id is None and item.name is None for item in wanted):
        raise bad_request(f"{field}: at least one entry needs an id or a name")
