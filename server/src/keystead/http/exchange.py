"""What a hot lane sees of HTTP."""

from collections.abc import Callable
from typing import Protocol


class Exchange(Protocol):
    """One request of a hot lane, to be answered exactly once.

    The fields are the request's only until it is answered: a lane that answers later takes what it needs first.
    """

    @property
    def content_type(self) -> bytes | None:
        """The header's value as sent."""
        ...

    @property
    def authorization(self) -> bytes | None:
        """The header's value as sent; a secret."""
        ...

    @property
    def user_agent(self) -> bytes | None:
        """The header's value as sent."""
        ...

    @property
    def client_address(self) -> str | None:
        """Address of the client, without a port; None when it cannot be known."""
        ...

    def respond(self, status: int, body: bytes, extra_headers: bytes = b"") -> None:
        """Answer with a JSON `body`; `extra_headers` are header lines, each ended by CRLF.

        Does nothing when the client is gone. A second answer raises RuntimeError, unless the next request has begun
        meanwhile: it would be taken for that one's, so a lane must not answer twice.
        """
        ...


# Answers the request it is given, at once or later; the bytes are the complete body.
Lane = Callable[[Exchange, bytes], None]

# (status, message) → (body, header lines): the answer to a request that HTTP itself refuses.
Refuse = Callable[[int, str], tuple[bytes, bytes]]
