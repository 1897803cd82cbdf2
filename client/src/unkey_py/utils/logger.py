"""Where debug records go (sdk.md section 14)."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import httpx


class Logger(Protocol):
    """Anything that takes debug records in printf style, such as a `logging.Logger`."""

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Take one record."""


class NoOpLogger:
    """A logger that drops everything."""

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Drop the record."""


def get_default_logger() -> Logger:
    """Logger `unkey_py` at level DEBUG when the environment's `UNKEY_DEBUG` is not empty, else a silent one."""
    if os.environ.get("UNKEY_DEBUG"):
        logging.basicConfig(level=logging.DEBUG)
        return logging.getLogger("unkey_py")
    return NoOpLogger()


def get_body_content(req: httpx.Request) -> str:
    """Body of a request as text, or a note that it is a stream."""
    return req.content.decode() if hasattr(req, "_content") else "<streaming body>"
