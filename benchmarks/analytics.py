"""How dear verification events are to count, and how fast their counts are read.

`python -m benchmarks.analytics` sends ten million events of one api over ninety days (10,000 keys, 500 identities, 20
lists of tags) through the real spool and the real transfer, asks the questions of `analytics.getVerifications` and
compares every answer with a count made beside it. Keys and tags are drawn uniformly: nearly every event is then a row
of its own per hour and per day, which is the worst there is for counts. Progress goes to standard error.
"""

import argparse
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from keystead.core.events import encode_event, encode_subject
from keystead.core.series import COUNTED_OUTCOMES, DAY_MS, HOUR_MS, Group, SeriesQuery, SeriesRow, Slice, slice_start
from keystead.sinks import tables
from keystead.sinks.analytics import Analytics, open_engine
from keystead.sinks.spool import Spool
from keystead.sinks.transfer import Transfer
from keystead.stores import migrate

START_MS = 1_767_225_600_000  # 2026-01-01
DAYS = 90
END_MS = START_MS + DAYS * DAY_MS - 1
KEYSPACE = "ks_benchmark"
WATCHED_KEY = 4_321
_FLUSH_EVERY = 500
_TRANSFER_EVERY = 100_000
_REPETITIONS = 7
_AT_MOST = 500_000


@dataclass
class Load:
    """What loading cost, and the counts made beside it: group → number of events."""

    per_day: Counter[int] = field(default_factory=Counter)
    per_key: Counter[int] = field(default_factory=Counter)
    per_identity: Counter[int] = field(default_factory=Counter)
    per_tags: Counter[int] = field(default_factory=Counter)
    watched_hours: Counter[int] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    transfer_cpu_s: float = 0.0
    transfer_wall_s: float = 0.0
    slowest_round_s: float = 0.0


@dataclass(frozen=True)
class Question:
    """A query with what its answer must be, as what a row is about → total."""

    name: str
    query: SeriesQuery
    about: Callable[[SeriesRow], object]
    expected: dict[object, int]


class Site:
    """Spool, transfer and database in a folder, as a server has them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "analytics.db"
        engine = open_engine(self.file)
        migrate.upgrade(engine, tables.MIGRATIONS, tables.HEAD)
        self.counts = Analytics(engine)
        self.spool = Spool(folder / "spool")
        self.transfer = Transfer(self.spool, self.counts)

    def close(self) -> None:
        """Let go of the files."""
        self.spool.close()
        self.counts.close()


def load(site: Site, events: int, keys: int, identities: int, tag_lists: int) -> Load:
    """Send the events, in the order of their time, and carry them over as a server's thread would."""
    draw = random.Random(1).random  # the same events every time
    subjects = [
        encode_subject("ws_1", KEYSPACE, f"key_{n}", f"id_{n % identities}", f"customer {n % identities}")
        for n in range(keys)
    ]
    lists = [tuple(f"tag={n + extra}" for extra in range(n % 4)) for n in range(tag_lists)]
    lists = [(*tags, f"list={n}") if n else () for n, tags in enumerate(lists)]
    done = Load()
    for number in range(events):
        time_ms = START_MS + number * DAYS * DAY_MS // events
        key, tags = int(draw() * keys), int(draw() * tag_lists)
        outcome = "VALID" if draw() < 0.9 else COUNTED_OUTCOMES[int(draw() * len(COUNTED_OUTCOMES))]
        site.spool.record(encode_event(time_ms, f"req_{number:012d}", outcome, lists[tags], subjects[key]))
        done.per_day[slice_start(time_ms, Slice.DAY)] += 1
        done.per_key[key] += 1
        done.per_identity[key % identities] += 1
        done.per_tags[tags] += 1
        done.outcomes[outcome] += 1
        if key == WATCHED_KEY % keys:
            done.watched_hours[slice_start(time_ms, Slice.HOUR)] += 1
        if number % _FLUSH_EVERY == 0:
            site.spool.flush()
        if number % _TRANSFER_EVERY == 0:
            _carry(site, done)
            if number % 1_000_000 == 0:
                print(f"{number:,} events, {done.transfer_cpu_s:.0f} s CPU of transfer", file=sys.stderr, flush=True)
    site.spool.flush()
    _carry(site, done)
    return done


def _carry(site: Site, done: Load) -> None:
    more = True
    while more:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        more = site.transfer.transfer_once()
        took_s = time.perf_counter() - wall_s
        done.transfer_cpu_s += time.process_time() - cpu_s
        done.transfer_wall_s += took_s
        done.slowest_round_s = max(done.slowest_round_s, took_s)


def questions(done: Load, keys: int) -> Iterable[Question]:
    """What is asked, from the cheapest to the dearest."""

    def ask(slice_: Slice | None = None, *groups: Group, **more: object) -> SeriesQuery:
        return SeriesQuery(KEYSPACE, START_MS, END_MS, slice=slice_, groups=frozenset(groups), **more)  # type: ignore[arg-type]

    watched = f"key_{WATCHED_KEY % keys}"
    months = Counter[int]()
    for day_ms, events in done.per_day.items():
        months[slice_start(day_ms, Slice.MONTH)] += events
    top = dict(sorted(done.per_key.items(), key=lambda entry: -entry[1])[:10])
    total = done.per_day.total()
    yield Question("no grouping", ask(), lambda _: "all", {"all": total})
    yield Question("by month", ask(Slice.MONTH), lambda row: row.time_ms, dict(months))
    yield Question("by day", ask(Slice.DAY), lambda row: row.time_ms, dict(done.per_day))
    yield Question(
        "by hour, one key", ask(Slice.HOUR, key_ids=(watched,)), lambda r: r.time_ms, dict(done.watched_hours)
    )
    yield Question("by hour", ask(Slice.HOUR), lambda row: slice_start(row.time_ms or 0, Slice.DAY), dict(done.per_day))
    identities: dict[object, int] = {f"id_{n}": events for n, events in done.per_identity.items()}
    yield Question("by identity", ask(None, Group.IDENTITY), lambda row: row.identity_id, identities)
    yield Question("by tags", ask(None, Group.TAGS), lambda row: len(row.tags or ()) and row.tags, _by_tags(done))
    yield Question(
        "by day, one identity",
        ask(Slice.DAY, identity_id="id_7"),
        lambda _: "all",
        {"all": done.per_identity[7]},
    )
    yield Question(
        "ten keys with most events",
        ask(None, Group.KEY, order_by="total", descending=True, limit=10),
        lambda row: "all",
        {"all": sum(top.values())},
    )
    yield Question(
        "by day and identity",
        ask(Slice.DAY, Group.IDENTITY),
        lambda row: row.identity_id,
        identities,
    )
    yield Question(
        "all keys, 30 h",
        SeriesQuery(KEYSPACE, START_MS + 10 * HOUR_MS, START_MS + 40 * HOUR_MS - 1, groups=frozenset({Group.KEY})),
        lambda _: "any",
        {},
    )


def _by_tags(done: Load) -> dict[object, int]:
    found: dict[object, int] = {}
    for n, events in done.per_tags.items():
        found[(*(f"tag={n + extra}" for extra in range(n % 4)), f"list={n}") if n else 0] = events
    return found


def ask(counts: Analytics, question: Question) -> tuple[int, float, float]:
    """Number of rows, the first time and the median of the others, in ms. Raises AssertionError for a wrong answer."""
    times: list[float] = []
    rows: list[SeriesRow] = []
    for _ in range(_REPETITIONS):
        began = time.perf_counter()
        rows = counts.series(question.query, _AT_MOST)
        times.append((time.perf_counter() - began) * 1_000)
    found: Counter[object] = Counter()
    for row in rows:
        found[question.about(row)] += sum(row.counts)
    assert not question.expected or dict(found) == question.expected, question.name
    return len(rows), times[0], statistics.median(times[1:])


def main() -> None:
    """Load, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--identities", type=int, default=500)
    parser.add_argument("--tag-lists", type=int, default=20)
    parser.add_argument("--folder", help="where the database is made; a temporary folder of its own by default")
    options = parser.parse_args()
    print(f"machine: {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    print(f"size: {options.events:,} events over {DAYS} days, {options.keys:,} keys, {options.identities} identities, "
          f"{options.tag_lists} lists of tags")  # fmt: skip
    with TemporaryDirectory(dir=options.folder) as name:
        site = Site(Path(name))
        before_mib = _peak_mib()
        done = load(site, options.events, options.keys, options.identities, options.tag_lists)
        per_event = 1e6 / options.events
        print(f"transfer: {done.transfer_cpu_s * per_event:.2f} µs CPU and {done.transfer_wall_s * per_event:.2f} µs "
              f"per event, slowest round {done.slowest_round_s * 1_000:.0f} ms")  # fmt: skip
        print(f"memory: {before_mib:.0f} MiB before, at most {_peak_mib():.0f} MiB after loading")
        print(f"database: {site.file.stat().st_size / 2**20:.0f} MiB")
        for question in questions(done, options.keys):
            rows, first_ms, median_ms = ask(site.counts, question)
            print(f"{question.name:28} {rows:7,} rows  first {first_ms:8.1f} ms  then {median_ms:8.1f} ms", flush=True)
        print(f"memory: at most {_peak_mib():.0f} MiB with the queries; every total is as counted beside")
        site.close()


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
