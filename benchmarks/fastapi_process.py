"""The process of the FastAPI route."""

import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from benchmarks.machine import SERVER_CORE, on_core
from benchmarks.ports import free_port


class FastApiProcess:
    """A context manager; `folder` holds the database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.fastapi_route", str(self._folder), str(self._port)]
        with on_core(SERVER_CORE):
            self._process = subprocess.Popen(command)
        for _ in range(200):
            try:
                httpx.get(self.url + "/openapi.json")
            except httpx.TransportError:
                time.sleep(0.1)
            else:
                return self
        raise RuntimeError("the FastAPI route does not answer")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
