"""An asyncio event loop whose time is virtual and whose waiting is the scheduler's.

It is asyncio's own loop but for the one method that waits: a turn runs what is ready first in, first out; between two
callbacks another fiber may go on, as another thread may between two bytecodes.
"""

import asyncio
import heapq
import math
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from proof.simulation.scheduler import Fiber, Life, LifeEnded, Scheduler

_FORGET_TASKS_AT = 256


class SimLoop(asyncio.BaseEventLoop):
    """Run it on the fiber `fiber`. `on_error` gets what asyncio would log: the context of `call_exception_handler`.

    `executor` is where `run_in_executor(None, ...)` and `asyncio.to_thread` go.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        life: Life | None,
        executor: Executor,
        on_error: Callable[[dict[str, Any]], None],
    ) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._life = life
        self._executor = executor
        self._on_error = on_error
        self._fiber: Fiber | None = None
        self._made: list[asyncio.Task[Any]] = []
        self._remember = _FORGET_TASKS_AT

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self._scheduler.now_us / 1e6

    def run_forever(self) -> None:
        """See asyncio."""
        self._fiber = self._scheduler.current
        super().run_forever()

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> Any:
        """See asyncio."""
        return super().run_in_executor(executor or self._executor, func, *args)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        """See asyncio; the loop remembers its tasks in order, so that `unwind` does not depend on addresses."""
        task = super().create_task(coro, **options)
        self._made.append(task)
        if len(self._made) > self._remember:
            self._made = [made for made in self._made if not made.done()]
            self._remember = 2 * len(self._made) + _FORGET_TASKS_AT
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell the world; what a dead life leaves behind is nobody's business."""
        if self._life is None or not self._life.is_dead:
            self._on_error(context)

    def unwind(self) -> None:
        """Close every coroutine that the life has left, the youngest first, as a killed process closes none.

        Their `finally` blocks run, in a world where nothing they do has an effect and nothing may wait.
        """
        asyncio._set_running_loop(self)
        try:
            for task in reversed(self._made):
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    _end(task.get_coro())
        finally:
            asyncio._set_running_loop(None)
        self._made.clear()
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]

    def _write_to_self(self) -> None:
        if self._fiber is not None:
            self._scheduler.wake(self._fiber)

    def _process_events(self, event_list: Any) -> None:
        raise NotImplementedError  # there is no selector

    def _run_once(self) -> None:
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        ready: Any = self._ready  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined]
            heapq.heappop(scheduled)._scheduled = False
        if ready or self._stopping:  # type: ignore[attr-defined]
            self._scheduler.switch()
        else:
            self._scheduler.park(math.ceil(scheduled[0]._when * 1e6) if scheduled else None)
        # A microsecond of grace, as instants in float seconds are not exact.
        due_s = self.time() + 1e-6
        while scheduled and scheduled[0]._when < due_s:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        for position in range(len(ready)):
            if position:
                self._scheduler.switch()
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        self._end_with_life()

    def _end_with_life(self) -> None:
        # asyncio takes what leaves a callback for the callback's affair.
        if self._life is not None and self._life.is_dead:
            raise LifeEnded


def _end(coroutine: Any) -> None:
    for _ in range(100):
        try:
            coroutine.throw(LifeEnded())
        except BaseException:
            return
    raise AssertionError(f"{coroutine} does not end")
