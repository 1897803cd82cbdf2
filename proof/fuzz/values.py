"""Values for wire types, right ones and wrong ones, drawn from the types themselves."""

import re
from random import Random
from typing import Any

import msgspec
from msgspec import inspect

_WORDS = [
    "",
    "a",
    "abc",
    "fuzz",
    "a.b.c",
    "a_b:c-d",
    "ä€😀",
    "*",
    "x" * 300,
    "\0",
    "a\r\nb",
    "a b",
    "😀" * 130,
    "\ud800",
]
_SPOILT: list[Any] = [
    *(None, True, False, 0, -1, 1.5, 15.0, 1e300, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, "", "1", "x" * 5000),
    *([], [None], {}, {"a": 1}, [[]] * 50, {"": ""}, "\ud800", "a\0b", float("nan"), float("inf")),
]
_INTEGERS = [0, 1, 2, 16, 31, 255, 1000, 60_000, 2**31 - 1, 2**31, 2**53, 2**63 - 1, -1, 4_000_000_000_000]


class Values:
    """Draws values. `known` gives a member's name the values to prefer; `spoil` is the share of members made wrong."""

    def __init__(self, rng: Random, known: dict[str, list[Any]], *, spoil: float) -> None:
        self._rng = rng
        self._known = known
        self._spoil = spoil

    def of(self, kind: Any) -> Any:
        """A value as JSON has it, for a type, or nearly so."""
        return self._draw(inspect.type_info(kind), {})

    def members(self, kind: Any) -> dict[str, Any]:
        """As `of`, for a struct, and always its members."""
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        return self._struct(info)

    def _draw(self, info: inspect.Type, schema: dict[str, Any]) -> Any:
        rng = self._rng
        if rng.random() < self._spoil:
            return rng.choice(_SPOILT)
        match info:
            case inspect.Metadata():
                return self._draw(info.type, info.extra_json_schema or {})
            case inspect.StructType():
                return self._struct(info)
            case inspect.UnionType():
                return self._draw(rng.choice([option for option in info.types if not _is_unset(option)]), schema)
            case inspect.ListType():
                least = info.min_length or 0
                count = rng.choice([least, least + 1, least + 1, least + 3])
                return [self._draw(info.item_type, {}) for _ in range(count)]
            case inspect.DictType():
                return {rng.choice(_WORDS): self._draw(info.value_type, {}) for _ in range(rng.randrange(3))}
            case inspect.LiteralType():
                return rng.choice(info.values)
            case inspect.EnumType():
                return rng.choice([member.value for member in info.cls])
            case inspect.BoolType():
                return rng.random() < 0.5
            case inspect.NoneType():
                return None
            case inspect.FloatType():
                return rng.choice([0.5, 1.0, -1e10])
            case inspect.IntType():
                return self._integer(info)
            case inspect.StrType():
                return self._text(info, schema)
            case _:  # free-form members
                return self._free(rng.randrange(4))

    def _struct(self, info: inspect.StructType) -> dict[str, Any]:
        rng = self._rng
        members = {}
        for field in info.fields:
            if not field.required and rng.random() < 0.5:
                continue
            known = self._known.get(field.encode_name)
            if known and rng.random() < 0.8:
                members[field.encode_name] = rng.choice(known)
            else:
                members[field.encode_name] = self._draw(field.type, {})
        if members and rng.random() < self._spoil:
            members.pop(rng.choice(list(members)))
        if rng.random() < 0.05:
            members[rng.choice(_WORDS)] = rng.choice(_SPOILT)
        return members

    def _integer(self, info: inspect.IntType) -> int:
        low = info.ge if info.ge is not None else -1
        high = info.le if info.le is not None else 2**63 - 1
        right = [number for number in _INTEGERS if low <= number <= high]
        return int(self._rng.choice([*right, low, high, low + 1]))

    def _text(self, info: inspect.StrType, schema: dict[str, Any]) -> str:
        low, high = max(schema.get("minLength", 0), info.min_length or 0), schema.get("maxLength", 256)
        right = [word for word in _WORDS if low <= len(word) <= high and word.isprintable()]
        if info.pattern is not None:
            right = [word for word in right if re.search(info.pattern, word)]
        return self._rng.choice([*right, "fuzz", "fuzz"])

    def _free(self, depth: int) -> Any:
        rng = self._rng
        if depth == 0:
            return rng.choice([1, 0.1, 1e300, 2**70, None, True, "x", "ä\u2028", []])
        return {rng.choice(_WORDS[:-1]): self._free(depth - 1) for _ in range(rng.randrange(3))}


def _is_unset(info: inspect.Type) -> bool:
    return isinstance(info, inspect.CustomType) and info.cls is msgspec.UnsetType
