"""verifyKey, answered before any router: decode, decide, encode (contract keys-v1 §4).

The exact request `POST /v1/keys.verifyKey` comes straight from the protocol class. Requests for it in another dress (a
query string, say) come through the router and end in the same function.
"""

import asyncio
from urllib.parse import quote

import structlog
from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from keystead.contract.fields import content_check
from keystead.core import answers
from keystead.core.errors import KeysteadError
from keystead.core.verify import Outcome, Verdict, VerificationRequest
from keystead.http.decoding import BodyDecoder
from keystead.http.problems import INTERNAL
from keystead.http.protocol import Exchange
from keystead.http.services import Services
from keystead.service.verification import Later

_log = structlog.get_logger()

_decode = Decoder(VerificationRequest).decode
_decode_with_care = BodyDecoder(VerificationRequest).decode
_check = content_check(VerificationRequest)

_REQUEST_ID = b"unkey-request-id: %b\r\n"


def headers_of(verdict: Verdict, request_id: str) -> bytes:
    """The header lines of the answer: the request's id, and the limit that rejected, if one did."""
    lines = _REQUEST_ID % request_id.encode("ascii")
    if verdict.outcome is Outcome.RATE_LIMITED and verdict.limit is not None:
        lines += b"unkey-ratelimit-triggered: %b\r\n" % header_text(verdict.limit.name).encode("ascii")
    return lines


def header_text(name: str) -> str:
    """`name` if a header can carry it, else percent-encoded: the caller's text must not be able to end a header.

    Blanks around a header's value are not part of it (RFC 9110 5.5).
    """
    return name if name.isascii() and name.isprintable() and name == name.strip() else quote(name, safe="")


class VerifyLane:
    """The lane of the protocol class; calls that have to wait, for storage or a commit, go on as tasks."""

    def __init__(self, services: Services) -> None:
        self._problems = services.problems
        self._now_ms = services.clock.now_ms
        self._next_id = services.request_ids.next
        self._start = services.verification.start
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, exchange: Exchange, body: bytes) -> None:
        """Answer one request."""
        request_id = self._next_id()
        try:
            request = read_request(body, exchange.content_type)
            verdict = self._start(request, self._now_ms(), request_id, exchange.client_address)
        except KeysteadError as failure:
            self._fail(exchange, failure, request_id)
            return
        if isinstance(verdict, Verdict):
            _answer(exchange, verdict, request_id)
        else:
            task = asyncio.get_running_loop().create_task(self._answer_later(exchange, verdict, request_id))
            # The loop keeps only weak references to tasks.
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer_later(self, exchange: Exchange, later: Later, request_id: str) -> None:
        try:
            verdict = await later
        except KeysteadError as failure:
            self._fail(exchange, failure, request_id)
        except Exception:
            _log.exception("verification_failed", request_id=request_id)
            self._fail(exchange, INTERNAL, request_id)
        else:
            _answer(exchange, verdict, request_id)

    def _fail(self, exchange: Exchange, failure: KeysteadError, request_id: str) -> None:
        status, body = self._problems.envelope(failure, request_id)
        exchange.respond(status, body, _REQUEST_ID % request_id.encode("ascii"))


def _answer(exchange: Exchange, verdict: Verdict, request_id: str) -> None:
    exchange.respond(200, answers.encode(verdict, request_id), headers_of(verdict, request_id))


def read_request(body: bytes, content_type: bytes | None) -> VerificationRequest:
    """The decoded body. Raises BAD_REQUEST."""
    if content_type == b"application/json":
        try:
            # Members that are not decoded have to be UTF-8 too.
            body.decode()
            request = _decode(body)
        except (ValidationError, DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if request.tags:
                _check(request, "")
            return request
    return _decode_with_care(body, content_type.decode("latin-1") if content_type else None)
