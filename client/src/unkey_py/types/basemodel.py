"""What all models share: wire names, tolerance of unknown members, null as distinct from absent."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast, get_args

import pydantic
from pydantic import ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from unkey_py.types._unset import UNSET, UNSET_SENTINEL, Nullable, OptionalNullable, T, Unset

__all__ = [
    "UNSET",
    "UNSET_SENTINEL",
    "BaseModel",
    "Nullable",
    "NullableModel",
    "OptionalNullable",
    "T",
    "UnrecognizedInt",
    "UnrecognizedStr",
    "Unset",
    "open_member",
    "to_wire",
]

UnrecognizedInt = int
UnrecognizedStr = str

E = TypeVar("E", bound=Enum)


def wire_name(name: str) -> str:
    """Name of a field in JSON and in query strings: `key_id` → `keyId`, `async_` → `async`."""
    first, *rest = name.removesuffix("_").split("_")
    return first + "".join(word.capitalize() for word in rest)


class BaseModel(pydantic.BaseModel):
    """A pydantic model whose fields may be given and read under their Python or their wire names.

    Unknown members are ignored; fields may be assigned and are then not checked (sdk.md section 12).
    """

    model_config = ConfigDict(
        populate_by_name=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
        alias_generator=wire_name,
    )


class NullableModel(BaseModel):
    """A model with fields for which null and absence differ; dumps leave out what was never given."""

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if _is_left_out(field, self.__dict__.get(name, UNSET)):
                dumped.pop((info.by_alias and field.alias) or name, None)
        return dumped


def to_wire(value: Any) -> Any:
    """JSON-ready form of a request: wire names, declaration order, only what was given (sdk.md section 7).

    Nulls inside free-form members are kept. Raises `pydantic_core.PydanticSerializationError` for an object
    that has no JSON form.
    """
    if isinstance(value, BaseModel):
        # Read from __dict__: reading an attribute that is deprecated would warn the caller of what we do.
        given = value.__dict__.get
        return {
            alias: to_wire(member)
            for name, alias, sends_none in _wire_fields(type(value))
            if (member := given(name, UNSET)) is not UNSET and (sends_none or member is not None)
        }
    if value is None or value is True or value is False or type(value) in (str, int):
        return value
    if isinstance(value, list | tuple):
        return [to_wire(member) for member in value]
    return to_jsonable_python(value, inf_nan_mode="null")


def open_member(enum: type[E], value: object) -> E | None:
    """Member of a string enum for a value that this release does not know, so that older clients live on."""
    if not isinstance(value, str):
        return None
    member: Any = str.__new__(cast("Any", enum), value)
    member._name_ = member._value_ = value
    return cast("E", member)


@cache
def _wire_fields(model: type[BaseModel]) -> tuple[tuple[str, str, bool], ...]:
    """Fields of a model: name, wire name, whether None is sent."""
    fields = model.model_fields.items()
    return tuple((name, field.alias or name, not _is_left_out(field, None)) for name, field in fields)


def _is_left_out(field: FieldInfo, value: object) -> bool:
    if value is None:
        return not field.is_required() and Unset not in get_args(field.annotation)
    return value is UNSET
