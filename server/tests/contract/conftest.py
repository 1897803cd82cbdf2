"""The whole server behind a real socket, and workspaces as their operator and their clients see them."""

import itertools
import sqlite3
import time
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from keystead.clock import ManualClock
from keystead.core.entities import AuditEntry, Key, Permission, Ratelimit
from keystead.core.permissions import EVERYTHING
from keystead.core.secrets import hash_secret
from keystead.http.operations import GET, OPERATIONS
from keystead.service.operator import DEFAULT_WORKSPACE_ID, OPERATOR_WORKSPACE_ID, ROOT_KEYS_KEYSPACE_ID
from keystead.testing.server import NOW_MS, ServerInProcess

_METHODS = {operation.name: operation.method for operation in OPERATIONS}
_SUCCESSES = {operation.path: operation.success for operation in OPERATIONS}
_numbers = itertools.count(1)

PROXY_HEADER = "X-Forwarded-For"


class Issued(NamedTuple):
    """A key as its holder has it."""

    id: str
    secret: str


class Workspace:
    """One workspace: `call` and `ask` speak to the server, the rest puts things there."""

    def __init__(self, server: ServerInProcess, http: httpx.Client, workspace_id: str) -> None:
        self.id = workspace_id
        self._server = server
        self._http = http
        self._root_keys: dict[tuple[str, ...], Issued] = {}
        self.root = self.root_key(EVERYTHING)
        self.api_id = self.api()

    # speaking to the server

    def call(
        self,
        operation: str,
        body: dict[str, Any] | list[Any] | None = None,
        *,
        root: Issued | None = None,
        authorization: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """The answer to one call, by default with a root key that holds `*`; `authorization` is the whole header."""
        if authorization is None:
            authorization = f"Bearer {(root or self.root).secret}"
        # An empty header would be sent; the absent one is what "no credentials" means.
        sent = headers | ({"Authorization": authorization} if authorization else {})
        if _METHODS[operation] == GET:
            assert not isinstance(body, list)
            return self._http.get(f"/v1/{operation}", params=body, headers=sent)
        return self._http.post(f"/v1/{operation}", json={} if body is None else body, headers=sent)

    def ask(self, operation: str, **members: Any) -> Any:
        """The body of the answer to a call with `*` that has to be a success."""
        return self.answer(self.call(operation, members))

    def answer(self, response: httpx.Response) -> Any:
        """The body of an answer that has to be its operation's success."""
        assert response.status_code == _SUCCESSES[response.request.url.path], response.text
        return response.json()

    def verify(self, secret: str, **members: Any) -> Any:
        """The body of a verification, 200 whatever the outcome."""
        return self.answer(self.call("keys.verifyKey", {"key": secret, **members}))

    def show(self, key_id: str) -> Any:
        """The key object."""
        return self.ask("keys.getKey", keyId=key_id)

    # what operations make

    def name(self, noun: str = "thing") -> str:
        """A name that nothing has yet."""
        return f"{noun}.{next(_numbers)}"

    def api(self, **settings: Any) -> str:
        """A new api; its id."""
        api_id: str = self.ask("apis.createApi", name=self.name("api"), **settings)["apiId"]
        return api_id

    def key(self, **members: Any) -> Issued:
        """A new key, of the workspace's own api unless told otherwise."""
        made = self.ask("keys.createKey", **{"apiId": self.api_id, **members})
        return Issued(made["keyId"], made["key"])

    def permission(self) -> tuple[str, str]:
        """A new permission; its id and its slug."""
        slug = self.name("permission")
        return self.ask("permissions.createPermission", name=slug)["permissionId"], slug

    def role(self, *slugs: str) -> tuple[str, str]:
        """A new role with these permissions, made if need be; its id and its name."""
        name = self.name("role")
        role_id = self.ask("permissions.createRole", name=name)["roleId"]
        if slugs:
            permissions = [{"slug": slug, "create": True} for slug in slugs]
            self.ask("permissions.setRolePermissions", roleId=role_id, permissions=permissions)
        return role_id, name

    def identity(self, **members: Any) -> tuple[str, str]:
        """A new identity; its id and its external id."""
        external_id = self.name("customer")
        return self.ask("identities.createIdentity", externalId=external_id, **members)["identityId"], external_id

    def namespace(self) -> tuple[str, str]:
        """A new namespace of ratelimits; its id and its name."""
        name = self.name("namespace")
        self.ask("ratelimits.limit", namespace=name, identifier="customer", limit=1, duration=1000, cost=0)
        # Listings have pages; this is any number of namespaces later.
        made = self._server.read(lambda tx: tx.namespaces.by_name(name, self.id))
        assert made is not None
        return made.id, name

    def override(self) -> tuple[str, str, str]:
        """A new override in a namespace of its own; the namespace's id and name, and the identifier."""
        (namespace_id, name), identifier = self.namespace(), self.name("customer")
        self.ask("ratelimits.setOverride", namespaceId=namespace_id, identifier=identifier, limit=1, duration=1000)
        return namespace_id, name, identifier

    # what only the operator makes, or nobody: put into the store

    def root_key(self, *permissions: str) -> Issued:
        """A root key with exactly these permissions, the same one for the same set."""
        if permissions not in self._root_keys:
            self._root_keys[permissions] = self.new_root_key(*permissions)
        return self._root_keys[permissions]

    def new_root_key(self, *permissions: str) -> Issued:
        """A root key of its own with exactly these permissions, perhaps none."""
        storage = self._server.application.storage
        made = self._server.call(
            lambda: storage.operator.create_root_key("test", permissions or [EVERYTHING], self.id, NOW_MS)
        )
        issued = Issued(made.key_id, made.key)
        if not permissions:
            # The command line makes no root key without permissions, the contract knows them (keys-v1 §2.5).
            self._server.write(
                lambda tx: tx.keys.disconnect_permissions(
                    self.record(issued.id), [permission.id for permission in tx.keys.permissions(issued.id)]
                )
            )
        return issued

    def root_keys(self, sets: Iterable[tuple[str, ...]]) -> None:
        """Make `root_key` ready for many sets of permissions at once, any text and the empty set among them."""
        missing = [permissions for permissions in dict.fromkeys(sets) if permissions not in self._root_keys]

        def insert(tx: Any) -> None:
            slugs = sorted({slug for permissions in missing for slug in permissions})
            found = tx.permissions.by_slugs(OPERATOR_WORKSPACE_ID, slugs)
            for slug in slugs:
                if slug not in found:
                    found[slug] = Permission(self.name("perm_root"), slug, slug)
                    tx.permissions.insert(OPERATOR_WORKSPACE_ID, found[slug], NOW_MS)
            for permissions in missing:
                secret = self.name("root.key.of.the.tests")
                key = Key(
                    id=self.name("key_root"),
                    keyspace_id=ROOT_KEYS_KEYSPACE_ID,
                    workspace_id=OPERATOR_WORKSPACE_ID,
                    for_workspace_id=self.id,
                    hash=hash_secret(secret),
                    start="",
                    created_at_ms=NOW_MS,
                )
                tx.keys.insert(key)
                tx.keys.connect_permissions(key, [found[slug].id for slug in dict.fromkeys(permissions)])
                self._root_keys[permissions] = Issued(key.id, secret)

        self._server.write(insert)

    def record(self, key_id: str) -> Key:
        """The stored record of a live key."""
        key = self._server.read(lambda tx: tx.keys.find(key_id))
        assert key is not None
        return key

    def alter(self, key_id: str, **changes: Any) -> None:
        """Change the stored record of a key."""
        altered = msgspec.structs.replace(self.record(key_id), **changes)
        self._server.write(lambda tx: tx.keys.replace(altered))

    def limit_key(self, key_id: str, name: str, limit: int, duration_ms: int, *, auto_apply: bool = False) -> None:
        """Give a key a limit of any name."""
        key, made = self.record(key_id), self._limit(name, limit, duration_ms, auto_apply)
        self._server.write(lambda tx: tx.keys.put_limit(key, made))

    def limit_identity(
        self, identity_id: str, name: str, limit: int, duration_ms: int, *, auto_apply: bool = False
    ) -> None:
        """Give an identity a limit."""
        made = self._limit(name, limit, duration_ms, auto_apply)
        self._server.write(lambda tx: tx.identities.put_limit(identity_id, made))

    def _limit(self, name: str, limit: int, duration_ms: int, auto_apply: bool) -> Ratelimit:
        return Ratelimit(self.name("rl"), name, limit, duration_ms, auto_apply)

    def change_api(self, api_id: str, **changes: Any) -> None:
        """Change the stored record of an api, root keys' included."""

        def change(tx: Any) -> None:
            # Any live api: the root keys' own belongs to the operator's workspace.
            owner = self.id if tx.apis.get(api_id, self.id) else "ws_operator"
            tx.apis.replace(msgspec.structs.replace(tx.apis.get(api_id, owner), **changes))

        self._server.write(change)

    def delete_api(self, api_id: str) -> None:
        """Delete an api and its keys."""
        self.ask("apis.deleteApi", apiId=api_id)

    def enable(self, enabled: bool) -> None:
        """Enable or disable the workspace."""
        self._server.write(lambda tx: tx.workspaces.set_enabled(self.id, enabled))

    # what is left behind

    def audit(self) -> list[AuditEntry]:
        """Every audit entry of the workspace, oldest first."""
        return self._server.read(lambda tx: tx.audit.of_workspace(self.id))

    def audit_length(self) -> int:
        """How many audit entries the workspace has: equal before and after a call that changed nothing."""
        return int(self._execute("SELECT COUNT(*) FROM audit_log WHERE workspace_id = ?", self.id)[0][0])

    def rows_about(self, key_id: str) -> dict[str, int]:
        """Table → how many of its rows belong to the key."""
        columns = {
            "keys": "id",
            "encrypted_keys": "key_id",
            "keys_permissions": "key_id",
            "keys_roles": "key_id",
            "ratelimits": "key_id",
        }
        return {
            table: self._execute(f"SELECT COUNT(*) FROM {table} WHERE {column} = ?", key_id)[0][0]
            for table, column in columns.items()
        }

    def everything_stored(self) -> str:
        """A digest of every row of every table, of all workspaces: equal as long as nothing has changed.

        Imports that are still queued are waited for first.
        """
        while self._execute("SELECT COUNT(*) FROM queued_keys")[0][0]:
            time.sleep(0.01)
        connection = sqlite3.connect(self._server.settings.database_path)
        digest = sha256()
        try:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            for (table,) in tables:
                digest.update(table.encode())
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    digest.update(repr(row).encode())
        finally:
            connection.close()
        return digest.hexdigest()

    def _execute(self, statement: str, *values: str) -> list[Any]:
        """Run a statement beside the server, for what its store has no method for."""
        connection = sqlite3.connect(self._server.settings.database_path)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """One server for a module; it believes this machine about the address of a client."""
    settings = {"forwarded_header": PROXY_HEADER, "trusted_proxies": ["127.0.0.1"]}
    with ServerInProcess(tmp_path_factory.mktemp("server"), **settings) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: ServerInProcess) -> Iterator[httpx.Client]:
    """A client of that server, without credentials."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def home(server: ServerInProcess, http: httpx.Client) -> Workspace:
    """The default workspace."""
    return Workspace(server, http, DEFAULT_WORKSPACE_ID)


@pytest.fixture(scope="module")
def foreign(server: ServerInProcess, http: httpx.Client) -> Workspace:
    """Another workspace of the same server."""
    workspace_id = server.call(lambda: server.application.storage.operator.create_workspace("other", NOW_MS))
    return Workspace(server, http, workspace_id)


@pytest.fixture
def clock(server: ServerInProcess) -> Iterator[ManualClock]:
    """The server's clock, at NOW_MS before and after."""
    server.clock.set(NOW_MS)
    yield server.clock
    server.clock.set(NOW_MS)
