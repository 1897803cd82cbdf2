"""A transport without a socket: the client is whoever holds it, so every order of events can be had at will."""

import asyncio
from collections.abc import Callable
from typing import Any


class MemoryTransport(asyncio.Transport):
    """Keeps what the server writes in `output`, and what it does to the connection in the flags beside it.

    `on_change` is called after each of these. Writing after the end raises AssertionError: a real transport loses it.
    """

    def __init__(self, extra: dict[str, Any], *, is_tls: bool = False) -> None:
        """`extra` is what `get_extra_info` tells; under TLS one direction can not end alone."""
        super().__init__(extra)
        self.output = bytearray()
        self.reads = True
        self.is_closed = False
        self.is_aborted = False
        self.has_eof = False
        self.unread = 0
        self.on_change: Callable[[], None] = lambda: None
        self._is_tls = is_tls

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what the server writes."""
        assert not self.is_closed
        assert not self.has_eof
        self.output += data
        self.on_change()

    def can_write_eof(self) -> bool:
        """As TCP, or as TLS."""
        return not self._is_tls

    def write_eof(self) -> None:
        """Note the end of output."""
        self.has_eof = True
        self.on_change()

    def close(self) -> None:
        """Note the end."""
        self.is_closed = True
        self.on_change()

    def abort(self) -> None:
        """Note the unfriendly end."""
        self.is_aborted = self.is_closed = True
        self.on_change()

    def is_closing(self) -> bool:
        """Whether close or abort was called."""
        return self.is_closed

    def pause_reading(self) -> None:
        """Note it."""
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        """Note it."""
        assert not self.reads
        self.reads = True
        self.on_change()

    def get_write_buffer_size(self) -> int:
        """What the test says the client has not read."""
        return self.unread
