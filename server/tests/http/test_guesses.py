"""The bound on guessing as clients meet it: every way a key comes in, both lanes and the router."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from keystead.service.guesses import BoundedAccess, BoundedKeys, BoundedVerification
from keystead.testing.server import ServerInProcess

BOUND = 3
HEADER = "X-Forwarded-For"
OWN_SERVER = "10.0.0.7"


class Client:
    """Calls the server from an address of choice, as a trusted proxy tells it."""

    def __init__(self, server: ServerInProcess, http: httpx.Client) -> None:
        self.server = server
        self._http = http
        self.root = f"Bearer {server.root_key}"
        api_id = self.post("apis.createApi", {"name": "guessed"}, OWN_SERVER, self.root).json()["apiId"]
        made = self.post("keys.createKey", {"apiId": api_id, "remaining": 100}, OWN_SERVER, self.root).json()
        self.key = made["key"]

    def post(self, operation: str, body: Any, address: str, authorization: str = "", query: str = "") -> httpx.Response:
        """A call from `address`; with a `query` it takes the router instead of a lane."""
        headers = {HEADER: address} | ({"Authorization": authorization} if authorization else {})
        return self._http.post(f"/v1/{operation}{query}", json=body, headers=headers)

    def verify(self, key: str, address: str, query: str = "") -> httpx.Response:
        return self.post("keys.verifyKey", {"key": key}, address, query=query)


LIMIT = {"identifier": "customer", "limit": 10, "duration": 60_000}
GUESSES: dict[str, Callable[[Client, str], httpx.Response]] = {
    "verifyKey": lambda client, address: client.verify("nobody", address),
    "verifyKey by the router": lambda client, address: client.verify("nobody", address, "?pretty"),
    "a root key given to verifyKey": lambda client, address: client.verify(client.server.root_key, address),
    "a root key": lambda client, address: client.post("apis.createApi", {"name": "never"}, address, "Bearer nobody"),
    "a root key for limit": lambda client, address: client.post("ratelimits.limit", LIMIT, address, "Bearer nobody"),
    "a root key for limit, by the router": lambda client, address: client.post(
        "ratelimits.limit", LIMIT, address, "Bearer nobody", "?x"
    ),
    "whoami": lambda client, address: client.post("keys.whoami", {"key": "nobody"}, address, client.root),
}
REFUSED: dict[str, Callable[[Client, str], httpx.Response]] = {
    **GUESSES,
    "a good key": lambda client, address: client.verify(client.key, address),
    "a good key by the router": lambda client, address: client.verify(client.key, address, "?x"),
    "a good root key": lambda client, address: client.post("apis.createApi", {"name": "never"}, address, client.root),
    "a good root key for limit": lambda client, address: client.post("ratelimits.limit", LIMIT, address, client.root),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = {
        "forwarded_header": HEADER,
        "trusted_proxies": ["127.0.0.1"],
        "unknown_keys_per_minute": BOUND,
        "unknown_keys_exempt": ["10.0.0.0/8"],
        "metrics": True,
    }
    folder = tmp_path_factory.mktemp("server")
    with ServerInProcess(folder, **settings) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        yield Client(server, http)


@pytest.fixture(autouse=True)
def _next_minute(client: Client) -> None:
    client.server.clock.set(client.server.clock.now_ms() + 60_000)


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    assert error["requestId"] == response.headers["unkey-request-id"]
    return response.status_code, error["code"], error["reason"]


@pytest.mark.parametrize("guess", GUESSES)
def test_every_way_to_guess_is_counted(client: Client, guess: str) -> None:
    """Up to the bound an unknown key is answered as ever; from then on nothing that carries a key is answered."""
    address = "192.0.2.1"
    usual = GUESSES[guess](client, OWN_SERVER)
    for _ in range(BOUND):
        answer = GUESSES[guess](client, address)
        assert answer.status_code == usual.status_code < 429
        assert answer.json().get("code") == usual.json().get("code")
        assert "retry-after" not in answer.headers
    for name, call in REFUSED.items():
        response = call(client, address)
        assert refusal(response) == (429, "TOO_MANY_REQUESTS", "RATE_LIMITED"), name
        # The clock stands at half a minute past.
        assert response.headers["retry-after"] == "30", name
        assert "nobody" not in response.text
    assert client.verify(client.key, "192.0.2.2").json()["code"] == "VALID"
    client.server.clock.set(client.server.clock.now_ms() + 30_000)
    assert client.verify(client.key, address).json()["code"] == "VALID"
    client.server.clock.set(client.server.clock.now_ms() - 30_000)


def test_the_right_guess_is_not_told(client: Client) -> None:
    """Beyond the bound a right and a wrong key get the same answer, and the right one spends nothing."""
    for _ in range(BOUND):
        client.verify("nobody", "192.0.2.1")
    before = client.verify(client.key, OWN_SERVER).json()["remaining"]
    right, wrong = client.verify(client.key, "192.0.2.1"), client.verify(client.key + "x", "192.0.2.1")
    assert right.text.replace(right.headers["unkey-request-id"], "") == wrong.text.replace(
        wrong.headers["unkey-request-id"], ""
    )
    assert client.verify(client.key, OWN_SERVER).json()["remaining"] == before - 1


def test_good_keys_do_not_count(client: Client) -> None:
    """Any number of known keys, valid or not, refuses nobody."""
    for _ in range(2 * BOUND):
        assert client.verify(client.key, "192.0.2.1").json()["code"] == "VALID"
        assert client.post("keys.whoami", {"key": client.key}, "192.0.2.1", client.root).status_code == 200


def test_calls_without_a_key_do_not_count_and_are_answered(client: Client) -> None:
    """A malformed call, one without credentials and those that need none are no guesses."""
    for _ in range(BOUND):
        assert client.post("apis.createApi", {"name": "never"}, "192.0.2.1").status_code == 401
        assert client.post("keys.verifyKey", {}, "192.0.2.1").status_code == 400
    assert client.verify(client.key, "192.0.2.1").status_code == 200
    for _ in range(BOUND):
        client.verify("nobody", "192.0.2.1")
    assert client.post("keys.verifyKey", {}, "192.0.2.1").status_code == 400
    assert client._http.get("/v1/liveness", headers={HEADER: "192.0.2.1"}).status_code == 200


def test_refused_calls_are_counted(client: Client) -> None:
    """The metrics tell how many calls the bound refused: not the guesses before, and each call once."""

    def refused() -> int:
        text = client._http.get("/metrics").text
        return int(float(re.findall(r"^keystead_guess_refusals_total (\S+)$", text, re.MULTILINE)[0]))

    before = refused()
    for _ in range(BOUND):
        client.verify("nobody", "192.0.2.1")
    assert refused() == before
    for call in REFUSED.values():
        assert call(client, "192.0.2.1").status_code == 429
    assert refused() == before + len(REFUSED)


def test_own_servers_are_exempt(client: Client) -> None:
    """A server of the operator's may meet as many unknown keys as its customers send."""
    for _ in range(3 * BOUND):
        assert client.verify("nobody", OWN_SERVER).json()["code"] == "NOT_FOUND"


def test_a_forwarded_address_is_believed_from_proxies_only(client: Client) -> None:
    """What stands left of the trusted part of the header was written by strangers and changes no count."""
    for n in range(BOUND):
        client.verify("nobody", f"203.0.113.{n}, 192.0.2.1")
    assert client.verify(client.key, f"{OWN_SERVER}, 192.0.2.1").status_code == 429
    assert client.verify(client.key, "203.0.113.0").status_code == 200


def test_ipv6_counts_by_network(client: Client) -> None:
    """Choosing another address of the same /64 is no way out."""
    for n in range(BOUND):
        client.verify("nobody", f"2001:db8::{n + 1:x}")
    assert client.verify(client.key, "2001:db8::ffff").status_code == 429
    assert client.verify(client.key, "2001:db8:0:1::1").status_code == 200


def test_off_by_default(tmp_path: Any) -> None:
    """Without the setting nothing of it runs: the plain use cases serve, and any number of guesses is answered."""
    with ServerInProcess(tmp_path) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        services = server.application.services
        used = services.access, services.verification, services.keys
        assert not any(isinstance(part, BoundedAccess | BoundedVerification | BoundedKeys) for part in used)
        answers = [http.post("/v1/keys.verifyKey", json={"key": f"nobody {n}"}) for n in range(200)]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(200, "NOT_FOUND")}
