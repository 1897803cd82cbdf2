"""The marker for "not given", distinct from None; without pydantic, so that importing a group stays light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Union

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

UNSET_SENTINEL = "~?~unset~?~sentinel~?~"

T = TypeVar("T")


class Unset:
    """Class of `UNSET`: falsy, equal to itself only, and the same object after a copy or a pickle."""

    def __bool__(self) -> bool:
        return False

    # Without a hash, as published: an accidental use as a key of a dict is noticed.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "Unset()"

    def __copy__(self) -> Unset:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Unset:
        return self

    def __reduce__(self) -> str:
        return "UNSET"

    # A plain class rather than a model: a model without fields would accept {} in place of the real type.
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        # A union asks this serializer about other values too, those it must hand back as they are.
        dump = core_schema.plain_serializer_function_ser_schema(lambda v: UNSET_SENTINEL if v is UNSET else v)
        return core_schema.is_instance_schema(cls, serialization=dump)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"const": UNSET_SENTINEL}


UNSET = Unset()

# The spelling with Union and not `|`: a TypeVar on the left of `|` makes an alias that cannot be subscripted.
Nullable = Union[T, None]  # noqa: UP007
OptionalNullable = Union[T, None, Unset]  # noqa: UP007
