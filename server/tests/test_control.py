"""The lock that lets one process write, and the socket through which it works for others."""

import asyncio
import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from keystead import control
from keystead.control import (
    MAX_LINE_BYTES,
    ControlServer,
    DatabaseInUse,
    DatabaseLock,
    call_control,
    choose_socket_path,
    find_holder,
)
from keystead.core.errors import ErrorCode, KeysteadError, StartupError

SECRET = "unkey_3ZFTVMJ69MaQg71pn85SRmbU"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "keystead.db"


async def echo(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"echo": arguments}


async def refuse(arguments: dict[str, Any]) -> dict[str, Any]:
    raise KeysteadError(ErrorCode.BAD_REQUEST, "permission nonsense is unknown")


async def fail_to_start(arguments: dict[str, Any]) -> dict[str, Any]:
    raise StartupError("the disk is full")


async def break_down(arguments: dict[str, Any]) -> dict[str, Any]:
    raise RuntimeError("an internal detail")


COMMANDS: dict[str, control.Command] = {
    "echo": echo,
    "refuse": refuse,
    "fail": fail_to_start,
    "break": break_down,
}


@contextlib.asynccontextmanager
async def serving(database: Path, commands: dict[str, control.Command] = COMMANDS) -> AsyncIterator[Path]:
    """A lock holder that answers commands; gives the socket's path."""
    with DatabaseLock(database) as lock:
        server = ControlServer(choose_socket_path(database), commands)
        await server.start()
        lock.announce(server.socket_path)
        try:
            yield server.socket_path
        finally:
            await server.stop()


@contextlib.contextmanager
def running(database: Path) -> Iterator[None]:
    """The same on another thread's event loop, for the blocking side."""
    started, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(database):
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield
    finally:
        stop.set()
        thread.join()


# --- The lock ---


def test_a_second_holder_is_told_who_has_it(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one holds the lock another gets an error naming the process, and the database afterwards."""
    monkeypatch.setattr(control, "_POLL_S", 0.001)
    with DatabaseLock(database), pytest.raises(DatabaseInUse, match=f"process {os.getpid()}"):
        DatabaseLock(database).acquire()
    with DatabaseLock(database):
        pass


def test_a_command_that_ends_soon_is_waited_for(database: Path) -> None:
    """A server that starts while a command has the database open begins when that has ended."""
    lock = DatabaseLock(database)
    lock.acquire()
    end = threading.Timer(1, lock.release)
    end.start()
    with DatabaseLock(database):
        end.join()


def test_the_lock_is_one_for_every_name_of_the_database(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbolic link to a database leads to the same lock."""
    monkeypatch.setattr(control, "_POLL_S", 0.001)
    link = database.with_name("link.db")
    link.symlink_to(database)
    with DatabaseLock(database), pytest.raises(DatabaseInUse):
        DatabaseLock(link).acquire()


def test_the_lock_ends_with_its_process(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a kill nothing has to be cleaned up: the next process gets the lock."""
    monkeypatch.setattr(control, "_POLL_S", 0.001)
    code = (
        "import sys, time, pathlib; from keystead.control import DatabaseLock;"
        "DatabaseLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(database)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child, child.stdout:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(DatabaseInUse, match=f"process {child.pid}"):
            DatabaseLock(database).acquire()
        child.kill()
        child.wait()
        assert find_holder(database) is None
        with DatabaseLock(database):
            pass


def test_looking_does_not_disturb(database: Path) -> None:
    """A look at the lock says who holds it, and that nobody does, as often as one likes."""
    assert find_holder(database) is None
    with DatabaseLock(database):
        for _ in range(3):
            holder = find_holder(database)
            assert holder is not None
            assert holder.pid == os.getpid()
            assert holder.socket_path is None
    assert find_holder(database) is None


def test_a_server_starts_while_somebody_looks(database: Path) -> None:
    """A look that coincides with a start does not make the start fail."""
    with DatabaseLock(database):
        pass
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            find_holder(database)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with DatabaseLock(database):
                pass
    finally:
        stop.set()
        thread.join()


def test_a_missing_folder_is_an_operators_error(tmp_path: Path) -> None:
    """A database in a folder that does not exist is refused with the path."""
    with pytest.raises(StartupError, match="none"):
        DatabaseLock(tmp_path / "none" / "keystead.db").acquire()


# --- The socket ---


def test_a_command_reaches_the_server_and_its_result_comes_back(database: Path) -> None:
    """Arguments and results travel unchanged."""
    with running(database):
        arguments = {"name": "ключ\n", "permissions": ["*"], "workspace_id": None}
        assert call_control(database, "echo", arguments) == {"echo": arguments}


def test_errors_keep_their_type_and_words(database: Path) -> None:
    """What the command raises in the server is raised at the caller; an unexpected one without its details."""
    with running(database):
        with pytest.raises(KeysteadError, match="nonsense") as refused:
            call_control(database, "refuse", {})
        assert refused.value.code is ErrorCode.BAD_REQUEST
        with pytest.raises(StartupError, match="disk is full"):
            call_control(database, "fail", {})
        with pytest.raises(KeysteadError) as broken:
            call_control(database, "break", {})
        assert broken.value.code is ErrorCode.INTERNAL_SERVER_ERROR
        assert "internal detail" not in broken.value.message
        with pytest.raises(KeysteadError, match="no command nothing"):
            call_control(database, "nothing", {})


def test_without_a_server_the_caller_is_told_so(database: Path) -> None:
    """No lock file, or one that nobody holds, means None: the caller may open the database itself."""
    assert call_control(database, "echo", {}) is None
    with DatabaseLock(database):
        pass
    assert call_control(database, "echo", {}) is None


def test_a_holder_that_never_answers_is_an_error(database: Path) -> None:
    """A held lock without a socket is waited for, then reported with the process."""
    with DatabaseLock(database), pytest.raises(StartupError, match=f"process {os.getpid()}"):
        call_control(database, "echo", {}, tries=3)


def test_a_server_that_is_just_starting_is_waited_for(database: Path) -> None:
    """A command given between lock and socket is done once the socket is there."""
    answers: list[dict[str, Any] | None] = []
    lock = DatabaseLock(database)
    lock.acquire()
    caller = threading.Thread(target=lambda: answers.append(call_control(database, "echo", {"n": 1})))
    caller.start()

    async def serve() -> None:
        server = ControlServer(choose_socket_path(database), COMMANDS)
        await server.start()
        lock.announce(server.socket_path)
        await asyncio.to_thread(caller.join)
        await server.stop()

    asyncio.run(serve())
    lock.release()
    assert answers == [{"echo": {"n": 1}}]


def test_a_stale_socket_is_replaced(database: Path) -> None:
    """A socket left by a killed server does not hinder the next one."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(choose_socket_path(database)))
    with running(database):
        assert call_control(database, "echo", {}) == {"echo": {}}


def test_a_file_in_the_sockets_place_is_not_deleted(database: Path) -> None:
    """Something else at the socket's path is an operator's error, and stays."""
    path = choose_socket_path(database)
    path.write_text("precious")

    async def start() -> None:
        await ControlServer(path, COMMANDS).start()

    with pytest.raises(StartupError, match="not a socket"):
        asyncio.run(start())
    assert path.read_text() == "precious"


def test_only_the_owner_may_connect(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Socket and lock file are for their owner only, also in the moment between bind and chmod."""
    modes: list[int] = []
    chmod = os.chmod

    def watched(path: Path, mode: int) -> None:
        modes.append(stat.S_IMODE(os.stat(path).st_mode))
        chmod(path, mode)

    monkeypatch.setattr(os, "chmod", watched)
    before = os.umask(0)
    try:
        with running(database):
            assert stat.S_IMODE(choose_socket_path(database).stat().st_mode) == 0o600
            assert stat.S_IMODE(database.with_name("keystead.db.lock").stat().st_mode) == 0o600
    finally:
        assert os.umask(before) == 0
    assert [mode & 0o077 for mode in modes] == [0]


def test_a_long_path_gets_a_private_folder(tmp_path: Path) -> None:
    """A database too deep for a socket beside it has one in a folder of its own, found through the lock file."""
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    database = folder / "keystead.db"
    with running(database):
        holder = find_holder(database)
        assert holder is not None
        assert holder.socket_path is not None
        private = holder.socket_path.parent
        assert private != folder
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert call_control(database, "echo", {}) == {"echo": {}}
    assert not private.exists()


def test_nothing_but_the_lock_file_is_left_after_a_stop(database: Path) -> None:
    """An orderly stop removes the socket."""
    with running(database):
        pass
    assert [path.name for path in database.parent.iterdir()] == ["keystead.db.lock"]


async def converse(database: Path, line: bytes) -> dict[str, Any]:
    async with serving(database) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line)
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return answer


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"command": 1, "arguments": {}}\n',
        b'{"command": "echo"}\n',
        b"\xff\xfe\n",
    ],
    ids=["empty", "not json", "list", "no members", "number", "no arguments", "not utf-8"],
)
def test_what_is_no_request_is_refused(database: Path, line: bytes) -> None:
    """A malformed line is answered with BAD_REQUEST and nothing is done."""
    answer = asyncio.run(converse(database, line))
    assert answer["error"]["code"] == "BAD_REQUEST"


def test_an_endless_line_is_cut_off(database: Path) -> None:
    """A line longer than allowed is refused without being collected in memory."""

    async def flood() -> bytes:
        async with serving(database) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            answer = b""
            with contextlib.suppress(ConnectionError):
                for _ in range(16):
                    writer.write(b"x" * MAX_LINE_BYTES)
                    await writer.drain()
                answer = await reader.read()
            writer.close()
            return answer

    assert b"echo" not in asyncio.run(flood())


def test_arguments_too_long_are_refused_before_they_are_sent(database: Path) -> None:
    """The caller learns of the bound as an error of its own."""
    with pytest.raises(StartupError, match="too long"):
        call_control(database, "echo", {"x": "y" * MAX_LINE_BYTES})


def test_a_command_under_way_ends_before_the_stop(database: Path) -> None:
    """Stopping the server waits for a command that has begun, and its answer is delivered."""

    async def scenario() -> bytes:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(arguments: dict[str, Any]) -> dict[str, Any]:
            begun.set()
            await go_on.wait()
            return {"done": True}

        server = ControlServer(choose_socket_path(database), {"slow": slow})
        await server.start()
        reader, writer = await asyncio.open_unix_connection(server.socket_path)
        writer.write(b'{"command": "slow", "arguments": {}}\n')
        await begun.wait()
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        go_on.set()
        await stopping
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return answer

    assert json.loads(asyncio.run(scenario())) == {"ok": {"done": True}}


def test_an_answer_that_never_comes_is_not_repeated(database: Path) -> None:
    """If the connection ends without an answer the caller is told, instead of doing the command twice."""
    path = choose_socket_path(database)
    with DatabaseLock(database) as lock, contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        lock.announce(path)

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(StartupError, match="did not answer"):
            call_control(database, "echo", {})
        thread.join()


def test_a_temporary_folder_that_was_tidied_up(tmp_path: Path) -> None:
    """A server whose socket lies in a temporary folder that somebody removed stops as ever."""
    database = tmp_path / ("d" * 120) / "keystead.db"
    database.parent.mkdir()

    async def scenario() -> None:
        async with serving(database) as path:
            path.unlink()
            path.parent.rmdir()

    asyncio.run(scenario())


def test_no_secret_is_logged(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither arguments nor answers appear in what the server writes, also when a command breaks."""
    with running(database):
        call_control(database, "echo", {"key": SECRET})
        with pytest.raises(KeysteadError):
            call_control(database, "break", {"key": SECRET})
    written = capfd.readouterr()
    assert SECRET not in written.out + written.err


def test_a_full_disk_is_named(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file that cannot be written stops the start with its name, not with a traceback, and is not held on to."""

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(StartupError, match=r"cannot write to .*keystead\.db\.lock: No space left"):
            DatabaseLock(database).acquire()
    with DatabaseLock(database):
        pass


def test_the_holder_is_written_over_the_one_before(database: Path) -> None:
    """Of a longer record nothing is left behind a shorter one, and none of it is lost while it is replaced."""
    with DatabaseLock(database) as lock:
        lock.announce(database.with_name("a" * 50))
        lock.announce(database.with_name("b"))
        assert find_holder(database) == control.Holder(os.getpid(), database.with_name("b"))
