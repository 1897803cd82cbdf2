"""verifyKey, answered before any router: decode, decide, encode (contract keys-v1 §4).

The exact request `POST /v1/keys.verifyKey` comes straight from the protocol class. Requests for it in another dress (a
query string, say) come through the router and end in the same function.
"""

from functools import partial
from urllib.parse import quote

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from keystead.contract.fields import content_check
from keystead.core import answers
from keystead.core.errors import KeysteadError
from keystead.core.verify import Outcome, Verdict, VerificationRequest
from keystead.http.decoding import BodyDecoder
from keystead.http.exchange import Exchange
from keystead.http.lane_answers import Answer, LaneAnswers, request_id_line
from keystead.http.operations import VERIFY_KEY
from keystead.http.services import Services

_decode = Decoder(VerificationRequest).decode
_decode_with_care = BodyDecoder(VerificationRequest).decode
_check = content_check(VerificationRequest)


def headers_of(verdict: Verdict, request_id: str) -> bytes:
    """The header lines of the answer: the request's id, and the limit that rejected, if one did."""
    lines = request_id_line(request_id)
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
        self._now_ms = services.clock.now_ms
        self._next_id = services.request_ids.next
        self._verification = services.verification
        self._start = services.verification.start
        self._answers = LaneAnswers(VERIFY_KEY.name, services.problems)

    def __call__(self, exchange: Exchange, body: bytes) -> None:
        """Answer one request."""
        request_id = self._next_id()
        try:
            request = read_request(body, exchange.content_type)
            now_ms = self._now_ms()
            verdict = self._start(request, now_ms, request_id, exchange.client_address)
        except KeysteadError as failure:
            self._answers.fail(exchange, failure, request_id)
            return
        if isinstance(verdict, Verdict):
            exchange.respond(200, answers.encode(verdict, request_id), headers_of(verdict, request_id))
        elif verdict is not None:
            verdict.then = partial(self._conclude, exchange, request_id)
        else:
            answer = self._verify(request, now_ms, request_id, exchange.client_address)
            self._answers.later(exchange, answer, request_id)

    def _conclude(self, exchange: Exchange, request_id: str, verdict: Verdict | None, error: Exception | None) -> None:
        if verdict is not None:
            exchange.respond(200, answers.encode(verdict, request_id), headers_of(verdict, request_id))
        else:
            self._answers.fail_with(exchange, error, request_id)

    async def _verify(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Answer:
        verdict = await self._verification.verify(request, now_ms, request_id, client_address)
        return answers.encode(verdict, request_id), headers_of(verdict, request_id)


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
