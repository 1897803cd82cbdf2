"""The course of a call: what to send, when to try again, what the answer means. It does no I/O and never waits.

`call` is a generator: it yields `Send` and `Wait`, and is given a response or an exception for the first and
nothing for the second. The drivers in `basesdk` do the rest, one blocking, one not, so both behave the same.
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from unkey_py import models
from unkey_py._debug import Journal, mask_body
from unkey_py._operation import Operation, Options, answer_adapter, request_adapter
from unkey_py._version import __user_agent__
from unkey_py.types import UNSET
from unkey_py.utils.retries import BackoffStrategy, RetryConfig, waits

if TYPE_CHECKING:
    import httpx

    from unkey_py.sdkconfiguration import SDKConfiguration

R = TypeVar("R")

# status → candidates, of which the one that declares the code of the body is raised (sdk.md section 10)
_REFUSALS: dict[int, tuple[str, ...]] = {
    400: ("ErrBadRequest",),
    401: ("ErrUnauthorized",),
    403: ("ErrForbidden",),
    404: ("ErrNotFound",),
    409: ("ErrConflict",),
    412: ("ErrPreconditionFailed",),
    429: ("ErrTooManyRequests",),
    500: ("ErrInternalServerError",),
}

_encode = json.JSONEncoder(separators=(",", ":")).encode
_DEFAULT_RETRIES = RetryConfig("backoff", BackoffStrategy(50, 1000, 1.5, 30000), True)


# Plain classes: a dataclass takes a millisecond to make, which every import of the package would pay.
class Send:
    """Send this request and give back the response, or throw what happened instead."""

    __slots__ = ("request",)

    def __init__(self, request: httpx.Request) -> None:
        self.request = request


class Wait:
    """Let this many seconds pass."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Steps = Generator[Send | Wait, Any, R]


@dataclass(frozen=True, slots=True)
class Chance:
    """What a call takes from outside.

    A clock in milliseconds that never jumps, seconds from [0, 1), 32 hexadecimal digits, and the time of day in
    seconds since the epoch.
    """

    now_ms: Callable[[], int] = lambda: round(time.monotonic() * 1000)
    jitter: Callable[[], float] = random.random
    idempotency_key: Callable[[], str] = lambda: secrets.token_hex(16)
    now_s: Callable[[], float] = time.time


def call(
    operation: Operation[R],
    request: Any,
    server: str,
    options: Options,
    config: SDKConfiguration,
    build_request: Callable[..., httpx.Request],
    chance: Chance,
) -> Steps[R]:
    """Steps of one call, returning its result.

    Raises `pydantic.ValidationError` for a request that does not fit before anything is sent, one of the typed
    exceptions or `models.SDKError` for an answer that is not a success, and httpx's exceptions as they are.
    """
    http_request = _compose(operation, request, server, options, config, build_request, chance)
    retrying = _Retrying(operation, options, config, chance)
    response = yield from _attempts(http_request, retrying, Journal(config.debug_logger))
    return _result(operation, http_request, response)


def _compose(
    operation: Operation[Any],
    request: Any,
    server: str,
    options: Options,
    config: SDKConfiguration,
    build_request: Callable[..., httpx.Request],
    chance: Chance,
) -> httpx.Request:
    headers = {"Accept": "application/json", "user-agent": __user_agent__}
    params = content = None
    if operation.request is not None:
        from unkey_py.types.basemodel import to_wire

        wire = to_wire(request_adapter(operation).validate_python(request))
        if operation.method == "GET":
            params = {name: value for name, value in wire.items() if value is not None}
        else:
            content = _encode(wire)
            headers["content-type"] = "application/json"
    if (token := config.token()) is not None:
        headers["Authorization"] = token if token.lower().startswith("bearer ") else f"Bearer {token}"
    if operation.changes:
        headers["Idempotency-Key"] = chance.idempotency_key()
    all_headers: dict[str, str] | httpx.Headers = headers
    import httpx

    if options.http_headers is not None:
        # Not merged as dicts: the caller's headers replace ours whatever their case.
        all_headers = httpx.Headers(headers)
        all_headers.update(options.http_headers)
    timeout_ms = config.timeout_ms if options.timeout_ms is None else options.timeout_ms
    return build_request(
        operation.method,
        server + operation.path,
        params=params,
        content=content,
        data=None,
        files=None,
        headers=all_headers,
        timeout=httpx.USE_CLIENT_DEFAULT if timeout_ms is None else timeout_ms / 1000,
    )


class _Retrying:
    """Whether, and after how many seconds, a call is tried again; the clock starts when this is made."""

    __slots__ = ("_chance", "_chosen", "_is_cautious", "_pauses", "_started_ms")

    def __init__(self, operation: Operation[Any], options: Options, config: SDKConfiguration, chance: Chance) -> None:
        chosen = config.retry_config if options.retries is UNSET else options.retries
        self._is_cautious = operation.spends and chosen is UNSET
        self._chosen: Any = chosen
        self._chance = chance
        self._started_ms = chance.now_ms()
        self._pauses: Iterator[float] | None = None

    def pause(self, outcome: httpx.Response | Exception) -> float | None:
        """Seconds to wait before the next attempt, None when this outcome is final."""
        import httpx

        retries = _DEFAULT_RETRIES if self._chosen is UNSET else self._chosen
        if not isinstance(retries, RetryConfig) or retries.strategy != "backoff":
            return None
        limited = outcome if isinstance(outcome, httpx.Response) and outcome.status_code == 429 else None
        if limited is not None:
            # Only as the caller asks: without a wish of theirs it is told at once, as published, to shed load by.
            may_retry = self._chosen is not UNSET and not _is_protected(limited)
        elif self._is_cautious:
            may_retry = _server_cannot_have_acted(outcome)
        else:
            may_retry = _failed(outcome, retries)
        if not may_retry:
            return None
        if self._pauses is None:
            self._pauses = waits(retries.backoff, self._chance.now_ms, self._chance.jitter, self._started_ms)
        pause = next(self._pauses, None)
        return pause if pause is None or limited is None else self._no_sooner(pause, limited, retries)

    def _no_sooner(self, pause: float, response: httpx.Response, retries: RetryConfig) -> float | None:
        """The pause that the server asks for, if longer; None when it would end after the caller's patience."""
        asked = _retry_after(response.headers.get("retry-after"), self._chance.now_s)
        if asked <= pause:
            return pause
        elapsed_ms = self._chance.now_ms() - self._started_ms
        return asked if elapsed_ms + asked * 1000 <= retries.backoff.max_elapsed_time else None


def _server_cannot_have_acted(outcome: httpx.Response | Exception) -> bool:
    import httpx

    if isinstance(outcome, Exception):
        return isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return outcome.status_code == 503


def _failed(outcome: httpx.Response | Exception, retries: RetryConfig) -> bool:
    import httpx

    if isinstance(outcome, Exception):
        is_connection_error = isinstance(outcome, httpx.ConnectError | httpx.TimeoutException)
        return retries.retry_connection_errors and is_connection_error
    return 500 <= outcome.status_code <= 599


def _is_protected(response: httpx.Response) -> bool:
    """Whether a 429 says that an API is protected against deletion, which waiting does not change."""
    return b'"DELETE_PROTECTED"' in response.content


def _retry_after(header: str | None, now_s: Callable[[], float]) -> float:
    """Seconds that the header asks to wait, 0 when it does not ask or cannot be read."""
    if header is None:
        return 0.0
    if header.isascii() and header.isdigit():
        return float(header)
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(header).timestamp() - now_s()
    except (ValueError, OverflowError):
        return 0.0


def _attempts(request: httpx.Request, retrying: _Retrying, journal: Journal) -> Steps[httpx.Response]:
    while True:
        journal.request(request)
        try:
            response: httpx.Response = yield Send(request)
        except Exception as error:
            journal.failure()
            pause = retrying.pause(error)
            if pause is None:
                _say_where(error, request)
                raise
        else:
            journal.response(response)
            pause = None if response.is_success else retrying.pause(response)
            if pause is None:
                return response
        yield Wait(pause)


def _say_where(error: Exception, request: httpx.Request) -> None:
    """Add the server to the text of an exception that says no more than "Connection refused"."""
    import httpx

    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        url = request.url
        server = f"{url.scheme}://{url.netloc.decode('ascii')}"
        if server not in str(error):
            error.args = (
                f"no connection to {server} ({str(error) or type(error).__name__}): is a server running there?",
            )


def _result(operation: Operation[R], request: httpx.Request, response: httpx.Response) -> R:
    from pydantic import ValidationError

    content_type = response.headers.get("content-type")
    is_json = (content_type or "").partition(";")[0].strip().lower() == "application/json"
    if response.status_code == operation.success_status and is_json:
        try:
            answer = answer_adapter(operation).validate_json(response.content)
        except ValidationError as error:
            # The body of a success may hold a new key, and the text of an exception ends in logs.
            raise _sdk_error("Response body does not fit", response, mask_body(response.text)) from error
        http_meta = models.HTTPMetadata(request=request, response=response)
        members = {"http_meta": http_meta, operation.attribute: answer}
        if operation.is_paged:
            members["next"] = _no_page
        return cast("R", getattr(models, operation.result)(**members))
    if is_json and (refusal := _refusal(operation, response)) is not None:
        raise refusal
    if 400 <= response.status_code <= 599:
        raise _sdk_error("API error occurred", response, response.text)
    message = f"Unexpected response received (code: {response.status_code}, type: {content_type})"
    # Of another status, or declared as something else by a proxy, it may still be an answer with a new key.
    secrets: set[str] = set()
    masked = mask_body(response.text, secrets)
    raise _sdk_error(message, response, masked if secrets else response.text)


def _refusal(operation: Operation[Any], response: httpx.Response) -> Exception | None:
    """The typed exception for an error, None when its status has none or its body does not fit.

    Among several for one status, the one that declares the body's code; failing that, the first.
    """
    from pydantic import ValidationError

    chosen: Any = None
    status = response.status_code
    for name in operation.refusals.get(status) or _REFUSALS.get(status, ()):
        try:
            data = getattr(models, f"{name}Data").model_validate_json(response.content)
        except ValidationError:
            continue
        refusal = getattr(models, name)(data=data)
        if data.error.code.name in type(data.error.code).__members__:
            chosen = refusal
            break
        chosen = chosen or refusal
    if chosen is not None:
        reason = json.loads(response.content)["error"].get("reason")
        chosen.reason = reason if isinstance(reason, str) else None
        chosen.raw_response = response
    return cast("Exception | None", chosen)


def _no_page() -> None:
    return None


def _sdk_error(message: str, response: httpx.Response, body: str) -> models.SDKError:
    return models.SDKError(message, response.status_code, body, response)
