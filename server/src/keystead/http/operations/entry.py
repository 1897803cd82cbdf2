"""What an operation is: the type of the table's entries."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from keystead.core.errors import ErrorCode
from keystead.http.services import Services
from keystead.service.access import Caller

GET, POST = "GET", "POST"

Handle = Callable[[Services, Caller, Any], Awaitable[Any]]

_ID = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Needs:
    """What a root key needs for an operation: one of the alternatives, or `*`.

    `<apiId>` and the like stand for the id of the object. `when` says under which condition, empty for always.
    """

    alternatives: tuple[str, ...]
    when: str = ""


@dataclass(frozen=True)
class Operation:
    """One operation.

    `handle` gets the services, the caller and the decoded request. With `needs_known` the permission follows from the
    request alone and is checked while authenticating; else the service checks it after it has looked for the object
    (keys-v1 §2.5). `refuse` raises BAD_REQUEST for what is wrong before anybody is authenticated, `refuse_at` for what
    is wrong at the present instant (ms). `errors` are the codes beyond those that every operation can answer with,
    `audit` the events it leaves, `success` the status of a success.
    """

    name: str
    method: str
    summary: str
    request: Any
    answer: Any
    handle: Handle
    needs: tuple[Needs, ...] = ()
    needs_known: bool = False
    refuse: Callable[[Any], None] | None = None
    refuse_at: Callable[[Any, int], None] | None = None
    errors: tuple[ErrorCode, ...] = ()
    audit: tuple[str, ...] = ()
    authenticated: bool = True
    extension: bool = False
    success: int = 200
    ignores_idempotency_key: bool = False
    tags: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", (self.name.partition(".")[0],))

    @property
    def keeps_answers(self) -> bool:
        """Whether a call with the `Idempotency-Key` of an earlier one gets that one's answer (DECISIONS D15)."""
        return self.method == POST and not self.ignores_idempotency_key

    @property
    def path(self) -> str:
        """The route."""
        return f"/v1/{self.name}"

    def known_needs(self, request: Any) -> Sequence[Sequence[str]]:
        """The alternatives of each need that follows from `request`; empty when the service checks."""
        if not self.needs_known:
            return ()
        return [_filled(need.alternatives, request) for need in self.needs if not need.when]


def _filled(alternatives: Sequence[str], request: Any) -> list[str]:
    """The alternatives with the ids of the request; one whose id was not sent does not apply."""
    slugs = []
    for template in alternatives:
        match = _ID.search(template)
        value = getattr(request, _snake(match[1])) if match else ""
        if value is not UNSET:
            slugs.append(template.replace(match[0], value) if match else template)
    return slugs


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


NOT_FOUND = (ErrorCode.NOT_FOUND,)
"""The further errors of operations on one object."""


def of_api(action: str) -> Needs:
    """The permission for `action` on every api, or on the one concerned."""
    return Needs((f"api.*.{action}", f"api.<apiId>.{action}"))
