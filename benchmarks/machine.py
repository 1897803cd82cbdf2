"""The machine: which cores are used, and what processes have used, from /proc."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVER_CORE = 0
LOAD_CORE = 1

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"}


def missing_packages() -> list[str]:
    """The Debian packages that have to be installed first."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    return [package for program, package in _PACKAGES.items() if shutil.which(program, path=path) is None]


def nginx_program() -> str:
    """Where nginx is; Debian installs it outside an ordinary user's PATH."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert found is not None
    return found


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Processes started inside run on this core only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """Seconds of processor time, user and system, of a process with all its threads and its children."""
    # The command's name, in parentheses, may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(cpu_s(int(child)) for child in children)


def process_cpu_s(pid: int) -> float:
    """Seconds of processor time of a process with all its threads, without its children; to the nanosecond."""
    # The number of a process's clock, as clock_getcpuclockid(3) makes it.
    return time.clock_gettime(~pid << 3 | 2)


def wait_until_quiet(pid: int, quiet_s: float = 1.2, patience_s: float = 30.0) -> None:
    """Return once the process has used next to nothing for `quiet_s`: what a load left behind belongs to its cost."""
    give_up = time.monotonic() + patience_s
    before = cpu_s(pid)
    while time.monotonic() < give_up:
        time.sleep(quiet_s)
        now = cpu_s(pid)
        if now - before <= 0.02:
            return
        before = now


def memory_kib(pid: int, kind: str = "VmRSS") -> int:
    """KiB of memory; `RssAnon` leaves out mapped files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1])
    raise LookupError(kind)


def description() -> str:
    """Processor, cores, memory and system, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = os.uname()
    return f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, {system.sysname} {system.release}"
