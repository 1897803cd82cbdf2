"""`python -m proof.full_disk`: a real server on a disk of a few MiB that is filled while clients work.

While it is full, changes and spends are refused with a clear 503 and change nothing; everything else is answered, and
its events wait in memory. When there is room again all is as the clients were told, without a restart. Then the server
is stopped and killed on the full disk, and started on it (docs/full-disk.md).
"""

import argparse
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess
from proof import arguments
from proof.full_disk_books import Books, log_lines
from proof.small_disk import NoSmallDisk, SmallDisk, enter_namespace

CLIENTS = 4
DISK_MEBIBYTES = 16
ROOT_KEY = "keystead_root_key_of_the_full_disk"
LOG_LINES_PER_MINUTE = 20
"""What a server may say about a full disk; everything it tells of, it tells of at once and then once a minute."""
GROWTH_KIB = 48 * 1024
RECOVERED_S = 5.0
"""After which no call may be refused any more once there is room."""
AMPLE_BUFFER = 32 * 1024 * 1024
TINY_BUFFER = 4096


class Site:
    """A server and what it was put on: `full` is the small disk with some or all of its files."""

    def __init__(self, folder: Path, full: SmallDisk, seed: int, buffer_bytes: int, alone: str = "") -> None:
        """`alone` is the setting whose file or folder is all that lies on the small disk, "" for everything."""
        self.full = full
        self.home = folder if alone else full.folder
        paths = {"KEYSTEAD_DATABASE_URL": self.home / "keystead.db"}
        if alone:
            paths[f"KEYSTEAD_{alone.upper()}"] = full.folder / alone
        self.analytics = paths.get("KEYSTEAD_ANALYTICS_DATABASE", self.home / "keystead-analytics.db")
        self.server = _server(folder, paths, buffer_bytes).start()
        self.books = Books(self.server.url, ROOT_KEY, seed)

    @property
    def violations(self) -> list[str]:
        """What is not as it must be."""
        return self.books.violations

    def work(self, seconds: float, enough: Callable[[], bool] = lambda: True) -> None:
        """Let the clients work for so long, and on until it is `enough`."""
        end_s, last_s = time.monotonic() + seconds, time.monotonic() + seconds + 60
        failures: list[BaseException] = []

        def is_over() -> bool:
            now_s = time.monotonic()
            return bool(failures) or now_s > last_s or (now_s > end_s and enough())

        def client() -> None:
            try:
                with Connection(self.books.url, ROOT_KEY) as connection:
                    self.books.work(is_over, connection)
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.violations.extend(f"a client failed: {error!r}" for error in failures)
        if not failures and not enough():
            self.violations.append("what had to happen on the full disk did not within a minute")

    def work_while_it_fills(self, seconds: float, enough: Callable[[], bool] = lambda: True) -> None:
        """Fill the disk in the middle of the work, and go on."""
        filler = threading.Timer(min(0.3, seconds / 4), self.full.fill)
        filler.start()
        self.work(seconds, enough)
        filler.join()

    def refusals(self) -> int:
        """Calls answered 503 so far."""
        return sum(times for (_, status), times in self.books.statuses.items() if status == 503)

    def recover(self, seconds: float) -> None:
        """Empty the disk; after a moment nothing may be refused any more."""
        self.full.empty()
        deadline_s = time.monotonic() + RECOVERED_S
        while self._is_refused() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        before = self.refusals()
        self.work(seconds)
        if self.refusals() > before:
            self.violations.append(f"{self.refusals() - before} calls were refused after the disk had been emptied")

    def _is_refused(self) -> bool:
        with Connection(self.books.url, ROOT_KEY) as client:
            return self.books.make(client, self.books._spend("0")).status == 503

    def check(self) -> None:
        """Compare what clients were told with what is there."""
        self.books.check(self.home, self.analytics)

    def memory_kib(self) -> int:
        """The server's resident memory."""
        assert self.server.process is not None
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def log(self) -> Counter[str]:
        """How often the server has said what; a traceback is a violation."""
        lines = log_lines(self.server.folder / "server.log")
        raw = [line["raw"] for line in lines if line["event"] == "raw"]
        if raw:
            self.violations.append(f"the log holds what is no message: {raw[-1]}")
        return Counter(line["event"] for line in lines)

    def note_losses(self, events: int = 0) -> None:
        """Take what the process that has ended said it lost."""
        # It may have said nothing because its disk was full: its last words are on another one here.
        for line in log_lines(self.server.folder / "server.log")[self._noted :]:
            if line["event"] == "verification_log_lost_events":
                events += line["at_close"] + line["dropped"]
            if line["event"] == "audit_entries_lost" and "storage" in line["error"]:
                self.books.lost_entries += line["entries"]
            self._noted += 1
        self.books.lost_events += events

    _noted = 0

    def close(self) -> None:
        """End the server."""
        self.server.__exit__(None, None, None)


@contextmanager
def site(seed: int, buffer_bytes: int, alone: str = "") -> Iterator[Site]:
    """A running server on a small disk of its own."""
    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="keystead-full-disk-"))
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        disk = closing.enter_context(SmallDisk(folder / "disk", DISK_MEBIBYTES))
        made = Site(folder, disk, seed, buffer_bytes, alone)
        closing.callback(made.close)
        yield made


# The scenarios; each gives the books it kept


def everything_on_it(seconds: float, seed: int) -> Books:
    """All files on the disk that fills: refusals, then full recovery without a restart and without a loss."""
    with site(seed, AMPLE_BUFFER) as here:
        here.work(seconds / 2)
        before_kib, lines_before = here.memory_kib(), here.log().total()
        here.work_while_it_fills(seconds, lambda: here.refusals() > 20)
        grown_kib, said = here.memory_kib() - before_kib, here.log().total() - lines_before
        if grown_kib > GROWTH_KIB:
            here.violations.append(f"memory grew by {grown_kib} KiB on the full disk")
        if said > LOG_LINES_PER_MINUTE * (1 + seconds / 60):
            here.violations.append(f"the log grew by {said} lines on the full disk: {here.log()}")
        here.recover(seconds / 2)
        if here.books.metrics()["verification_events_dropped_total"]:
            here.violations.append("events were dropped though memory had room for them")
        here.check()
        return here.books


def memory_overflows(seconds: float, seed: int) -> Books:
    """With a tiny buffer events are dropped, and what is counted afterwards is what was answered without them."""
    with site(seed, TINY_BUFFER) as here:

        def dropped() -> bool:
            return here.books.metrics()["verification_events_dropped_total"] > 50

        here.work_while_it_fills(seconds, dropped)
        if here.log()["verification_log_not_written"] not in range(1, 3 + int(seconds / 60)):
            here.violations.append(f"the log tells wrongly of dropped events: {here.log()}")
        here.recover(seconds / 2)
        here.check()
        return here.books


def analytics_on_it(seconds: float, seed: int) -> Books:
    """With only the counts on the disk that fills nothing is refused, and all is counted in the end."""
    return _nothing_refused(seconds, seed, "analytics_database")


def spool_on_it(seconds: float, seed: int) -> Books:
    """With only the verification log on the disk that fills nothing is refused, and all is counted in the end."""
    return _nothing_refused(seconds, seed, "spool_folder")


def _nothing_refused(seconds: float, seed: int, alone: str) -> Books:
    with site(seed, AMPLE_BUFFER, alone) as here:

        def shows() -> bool:
            now = here.books.metrics()
            return now["verification_log_failed_transfers_total"] + now["verification_events_buffered"] > 0

        here.work_while_it_fills(seconds, shows)
        here.recover(seconds / 2)
        if here.refusals():
            here.violations.append(f"{here.refusals()} calls were refused though storage had room")
        here.check()
        return here.books


def ended_on_it(seconds: float, seed: int) -> Books:
    """Stopped, started and killed on the full disk: what was acknowledged is there, what was lost has been said."""
    with site(seed, AMPLE_BUFFER) as here:
        here.work_while_it_fills(seconds / 2, lambda: here.refusals() > 5)
        code = here.server.stop()
        here.note_losses()
        has_lost = here.books.lost_events + here.books.lost_entries > 0
        if code != (1 if has_lost else 0):
            here.violations.append(f"stopped on the full disk, {here.books.lost_events} events lost, exit code {code}")
        _start_on_full(here)
        here.full.empty()
        if here.server.process is None or here.server.process.poll() is not None:
            here.server.start()
        here.work(seconds / 4)
        here.check()
        here.work_while_it_fills(seconds / 2, lambda: here.refusals() > 5)
        time.sleep(0.5)  # what is under way in the transfer's thread
        last = here.books.metrics()
        here.server.kill()
        here.books.lost_events += int(last["verification_events_buffered"] + last["verification_events_dropped_total"])
        here.books.lost_entries += int(last["audit_entries_waiting"] + last["audit_entries_lost_total"])
        _start_on_full(here)
        here.full.empty()
        if here.server.process is None or here.server.process.poll() is not None:
            here.server.start()
        here.work(seconds / 4)
        here.check()
        return here.books


def _start_on_full(here: Site) -> None:
    """Start on the full disk: it serves, or ends at once with one sentence and without a traceback."""
    text = _start(here.server)
    if text is None:
        print("    a start on the full disk: serves")
        here.work(0.5)
        return
    if "error: " not in text or "Traceback" in text:
        here.violations.append(f"a start on the full disk ended with {text}")
    print(f"    a start on the full disk: {text.rpartition('error: ')[2].strip()}")


def _start(server: ServerProcess) -> str | None:
    """None if it serves, otherwise what it said."""
    try:
        server.start()
    except RuntimeError as error:
        # What it said at its end is no message of a running server.
        log = server.folder / "server.log"
        log.write_text("".join(line for line in log.read_text().splitlines(True) if not line.startswith("error: ")))
        return str(error)
    return None


def _server(folder: Path, paths: Mapping[str, Path], buffer_bytes: int) -> ServerProcess:
    return ServerProcess(
        folder,
        **{name: str(path) for name, path in paths.items()},
        KEYSTEAD_ROOT_KEY=ROOT_KEY,
        KEYSTEAD_METRICS="true",
        KEYSTEAD_LOG_FORMAT="json",
        KEYSTEAD_SPOOL_BUFFER_BYTES=str(buffer_bytes),
        KEYSTEAD_ANALYTICS_INTERVAL_S="0.1",
    )


def begun_on_it(seconds: float, seed: int) -> Books:
    """The very first start with hardly any room: it serves, or says in a sentence what it needs, never half of both."""
    amounts = range(0, 2048, max(32, int(800 / seconds)))
    served, last = 0, ""
    for kibibytes in amounts:
        with ExitStack() as closing:
            folder = Path(tempfile.mkdtemp(prefix="keystead-full-disk-"))
            closing.callback(shutil.rmtree, folder, ignore_errors=True)
            disk = closing.enter_context(SmallDisk(folder / "disk", DISK_MEBIBYTES))
            disk.leave(kibibytes * 1024)
            server = _server(folder, {"KEYSTEAD_DATABASE_URL": disk.folder / "keystead.db"}, AMPLE_BUFFER)
            closing.callback(server.__exit__, None, None, None)
            text = _start(server)
            if text is None:
                served += 1
            elif "error: " not in text or "Traceback" in text:
                raise RuntimeError(f"a first start with {kibibytes} KiB ended with {text}")
            else:
                last = f"with {kibibytes} KiB: {text.rpartition('error: ')[2].strip()}"
            disk.empty()
            if text is not None:
                server.start()
            made = Books(server.url, ROOT_KEY, seed)
            made.check(disk.folder, disk.folder / "keystead-analytics.db")
            if made.violations:
                return made
    print(f"    {len(amounts)} first starts, {served} of them served; the last that did not, {last}")
    return made


Scenario = Callable[[float, int], Books]

SCENARIOS: Sequence[Scenario] = (
    everything_on_it,
    memory_overflows,
    analytics_on_it,
    spool_on_it,
    ended_on_it,
    begun_on_it,
)


def run(scenarios: Sequence[Scenario], seconds: float, seed: int) -> int:
    """Run scenarios for about so many seconds each; the exit code."""
    total: Counter[str] = Counter()
    for number, scenario in enumerate(scenarios):
        print(f"{scenario.__name__}: {(scenario.__doc__ or '').partition(':')[0]}", flush=True)
        try:
            books = scenario(seconds, seed + number)
        except Exception:  # a server that did not come back, say
            traceback.print_exc()
            print(f"full disk: {scenario.__name__} broke off; again with --seed {seed}")
            return 1
        calls = sum(books.statuses.values())
        refused = sum(times for (_, status), times in books.statuses.items() if status == 503)
        total += Counter(calls=calls, refused=refused, events=books.events, lost=books.lost_in_all)
        print(
            f"    {calls} calls, {refused} refused, {books.events} events, slowest {books.slowest_s:.2f} s", flush=True
        )
        if books.violations:
            for violation in dict.fromkeys(books.violations):
                print(f"    VIOLATION {violation}")
            print(f"full disk: {len(books.violations)} violations in {scenario.__name__}; again with --seed {seed}")
            return 1
    print(
        f"full disk: {len(scenarios)} scenarios, {total['calls']} calls, {total['refused']} refused with 503, "
        f"{total['events']} events of which {total['lost']} were said to be lost, no violation"
    )
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=arguments.seconds, default=8.0, help="how long each scenario works")
    parser.add_argument("--seed", type=int, default=1)
    names = [scenario.__name__ for scenario in SCENARIOS]
    parser.add_argument("scenario", nargs="*", help=f"of {', '.join(names)}; all unless given")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenario) - set(names):
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    try:
        enter_namespace(["-m", "proof.full_disk", *sys.argv[1:]])
    except NoSmallDisk as error:
        print(f"full disk: {error}")
        return 1
    wanted = [scenario for scenario in SCENARIOS if scenario.__name__ in (chosen.scenario or names)]
    return run(wanted, chosen.seconds, chosen.seed)


if __name__ == "__main__":
    sys.exit(main())
