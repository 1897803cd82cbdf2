"""What is known of a number or an object while some of what was asked has got no answer."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)
Step = Callable[[State], State]


class Difference(Exception):
    """What clients were told and what the server knows are not the same."""


def expect(is_so: bool, what: str) -> None:
    """Raise a Difference unless it is so."""
    if not is_so:
        raise Difference(what)


class Count:
    """A number that changes by amounts, in any order.

    A change without an answer happened once or not at all. One that is repeated with its `Idempotency-Key` has happened
    exactly once when the repetition has been answered.
    """

    def __init__(self, acknowledged: int = 0) -> None:
        self.acknowledged = acknowledged
        self._perhaps: list[int] = []
        self._repeated: list[int] = []

    def add(self, amount: int) -> None:
        """A change was acknowledged."""
        self.acknowledged += amount

    def lose(self, amount: int, *, is_repeated: bool = False) -> None:
        """A change got no answer."""
        (self._repeated if is_repeated else self._perhaps).append(amount)

    def bounds(self, *, is_clean: bool) -> tuple[int, int]:
        """The lowest and highest value possible, all repetitions done; `is_clean` if the unanswered was not done."""
        certain = self.acknowledged + sum(self._repeated)
        perhaps = [] if is_clean else self._perhaps
        return certain + sum(min(a, 0) for a in perhaps), certain + sum(max(a, 0) for a in perhaps)

    def settle(self, found: int, what: str, *, is_clean: bool) -> None:
        """Compare with the server's number, which decides what was open. Raises Difference."""
        low, high = self.bounds(is_clean=is_clean)
        expect(low <= found <= high, f"{what} is {found}, it must be {low if low == high else f'{low} to {high}'}")
        self.acknowledged = found
        self._perhaps, self._repeated = [], []


class Thing(Generic[State]):
    """An object that one connection alone changes, so that what it must be is known after every answer.

    The server works off a connection in order: of what got no answer there, something was done only if all before it
    was.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._under_way: list[Step[State]] = []
        self._lost: list[tuple[Step[State], bool]] = []

    @property
    def is_waiting(self) -> bool:
        """Something is under way."""
        return bool(self._under_way)

    @property
    def expected(self) -> State:
        """What it will be when all that is under way has been done."""
        state = self._state
        for step in self._under_way:
            state = step(state)
        return state

    def begin(self, step: Step[State]) -> None:
        """A change is sent."""
        self._under_way.append(step)

    def acknowledge(self) -> None:
        """The oldest change under way was answered."""
        self._state = self._under_way.pop(0)(self._state)

    def lose(self, *, is_repeated: bool = False) -> None:
        """The oldest change under way will not be answered."""
        self._lost.append((self._under_way.pop(0), is_repeated))

    def possible(self, *, is_clean: bool) -> list[State]:
        """What it may be, all repetitions done; `is_clean` if the unanswered was not done."""
        states = []
        for done in range(1 if is_clean else len(self._lost) + 1):
            state = self._state
            for number, (step, is_repeated) in enumerate(self._lost):
                if number < done or is_repeated:
                    state = step(state)
            states.append(state)
        return states

    def settle(self, found: State, what: str, *, is_clean: bool) -> None:
        """Compare with the server's object, which decides what was open. Raises Difference."""
        possible = self.possible(is_clean=is_clean)
        expect(found in possible, f"{what} is {found}, it must be {' or '.join(map(str, dict.fromkeys(possible)))}")
        self._state = found
        self._lost = []
