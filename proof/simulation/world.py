"""A world with one server in it, its disk, its clients and a seed that decides everything that is left to chance.

    with World(seed=7) as world:
        world.run(scenario(world))

    async def scenario(world):
        await world.start()
        client = world.connect()
        answer = await client.call("keys.verifyKey", {"key": "..."})  # None when the server died first
        world.crash(power_loss=True)
        await world.restart()

Client code is ordinary coroutines on a loop of the world's own (`asyncio.create_task`, `gather`, `sleep` in virtual
time work); no crash of the server touches them. `world.run` raises what they raise.
"""

import asyncio
import gc
import logging
import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from keystead.assembly import Application, Outside
from keystead.config import Settings
from proof.simulation.disk import Disk
from proof.simulation.files import Files
from proof.simulation.loop import SimLoop
from proof.simulation.network import ClientConnection, SimTransport
from proof.simulation.scheduler import Life, Scheduler
from proof.simulation.server import ServerLife
from proof.simulation.threads import SimThreads
from proof.simulation.trace import Trace
from proof.simulation.vfs import Vfs

T = TypeVar("T")

START_MS = 1_767_225_630_000
"""What the server's clock shows when a world begins: 2026-01-01T00:00:30Z."""

DATABASE = "keystead.db"
ANALYTICS = "keystead-analytics.db"
"""Names of the databases on the disk."""

ROOT_KEY = "keystead_root_key_of_the_simulation"

_FRESH_WORLDS = 0.25
_COPY = "copy-to-look-at"
_KEPT_STEPS = 4_000
_KEPT_LINES = 500


@cache
def _leave_modules_alone() -> None:
    # Looking at them again and again would take longer than the lives of the servers.
    gc.freeze()


def _tidy_memory() -> None:
    gc.collect()
    _leave_modules_alone()


@cache
def the_vfs() -> Vfs:
    """The file system under SQLite, of which a process has one. Raises vfs.Unsupported."""
    return Vfs()


class StartFailed(Exception):
    """The server did not start; the cause says why."""


class WorldClock:
    """The server's wall clock: virtual time, and what it has been set forwards and backwards."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.offset_ms = 0

    def now_ms(self) -> int:
        """The present instant, Unix ms."""
        return START_MS + self._scheduler.now_us // 1000 + self.offset_ms


class World:
    """Everything of one seed; a context manager, to be used on one thread of the process at a time.

    `settings` are those of `keystead.config.Settings`; `stay` is the scheduler's, `latency_us` the longest way of a
    piece of a request and `split` the probability that a request is cut. The first start of a `fresh` world makes the
    databases; otherwise they are there, with the root key and nothing else. What is not given is drawn from the seed.
    """

    def __init__(
        self,
        seed: int,
        *,
        stay: float | None = None,
        latency_us: int | None = None,
        split: float = 0.1,
        fresh: bool | None = None,
        **settings: Any,
    ) -> None:
        self.seed = seed
        self.random = Random(f"{seed} workload")
        """For those who drive the world; the world itself draws from others."""
        chances = Random(f"{seed} chances")
        drawn_stay, drawn_latency = chances.choice((0.0, 0.5, 0.9)), chances.choice((0, 200, 5_000))
        drawn_fresh = chances.random() < _FRESH_WORLDS
        self._is_fresh = drawn_fresh if fresh is None else fresh
        self.trace = Trace(_KEPT_STEPS)
        self.failures: list[str] = []
        """What must not happen, whatever the faults: exceptions that nobody took."""
        self.scheduler = Scheduler(
            Random(f"{seed} scheduler"), self.trace, drawn_stay if stay is None else stay, self.failures
        )
        self.clock = WorldClock(self.scheduler)
        self.logs: deque[dict[str, Any]] = deque(maxlen=_KEPT_LINES)
        """The last lines of the server's log."""
        self.disk = Disk(self.scheduler, Random(f"{seed} disk"), lambda power_loss: self.crash(power_loss=power_loss))
        self._network = Random(f"{seed} network")
        self._latency_us = drawn_latency if latency_us is None else latency_us
        self._split = split
        self._bytes = Random(f"{seed} bytes")
        threads = SimThreads(self.scheduler, None)
        self._outside = SimLoop(self.scheduler, None, threads.executor(2, "outside"), self._note_error)
        memory = Path("/dev/shm")
        self._folder = tempfile.TemporaryDirectory(
            prefix="keystead-simulation-", dir=memory if memory.is_dir() else None
        )
        self.settings = Settings(
            database_url=str(self.folder / DATABASE),
            **{"root_key": ROOT_KEY, **settings},
        )
        """The server's; replace them between two lives to start the next one with others."""
        self._files = Files(
            self.folder, self.settings.spool_folder, self.settings.limits_file, self.disk, Random(f"{seed} files")
        )
        self._server: ServerLife | None = None
        self._ended: asyncio.Future[None] | None = None
        self._power_loss = False
        self._lives = 0
        self._clients = 0
        self._logging = _Logging(self._note_log)
        self._vfs = the_vfs()

    # ---- what clients and scenarios use

    def run(self, scenario: Coroutine[Any, Any, T]) -> T:
        """Run a scenario to its end; its result. May be called again."""
        return self._outside.run_until_complete(scenario)

    async def start(self) -> None:
        """Start the server and wait until it serves. Raises StartFailed."""
        assert self._server is None, "the server is up"
        self._lives += 1
        life = Life(self._lives)
        ready: asyncio.Future[None] = self._outside.create_future()
        ended: asyncio.Future[None] = self._outside.create_future()
        connections: list[Any] = []
        server = ServerLife(
            self.scheduler,
            life,
            self.settings,
            self._surroundings(life, connections),
            connections,
            self._note_error,
            lambda: self._outside.call_soon_threadsafe(_resolve, ready),
            lambda: self._bury(server, ended),
        )
        self._server, self._ended = server, ended
        self.trace.add(self.scheduler.now_us, "start", life.number)
        self.scheduler.start(server.run, f"loop{life.number}", life)
        await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise StartFailed(f"life {life.number} ended before it served") from server.failure

    async def stop(self) -> None:
        """An orderly end, as by SIGTERM; returns when the server has ended, by that or by a crash meanwhile.

        Raises what made the end disorderly.
        """
        server, ended = self._server, self._ended
        if server is None or ended is None:
            return
        server.stop()
        await asyncio.shield(ended)
        if server.failure is not None:
            raise server.failure

    def crash(self, power_loss: bool = False) -> None:
        """Kill the server now, as `kill -9` does, or as a loss of power does; nothing when there is none."""
        if self._server is not None and not self._server.life.is_dead:
            self._power_loss = power_loss
            self.scheduler.kill(self._server.life)

    async def died(self) -> None:
        """Return when the server has ended, whatever the reason; at once when there is none."""
        if self._ended is not None:
            await asyncio.shield(self._ended)

    async def restart(self) -> None:
        """Wait for the end of the server, which somebody has brought about, and start it again."""
        await self.died()
        await self.start()

    def connect(self, address: str | None = None) -> ClientConnection:
        """A connection to the server, from `address`; one that is closed when there is no server."""
        client = ClientConnection(self._outside, self._network, self._latency_us, self._split)
        if self._server is not None and not self._server.life.is_dead:
            self._clients += 1
            peer = (address or "198.51.100.1", 10_000 + self._clients % 50_000)
            transport = SimTransport(self._server.loop, self._server.life, client, peer)
            client.attach(transport)
            self._server.accept(transport)
        return client

    def jump_clock(self, by_ms: int) -> None:
        """Set the server's wall clock forwards, or backwards; time itself goes on as before."""
        self.trace.add(self.scheduler.now_us, "clock", by_ms)
        self.clock.offset_ms += by_ms

    @contextmanager
    def database(self, name: str = DATABASE) -> Iterator[sqlite3.Connection]:
        """A connection to a copy of one of the databases as it is now, for looking at; the server notices nothing.

        What is committed is in it, whether the server runs, has ended or was killed.
        """
        for suffix in ("", "-wal", "-journal"):
            self.disk.copy(name + suffix, _COPY + suffix)
        connection = self._vfs.connect(Path(_COPY))
        try:
            yield connection
        finally:
            connection.close()
            for suffix in ("", "-wal", "-journal"):
                self.disk.forget(_COPY + suffix)

    @property
    def now_ms(self) -> int:
        """What the server's wall clock shows."""
        return self.clock.now_ms()

    @property
    def is_up(self) -> bool:
        """Whether the server serves."""
        return self.application is not None

    @property
    def application(self) -> Application | None:
        """The parts of the server, for looking at; None while it does not serve."""
        server = self._server
        return server.application if server is not None and not server.life.is_dead else None

    @property
    def open_files(self) -> int:
        """Files of the databases that are open."""
        return self._vfs.open_files

    @property
    def folder(self) -> Path:
        """Where the server's real files are: the spool, the file of keys, the limiter's counters."""
        return Path(self._folder.name)

    # ---- inside

    def __enter__(self) -> Self:
        if not self._is_fresh:
            for name, content in _made_databases().items():
                self.disk.put(name, content)
        # When memory is tidied must not depend on what the process did before.
        gc.disable()
        self._logging.begin()
        randbytes = Random(f"{self.seed} sqlite").randbytes
        self._vfs.mount(self.disk, self.scheduler, self.clock.now_ms, randbytes, self.failures)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end()
        finally:
            self._logging.end()
            self._folder.cleanup()
            gc.enable()

    def _end(self) -> None:
        self.crash()
        self.run(self.died())
        self.run(_cancel_others())
        self._outside._executor.shutdown()
        self._outside.close()

    def _surroundings(self, life: Life, connections: list[Any]) -> Outside:
        def connect(path: Path) -> Any:
            connection = self._vfs.connect(path)
            connections.append(connection)
            return connection

        return Outside(
            clock=self.clock,
            random=self._bytes.randbytes,
            monotonic_s=lambda: self.scheduler.now_us / 1e6,
            threads=SimThreads(self.scheduler, life),
            connect=connect,
            calls=self._files.calls(life),
        )

    def _bury(self, server: ServerLife, ended: "asyncio.Future[None]") -> None:
        self._vfs.bury(server.life)
        self._files.bury()
        if self._power_loss:
            self._power_loss = False
            self.disk.lose_power()
            self._files.lose_power()

        def forget() -> None:
            self._server = self._ended = None
            _tidy_memory()
            _resolve(ended)

        self._outside.call_soon_threadsafe(forget)

    def _note_error(self, context: dict[str, Any]) -> None:
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _note_log(self, line: MutableMapping[str, Any]) -> None:
        life = self.scheduler.current.life
        if life is not None and life.is_dead:
            return
        self.logs.append(dict(line))
        self.trace.note(self.scheduler.now_us, self.scheduler.current.name, "log", dict(line))


class _Logging:
    """Sends the server's log into a world for as long as that lasts."""

    def __init__(self, note: Callable[[MutableMapping[str, Any]], None]) -> None:
        self._note = note
        self._before: dict[str, Any] = {}
        self._disabled = 0

    def begin(self) -> None:
        self._before = structlog.get_config()
        structlog.configure(processors=[self._take], cache_logger_on_first_use=False)
        # The libraries' own lines: SQLAlchemy's about connections of a dead life, uvicorn's about its end.
        self._disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)

    def end(self) -> None:
        structlog.configure(**self._before)
        logging.disable(self._disabled)

    def _take(self, _logger: Any, level: str, line: MutableMapping[str, Any]) -> Any:
        self._note({"level": level, **line})
        raise structlog.DropEvent


async def _cancel_others() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@cache
def _made_databases() -> dict[str, bytes]:
    """What a first start leaves on the disk, the same in every process."""
    with World(0, fresh=True) as world:
        world.run(world.start())
        world.run(world.stop())
        return {name: world.disk.content(name) for name in (DATABASE, ANALYTICS)}
