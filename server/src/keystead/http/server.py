"""uvicorn with our protocol class, our sockets and an orderly end."""

import asyncio
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import uvicorn

from keystead.http.protocol import ProtocolFactory


class HttpServer(uvicorn.Server):
    """Serves until SIGTERM or SIGINT, then finishes what was accepted; a second signal ends it at once.

    `on_ready` is called when requests are answered. `tls` are the certificate's and the key's files.
    """

    def __init__(
        self,
        app: Any,
        protocol: ProtocolFactory,
        *,
        shutdown_timeout_s: float,
        tls: tuple[Path | None, Path | None] | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            app,
            http=protocol,  # type: ignore[arg-type]
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            # Its default believes X-Forwarded-For from this machine; whom we believe is the operator's choice.
            proxy_headers=False,
            interface="asgi3",
            access_log=False,
            timeout_graceful_shutdown=math.ceil(shutdown_timeout_s),
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
        super().__init__(config)
        self._protocol = protocol
        self._on_ready = on_ready

    async def serve(self, sockets: list[socket] | None = None) -> None:
        """Serve until told to stop; afterwards nobody is answered any more, however it came to an end."""
        try:
            await super().serve(sockets)
        finally:
            # Without a shutdown when the start was interrupted, or failed after the sockets were opened.
            for server in getattr(self, "servers", ()):
                server.close()
            self._cut_off()

    async def startup(self, sockets: list[socket] | None = None) -> None:
        """Open for requests, then tell."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Finish what was accepted; then cut off whoever is left, as what answers rest on is about to be closed."""
        await super().shutdown(sockets)
        self._cut_off()

    def _cut_off(self) -> None:
        for connection in tuple(self._protocol.live):
            connection.cut_off()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ask to stop at a signal. uvicorn would raise the signal again afterwards, before we have closed our files."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop; at the second signal without waiting for anybody."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
