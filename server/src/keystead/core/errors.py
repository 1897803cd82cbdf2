"""The one family of failures, and the codes they carry (contract D1).

A refusal (a key that is expired, a limit that is exhausted) is a value, never one of these. What is raised here ends a
call: `http/problems.py` maps the code to a status, anything else becomes "internal" outside and a log line inside.
"""

from enum import StrEnum


class ErrorCode(StrEnum):
    """What kind of failure; the words are the wire's (DECISIONS D1)."""

    BAD_REQUEST = "BAD_REQUEST"
    UNAUTHORIZED = "UNAUTHORIZED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class Reason(StrEnum):
    """The finer cause beside a code, sent as `error.reason` (DECISIONS D1)."""

    INSUFFICIENT_PERMISSIONS = "INSUFFICIENT_PERMISSIONS"
    RATE_LIMITED = "RATE_LIMITED"
    DELETE_PROTECTED = "DELETE_PROTECTED"
    DISABLED = "DISABLED"
    EXPIRED = "EXPIRED"
    USAGE_EXCEEDED = "USAGE_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"


class KeysteadError(Exception):
    """A call that could not be carried out.

    `message` is for the caller: it names the field or object and never holds a secret or internals. `retry_after_s` is
    sent as `Retry-After` when the same call may succeed after so many seconds.
    """

    def __init__(
        self, code: ErrorCode, message: str, reason: Reason | None = None, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.retry_after_s = retry_after_s


class StartupError(Exception):
    """The server cannot start or a command cannot run; the message tells the operator what to do about it."""
