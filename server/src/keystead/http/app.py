"""Everything but the hot lane: the table of operations behind Starlette's router, the OpenAPI document and its page."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keystead.core import answers
from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.core.idempotency import Repeatable, check_idempotency_key, request_hash
from keystead.http import openapi
from keystead.http.decoding import BodyDecoder, QueryDecoder
from keystead.http.operations import GET, OPERATIONS, VERIFY_KEY, Operation
from keystead.http.problems import INTERNAL, NO_SUCH_ROUTE
from keystead.http.services import Services
from keystead.http.verify_lane import header_text
from keystead.service.access import Caller, Origin

if TYPE_CHECKING:
    from keystead.http.metrics import MetricsPage

_log = structlog.get_logger()

JSON = "application/json; charset=UTF-8"

Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(services: Services, metrics: "MetricsPage | None" = None) -> Starlette:
    """The ASGI application; with `GET /metrics` if its page is given."""
    routes = [
        Route(operation.path, _endpoint(operation, services), methods=[operation.method]) for operation in OPERATIONS
    ]
    pages = [
        Route("/openapi.json", _page(services, openapi.document_bytes, JSON)),
        Route("/docs", _page(services, openapi.page_bytes, "text/html; charset=utf-8")),
    ]
    if metrics is not None:
        pages.append(Route("/metrics", _metrics(services, metrics)))

    async def unknown(_request: Request, _error: Exception) -> Response:
        # A known path with another method is as unknown as any (keys-v1 §1.8).
        return _failed(services, NO_SUCH_ROUTE, services.request_ids.next())

    app = Starlette(routes=[*routes, *pages], exception_handlers={404: unknown, 405: unknown})
    app.router.redirect_slashes = False
    return app


def _endpoint(operation: Operation, services: Services) -> Endpoint:
    decode = _request_reader(operation)
    act = _verification(services) if operation is VERIFY_KEY else _action(operation, services)

    async def endpoint(request: Request) -> Response:
        origin = Origin(
            now_ms=services.clock.now_ms(),
            request_id=services.request_ids.next(),
            client_address=request.client.host if request.client else None,
            user_agent=request.headers.get("user-agent"),
        )
        try:
            decoded = await decode(request)
            if operation.keeps_answers:
                origin = await _with_idempotency_key(operation, request, origin)
            return await act(request, origin, decoded)
        except KeysteadError as failure:
            # Storage itself tells when it takes no writes; a line for each refused call would only fill the disk more.
            if failure.code is ErrorCode.INTERNAL_SERVER_ERROR and failure.reason is not Reason.UNAVAILABLE:
                _log.error("operation_failed", operation=operation.name, request_id=origin.request_id, exc_info=True)
            return _failed(services, failure, origin.request_id)
        except Exception:
            _log.exception("operation_failed", operation=operation.name, request_id=origin.request_id)
            return _failed(services, INTERNAL, origin.request_id)

    return endpoint


def _request_reader(operation: Operation) -> Callable[[Request], Awaitable[Any]]:
    if operation.method == GET:
        from_query = QueryDecoder[Any](operation.request).decode

        async def read_query(request: Request) -> Any:
            return from_query(request.scope["query_string"])

        return read_query
    from_body = BodyDecoder[Any](operation.request).decode

    async def read_body(request: Request) -> Any:
        return from_body(await request.body(), request.headers.get("content-type"))

    return read_body


async def _with_idempotency_key(operation: Operation, request: Request, origin: Origin) -> Origin:
    value = request.headers.get("idempotency-key")
    if value is None:
        return origin
    call = Repeatable(operation.name, check_idempotency_key(value), request_hash(await request.body()))
    return msgspec.structs.replace(origin, repeatable=call)


Act = Callable[[Request, Origin, Any], Awaitable[Response]]


def _action(operation: Operation, services: Services) -> Act:
    encode = msgspec.json.Encoder().encode

    async def act(request: Request, origin: Origin, decoded: Any) -> Response:
        if operation.refuse is not None:
            operation.refuse(decoded)
        if operation.refuse_at is not None:
            operation.refuse_at(decoded, origin.now_ms)
        if operation.authenticated:
            header = request.headers.get("authorization")
            caller = await services.access.authenticate(_as_utf8(header), origin, operation.known_needs(decoded))
        else:
            caller = Caller("", "", frozenset(), origin)
        answer = await operation.handle(services, caller, decoded)
        return _answered(operation.success, encode(answer), origin.request_id)

    return act


def _verification(services: Services) -> Act:
    async def act(_request: Request, origin: Origin, decoded: Any) -> Response:
        verdict = await services.verification.verify(decoded, origin.now_ms, origin.request_id, origin.client_address)
        response = _answered(200, answers.encode(verdict, origin.request_id), origin.request_id)
        if verdict.limit is not None and not verdict.limit.accepted:
            response.headers["Unkey-Ratelimit-Triggered"] = header_text(verdict.limit.name)
        return response

    return act


def _page(services: Services, content: Callable[[], bytes], media_type: str) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        headers = {"Unkey-Request-Id": services.request_ids.next(), "Content-Type": media_type}
        return Response(content(), headers=headers)

    return endpoint


def _metrics(services: Services, page: "MetricsPage") -> Endpoint:
    from keystead.http.metrics import MEDIA_TYPE

    async def endpoint(_request: Request) -> Response:
        headers = {"Unkey-Request-Id": services.request_ids.next(), "Content-Type": MEDIA_TYPE}
        return Response(await asyncio.to_thread(page.render), headers=headers)

    return endpoint


def _answered(status: int, body: bytes, request_id: str) -> Response:
    return Response(body, status, {"Content-Type": JSON, "Unkey-Request-Id": request_id})


def _failed(services: Services, failure: KeysteadError, request_id: str) -> Response:
    status, body = services.problems.envelope(failure, request_id)
    response = _answered(status, body, request_id)
    if failure.retry_after_s is not None:
        response.headers["Retry-After"] = str(failure.retry_after_s)
    return response


def _as_utf8(header: str | None) -> str | None:
    """Header values come as Latin-1; a root key is hashed over its UTF-8 bytes."""
    return None if header is None else header.encode("latin-1").decode("utf-8", "replace")
