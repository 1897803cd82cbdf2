"""One life of the real server: everything behind the socket, put together by `keystead.assembly` on simulated parts."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keystead.assembly import Application, Outside, open_application, open_storage
from keystead.config import Settings
from keystead.http.server import HttpServer
from proof.simulation.loop import SimLoop
from proof.simulation.network import SimTransport
from proof.simulation.scheduler import Life, LifeEnded, Scheduler
from proof.simulation.threads import SimThreads

_EXECUTOR_WORKERS = 6


class Ordered(dict[Any, None]):
    """A set that is iterated in the order of addition: a set of objects is iterated in the order of addresses."""

    def add(self, item: Any) -> None:
        """As of a set."""
        self[item] = None

    def discard(self, item: Any) -> None:
        """As of a set."""
        self.pop(item, None)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.keys()))


class ServerLife:
    """A server from its start to its end. `on_ready` and `on_end` are called on its fiber."""

    def __init__(
        self,
        scheduler: Scheduler,
        life: Life,
        settings: Settings,
        outside: Outside,
        connections: Iterable[sqlite3.Connection],
        on_error: Callable[[dict[str, Any]], None],
        on_ready: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """`connections` are those to its databases, for tidying up."""
        self.life = life
        self.application: Application | None = None
        """While it serves."""
        self.failure: BaseException | None = None
        """Why it could not start or stop in order."""
        self._scheduler = scheduler
        self._settings = settings
        self._outside = outside
        self._connections = connections
        self._on_ready = on_ready
        self._on_end = on_end
        self._executor = SimThreads(scheduler, life).executor(_EXECUTOR_WORKERS, f"asyncio{life.number}")
        self.loop = SimLoop(scheduler, life, self._executor, on_error)
        self._stopping = asyncio.Event()
        self._transports: list[SimTransport] = []
        self._server: HttpServer | None = None

    def run(self) -> None:
        """The whole life; the target of its first fiber."""
        try:
            self.loop.run_until_complete(self._serve())
        except LifeEnded:
            pass
        except Exception as error:
            self.failure = error
        self.application = None
        # Also after an orderly end: what is still there would die with the process.
        self._scheduler.kill(self.life)
        self._scheduler.outlive_the_others()
        self.life.is_unwinding = True
        self.loop.unwind()
        self.loop.close()
        for connection in self._connections:
            connection.close()
        for transport in self._transports:
            transport.end()
        self._on_end()

    def accept(self, transport: SimTransport) -> None:
        """A client has connected; from outside the server."""
        self._transports = [known for known in self._transports if not known.is_closing()]
        self._transports.append(transport)
        self.loop.call_soon_threadsafe(self._begin, transport)

    def stop(self) -> None:
        """Ask for an orderly end, as SIGTERM does; from outside the server."""
        self.loop.call_soon_threadsafe(self._stopping.set)

    def _begin(self, transport: SimTransport) -> None:
        if self._server is None or self._stopping.is_set():
            transport.abort()
            return
        config = self._server.config
        protocol: Any = config.http_protocol_class(config, self._server.server_state, {}, self.loop)  # type: ignore[call-arg]
        transport.begin(protocol)

    async def _serve(self) -> None:
        async with (
            open_storage(self._settings, self._outside) as storage,
            open_application(storage) as application,
        ):
            server = HttpServer(
                application.app, application.protocol, shutdown_timeout_s=self._settings.shutdown_timeout_s
            )
            _prepare(server)
            application.protocol.live = Ordered()  # type: ignore[assignment]
            self._server = server
            self.application = application
            self._on_ready()
            await self._stopping.wait()
            await server.shutdown()


def _prepare(server: HttpServer) -> None:
    """What `uvicorn.Server` does before it listens."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    server.servers = []
    server.server_state.connections = Ordered()  # type: ignore[assignment]
    server.server_state.tasks = Ordered()  # type: ignore[assignment]
