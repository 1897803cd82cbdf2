"""A file system of a few MiB that can be filled to the last block, for as long as this process lives."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_INSIDE = "KEYSTEAD_PROOF_INSIDE_NAMESPACE"
_BLOCK = b"\0" * 4096


class NoSmallDisk(Exception):
    """Nobody may mount a file system on this machine."""


def enter_namespace(arguments: list[str]) -> None:
    """Run `python` with `arguments` again where it may mount; returns at once in that process.

    The mounts are seen by nobody else and go with the process. As root that needs no more than `unshare -m`, for others
    a user namespace as well. Raises NoSmallDisk.
    """
    if os.environ.pop(_INSIDE, None):
        return
    ways = [["unshare", "-m"]] if os.geteuid() == 0 else []
    for way in (*ways, ["unshare", "-Urm"]):
        with contextlib.suppress(OSError):
            tried = subprocess.run([*way, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
            if tried.returncode == 0:
                os.environ[_INSIDE] = "1"
                os.execvp(way[0], [*way, sys.executable, *arguments])
    raise NoSmallDisk(
        "a full disk cannot be tried here: mounting a small file system is allowed neither by `unshare -m` nor by "
        "`unshare -Urm`; run this as root, or where user namespaces are allowed"
    )


class SmallDisk:
    """A file system of its own in `folder`; a context manager. Filled, it stays full whatever is deleted on it."""

    def __init__(self, folder: Path, mebibytes: int) -> None:
        self.folder = folder
        self._mebibytes = mebibytes
        self._filler: threading.Thread | None = None
        self._is_emptied = threading.Event()

    def fill(self) -> None:
        """Take all that is free, and from now on all that becomes free; returns when nothing is left."""
        self._is_emptied.clear()
        is_full = threading.Event()
        self._filler = threading.Thread(target=self._keep_full, args=(is_full,), daemon=True)
        self._filler.start()
        is_full.wait()

    def leave(self, free_bytes: int) -> None:
        """Take all that is free but so many bytes, once."""
        room = os.statvfs(self.folder)
        with (self.folder / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, room.f_bavail * room.f_bsize - free_bytes)

    def empty(self) -> None:
        """Give back what was taken."""
        self._is_emptied.set()
        if self._filler is not None:
            self._filler.join()
            self._filler = None
        (self.folder / "filler").unlink(missing_ok=True)

    def _keep_full(self, is_full: threading.Event) -> None:
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            while not self._is_emptied.is_set():
                try:
                    filler.write(_BLOCK)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    is_full.set()
                    self._is_emptied.wait(0.002)

    def __enter__(self) -> Self:
        self.folder.mkdir()
        size = f"size={self._mebibytes}m,mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.folder)], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.empty()
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        self.folder.rmdir()
