"""Bodies: what is JSON, what is an object, which content types are read, and who is asked first (keys-v1 §1.4).

verifyKey has a lane of its own before the router; with a query string it takes the way of every other operation. Both
ways have to answer alike, so each body is tried on both.
"""

import json
import socket
from collections.abc import Callable

import httpx
import pytest

from keystead.http.operations import GET, OPERATIONS, Operation
from keystead.testing.server import ServerInProcess

MALFORMED = "the request body is not valid JSON"
NOT_JSON = [
    b"",
    b" ",
    b'{"key": ',
    b'{"key":"a"',
    b'{"key":"a",}',
    b'{"key":"a"} x',
    b'{"key":"a"}{"key":"a"}',
    b"{'key':'a'}",
    b'{key:"a"}',
    b'{"key" "a"}',
    b'{"key":"a" "x":1}',
    b'{"key":"a","x":NaN}',
    b'{"key":"a","x":Infinity}',
    b'{"key":"a","x":01}',
    b'{"key":"a","x":+1}',
    b'{"key":"a","x":.5}',
    b'{"key":"a","x":nul}',
    b'{"key":"a","x":True}',
    b'{"key":"a","x":"\\q"}',
    b'{"key":"a","x":"\\u12"}',
    b'{"key":"a\nb"}',
    b'{"key":"a","x":"a\nb"}',
    b'{"key":"a","x":"\0"}',
    b'{"key":"a","x":/* comment */1}',
    b'\xef\xbb\xbf{"key":"a"}',
    '{"key":"a"}'.encode("utf-16"),
    b"key=a",
    # Invalid UTF-8, in what is read and in what is not.
    b'{"key":"\xff"}',
    b'{"key":"a\xc3"}',
    b'{"key":"a","x":"\xff"}',
    b'{"key":"a","\xff":1}',
    b'{"key":"a","meta":{"x":"\xc0\xaf"}}',
    b'{"key":"a","x":["\xed\xa0\x80"]}',
    # Half a surrogate pair is no character.
    b'{"key":"\\ud800"}',
    b'{"key":"\\udc00\\ud800"}',
    b'{"key":"a","x":"\\ud800"}',
    b'{"key":"a","meta":{"x":"\\ud800x"}}',
    # A number to be read again stands before the mistake.
    b'{"key":"a","remaining":{"cost":1.0},"x":"\\ud800"}',
    b'{"key":"a","remaining":{"cost":1.0}',
    b'{"key":"a","remaining":{"cost":1.0},"x":[1,}',
    # Depth beyond reading, closed or not.
    b'{"key":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"key":"a","x":' + b'{"a":' * 100_000,
    b'{"key":"a","remaining":{"cost":1.0},"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"key":"a","authorization":{"permissions":' + b'{"and":[' * 100_000 + b'"a"' + b"]}" * 100_000 + b"}}",
    b'{"a":' * 100_000,
]
NO_OBJECT = [b"[]", b"null", b'"x"', b"1", b"1.5", b"true", b'[{"key":"a"}]', b"[" * 100_000, b" [ ] "]
READABLE = [
    b'{"key":"a"}',
    b' \r\n\t{ "key" : "a" } \n',
    b'{"key":"b","key":"a"}',
    b'{"key":"\\u0061"}',
    b'{"\\u006bey":"a"}',
    b'{"key":"a","x":"\\u0000"}',
    b'{"key":"a","x":"\xf0\x9f\x94\x91"}',
    b'{"key":"a","x":1e999}',
    b'{"key":"a","x":' + b"9" * 10_000 + b"}",
    b'{"key":"a","remaining":{"cost":1.0},"x":' + b"9" * 10_000 + b"}",
    b'{"key":"a","remaining":{"cost":1e0},"ratelimits":[{"name":"x","cost":0.0}]}',
    b'{"key":"a","remaining":{"cost":2,"cost":1.0}}',
    b'{"key":"a","x":' + b"[" * 500 + b"]" * 500 + b"}",
    b'{"key":"a","x":"' + b"x" * 1_000_000 + b'"}',
]
DOORS = {"lane": "/v1/keys.verifyKey", "router": "/v1/keys.verifyKey?by=router"}
"""The two ways to verifyKey."""

Post = Callable[..., httpx.Response]


@pytest.fixture(params=sorted(DOORS))
def post(request: pytest.FixtureRequest, stranger: httpx.Client) -> Post:
    """Sends a body to verifyKey through one of its doors; without a content type if that is None."""

    def send(body: bytes, content_type: str | None = "application/json") -> httpx.Response:
        headers = {} if content_type is None else {"Content-Type": content_type}
        return stranger.post(DOORS[request.param], content=body, headers=headers)

    return send


def shown(body: bytes) -> str:
    """A body as the name of a test."""
    return f"{body[:40]!r}~{len(body)}"


@pytest.mark.parametrize("body", NOT_JSON, ids=shown)
def test_what_is_not_json(post: Post, body: bytes) -> None:
    """What is no JSON in UTF-8, anywhere in it, is 400 and says so."""
    answer = post(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"] == MALFORMED


@pytest.mark.parametrize("body", NO_OBJECT, ids=shown)
def test_what_is_no_object(post: Post, body: bytes) -> None:
    """JSON that is no object is 400; the message has an empty path."""
    answer = post(body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith(": Expected object, received ")


@pytest.mark.parametrize("body", READABLE, ids=shown)
def test_what_is_readable(post: Post, body: bytes) -> None:
    """White space, escapes, unknown members, the last of equal names and numbers of any size are read."""
    answer = post(body)
    assert (answer.status_code, answer.json()["code"]) == (200, "NOT_FOUND")


def test_the_last_of_equal_names_counts(caller: httpx.Client, api_id: str, post: Post) -> None:
    """A member that appears twice has its last value, and both have to be acceptable."""
    secret = caller.post("/v1/keys.createKey", json={"apiId": api_id}).json()["key"]
    assert post(b'{"key":"other","key":"%b"}' % secret.encode()).json()["valid"] is True
    assert post(b'{"key":"%b","key":"other"}' % secret.encode()).json()["valid"] is False
    assert post(b'{"key":1,"key":"%b"}' % secret.encode()).status_code == 400


@pytest.mark.parametrize(("levels", "status"), [(1, 200), (200, 200), (201, 400), (480, 400), (900, 400)])
@pytest.mark.parametrize("word", ["and", "or"])
def test_nested_permission_query(
    caller: httpx.Client, api_id: str, post: Post, word: str, levels: int, status: int
) -> None:
    """A permission query may nest two hundred levels deep; a deeper one is 400, however deep."""
    key = caller.post("/v1/keys.createKey", json={"apiId": api_id, "permissions": ["deep"]}).json()["key"]
    query = b'{"%b":[' % word.encode() * levels + b'"deep"' + b"]}" * levels
    answer = post(b'{"key":"%b","authorization":{"permissions":%b}}' % (key.encode(), query))
    assert answer.status_code == status, answer.text
    assert answer.json().get("valid") is (True if status == 200 else None)


JSON_TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8;x=y",
    "Application/JSON",
    "APPLICATION/JSON ; CHARSET=utf-8",
    "application/vnd.api+json",
    "application/foo+json; version=1",
    "application/FOO+JSON",
]
OTHER_TYPES = [
    None,
    "",
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "application/json-seq",
    "json",
    "application/octet-stream",
    "text/foo+json",
]


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_json_content_types(post: Post, content_type: str) -> None:
    """`application/json` and `application/<x>+json`, in any case and with any parameters, are read."""
    assert post(b'{"key":"a"}', content_type).json()["code"] == "NOT_FOUND"


@pytest.mark.parametrize("content_type", OTHER_TYPES)
@pytest.mark.parametrize("body", [b'{"key":"a"}', b"", b"\xff"])
def test_other_content_types(post: Post, content_type: str | None, body: bytes) -> None:
    """A body of any other type, or of none, is not read and counts as `{}`."""
    answer = post(body, content_type)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "key: Required"


@pytest.mark.parametrize("path", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("character", ["\0", "\x7f", "é", "🔑", "\u2028"])
def test_any_character_in_names(caller: httpx.Client, api_id: str, path: str, character: str) -> None:
    """Names and texts may have any character, NUL among them, and come back as they were."""
    text = f"a{character}b"
    made = {"externalId": text, "name": text, "environment": text, "roles": [text], "permissions": [text]}
    key = caller.post("/v1/keys.createKey", json={"apiId": api_id, "prefix": text, **made}).json()
    assert key["key"].startswith(text + "_")
    answer = caller.post(path, json={"key": key["key"], "authorization": {"permissions": text}}).json()
    assert answer["code"] == "VALID"
    assert [answer[name] for name in ("name", "ownerId", "environment")] == [text] * 3
    assert (answer["roles"], answer["permissions"]) == ([text], [text])
    assert caller.post("/v1/keys.whoami", json={"key": key["key"]}).json()["id"] == key["keyId"]


WITH_BODIES = [operation for operation in OPERATIONS if operation.authenticated and operation.method != GET]
# What is wrong without their members is told after authentication; and a body that is an array may be empty.
ACCEPTABLE = {("identities.updateIdentity", b"{}"), ("migrations.createKeys", b"[]")}
UNACCEPTABLE = [
    pytest.param(operation, body, id=f"{operation.name}-{body!r}")
    for operation in WITH_BODIES
    for body in (b"", b"[]", b'{"key": ', b"null", b"{}")
    if (operation.name, body) not in ACCEPTABLE
]


@pytest.mark.parametrize(("operation", "body"), UNACCEPTABLE)
@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer unknown"])
def test_validation_before_authentication(
    stranger: httpx.Client, operation: Operation, body: bytes, authorization: str | None
) -> None:
    """Whoever calls, a request that is not acceptable is 400: nobody is asked for a key in vain."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {})
    answer = stranger.post(operation.path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(("name", "body"), sorted(ACCEPTABLE))
def test_what_is_acceptable_to_a_stranger(stranger: httpx.Client, name: str, body: bytes) -> None:
    """The bodies that the test above leaves out get as far as the question for a key."""
    answer = stranger.post(f"/v1/{name}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


@pytest.mark.parametrize("content_type", OTHER_TYPES)
def test_an_array_of_another_content_type(stranger: httpx.Client, content_type: str | None) -> None:
    """Where the body is an array, one that is not declared as JSON counts as `{}` like any other, and is 400."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = stranger.post("/v1/migrations.createKeys", content=b"[]", headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == ": Expected array, received object"


@pytest.mark.parametrize("path", DOORS.values(), ids=DOORS)
def test_connection_stays_open(server: ServerInProcess, path: str) -> None:
    """A 400 is an answer like any other: the same connection answers the next request."""
    bodies = [b"{", b'{"key":"a"}', b"[" * 100_000, b'{"key":1}', b'{"key":"a"}']
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        statuses = []
        for body in bodies:
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            statuses.append(read_status(connection))
    assert statuses == [400, 200, 400, 400, 200]


def read_status(connection: socket.socket) -> int:
    """The status of one whole answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536)
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"connection: close" not in head.lower()
    fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65_536)
    json.loads(body)
    return int(head.split(b" ")[1])
