"""Memory and the time to start."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import httpx

from benchmarks import databases
from benchmarks.databases import ROOT_KEY
from benchmarks.machine import SERVER_CORE, memory_kib, on_core, wait_until_quiet
from benchmarks.report import Line
from benchmarks.verification import Effort, clear_log, pid_of
from keystead.testing.server import ServerProcess

_STARTS = 5


def measure_idle_memory(folder: Path) -> Iterator[Line]:
    """The resident memory of a server that has just been started on a new database, and again on that one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("idle server, first start", "idle server"):
        with ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY) as server:
            _verify(httpx.Client(base_url=server.url), "unknown")
            mib = memory_kib(pid_of(server)) / 1024
        line = Line(name)
        line.judge("MiB resident", mib, at_most=120)
        yield line


def measure_large(effort: Effort) -> Iterator[Line]:
    """Start-up on a large database, and memory per cached key."""
    folder, secrets = databases.large(effort.large_keys)
    first = next(databases.secrets_in(secrets, 1))
    clear_log(folder)
    seconds = [_start_once(folder, first) for _ in range(_STARTS)]
    line = Line(f"start on {effort.large_keys:,} keys")
    line.judge("s to the first answer", median(seconds), at_most=2.0)
    yield line
    yield _memory_per_key(folder, secrets, effort.cached_keys)


def _start_once(folder: Path, secret: str) -> float:
    began = time.monotonic()
    with on_core(SERVER_CORE):
        server = ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY).start()
    _verify(httpx.Client(base_url=server.url), secret)
    seconds = time.monotonic() - began
    server.stop()
    return seconds


def _memory_per_key(folder: Path, secrets: Path, keys: int) -> Line:
    """What the server's own memory grows by: mapped parts of the database file are the system's to take back.

    The first tenth pays for what is needed once, so it is left out.
    """
    environment = {"KEYSTEAD_ROOT_KEY": ROOT_KEY, "KEYSTEAD_KEY_CACHE_ENTRIES": str(2 * keys)}
    with ServerProcess(folder, **environment) as server, httpx.Client(base_url=server.url) as client:
        before_kib = 0
        for number, secret in enumerate(databases.secrets_in(secrets, keys)):
            if number == keys // 10:
                before_kib = _own_memory_kib(server)
            _verify(client, secret)
        grown_kib = _own_memory_kib(server) - before_kib
    line = Line(f"memory per cached key ({keys:,} cached)")
    line.judge("bytes", grown_kib * 1024 / (keys - keys // 10), at_most=1_500)
    return line


def _own_memory_kib(server: ServerProcess) -> int:
    wait_until_quiet(pid_of(server))
    return memory_kib(pid_of(server), "RssAnon")


def _verify(client: httpx.Client, secret: str) -> None:
    answer = client.post("/v1/keys.verifyKey", json={"key": secret})
    if answer.status_code != 200 or answer.json()["code"] not in ("VALID", "NOT_FOUND"):
        raise RuntimeError(answer.text)
