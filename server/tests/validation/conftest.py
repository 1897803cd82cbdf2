"""One server for each module, and a client with and one without its root key."""

from collections.abc import Iterator

import httpx
import pytest

from keystead.testing.server import ServerInProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """One server for a module."""
    with ServerInProcess(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="module")
def stranger(server: ServerInProcess) -> Iterator[httpx.Client]:
    """A client without credentials: what is acceptable ends with 401, or with the answer of a public operation."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def caller(server: ServerInProcess) -> Iterator[httpx.Client]:
    """A client whose root key may do everything."""
    headers = {"Authorization": f"Bearer {server.root_key}"}
    with httpx.Client(base_url=server.url, timeout=30, headers=headers) as client:
        yield client


@pytest.fixture(scope="module")
def api_id(caller: httpx.Client) -> str:
    """An api that keys can be made for."""
    api_id: str = caller.post("/v1/apis.createApi", json={"name": "validation", "storeEncryptedKeys": True}).json()[
        "apiId"
    ]
    return api_id
