"""Whether concurrent calls can be explained by an order in which they were done one after the other.

A history is linearizable if every call can be given one instant between its invocation and its response such that,
done in the order of these instants, every call gets the answer it got (Herlihy & Wing 1990). The search is the one of
Wing & Gong, "Testing and Verifying Concurrent Objects" (1993): take a call that no unexplained call precedes, do it to
the state, go on; go back where an answer does not fit. What Lowe added in "Testing for linearizability" (2017) makes it
fast: a configuration (set of explained calls, state) is never visited twice. Callers divide a history by object and ask
for each alone, which is sound and which Porcupine (2017) showed to be what makes long histories feasible.

Unanswered calls may have been done at any instant up to `Call.responded`, or never. Nothing here does I/O.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)

Apply = Callable[[State, Hashable], tuple[State, Hashable]]
"""(state, request) → (state afterwards, answer): what one call does when nothing else happens."""

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
    that it was sent to, or NEVER.
    """

    invoked: float
    responded: float
    request: Hashable
    answer: Hashable = UNANSWERED


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
    calls: Sequence[Call], initial: State, apply: Apply[State], *, max_configurations: int = 2_000_000
) -> Violation | None:
    """None if the calls on one object, in whatever order given, are linearizable; else what is wrong.

    Raises TooManyConfigurations when that takes more than `max_configurations`.
    """
    return _Search(calls, initial, apply, max_configurations).run()


def _line(call: Call) -> str:
    return f"{call.invoked}..{call.responded} {call.request} -> {call.answer}"


class _Event:
    """The invocation or the response of a call, in a list doubly linked in the order of time."""

    __slots__ = ("after", "before", "call", "number", "response")

    def __init__(self, call: Call | None, number: int, response: "_Event | None") -> None:
        self.call = call
        self.number = number
        self.response = response  # of an invocation; None marks a response
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
    """What to go back to: the invocation that was taken, and what was true before."""

    invocation: _Event
    state: State
    explained: int
    gave_up: bool


class _Search(Generic[State]):
    def __init__(self, calls: Sequence[Call], initial: State, apply: Apply[State], max_configurations: int) -> None:
        self._head, self._invocations = _linked(calls)
        self._state = initial
        self._apply = apply
        self._max_configurations = max_configurations
        self._explained = 0  # a bit for each call
        self._unexplained_answers = sum(call.answer is not UNANSWERED for call in calls)
        self._seen: set[tuple[int, State]] = set()
        self._steps: list[_Step[State]] = []
        self._furthest: Violation | None = None
        self._furthest_steps = -1

    def run(self) -> Violation | None:
        event = self._head.after
        while self._unexplained_answers:
            if event is not None and event.response is not None:
                event = self._head.after if self._take(event) else event.after
            elif event is not None and self._give_up(event):
                event = self._head.after
            else:
                event = self._go_back()
                if event is None:
                    return self._furthest
        return None

    def _take(self, invocation: _Event) -> bool:
        """Explain the call as the next one done, if its answer fits and that is not a known dead end."""
        assert invocation.call is not None
        state, answer = self._apply(self._state, invocation.call.request)
        if invocation.call.answer is not UNANSWERED and answer != invocation.call.answer:
            return False
        return self._step(invocation, state, gave_up=False)

    def _give_up(self, response: _Event) -> bool:
        """At the last instant at which an unanswered call could have been done: it never was."""
        assert response.call is not None
        if response.call.answer is not UNANSWERED:
            return False
        return self._step(self._invocations[response.number], self._state, gave_up=True)

    def _step(self, invocation: _Event, state: State, *, gave_up: bool) -> bool:
        explained = self._explained | 1 << invocation.number
        if (explained, state) in self._seen:
            return False
        if len(self._seen) == self._max_configurations:
            raise TooManyConfigurations(f"more than {self._max_configurations} configurations")
        self._seen.add((explained, state))
        self._steps.append(_Step(invocation, self._state, self._explained, gave_up))
        self._explained, self._state = explained, state
        invocation.unlink()
        invocation.response.unlink()  # type: ignore[union-attr]
        self._count(invocation, -1)
        return True

    def _go_back(self) -> _Event | None:
        """Undo the last step that has an alternative; the event to go on with, None when there is none."""
        self._note_how_far()
        while self._steps:
            step = self._steps.pop()
            step.invocation.response.relink()  # type: ignore[union-attr]
            step.invocation.relink()
            self._state, self._explained = step.state, step.explained
            self._count(step.invocation, +1)
            # Having given up was the last resort at that point.
            if not step.gave_up and step.invocation.after is not None:
                return step.invocation.after
        return None

    def _count(self, invocation: _Event, change: int) -> None:
        assert invocation.call is not None
        if invocation.call.answer is not UNANSWERED:
            self._unexplained_answers += change

    def _note_how_far(self) -> None:
        if len(self._steps) <= self._furthest_steps:
            return
        self._furthest_steps = len(self._steps)
        done = [step.invocation.call for step in self._steps if not step.gave_up and step.invocation.call is not None]
        stuck = []
        event = self._head.after
        while event is not None and event.response is not None:
            assert event.call is not None
            stuck.append(event.call)
            event = event.after
        self._furthest = Violation(tuple(done), self._state, tuple(stuck))


def _linked(calls: Sequence[Call]) -> tuple[_Event, list[_Event]]:
    """The head of the list of all events, and the invocations by the number of their call."""
    invocations, moments = [], []
    for number, call in enumerate(calls):
        response = _Event(call, number, None)
        invocation = _Event(call, number, response)
        invocations.append(invocation)
        # Of one instant the invocations come first: then the calls count as concurrent.
        moments += [((call.invoked, 0, number), invocation), ((call.responded, 1, number), response)]
    head = last = _Event(None, -1, None)
    for _, event in sorted(moments, key=lambda moment: moment[0]):
        last.after, event.before = event, last
        last = event
    return head, invocations
