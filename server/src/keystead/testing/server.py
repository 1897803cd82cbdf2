"""Real servers for tests: in this process with a clock to set, or as a process of its own that can be killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from keystead.assembly import Application, Outside, open_application, open_storage
from keystead.clock import ManualClock
from keystead.config import Settings
from keystead.control import ControlServer, DatabaseLock, choose_socket_path
from keystead.http.server import HttpServer
from keystead.ports import Transaction

T = TypeVar("T")

NOW_MS = 1_767_225_630_000
"""Where the clock of a test server starts unless told otherwise: 2026-01-01T00:00:30Z, as in the contract."""

ROOT_KEY = "keystead_root_key_of_the_tests"


class ServerInProcess:
    """A whole server on a thread of this process, behind a real socket, with a clock that stands still until set.

    A context manager. `url` and `root_key` are what a client needs; `write` and `read` put things into the store that
    no operation makes. The command line finds it as it finds any running server.
    """

    def __init__(self, folder: Path, *, now_ms: int = NOW_MS, **settings: Any) -> None:
        """`folder` holds the database; `settings` are those of `keystead.config.Settings`."""
        self.clock = ManualClock(now_ms)
        self.root_key = settings.setdefault("root_key", ROOT_KEY)
        self.url = ""
        self.settings = Settings(database_url=str(folder / "keystead.db"), **settings)
        self.application: Application
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server: HttpServer | None = None
        self._thread = threading.Thread(target=self._run, name="keystead-test-server", daemon=True)

    def write(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit of work in the server's store."""
        return self.call(lambda: self.application.storage.store.write(unit))

    def read(self, query: Callable[[Transaction], T]) -> T:
        """Run a query in the server's store."""
        return self.call(lambda: self.application.storage.store.read(query))

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Await something on the server's event loop."""

        async def run() -> T:
            return await function()

        coroutine: Coroutine[Any, Any, T] = run()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=60)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(timeout=60)
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout=60)
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            with DatabaseLock(self.settings.database_path) as lock:
                self._loop.run_until_complete(self._serve(lock))
        except BaseException as error:
            self._failure = error
        finally:
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            self._ready.set()

    async def _serve(self, lock: DatabaseLock) -> None:
        outside = Outside(clock=self.clock)
        async with open_storage(self.settings, outside) as storage, open_application(storage) as application:
            self.application = application
            control = ControlServer(choose_socket_path(self.settings.database_path), storage.commands())
            await control.start()
            lock.announce(control.socket_path)
            try:
                await self._answer(application)
            finally:
                await control.stop()

    async def _answer(self, application: Application) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            self._server = _QuickServer(
                application.app, application.protocol, shutdown_timeout_s=5, on_ready=self._ready.set
            )
            await self._server.serve(sockets=[listener])


class _QuickServer(HttpServer):
    """Ends without waiting for idle clients; signals belong to the test runner."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ServerProcess:
    """`keystead serve` as a process of its own; a context manager.

    `url` and `root_key` are read from what it prints.
    """

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        """`folder` is the working directory and holds the database, the log is in `folder/server.log`."""
        self.folder = folder
        self.url = ""
        self.root_key = environment.get("KEYSTEAD_ROOT_KEY", "")
        self._arguments = arguments
        self._environment = environment
        self._port = 0
        self.process: subprocess.Popen[str] | None = None

    def start(self, **environment: str) -> Self:
        """Start it and wait until it answers; after the first time on the same port.

        `environment` changes the settings from now on.
        """
        self._environment |= environment
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KEYSTEAD_")}
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter with the test's arguments
                [sys.executable, "-m", "keystead", "serve", "--port", str(self._port), *self._arguments],
                cwd=self.folder,
                env=inherited | self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            name, _, value = line.strip().partition("  ")
            if name == "root key":
                self.root_key = value.strip()
            if name == "url":
                self.url = value.strip()
                self._port = int(self.url.rpartition(":")[2])
            if name == "docs":
                break
        else:
            self.process.stdout.close()
            self.process.wait(timeout=60)
            raise RuntimeError(f"the server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")
        return self

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to stop and wait; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
