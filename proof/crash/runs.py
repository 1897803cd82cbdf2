"""The ways in which a server is ended under load, and what must be true afterwards."""

import contextlib
import json
import random
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess
from proof.clients import Clients, Lost
from proof.crash.books import Books
from proof.crash.files import check_files, secrets_of
from proof.crash.imports import Imports
from proof.crash.pages import Apis, Identities, Keyring, Limits, Overrides, OwnKeys, Roles, ScarceBalance, SharedBalance
from proof.crash.patient import PatientCaller
from proof.crash.undecided import Difference, expect
from proof.history import History

CONNECTIONS = 20
HISTORY_CONNECTIONS = 32
_START_S = 1.2
"""About what a start takes: kills during one are spread over it."""

_SETTINGS = {"KEYSTEAD_ANALYTICS_INTERVAL_S": "0.05", "KEYSTEAD_SPOOL_SEGMENT_BYTES": "65536"}
_LONGEST_LOAD_S = 2.0
_HOT_KEYS = 8
"""With fewer, so much about one key is unanswered at a kill that explaining it takes minutes."""

_SECOND_SIGTERM_S = 12
"""Generous on a busy machine, and well below the 20 s that one SIGTERM gives to a client that hangs."""


class Crash:
    """A server, its clients and their ledger. A context manager; `folder` must be empty.

    Each of the ways below ends the server one or more times under load, starts it again and compares. They raise
    Difference when anything is not as it was told.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.server = ServerProcess(folder, **_SETTINGS)
        self.books = Books(seed, folder)
        self.kills = self.stops = self.histories = self.history_calls = 0
        self.ways: Counter[str] = Counter()
        self._seed = seed

    def __enter__(self) -> "Crash":
        self.server.start()
        with self._client() as client:
            self._open_books(client)
        return self

    def __exit__(self, *_: object) -> None:
        self.patient.give_up()
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.kill()

    def _open_books(self, client: Connection) -> None:
        books = self.books
        api_id = books.create_api(client, "keys")
        keyring = Keyring(books, client, CONNECTIONS)
        self.patient = PatientCaller(books, client, api_id, keyring)
        self.imports = Imports(books, client, self.folder)
        books.pages = [
            (SharedBalance(books, client, api_id), 5),
            (ScarceBalance(books, client, api_id), 3),
            (OwnKeys(books, client, api_id, CONNECTIONS), 6),
            (keyring, 6),
            (self.imports, 2),
            (Identities(books, CONNECTIONS), 2),
            (Overrides(books, client, CONNECTIONS), 2),
            (Limits(books, client, api_id), 3),
            (Roles(books, client, api_id, CONNECTIONS), 2),
            (Apis(books, client, CONNECTIONS), 1),
            (self.patient, 0),
        ]

    # --- Ways to end

    def any_way(self) -> None:
        """One of the ways, the most frequent one more often."""
        ways = {
            self.kill_under_load: 8,
            self.kill_while_starting: 2,
            self.kill_while_catching_up: 2,
            self.kill_while_stopping: 2,
            self.kill_twice: 2,
            self.stop_under_load: 2,
            self.stop_at_once: 1,
            self.kill_first_start: 1,
            self.kill_during_history: 4,
            self.stop_during_history: 1,
        }
        (way,) = self.random.choices(list(ways), list(ways.values()))
        self.run(way)

    def run(self, way: Callable[[], None]) -> None:
        """End the server in that way; a Difference says in which."""
        self.ways[way.__name__] += 1
        try:
            way()
        except Difference as difference:
            raise Difference(f"{way.__name__}: {difference}") from None

    def kill_under_load(self) -> None:
        """`kill -9` at a random moment."""
        self.load(self.kill)
        self._start_and_compare()

    def kill_while_starting(self) -> None:
        """`kill -9` under load, and of the next start or two somewhere on the way."""
        self.load(self.kill)
        for _ in range(self.random.randint(1, 2)):
            _start_in_vain(self.server, self.random.random() * _START_S)
            self.kills += 1
        self._start_and_compare()

    def kill_while_catching_up(self) -> None:
        """`kill -9` while events of before the last kill are being counted."""
        self.server.kill()
        self.kills += 1
        self.server.start(KEYSTEAD_ANALYTICS_INTERVAL_S="4")
        self.load(self.kill)
        self.server.start(KEYSTEAD_ANALYTICS_INTERVAL_S="0.05")
        time.sleep(self.random.random() * 0.1)
        self.kill()
        self._start_and_compare()

    def kill_while_stopping(self) -> None:
        """`kill -9` while an orderly end is under way."""

        def end() -> None:
            self._signal()
            time.sleep(self.random.random() * 0.3)
            self.kill()

        self.load(end)
        self._start_and_compare()

    def kill_twice(self) -> None:
        """`kill -9` under load, and again right after the restart, before anything has been looked at."""
        self.load(self.kill)
        self.server.start()
        time.sleep(self.random.random() * 0.05)
        self.kill()
        self._start_and_compare()

    def stop_under_load(self) -> None:
        """SIGTERM: whatever had been sent is answered, whatever is not answered has not been done."""
        signalled_s = 0.0

        def end() -> None:
            nonlocal signalled_s
            with self._slow_sender() as finish_sending, self._slow_reader() as read_all:
                signalled_s = time.monotonic()
                self._signal()
                time.sleep(0.3)
                finish_sending()
                read_all()
            self._wait_for_end()

        lost = self.load(end)
        unheard = [call for call in lost if call.sent_s < signalled_s]
        expect(not unheard, f"sent before SIGTERM and not answered: {unheard}")
        self._start_and_compare(is_clean=True)

    def stop_at_once(self) -> None:
        """A second SIGTERM does not wait for a client that has not finished its request."""

        def end() -> None:
            with self._slow_sender():
                self._signal()
                time.sleep(0.3)
                process = self.server.process
                expect(process is not None and process.poll() is None, "SIGTERM did not wait for a request")
                before_s = time.monotonic()
                self._signal()
                self._wait_for_end()
                took_s = time.monotonic() - before_s
                expect(took_s < _SECOND_SIGTERM_S, f"the end after the second SIGTERM took {took_s:.1f} s")

        self.load(end)
        self._start_and_compare()

    def kill_first_start(self) -> None:
        """`kill -9` of first starts of another server: the last root key that one of them printed works."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        server = ServerProcess(folder)
        for _ in range(2):
            _start_in_vain(server, self.random.random() * _START_S)
            self.kills += 1
        server.start()
        with Connection(server.url, server.root_key) as client:
            told = client.post("apis.createApi", {"name": "first"})
        expect(told.status == 200, f"the first root key is answered {told.status} {told.body!r}")
        server.kill()
        self.kills += 1
        check_files(folder, secrets_of(server.root_key))
        shutil.rmtree(folder)
        self.load(self.kill)
        self._start_and_compare()

    def kill_during_history(self) -> None:
        """`kill -9` amid a history of a few hot keys, which goes on after the restart."""
        self._history(self.kill, is_clean=False)

    def stop_during_history(self) -> None:
        """SIGTERM amid a history, which goes on after the restart."""

        def end() -> None:
            self._signal()
            self._wait_for_end()

        self._history(end, is_clean=True)

    # --- Load

    def load(self, end: Callable[[], None], answers: int | None = None) -> list[Lost]:
        """Let the clients work until the server has been ended, after so many answers; what was not answered."""
        self.patient.begin(self.server.url, self.server.root_key)
        clients = Clients(self.server.url, self.server.root_key, self.books.programs(CONNECTIONS))
        wanted = self.books.acknowledged.total() + (answers or self.random.randint(20, 1000))
        with self._ending(end, lambda: self.books.acknowledged.total() >= wanted):
            clients.work(lambda: False)
        return clients.lost

    @contextmanager
    def _ending(self, end: Callable[[], None], is_time: Callable[[], bool]) -> Iterator[None]:
        """Do it from another thread when it is time, or soon; leaving waits for it and raises what it raised."""
        failures: list[BaseException] = []
        latest_s = time.monotonic() + _LONGEST_LOAD_S

        def act() -> None:
            try:
                while not is_time() and time.monotonic() < latest_s:
                    time.sleep(0.001)
                # Anywhere in the course of a commit, and not always right after an answer.
                time.sleep(self.random.random() * 0.02)
                end()
            except BaseException as failure:
                failures.append(failure)
                with contextlib.suppress(ProcessLookupError):
                    self.server.kill()

        ender = threading.Thread(target=act, name="ender")
        ender.start()
        try:
            yield
        finally:
            ender.join()
        if failures:
            raise failures[0]

    def _history(self, end: Callable[[], None], *, is_clean: bool) -> None:
        self.histories += 1
        with self._client() as client:
            history = History(client, self._seed * 1000 + self.histories, secrets=_HOT_KEYS)
        programs = history.programs(HISTORY_CONNECTIONS)
        wanted = self.random.randint(100, 700)
        with self._ending(end, lambda: history.calls >= wanted):
            Clients(self.server.url, self.server.root_key, programs).work(lambda: False)
        history.process_ended_in_order() if is_clean else history.process_ended()
        self.check_files()
        self.server.start()
        until_s = time.monotonic() + 0.1
        Clients(self.server.url, self.server.root_key, programs).work(lambda: time.monotonic() > until_s)
        self.history_calls += history.calls
        for secret, found in history.violations().items():
            calls = sorted(history.by_secret[secret], key=lambda call: call.invoked)
            (self.folder / "history.txt").write_text("\n".join(map(str, calls)))
            raise Difference(f"{secret} has a history that is not linearizable: {found}")

    @contextmanager
    def _slow_sender(self) -> Iterator[Callable[[], None]]:
        """A client that has sent half a request; what is yielded sends the rest and wants the answer."""
        body = json.dumps({"key": "nobody's"}).encode()
        head = "POST /v1/keys.verifyKey HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        with self._socket() as client:
            client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:3])
            # So that the server has seen it before it is told to stop.
            time.sleep(0.05)

            def finish() -> None:
                client.sendall(body[3:])
                expect(_read_all(client).startswith(b"HTTP/1.1 200"), "a slow sender was not answered")

            yield finish

    @contextmanager
    def _slow_reader(self) -> Iterator[Callable[[], None]]:
        """A client that has sent many requests and not read yet; what is yielded reads, and wants all the answers."""
        requests = 25
        head = "GET /v1/permissions.listPermissions HTTP/1.1\r\nHost: x\r\n"
        request = f"{head}Authorization: Bearer {self.server.root_key}\r\n\r\n".encode()
        with self._socket() as client:
            client.sendall(request * requests)
            time.sleep(0.05)

            def read_all() -> None:
                answers = _read_all(client).count(b"HTTP/1.1 200 OK")
                expect(answers == requests, f"a slow reader got {answers} of {requests} answers")

            yield read_all

    def _socket(self) -> socket.socket:
        address = urlsplit(self.server.url)
        client = socket.create_connection((address.hostname or "", address.port or 0), timeout=30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        return client

    # --- The server

    def _client(self) -> Connection:
        return Connection(self.server.url, self.server.root_key)

    def kill(self) -> None:
        """`kill -9`, now."""
        self.server.kill()
        self.kills += 1

    def _signal(self) -> None:
        assert self.server.process is not None
        self.server.process.send_signal(signal.SIGTERM)

    def _wait_for_end(self) -> None:
        process = self.server.process
        assert process is not None
        assert process.stdout is not None
        code = process.wait(timeout=60)
        process.stdout.close()
        expect(code == 0, f"the exit code after SIGTERM is {code}")
        self.stops += 1

    def check_files(self) -> None:
        """Look at the files while no server runs."""
        check_files(self.folder, secrets_of(self.server.root_key, self.books.prefix))

    def _start_and_compare(self, *, is_clean: bool = False) -> None:
        self.check_files()
        self.server.start()
        self.compare(is_clean=is_clean)

    def compare(self, *, is_clean: bool = False) -> None:
        """Compare the ledger with the running server."""
        self.patient.end()
        with self._client() as client:
            self.books.compare(client, is_clean=is_clean)

    def finish(self) -> None:
        """The last look: at the queue when all waiting is over, at the whole audit log again, and at the files."""
        self.compare()
        with self._client() as client:
            self.imports.mend(client)
        self._stop()
        self.imports.let_time_pass()
        self.server.start()
        self.compare(is_clean=True)
        self.books.compare_audit_from_the_start()
        self._stop()

    def _stop(self) -> None:
        expect(self.server.stop() == 0, "an orderly end at rest failed")
        self.check_files()


def _read_all(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65_536):
        received += data
    return received


def _start_in_vain(server: ServerProcess, after_s: float) -> None:
    """Start and kill after that time, on the way or just when it is there."""
    before = server.process

    def kill() -> None:
        while server.process is before:
            time.sleep(0.001)
        time.sleep(after_s)
        assert server.process is not None
        server.process.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        # What a start that does not come that far leaves behind is looked at later.
        with contextlib.suppress(RuntimeError):
            server.start()
    finally:
        killer.join()
    assert server.process is not None
    assert server.process.stdout is not None
    server.process.wait(timeout=60)
    server.process.stdout.close()
