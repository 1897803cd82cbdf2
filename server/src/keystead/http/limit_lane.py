"""ratelimits.limit, answered before any router: decode, authenticate, decide, encode (contract other-v1 §4.1).

The exact request `POST /v1/ratelimits.limit` comes straight from the protocol class. Requests for it in another dress
come through the router and end in the same use case.
"""

from msgspec.json import Encoder

from keystead.contract.ratelimits import Limit
from keystead.core.errors import KeysteadError
from keystead.http.decoding import BodyDecoder
from keystead.http.exchange import Exchange
from keystead.http.lane_answers import Answer, LaneAnswers, request_id_line
from keystead.http.operations import LIMIT
from keystead.http.services import Services
from keystead.service.access import Caller, Origin

_decode = BodyDecoder(Limit).decode
_encode = Encoder().encode


class LimitLane:
    """The lane of the protocol class; calls that have to wait, for storage or a commit, go on as tasks."""

    def __init__(self, services: Services) -> None:
        self._now_ms = services.clock.now_ms
        self._next_id = services.request_ids.next
        self._access = services.access
        self._ratelimits = services.ratelimits
        self._answers = LaneAnswers(LIMIT.name, services.problems)

    def __call__(self, exchange: Exchange, body: bytes) -> None:
        """Answer one request."""
        request_id = self._next_id()
        try:
            request = _decode(body, _text(exchange.content_type))
            origin = Origin(self._now_ms(), request_id, exchange.client_address, _text(exchange.user_agent))
            authorization = _utf8(exchange.authorization)
            caller = self._access.authenticate_at_once(authorization, origin)
            # A root key is charged once: what comes later goes on with the caller, if there is one.
            answer = None if caller is None else self._ratelimits.limit_at_once(caller, request)
        except KeysteadError as failure:
            self._answers.fail(exchange, failure, request_id)
            return
        if answer is not None:
            exchange.respond(200, _encode(answer), request_id_line(request_id))
            return
        self._answers.later(exchange, self._limit(caller, authorization, origin, request), request_id)

    async def _limit(self, caller: Caller | None, authorization: str | None, origin: Origin, request: Limit) -> Answer:
        if caller is None:
            caller = await self._access.authenticate(authorization, origin)
        answer = await self._ratelimits.limit(caller, request)
        return _encode(answer), request_id_line(origin.request_id)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _utf8(value: bytes | None) -> str | None:
    # A root key is hashed over its UTF-8 bytes.
    return None if value is None else value.decode("utf-8", "replace")
