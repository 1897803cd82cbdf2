"""The write-ahead log is kept short: also while somebody reads at every moment, and never at the price of a write."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from keystead.stores import write_ahead_log
from keystead.stores.write_ahead_log import WriteAheadLog

KIB = 1024


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database in WAL mode with a table in it."""
    path = tmp_path / "some.db"
    with closing(connected(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE texts (text TEXT)")
    return path


def connected(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout=5000")
    return connection


def write(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO texts VALUES (?)", ("x" * 20 * KIB,))


def log_bytes(database: Path) -> int:
    return database.with_name("some.db-wal").stat().st_size


def read(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM texts").fetchone()


@contextmanager
def always_reading(database: Path) -> Iterator[None]:
    """Two readers in turn: one begins before the other ends."""
    ending = threading.Event()
    first, second = connected(database), connected(database)
    read(first)

    def run() -> None:
        present, next_ = first, second
        while not ending.is_set():
            read(next_)
            present.execute("ROLLBACK")
            present, next_ = next_, present

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        first.close()
        second.close()


def test_it_stays_short_while_somebody_always_reads(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With readers at every moment SQLite alone lets the log grow; shortened after each commit it stays bounded."""
    # These readers begin thousands of times a second, on a machine that may be busy: one attempt does not always do.
    monkeypatch.setattr(write_ahead_log, "_RETRY_AFTER", 2)
    log = WriteAheadLog(database, 500 * KIB)
    lengths = []
    with closing(connected(database)) as writer, always_reading(database):
        for _ in range(400):
            write(writer)
            log.shorten(writer)
            lengths.append(log_bytes(database))
        assert writer.execute("SELECT count(*) FROM texts").fetchone() == (400,)
    assert max(lengths) < 4_000 * KIB  # of 11,000
    assert lengths.count(0) > 3


def test_a_short_log_is_left_alone(database: Path) -> None:
    """Below its length nothing is done."""
    log = WriteAheadLog(database, 500 * KIB)
    with closing(connected(database)) as writer:
        write(writer)
        before = log_bytes(database)
        log.shorten(writer)
        assert log_bytes(database) == before > 0


def test_a_long_reader_is_waited_for_briefly_and_rarely(database: Path) -> None:
    """A reader that does not end costs one short wait, not one a commit; what is read and written stays right."""
    log = WriteAheadLog(database, 50 * KIB)
    with closing(connected(database)) as writer, closing(connected(database)) as reader:
        read(reader)
        statements: list[str] = []
        writer.set_trace_callback(statements.append)
        for _ in range(100):
            write(writer)
            log.shorten(writer)
        assert sum("wal_checkpoint" in statement for statement in statements) == 1
        assert writer.execute("PRAGMA busy_timeout").fetchone() == (5000,)
        assert reader.execute("SELECT count(*) FROM texts").fetchone() == (0,)
        reader.execute("ROLLBACK")
        for _ in range(101):
            log.shorten(writer)
        assert log_bytes(database) == 0
        assert reader.execute("SELECT count(*) FROM texts").fetchone() == (100,)


def test_a_failure_is_left_to_the_next_commit(database: Path) -> None:
    """A disk that takes nothing ends no writer and fills no log of ours: the commit stands, it is tried again later."""
    log = WriteAheadLog(database, 1)
    with closing(connected(database)) as writer:
        write(writer)
        writer.set_authorizer(
            lambda action, name, *_: sqlite3.SQLITE_DENY if name == "wal_checkpoint" else sqlite3.SQLITE_OK
        )
        with capture_logs() as logs:
            for _ in range(1_000):
                log.shorten(writer)
        assert [line["event"] for line in logs] == ["write_ahead_log_not_shortened"]
        writer.set_authorizer(None)
        assert log_bytes(database) > 0
        for _ in range(101):
            log.shorten(writer)
        assert log_bytes(database) == 0


def test_a_database_without_a_log_has_nothing_to_shorten(tmp_path: Path) -> None:
    """Before the first commit there is no log, and that is no failure."""
    with closing(connected(tmp_path / "none.db")) as writer:
        WriteAheadLog(tmp_path / "none.db", 0).shorten(writer)
