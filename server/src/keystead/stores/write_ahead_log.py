"""Keeps SQLite's write-ahead log short.

SQLite starts the log over when a commit finds everything in it copied into the database and nobody reading from it.
Where listings follow each other closely there is no such moment, and the log grows for as long as that lasts; a change
of millions of rows leaves a log of gigabytes behind. So the writer looks at the log's length after its commits, and
makes the moment when it is needed: it waits for those who read now, which takes milliseconds, and those who come
meanwhile read from the database.
"""

import sqlite3
import time
from pathlib import Path

import structlog

from keystead.core.pacing import Pace

_log = structlog.get_logger()

_PATIENCE_MS = 50
"""A reader that takes longer is let be: writes and spends wait meanwhile."""
_RETRY_AFTER = 100
"""Commits until the next attempt after one that met such a reader."""


class WriteAheadLog:
    """The log of a database; `shorten` is called by the writer after each commit."""

    def __init__(self, database: Path, max_bytes: int = 32 * 2**20) -> None:
        self._file = database.with_name(database.name + "-wal")
        self._max_bytes = max_bytes
        self._passed_over = 0
        self._failure_pace = Pace()

    def shorten(self, connection: sqlite3.Connection) -> None:
        """Empty the log if it is longer than `max_bytes`; `connection` is the writer's, outside a transaction.

        What fails is tried again later: the commit stands, whether the log is short or long.
        """
        if self._passed_over:
            self._passed_over -= 1
            return
        if self._length() > self._max_bytes and not self._empty(connection):
            self._passed_over = _RETRY_AFTER

    def _length(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError:
            return 0

    def _empty(self, connection: sqlite3.Connection) -> bool:
        before_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute(f"PRAGMA busy_timeout={_PATIENCE_MS}")
        try:
            is_busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            return not is_busy
        except sqlite3.Error as error:
            if self._failure_pace.is_due(time.monotonic()):
                _log.warning("write_ahead_log_not_shortened", error=str(error))
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout={before_ms}")
