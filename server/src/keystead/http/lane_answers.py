"""What the hot lanes share: how they fail, and how they answer a call that memory alone can not answer."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from keystead.core.errors import KeysteadError
from keystead.http.exchange import Exchange
from keystead.http.problems import INTERNAL, Problems

_log = structlog.get_logger()

Answer = tuple[bytes, bytes]
"""The body of a 200 answer, and its header lines."""


def request_id_line(request_id: str) -> bytes:
    """The header line that every answer has."""
    return b"unkey-request-id: %b\r\n" % request_id.encode("ascii")


class LaneAnswers:
    """Answers of one operation that are no immediate success."""

    def __init__(self, operation: str, problems: Problems) -> None:
        """`operation` is what the log calls it."""
        self._operation = operation
        self._problems = problems
        self._tasks: set[asyncio.Task[None]] = set()

    def fail(self, exchange: Exchange, failure: KeysteadError, request_id: str) -> None:
        """Answer with a failure."""
        status, body = self._problems.envelope(failure, request_id)
        headers = request_id_line(request_id)
        if failure.retry_after_s is not None:
            headers += b"retry-after: %d\r\n" % failure.retry_after_s
        exchange.respond(status, body, headers)

    def fail_with(self, exchange: Exchange, error: Exception | None, request_id: str) -> None:
        """Answer with whatever went wrong: what is no `KeysteadError` is logged and answered as internal."""
        if isinstance(error, KeysteadError):
            self.fail(exchange, error, request_id)
            return
        _log.error("operation_failed", operation=self._operation, request_id=request_id, exc_info=error)
        self.fail(exchange, INTERNAL, request_id)

    def later(self, exchange: Exchange, answer: Coroutine[Any, Any, Answer], request_id: str) -> None:
        """Answer with what `answer` returns or raises, once it does."""
        task = asyncio.get_running_loop().create_task(self._answer(exchange, answer, request_id))
        # The loop keeps only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange, answer: Coroutine[Any, Any, Answer], request_id: str) -> None:
        try:
            body, headers = await answer
        except Exception as error:
            self.fail_with(exchange, error, request_id)
        else:
            exchange.respond(200, body, headers)
