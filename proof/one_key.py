"""What one key does when it is asked one thing after the other: the specification that histories are held against.

The object is a secret: there may be no key with it, one, or one that was deleted softly and keeps it (keys-v1 §3.3).
Changes name a key by its id, which its creator was told; verifications name the secret.
"""

from typing import NamedTuple


class Key(NamedTuple):
    """A live key; `remaining` None is unlimited."""

    key_id: str
    name: str
    enabled: bool
    remaining: int | None


ABSENT = "absent"
RETIRED = "retired"
State = Key | str
"""A key; ABSENT when there is none with the secret; RETIRED when a deleted one keeps it from being used again."""


class Create(NamedTuple):
    """Import the secret; `key_id` is what the answer says, or something nobody else has when there was none."""

    key_id: str
    name: str
    remaining: int | None


class Rename(NamedTuple):
    """Give the key another name."""

    key_id: str
    name: str


class SetEnabled(NamedTuple):
    """Enable or disable the key."""

    key_id: str
    enabled: bool


class TopUp(NamedTuple):
    """Add credits."""

    key_id: str
    value: int


class Delete(NamedTuple):
    """Delete the key; `permanent` frees the secret."""

    key_id: str
    permanent: bool


class Verify(NamedTuple):
    """Verify the secret and spend `cost` credits."""

    cost: int


Request = Create | Rename | SetEnabled | TopUp | Delete | Verify

DONE = "done"
CONFLICT = "conflict"
NOT_FOUND = "not found"
UNLIMITED = "unlimited"


class Verified(NamedTuple):
    """What a verification tells; `remaining` None where it tells none."""

    code: str
    key_id: str
    name: str
    remaining: int | None


Answer = str | int | Verified


def apply(state: State, request: Request) -> tuple[State, Answer]:
    """The state after a request, and its answer."""
    if isinstance(request, Create):
        return (Key(*request[:2], True, request.remaining), DONE) if state == ABSENT else (state, CONFLICT)
    if isinstance(request, Verify):
        return _verify(state, request.cost)
    if not isinstance(state, Key) or state.key_id != request.key_id:
        return state, NOT_FOUND
    if isinstance(request, Rename):
        return state._replace(name=request.name), DONE
    if isinstance(request, SetEnabled):
        return state._replace(enabled=request.enabled), DONE
    if isinstance(request, Delete):
        return (ABSENT if request.permanent else RETIRED), DONE
    if state.remaining is None:
        return state, UNLIMITED
    balance = state.remaining + request.value
    return state._replace(remaining=balance), balance


def changes_nothing(request: Request, answer: Answer) -> bool:
    """Whether a request with this answer leaves the state as it is, whatever that is.

    Not so where it could have been otherwise: to enable a key that is enabled changes nothing, but tells so to nobody.
    """
    if isinstance(request, Verify) and isinstance(answer, Verified):
        return answer.code != "VALID" or request.cost == 0
    return answer in (NOT_FOUND, CONFLICT, UNLIMITED)


def _verify(state: State, cost: int) -> tuple[State, Answer]:
    if not isinstance(state, Key):
        return state, NOT_FOUND
    if not state.enabled:
        return state, Verified("DISABLED", state.key_id, state.name, None)
    if state.remaining is None:
        return state, Verified("VALID", state.key_id, state.name, None)
    if cost > state.remaining:
        return state, Verified("USAGE_EXCEEDED", state.key_id, state.name, state.remaining)
    balance = state.remaining - cost
    return state._replace(remaining=balance), Verified("VALID", state.key_id, state.name, balance)
