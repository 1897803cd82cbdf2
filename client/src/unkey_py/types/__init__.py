"""`UNSET` and the types around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unkey_py.types._unset import UNSET, UNSET_SENTINEL, Nullable, OptionalNullable

if TYPE_CHECKING:
    from unkey_py.types.basemodel import BaseModel as BaseModel

__all__ = [
    "UNSET",
    "UNSET_SENTINEL",
    "BaseModel",
    "Nullable",
    "OptionalNullable",
    "UnrecognizedInt",
    "UnrecognizedStr",
]

UnrecognizedInt = int
UnrecognizedStr = str


def __getattr__(name: str) -> Any:
    if name == "BaseModel":
        from unkey_py.types.basemodel import BaseModel

        return BaseModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
