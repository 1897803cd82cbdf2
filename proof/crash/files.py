"""What must be true of a server's files while no server runs."""

import re
import shutil
import sqlite3
import tempfile
from pathlib import Path

from proof.crash.undecided import expect

DATABASES = ("keystead.db", "keystead-analytics.db")


def secrets_of(root_key: str, prefix: str = "no key has this") -> re.Pattern[bytes]:
    """What no file may hold: the root key, and the keys that begin with the prefix.

    Of a key its first four characters behind the prefix are kept for show; twelve are a part of its secret.
    """
    return re.compile(rb"%b|%b_[0-9A-Za-z]{12}" % (re.escape(root_key.encode()), re.escape(prefix.encode())))


def check_files(folder: Path, secrets: re.Pattern[bytes]) -> None:
    """Databases are sound, nothing failed in a way nobody foresaw, no secret lies anywhere. Raises Difference.

    Databases are looked at as copies: opening one after a crash mends it, which is what the server has to do itself.
    """
    with tempfile.TemporaryDirectory() as copies:
        for name in DATABASES:
            for path in (folder / name, folder / f"{name}-wal"):
                if path.exists():
                    shutil.copy(path, copies)
            if (folder / name).exists():
                _check_database(Path(copies) / name)
    expect("Traceback" not in (folder / "server.log").read_text(), "there is a Traceback in server.log")
    for path in folder.rglob("*"):
        if path.is_file():
            expect(not secrets.search(path.read_bytes()), f"a plaintext key is in {path.relative_to(folder)}")


def _check_database(path: Path) -> None:
    database = sqlite3.connect(path)
    try:
        found = database.execute("PRAGMA integrity_check").fetchall()
        expect(found == [("ok",)], f"integrity_check of {path.name}: {found[:3]}")
        broken = database.execute("PRAGMA foreign_key_check").fetchall()
        expect(not broken, f"foreign_key_check of {path.name}: {broken[:3]}")
    finally:
        database.close()
