"""Requests into their types, and what is wrong with them into one line (contract keys-v1 §1.4, other-v1 §0.5).

A message is `<dotted path>: <text>`; a problem with the body as a whole has an empty path. A few texts are compared
literally by interoperability tests, the rest is for people.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Raw, inspect

from keystead.contract.fields import content_check
from keystead.core.errors import ErrorCode, KeysteadError

T = TypeVar("T")

_REQUIRED = re.compile(r"Object missing required field `(.+)`")
_LENGTH = re.compile(r"Expected `(str|array)` of length (>=|<=) (\d+)")
_RANGE = re.compile(r"Expected `(?:int|float)(?: \| null)?` (>=|<=) (-?\d+)")
_WRONG_TYPE = re.compile(r"Expected `(.+)`, got `(.+)`")
_PATTERN = re.compile(r"Expected `str` matching regex .*")
_INDEX = re.compile(r"\[(\d+)\]")
_FLOAT = re.compile(rb"-?\d+(?=[.eE])(?:\.\d+)?(?:[eE][+-]?\d+)?")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")

_FALSE_WORDS = frozenset({"", "false", "0", "no", "off"})
_NOUNS = {"str": "String", "array": "Array"}
_UNITS = {"str": "character(s)", "array": "element(s)"}
_BOUNDS = {">=": "at least", "<=": "at most"}
_COMPARISONS = {">=": "greater than or equal to", "<=": "less than or equal to"}


def is_json(content_type: str | None) -> bool:
    """Whether a body of this content type is read: `application/json` or `application/<x>+json`, any parameters."""
    if content_type == "application/json":
        return True
    kind = (content_type or "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


class BodyDecoder(Generic[T]):
    """Reads JSON bodies of one type."""

    def __init__(self, kind: type[T]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode
        self._check = content_check(kind)
        self._with_integers = integer_rewriter(kind)

    def decode(self, body: bytes, content_type: str | None) -> T:
        """The request. A body that is not declared as JSON counts as `{}`. Raises BAD_REQUEST."""
        if not is_json(content_type):
            body = b"{}"
        try:
            request = self._read(body)
            self._check(request, "")
        except (UnicodeDecodeError, RecursionError):
            raise _malformed() from None
        return request

    def _read(self, body: bytes) -> T:
        try:
            # Free-form members and unknown ones are not decoded, so their encoding is checked here.
            body.decode()
            try:
                return self._decode(body)
            except msgspec.ValidationError as error:
                if "got `float`" not in str(error):
                    raise
            return self._decode(self._with_integers(body))
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        except msgspec.DecodeError:
            raise _malformed() from None


class QueryDecoder(Generic[T]):
    """Reads query strings of one type: every value is text, coerced to the member's type (other-v1 §0.5).

    A member that is a list takes a parameter as often as it comes, any other member once.
    """

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        self._fields = {field.encode_name: field.type for field in info.fields}
        self._check = content_check(kind)

    def decode(self, query: bytes) -> T:
        """The request. Unknown parameters are ignored. Raises BAD_REQUEST."""
        values: dict[str, Any] = {}
        # The head of a request is bounded, and so is the number of parameters.
        for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            kind = self._fields.get(name)
            if isinstance(kind, inspect.ListType):
                values.setdefault(name, []).append(_coerce(name, text, kind.item_type))
            elif name in values:
                raise _bad(f"{name}: Expected one value, received several")
            elif kind is not None:
                values[name] = _coerce(name, text, kind)
        try:
            request = msgspec.convert(values, self._kind)
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        self._check(request, "")
        return request


Rewrite = Callable[[bytes], bytes]


def integer_rewriter(kind: Any) -> Rewrite:
    """A function that writes integral numbers such as `15.0` and `1e3` as integers, where a `kind` has integers.

    Everything else stays as it is; members that a `kind` has not are dropped. It works along the type, not the text:
    its effort does not depend on how deep the text is nested.
    """
    return _integer_rewriter(kind)


@cache  # servers that start one after the other in one process need the same ones
def _integer_rewriter(kind: Any) -> Rewrite:
    return _rewriter(inspect.type_info(kind)) or (lambda text: text)


def _rewriter(info: inspect.Type) -> Rewrite | None:
    if isinstance(info, inspect.Metadata):
        return _rewriter(info.type)
    if isinstance(info, inspect.IntType):
        return _as_integer
    if isinstance(info, inspect.UnionType):
        return next(filter(None, map(_rewriter, info.types)), None)
    if isinstance(info, inspect.ListType):
        item = _rewriter(info.item_type)
        return _items_rewriter(item) if item else None
    if isinstance(info, inspect.StructType):
        members = {field.encode_name: _rewriter(field.type) for field in info.fields}
        return _members_rewriter(members) if any(members.values()) else None
    return None


def _as_integer(text: bytes) -> bytes:
    # Through float only when it is written as one: large integers must stay exact.
    if not _FLOAT.fullmatch(text):
        return text
    number = float(text)
    return b"%d" % int(number) if number.is_integer() and abs(number) < 2**63 else text


def _items_rewriter(item: Rewrite) -> Rewrite:
    def rewrite(text: bytes) -> bytes:
        # White space around the body is the only one that is not cut off before.
        if not text.lstrip().startswith(b"["):
            return text
        return b"[" + b",".join([item(bytes(raw)) for raw in msgspec.json.decode(text, type=list[Raw])]) + b"]"

    return rewrite


def _members_rewriter(members: dict[str, Rewrite | None]) -> Rewrite:
    def rewrite(text: bytes) -> bytes:
        if not text.lstrip().startswith(b"{"):
            return text
        rewritten = []
        for name, raw in msgspec.json.decode(text, type=dict[str, Raw]).items():
            if name in members:
                member = members[name]
                value = bytes(raw)
                rewritten.append(msgspec.json.encode(name) + b":" + (member(value) if member else value))
        return b"{" + b",".join(rewritten) + b"}"

    return rewrite


def _coerce(name: str, text: str, kind: inspect.Type) -> Any:
    if _is(kind, inspect.BoolType):
        return text.lower() not in _FALSE_WORDS
    if _is(kind, inspect.IntType):
        return _number(name, text)
    return text


def _is(kind: inspect.Type, wanted: type[inspect.Type]) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is(kind.type, wanted)
    if isinstance(kind, inspect.UnionType):
        return any(_is(option, wanted) for option in kind.types)
    return isinstance(kind, wanted)


def _number(name: str, text: str) -> int:
    """A number as loosely as the first server read it: blanks around, `1e1`, `0x10`; the empty text is 0."""
    stripped = text.strip()
    if not stripped:
        return 0
    if _PREFIXED.fullmatch(stripped):
        return int(stripped, 0)
    if not _DECIMAL.fullmatch(stripped):
        raise _bad(f"{name}: Expected number, received text")
    if stripped.lstrip("+-").isdigit() and len(stripped) < 20:
        # Not through float: large integers must stay exact.
        return int(stripped)
    number = float(stripped)
    if not number.is_integer():
        raise _bad(f"{name}: Expected integer")
    return int(number)


def _invalid(error: msgspec.ValidationError) -> KeysteadError:
    text, _, at = str(error).partition(" - at `$")
    # `[...]` stands for some value of a map: which one is not told, so the path ends at the map.
    path = _INDEX.sub(r".\1", at.rstrip("`").replace("[...]", "")).lstrip(".")
    required = _REQUIRED.fullmatch(text)
    if required:
        field = f"{path}.{required[1]}" if path else required[1]
        return _bad(f"{field}: Required")
    return _bad(f"{path}: {_reworded(text)}")


def _reworded(text: str) -> str:
    length = _LENGTH.fullmatch(text)
    if length:
        kind, bound, number = length.groups()
        return f"{_NOUNS[kind]} must contain {_BOUNDS[bound]} {number} {_UNITS[kind]}"
    in_range = _RANGE.fullmatch(text)
    if in_range:
        return f"Number must be {_COMPARISONS[in_range[1]]} {in_range[2]}"
    wrong = _WRONG_TYPE.fullmatch(text)
    if wrong:
        return f"Expected {wrong[1].replace('`', '')}, received {wrong[2]}"
    if _PATTERN.fullmatch(text):
        return "may contain only letters, digits and the characters _ . : -"
    if text.startswith("Invalid enum value"):
        # Without the value: it may be a secret that was put in the wrong place.
        return "Invalid enum value"
    return text.replace("`", "")


def _malformed() -> KeysteadError:
    return _bad("the request body is not valid JSON")


def _bad(message: str) -> KeysteadError:
    return KeysteadError(ErrorCode.BAD_REQUEST, message)
