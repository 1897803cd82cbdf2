"""What a program can observe of the client, the same for ours and the published release 0.10.0.

`make compare` runs this module against both, each in its own environment; `operations.json` holds what the published
one sent and gave. Where the two differ on purpose, a test marked `difference` says what each does, and the list of
these marks and the table in `docs/differences.md` are held in agreement.
"""

import asyncio
import gc
import importlib.metadata
import importlib.util
import inspect
import json
import pickle
import random
import re
import subprocess
import sys
import time
from enum import Enum
from pathlib import Path

import httpx
import pydantic
import pytest

import unkey_py
from unkey_py import Unkey, models
from unkey_py.types import UNSET
from unkey_py.utils import BackoffStrategy, RetryConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

IS_OURS = importlib.util.find_spec("unkey_py._flow") is not None
HERE = Path(__file__).parent
CASES = json.loads((HERE / "operations.json").read_text(encoding="utf-8"))
FIRST = {case["operation"]: case for case in reversed(CASES)}
KEY = {"id": "key_1", "createdAt": 5, "enabled": True}
DIFFERENCES = {}
EXPLICIT = RetryConfig("backoff", BackoffStrategy(100, 10_000, 2, 60_000), True)


def difference(name):
    """Mark a test as the proof of that row of the table of differences."""

    def mark(test):
        DIFFERENCES[name] = test
        return test

    return mark


def differs(here, published):
    """What this one of the two packages does."""
    return here if IS_OURS else published


class Server:
    """Gives `answers` in turn, the last one for ever, and keeps the requests; its time passes only by waiting."""

    def __init__(self):
        self.answers, self.requests, self.slept, self.kept, self.now = [{}], [], [], [], 1000.0

    def handle(self, request):
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, json=body)

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    async def sleep_async(self, seconds):
        self.sleep(seconds)

    def client(self, **settings):
        transport = httpx.MockTransport(self.handle)
        settings = {"bearer_auth": "root", "server_url": "http://h", **settings}
        settings.setdefault("client", httpx.Client(transport=transport))
        settings.setdefault("async_client", httpx.AsyncClient(transport=transport))
        # Kept: the published client closes its connections when nobody holds it.
        self.kept.append(Unkey(**settings))
        return self.kept[-1]


@pytest.fixture
def server(monkeypatch):
    """A server without a network, and a clock and a chance that are ours in either package."""
    made = Server()
    for name in ("KEYSTEAD_URL", "UNKEY_BEARER_AUTH", "UNKEY_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    if IS_OURS:
        from unkey_py._flow import Chance
        from unkey_py.basesdk import BaseSDK

        monkeypatch.setattr(BaseSDK, "_chance", Chance(lambda: round(made.now * 1000), lambda: 0.25))
        monkeypatch.setattr(BaseSDK, "_sleep", staticmethod(made.sleep))
        monkeypatch.setattr(BaseSDK, "_sleep_async", staticmethod(made.sleep_async))
    else:
        monkeypatch.setattr(random, "uniform", lambda low, high: 0.25)
        monkeypatch.setattr(time, "time", lambda: made.now)
        monkeypatch.setattr(time, "sleep", made.sleep)
        monkeypatch.setattr(asyncio, "sleep", made.sleep_async)
    return made


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    """Runs an operation's blocking or its awaitable flavour."""

    def run(operation, **arguments):
        if request.param == "sync":
            return operation(**arguments)
        twin = getattr(operation.__self__, f"{operation.__name__}_async")
        assert inspect.iscoroutinefunction(twin)
        return asyncio.run(twin(**arguments))

    return run


def operation_of(unkey, name):
    group, _, method = name.partition(".")
    return getattr(getattr(unkey, group), method)


def whoami(unkey, **options):
    return unkey.keys.whoami(request={"key": "k"}, **options)


def refusal(code):
    return {"error": {"code": code, "docs": "d", "message": "é", "requestId": "req_2"}}


@pytest.mark.parametrize("case", CASES, ids=[case["operation"] for case in CASES])
def test_operations(server, invoke, case):
    """Each operation sends these bytes and gives this answer, in every form an answer can be had."""
    server.answers = [(case["status"], case["answer"])]
    result = invoke(operation_of(server.client(), case["operation"]), **case["arguments"])
    (sent,) = server.requests
    assert (sent.method, sent.url.path) == (case["method"], case["path"])
    assert (sent.url.query.decode(), sent.content.decode()) == (case["query"], case["body"])
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["authorization"] == "Bearer root"
    assert sent.headers["user-agent"] == "speakeasy-sdk/python 0.10.0 2.597.9 1.0.0 unkey.py"
    assert sent.headers.get("content-type") == ("application/json" if case["body"] else None)
    body = getattr(result, case["attribute"])
    answers = body if isinstance(body, list) else [body]
    python_names = case.get("python_names_here", case["python_names"]) if IS_OURS else case["python_names"]
    assert [answer.model_dump(mode="json", by_alias=True) for answer in answers] == case["dumped"]
    assert [answer.model_dump(mode="json") for answer in answers] == python_names
    assert [str(answer) for answer in answers] == case["shown"]
    assert result.http_meta.request is sent
    assert result.http_meta.response.json() == case["answer"]
    assert result.http_meta.model_dump() == {}


def test_every_operation_is_recorded():
    """None of the 41 operations is without a record."""
    unkey = Unkey()
    groups = {name: group for name, group in vars(unkey).items() if hasattr(group, "sdk_configuration")}
    offered = {
        f"{name}.{method}"
        for name, group in groups.items()
        for method in dir(group)
        if not method.startswith(("_", "do_request")) and hasattr(group, f"{method}_async")
    }
    assert offered == set(FIRST)
    assert len(offered) == 41


ERRORS = [
    (400, "BAD_REQUEST", "ErrBadRequest"),
    (401, "UNAUTHORIZED", "ErrUnauthorized"),
    (403, "FORBIDDEN", "ErrForbidden"),
    (404, "NOT_FOUND", "ErrNotFound"),
    (409, "CONFLICT", "ErrConflict"),
    (412, "PRECONDITION_FAILED", "ErrPreconditionFailed"),
    (429, "TOO_MANY_REQUESTS", "ErrTooManyRequests"),
    (500, "INTERNAL_SERVER_ERROR", "ErrInternalServerError"),
]


@pytest.mark.parametrize(("status", "code", "error"), ERRORS)
@pytest.mark.parametrize("name", FIRST)
def test_error_mapping(server, invoke, name, status, code, error):
    """Each documented error status of each operation becomes its exception, with the body in it and as its text."""
    if name == "apis.delete" and status == 429:
        code, error = "DELETE_PROTECTED", "ErrDeleteProtected"
    server.answers = [(status, refusal(code))]
    with pytest.raises(getattr(models, error)) as caught:
        invoke(operation_of(server.client(), name), **FIRST[name]["arguments"], retries=None)
    raised = caught.value
    assert (type(raised).__bases__, raised.args, repr(raised)) == ((Exception,), (), f"{error}()")
    assert str(raised) == json.dumps(refusal(code), separators=(",", ":"))
    assert (raised.data.error.code, raised.data.error.code.name) == (code, code)
    assert (raised.data.error.request_id, raised.data.error.message) == ("req_2", "é")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(418, json={"a": 1}), "API error occurred"),
        (httpx.Response(404, text="gone"), "API error occurred"),
        (httpx.Response(502, text=""), "API error occurred"),
        (
            httpx.Response(404, content=b"{}", headers={"content-type": "application/problem+json"}),
            "API error occurred",
        ),
        (httpx.Response(201, json=KEY), "Unexpected response received (code: 201, type: application/json)"),
        (httpx.Response(204), "Unexpected response received (code: 204, type: None)"),
        (httpx.Response(302, headers={"location": "/x"}), "Unexpected response received (code: 302, type: None)"),
        (
            httpx.Response(200, text="hi", headers={"content-type": "text/html"}),
            "Unexpected response received (code: 200, type: text/html)",
        ),
    ],
)
def test_other_answers(server, invoke, answer, message):
    """Any other answer becomes an SDKError of this text."""
    server.answers = [answer]
    with pytest.raises(models.SDKError) as caught:
        invoke(server.client().keys.whoami, request={"key": "k"}, retries=None)
    error = caught.value
    assert (error.message, error.status_code, error.body) == (message, answer.status_code, answer.text)
    assert str(error) == f"{message}: Status {answer.status_code}" + (f"\n{answer.text}" if answer.text else "")
    assert error.raw_response.status_code == answer.status_code
    assert models.SDKError("m") == models.SDKError("m", -1, "", None)


def test_media_type(server):
    """Case and parameters of the media type do not matter."""
    server.answers = [httpx.Response(200, json=KEY, headers={"content-type": "Application/JSON; charset=utf-8"})]
    assert whoami(server.client()).object.id == "key_1"


@pytest.mark.parametrize(
    ("body", "seen"),
    [(KEY | {"new": 1}, 5), ({"id": "key_1", "created_at": 6, "enabled": True}, 6), (KEY | {"name": None}, 5)],
)
def test_tolerance(server, invoke, body, seen):
    """Unknown members are dropped, either spelling is read, null for an optional member is None."""
    server.answers = [body]
    answer = invoke(server.client().keys.whoami, request={"key": "k"}).object
    assert (answer.created_at, answer.name, hasattr(answer, "new")) == (seen, None, False)


def test_null_body(server):
    """A body that is null leaves the answer empty."""
    server.answers = [httpx.Response(200, content=b"null", headers={"content-type": "application/json"})]
    assert whoami(server.client()).object is None


@pytest.mark.parametrize(
    "request_",
    [
        {"key": "k", "api_id": "a"},
        {"key": "k", "apiId": "a"},
        {"key": "k", "apiId": "a", "api_id": "loses", "unknown": 1},
        models.V1KeysVerifyKeyRequest(key="k", api_id="a"),
    ],
)
def test_styles_of_requests(server, invoke, request_):
    """A model, a dict of Python names, of wire names or of both are sent alike."""
    server.answers = [{"valid": False, "code": "NOT_FOUND", "requestId": "r"}]
    invoke(server.client().keys.verify, request=request_)
    assert server.requests[0].content == b'{"key":"k","apiId":"a"}'


@pytest.mark.parametrize(
    ("member", "sent"),
    [
        ({"remaining": "3"}, b'"remaining":3'),
        ({"remaining": 1.0}, b'"remaining":1'),
        ({"enabled": "no"}, b'"enabled":false'),
        ({"refill": {"interval": "monthly", "amount": 1, "refill_day": 15}}, b'"refillDay":15.0'),
        ({"meta": {"nan": float("nan"), "set": {1}, "bytes": b"x"}}, b'"meta":{"nan":null,"set":[1],"bytes":"x"}'),
        ({"name": "é"}, b'"name":"\\u00e9"'),
    ],
)
def test_coercion(server, member, sent):
    """Values are coerced as pydantic does by default, and encoded like this."""
    server.answers = [{"keyId": "k", "key": "s"}]
    server.client().keys.create(request={"api_id": "a", **member})
    assert sent in server.requests[0].content


@pytest.mark.parametrize(
    "request_",
    [None, {}, {"api_id": 3}, {"api_id": "a", "name": UNSET}, {"api_id": "a", "refill": {"interval": "x"}},
     models.WhoamiRequestBody(key="k")],
)  # fmt: skip
def test_misfitting_requests(server, invoke, request_):
    """A request that does not fit is a ValidationError before anything is sent."""
    with pytest.raises(pydantic.ValidationError):
        invoke(server.client().keys.create, request=request_)
    assert server.requests == []


def test_null_and_absence(server):
    """UNSET and absence are left out, None is sent, however it was given."""
    unkey = server.client()
    later = models.UpdateKeyRequestBody(key_id="k")
    later.name = None
    for request, body in [
        ({"key_id": "k", "name": UNSET}, b'{"keyId":"k"}'),
        ({"key_id": "k", "name": None}, b'{"keyId":"k","name":null}'),
        (models.UpdateKeyRequestBody(key_id="k", name=None), b'{"keyId":"k","name":null}'),
        (later, b'{"keyId":"k","name":null}'),
    ]:
        unkey.keys.update(request=request)
        assert server.requests[-1].content == body


def test_assignment_is_not_validated(server):
    """What is assigned to a model is sent as it is, a default too."""
    request = models.CreateKeyRequestBody(api_id="a")
    request.enabled = None
    request.remaining = 7
    server.answers = [{"keyId": "k", "key": "s"}]
    server.client().keys.create(request=request)
    assert server.requests[0].content == b'{"apiId":"a","byteLength":16,"remaining":7,"recoverable":false}'


def test_keyword_arguments_only(server):
    """A positional request is a TypeError."""
    with pytest.raises(TypeError):
        server.client().keys.whoami({"key": "k"})


FAILURES = [(500, {}), (503, {}), (599, {}), httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.PoolTimeout("x")]


@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize("name", ["keys.whoami", "keys.get", "keys.create"])
def test_default_retries(server, invoke, name, failure):
    """Server errors, connection failures and timeouts are repeated by default, after these waits."""
    case = FIRST[name]
    server.answers = [failure, failure, failure, (200, case["answer"])]
    invoke(operation_of(server.client(), name), **case["arguments"])
    assert server.slept == pytest.approx([0.05 + 0.25, 0.075 + 0.25, 0.1125 + 0.25])
    assert len({request.content for request in server.requests}) == 1


@pytest.mark.parametrize(
    "final", [(400, {}), (408, {}), (429, {}), httpx.ReadError("x"), httpx.RemoteProtocolError("x")]
)
def test_what_is_final_by_default(server, invoke, final):
    """Nothing else is repeated by default, and exceptions surface as they are."""
    server.answers = [final]
    with pytest.raises(Exception, match=r".") as caught:
        invoke(server.client().keys.whoami, request={"key": "k"})
    assert caught.value is final or not isinstance(final, Exception)
    assert (len(server.requests), server.slept) == (1, [])


@pytest.mark.parametrize("level", ["retries", "retry_config"])
@pytest.mark.parametrize("name", ["keys.whoami", "keys.verify", "ratelimits.limit", "keys.create"])
def test_explicit_retries(server, invoke, name, level):
    """A configuration, of the client or the call, is followed for every operation."""
    case = FIRST[name]
    server.answers = [(500, {}), httpx.ReadTimeout("x"), (502, {}), (200, case["answer"])]
    unkey = server.client(**({level: EXPLICIT} if level == "retry_config" else {}))
    invoke(operation_of(unkey, name), **case["arguments"], **({level: EXPLICIT} if level == "retries" else {}))
    assert server.slept == [0.1 + 0.25, 0.2 + 0.25, 0.4 + 0.25]


@pytest.mark.parametrize("off", [None, "whatever", RetryConfig("linear", EXPLICIT.backoff, True)])
def test_retrying_can_be_switched_off(server, invoke, off):
    """None, a foreign object and another strategy switch retrying off; the call wins over the client."""
    server.answers = [(503, {})]
    for settings, options in [({"retry_config": off}, {}), ({"retry_config": EXPLICIT}, {"retries": off})]:
        with pytest.raises(models.SDKError):
            invoke(server.client(**settings).keys.whoami, request={"key": "k"}, **options)
    assert server.slept == []


def test_connection_errors_may_be_excepted(server, invoke):
    """Without `retry_connection_errors` only statuses are repeated."""
    server.answers = [(500, {}), httpx.ConnectError("x")]
    with pytest.raises(httpx.ConnectError):
        invoke(
            server.client().keys.whoami,
            request={"key": "k"},
            retries=RetryConfig("backoff", EXPLICIT.backoff, False),
        )
    assert len(server.slept) == 1


def test_giving_up(server, invoke):
    """Once the time is up the last answer is mapped like any other."""
    server.answers = [(500, refusal("INTERNAL_SERVER_ERROR"))]
    patience = RetryConfig("backoff", BackoffStrategy(1000, 1000, 1.5, 2500), True)
    with pytest.raises(models.ErrInternalServerError):
        invoke(server.client().keys.whoami, request={"key": "k"}, retries=patience)
    assert server.slept == [1, 1, 1]


def test_default_patience(server, invoke):
    """Against a server that is down the default ends after some 30 seconds and 35 attempts."""
    server.answers = [httpx.ConnectError("x")]
    with pytest.raises(httpx.ConnectError):
        invoke(server.client().keys.whoami, request={"key": "k"})
    assert 30 < sum(server.slept) <= 31
    assert 32 <= len(server.requests) <= 37


@pytest.mark.parametrize(
    ("token", "header"),
    [("root", "Bearer root"), ("bearer x", "bearer x"), ("BEARER x", "BEARER x"), (lambda: "made", "Bearer made"),
     (None, None), (lambda: None, None)],
)  # fmt: skip
def test_token(server, invoke, token, header):
    """The token is sent as a bearer token, as it is if it says so itself, or not at all."""
    server.answers = [KEY]
    invoke(server.client(bearer_auth=token).keys.whoami, request={"key": "k"})
    assert server.requests[0].headers.get("authorization") == header


def test_token_function(server, invoke):
    """A function is asked once per operation, not per attempt."""
    asked = []
    server.answers = [(500, {}), KEY]
    invoke(server.client(bearer_auth=lambda: asked.append(1) or "t").keys.whoami, request={"key": "k"})
    assert (len(asked), len(server.requests)) == (1, 2)


def test_token_of_another_type(server):
    """A token that is not text is refused: at once, or at the call if a function gives it."""
    with pytest.raises(pydantic.ValidationError):
        Unkey(bearer_auth=3)
    with pytest.raises(pydantic.ValidationError):
        whoami(server.client(bearer_auth=lambda: 3))


@pytest.mark.parametrize(
    ("settings", "options", "url"),
    [
        ({"server_url": "http://s//"}, {}, "http://s"),
        ({"server_url": "http://s/prefix"}, {}, "http://s/prefix"),
        ({"server_url": "http://{host}", "url_params": {"host": "x"}}, {}, "http://x"),
        ({}, {"server_url": "https://other/prefix/"}, "https://other/prefix"),
    ],
)
def test_server_url(server, invoke, settings, options, url):
    """The client's address, its parameters and a call's own address are used like this."""
    server.answers = [KEY]
    invoke(server.client(**settings).keys.whoami, request={"key": "k"}, **options)
    assert str(server.requests[0].url) == f"{url}/v1/keys.whoami"


def test_construction():
    """Arguments may be positional; an index outside the list and unfit HTTP clients are refused."""
    assert Unkey("t", 0).sdk_configuration.server_idx == 0
    with pytest.raises(IndexError):
        Unkey(server_idx=1)
    for name in ("client", "async_client"):
        with pytest.raises(AssertionError):
            Unkey(**{name: object()})
    with Unkey() as unkey:
        assert isinstance(unkey, Unkey)


@pytest.mark.parametrize(
    ("settings", "options", "timeout"),
    [({"timeout_ms": 2000}, {}, 2), ({"timeout_ms": 2000}, {"timeout_ms": 1500}, 1.5), ({}, {"timeout_ms": 0}, 0)],
)
def test_timeouts(server, invoke, settings, options, timeout):
    """Milliseconds of the call, else of the client, for each part of the exchange."""
    server.answers = [KEY]
    invoke(server.client(**settings).keys.whoami, request={"key": "k"}, **options)
    assert set(server.requests[0].extensions["timeout"].values()) == {timeout}


def test_headers(server, invoke):
    """A call's headers replace any of the client's; they must be text."""
    server.answers = [KEY]
    mine = {"Authorization": "Basic x", "user-agent": "me", "Accept": "*/*", "content-type": "text/x", "X-Mine": "1"}
    invoke(server.client().keys.whoami, request={"key": "k"}, http_headers=mine)
    for name, value in mine.items():
        assert server.requests[0].headers.get_list(name) == [value]
    with pytest.raises(TypeError):
        invoke(server.client().keys.whoami, request={"key": "k"}, http_headers={"x": 1})


def test_custom_client(server):
    """A client that merely has the methods is asked like this, and never closed."""

    class Tracing:
        def __init__(self):
            self.inner, self.asked, self.closed = httpx.Client(transport=httpx.MockTransport(server.handle)), [], False

        def build_request(self, method, url, **more):
            self.asked.append((method, str(url), sorted(more), more["content"], more["data"], more["files"]))
            return self.inner.build_request(method, url, **more)

        def send(self, request, *, stream):
            self.asked.append((request, stream))
            return self.inner.send(request, stream=stream)

        def close(self):
            self.closed = True

    server.answers = [(500, {}), KEY]
    client = Tracing()
    with server.client(client=client) as unkey:
        result = whoami(unkey)
    built, first, second = client.asked
    assert built == (
        "POST", "http://h/v1/keys.whoami", ["content", "data", "files", "headers", "params", "timeout"],
        built[3], None, None,
    )  # fmt: skip
    assert json.loads(built[3]) == {"key": "k"}
    assert first == second == (result.http_meta.request, False)
    assert not client.closed


def test_pages(server):
    """`next` walks the listing with the first call's parameters, an empty cursor included, and ends with None."""
    server.answers = [{"identities": [], "total": 3, "cursor": cursor} for cursor in ("", "two", None)]
    page = server.client().identities.list(limit=7, environment="test")
    cursors = []
    while page is not None:
        cursors.append(page.object.cursor)
        page = page.next()
    assert cursors == ["", "two", None]
    assert [request.url.query.decode() for request in server.requests] == [
        "environment=test&limit=7",
        "environment=test&limit=7&cursor=",
        "environment=test&limit=7&cursor=two",
    ]


def test_enums():
    """Members compare equal to their plain value and print as Class.MEMBER."""
    enums = [getattr(models, name) for name in models.__all__]
    enums = [one for one in enums if inspect.isclass(one) and issubclass(one, Enum)]
    assert len(enums) > 20
    for one in enums:
        for name, member in one.__members__.items():
            assert (str(member), member == member.value, one(member.value)) == (f"{one.__name__}.{name}", True, member)
    assert unkey_py.Code.VALID == "VALID"


def test_models():
    """Models are pydantic models: these operations give these results."""
    request = models.CreateKeyRequestBody(api_id="a", meta={"x": 1})
    assert request == models.CreateKeyRequestBody(apiId="a", meta={"x": 1}, unknown=2)
    assert request.model_copy(update={"name": "n"}).name == "n"
    assert models.CreateKeyRequestBody.model_validate_json('{"apiId":"a"}').byte_length == 16
    assert json.loads(request.model_dump_json(by_alias=True, exclude_none=True)) == {
        "apiId": "a", "byteLength": 16, "meta": {"x": 1}, "enabled": True, "recoverable": False,
    }  # fmt: skip
    assert str(models.WhoamiRequestBody(key="k")) == "key='k'"
    assert repr(models.WhoamiRequestBody(key="k")) == "WhoamiRequestBody(key='k')"
    with pytest.raises(TypeError):
        models.WhoamiRequestBody("k")


def test_unset():
    """UNSET is falsy, equal to itself, printed as Unset(), and not hashable."""
    assert (bool(UNSET), UNSET == UNSET, repr(UNSET)) == (False, True, "Unset()")
    with pytest.raises(TypeError):
        hash(UNSET)


def test_deprecations():
    """Reading a deprecated member warns, sending it does not."""
    request = models.CreateKeyRequestBody(api_id="a", owner_id="o")
    with pytest.warns(DeprecationWarning, match=r"."):
        assert request.owner_id == "o"


def test_debug_records(server, invoke):
    """A logger gets two records per attempt, in printf style, with the token masked."""
    records = []

    class Logger:
        def debug(self, msg, *args, **kwargs):
            records.append((msg % args, kwargs))

    server.answers = [(500, {}), KEY, httpx.ReadError("x")]
    unkey = server.client(debug_logger=Logger(), bearer_auth="root_secret")
    invoke(unkey.keys.whoami, request={"key": "k"})
    with pytest.raises(httpx.ReadError):
        invoke(unkey.keys.whoami, request={"key": "k"})
    starts = [text.split("\n")[0] for text, _ in records]
    assert starts == ["Request:", "Response:", "Request:", "Response:", "Request:", "Request Exception"]
    assert records[-1][1] == {"exc_info": True}
    assert not any("root_secret" in text for text, _ in records)
    assert "Status Code: 500" in records[1][0]


# From here on: where the two packages differ, each with what either does.


@difference("default server")
def test_default_server(server, monkeypatch):
    """A root key never goes to somebody else's domain by default."""
    server.answers = [KEY]
    whoami(server.client(server_url=None))
    monkeypatch.setenv("KEYSTEAD_URL", "http://env")
    whoami(server.client(server_url=None))
    hosts = [request.url.host for request in server.requests]
    assert hosts == differs(["127.0.0.1", "env"], ["api.unkey.dev"] * 2)


@difference("`UNKEY_BEARER_AUTH`")
def test_token_of_the_environment(server, monkeypatch):
    """The documented variable works here."""
    monkeypatch.setenv("UNKEY_BEARER_AUTH", "env")
    server.answers = [KEY]
    whoami(server.client(bearer_auth=None))
    assert server.requests[0].headers.get("authorization") == differs("Bearer env", None)


@difference("retries of `keys.verify` and `ratelimits.limit`")
@pytest.mark.parametrize("name", ["keys.verify", "ratelimits.limit"])
def test_what_spends(server, invoke, name):
    """What may spend is repeated by default only where the server cannot have acted."""
    case = FIRST[name]
    server.answers = [
        httpx.ConnectError("x"),
        (503, {}),
        (500, refusal("INTERNAL_SERVER_ERROR")),
        (200, case["answer"]),
    ]
    call = {"operation": operation_of(server.client(), name), **case["arguments"]}
    if IS_OURS:
        with pytest.raises(models.ErrInternalServerError):
            invoke(**call)
    else:
        invoke(**call)
    assert len(server.requests) == differs(3, 4)


@difference("429 with a retry configuration of the caller's")
def test_limits_with_a_configuration(server, invoke):
    """Whoever gives a configuration has 429 repeated, no sooner than Retry-After says; otherwise it is told at once."""
    server.answers = [httpx.Response(429, json=refusal("TOO_MANY_REQUESTS"), headers={"retry-after": "7"}), KEY]
    unkey = server.client(retry_config=EXPLICIT)
    if IS_OURS:
        assert invoke(unkey.keys.whoami, request={"key": "k"}).object.id == "key_1"
    else:
        with pytest.raises(models.ErrTooManyRequests):
            invoke(unkey.keys.whoami, request={"key": "k"})
    assert server.slept == differs([7], [])


@difference("repeated POST requests")
def test_idempotency_key(server, invoke):
    """What creates or changes something carries an Idempotency-Key, the same on its retries."""
    server.answers = [(500, {}), {"keyId": "k", "key": "s"}]
    unkey = server.client()
    invoke(unkey.keys.create, request={"api_id": "a"})
    invoke(unkey.keys.create, request={"api_id": "a"})
    first, again, other = (request.headers.get("idempotency-key") for request in server.requests)
    assert first == again
    assert (first is None, first == other) == differs((False, False), (True, True))


@difference("no `timeout_ms`")
def test_no_timeout(server):
    """Without `timeout_ms` a call ends all the same, and a supplied client keeps its own timeout."""
    server.answers = [KEY]
    whoami(server.client(client=httpx.Client(transport=httpx.MockTransport(server.handle), timeout=7)))
    assert set(server.requests[0].extensions["timeout"].values()) == {differs(7, None)}


@difference("headers of a call in another case")
def test_case_of_headers(server):
    """A header of a call replaces ours whatever its case."""
    server.answers = [KEY]
    whoami(server.client(), http_headers={"AUTHORIZATION": "Basic x"})
    sent = server.requests[0].headers.get_list("authorization")
    assert sent == differs(["Basic x"], ["Bearer root", "Basic x"])


@difference("text of connection failures")
def test_unreachable(server):
    """The text of a connection failure names the server."""
    server.answers = [httpx.ConnectError("refused")]
    with pytest.raises(httpx.ConnectError) as caught:
        whoami(server.client(), retries=None)
    named = "no connection to http://h (refused): is a server running there?"
    assert str(caught.value) == differs(named, "refused")


@pytest.fixture
def opened(monkeypatch, server):
    """The clients that a package opens itself, talking to the server without a network."""
    clients = []

    def recorded(kind):
        class Recorded(kind):
            def __init__(self, **settings):
                super().__init__(**({"transport": httpx.MockTransport(server.handle)} | settings))
                clients.append(self)

        return Recorded

    monkeypatch.setattr(httpx, "Client", recorded(httpx.Client))
    monkeypatch.setattr(httpx, "AsyncClient", recorded(httpx.AsyncClient))
    server.answers = [KEY]
    return clients


@difference("after `with`")
def test_after_with(opened):
    """A client that was left works again."""
    unkey = Unkey("t", server_url="http://h")
    with unkey:
        whoami(unkey)
    if IS_OURS:
        assert whoami(unkey).object.id == "key_1"
    else:
        with pytest.raises(AttributeError):
            whoami(unkey)


@difference("after `async with`")
def test_after_async_with(opened):
    """Leaving `async with` closes the blocking connections too."""

    async def use():
        async with Unkey("t", server_url="http://h") as unkey:
            whoami(unkey)
            await unkey.keys.whoami_async(request={"key": "k"})
            return unkey

    unkey = asyncio.run(use())
    closed = [client.is_closed for client in opened if isinstance(client, httpx.Client)]
    assert (unkey is not None, closed) == (True, [differs(True, False)])


@difference("a group that outlives its client")
def test_group_of_a_temporary(opened):
    """A group keeps what it needs alive."""
    keys = Unkey("t", server_url="http://h").keys
    gc.collect()
    if IS_OURS:
        assert keys.whoami(request={"key": "k"}).object.id == "key_1"
    else:
        with pytest.raises(AttributeError):
            keys.whoami(request={"key": "k"})


@difference("a second event loop")
def test_second_event_loop(opened):
    """Each event loop gets connections of its own, which cannot outlive it."""
    unkey = Unkey("t", server_url="http://h")
    for _ in range(2):
        asyncio.run(unkey.keys.whoami_async(request={"key": "k"}))
    assert len([client for client in opened if isinstance(client, httpx.AsyncClient)]) == differs(2, 1)


@difference("success or error bodies that do not fit")
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"{", headers={"content-type": "application/json"}),
        httpx.Response(200, json={"id": 3}),
        httpx.Response(404, json={"error": {"code": "NOT_FOUND"}}),
        httpx.Response(404, content=b"{", headers={"content-type": "application/json"}),
    ],
)
def test_misfitting_bodies(server, invoke, answer):
    """A body that does not fit is an SDKError with all of the answer."""
    server.answers = [answer]
    with pytest.raises(Exception, match=r".") as caught:
        invoke(server.client().keys.whoami, request={"key": "k"})
    assert isinstance(caught.value, models.SDKError if IS_OURS else ValueError)


@difference("unknown enum values in answers")
def test_unknown_enum_values(server):
    """A value that this release does not know is kept."""
    server.answers = [{"valid": False, "code": "NEW", "requestId": "r"}]
    if IS_OURS:
        result = server.client().keys.verify(request={"key": "k"})
        assert result.v1_keys_verify_key_response.code == "NEW"
    else:
        with pytest.raises(pydantic.ValidationError):
            server.client().keys.verify(request={"key": "k"})


@difference("429 of `apis.delete`")
def test_limits_of_deletion(server):
    """A 429 that is a limit, not a protection, is told as one."""
    server.answers = [(429, refusal("TOO_MANY_REQUESTS"))]
    with pytest.raises(models.ErrTooManyRequests if IS_OURS else pydantic.ValidationError):
        server.client().apis.delete(request={"api_id": "a"})


@difference("exceptions")
def test_exceptions(server):
    """Exceptions know status, request and answer, and can be pickled."""
    server.answers = [(404, refusal("NOT_FOUND"))]
    with pytest.raises(models.ErrNotFound) as caught:
        whoami(server.client())
    names = [n for n in ("status_code", "request_id", "reason", "raw_response") if hasattr(caught.value, n)]
    assert names == differs(["status_code", "request_id", "reason", "raw_response"], [])
    if IS_OURS:
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@difference("`{}` for a member that may be null")
def test_empty_object(server):
    """An empty object in place of a text is not taken for absence."""
    request = {"key_id": "k", "name": {}}
    if IS_OURS:
        with pytest.raises(pydantic.ValidationError):
            server.client().keys.update(request=request)
    else:
        server.client().keys.update(request=request)
        assert server.requests[0].content == b'{"keyId":"k"}'


@difference("dumps of models with nullable members")
def test_dumps_of_nullable_models():
    """Dumps have the names asked for, and nothing is lost."""
    dumped = models.UpdateKeyRequestBody(key_id="k", name=None, owner_id="o").model_dump()
    assert dumped == differs(
        {"key_id": "k", "name": None, "owner_id": "o"}, {"keyId": None, "name": None, "ownerId": None}
    )


@difference("result of `identities.list`")
def test_dump_of_a_listing(server):
    """The result of a listing can be dumped as JSON."""
    server.answers = [{"identities": [], "total": 0}]
    result = server.client().identities.list()
    if IS_OURS:
        assert json.loads(result.model_dump_json(by_alias=True))["object"]["total"] == 0
    else:
        with pytest.raises(ValueError, match="serialize"):
            result.model_dump_json()


@difference("`next()` after `list_async`")
def test_next_after_async(server):
    """The next page after `list_async` is awaited."""
    server.answers = [{"identities": [], "total": 0, "cursor": "c"}]

    async def use():
        page = (await server.client().identities.list_async()).next()
        is_awaitable = inspect.isawaitable(page)
        return is_awaitable, (await page if is_awaitable else page).object.total

    assert asyncio.run(use()) == (differs(True, False), 0)


@difference("`next()`")
def test_next_keeps_settings(server):
    """The next page is asked for with the first call's own settings."""
    server.answers = [{"identities": [], "total": 0, "cursor": "c"}]
    server.client().identities.list(http_headers={"x-mine": "1"}, server_url="http://other").next()
    second = server.requests[1]
    assert (second.headers.get("x-mine"), second.url.host) == differs(("1", "other"), (None, "h"))


@difference("`end` of `analytics.get_verifications`")
def test_end(server):
    """Without an end the numbers go up to now."""
    server.answers = [[]]
    server.client().analytics.get_verifications(request={"api_id": "a", "start": 1})
    assert server.requests[0].url.params.get("end") == differs(None, "1746664158001")


@difference("debug records")
def test_secrets_in_debug_records(server):
    """Keys are not readable in debug records."""
    records = []

    class Logger:
        def debug(self, msg, *args, **kwargs):
            records.append(msg % args)

    server.answers = [{"keyId": "k", "key": "new_secret"}]
    server.client(debug_logger=Logger()).keys.create(request={"api_id": "a"})
    assert ("new_secret" in records[1]) == differs(False, True)


@difference("hooks, and the generator's helpers in `utils`")
def test_hooks():
    """What served the generator is not there."""
    assert hasattr(Unkey().sdk_configuration, "get_hooks") == differs(False, True)
    assert hasattr(unkey_py.utils, "FieldMetadata") == differs(False, True)


@difference("`import unkey_py`")
def test_import():
    """Importing the client does not import pydantic and httpx."""
    program = "import sys; from unkey_py import Unkey; print('pydantic' in sys.modules, 'httpx' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert printed.split() == differs(["False", "False"], ["True", "True"])


@difference("dependencies")
def test_dependencies():
    """No library is needed for reading one member of a listing."""
    needed = " ".join(importlib.metadata.requires("unkey.py") or [])
    assert ("jsonpath" in needed) == differs(False, True)
    assert {"httpx", "pydantic"} <= set(re.findall(r"[a-z]+", needed))


def test_differences_are_listed():
    """Each row of the table of differences has a test here, and each such test a row."""
    page = (HERE.parents[1] / "docs" / "differences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!What |---)(.*?) \|", page, flags=re.MULTILINE)
    assert sorted(rows) == sorted(DIFFERENCES)
