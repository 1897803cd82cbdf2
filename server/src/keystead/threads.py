"""What runs beside the event loop and waits: the one place that chooses how.

The server takes its threads, queues, events, locks and executors from here, so that a simulation can put its own
in their place and decide who runs when (`docs/simulation.md`).
"""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, Protocol


class Running(Protocol):
    """A thread that was started."""

    def join(self) -> None:
        """Return when it has ended."""
        ...


class Queue(Protocol):
    """First in, first out, for any number of threads."""

    def put(self, item: Any, /) -> None:
        """Add an item; never waits."""
        ...

    def get(self) -> Any:
        """Wait for an item and take it."""
        ...

    def get_nowait(self) -> Any:
        """Take an item; raises `queue.Empty` when there is none."""
        ...


class Event(Protocol):
    """Something that happens once."""

    def set(self) -> None:
        """Say that it has happened."""
        ...

    def is_set(self) -> bool:
        """Whether it has happened."""
        ...

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has happened, at most `timeout` seconds; whether it has."""
        ...


class Threads(Protocol):
    """Makes them."""

    def start(self, target: Callable[[], None], name: str) -> Running:
        """A thread that runs `target` from now on and does not keep the process alive."""
        ...

    def queue(self) -> Queue:
        """An empty queue."""
        ...

    def event(self) -> Event:
        """An event that has not happened."""
        ...

    def lock(self) -> AbstractContextManager[Any]:
        """A lock; not to be taken twice by one thread."""
        ...

    def executor(self, workers: int, name: str) -> Executor:
        """At most so many threads that do what is submitted; the first submitted is the first begun."""
        ...


class SystemThreads:
    """The threads of the operating system."""

    def start(self, target: Callable[[], None], name: str) -> Running:
        """See `Threads.start`."""
        thread = threading.Thread(target=target, name=name, daemon=True)
        thread.start()
        return thread

    def queue(self) -> Queue:
        """See `Threads.queue`."""
        return SimpleQueue[Any]()

    def event(self) -> Event:
        """See `Threads.event`."""
        return threading.Event()

    def lock(self) -> AbstractContextManager[Any]:
        """See `Threads.lock`."""
        return threading.Lock()

    def executor(self, workers: int, name: str) -> Executor:
        """See `Threads.executor`."""
        return ThreadPoolExecutor(workers, thread_name_prefix=name)


SYSTEM_THREADS = SystemThreads()
