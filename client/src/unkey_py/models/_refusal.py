"""What the nine typed exceptions share; functions rather than a base, since each derives from Exception alone."""

from __future__ import annotations

import json
from typing import Any, TypedDict

from unkey_py.types.basemodel import BaseModel, to_wire


class RefusalTypedDict(TypedDict):
    """The members of every error besides its code."""

    docs: str
    message: str
    request_id: str


class Refusal(BaseModel):
    """The members of every error."""

    code: str
    docs: str
    message: str
    request_id: str


def render(data: BaseModel) -> str:
    """Text of an exception: the error as compact JSON with wire names."""
    return json.dumps(to_wire(data), separators=(",", ":"))


def revive(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    """An exception as it was before it was pickled; calling its class would demand an argument."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
