"""The simulated disk and SQLite on it: what a crash, a loss of power and a failing disk leave."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from proof.simulation.disk import Change, Disk, File
from proof.simulation.scheduler import Life, LifeEnded, Scheduler
from proof.simulation.trace import Trace
from proof.simulation.world import the_vfs

NAME = "kept.db"


class Machine:
    """A disk with SQLite on it and processes to kill, without a server."""

    def __init__(self, seed: int) -> None:
        self.failures: list[str] = []
        self.scheduler = Scheduler(Random(f"{seed} scheduler"), Trace(100), 0.0, self.failures)
        self.disk = Disk(self.scheduler, Random(f"{seed} disk"), self._crash)
        self.life = Life(0)
        self._power_loss = False
        the_vfs().mount(self.disk, self.scheduler, lambda: 0, Random(seed).randbytes, self.failures)

    def run(self, work: object) -> list[object]:
        """Let a process do `work(connect)`; what it has said with `say` until it ended, by itself or by a crash."""
        life = self.life = Life(self.life.number + 1)
        connections: list[sqlite3.Connection] = []
        said: list[object] = []

        def connect() -> sqlite3.Connection:
            connection = the_vfs().connect(Path(NAME))
            connection.isolation_level = None
            connections.append(connection)
            return connection

        def body() -> None:
            try:
                work(connect, said.append)  # type: ignore[operator]
            except sqlite3.DatabaseError as error:
                if life.is_dead:
                    raise LifeEnded from error
                said.append(str(error))

        fiber = self.scheduler.start(body, f"process {life.number}", life)
        self.scheduler.join(fiber)
        self.scheduler.kill(life)
        for connection in connections:
            connection.close()
        the_vfs().bury(life)
        if self._power_loss:
            self._power_loss = False
            self.disk.lose_power()
        return said

    def rows(self) -> list[int]:
        """What is in the table after recovery, in a process of its own."""
        said = self.run(lambda connect, say: say([row[0] for row in connect().execute("SELECT n FROM t ORDER BY n")]))
        assert isinstance(said[0], list), said  # else SQLite says what is wrong with it
        return said[0]

    def _crash(self, power_loss: bool) -> None:
        self._power_loss = power_loss
        self.scheduler.kill(self.life)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine(1)
    yield machine
    assert machine.failures == []


def insert_many(journal: str, synchronous: str) -> object:
    """Work that makes a table and inserts numbers, each in its own transaction, saying each once it is committed."""

    def work(connect: object, say: object) -> None:
        connection = connect()  # type: ignore[operator]
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute(f"PRAGMA synchronous={synchronous}")
        connection.execute("PRAGMA wal_autocheckpoint=5")
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filler BLOB)")
        (last,) = connection.execute("SELECT coalesce(max(n), -1) FROM t").fetchone()
        for number in range(last + 1, last + 9):
            connection.execute("INSERT INTO t VALUES (?, randomblob(700))", (number,))
            say(number)  # type: ignore[operator]

    return work


@pytest.mark.parametrize("power_loss", [False, True])
@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_committed_is_kept_whenever_it_crashes(journal: str, power_loss: bool) -> None:
    """Killed or without power in the middle of any change, a database that syncs holds each committed row, in order."""
    crashes = 0
    for change in range(1, 90):
        machine = Machine(change)
        machine.run(insert_many(journal, "EXTRA"))
        machine.disk.crash_at_change(change, power_loss=power_loss)
        said = machine.run(insert_many(journal, "EXTRA"))
        crashes += len(said) < 8
        rows = machine.rows()
        assert rows == list(range(len(rows)))
        assert len(rows) in (8 + len(said), 9 + len(said))
        assert machine.failures == []
    assert crashes > 30


def test_a_loss_of_power_takes_what_was_not_synced() -> None:
    """A database that does not sync loses committed rows, or is damaged: the loss of power is not harmless."""
    kept = []
    for seed in range(30):
        machine = Machine(seed)
        machine.run(insert_many("WAL", "FULL"))
        machine.disk.crash_at_change(22, power_loss=True)
        said = machine.run(insert_many("WAL", "OFF"))
        try:
            kept.append(len(machine.rows()) >= 8 + len(said))
        except AssertionError:
            kept.append(False)
    assert not all(kept)


def test_a_kill_takes_nothing() -> None:
    """A database that does not sync loses nothing when only its process is killed."""
    for seed in range(20):
        machine = Machine(seed)
        machine.run(insert_many("WAL", "OFF"))
        machine.disk.crash_at_change(20 + seed)
        said = machine.run(insert_many("WAL", "OFF"))
        assert len(machine.rows()) >= 8 + len(said)


def test_a_write_is_torn_at_any_byte() -> None:
    """The write in the middle of which a process is killed is done to different lengths, not only whole or not."""
    sizes = set()
    for seed in range(60):
        machine = Machine(seed)
        machine.disk.crash_at_change(1)
        machine.run(insert_many("DELETE", "FULL"))
        file = machine.disk.open(f"{NAME}-journal", create=False, syncs_folder=False)
        sizes.add(len(file.data) if file is not None else 0)
    assert len(sizes) > 5


def test_a_full_disk(machine: Machine) -> None:
    """When no file can grow SQLite says so and keeps what there was; with space again it goes on."""
    machine.run(insert_many("WAL", "FULL"))
    machine.disk.fill()
    assert machine.run(insert_many("WAL", "FULL"))[-1] == "database or disk is full"
    machine.disk.free()
    machine.run(insert_many("WAL", "FULL"))
    rows = machine.rows()
    assert rows == list(range(len(rows)))
    assert len(rows) >= 16


@pytest.mark.parametrize("change", list(Change))
def test_each_change_can_fail(machine: Machine, change: Change) -> None:
    """A change that is to fail fails, once, in the files that are meant, and SQLite takes notice."""
    machine.run(insert_many("DELETE", "EXTRA"))
    journal_mode = "TRUNCATE" if change is Change.TRUNCATE else "DELETE"
    machine.disk.fail_next(change, f"{NAME}-journal")
    said = machine.run(insert_many(journal_mode, "EXTRA"))
    assert said[-1] != 15, "nothing failed"
    assert "disk I/O error" in str(said[-1])
    assert machine.run(insert_many("DELETE", "EXTRA"))[-1] != said[-1]


def test_a_partial_sync_is_no_sync() -> None:
    """What a failed sync did not carry over is not carried over by the next one, unless it is written again."""
    lost = 0
    for seed in range(40):
        file = File("file", syncs_folder=False)
        file.write(0, b"a" * 512)
        file.sync_partly(Random(seed))
        file.sync()
        file.lose_power(Random(seed))
        lost += bytes(file.data) != b"a" * 512
    assert 5 < lost < 35


def test_unsynced_writes_survive_by_sectors() -> None:
    """Of an unsynced write any of its sectors may be there, and synced bytes around it stay."""
    outcomes = set()
    for seed in range(60):
        file = File("file", syncs_folder=False)
        file.write(0, b"-" * 2048)
        file.sync()
        file.write(256, b"x" * 1024)
        file.lose_power(Random(seed))
        assert len(file.data) == 2048
        assert bytes(file.data[:256]) == b"-" * 256
        assert bytes(file.data[1280:]) == b"-" * 768
        outcomes.add(tuple(bytes(file.data[start:end]) for start, end in ((256, 512), (512, 1024), (1024, 1280))))
    assert len(outcomes) == 8


def test_waiting_for_a_lock_takes_virtual_time(machine: Machine) -> None:
    """A connection that finds the database locked waits as long as it was told to, in virtual time, and gives up."""

    def work(connect: object, say: object) -> None:
        first, second = connect(), connect()  # type: ignore[operator]
        first.execute("CREATE TABLE t (n)")
        first.execute("BEGIN IMMEDIATE")
        began_us, began_s = machine.scheduler.now_us, time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            second.execute("BEGIN IMMEDIATE")
        say((machine.scheduler.now_us - began_us) / 1e6)  # type: ignore[operator]
        say(time.monotonic() - began_s)  # type: ignore[operator]

    virtual_s, real_s = machine.run(work)
    assert isinstance(virtual_s, float)
    assert isinstance(real_s, float)
    assert 9 < virtual_s < 12
    assert real_s < 5


def test_readers_beside_a_writer(machine: Machine) -> None:
    """In WAL mode a reader keeps its state while another connection commits, and sees the commit afterwards."""

    def work(connect: object, say: object) -> None:
        writer, reader = connect(), connect()  # type: ignore[operator]
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("CREATE TABLE t (n)")
        reader.execute("BEGIN")
        for expected in ("before", "during"):
            if expected == "during":
                writer.execute("INSERT INTO t VALUES (1)")
            say(reader.execute("SELECT count(*) FROM t").fetchone()[0])  # type: ignore[operator]
        reader.execute("COMMIT")
        say(reader.execute("SELECT count(*) FROM t").fetchone()[0])  # type: ignore[operator]

    assert machine.run(work) == [0, 0, 1]


def test_other_databases_stay_where_they_are(machine: Machine, tmp_path: Path) -> None:
    """A connection that does not ask for the simulated disk is on the real one."""
    machine.run(insert_many("WAL", "FULL"))
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute("CREATE TABLE t (n)")
    connection.commit()
    connection.close()
    assert (tmp_path / NAME).read_bytes().startswith(b"SQLite format 3")
    assert not Path(NAME).exists()
