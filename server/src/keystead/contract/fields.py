"""The kinds of members that requests share, with their limits (contract keys-v1 §1.4, other-v1 §0.5).

Lengths of texts are counted in UTF-16 code units, as the first server did, and free-form members are kept undecoded, so
both are declared here as schema and checked by `content_check`; everything else is checked while decoding.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, UnsetType, inspect

from keystead.core.errors import ErrorCode, KeysteadError

MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
LAST_INSTANT_MS = 253_402_300_799_999
"""The end of the year 9999."""

Named = Annotated[str, Meta(min_length=1)]
"""A text that must not be empty."""

Name = Annotated[str, Meta(extra_json_schema={"maxLength": 256})]
ExternalId = Annotated[str, Meta(min_length=1, extra_json_schema={"maxLength": 256})]
Identifier = Annotated[
    str, Meta(pattern=r"^[a-zA-Z0-9_\.:\-]*\Z", extra_json_schema={"minLength": 3, "maxLength": 256})
]
Slug = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_\.:\-]*\Z", extra_json_schema={"minLength": 3, "maxLength": 128})]
Label = Annotated[str, Meta(extra_json_schema={"minLength": 3, "maxLength": 256})]
Description = Annotated[str, Meta(extra_json_schema={"anyOf": [{"minLength": 3, "maxLength": 256}, {"maxLength": 0}]})]
JsonObject = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
"""Free-form members, kept verbatim."""

MAX_META_BYTES = 65_535

KeyMeta = Annotated[Raw, Meta(extra_json_schema={"type": "object", "x-maxBytes": MAX_META_BYTES})]
"""Free-form members of a key, at most 65 535 bytes of JSON written compactly."""

NullableKeyMeta = Annotated[Raw, Meta(extra_json_schema={"type": ["object", "null"], "x-maxBytes": MAX_META_BYTES})]
"""`KeyMeta` or null. (A union with None would not do: msgspec keeps text undecoded only where it may be anything.)"""

Instant = Annotated[int, Meta(ge=-LAST_INSTANT_MS, le=LAST_INSTANT_MS)]
Int32 = Annotated[int, Meta(ge=-MAX_INT32 - 1, le=MAX_INT32)]
Positive32 = Annotated[int, Meta(ge=1, le=MAX_INT32)]
PageLimit = Annotated[int, Meta(ge=1, le=100)]

_ESCAPES = re.compile(rb"(?:\\(?:u[0-9a-fA-F]{4}|.))+")
_LONGEST_ESCAPE = 6

T = TypeVar("T")


def given(value: Any) -> bool:
    """Whether a member was sent (null counts as sent)."""
    return value is not msgspec.UNSET


def or_none(value: T | UnsetType) -> T | None:
    """The value of a member, None when it was not sent."""
    return None if isinstance(value, UnsetType) else value


def or_unset(value: T | None) -> T | UnsetType:
    """The value for a member, which is left out when there is none."""
    return msgspec.UNSET if value is None else value


def json_text(raw: Raw | None | UnsetType) -> str | None:
    """A checked free-form member as the JSON text to store; None when absent or null.

    It is kept as it was sent; only one too large for that is spelt compactly.
    """
    if raw is None or isinstance(raw, UnsetType):
        return None
    text = bytes(raw).strip()
    if text == b"null":
        return None
    return (text if len(text) <= MAX_META_BYTES else compact_json(text)).decode()


def compact_json(text: bytes) -> bytes:
    """Valid JSON with the same content and the same numbers, without white space and needless escapes.

    Sizes are measured on this spelling: how a client happens to write its JSON must not matter. Raises BAD_REQUEST.
    """
    try:
        compact: bytes = msgspec.json.format(text, indent=-1)
    except RecursionError:
        # It was just within reach where it was decoded; the stack is higher here.
        raise _bad("the request body is nested too deeply") from None
    return _ESCAPES.sub(_unescaped, compact)


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(b'"%b"' % escapes[0]))[1:-1]


def utf16_length(text: str) -> int:
    """The length of `text` in UTF-16 code units."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


Check = Callable[[Any, str], None]


def content_check(kind: Any) -> Check:
    """A function of (value, path) that raises BAD_REQUEST for what decoding a `kind` can not refuse.

    That is a text that is too short or too long, and a free-form member that is no object or too large.
    """
    return _content_check(kind)


@cache  # servers that start one after the other in one process need the same ones
def _content_check(kind: Any) -> Check:
    return _compile(inspect.type_info(kind), {}) or (lambda _value, _path: None)


def _compile(info: inspect.Type, schema: dict[str, Any]) -> Check | None:
    if isinstance(info, inspect.Metadata):
        return _compile(info.type, info.extra_json_schema or {})
    if isinstance(info, inspect.StrType):
        return _text_check(schema) if schema else None
    if isinstance(info, inspect.RawType):
        return _object_check(schema.get("x-maxBytes", MAX_INT64), nullable="null" in schema["type"])
    if isinstance(info, inspect.UnionType):
        return next(filter(None, (_compile(option, schema) for option in info.types)), None)
    if isinstance(info, inspect.ListType):
        return _each(_compile(info.item_type, {}))
    if isinstance(info, inspect.StructType):
        return _members(info)
    return None


def _members(info: inspect.StructType) -> Check | None:
    checks = [(f.name, f.encode_name, check) for f in info.fields if (check := _compile(f.type, {}))]
    if not checks:
        return None

    def check_members(value: Any, path: str) -> None:
        if not isinstance(value, msgspec.Struct):
            return
        for name, wire_name, check in checks:
            check(getattr(value, name), f"{path}.{wire_name}" if path else wire_name)

    return check_members


def _each(check: Check | None) -> Check | None:
    if check is None:
        return None

    def check_items(value: Any, path: str) -> None:
        if isinstance(value, list):
            for position, item in enumerate(value):
                check(item, f"{path}.{position}" if path else str(position))

    return check_items


def _text_check(schema: dict[str, Any]) -> Check:
    ranges = list(_ranges(schema))
    first_low, first_high = ranges[0]

    def check_text(value: Any, path: str) -> None:
        if not isinstance(value, str):
            return
        length = utf16_length(value)
        # In line for the hot lane: all but descriptions have one range.
        if first_low <= length <= first_high or any(low <= length <= high for low, high in ranges[1:]):
            return
        bound = f"at least {first_low}" if length < first_low else f"at most {first_high}"
        raise _bad(f"{path}: String must contain {bound} character(s)")

    return check_text


def _object_check(max_bytes: int, *, nullable: bool) -> Check:
    def check_object(value: Any, path: str) -> None:
        if not isinstance(value, Raw):
            return
        text = bytes(value).strip()
        if nullable and text == b"null":
            return
        if not text.startswith(b"{"):
            raise _bad(f"{path}: Expected object")
        if len(text) > max_bytes and _compact_size(text, max_bytes) > max_bytes:
            raise _bad(f"{path}: must be at most {max_bytes} bytes of JSON")

    return check_object


def _compact_size(text: bytes, max_bytes: int) -> int:
    text = msgspec.json.format(text, indent=-1)
    # What is far too large needs no closer look, and must not cost one.
    return len(text) if len(text) > max_bytes * _LONGEST_ESCAPE else len(compact_json(text))


def _ranges(schema: dict[str, Any]) -> Iterator[tuple[int, int]]:
    for option in schema.get("anyOf", [schema]):
        yield option.get("minLength", 0), option.get("maxLength", MAX_INT64)


def _bad(message: str) -> KeysteadError:
    return KeysteadError(ErrorCode.BAD_REQUEST, message)
