"""Who runs, and what time it is: real threads of which exactly one has the baton, chosen by the seed.

A *fiber* is a thread under the scheduler. It gives the baton away only inside `switch`, `sleep` and `park`, so all
that happens between two of them is one step; which fiber makes the next step is drawn from the seed. Virtual time moves
a little with every step, and jumps to the next timer when nobody can run.

A *life* is a server between its start and its end. When it is killed, each of its fibers gets `LifeEnded` at its next
step, before any other fiber of the world runs again.
"""

import heapq
import threading
from collections.abc import Callable
from random import Random

from proof.simulation.trace import Trace

_STEP_US = 5
"""How far virtual time moves with a step: a busy world ages too."""

_WEIGHTS = (1, 1, 2, 8)
"""Some fibers are slow, so that orders turn up in which somebody waits for long."""


class LifeEnded(BaseException):
    """The process this code runs in has been killed; nothing it does from now on has an effect."""


class Deadlock(Exception):
    """Nobody can run and no timer is set."""


class Life:
    """A server process that can be killed. `number` counts them; fibers are in order of their start."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.fibers: list[Fiber] = []
        self.is_dead = False
        """Killed: what is still running gets `LifeEnded`, and nothing it does has an effect."""
        self.is_unwinding = False
        """All fibers but the event loop's have ended; its coroutines are being closed, and nothing may wait."""


class Fiber:
    """A thread under the scheduler; `life` is None for those that are no part of a server."""

    __slots__ = ("baton", "ended", "ident", "is_runnable", "joiners", "life", "name", "weight")

    def __init__(self, name: str, life: Life | None, weight: int) -> None:
        self.name = name
        self.life = life
        self.weight = weight
        self.baton = threading.Lock()
        self.baton.acquire()
        self.is_runnable = True
        self.ended = False
        self.joiners: list[Fiber] = []
        self.ident = 0


class Timer:
    """Something to be done at an instant of virtual time; `callback` None once it is cancelled or done."""

    __slots__ = ("at_us", "callback", "order")

    def __init__(self, at_us: int, order: int, callback: Callable[[], None]) -> None:
        self.at_us = at_us
        self.order = order
        self.callback: Callable[[], None] | None = callback

    def __lt__(self, other: "Timer") -> bool:
        return (self.at_us, self.order) < (other.at_us, other.order)


class Scheduler:
    """Made on the thread that becomes the first fiber, `main`, which belongs to no life.

    `stay` is the probability that a fiber goes on at a step without anybody else being considered: more of it is
    faster, less of it interleaves more finely. `failures` is where it tells of exceptions that nobody took.
    """

    def __init__(self, random: Random, trace: Trace, stay: float, failures: list[str]) -> None:
        self.now_us = 0
        self.trace = trace
        self._random = random
        self._stay = stay
        self._failures = failures
        self._timers: list[Timer] = []
        self._order = 0
        self._runnable: list[Fiber] = []
        self._dying: list[Fiber] = []
        self.main = Fiber("main", None, 2)
        self.main.ident = threading.get_ident()
        self._runnable.append(self.main)
        self.current = self.main
        self._stuck: Deadlock | None = None

    # ---- steps

    def switch(self) -> None:
        """A step: somebody else may go on first. Raises LifeEnded."""
        self.yield_()
        life = self.current.life
        if life is not None and life.is_dead and not life.is_unwinding:
            raise LifeEnded

    def yield_(self) -> bool:
        """As `switch`, for code that nothing may be raised through; False when the life has ended."""
        me = self.current
        life = me.life
        if life is not None and life.is_dead:
            return False
        self.now_us += _STEP_US
        if self._timers and self._timers[0].at_us <= self.now_us:
            self._fire()
        if self._dying or (len(self._runnable) > 1 and self._random.random() >= self._stay):
            chosen = self._choose()
            if chosen is not me:
                self._hand_to(chosen, me)
        return life is None or not life.is_dead

    def sleep(self, us: int) -> None:
        """Let virtual time pass. Raises LifeEnded."""
        if not self.pause(us):
            raise LifeEnded

    def pause(self, us: int) -> bool:
        """As `sleep`, for code that nothing may be raised through; False when the life has ended."""
        until_us = self.now_us + us
        life = self.current.life
        while self.now_us < until_us:
            if life is not None and life.is_dead:
                return life.is_unwinding
            self._park(until_us)
        return life is None or not life.is_dead

    def park(self, until_us: int | None = None) -> None:
        """Wait until somebody calls `wake`, or until an instant. Raises LifeEnded.

        It may return earlier: look again whether what you wait for has come.
        """
        life = self.current.life
        if life is not None and life.is_dead:
            if life.is_unwinding:
                return
            raise LifeEnded
        self._park(until_us)
        if life is not None and life.is_dead and not life.is_unwinding:
            raise LifeEnded

    def wake(self, fiber: Fiber) -> None:
        """Let a parked fiber look again; nothing happens when it is not parked."""
        if not fiber.is_runnable and not fiber.ended:
            fiber.is_runnable = True
            self._runnable.append(fiber)

    def at(self, at_us: int, callback: Callable[[], None]) -> Timer:
        """Call `callback` at that instant, on whichever fiber runs then; it may only wake and note."""
        self._order += 1
        timer = Timer(at_us, self._order, callback)
        heapq.heappush(self._timers, timer)
        return timer

    # ---- fibers and lives

    def start(self, target: Callable[[], None], name: str, life: Life | None) -> Fiber:
        """A fiber that runs `target`; an exception that leaves it is told to `failures`."""
        fiber = Fiber(name, life, self._random.choice(_WEIGHTS))
        if life is not None:
            life.fibers.append(fiber)
        self._runnable.append(fiber)
        threading.Thread(target=self._run, args=(fiber, target), name=name, daemon=True).start()
        return fiber

    def join(self, fiber: Fiber) -> None:
        """Wait until a fiber has ended. Raises LifeEnded."""
        self.switch()
        while not fiber.ended:
            life = self.current.life
            if life is not None and life.is_unwinding:
                return
            fiber.joiners.append(self.current)
            self.park()

    def kill(self, life: Life) -> None:
        """End a life: from now on only its fibers run, one after the other, until each has ended."""
        if life.is_dead:
            return
        life.is_dead = True
        self.trace.add(self.now_us, self.current.name, "kill", life.number)
        for fiber in life.fibers:
            self.wake(fiber)
        self._dying = list(life.fibers)

    def outlive_the_others(self) -> None:
        """For the fiber of a dead life that tidies up: return when all the others have ended."""
        me = self.current
        while self._dying and self._dying[-1] is not me:
            self._hand_to(self._dying[-1], me)

    # ---- inside

    def _run(self, fiber: Fiber, target: Callable[[], None]) -> None:
        fiber.baton.acquire()
        fiber.ident = threading.get_ident()
        try:
            if fiber.life is None or not fiber.life.is_dead:
                target()
        except LifeEnded:
            pass
        except BaseException as error:
            if fiber.life is None or not fiber.life.is_dead:
                self._failures.append(f"{fiber.name} ended: {error!r}")
        self._end(fiber)

    def _end(self, fiber: Fiber) -> None:
        fiber.ended = True
        fiber.is_runnable = False
        self._runnable.remove(fiber)
        if fiber in self._dying:
            self._dying.remove(fiber)
        if fiber.life is not None:
            fiber.life.fibers.remove(fiber)
        for joiner in fiber.joiners:
            self.wake(joiner)
        self._wait_for_somebody()
        chosen = self._choose()
        self.trace.add(self.now_us, fiber.name, "ended")
        self.current = chosen
        chosen.baton.release()

    def _park(self, until_us: int | None) -> None:
        me = self.current
        me.is_runnable = False
        self._runnable.remove(me)
        timer = None if until_us is None else self.at(until_us, lambda: self.wake(me))
        self.now_us += _STEP_US
        if self._timers and self._timers[0].at_us <= self.now_us:
            self._fire()
        self._wait_for_somebody()
        chosen = self._choose()
        if chosen is not me:
            self._hand_to(chosen, me)
        if timer is not None:
            timer.callback = None
        if me is self.main and self._stuck is not None:
            stuck, self._stuck = self._stuck, None
            raise stuck

    def _wait_for_somebody(self) -> None:
        """Let time jump until somebody can run."""
        while not self._runnable:
            if not self._timers:
                self._stuck = Deadlock("nobody can run, and no timer is set")
                self.wake(self.main)
                return
            self.now_us = max(self.now_us, self._timers[0].at_us)
            self._fire()

    def _fire(self) -> None:
        while self._timers and self._timers[0].at_us <= self.now_us:
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                callback()

    def _choose(self) -> Fiber:
        if self._dying:
            return self._dying[-1]
        runnable = self._runnable
        if len(runnable) == 1:
            return runnable[0]
        drawn = self._random.random() * sum([fiber.weight for fiber in runnable])
        for fiber in runnable:
            drawn -= fiber.weight
            if drawn < 0:
                return fiber
        return runnable[-1]

    def _hand_to(self, chosen: Fiber, me: Fiber) -> None:
        self.trace.add(self.now_us, me.name, ">", chosen.name)
        self.current = chosen
        chosen.baton.release()
        me.baton.acquire()
