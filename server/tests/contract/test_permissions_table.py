"""The authorization matrix: every operation by every single permission by own, foreign, absent object.

What each cell has to be comes from `authorization.py`, which was written from the contract. Every cell is a call to a
server over its socket; what is refused must leave no trace.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event

from keystead.core.credits import Account
from keystead.core.entities import Role
from keystead.core.permissions import EVERYTHING
from keystead.http.operations import GET, OPERATIONS
from keystead.service.access import Caller
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import NOW_MS

sys.path.insert(0, str(Path(__file__).parent))
from authorization import (
    ABSENT,
    FOREIGN,
    FOUND,
    LINKS,
    LIST_KEYS,
    LITERAL,
    OWN,
    ROWS,
    UNRELATED,
    WITHOUT_ROOT_KEY,
    Linked,
    Outcome,
    Prepared,
    Row,
    expected,
    filled,
    imported,
    own_api,
    the_same,
    vanished,
    vocabulary,
)

METHODS = {operation.name: operation.method for operation in OPERATIONS}
BY_NAME = {operation.name: operation for operation in OPERATIONS}
IN_FLIGHT = 32
"""Calls sent before the first answer is read: as many as a connection takes."""

each_operation = pytest.mark.parametrize("operation", sorted(METHODS.keys() - WITHOUT_ROOT_KEY))
each_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


def rows_of(operation: str) -> list[Row]:
    return [row for row in ROWS if row.operation == operation]


class Cell(NamedTuple):
    """One call of the matrix: what its root key holds, and whose object it is about."""

    row: Row
    held: tuple[str, ...]
    target: str

    def __str__(self) -> str:
        return f"{self.row.name} with {', '.join(self.held) or 'nothing'} on an object that is {self.target}"


class Matrix:
    """The cells of one row, and the calls that fill them."""

    def __init__(self, row: Row, home: Any, foreign: Any, connection: Connection) -> None:
        self.row = row
        self._home, self._foreign = home, foreign
        self._connection = connection
        self._calls = {OWN: row.prepare(home)}
        if FOREIGN in row.targets:
            self._calls[FOREIGN] = row.prepare(foreign)
            self._calls[ABSENT] = vanished(self._calls[FOREIGN])

    def cells(self) -> list[Cell]:
        """Every permission alone, those about its object beside whatever else the call needs, and all but enough."""
        ids = [ids for _, ids in self._calls.values()]
        every = vocabulary({"apiId": self._home.api_id}, {"apiId": self._foreign.api_id}, *ids)
        near = vocabulary(*ids)
        # Whatever else a call asks for, the first row of its operation has swept everything.
        alone = every if rows_of(self.row.operation)[0] is self.row else near
        held: set[frozenset[str]] = {frozenset(), *(frozenset([text]) for text in alone)}
        for need in self.row.needs:
            accepted = {"*", *(text for of in ids for text in filled(need.alternatives, of))}
            besides = frozenset(self.row.besides(need))
            held |= {besides, frozenset(every) - accepted, *(besides | {text} for text in near)}
            held |= {besides | {text, UNRELATED} for text in accepted}
        # Where the look comes before any permission, one permission at a time shows enough of what is not there.
        looks_first = self.row.steps[0] is FOUND
        return [
            Cell(self.row, tuple(permissions), target)
            for permissions in sorted(map(sorted, held))
            for target in self.row.targets
            if target == OWN or len(permissions) < 2 or not looks_first
        ]

    def violations(self) -> list[str]:
        """What is not as the contract says, in words."""
        cells = self.cells()
        # A call that is let through may need objects that nobody has touched; the others share theirs.
        refused = [cell for cell in cells if self._expected(cell).status >= 400]
        self._home.root_keys(cell.held for cell in refused)
        before = self._home.everything_stored()
        answers = self._call([(cell, self._calls[cell.target][0]) for cell in refused])
        found = [f for cell, answer in zip(refused, answers, strict=True) if (f := self._fault(cell, answer))]
        if self._home.everything_stored() != before:
            found.append(f"{self.row.name}: what was refused left a trace")
        found += self._differences(dict(zip(refused, answers, strict=True)))
        return found + [f for cell in cells if self._expected(cell).status < 400 and (f := self._let_through(cell))]

    def _prepare(self, target: str) -> Prepared:
        if target == OWN:
            return self.row.prepare(self._home)
        prepared = self.row.prepare(self._foreign)
        return vanished(prepared) if target == ABSENT else prepared

    def _expected(self, cell: Cell) -> Outcome:
        return expected(self.row, frozenset(cell.held), cell.target, self._calls[cell.target][1])

    def _call(self, calls: list[tuple[Cell, Any]]) -> list[Answer]:
        answers: list[Answer] = []
        operation = self.row.operation
        for start in range(0, len(calls), IN_FLIGHT):
            batch = calls[start : start + IN_FLIGHT]
            for cell, body in batch:
                query = body if METHODS[operation] == GET else None
                root_key = self._home.root_key(*cell.held).secret
                self._connection.send(operation, body, query=query, root_key=root_key)
            answers += [self._connection.receive() for _ in batch]
        return answers

    def _let_through(self, cell: Cell) -> str | None:
        """A cell whose call has to succeed, with objects of its own and permissions about them."""
        shared = self._calls[cell.target][1]
        body, ids = self._prepare(cell.target)
        held = cell.held
        for placeholder, id_ in shared.items():
            held = tuple(re.sub(rf"(?<=\.){re.escape(id_)}(?=\.)", ids[placeholder], text) for text in held)
        fresh = cell._replace(held=held)
        self._home.root_keys([held])
        (answer,) = self._call([(fresh, body)])
        outcome = expected(self.row, frozenset(held), cell.target, ids)
        return None if answer.status == outcome.status < 400 else f"{fresh}: {answer.status} {answer.body!r}"

    def _fault(self, cell: Cell, answer: Answer) -> str | None:
        outcome = self._expected(cell)
        error = answer.json.get("error", {}) if isinstance(answer.json, dict) else {}
        code, reason = {403: ("FORBIDDEN", "INSUFFICIENT_PERMISSIONS"), 404: ("NOT_FOUND", None)}[outcome.status]
        right = (answer.status, error.get("code"), error.get("reason")) == (outcome.status, code, reason)
        # The message names exactly what would have sufficed (D1).
        named = set(re.findall(r"\*(?= |,|$)|[a-z]+\.\S+\.[a-z_]+", error.get("message", "")))
        if right and (outcome.status != 403 or named == set(outcome.named)):
            return None
        return f"{cell}: {answer.status} {answer.body!r} instead of {outcome}"

    def _differences(self, answers: dict[Cell, Answer]) -> Iterator[str]:
        """Where a foreign object can be told from an absent one, but for its name and the request's id."""
        for cell, answer in answers.items():
            if cell.target == FOREIGN:
                # What is held about the one has its like about the other.
                held = tuple(sorted(self._swapped(text) for text in cell.held))
                other = answers.get(Cell(cell.row, held, ABSENT))
                if other is None or self._neutral(answer) != self._neutral(other):
                    yield f"{cell}: {answer} is not as for an absent one, {other}"

    def _neutral(self, answer: Answer) -> tuple[int, dict[str, str], str]:
        request_id = answer.headers["unkey-request-id"]
        text = answer.body.decode().replace(request_id, "")
        headers = {name: value for name, value in answer.headers.items() if name not in ("date", "unkey-request-id")}
        # Request ids have 21 or 22 characters.
        headers["content-length"] = str(int(headers["content-length"]) - len(request_id))
        return answer.status, headers, self._nobodys(text)

    def _swapped(self, permission: str) -> str:
        """The permission about the absent object instead of the foreign one, or the reverse."""
        for name in names_in(self._calls[FOREIGN]):
            for this, that in ((name, name[:-1] + "_"), (name[:-1] + "_", name)):
                if f".{this}." in permission:
                    return permission.replace(f".{this}.", f".{that}.")
        return permission

    def _nobodys(self, text: str) -> str:
        """The text, about the absent object instead of the foreign one."""
        for name in names_in(self._calls[FOREIGN]):
            text = text.replace(name, name[:-1] + "_")
        return text


def names_in(prepared: Prepared) -> set[str]:
    """Every text in a call that may be the name of an object."""

    def texts(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                yield from texts(item)
        elif isinstance(value, str) and len(value) > 1:
            yield value

    body, ids = prepared
    return {*texts(body), *ids.values()}


@pytest.fixture
def connection(server: Any) -> Iterator[Connection]:
    with Connection(server.url) as connection:
        yield connection


def test_every_operation_is_in_the_table() -> None:
    """An operation, or a need of one, that is added to the server without a row here is noticed, and the reverse."""
    assert {row.operation for row in ROWS} | WITHOUT_ROOT_KEY == METHODS.keys()
    assert {operation.name for operation in OPERATIONS if not operation.authenticated} == WITHOUT_ROOT_KEY
    declared = {
        (operation.name, frozenset(need.alternatives))
        for operation in OPERATIONS
        if operation.authenticated
        for need in operation.needs
    }
    tried = {
        (row.operation, frozenset(need.alternatives))
        for row in ROWS
        if "external id" not in row.when
        for step in [row.needs]
        for need in step
    }
    assert tried - {("ratelimits.limit", frozenset({"ratelimit.*.limit"}))} == declared


def test_the_vocabulary_has_every_need() -> None:
    """Every permission that anything accepts is tried on everything, and nothing accepts the unrelated one."""
    ids = {placeholder: f"<{placeholder}>" for placeholder in ("apiId", "identityId", "environment", "namespaceId")}
    accepted = {text for row in ROWS for need in row.needs for text in need.alternatives}
    assert accepted < set(vocabulary(ids))
    assert UNRELATED in set(vocabulary()) - accepted
    assert not accepted & set(LITERAL)


@each_operation
def test_matrix(home: Any, foreign: Any, connection: Connection, operation: str) -> None:
    """Each permission opens what the contract says and nothing else; who is refused learns and changes nothing."""
    assert [fault for row in rows_of(operation) for fault in Matrix(row, home, foreign, connection).violations()] == []


@pytest.mark.parametrize(
    ("operation", "held", "slug"),
    [
        ("keys.deleteKey", "api.*.read_key", "api.*.delete_key"),
        ("apis.getApi", "api.*.read_key", "api.*.read_api"),
        ("permissions.deleteRole", "rbac.*.read_role", "rbac.*.delete_role"),
        ("ratelimits.limit", "ratelimit.*.read_namespace", "ratelimit.*.limit"),
    ],
)
def test_the_matrix_notices_a_check_that_was_loosened(
    home: Any, foreign: Any, connection: Connection, monkeypatch: Any, operation: str, held: str, slug: str
) -> None:
    """Planted fault: one permission passes for another, in the one function that decides."""
    may = Caller.may
    monkeypatch.setattr(
        Caller, "may", lambda caller, *slugs: may(caller, *slugs) or (slug in slugs and held in caller.permissions)
    )
    found = [fault for row in rows_of(operation) for fault in Matrix(row, home, foreign, connection).violations()]
    assert any(f"with {held} on an object that is own: " in fault for fault in found), found


def test_the_matrix_notices_a_pattern(home: Any, foreign: Any, connection: Connection, monkeypatch: Any) -> None:
    """Planted fault: a permission about one object opens another."""
    may = Caller.may

    def by_action(caller: Caller, *slugs: str) -> bool:
        actions = {slug.rpartition(".")[2] for slug in caller.permissions}
        return may(caller, *slugs) or any(slug.rpartition(".")[2] in actions for slug in slugs)

    monkeypatch.setattr(Caller, "may", by_action)
    (row,) = rows_of("keys.updateRemaining")
    found = Matrix(row, home, foreign, connection).violations()
    assert any("with api.api_nope.update_key on an object that is own: 200" in fault for fault in found), found


def test_the_matrix_notices_a_workspace_that_is_not_checked(
    home: Any, foreign: Any, connection: Connection, monkeypatch: Any
) -> None:
    """Planted fault: an object of another workspace is found."""
    monkeypatch.setattr("keystead.service.keys.live_key", _any_live_key)
    (row,) = rows_of("keys.updateRemaining")
    found = Matrix(row, home, foreign, connection).violations()
    assert any("with * on an object that is foreign: 200" in fault for fault in found), found
    assert any("is not as for an absent one" in fault for fault in found), found
    assert any("left a trace" in fault for fault in found), found


def _any_live_key(tx: Any, key_id: str, caller: Caller) -> Any:
    from keystead.service.failures import not_found

    key = tx.keys.find(key_id)
    if key is None:
        raise not_found("key", key_id)
    return key, tx.apis.of_keyspace(key.keyspace_id)


class Statements:
    """Counts what the store asks the database."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @contextmanager
    def listed(self) -> Iterator[list[str]]:
        """The text of each statement while it lasts."""
        found: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            found.append(statement)

        event.listen(self._store._engine, "before_cursor_execute", note)
        self._store._lookup.set_trace_callback(lambda text: found.append(re.sub(r"'[^']*'", "?", text)))
        try:
            yield found
        finally:
            self._store._lookup.set_trace_callback(None)
            event.remove(self._store._engine, "before_cursor_execute", note)


@pytest.mark.parametrize("row", [row for row in ROWS if FOREIGN in row.targets], ids=lambda row: row.name)
def test_a_foreign_object_costs_what_an_absent_one_costs(home: Any, foreign: Any, server: Any, row: Row) -> None:
    """The same statements in the same order, so that no clock tells a foreign object from an absent one."""
    statements = Statements(server.application.storage.store)
    seen = []
    for target in (FOREIGN, ABSENT):
        prepared = row.prepare(foreign)
        body, _ = vanished(prepared) if target == ABSENT else prepared
        root = home.new_root_key(*(permission for need in row.needs for permission in need.alternatives[:1]))
        home.call("permissions.listRoles", root=root)
        with statements.listed() as listed:
            status = home.call(row.operation, body, root=root).status_code
        seen.append((status, listed))
    assert seen[0][1]
    assert seen[0] == seen[1]


TROUBLES: dict[str, tuple[dict[str, Any], tuple[int, str, str | None]]] = {
    "disabled": ({"enabled": False}, (403, "FORBIDDEN", "DISABLED")),
    "expired": ({"expires_ms": NOW_MS - 1}, (403, "FORBIDDEN", "EXPIRED")),
    "deleted": ({"deleted_at_ms": NOW_MS}, (401, "UNAUTHORIZED", None)),
    "out of credits": ({"account": Account(remaining=0)}, (403, "FORBIDDEN", "USAGE_EXCEEDED")),
    "limited": ({}, (429, "TOO_MANY_REQUESTS", "RATE_LIMITED")),
}


@each_operation
def test_what_is_no_root_key_any_more_opens_nothing(home: Any, operation: str) -> None:
    """A root key for everything that is refused for itself, and a customer's key, leave what exists as it is."""
    roots = {trouble: home.new_root_key(EVERYTHING) for trouble in TROUBLES}
    for trouble, (changes, _) in TROUBLES.items():
        if changes:
            home.alter(roots[trouble].id, **changes)
    home.limit_key(roots["limited"].id, "own", 0, 60_000, auto_apply=True)
    wanted = {trouble: outcome for trouble, (_, outcome) in TROUBLES.items()}
    roots["a customer's"] = home.key(permissions=[EVERYTHING])
    wanted["a customer's"] = (401, "UNAUTHORIZED", None)
    for row in rows_of(operation):
        body, _ = row.prepare(home)
        before = home.everything_stored()
        for trouble, root in roots.items():
            response = home.call(operation, body, root=root)
            error = response.json()["error"]
            assert (response.status_code, error["code"], error.get("reason")) == wanted[trouble], trouble
        assert home.everything_stored() == before


@pytest.mark.parametrize("row", [row for row in ROWS if BY_NAME[row.operation].keeps_answers], ids=lambda row: row.name)
def test_each_change_is_done_once(home: Any, row: Row) -> None:
    """Whatever may be done is done once for an `Idempotency-Key`, whose answer is given again to the byte (D15)."""
    body, _ = row.prepare(home)
    headers = {"Idempotency-Key": home.name("idempotency-key")}
    first = home.call(row.operation, body, **headers)
    home.answer(first)
    before = home.audit_length()
    again = home.call(row.operation, body, **headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    # What is queued is done a moment later, by the worker.
    assert home.audit_length() == before or row.operation == "migrations.enqueueKeys"
    other = [*body, *body] if isinstance(body, list) else body | {"unknown": True}
    assert home.call(row.operation, other, **headers).status_code == 409


@pytest.mark.parametrize("link", LINKS, ids=lambda link: f"{link.operation} {link.member}")
def test_a_call_that_changes_nothing_needs_no_conditional_permission(home: Any, link: Linked) -> None:
    """Setting what is attached already asks only for the base permission, if there is one (§2.4)."""
    body, _ = link.selecting(the_same)(home)
    home.answer(
        home.call(
            link.operation, body, root=home.root_key(*(need.alternatives[0] for need in link.first if need != FOUND))
        )
    )


@pytest.mark.parametrize(
    ("operation", "members", "base"),
    [
        ("keys.createKey", ("permissions", "roles"), ("api.*.create_key",)),
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
    answer = home.answer(
        home.call("apis.listKeys", body, root=home.root_key(*(need.alternatives[0] for need in LIST_KEYS)))
    )
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
