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

_DEFAULT_RETRIES = RetryConfig("backoff", BackoffStrategy(50, 1000, 1.5, 30000), True)


@dataclass(frozen=True, slots=True)
class Send:
    """Send this request and give back the response, or throw what happened instead."""

    request: httpx.Request


@dataclass(frozen=True, slots=True)
class Wait:
    """Let this many seconds pass."""

    seconds: float


Steps = Generator[Send | Wait, Any, R]


@dataclass(frozen=True, slots=True)
class Chance:
    """What a call takes from outside: a clock in milliseconds, seconds from [0, 1), 32 hexadecimal digits."""

    now_ms: Callable[[], int] = lambda: round(time.monotonic() * 1000)
    jitter: Callable[[], float] = random.random
    idempotency_key: Callable[[], str] = lambda: secrets.token_hex(16)


def call(
    operation: Operation[R],
    request: Any,
    options: Options,
    config: SDKConfiguration,
    build_request: Callable[..., httpx.Request],
    chance: Chance,
) -> Steps[R]:
    """Steps of one call, returning its result.

    Raises `pydantic.ValidationError` for a request that does not fit before anything is sent, one of the typed
    exceptions or `models.SDKError` for an answer that is not a success, and httpx's exceptions as they are.
    """
    http_request = _compose(operation, request, options, config, build_request, chance)
    may_retry, pauses = _retry_policy(operation, options, config, chance)
    journal = Journal(config.debug_logger)
    response = yield from _attempts(http_request, may_retry, pauses, journal)
    return _result(operation, http_request, response)


def _compose(
    operation: Operation[Any],
    request: Any,
    options: Options,
    config: SDKConfiguration,
    build_request: Callable[..., httpx.Request],
    chance: Chance,
) -> httpx.Request:
    import httpx

    headers = {"Accept": "application/json", "user-agent": __user_agent__}
    params = content = None
    if operation.request is not None:
        from unkey_py.types.basemodel import to_wire

        wire = to_wire(request_adapter(operation).validate_python(request))
        if operation.method == "GET":
            params = {name: value for name, value in wire.items() if value is not None}
        else:
            content = json.dumps(wire, separators=(",", ":"))
            headers["content-type"] = "application/json"
    if (token := config.token()) is not None:
        headers["Authorization"] = token if token.lower().startswith("bearer ") else f"Bearer {token}"
    if operation.changes:
        headers["Idempotency-Key"] = chance.idempotency_key()
    # Not merged as dicts: the caller's headers replace ours whatever their case.
    all_headers = httpx.Headers(headers)
    all_headers.update(options.http_headers)

    server = config.get_server_details()[0] if options.server_url is None else options.server_url
    timeout_ms = config.timeout_ms if options.timeout_ms is None else options.timeout_ms
    return build_request(
        operation.method,
        server.removesuffix("/") + operation.path,
        params=params,
        content=content,
        data=None,
        files=None,
        headers=all_headers,
        timeout=httpx.USE_CLIENT_DEFAULT if timeout_ms is None else timeout_ms / 1000,
    )


def _retry_policy(
    operation: Operation[Any], options: Options, config: SDKConfiguration, chance: Chance
) -> tuple[Callable[[httpx.Response | Exception], bool], Iterator[float]]:
    import httpx

    chosen = config.retry_config if options.retries is UNSET else options.retries
    retries = _DEFAULT_RETRIES if chosen is UNSET else chosen
    if not isinstance(retries, RetryConfig) or retries.strategy != "backoff":
        return lambda outcome: False, iter(())

    def server_cannot_have_acted(outcome: httpx.Response | Exception) -> bool:
        if isinstance(outcome, Exception):
            return isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return outcome.status_code == 503

    def failed(outcome: httpx.Response | Exception) -> bool:
        if isinstance(outcome, Exception):
            is_connection_error = isinstance(outcome, httpx.ConnectError | httpx.TimeoutException)
            return retries.retry_connection_errors and is_connection_error
        return 500 <= outcome.status_code <= 599

    is_cautious = operation.spends and chosen is UNSET
    pauses = waits(retries.backoff, chance.now_ms, chance.jitter)
    return server_cannot_have_acted if is_cautious else failed, pauses


def _attempts(
    request: httpx.Request,
    may_retry: Callable[[httpx.Response | Exception], bool],
    pauses: Iterator[float],
    journal: Journal,
) -> Steps[httpx.Response]:
    while True:
        journal.request(request)
        try:
            response: httpx.Response = yield Send(request)
        except Exception as error:
            journal.failure()
            pause = next(pauses, None) if may_retry(error) else None
            if pause is None:
                raise
        else:
            journal.response(response)
            pause = next(pauses, None) if may_retry(response) else None
            if pause is None:
                return response
        yield Wait(pause)


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
    raise _sdk_error(message, response, response.text)


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
