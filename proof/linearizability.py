"""Whether concurrent calls can be explained by an order in which they were done one after the other.

A history is linearizable if every call can be given one instant between its invocation and its response such that,
done in the order of these instants, every call gets the answer it got (Herlihy & Wing 1990). The search is the one of
Wing & Gong, "Testing and Verifying Concurrent Objects" (1993): take a call that no unexplained call precedes, do it to
the state, go on; go back where an answer does not fit. What Lowe added in "Testing for linearizability" (2017) makes it
fast: a configuration (set of explained calls, state) is never visited twice. Callers divide a history by object and ask
for each alone, which is sound and which Porcupine (2017) showed to be what makes long histories feasible. And a call
whose answer says that it changed nothing is taken as soon as it fits: wherever else an explanation has it, it can be
moved there.

Unanswered calls may have been done at any instant up to `Call.responded`, or never. Nothing here does I/O.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

State = TypeVar("State", bound=Hashable)

Apply = Callable[[State, Any], tuple[State, Hashable]]
"""(state, request) → (state afterwards, answer): what one call does when nothing else happens."""

ChangesNothing = Callable[[Any, Any], bool]
"""(request, answer) → whether a call with this answer leaves every state as it is; to say no is always right."""

NEVER = float("inf")


class _Unanswered:
    def __repr__(self) -> str:
        return "UNANSWERED"


UNANSWERED = _Unanswered()
"""The answer of a call that got none."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as its client saw it; instants are of one clock, in any unit.

    For an unanswered call, `responded` is the instant after which it can not happen any more: the end of the process
    that it was sent to, or NEVER. Of calls with the same `connection`, which were sent one behind the other, an earlier
    one in the history is done first, also where they overlap.
    """

    invoked: float
    responded: float
    request: Hashable
    answer: Hashable = UNANSWERED
    connection: Hashable = None


@dataclass(frozen=True, slots=True)
class Violation:
    """A history that has no explanation: the longest part of it that has one, and what could not follow.

    `explained` is in the order found, `state` what it leads to. The calls of `stuck` were under way there; none of
    them can have been the next one.
    """

    explained: tuple[Call, ...]
    state: Hashable
    stuck: tuple[Call, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.explained)} calls can be explained, the last of them:"]
        lines += [f"  {_line(call)}" for call in self.explained[-8:]]
        lines += [f"then the state is {self.state}, and none of these can be next:"]
        lines += [f"  {_line(call)}" for call in self.stuck]
        return "\n".join(lines)


class TooManyConfigurations(Exception):
    """The search was given up before it found out."""


def violation(
    calls: Sequence[Call],
    initial: State,
    apply: Apply[State],
    *,
    changes_nothing: ChangesNothing = lambda _request, _answer: False,
    max_configurations: int = 2_000_000,
) -> Violation | None:
    """None if the calls on one object, in whatever order given, are linearizable; else what is wrong.

    Raises TooManyConfigurations when that takes more than `max_configurations`.
    """
    return _Search(calls, initial, apply, changes_nothing, max_configurations).run()


def _line(call: Call) -> str:
    return f"{call.invoked}..{call.responded} {call.request} -> {call.answer}"


class _Event:
    """The invocation or the response of a call, in a list doubly linked in the order of time."""

    __slots__ = ("after", "before", "call", "is_last", "number", "predecessors", "response")

    def __init__(self, call: Call, number: int, response: "_Event | None") -> None:
        self.call = call
        self.number = number
        self.response = response  # of an invocation; None marks a response
        self.predecessors = 0  # the calls that come first on the same connection, a bit for each
        self.is_last = True  # on its connection
        self.before: _Event | None = None
        self.after: _Event | None = None

    def unlink(self) -> None:
        if self.before is not None:
            self.before.after = self.after
        if self.after is not None:
            self.after.before = self.before

    def relink(self) -> None:
        if self.before is not None:
            self.before.after = self
        if self.after is not None:
            self.after.before = self


@dataclass(frozen=True, slots=True)
class _Step(Generic[State]):
    """What to go back to: the invocation that was taken, and what was true before.

    `is_final` when nothing else is worth trying at that point.
    """

    invocation: _Event
    state: State
    explained: int
    is_final: bool
    gave_up: bool


class _Search(Generic[State]):
    def __init__(
        self,
        calls: Sequence[Call],
        initial: State,
        apply: Apply[State],
        changes_nothing: ChangesNothing,
        max_configurations: int,
    ) -> None:
        self._head, self._invocations = _linked(calls)
        self._state = initial
        self._apply = apply
        self._changes_nothing = changes_nothing
        self._max_configurations = max_configurations
        self._explained = 0  # a bit for each call
        self._unexplained_answers = sum(call.answer is not UNANSWERED for call in calls)
        # With whether the last step was to give up: what may follow that is less.
        self._seen: set[tuple[int, State, bool]] = set()
        self._steps: list[_Step[State]] = []
        self._furthest: Violation | None = None
        self._furthest_steps = -1

    def run(self) -> Violation | None:
        tried = [self._next_steps()]
        while self._unexplained_answers:
            if any(attempt(event) for attempt, event in tried[-1]):
                tried.append(self._next_steps())
                continue
            self._note_how_far()
            tried.pop()
            while self._go_back():
                # Nothing else was worth trying there.
                tried.pop()
            if not tried:
                return self._furthest
        return None

    def _next_steps(self) -> Iterator[tuple[Callable[[_Event], bool], _Event]]:
        """What can be tried next: the calls that no unexplained call precedes, most promising first."""
        invocations = []
        event = self._head.after
        # What could have been next before the last call was given up was tried then: the order makes no difference.
        earliest = self._steps[-1].invocation.call.responded if self._steps and self._steps[-1].gave_up else -NEVER
        while event is not None and event.response is not None:
            if event.call.invoked > earliest:
                invocations.append(event)
            event = event.after
        # What has to be explained soonest comes first, what need not be explained at all last.
        for invocation in sorted(invocations, key=_urgency):
            yield self._take, invocation
        if event is not None:
            yield self._give_up, event

    def _take(self, invocation: _Event) -> bool:
        """Explain the call as the next one done, if its answer fits and that is not a known dead end."""
        call = invocation.call
        if invocation.predecessors & ~self._explained:
            return False
        state, answer = self._apply(self._state, call.request)
        if call.answer is UNANSWERED:
            # What changes nothing now explains nothing now, unless something else had to wait for it.
            return (state != self._state or not invocation.is_last) and self._step(invocation, state, is_final=False)
        if answer != call.answer:
            return False
        return self._step(invocation, state, is_final=self._changes_nothing(call.request, answer))

    def _give_up(self, response: _Event) -> bool:
        """At the last instant at which an unanswered call could have been done: it never was."""
        if response.call.answer is not UNANSWERED:
            return False
        # The last resort: whatever else could have been next here has been tried.
        return self._step(self._invocations[response.number], self._state, is_final=True, gave_up=True)

    def _step(self, invocation: _Event, state: State, *, is_final: bool, gave_up: bool = False) -> bool:
        explained = self._explained | 1 << invocation.number
        configuration = (explained, state, gave_up)
        if configuration in self._seen:
            return False
        if len(self._seen) == self._max_configurations:
            raise TooManyConfigurations(f"more than {self._max_configurations} configurations")
        self._seen.add(configuration)
        self._steps.append(_Step(invocation, self._state, self._explained, is_final, gave_up))
        self._explained, self._state = explained, state
        invocation.unlink()
        invocation.response.unlink()  # type: ignore[union-attr]
        self._count(invocation, -1)
        return True

    def _go_back(self) -> bool:
        """Undo the last step; whether it left no alternative, so that the one before has to be undone too."""
        if not self._steps:
            return False
        step = self._steps.pop()
        step.invocation.response.relink()  # type: ignore[union-attr]
        step.invocation.relink()
        self._state, self._explained = step.state, step.explained
        self._count(step.invocation, +1)
        return step.is_final

    def _count(self, invocation: _Event, change: int) -> None:
        if invocation.call.answer is not UNANSWERED:
            self._unexplained_answers += change

    def _note_how_far(self) -> None:
        if len(self._steps) <= self._furthest_steps:
            return
        self._furthest_steps = len(self._steps)
        done = [step.invocation.call for step in self._steps if not step.gave_up]
        stuck = []
        event = self._head.after
        while event is not None and event.response is not None:
            stuck.append(event.call)
            event = event.after
        self._furthest = Violation(tuple(done), self._state, tuple(stuck))


def _urgency(invocation: _Event) -> tuple[bool, float]:
    return invocation.call.answer is UNANSWERED, invocation.call.responded


def _linked(calls: Sequence[Call]) -> tuple[_Event, list[_Event]]:
    """The head of the list of all events, and the invocations by the number of their call."""
    invocations: list[_Event] = []
    moments = []
    sent: dict[Hashable, int] = {}
    latest: dict[Hashable, _Event] = {}
    for number, call in enumerate(calls):
        response = _Event(call, number, None)
        invocation = _Event(call, number, response)
        if call.connection is not None:
            invocation.predecessors = sent.get(call.connection, 0)
            sent[call.connection] = invocation.predecessors | 1 << number
            if call.connection in latest:
                latest[call.connection].is_last = False
            latest[call.connection] = invocation
        invocations.append(invocation)
        # Of one instant the invocations come first: then the calls count as concurrent.
        moments += [((call.invoked, 0, number), invocation), ((call.responded, 1, number), response)]
    head = last = _Event(Call(-NEVER, -NEVER, None), -1, None)
    for _, event in sorted(moments, key=lambda moment: moment[0]):
        last.after, event.before = event, last
        last = event
    return head, invocations
