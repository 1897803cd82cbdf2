"""Failures as the contract's error envelope (keys-v1 §1.6, DECISIONS D1).

One table maps a code to its status. Whatever is not a `KeysteadError` becomes "internal" outside and a log line inside.
"""

import msgspec
from msgspec import UNSET, UnsetType

from keystead.contract.fields import or_unset
from keystead.core.errors import ErrorCode, KeysteadError, Reason

STATUSES = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.PRECONDITION_FAILED: 412,
    ErrorCode.TOO_MANY_REQUESTS: 429,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
}

INTERNAL = KeysteadError(ErrorCode.INTERNAL_SERVER_ERROR, "an unexpected failure; it has been logged")
NO_SUCH_ROUTE = KeysteadError(ErrorCode.NOT_FOUND, "no such route")


class ErrorBody(msgspec.Struct, rename="camel"):
    """The member `error`; `reason` is the finer cause, when there is one."""

    code: ErrorCode
    docs: str
    message: str
    request_id: str
    reason: Reason | UnsetType = UNSET


class ErrorEnvelope(msgspec.Struct):
    """What every answer but a success carries."""

    error: ErrorBody


class Problems:
    """Words failures; `docs_url` is the start of `error.docs`, the code comes after a slash."""

    def __init__(self, docs_url: str) -> None:
        self._docs_url = docs_url

    def envelope(self, failure: KeysteadError, request_id: str) -> tuple[int, bytes]:
        """Status and body for a failure."""
        status = STATUSES[failure.code]
        if failure.reason is Reason.UNAVAILABLE:
            status = 503
        return status, self.body(failure, request_id)

    def body(self, failure: KeysteadError, request_id: str) -> bytes:
        """The envelope alone, for answers whose status HTTP itself decides."""
        docs = f"{self._docs_url}/{failure.code.value}"
        return msgspec.json.encode(
            ErrorEnvelope(ErrorBody(failure.code, docs, failure.message, request_id, or_unset(failure.reason)))
        )

    def refusal(self, status: int, message: str, request_id: str) -> bytes:
        """The envelope of a refusal of HTTP itself: 4xx are BAD_REQUEST, 5xx INTERNAL_SERVER_ERROR (D2)."""
        code = ErrorCode.BAD_REQUEST if status < 500 else ErrorCode.INTERNAL_SERVER_ERROR
        return self.body(KeysteadError(code, message), request_id)
