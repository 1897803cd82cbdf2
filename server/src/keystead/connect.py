"""How a database file is opened: one function, so that a simulation can open its own (`docs/simulation.md`)."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

Connect = Callable[[Path], sqlite3.Connection]

_BUSY_TIMEOUT_S = 10.0


def connect_file(path: Path) -> sqlite3.Connection:
    """A connection to the SQLite file, which is made if need be.

    It waits up to 10 s for a lock that another connection holds, and any thread may use it, one at a time.
    """
    return sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
