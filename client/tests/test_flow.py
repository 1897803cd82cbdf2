"""The course of a call, driven by hand: no client, no network, no time (sdk.md sections 6 to 10)."""

import httpx
import pytest

from unkey_py import BaseSDK, models
from unkey_py._flow import Chance, Send, Wait, call
from unkey_py._operation import Operation, Options
from unkey_py.sdkconfiguration import SDKConfiguration
from unkey_py.types import UNSET
from unkey_py.utils import BackoffStrategy, RetryConfig
from unkey_py.utils.logger import NoOpLogger

READ = Operation("whoami", "POST", "/v1/keys.whoami", "WhoamiRequestBody", "WhoamiResponse")
SPEND = Operation("x", "POST", "/v1/x", "WhoamiRequestBody", "WhoamiResponse", spends=True)
CHANGE = Operation("x", "POST", "/v1/x", "WhoamiRequestBody", "WhoamiResponse", changes=True)
DELETE_API = Operation(
    "deleteApi", "POST", "/v1/apis.deleteApi", "DeleteAPIRequestBody", "DeleteAPIResponse",
    refusals={429: ("ErrDeleteProtected", "ErrTooManyRequests")},
)  # fmt: skip
KEY = {"id": "key_1", "createdAt": 5, "enabled": True}
EXPLICIT = RetryConfig("backoff", BackoffStrategy(100, 10_000, 2, 60_000), True)


class Course:
    """A call under way; `outcomes` are given to it in turn, and what it waited is kept."""

    def __init__(self, operation=READ, retries=UNSET, retry_config=UNSET, request=None, **options):
        self.waited, self.sent, self.now_ms = [], [], 0
        config = SDKConfiguration(
            None, False, None, False, NoOpLogger(), models.Security(bearer_auth="t"), "http://s", 0,
            retry_config=retry_config, timeout_ms=options.pop("default_timeout_ms", None),
        )  # fmt: skip
        chance = Chance(lambda: self.now_ms, lambda: 0.25, lambda: "f" * 32, lambda: 100.0)
        server = config.server(options.pop("server_url", None))
        steps = Options(retries, **{"timeout_ms": None, "http_headers": None} | options)
        body = request or ({"api_id": "a"} if operation is DELETE_API else {"key": "k"})
        self.steps = call(operation, body, server, steps, config, httpx.Client().build_request, chance)

    def run(self, *outcomes):
        outcomes = iter(outcomes)
        try:
            step = next(self.steps)
            while True:
                if isinstance(step, Wait):
                    self.waited.append(step.seconds)
                    self.now_ms += round(step.seconds * 1000)
                    step = next(self.steps)
                    continue
                assert isinstance(step, Send)
                self.sent.append(step.request)
                outcome = next(outcomes)
                failed = isinstance(outcome, Exception)
                step = self.steps.throw(outcome) if failed else self.steps.send(outcome)
        except StopIteration as end:
            return end.value


def answer(status, body=None, **more):
    more.setdefault("json", body)
    return httpx.Response(status, **more)


CONNECT, TIMEOUT, READ_ERROR = httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.ReadError("x")
OK = answer(200, KEY)


def repeated(course, *outcomes):
    return course.run(*outcomes).object.id == "key_1" and len(course.sent) == len(outcomes)


@pytest.mark.parametrize("failure", [answer(500), answer(503), answer(599), CONNECT, TIMEOUT])
def test_default_retries(failure):
    """Server errors, connection failures and timeouts are tried again, by the published waits."""
    course = Course()
    assert repeated(course, failure, failure, failure, OK)
    assert course.waited == pytest.approx([0.05 + 0.25, 0.075 + 0.25, 0.1125 + 0.25])


@pytest.mark.parametrize("status", [408, 429, 400, 302])
def test_other_statuses_are_not_retried(status):
    """No other status is tried again."""
    course = Course()
    with pytest.raises(Exception, match=r"."):
        course.run(answer(status), OK)
    assert len(course.sent) == 1


@pytest.mark.parametrize(
    ("header", "waited"),
    [
        (None, 0.35),
        ("0", 0.35),
        ("7", 7),
        ("Thu, 01 Jan 1970 00:01:49 GMT", 9),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.35),
        ("soon", 0.35),
        ("-1", 0.35),
    ],
)
@pytest.mark.parametrize("operation", [READ, SPEND, CHANGE])
@pytest.mark.parametrize("level", ["retries", "retry_config"])
def test_being_limited_is_retried_as_asked(operation, level, header, waited):
    """Whoever gives a retry configuration has 429 repeated too, no sooner than Retry-After says."""
    course = Course(operation, **{level: EXPLICIT})
    assert repeated(course, answer(429, {}, headers={"retry-after": header} if header else {}), OK)
    assert course.waited == pytest.approx([waited])


def test_retry_after_beyond_the_budget():
    """A Retry-After that ends after the caller's patience is not waited for: the refusal is told at once."""
    course = Course(retries=EXPLICIT)
    with pytest.raises(models.SDKError) as caught:
        course.run(answer(429, {}, headers={"retry-after": "40"}), answer(429, {}, headers={"retry-after": "21"}), OK)
    assert (course.waited, caught.value.status_code) == ([40], 429)


@pytest.mark.parametrize("off", [UNSET, None])
def test_being_limited_is_told_at_once_by_default(off):
    """Without a retry configuration of the caller's a 429 is raised at once, as published, Retry-After or not."""
    course = Course(retries=off)
    with pytest.raises(models.SDKError):
        course.run(answer(429, {}, headers={"retry-after": "1"}), OK)
    assert course.waited == []


def test_protection_is_not_retried(refusal):
    """A 429 that says an API is protected against deletion is final whatever the configuration."""
    course = Course(DELETE_API, retries=EXPLICIT)
    with pytest.raises(models.ErrDeleteProtected):
        course.run(answer(429, refusal("DELETE_PROTECTED")))


@pytest.mark.parametrize(("error", "why"), [(httpx.ConnectError("refused"), "refused"), (httpx.ConnectTimeout(""), "")])
def test_unreachable(error, why):
    """An exception of connecting names the server, without the credentials of its address, and once only."""
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            Course(retries=None, server_url="http://user:url_secret@host:81/prefix").run(error)
        assert caught.value is error
        text = f"no connection to http://host:81 ({why or 'ConnectTimeout'}): is a server running there?"
        assert str(error) == text


def test_other_transport_errors_are_not_retried():
    """A connection that breaks after it was made is not tried again, and the exception surfaces as it is."""
    course = Course()
    with pytest.raises(httpx.ReadError) as caught:
        course.run(READ_ERROR, OK)
    assert caught.value is READ_ERROR


@pytest.mark.parametrize("failure", [CONNECT, httpx.ConnectTimeout("x"), httpx.PoolTimeout("x"), answer(503)])
def test_spending_is_retried_where_the_server_cannot_have_acted(failure):
    """An operation that spends is tried again if no connection was made or the server answered 503 (D15)."""
    assert repeated(Course(SPEND), failure, OK)


@pytest.mark.parametrize("failure", [TIMEOUT, answer(500), answer(502), httpx.WriteTimeout("x")])
def test_spending_is_not_retried_otherwise(failure):
    """An operation that spends is not tried again by default once the server may have acted (D15)."""
    course = Course(SPEND)
    with pytest.raises((httpx.TimeoutException, models.SDKError)):
        course.run(failure, OK)
    assert len(course.sent) == 1


@pytest.mark.parametrize("level", ["retries", "retry_config"])
def test_spending_is_retried_as_asked(level):
    """Whoever gives a retry configuration gets the published formula for spending operations too (D15)."""
    course = Course(SPEND, **{level: EXPLICIT})
    assert repeated(course, answer(500), TIMEOUT, OK)
    assert course.waited == [0.1 + 0.25, 0.2 + 0.25]


@pytest.mark.parametrize("off", [None, "whatever", RetryConfig("linear", EXPLICIT.backoff, True)])
@pytest.mark.parametrize("level", ["retries", "retry_config"])
def test_retrying_can_be_switched_off(off, level):
    """None, a foreign object and an unknown strategy switch retrying off at either level."""
    course = Course(**{level: off})
    with pytest.raises(models.SDKError):
        course.run(answer(503), OK)


def test_call_wins_over_constructor():
    """The configuration given with a call replaces the constructor's."""
    assert repeated(Course(retries=EXPLICIT, retry_config=None), answer(500), OK)


def test_connection_errors_may_be_excepted():
    """Without `retry_connection_errors` only statuses are tried again."""
    quiet = RetryConfig("backoff", EXPLICIT.backoff, False)
    assert repeated(Course(retries=quiet), answer(500), OK)
    with pytest.raises(httpx.ConnectError):
        Course(retries=quiet).run(CONNECT, OK)


def test_giving_up():
    """Once the time is up the last answer is mapped like any other; the last wait may overrun the limit."""
    course = Course(retries=RetryConfig("backoff", BackoffStrategy(1000, 1000, 1.5, 2500), True))
    with pytest.raises(models.SDKError) as caught:
        course.run(*[answer(500, {"oops": 1}) for _ in range(9)])
    assert course.waited == [1, 1, 1]
    assert caught.value.status_code == 500


def test_no_elapsed_time_still_allows_a_second_attempt():
    """With `max_elapsed_time` 0 there is a retry while the clock has not moved."""
    assert repeated(Course(retries=RetryConfig("backoff", BackoffStrategy(1, 1, 1, 0), True)), answer(500), OK)


def test_one_request_for_all_attempts():
    """The request is built once, so its Idempotency-Key is the same on every attempt (D15)."""
    course = Course(CHANGE)
    course.run(answer(500), answer(500), OK)
    assert course.sent[0] is course.sent[1] is course.sent[2]
    assert course.sent[0].headers["idempotency-key"] == "f" * 32


def test_default_idempotency_keys_are_fresh():
    """Each call draws an Idempotency-Key of 32 hexadecimal digits of its own."""
    first, second = BaseSDK._chance.idempotency_key(), BaseSDK._chance.idempotency_key()
    assert first != second
    assert len(bytes.fromhex(first)) == len(bytes.fromhex(second)) == 16


REFUSALS = [
    (400, "BAD_REQUEST", models.ErrBadRequest),
    (401, "UNAUTHORIZED", models.ErrUnauthorized),
    (403, "FORBIDDEN", models.ErrForbidden),
    (404, "NOT_FOUND", models.ErrNotFound),
    (409, "CONFLICT", models.ErrConflict),
    (412, "PRECONDITION_FAILED", models.ErrPreconditionFailed),
    (429, "TOO_MANY_REQUESTS", models.ErrTooManyRequests),
    (500, "INTERNAL_SERVER_ERROR", models.ErrInternalServerError),
]


@pytest.mark.parametrize(("status", "code", "error"), REFUSALS)
def test_refusals(refusal, status, code, error):
    """Each documented status becomes its exception, with everything known about the answer on it."""
    response = answer(status, refusal(code, reason="FINER"))
    with pytest.raises(error) as caught:
        Course(retries=None).run(response)
    raised = caught.value
    assert (raised.data.error.code, raised.data.error.message) == (code, "m")
    assert (raised.status_code, raised.request_id, raised.reason) == (status, "req_2", "FINER")
    assert raised.raw_response is response
    assert raised.args == ()
    assert repr(raised) == f"{error.__name__}()"
    assert str(raised) == f'{{"error":{{"code":"{code}","docs":"d","message":"m","requestId":"req_2"}}}}'
    assert not isinstance(raised, models.SDKError)


def test_unknown_code_of_a_known_status(refusal):
    """A code this release does not know does not keep the exception from being raised."""
    with pytest.raises(models.ErrForbidden) as caught:
        Course().run(answer(403, refusal("SOMETHING_NEW")))
    assert caught.value.data.error.code == "SOMETHING_NEW"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("DELETE_PROTECTED", models.ErrDeleteProtected),
        ("TOO_MANY_REQUESTS", models.ErrTooManyRequests),
        ("SOMETHING_NEW", models.ErrDeleteProtected),
    ],
)
def test_two_exceptions_for_one_status(refusal, code, error):
    """429 of apis.delete is told apart by its code (D1)."""
    with pytest.raises(error):
        Course(DELETE_API).run(answer(429, refusal(code)))


@pytest.mark.parametrize(
    "response",
    [
        answer(418, {"error": {}}),
        answer(413, {"error": {"code": "BAD_REQUEST", "docs": "d", "message": "m", "requestId": "r"}}),
        answer(404, text="gone"),
        answer(404, json={"error": {"code": "NOT_FOUND"}}),
        answer(404, json=["list"]),
        answer(404, content=b"{not json", headers={"content-type": "application/json"}),
        answer(404, content=b"{}", headers={"content-type": "application/problem+json"}),
    ],
)
def test_other_errors(response):
    """Any other error status, and any body that is not the documented one, becomes an SDKError with all of it."""
    with pytest.raises(models.SDKError) as caught:
        Course().run(response)
    error = caught.value
    assert (error.message, error.status_code) == ("API error occurred", response.status_code)
    assert (error.body, error.raw_response) == (response.text, response)
    assert str(error) == f"API error occurred: Status {response.status_code}\n{response.text}"


@pytest.mark.parametrize(
    ("response", "media_type"),
    [
        (answer(201, KEY), "application/json"),
        (answer(302, text=""), "text/plain; charset=utf-8"),
        (answer(200, content=b"hi", headers={"content-type": "text/html"}), "text/html"),
        (httpx.Response(204), "None"),
    ],
)
def test_unexpected_responses(response, media_type):
    """A status or media type that no operation declares becomes an SDKError that names both."""
    with pytest.raises(models.SDKError) as caught:
        Course().run(response)
    code = response.status_code
    assert caught.value.message == f"Unexpected response received (code: {code}, type: {media_type})"


def test_media_type_parameters():
    """Case and parameters of the media type do not matter."""
    response = httpx.Response(200, json=KEY, headers={"content-type": "Application/JSON; charset=utf-8"})
    assert Course().run(response).object.id == "key_1"


@pytest.mark.parametrize("content", [b"{", b'{"id": 3, "key": "sk_secret"}'])
def test_misfitting_success(content):
    """A success whose body does not fit becomes an SDKError that does not repeat a key it may hold."""
    with pytest.raises(models.SDKError, match="does not fit") as caught:
        Course().run(answer(200, content=content, headers={"content-type": "application/json"}))
    assert "sk_secret" not in str(caught.value)
    assert caught.value.raw_response.content == content


@pytest.mark.parametrize(("status", "media_type"), [(200, "text/plain"), (200, None), (201, "application/json")])
def test_success_in_another_dress(status, media_type):
    """A success of another status or media type, through a proxy, does not have its key repeated in a log either."""
    content = b'{"keyId": "key_1", "key": "sk_secret"}'
    with pytest.raises(models.SDKError, match="Unexpected response") as caught:
        Course().run(answer(status, content=content, headers={"content-type": media_type} if media_type else {}))
    assert "sk_secret" not in str(caught.value)
    assert "key_1" in str(caught.value)
    assert caught.value.raw_response.content == content


def test_null_body():
    """A body that is null leaves the answer of the result empty."""
    assert Course().run(answer(200, None, content=b"null", headers={"content-type": "application/json"})).object is None


def test_unknown_members_are_ignored():
    """Members this release does not know are dropped without a word."""
    assert Course().run(answer(200, KEY | {"new": 1})).object.created_at == 5


@pytest.mark.parametrize(
    ("options", "timeout"),
    [({}, 5.0), ({"timeout_ms": 1500}, 1.5), ({"default_timeout_ms": 2000}, 2.0), ({"timeout_ms": 0}, 0.0)],
)
def test_timeouts(options, timeout):
    """Milliseconds of the call, else of the constructor, else whatever the HTTP client is set to."""
    course = Course(**options)
    course.run(OK)
    assert set(course.sent[0].extensions["timeout"].values()) == {timeout}


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (None, "http://s/v1/keys.whoami"),
        ("https://other/prefix/", "https://other/prefix/v1/keys.whoami"),
        ("", "/v1/keys.whoami"),
    ],
)
def test_server_of_a_call(url, sent):
    """A call's server replaces the client's, prefix kept; an empty one is used literally."""
    course = Course(server_url=url)
    course.run(OK)
    assert str(course.sent[0].url) == sent


def test_headers_of_a_call():
    """A call's headers come last and replace any of ours, whatever their case."""
    ours = {"AUTHORIZATION": "Basic x", "User-Agent": "me", "ACCEPT": "*/*", "idempotency-key": "i" * 16}
    course = Course(CHANGE, http_headers=ours)
    course.run(OK)
    for name, value in ours.items():
        assert course.sent[0].headers.get_list(name) == [value]


def test_headers_must_be_text():
    """A header that is neither text nor bytes is a TypeError."""
    with pytest.raises(TypeError):
        Course(http_headers={"x": 1}).run(OK)
