"""A server for each module, and a workspace of its own for each test."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from keystead.core.entities import Api, AuditEntry
from keystead.core.permissions import EVERYTHING
from keystead.core.secrets import hash_secret
from keystead.http.operations import GET, OPERATIONS
from keystead.testing.server import NOW_MS, ServerInProcess

_METHODS = {operation.name: operation.method for operation in OPERATIONS}
_numbers = itertools.count(1)

UNRELATED = "ratelimit.*.read_override"


class Failure(NamedTuple):
    """How a call failed."""

    status: int
    code: str
    reason: str | None
    message: str


class Tenant:
    """A workspace: `call`, `ask` and `refused` speak to the server, with a root key for everything unless told another.

    The rest puts things there or looks at what is left behind.
    """

    def __init__(self, server: ServerInProcess, http: httpx.Client) -> None:
        self.server = server
        self._http = http
        self._operator = server.application.storage.operator
        name = f"tenant {next(_numbers)}"
        self.id = server.call(lambda: self._operator.create_workspace(name, NOW_MS))
        self.root_key = self.new_root_key(EVERYTHING)
        self.api_id = self.api()

    def call(self, operation: str, body: Any = None, *, root_key: str | None = "", **options: Any) -> httpx.Response:
        """The answer to a call; with the root key None it carries no credentials."""
        secret = self.root_key if root_key == "" else root_key
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        if _METHODS[operation] == GET:
            return self._http.get(f"/v1/{operation}", params=body, headers=headers)
        options = options or {"json": {} if body is None else body}
        return self._http.post(f"/v1/{operation}", headers=headers | options.pop("headers", {}), **options)

    def ask(self, operation: str, **members: Any) -> Any:
        """The body of an answer that has to be 200."""
        return self.answer(self.call(operation, members))

    def answer(self, response: httpx.Response, status: int = 200) -> Any:
        """The body of an answer that has to have this status."""
        assert response.status_code == status, response.text
        return response.json()

    def refused(self, operation: str, body: Any = None, **options: Any) -> Failure:
        """How a call fails that has to fail."""
        response = self.call(operation, body, **options)
        assert response.status_code >= 400, response.text
        error = response.json()["error"]
        assert error["requestId"] == response.headers["unkey-request-id"]
        return Failure(response.status_code, error["code"], error.get("reason"), error["message"])

    def verify(self, secret: str, **members: Any) -> Any:
        """The body of a verification."""
        return self.ask("keys.verifyKey", key=secret, **members)

    def pages(self, operation: str, member: str, **query: Any) -> Iterator[list[Any]]:
        """The items of each page, to the end; every page that is not empty has the cursor of its last item."""
        cursor: dict[str, str] = {}
        while True:
            page = self.ask(operation, **query, **cursor)
            if not page[member]:
                assert "cursor" not in page
                return
            assert page["cursor"] == page[member][-1]["id"]
            yield page[member]
            cursor = {"cursor": page["cursor"]}

    # what is there

    def name(self, noun: str = "thing") -> str:
        """A name that nothing has yet."""
        return f"{noun}.{next(_numbers)}"

    def api(self, **settings: Any) -> str:
        """A new api; its id."""
        api_id: str = self.ask("apis.createApi", name=self.name("api"), **settings)["apiId"]
        return api_id

    def api_without_keyspace(self) -> str:
        """An api that can hold no keys; no operation makes one."""
        api = Api(self.name("api"), self.id, "bare", NOW_MS, None)
        self.server.write(lambda tx: tx.apis.insert(api))
        return api.id

    def key(self, **members: Any) -> tuple[str, str]:
        """A new key; its id and its secret."""
        made = self.ask("keys.createKey", **{"apiId": self.api_id, **members})
        return made["keyId"], made["key"]

    def import_keys(self, secrets: list[str], **members: Any) -> list[str]:
        """Import keys by their hashes, a hundred at a time; their ids."""
        ids: list[str] = []
        for start in range(0, len(secrets), 100):
            items = [{"apiId": self.api_id, "hash": hash_of(s), **members} for s in secrets[start : start + 100]]
            ids += self.answer(self.call("migrations.createKeys", items))["keyIds"]
        return ids

    def new_root_key(self, *permissions: str) -> str:
        """The secret of a fresh root key with exactly these permissions."""
        held = permissions or [UNRELATED]
        return self.server.call(lambda: self._operator.create_root_key("test", held, self.id, NOW_MS)).key

    def clear_audit(self) -> None:
        """Remember how much of the audit log there is: `audit` shows what comes after."""
        self._seen = len(self._entries())

    def audit(self) -> list[AuditEntry]:
        """The entries since `clear_audit`, oldest first."""
        return self._entries()[self._seen :]

    def events(self) -> dict[str, list[str]]:
        """Event → the id of the first resource of each such entry, of those `audit` shows."""
        found: dict[str, list[str]] = {}
        for entry in self.audit():
            found.setdefault(entry.event, []).append(entry.resources[0].id)
        return found

    def _entries(self) -> list[AuditEntry]:
        return self.server.read(lambda tx: tx.audit.of_workspace(self.id))


def hash_of(secret: str) -> dict[str, str]:
    """The hash of a secret as imports take it."""
    return {"value": hash_secret(secret), "variant": "sha256_base64"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """One server for a module."""
    with ServerInProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def http(server: ServerInProcess) -> Iterator[httpx.Client]:
    """A client of that server, without credentials."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def tenant(server: ServerInProcess, http: httpx.Client) -> Tenant:
    """A fresh workspace, at NOW_MS."""
    server.clock.set(NOW_MS)
    return Tenant(server, http)


@pytest.fixture
def foreign(server: ServerInProcess, http: httpx.Client) -> Tenant:
    """Another workspace of the same server."""
    return Tenant(server, http)
