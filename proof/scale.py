"""`python -m proof.scale`: what ten times, a hundred times, a thousand times as many keys cost.

The databases (ten thousand keys to ten million, `benchmarks/growth.py`) are made once and kept. A server runs on each,
all at the same time, and they are asked in turn, so that a busy machine is busy for all of them. What is compared is
the server's processor time per request; a ratio is the median of the rounds' ratios to the smallest database.

Cold means that the server has not met the key since it started; the system may still have the pages in its memory. Four
times as many keys are asked as the cache holds, where there are so many: ten thousand all fit.
"""

import argparse
import json
import random
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from benchmarks import growth
from benchmarks.databases import API_ID, ROOT_KEY, WORK
from benchmarks.machine import SERVER_CORE, memory_kib, on_core, process_cpu_s, wait_until_quiet
from benchmarks.verification import clear_log, pid_of
from rich.console import Console
from rich.table import Table

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess
from proof import arguments

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)

_CACHED = 20_000
"""The servers' `key_cache_entries`."""
_CONNECTIONS = 32
_API_OF_MADE = "scale"
"""Keys that a run makes are put there, and removed with it."""


@dataclass(frozen=True)
class Effort:
    """How much is asked: rounds, and requests in each; `crowd` keys are verified to overfill the cache."""

    rounds: int = 5
    warm: int = 20_000
    cold: int = 1_500
    reads: int = 200
    pages: int = 40
    changes: int = 200
    crowd: int = 4 * _CACHED
    starts: int = 3
    working_set: int = 1_000
    """The first keys, which are verified warm at every size."""


QUICK = Effort(rounds=2, warm=400, cold=100, reads=20, pages=5, changes=10, crowd=300, starts=1)
"""Enough to see that everything works."""

WARM, COLD, START, LATE, MEMORY, CROWDED = (
    "verify, warm",
    "verify, cold",
    "start to the first answer",
    "listKeys, last page",
    "memory of its own, same keys cached",
    "memory of its own, more keys asked than cached",
)


@dataclass
class Row:
    """A measurement: size → values, one a round."""

    name: str
    unit: str
    values: dict[int, list[float]] = field(default_factory=dict)

    def add(self, size: int, value: float) -> None:
        """One more value for a size."""
        self.values.setdefault(size, []).append(value)

    def value(self, size: int) -> float:
        """The median of a size."""
        return median(self.values[size])

    def ratio(self, size: int) -> float:
        """The median ratio to the smallest database, round by round."""
        smallest = self.values[min(self.values)]
        return median(value / beside for value, beside in zip(self.values[size], smallest, strict=True))


@dataclass(frozen=True)
class Bounds:
    """What must hold at every size."""

    warm_ratio: float = 1.15
    page_ratio: float = 1.5
    start_s: float = 2.0
    crowded_mib: float = 260.0
    """An idle server has 65, 20,000 cached keys 30, pages of seven connections 112, numbers of counted keys 50."""


class Callers:
    """Connections to one server that ask at the same time, each one thing after another."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._sockets = [socket.create_connection((host, int(port)), timeout=120) for _ in range(_CONNECTIONS)]

    def ask(self, requests: Iterable[bytes], proof: bytes) -> int:
        """Send all, `_CONNECTIONS` at a time; how many they were.

        Raises RuntimeError for an answer that is not 200 or does not hold `proof`.
        """
        waiting, asked = iter(requests), 0
        while some := list(islice(waiting, _CONNECTIONS)):
            for connection, request in zip(self._sockets, some, strict=False):
                connection.sendall(request)
            for connection, _ in zip(self._sockets, some, strict=False):
                answer = _answer(connection)
                if not answer.startswith(b"HTTP/1.1 200") or proof not in answer:
                    raise RuntimeError(f"not what was expected: {answer[:2000]!r}")
            asked += len(some)
        return asked

    def __enter__(self) -> "Callers":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._sockets:
            connection.close()


class Subject:
    """A database of some size with a server on it."""

    def __init__(self, keys: int, folder: Path, working_set: int) -> None:
        self.keys = keys
        self.working_set = range(working_set)
        self.folder = folder
        self.server = ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY, KEYSTEAD_KEY_CACHE_ENTRIES=str(_CACHED))
        self._random = random.Random(keys)
        self._fresh = iter(range(0))

    def __enter__(self) -> "Subject":
        clear_log(self.folder)
        with on_core(SERVER_CORE):
            self.server.start()
        try:
            with self.connected() as connection:
                _forget_made_keys(connection)
                self.api_id = connection.post("apis.createApi", {"name": _API_OF_MADE}).json["apiId"]
        except BaseException:
            self.server.kill()
            raise
        self._fresh = self._numbers_in_random_order()
        return self

    def __exit__(self, *_: object) -> None:
        # The next run is to find the database as large as this one did.
        try:
            with self.connected() as connection:
                _forget_made_keys(connection)
        finally:
            self.server.stop()

    def connected(self) -> Connection:
        """A new connection: the server closes those that have been idle for a while, as others had their turn."""
        return Connection(self.server.url, ROOT_KEY)

    @property
    def pid(self) -> int:
        """The server's process."""
        return pid_of(self.server)

    def number(self) -> int:
        """Any key's number."""
        return self._random.randrange(self.keys)

    def fresh(self, count: int) -> list[int]:
        """Numbers of keys that this server has not met yet."""
        return list(islice(self._fresh, count))

    def _numbers_in_random_order(self) -> Iterator[int]:
        # A stride without a common divisor with the number of keys meets each once; the warm ones are left out.
        stride = 7_368_787
        return (n for n in (step * stride % self.keys for step in range(self.keys)) if n not in self.working_set)


@dataclass(frozen=True)
class Operation:
    """Something the servers are asked: how many requests a round, made for a subject, and what each answer holds."""

    name: str
    count: Callable[[Effort], int]
    requests: Callable[[Subject, int], Iterable[bytes]]
    proof: Callable[[Subject], bytes]
    records: bool = False
    """Whether work goes on after the answers, which is waited for and counted."""

    def run(self, subject: Subject, effort: Effort) -> float:
        """One round; µs of processor time per request."""
        requests = list(self.requests(subject, self.count(effort)))
        with Callers(subject.server.url) as callers:
            before_s = process_cpu_s(subject.pid)
            asked = callers.ask(requests, self.proof(subject))
            if self.records:
                wait_until_quiet(subject.pid)
            return (process_cpu_s(subject.pid) - before_s) / asked * 1e6


def _post(operation: str, members: dict[str, Any], authorized: bool = True) -> bytes:
    body = json.dumps(members, separators=(",", ":")).encode()
    head = f"POST /v1/{operation} HTTP/1.1\r\nhost: scale\r\ncontent-type: application/json\r\n"
    credentials = f"authorization: Bearer {ROOT_KEY}\r\n" if authorized else ""
    return f"{head}{credentials}content-length: {len(body)}\r\n\r\n".encode() + body


def _get(operation: str, **query: Any) -> bytes:
    head = f"GET /v1/{operation}?{urlencode(query)} HTTP/1.1\r\nhost: scale\r\nauthorization: Bearer {ROOT_KEY}\r\n\r\n"
    return head.encode()


def _verifications(numbers: Iterable[int]) -> Iterator[bytes]:
    return (_post("keys.verifyKey", {"key": growth.secret(number)}, authorized=False) for number in numbers)


def _warm(subject: Subject, count: int) -> Iterator[bytes]:
    requests = list(_verifications(subject.working_set))
    return (requests[n % len(requests)] for n in range(count))


def _creations(subject: Subject, count: int) -> list[bytes]:
    return [_post("keys.createKey", {"apiId": subject.api_id, "name": "made", "meta": {"plan": "pro"}})] * count


def _deletions(subject: Subject, count: int) -> Iterator[bytes]:
    with subject.connected() as connection:
        page = connection.get("apis.listKeys", apiId=subject.api_id, limit=count).json["keys"]
    return (_post("keys.deleteKey", {"keyId": key["id"], "permanent": True}) for key in page)


def _pages(**query: Any) -> Callable[[Subject, int], list[bytes]]:
    return lambda _, count: [_get("apis.listKeys", apiId=API_ID, limit=100, **query)] * count


def _last_pages(subject: Subject, count: int) -> list[bytes]:
    return _pages(cursor=growth.key_id(subject.keys - 101))(subject, count)


def _each(ask: Callable[[int], bytes]) -> Callable[[Subject, int], list[bytes]]:
    return lambda subject, count: [ask(subject.number()) for _ in range(count)]


def _total(subject: Subject) -> bytes:
    return b'"total":%d' % subject.keys


OPERATIONS = (
    Operation(WARM, lambda effort: effort.warm, _warm, lambda _: b'"VALID"', records=True),
    Operation(
        COLD, lambda effort: effort.cold, lambda s, n: _verifications(s.fresh(n)), lambda _: b'"VALID"', records=True
    ),
    Operation(
        "getKey",
        lambda effort: effort.reads,
        _each(lambda n: _get("keys.getKey", keyId=growth.key_id(n))),
        lambda _: b'"externalId"',
    ),
    Operation("createKey", lambda effort: effort.changes, _creations, lambda _: b'"keyId"'),
    Operation("deleteKey", lambda effort: effort.changes // 2, _deletions, lambda _: b"{}"),
    Operation("listKeys, first page", lambda effort: effort.pages, _pages(), _total),
    Operation(LATE, lambda effort: effort.pages, _last_pages, _total),
    Operation(
        "listKeys of an externalId",
        lambda effort: effort.reads,
        _each(lambda n: _get("apis.listKeys", apiId=API_ID, externalId=growth.external_id(n))),
        _total,
    ),
    Operation(
        "listKeys of an ownerId",
        lambda effort: effort.reads,
        _each(lambda n: _get("apis.listKeys", apiId=API_ID, ownerId=growth.external_id(n))),
        _total,
    ),
    Operation(
        "listIdentities, first page",
        lambda effort: effort.pages,
        lambda _, n: [_get("identities.listIdentities", limit=100)] * n,
        lambda _: b'"total"',
    ),
    Operation(
        "getVerifications of an ownerId",
        lambda effort: effort.reads,
        _each(lambda n: _get("keys.getVerifications", ownerId=growth.external_id(n))),
        lambda _: b'"verifications"',
    ),
)


def measure(folders: dict[int, Path], effort: Effort) -> list[Row]:
    """Everything, for each size (→ folder with its database); prints how long each part took."""
    rows = [_timed(START, lambda: _starts(folders, effort))]
    with ExitStack() as stack:
        subjects = [
            stack.enter_context(Subject(keys, folder, effort.working_set)) for keys, folder in sorted(folders.items())
        ]
        for operation in OPERATIONS:
            rows.append(_timed(operation.name, lambda operation=operation: _rounds(operation, subjects, effort)))
            if operation.name == COLD:
                rows.append(_memory(MEMORY, subjects))
        rows += _timed("more keys asked than cached", lambda: _crowd(subjects, effort))
    return rows


def _rounds(operation: Operation, subjects: Sequence[Subject], effort: Effort) -> Row:
    row = Row(operation.name, "µs")
    if operation.name == WARM:
        for subject in subjects:
            operation.run(subject, effort)  # now they are cached
    for number in range(effort.rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            row.add(subject.keys, operation.run(subject, effort))
    return row


def _memory(name: str, subjects: Sequence[Subject], kind: str = "RssAnon") -> Row:
    row = Row(name, "MiB")
    for subject in subjects:
        wait_until_quiet(subject.pid)
        row.add(subject.keys, memory_kib(subject.pid, kind) / 1024)
    return row


def _crowd(subjects: Sequence[Subject], effort: Effort) -> list[Row]:
    for subject in subjects:
        with Callers(subject.server.url) as callers:
            callers.ask(_verifications(subject.fresh(effort.crowd)), b'"VALID"')
    return [_memory(CROWDED, subjects), _memory("memory with mapped files", subjects, "VmRSS")]


def _starts(folders: dict[int, Path], effort: Effort) -> Row:
    row = Row(START, "s")
    for number in range(effort.starts):
        for keys, folder in sorted(folders.items(), reverse=number % 2 == 1):
            began_s = time.monotonic()
            with ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY) as server, Connection(server.url) as connection:
                answer = connection.post("keys.verifyKey", {"key": growth.secret(number)})
                row.add(keys, time.monotonic() - began_s)
                if answer.json["code"] != "VALID":
                    raise RuntimeError(f"the first answer was {answer.body!r}")
    return row


def violations(rows: Sequence[Row], bounds: Bounds) -> list[str]:
    """What grows more than it may."""
    by_name = {row.name: row for row in rows}
    largest = max(by_name[WARM].values)
    found = []
    for name, bound in (
        (WARM, bounds.warm_ratio),
        ("listKeys, first page", bounds.page_ratio),
        (LATE, bounds.page_ratio),
    ):
        if by_name[name].ratio(largest) > bound:
            found.append(f"{name}: {by_name[name].ratio(largest):.2f} times the smallest, more than {bound:g}")
    for name, bound in ((START, bounds.start_s), (CROWDED, bounds.crowded_mib)):
        row = by_name[name]
        found += [
            f"{name}: {row.value(size):.2f} {row.unit} at {size:,} keys, more than {bound:g}"
            for size in row.values
            if row.value(size) > bound
        ]
    return found


def print_table(rows: Sequence[Row], sizes: Sequence[int]) -> None:
    """Values and, from the second size on, ratios to the first."""
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    table = Table("", "", *(f"{size:,} keys" for size in sizes))
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        cells = [
            f"{row.value(size):,.{2 if row.unit == 's' else 1}f}"
            + (f"  {row.ratio(size):.2f}x" if size > sizes[0] else "")
            for size in sizes
        ]
        table.add_row(row.name, row.unit, *cells)
    console.print(table)


def summary(rows: Sequence[Row], found: Sequence[str], seconds: float) -> str:
    """The run in one line."""
    by_name = {row.name: row for row in rows}
    largest = max(by_name[WARM].values)
    return (
        f"scale: {min(by_name[WARM].values):,} to {largest:,} keys in {seconds:.0f} s, at the largest: "
        f"verify warm {by_name[WARM].ratio(largest):.2f}x, cold {by_name[COLD].ratio(largest):.2f}x, "
        f"last page {by_name[LATE].ratio(largest):.2f}x, start {by_name[START].value(largest):.2f} s, "
        f"{by_name[CROWDED].value(largest):.0f} MiB of its own; {'; '.join(found) or 'no violation'}"
    )


def main() -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof.scale", description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=arguments.counts, default=SIZES, help="sizes, each ten times the one before")
    parser.add_argument("--quick", action="store_true", help="few requests: whether it works, not what it costs")
    parser.add_argument("--work", type=Path, default=WORK, help="where the databases are kept")
    options = parser.parse_args()
    sizes: Sequence[int] = options.keys
    folders = {
        size: _timed(f"database of {size:,} keys", lambda size=size: growth.grown(size, options.work)) for size in sizes
    }
    began_s = time.monotonic()
    rows = measure(folders, QUICK if options.quick else Effort())
    print_table(rows, sizes)
    found = [] if options.quick else violations(rows, Bounds())
    print(summary(rows, found, time.monotonic() - began_s))
    return 1 if found else 0


def _forget_made_keys(connection: Connection) -> None:
    """Remove what this run has made, or an earlier one that was broken off."""
    for api in connection.get("apis.listApis", limit=100).json["apis"]:
        if api["name"] == _API_OF_MADE:
            connection.post("apis.deleteKeys", {"apiId": api["id"], "permanent": True})
            connection.post("apis.deleteApi", {"apiId": api["id"]})


def _answer(connection: socket.socket) -> bytes:
    """One whole answer."""
    received = connection.recv(262_144)
    while True:
        if not received:
            raise ConnectionError("the server closed the connection")
        end = received.find(b"\r\n\r\n")
        if end >= 0:
            start = received.lower().find(b"content-length:", 0, end) + 15
            if len(received) >= end + 4 + int(received[start : received.find(b"\r\n", start)]):
                return received
        received += connection.recv(262_144)


def _timed(what: str, do: Callable[[], Any]) -> Any:
    began_s = time.monotonic()
    result = do()
    print(f"{what}: {time.monotonic() - began_s:.1f} s", file=sys.stderr, flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
