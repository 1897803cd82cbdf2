"""One server for the whole folder, a workspace of its own for each test, and many connections at once."""

from collections.abc import Iterator
from typing import Any

import pytest

from keystead.testing.connection import Answer, Connection
from keystead.testing.server import ServerInProcess

IN_FLIGHT = 64


class Tenant:
    """A workspace with a root key for everything and one api; `connections` are open to its server."""

    def __init__(self, server: ServerInProcess, number: int) -> None:
        self.server = server
        operator, now_ms = server.application.storage.operator, server.clock.now_ms()
        self.workspace_id = server.call(lambda: operator.create_workspace(f"tenant {number}", now_ms))
        made = server.call(lambda: operator.create_root_key("all", ["*"], self.workspace_id, now_ms))
        self.root_key = made.key
        self.connections = [Connection(server.url, made.key) for _ in range(IN_FLIGHT)]
        self.api_id: str = self.call("apis.createApi", {"name": "test"})["apiId"]

    def call(self, operation: str, members: Any) -> Any:
        """The answer of an operation that has to succeed."""
        answer = self.connections[0].post(operation, members)
        assert answer.status == 200, answer
        return answer.json

    def key(self, **members: Any) -> tuple[str, str]:
        """A new key: its id and its secret."""
        made = self.call("keys.createKey", {"apiId": self.api_id, **members})
        return made["keyId"], made["key"]

    def stored(self, key_id: str) -> Any:
        """The key as getKey shows it."""
        return self.connections[0].get("keys.getKey", keyId=key_id).json

    def at_once(self, requests: list[tuple[str, Any]]) -> list[Answer]:
        """The answers to all requests, each on its own connection, all sent before one answer is read."""
        pairs = list(zip(self.connections, requests, strict=False))
        assert len(pairs) == len(requests)
        for connection, (operation, members) in pairs:
            connection.send(operation, members)
        return [connection.receive() for connection, _ in pairs]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """A server whose clock stands still."""
    with ServerInProcess(tmp_path_factory.mktemp("concurrency")) as server:
        yield server


_numbers = iter(range(1_000_000))


@pytest.fixture
def tenant(server: ServerInProcess) -> Iterator[Tenant]:
    """A fresh workspace."""
    tenant = Tenant(server, next(_numbers))
    yield tenant
    tenant.close()
