"""`keystead.threads.Threads` on the scheduler: every wait and every hand-over is a step."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty
from types import TracebackType
from typing import Any

from proof.simulation.scheduler import Fiber, Life, LifeEnded, Scheduler


class SimThreads:
    """Threads, queues, events, locks and executors of one life; None for what belongs to no server."""

    def __init__(self, scheduler: Scheduler, life: Life | None) -> None:
        self._scheduler = scheduler
        self._life = life

    def start(self, target: Callable[[], None], name: str) -> "SimThread":
        """See `Threads.start`."""
        return SimThread(self._scheduler, self._scheduler.start(target, name, self._life))

    def queue(self) -> "SimQueue":
        """See `Threads.queue`."""
        return SimQueue(self._scheduler)

    def event(self) -> "SimEvent":
        """See `Threads.event`."""
        return SimEvent(self._scheduler)

    def lock(self) -> "SimLock":
        """See `Threads.lock`."""
        return SimLock(self._scheduler)

    def executor(self, workers: int, name: str) -> "SimExecutor":
        """See `Threads.executor`."""
        return SimExecutor(self._scheduler, self._life, workers, name)


class SimThread:
    """A started thread."""

    def __init__(self, scheduler: Scheduler, fiber: Fiber) -> None:
        self._scheduler = scheduler
        self._fiber = fiber

    def join(self) -> None:
        """Return when it has ended."""
        self._scheduler.join(self._fiber)


class _Waiters:
    """Fibers that wait for something to change."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[Fiber] = []

    def wait(self, until_us: int | None = None) -> None:
        me = self._scheduler.current
        self._waiting.append(me)
        try:
            self._scheduler.park(until_us)
        finally:
            if me in self._waiting:
                self._waiting.remove(me)

    def wake_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for fiber in waiting:
            self._scheduler.wake(fiber)


def _must_not_wait(scheduler: Scheduler) -> bool:
    life = scheduler.current.life
    return life is not None and life.is_unwinding


class SimLock:
    """A lock; those who wait for it compete when it is given back."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._owner: Fiber | None = None
        self._waiters = _Waiters(scheduler)

    def __enter__(self) -> bool:
        self._scheduler.switch()
        while self._owner is not None and not _must_not_wait(self._scheduler):
            self._waiters.wait()
        self._owner = self._scheduler.current
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._owner = None
        self._waiters.wake_all()


class SimQueue:
    """First in, first out."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiters = _Waiters(scheduler)

    def put(self, item: Any) -> None:
        """Add an item."""
        self._items.append(item)
        self._waiters.wake_all()
        self._scheduler.switch()

    def get(self) -> Any:
        """Wait for an item and take it."""
        self._scheduler.switch()
        while not self._items:
            self._waiters.wait()
        return self._items.popleft()

    def get_nowait(self) -> Any:
        """Take an item; raises Empty."""
        self._scheduler.switch()
        if not self._items:
            raise Empty
        return self._items.popleft()


class SimEvent:
    """Something that happens once."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False
        self._waiters = _Waiters(scheduler)

    def set(self) -> None:
        """Say that it has happened."""
        self._is_set = True
        self._waiters.wake_all()
        self._scheduler.switch()

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has happened, at most `timeout` seconds of virtual time."""
        scheduler = self._scheduler
        until_us = None if timeout is None else scheduler.now_us + int(timeout * 1e6)
        scheduler.switch()
        while not self._is_set and (until_us is None or scheduler.now_us < until_us):
            if _must_not_wait(scheduler):
                break
            self._waiters.wait(until_us)
        return self._is_set


class SimExecutor(Executor):
    """A pool of fibers, started when there is more to do than fibers that wait for it."""

    def __init__(self, scheduler: Scheduler, life: Life | None, workers: int, name: str) -> None:
        self._scheduler = scheduler
        self._life = life
        self._workers = workers
        self._name = name
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._waiters = _Waiters(scheduler)
        self._fibers: list[Fiber] = []
        self._idle = 0
        self._is_shut = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`."""
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _must_not_wait(self._scheduler):
            raise LifeEnded
        future: Future[Any] = Future()
        self._work.append((future, lambda: fn(*args, **kwargs)))
        if self._idle < len(self._work) and len(self._fibers) < self._workers:
            name = f"{self._name}-{len(self._fibers)}"
            self._fibers.append(self._scheduler.start(self._do_work, name, self._life))
        self._waiters.wake_all()
        self._scheduler.switch()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor.shutdown`."""
        self._is_shut = True
        while cancel_futures and self._work:
            self._work.popleft()[0].cancel()
        self._waiters.wake_all()
        if wait:
            for fiber in list(self._fibers):
                self._scheduler.join(fiber)

    def _do_work(self) -> None:
        while True:
            while not self._work:
                if self._is_shut:
                    return
                self._idle += 1
                try:
                    self._waiters.wait()
                finally:
                    self._idle -= 1
            future, call = self._work.popleft()
            if future.set_running_or_notify_cancel():
                self._answer(future, call)

    def _answer(self, future: "Future[Any]", call: Callable[[], Any]) -> None:
        try:
            result = call()
        except LifeEnded:
            raise
        except BaseException as error:
            self._scheduler.switch()
            future.set_exception(error)
        else:
            self._scheduler.switch()
            future.set_result(result)
