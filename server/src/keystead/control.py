"""One process per database, and a way in for the command line: the lock file and the control socket.

A running server trusts its memory: a change made behind its back would be seen too late. So whoever writes to an
SQLite database holds its lock, and a command that finds the lock held hands its work to the holder instead.

The lock is `flock` on `<database>.lock`; the kernel drops it with the process, however that ends. The file's content
(JSON: `pid`, and `socket`, the path of the control socket or null) only tells where the holder listens; the lock,
not the content, says whether there is one. The file is never deleted: two processes would lock two files.

On the socket: one line of JSON in, `{"command": ..., "arguments": {...}}`; one line out, `{"ok": {...}}` or
`{"error": {"code": ..., "message": ...}}`. Whoever may open the socket may do everything, so only its owner may; no
argument and no answer is ever logged, because answers hold new keys.
"""

import asyncio
import fcntl
import json
import logging
import os
import socket
import stat
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from keystead.core.errors import ErrorCode, KeysteadError, StartupError

Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Does one command: arguments in, result out; KeysteadError and StartupError reach the caller as they are."""

Perform = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Has a command done: its name and its arguments in, its result out."""

MAX_LINE_BYTES = 256 * 1024
"""The longest request."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The longest answer: a page of a hundred keys fits with the largest `meta` that keys and identities can have."""

STARTUP_CODE = "STARTUP_ERROR"
"""The code on the socket of a StartupError; every other code is an ErrorCode."""

# The shortest room for a socket's path among the systems we run on (macOS: 104 with the closing NUL).
_SOCKET_PATH_MAX_BYTES = 103
_READ_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 120.0
_POLL_S = 0.05
_TRIES = 200
"""How often `call_control` looks again: 200 times 0.05 s are 10 s."""
# A look at the lock takes it for microseconds, a command without a server for as long as it runs: a server that starts
# meanwhile must not give up at once. Another server is not waited for.
_LOCK_TRIES = 10
_LOCK_TRIES_BESIDE_A_COMMAND = 200

# Not structlog: unless configured it prints local variables with a traceback, and here they hold secrets.
_log = logging.getLogger(__name__)


class DatabaseInUse(StartupError):
    """Another process has the database open."""


# --- The lock -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Holder:
    """What the holder of a lock wrote down; None where it has not yet."""

    pid: int | None
    socket_path: Path | None


class DatabaseLock:
    """The right to open an SQLite database for writing, for as long as it is held; a context manager.

    Not inherited by programs that this process starts.
    """

    def __init__(self, database_path: Path) -> None:
        self.database_path = Path(os.path.realpath(database_path))
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; DatabaseInUse (a StartupError) names the process that has it, StartupError otherwise."""
        path = _lock_path(self.database_path)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartupError(f"cannot open {path}: {error.strerror}") from error
        try:
            self._lock(descriptor)
            self._write_holder(descriptor, Holder(os.getpid(), None))
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _lock(self, descriptor: int) -> None:
        for tried in range(_LOCK_TRIES_BESIDE_A_COMMAND):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if tried >= _LOCK_TRIES and _read_holder(descriptor).socket_path is not None:
                    break
                time.sleep(_POLL_S / 2)
            else:
                return
        pid = _read_holder(descriptor).pid
        by = f"process {pid}" if pid else "another process"
        raise DatabaseInUse(f"the database {self.database_path} is in use by {by}; stop it first")

    def announce(self, socket_path: Path) -> None:
        """Tell where the control socket listens; call it once commands can be answered."""
        assert self._descriptor is not None, "the lock is not held"
        self._write_holder(self._descriptor, Holder(os.getpid(), socket_path))

    def _write_holder(self, descriptor: int, holder: Holder) -> None:
        try:
            _write_holder(descriptor, holder)
        except OSError as error:
            path = _lock_path(self.database_path)
            raise StartupError(f"cannot write to {path}: {error.strerror or error}") from error

    def release(self) -> None:
        """Give the lock up; does nothing if it is not held."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextmanager
def sole_use(path: Path) -> Iterator[None]:
    """Keeps other servers from using a file or folder meanwhile, which may lie elsewhere than the database.

    Raises DatabaseInUse (a StartupError) when one does. Devices are not kept, nor what lies where nothing is locked.
    """
    with ExitStack() as closing:
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            closing.callback(os.close, descriptor)
            if stat.S_IFMT(os.fstat(descriptor).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                _lock_for_use(descriptor, path)
        yield


def _lock_for_use(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DatabaseInUse(f"{path} is in use by a server with another database; give each server its own") from None


def _lock_path(database_path: Path) -> Path:
    return database_path.with_name(database_path.name + ".lock")


def _write_holder(descriptor: int, holder: Holder) -> None:
    text = json.dumps({"pid": holder.pid, "socket": holder.socket_path and str(holder.socket_path)}).encode()
    # Not emptied first: on a full disk the block it has could be gone before it is written again.
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def _read_holder(descriptor: int) -> Holder:
    """What the file says; nothing while it is being written."""
    try:
        record = json.loads(os.pread(descriptor, 8192, 0))
        path = record["socket"]
        return Holder(int(record["pid"]), Path(path) if path else None)
    except (ValueError, KeyError, TypeError):
        return Holder(None, None)


def find_holder(database_path: Path) -> Holder | None:
    """Who holds the lock of a database; None if nobody does. StartupError if the lock file can't be read."""
    path = _lock_path(Path(os.path.realpath(database_path)))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StartupError(f"cannot open {path}: {error.strerror or error}; run as the server's user") from error
    try:
        # A shared lock: two looks at the same time do not take each other for a holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


# --- The server's side ----------------------------------------------------------------------------------------


def choose_socket_path(database_path: Path) -> Path:
    """`<database>.sock`; in a fresh private temporary folder where that is too long for a socket."""
    path = Path(os.path.realpath(database_path))
    path = path.with_name(path.name + ".sock")
    if len(os.fsencode(path)) <= _SOCKET_PATH_MAX_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="keystead-control-")) / "control.sock"


class ControlServer:
    """Answers commands on a Unix socket that only its owner can open. Start it while holding the DatabaseLock.

    Commands run on the caller's event loop, each to its end, whether or not the other side still waits for it.
    """

    def __init__(self, socket_path: Path, commands: Mapping[str, Command]) -> None:
        self.socket_path = socket_path
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket left by a killed server is replaced. StartupError if the path can't be used."""
        try:
            listener = _listen(self.socket_path)
        except OSError as error:
            raise StartupError(f"control socket {self.socket_path}: {error.strerror or error}") from error
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=MAX_LINE_BYTES)

    async def stop(self) -> None:
        """Stop listening, let commands under way end (at most 5 s), remove the socket."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._conversations:
            _, late = await asyncio.wait(self._conversations, timeout=_STOP_TIMEOUT_S)
            for conversation in late:
                conversation.cancel()
        self.socket_path.unlink(missing_ok=True)
        if self.socket_path.parent.name.startswith("keystead-control-"):
            with suppress(OSError):  # whoever tidies temporary folders up may have been quicker
                self.socket_path.parent.rmdir()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._conversations.add(conversation)  # the loop itself holds tasks only weakly
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(reader)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except ConnectionError:
            pass  # the command is done; nobody waits for its answer any more
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        try:
            line = await asyncio.wait_for(reader.readline(), _READ_TIMEOUT_S)
            name, arguments = _decode_request(line)
        except (ValueError, TimeoutError):
            return _error(ErrorCode.BAD_REQUEST, "not a line of JSON with a command and its arguments")
        command = self._commands.get(name)
        if command is None:
            return _error(ErrorCode.NOT_FOUND, f"the running server knows no command {name}")
        try:
            return {"ok": await command(arguments)}
        except KeysteadError as error:
            return _error(error.code, error.message)
        except StartupError as error:
            return _error(STARTUP_CODE, str(error))
        except Exception:
            _log.exception("control command %s failed", name)
            return _error(ErrorCode.INTERNAL_SERVER_ERROR, "the server could not do this; its log tells why")


def _listen(path: Path) -> socket.socket:
    """A listening socket that nobody else could open at any moment, not even between bind and chmod."""
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError("is in the way and not a socket")
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o077)
    try:
        listener.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _decode_request(line: bytes) -> tuple[str, dict[str, Any]]:
    request = json.loads(line)
    if not isinstance(request, dict):
        raise ValueError("not an object")
    name, arguments = request.get("command"), request.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError("not a command with arguments")
    return name, arguments


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": str(code), "message": message}}


# --- The command line's side ----------------------------------------------------------------------------------


def call_control(
    database_path: Path, command: str, arguments: dict[str, Any], *, tries: int = _TRIES
) -> dict[str, Any] | None:
    """Have the running server do a command; None if no process has the database open. Blocks.

    A server that is just starting or stopping is waited for, `tries` times 0.05 s; then StartupError. Errors of the
    command are raised as they were in the server: KeysteadError or StartupError.
    """
    request = json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"
    if len(request) > MAX_LINE_BYTES:
        raise StartupError("the command's arguments are too long")
    holder: Holder | None = None
    for _ in range(tries):
        holder = find_holder(database_path)
        if holder is None:
            return None
        connection = _connect(holder.socket_path)
        if connection is not None:
            with connection:
                return _result(_exchange(connection, request))
        time.sleep(_POLL_S)
    by = f"process {holder.pid}" if holder and holder.pid else "a process"
    raise StartupError(f"{by} has the database open but does not answer on its control socket")


def _connect(path: Path | None) -> socket.socket | None:
    """A connection, or None while nobody listens there yet (or any more)."""
    if path is None:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_TIMEOUT_S)
    try:
        connection.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError as error:
        connection.close()
        raise StartupError(f"control socket {path}: {error.strerror or error}; run as the server's user") from error
    return connection


def _exchange(connection: socket.socket, request: bytes) -> dict[str, Any]:
    try:
        connection.sendall(request)
        with connection.makefile("rb") as stream:
            answer = json.loads(stream.readline(MAX_ANSWER_BYTES))
    except (OSError, ValueError):
        # Sent but not answered: it may have been done, so doing it again by ourselves would be wrong.
        raise StartupError("the server did not answer; look whether the change was made") from None
    if not isinstance(answer, dict):
        raise StartupError("the server's answer is not understood")
    return answer


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" not in answer:
        result: dict[str, Any] = answer["ok"]
        return result
    code, message = answer["error"]["code"], answer["error"]["message"]
    if code == STARTUP_CODE:
        raise StartupError(message)
    raise KeysteadError(ErrorCode(code), message)
