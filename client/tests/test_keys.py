"""The fourteen operations on the wire (sdk.md sections 7 and 11)."""

import pytest

from unkey_py import Code, Op, models

KEY = {"id": "key_1", "start": "sk_1", "workspaceId": "ws_1", "createdAt": 5}
REFERENCES = [{"id": "perm_1", "name": "dns.read"}]

# operation, arguments, path, what is sent, what is answered, attribute of the result, one look at the answer
OPERATIONS = [
    ("whoami", {"key": "sk"}, "whoami", {"key": "sk"},
     {"id": "key_1", "createdAt": 5, "enabled": True}, "object", lambda it: it.created_at == 5),
    ("delete", {"key_id": "k"}, "deleteKey", {"keyId": "k", "permanent": False}, {},
     "object", lambda it: str(it) == ""),
    ("create", {"api_id": "a"}, "createKey",
     {"apiId": "a", "byteLength": 16, "enabled": True, "recoverable": False},
     {"keyId": "k", "key": "s"}, "object", lambda it: (it.key_id, it.key) == ("k", "s")),
    ("verify", {"key": "sk", "ratelimits": [{"name": "tokens"}]}, "verifyKey",
     {"key": "sk", "ratelimits": [{"name": "tokens", "cost": 1}]},
     {"valid": True, "code": "VALID", "requestId": "req_1"}, "v1_keys_verify_key_response",
     lambda it: it.valid and it.code is Code.VALID),
    ("update", {"key_id": "k", "name": None, "enabled": True}, "updateKey",
     {"keyId": "k", "name": None, "enabled": True}, {}, "object", lambda it: it is not None),
    ("update_remaining", {"key_id": "k", "op": Op.SET, "value": None}, "updateRemaining",
     {"keyId": "k", "op": "set", "value": None}, {"remaining": None}, "object", lambda it: it.remaining is None),
    ("add_permissions", {"key_id": "k", "permissions": [{}]}, "addPermissions",
     {"keyId": "k", "permissions": [{}]}, REFERENCES, "response_bodies", lambda it: it[0].name == "dns.read"),
    ("remove_permissions", {"key_id": "k", "permissions": [{"id": "p"}]}, "removePermissions",
     {"keyId": "k", "permissions": [{"id": "p"}]}, {}, "object", lambda it: it is not None),
    ("set_permissions", {"key_id": "k", "permissions": [{"name": "n", "create": True}]}, "setPermissions",
     {"keyId": "k", "permissions": [{"name": "n", "create": True}]}, REFERENCES, "response_bodies",
     lambda it: it[0].id == "perm_1"),
    ("add_roles", {"key_id": "k", "roles": [{"id": "r"}]}, "addRoles",
     {"keyId": "k", "roles": [{"id": "r"}]}, REFERENCES, "response_bodies", lambda it: len(it) == 1),
    ("remove_roles", {"key_id": "k", "roles": [{"id": "r"}]}, "removeRoles",
     {"keyId": "k", "roles": [{"id": "r"}]}, {}, "object", lambda it: it is not None),
    ("set_roles", {"key_id": "k", "roles": []}, "setRoles",
     {"keyId": "k", "roles": []}, [], "response_bodies", lambda it: it == []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "request_", "path", "sent", "answer", "attribute", "is_right"), OPERATIONS, ids=lambda it: str(it)[:12]
)
def test_posts(server, invoke, name, request_, path, sent, answer, attribute, is_right):
    """Every operation that takes a body sends it in wire form to its path and gives the answer under its name."""
    server.answers = [answer]
    result = invoke(getattr(server.client().keys, name), request=request_)
    request = server.requests[-1]
    assert (request.method, request.url.path) == ("POST", f"/v1/keys.{path}")
    assert request.headers["content-type"] == "application/json"
    assert server.body == sent
    assert list(server.body) == list(sent)
    assert is_right(getattr(result, attribute))
    assert result.http_meta.request is request
    assert result.http_meta.response.status_code == 200
    has_key = "idempotency-key" in request.headers
    assert has_key == (name not in {"verify", "whoami"})


def test_get(server, invoke):
    """`get` sends its arguments as a query and gives the key."""
    server.answers = [KEY]
    result = invoke(server.client().keys.get, key_id="key 1", decrypt=True)
    assert str(server.requests[-1].url) == "http://127.0.0.1:3000/v1/keys.getKey?keyId=key+1&decrypt=true"
    assert result.key.workspace_id == "ws_1"
    assert "content-type" not in server.requests[-1].headers


@pytest.mark.parametrize("decrypt", [None, models.KeysGetVerificationsRequest().start])
def test_get_leaves_out_what_a_query_cannot_say(server, decrypt):
    """None and UNSET do not appear in a query."""
    server.answers = [KEY]
    server.client().keys.get(key_id="k", decrypt=decrypt)
    assert server.requests[-1].url.query == b"keyId=k"


def test_get_verifications_without_request(server, invoke):
    """`get_verifications` needs no request, and then sends the defaults."""
    server.answers = [{"verifications": [{"time": 1, "success": 2, "rateLimited": 3, "usageExceeded": 4}]}]
    result = invoke(server.client().keys.get_verifications)
    assert server.requests[-1].url.query == b"granularity=day"
    assert result.object.verifications[0].usage_exceeded == 4


def test_example_body(server):
    """Numbers, free-form members and non-ASCII text are encoded as the published client does."""
    server.answers = [{"keyId": "k", "key": "s"}]
    server.client().keys.create(
        request={
            "api_id": "a",
            "meta": {"none": None, "name": "é"},
            "refill": {"interval": "monthly", "amount": 100, "refill_day": 15},
            "ratelimit": {"limit": 10, "duration": 60000},
        }
    )
    assert server.requests[-1].content == (
        b'{"apiId":"a","byteLength":16,"meta":{"none":null,"name":"\\u00e9"},'
        b'"refill":{"interval":"monthly","amount":100,"refillDay":15.0},'
        b'"ratelimit":{"limit":10,"async":true,"type":"fast","duration":60000},'
        b'"enabled":true,"recoverable":false}'
    )


@pytest.mark.parametrize(
    "request_",
    [
        models.V1KeysVerifyKeyRequest(key="k", api_id="a"),
        {"key": "k", "api_id": "a"},
        {"key": "k", "apiId": "a"},
        {"key": "k", "apiId": "a", "api_id": "ignored", "unknown": 1},
    ],
)
def test_styles_of_requests(server, request_):
    """A model, a dict of Python names, of wire names or of both mean the same; the wire name wins."""
    server.answers = [{"valid": False, "code": "NOT_FOUND", "requestId": "r"}]
    server.client().keys.verify(request=request_)
    assert server.body == {"key": "k", "apiId": "a"}


def test_permission_query(server):
    """Nested queries are sent under their wire names, nulls in lists included; null for the whole is sent too."""
    server.answers = [{"valid": False, "code": "NOT_FOUND", "requestId": "r"}]
    keys = server.client().keys
    query = {"and_": ["a", {"or": ["b", None]}]}
    keys.verify(request={"key": "k", "authorization": {"permissions": query}})
    assert server.body["authorization"] == {"permissions": {"and": ["a", {"or": ["b", None]}]}}
    keys.verify(request={"key": "k", "authorization": {"permissions": None}})
    assert server.body["authorization"] == {"permissions": None}
    keys.verify(request={"key": "k", "authorization": {}})
    assert server.body["authorization"] == {}


@pytest.mark.parametrize(
    "request_", [None, {}, {"key": 3}, {"key": "k", "tags": "no list"}, models.WhoamiRequestBody(key="k")]
)
def test_misfitting_requests(server, request_):
    """A request that does not fit is refused by pydantic before anything is sent."""
    with pytest.raises(ValueError, match="validation error"):
        server.client().keys.verify(request=request_)
    assert server.requests == []


def test_positional_request(server):
    """Operations take keyword arguments only."""
    with pytest.raises(TypeError):
        server.client().keys.whoami({"key": "k"})


def test_callers_dict_is_left_alone(server):
    """The dict given as a request is not changed."""
    request = {"api_id": "a", "meta": {"x": [1]}}
    server.answers = [{"keyId": "k", "key": "s"}]
    server.client().keys.create(request=request)
    assert request == {"api_id": "a", "meta": {"x": [1]}}
