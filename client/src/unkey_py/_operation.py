"""Operations as data: everything that distinguishes one operation from another, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from unkey_py import models

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from unkey_py.types import OptionalNullable
    from unkey_py.utils import RetryConfig

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Operation(Generic[R]):
    """One operation of the API; R is the type of its result.

    Models are named, not referenced, so that declaring an operation imports none of them.
    """

    operation_id: str
    method: Literal["GET", "POST"]
    path: str
    # Model of the request: the body of a POST, the query of a GET; None: the operation takes nothing.
    request: str | None
    # Model of the result, and the member of it that holds the answer.
    result: str
    attribute: str = "object"
    success_status: int = 200
    # The request is a list of `request`.
    is_list: bool = False
    # The result has `next`, which the group provides.
    is_paged: bool = False
    # Creates or changes something: the server makes repetitions harmless by the Idempotency-Key (D15).
    changes: bool = False
    # May spend something without such protection: by default retried only if the server cannot have acted (D15).
    spends: bool = False
    # status → candidate exceptions, where it differs from the common table
    refusals: Mapping[int, tuple[str, ...]] = field(default_factory=dict, hash=False)


class Options:
    """The per-call parameters that every operation has (sdk.md section 6), except the server."""

    __slots__ = ("http_headers", "retries", "timeout_ms")

    def __init__(
        self, retries: OptionalNullable[RetryConfig], timeout_ms: int | None, http_headers: Mapping[str, str] | None
    ) -> None:
        self.retries = retries
        self.timeout_ms = timeout_ms
        self.http_headers = http_headers


@cache
def request_adapter(operation: Operation[Any]) -> TypeAdapter[Any]:
    """Validator of an operation's request."""
    from pydantic import TypeAdapter

    model: Any = getattr(models, operation.request or "")
    shape: Any = GenericAlias(list, model) if operation.is_list else model
    return TypeAdapter(shape)


@cache
def answer_adapter(operation: Operation[Any]) -> TypeAdapter[Any]:
    """Validator of an operation's answer, as declared by its result."""
    from pydantic import TypeAdapter

    return TypeAdapter(getattr(models, operation.result).model_fields[operation.attribute].annotation)
