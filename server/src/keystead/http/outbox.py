"""The one door through which answers leave.

Invariant: whatever has been recorded about a request is handed to the system before a byte of its answer is, because
`before_sending` runs in front of every batch and nothing else writes to a transport.
"""

import asyncio
from collections.abc import Callable

import structlog

_log = structlog.get_logger()


class Outbox:
    """Collects the output of all connections and writes it once per turn of the event loop.

    `before_sending` is called in front of each batch, without arguments. If it fails, the failure is logged and the
    answers leave nevertheless: they tell the truth about what has been done, and the client must hear it.
    """

    __slots__ = ("_before_sending", "_call_soon", "_pending")

    def __init__(self, before_sending: Callable[[], None]) -> None:
        self._before_sending = before_sending
        # (transport, bytes): write; (transport, b""): end of our output; (transport, None): close.
        self._pending: list[tuple[asyncio.Transport, bytes | None]] = []
        self._call_soon: Callable[[Callable[[], None]], object] | None = None

    def send(self, transport: asyncio.Transport, data: bytes | None) -> None:
        """Write `data` with the next batch; b"" ends our side of the connection, None closes it."""
        pending = self._pending
        if not pending:
            if self._call_soon is None:
                self._call_soon = asyncio.get_running_loop().call_soon
            self._call_soon(self.flush)
        pending.append((transport, data))

    def close(self, transport: asyncio.Transport) -> None:
        """Close `transport` after everything sent to it before."""
        self.send(transport, None)

    def flush(self) -> None:
        """Write everything now, in the order sent."""
        pending = self._pending
        if not pending:
            return
        self._pending = []
        try:
            self._before_sending()
        except Exception:
            _log.exception("before_sending_failed", answers=len(pending))
        # uvloop gathers the writes of one turn and sends those of a connection with one system call, so joining
        # them here would only copy.
        for transport, data in pending:
            try:
                if data:
                    transport.write(data)
                elif data is None:
                    transport.close()
                else:
                    transport.write_eof()
            except Exception as error:
                # A transport that was closed meanwhile; the other connections must not suffer for it.
                _log.debug("answer_not_written", error=repr(error))
                transport.abort()
