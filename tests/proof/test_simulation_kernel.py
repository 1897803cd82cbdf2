"""The kernel of the simulation: who runs, what time it is, what a crash leaves. The disk is in test_simulation_disk."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest
import structlog
from proof.simulation.disk import Change
from proof.simulation.network import Answer
from proof.simulation.scheduler import Deadlock, Life, Scheduler
from proof.simulation.threads import SimThreads
from proof.simulation.trace import Trace
from proof.simulation.world import ROOT_KEY, START_MS, StartFailed, World

ROOT = Path(__file__).parent.parent.parent


def make_scheduler(seed: int = 1) -> tuple[Scheduler, list[str]]:
    """A scheduler that considers everybody at each step, and where it tells of failures."""
    failures: list[str] = []
    return Scheduler(Random(seed), Trace(100), 0.0, failures), failures


# Replay

BUSY = """
import asyncio, sys
from proof.simulation.world import World, ROOT_KEY, StartFailed

async def client(world, name):
    connection, api_id, key = world.connect(), None, None
    for _ in range(12):
        if not connection.is_open:
            await asyncio.sleep(0.02)
            connection = world.connect()
        if api_id is None:
            answer = await connection.call("apis.createApi", {"name": name}, ROOT_KEY)
            api_id = answer.json["apiId"] if answer and answer.status == 200 else None
        elif key is None:
            answer = await connection.call("keys.createKey", {"apiId": api_id, "remaining": 9}, ROOT_KEY)
            key = answer.json["key"] if answer and answer.status == 200 else None
        else:
            await connection.call("keys.verifyKey", {"key": key})

async def scenario(world):
    await world.start()
    clients = [asyncio.create_task(client(world, f"client {number}")) for number in range(3)]
    for _ in range(2):
        world.disk.crash_at_change(world.random.randint(1, 80), power_loss=world.random.random() < 0.5)
        await asyncio.wait([asyncio.create_task(world.died())], timeout=1)
        world.crash(power_loss=True)
        await world.restart()
    await asyncio.gather(*clients)
    await world.stop()

for seed in sys.argv[1:]:
    with World(int(seed)) as world:
        world.run(scenario(world))
        print(seed, world.trace.digest(), world.failures)
"""


def run_busy(*seeds: int, hash_seed: int) -> list[str]:
    """What a process of its own prints of these seeds."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY, *map(str, seeds)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.splitlines()


def test_a_seed_replays_step_by_step() -> None:
    """The same seed makes the same steps in another process, under another hash seed, before or after other seeds."""
    first, second = run_busy(1, 2, hash_seed=1), run_busy(2, 1, hash_seed=2)
    assert first == second[::-1]
    assert first[0].split()[1] != first[1].split()[1]
    assert all(line.endswith("[]") for line in first)


# Fibers


def test_one_fiber_at_a_time_in_many_orders() -> None:
    """Between two steps nobody else runs; and who goes first differs from seed to seed."""
    orders = set()
    for seed in range(20):
        scheduler, failures = make_scheduler(seed)
        threads = SimThreads(scheduler, None)
        order: list[str] = []

        def work(name: str, order: list[str] = order, scheduler: Scheduler = scheduler) -> None:
            for _ in range(3):
                order.append(name)
                order.append(name)  # no step in between
                scheduler.switch()

        fibers = [threads.start(lambda name=name: work(name), name) for name in "ab"]  # type: ignore[misc]
        for fiber in fibers:
            fiber.join()
        assert order[::2] == order[1::2]
        assert not failures
        orders.add("".join(order))
    assert len(orders) > 5


def test_a_lock_admits_one() -> None:
    """Of many fibers that step inside a lock no two are inside together, and all get their turn."""
    scheduler, _ = make_scheduler()
    threads = SimThreads(scheduler, None)
    lock, inside, most, done = threads.lock(), [0], [0], [0]

    def work() -> None:
        for _ in range(20):
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                scheduler.switch()
                inside[0] -= 1
            done[0] += 1

    for fiber in [threads.start(work, f"fiber {number}") for number in range(4)]:
        fiber.join()
    assert (most[0], done[0]) == (1, 80)


def test_a_queue_keeps_the_order() -> None:
    """What is put is got, once, in the order it was put."""
    scheduler, _ = make_scheduler()
    threads = SimThreads(scheduler, None)
    queue, got = threads.queue(), []

    def take() -> None:
        while (item := queue.get()) is not None:
            got.append(item)

    fiber = threads.start(take, "taker")
    for number in range(100):
        queue.put(number)
    queue.put(None)
    fiber.join()
    assert got == list(range(100))


def test_waiting_takes_virtual_time_only() -> None:
    """An hour's wait for an event moves virtual time by an hour and takes no real time."""
    scheduler, _ = make_scheduler()
    began_s = time.monotonic()
    assert not SimThreads(scheduler, None).event().wait(3600)
    assert 3600_000_000 <= scheduler.now_us < 3601_000_000
    assert time.monotonic() - began_s < 5


def test_an_executor_has_so_many_workers() -> None:
    """No more calls run at once than there are workers; results and exceptions come back."""
    scheduler, _ = make_scheduler()
    executor = SimThreads(scheduler, None).executor(2, "worker")
    inside, most = [0], [0]

    def work(number: int) -> int:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        scheduler.sleep(1000)
        inside[0] -= 1
        return 100 // number

    futures = [executor.submit(work, number) for number in (0, 1, 2, 4, 5)]
    executor.shutdown()
    assert isinstance(futures[0].exception(), ZeroDivisionError) or inside[0]
    assert [future.result() for future in futures[1:]] == [100, 50, 25, 20]
    assert most[0] == 2


def test_a_deadlock_is_told() -> None:
    """When nobody can run and no timer is set, waiting raises instead of hanging."""
    scheduler, _ = make_scheduler()
    with pytest.raises(Deadlock):
        SimThreads(scheduler, None).queue().get()


def test_an_exception_nobody_takes_is_told() -> None:
    """A thread that dies of an exception is a failure of the world."""
    scheduler, failures = make_scheduler()
    SimThreads(scheduler, None).start(lambda: 1 // 0, "unlucky").join()  # type: ignore[arg-type,return-value]
    assert failures == ["unlucky ended: ZeroDivisionError('integer division or modulo by zero')"]


def test_a_killed_life_ends_before_anybody_goes_on() -> None:
    """After a kill each fiber of the life leaves at its next step, whatever it waits for, and does nothing more."""
    scheduler, failures = make_scheduler()
    life = Life(1)
    threads = SimThreads(scheduler, life)
    lock, queue, event, reached = threads.lock(), threads.queue(), threads.event(), []

    def hold() -> None:
        with lock:
            scheduler.sleep(10**9)
            reached.append("slept")

    def wait_for_lock() -> None:
        scheduler.sleep(500)
        with lock:
            reached.append("locked")

    waits = (hold, wait_for_lock, queue.get, event.wait, lambda: scheduler.sleep(10**9))
    for number, wait in enumerate(waits):
        threads.start(wait, f"fiber {number}")  # type: ignore[arg-type]
    scheduler.sleep(1000)
    scheduler.kill(life)
    assert life.fibers
    scheduler.switch()
    assert (life.fibers, reached, failures) == ([], [], [])


# A world


async def make_key(world: World, **members: object) -> str:
    """A key of a new api."""
    connection = world.connect()
    api = await connection.call("apis.createApi", {"name": "payments"}, ROOT_KEY)
    assert api is not None
    key = await connection.call("keys.createKey", {"apiId": api.json["apiId"], **members}, ROOT_KEY)
    assert key is not None
    assert key.status == 200
    return str(key.json["key"])


async def verify(world: World, key: str) -> Answer | None:
    """A verification on a connection of its own."""
    return await world.connect().call("keys.verifyKey", {"key": key})


def test_acknowledged_before_the_crash_known_after_it() -> None:
    """What was answered is there after `kill -9` and after a loss of power; who was under way is answered None."""

    async def scenario(world: World) -> None:
        await world.start()
        key = await make_key(world, remaining=100)
        for power_loss in (False, True):
            waiting = [asyncio.create_task(verify(world, key)) for _ in range(5)]
            before = await verify(world, key)
            world.crash(power_loss=power_loss)
            assert not world.is_up
            left = [answer.json["remaining"] for answer in await asyncio.gather(*waiting) if answer is not None]
            await world.restart()
            after = await verify(world, key)
            assert before is not None
            assert after is not None
            # Six at most were spent since the last answer anybody got.
            assert after.json["remaining"] in range(
                min([*left, before.json["remaining"]]) - 7, before.json["remaining"]
            )

    for seed in range(4):
        with World(seed) as world:
            world.run(scenario(world))
            assert world.failures == []


def test_answers_that_left_arrive_after_the_crash() -> None:
    """Killed at any change after a request, the server's client gets a whole answer or None, never a part."""

    async def scenario(world: World, change: int) -> Answer | None:
        await world.start()
        world.disk.crash_at_change(change)
        answer = await world.connect().call("apis.createApi", {"name": "payments"}, ROOT_KEY)
        world.crash()
        world.disk.forget_plans()
        await world.restart()
        with world.database() as database:
            (count,) = database.execute("SELECT count(*) FROM apis WHERE name = 'payments'").fetchone()
        assert count in ((1,) if answer is not None else (0, 1))
        return answer

    answers = []
    for change in range(1, 40, 6):
        with World(11, latency_us=0) as world:
            answers.append(world.run(scenario(world, change)))
    assert answers[0] is None
    assert answers[-1] is not None
    assert all(answer is None or answer.json["apiId"] for answer in answers)


def test_killed_while_it_starts() -> None:
    """A server killed at any change of its first start says so, and the next one starts."""

    async def scenario(world: World, change: int) -> bool:
        world.disk.crash_at_change(change, power_loss=change % 2 == 0)
        try:
            await world.start()
        except StartFailed:
            await world.start()
            return True
        return False

    was_killed = []
    for change in range(1, 400, 57):
        with World(change, fresh=True) as world:
            was_killed.append(world.run(scenario(world, change)))
            assert world.is_up
            assert world.failures == []
    assert was_killed[0]
    assert not was_killed[-1]


def test_an_orderly_stop_answers_what_it_has_accepted() -> None:
    """Requests that have arrived when the server is told to stop are answered; afterwards nobody is."""

    async def scenario(world: World) -> None:
        await world.start()
        key = await make_key(world, remaining=1000)
        connection = world.connect()
        waiting = [asyncio.create_task(connection.call("keys.verifyKey", {"key": key})) for _ in range(20)]
        first = await verify(world, key)
        assert first is not None
        await world.stop()
        answers = [answer for answer in await asyncio.gather(*waiting) if answer is not None]
        spent = 1000 - min(answer.json["remaining"] for answer in [first, *answers])
        assert spent == len(answers) + 1
        assert await verify(world, key) is None

    with World(5, latency_us=0, split=0.0) as world:
        world.run(scenario(world))


def test_pieces_and_pipelines() -> None:
    """Requests that are cut anywhere and sent without waiting for answers are answered whole and in order."""

    async def scenario(world: World) -> None:
        await world.start()
        key = await make_key(world, remaining=30)
        connection = world.connect()
        calls = [connection.call("keys.verifyKey", {"key": key}) for _ in range(30)]
        answers = await asyncio.gather(*calls)
        assert [answer.json["remaining"] for answer in answers if answer is not None] == list(range(29, -1, -1))

    with World(6, latency_us=5000, split=1.0) as world:
        world.run(scenario(world))


def test_the_wall_clock_jumps_and_time_goes_on() -> None:
    """Setting the clock changes what the server takes for the present, not how long anything takes."""

    async def scenario(world: World) -> None:
        await world.start()
        assert START_MS <= world.now_ms < START_MS + 1000
        key = await make_key(world, expires=START_MS + 60_000)
        codes = []
        for jump_ms in (0, 120_000, -120_000):
            world.jump_clock(jump_ms)
            answer = await verify(world, key)
            assert answer is not None
            codes.append(answer.json["code"])
        assert codes == ["VALID", "EXPIRED", "VALID"]
        assert asyncio.get_running_loop().time() < 10

    with World(7) as world:
        world.run(scenario(world))


def test_a_full_disk_refuses_and_recovers() -> None:
    """While nothing can grow, changes are refused with 503; when there is space again they are made."""

    async def scenario(world: World) -> None:
        await world.start()
        world.disk.fill()
        connection = world.connect()
        refused = await connection.call("apis.createApi", {"name": "payments"}, ROOT_KEY)
        world.disk.free()
        made = await connection.call("apis.createApi", {"name": "payments"}, ROOT_KEY)
        assert refused is not None
        assert made is not None
        assert (refused.status, made.status) == (503, 200)

    with World(8) as world:
        world.run(scenario(world))


def test_a_failed_sync_fails_the_change() -> None:
    """A change whose sync the disk refuses is refused, and is not there afterwards, not even after a crash."""

    async def scenario(world: World) -> None:
        await world.start()
        world.disk.fail_next(Change.SYNC, "keystead.db-wal")
        refused = await world.connect().call("apis.createApi", {"name": "payments"}, ROOT_KEY)
        assert refused is not None
        assert refused.status == 503
        world.crash(power_loss=True)
        await world.restart()
        with world.database() as database:
            assert database.execute("SELECT count(*) FROM apis WHERE name = 'payments'").fetchone() == (0,)

    with World(9) as world:
        world.run(scenario(world))


def test_lives_leave_nothing_behind() -> None:
    """Dozens of killed servers leave no thread, no open file and no memory of SQLite's in the process."""

    async def scenario(world: World) -> None:
        for number in range(12):
            await world.start()
            world.disk.crash_at_change(world.random.randint(1, 20), power_loss=bool(number % 2))
            await world.connect().call("apis.createApi", {"name": "payments"}, ROOT_KEY)
            world.crash()
            await world.died()

    with World(10) as world:
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        world.run(scenario(world))
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) == files
        assert world.open_files == 0
        assert world.failures == []


def test_a_world_leaves_the_process_as_it_was() -> None:
    """Logging, the collector of garbage and the folder of a world are what they were once it has ended."""
    before = structlog.get_config()
    with World(12) as world:
        folder = world.folder
        assert folder.is_dir()
        assert not gc.isenabled()
    assert structlog.get_config() == before
    assert gc.isenabled()
    assert not folder.exists()
