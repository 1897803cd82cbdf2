"""Idempotency-Key: a repeated change happens once (DECISIONS D15)."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from keystead.http.operations import OPERATIONS
from keystead.testing.server import ServerInProcess

KEY = "a-fresh-key-of-the-test"


@pytest.fixture
def server(tmp_path) -> Iterator[ServerInProcess]:
    with ServerInProcess(tmp_path) as running:
        yield running


@pytest.fixture
def http(server: ServerInProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.root_key}"}) as client:
        yield client


def post(http: httpx.Client, operation: str, body: object, key: str | None = KEY, **headers: str) -> httpx.Response:
    sent = headers if key is None else {"Idempotency-Key": key, **headers}
    return http.post(f"/v1/{operation}", json=body, headers=sent)


@pytest.fixture
def api_id(http: httpx.Client) -> str:
    return post(http, "apis.createApi", {"name": "things"}, key=None).json()["apiId"]


def test_a_repeated_create_gives_the_first_answer(server: ServerInProcess, http: httpx.Client, api_id: str):
    """The same key and body make one key, and the answer with its secret is given again to the byte."""
    first = post(http, "keys.createKey", {"apiId": api_id})
    again = post(http, "keys.createKey", {"apiId": api_id})
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert first.headers["unkey-request-id"] != again.headers["unkey-request-id"]
    created = [e for e in server.read(lambda tx: tx.audit.of_workspace("ws_default")) if e.event == "key.create"]
    assert len(created) == 2  # the root key's own, and one


def test_a_repeated_delete_is_a_success(http: httpx.Client, api_id: str):
    """The look-up comes before any look at the object: a repeated deleteKey answers {}, without the header 404."""
    key_id = post(http, "keys.createKey", {"apiId": api_id}, key=None).json()["keyId"]
    answers = [post(http, "keys.deleteKey", {"keyId": key_id}) for _ in range(3)]
    assert [(a.status_code, a.json()) for a in answers] == [(200, {})] * 3
    assert post(http, "keys.deleteKey", {"keyId": key_id}, key=None).status_code == 404


def test_another_body_is_a_conflict(http: httpx.Client, api_id: str):
    """The same key with another body is refused with 409 and changes nothing."""
    key_id = post(http, "keys.createKey", {"apiId": api_id, "remaining": 5}, key=None).json()["keyId"]
    add = {"keyId": key_id, "op": "increment", "value": 1}
    assert post(http, "keys.updateRemaining", add).json() == {"remaining": 6}
    refused = post(http, "keys.updateRemaining", {**add, "value": 2})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "CONFLICT")
    assert "Idempotency-Key" in refused.json()["error"]["message"]
    assert post(http, "keys.updateRemaining", add).json() == {"remaining": 6}
    assert http.get("/v1/keys.getKey", params={"keyId": key_id}).json()["remaining"] == 6


def test_operations_and_root_keys_are_apart(server: ServerInProcess, http: httpx.Client):
    """The same header value with another operation or another root key is another call."""
    other = server.call(
        lambda: server.application.storage.operator.create_root_key("other", ["*"], None, server.clock.now_ms())
    )
    mine = post(http, "apis.createApi", {"name": "same"}).json()["apiId"]
    permission = post(http, "permissions.createRole", {"name": "same"})
    theirs = post(http, "apis.createApi", {"name": "same"}, Authorization=f"Bearer {other.key}").json()["apiId"]
    assert "roleId" in permission.json()
    assert mine != theirs


def test_failures_are_not_kept(http: httpx.Client, api_id: str):
    """A call that failed may be tried again with the same key once its cause is gone."""
    body = {"keyId": "", "permissions": [{"name": "late.permission"}]}
    body["keyId"] = post(http, "keys.createKey", {"apiId": api_id}, key=None).json()["keyId"]
    assert post(http, "keys.addPermissions", body).status_code == 404
    post(http, "permissions.createPermission", {"name": "late.permission"}, key=None)
    assert post(http, "keys.addPermissions", body).status_code == 200


def test_after_a_day_it_is_forgotten(server: ServerInProcess, http: httpx.Client):
    """An answer is replayed for 24 hours; then the same key makes a new call, and old answers leave the store."""
    first = post(http, "apis.createApi", {"name": "daily"}).json()
    server.clock.advance(24 * 3_600_000 - 1)
    assert post(http, "apis.createApi", {"name": "daily"}).json() == first
    server.clock.advance(1)
    assert post(http, "apis.createApi", {"name": "daily"}).json() != first
    assert rows(server, "SELECT count(*) FROM kept_answers") == [(1,)]


def test_of_two_at_the_same_time_one_waits(http: httpx.Client):
    """Equal calls that arrive together make one thing and get one answer."""
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: post(http, "apis.createApi", {"name": "once"}).content, range(48)))
    assert len(set(answers)) == 1
    assert http.get("/v1/apis.listApis").json()["total"] == 1


def test_neither_secret_is_in_the_store(server: ServerInProcess, http: httpx.Client, api_id: str):
    """The kept answer is sealed, and of the Idempotency-Key only a hash is stored."""
    secret = post(http, "keys.createKey", {"apiId": api_id}).json()["key"]
    (kept,) = rows(server, "SELECT * FROM kept_answers")
    assert secret not in str(kept)
    assert KEY not in str(kept)


@pytest.mark.parametrize("value", ["short", "x" * 15, "x" * 256, "with a blank inside it", "ünïcödé-ünïcödé-ünïcödé"])
def test_what_can_not_be_a_key(http: httpx.Client, value: str):
    """Anything but 16 to 255 visible ASCII characters is 400, before authentication."""
    header = {"Idempotency-Key": value.encode(), "Authorization": b""}
    refused = http.post("/v1/apis.createApi", json={"name": "things"}, headers=header)
    assert refused.status_code == 400
    assert refused.json()["error"]["message"].startswith("Idempotency-Key: ")


@pytest.mark.parametrize("value", ["x" * 16, "x" * 255])
def test_both_ends_of_the_length(http: httpx.Client, value: str):
    """Keys of 16 and of 255 characters are accepted."""
    assert post(http, "apis.createApi", {"name": "things"}, key=value).status_code == 200


def test_who_ignores_the_header(server: ServerInProcess, http: httpx.Client, api_id: str):
    """verifyKey, whoami, limit and GET ignore the header, even an impossible one: they look or spend each time."""
    ignoring = {op.name for op in OPERATIONS if op.method == "POST" and not op.keeps_answers}
    assert ignoring == {"keys.verifyKey", "keys.whoami", "ratelimits.limit"}
    key = post(http, "keys.createKey", {"apiId": api_id, "remaining": 5}, key=None).json()["key"]
    left = [post(http, "keys.verifyKey", {"key": key}, key="bad").json()["remaining"] for _ in range(2)]
    assert left == [4, 3]
    assert [post(http, "keys.whoami", {"key": key}).json()["remaining"] for _ in range(2)] == [3, 3]
    limit = {"identifier": "x", "limit": 5, "duration": 60000}
    assert [post(http, "ratelimits.limit", limit).json()["remaining"] for _ in range(2)] == [4, 3]
    assert http.get("/v1/apis.getApi", params={"apiId": api_id}, headers={"Idempotency-Key": "bad"}).status_code == 200


def test_a_refused_caller_gets_no_kept_answer(server: ServerInProcess, http: httpx.Client, api_id: str):
    """The look-up stands behind authentication: a root key that has been revoked gets 401, not the old answer."""
    made = server.call(
        lambda: server.application.storage.operator.create_root_key("brief", ["*"], None, server.clock.now_ms())
    )
    as_made = {"Authorization": f"Bearer {made.key}"}
    assert post(http, "keys.createKey", {"apiId": api_id}, **as_made).status_code == 200
    server.write(lambda tx: tx.keys.delete(tx.keys.find(made.key_id)))
    assert post(http, "keys.createKey", {"apiId": api_id}, **as_made).status_code == 401


def rows(server: ServerInProcess, statement: str) -> list[tuple]:
    connection = sqlite3.connect(server.settings.database_path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()
