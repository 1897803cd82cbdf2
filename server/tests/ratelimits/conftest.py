"""A server for each module, and a workspace of its own for each test."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from keystead.clock import ManualClock
from keystead.core.entities import AuditEntry
from keystead.core.permissions import EVERYTHING
from keystead.core.secrets import hash_secret
from keystead.http.operations import GET, OPERATIONS
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import NOW_MS, ServerInProcess

_METHODS = {operation.name: operation.method for operation in OPERATIONS}
_numbers = itertools.count(1)

NAMESPACE = "email.outbound"
MINUTE_MS = 60_000


class Tenant:
    """A workspace: `call`, `ask` and `limit` speak to the server, with a root key for everything unless told another.

    The namespace `email.outbound` exists.
    """

    def __init__(self, server: ServerInProcess) -> None:
        self.server = server
        self._storage = server.application.storage
        name = f"tenant {next(_numbers)}"
        self.workspace_id = server.call(lambda: self._storage.operator.create_workspace(name, NOW_MS))
        self.root_key = self.new_root_key(EVERYTHING)
        self.connection = Connection(server.url, self.root_key)
        self.limit(cost=0)
        self.namespace_id: str = self.namespaces()[NAMESPACE]

    def call(self, operation: str, members: dict[str, Any] | None = None, *, root_key: str | None = "") -> Answer:
        """The answer to a call; with the root key None it carries no credentials."""
        query = (members or {}) if _METHODS[operation] == GET else None
        self.connection.send(operation, members or {}, query=query, root_key=root_key)
        return self.connection.receive()

    def ask(self, operation: str, **members: Any) -> Any:
        """The body of an answer that has to be 200."""
        answer = self.call(operation, members)
        assert answer.status == 200, answer
        return answer.json

    def limit(self, identifier: str = "cust_77", **members: Any) -> Any:
        """The body of a decision: ten a minute unless told otherwise."""
        return self.ask("ratelimits.limit", **self.asked(identifier, **members))

    def asked(self, identifier: str = "cust_77", **members: Any) -> dict[str, Any]:
        """A body of limit: ten a minute in `email.outbound` unless told otherwise."""
        return {"namespace": NAMESPACE, "identifier": identifier, "limit": 10, "duration": MINUTE_MS} | members

    def failure(
        self, operation: str, members: dict[str, Any], *, root_key: str | None = ""
    ) -> tuple[int, str, str | None]:
        """Status, code and reason of the answer to a call that has to fail."""
        return _failure(self.call(operation, members, root_key=root_key))

    def override(self, identifier: str, limit: int, duration: int = MINUTE_MS, **members: Any) -> str:
        """Set an override in `email.outbound`; its id."""
        made = {"namespaceName": NAMESPACE, "identifier": identifier, "limit": limit, "duration": duration}
        override_id: str = self.ask("ratelimits.setOverride", **made | members)["overrideId"]
        return override_id

    def namespaces(self) -> dict[str, str]:
        """Name → id of every namespace of the workspace."""
        return {n.name: n.id for n in self.server.read(lambda tx: tx.namespaces.page(self.workspace_id, "", 1000))}

    def new_root_key(self, *permissions: str) -> str:
        """The secret of a fresh root key with exactly these permissions."""
        operator = self._storage.operator
        made = self.server.call(
            lambda: operator.create_root_key("test", permissions or [EVERYTHING], self.workspace_id, NOW_MS)
        )
        if not permissions:
            # The command line makes no root key without permissions, the contract knows them (keys-v1 §2.5).
            def strip(tx: Any) -> None:
                key = tx.keys.find(made.key_id)
                tx.keys.disconnect_permissions(key, [permission.id for permission in tx.keys.permissions(key.id)])

            self.server.write(strip)
        return made.key

    def audit(self, *events: str) -> list[AuditEntry]:
        """The workspace's entries of these events, oldest first."""
        entries = self.server.read(lambda tx: tx.audit.of_workspace(self.workspace_id))
        return [entry for entry in entries if entry.event in events]

    def record(self, secret: str) -> Any:
        """The stored record of a key."""
        return self.server.read(lambda tx: tx.keys.by_hash(hash_secret(secret)))


def _failure(answer: Answer) -> tuple[int, str, str | None]:
    error = answer.json["error"]
    assert error["requestId"] == answer.headers["unkey-request-id"]
    return answer.status, error["code"], error.get("reason")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """One server for a module."""
    with ServerInProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def tenant(server: ServerInProcess) -> Iterator[Tenant]:
    """A fresh workspace, at NOW_MS."""
    server.clock.set(NOW_MS)
    tenant = Tenant(server)
    with tenant.connection:
        yield tenant


@pytest.fixture
def foreign(server: ServerInProcess) -> Iterator[Tenant]:
    """Another workspace of the same server, with a namespace of the same name."""
    tenant = Tenant(server)
    with tenant.connection:
        yield tenant


@pytest.fixture
def clock(server: ServerInProcess) -> ManualClock:
    """The server's clock."""
    return server.clock
