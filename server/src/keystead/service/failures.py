"""The failures that use cases share, worded once."""

from collections.abc import Sequence

from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.core.permissions import in_words


def not_found(kind: str, name: str) -> KeysteadError:
    """NOT_FOUND for an object that is absent or of another workspace."""
    return KeysteadError(ErrorCode.NOT_FOUND, f"{kind} {name} not found")


def bad_request(message: str) -> KeysteadError:
    """BAD_REQUEST; the message names the field."""
    return KeysteadError(ErrorCode.BAD_REQUEST, message)


def precondition_failed(message: str, reason: Reason | None = None) -> KeysteadError:
    """PRECONDITION_FAILED: the object is not set up for this, or protected."""
    return KeysteadError(ErrorCode.PRECONDITION_FAILED, message, reason)


def conflict(message: str) -> KeysteadError:
    """CONFLICT: it exists already."""
    return KeysteadError(ErrorCode.CONFLICT, message)


def missing_permission(alternatives: Sequence[str]) -> KeysteadError:
    """FORBIDDEN; the message names the permissions of which one would have sufficed (DECISIONS D1)."""
    return KeysteadError(
        ErrorCode.FORBIDDEN, f"the root key needs {in_words(alternatives)}", Reason.INSUFFICIENT_PERMISSIONS
    )
