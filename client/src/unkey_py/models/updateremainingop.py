"""Models of `keys.update_remaining`."""

from __future__ import annotations

from enum import Enum
from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import NullableModel


class Op(str, Enum):
    """What happens to the credits of a key."""

    INCREMENT = "increment"
    DECREMENT = "decrement"
    SET = "set"


class UpdateRemainingRequestBodyTypedDict(TypedDict):
    """`UpdateRemainingRequestBody` as a dict."""

    key_id: str
    op: Op
    value: int | None


class UpdateRemainingRequestBody(NullableModel):
    """What `keys.update_remaining` takes; `value` None makes the key unlimited (with `Op.SET` only)."""

    key_id: str
    op: Op
    value: int | None


class UpdateRemainingResponseBodyTypedDict(TypedDict):
    """`UpdateRemainingResponseBody` as a dict."""

    remaining: int | None


class UpdateRemainingResponseBody(NullableModel):
    """Credits left after the update; None is unlimited."""

    remaining: int | None


class UpdateRemainingResponseTypedDict(TypedDict):
    """`UpdateRemainingResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[UpdateRemainingResponseBodyTypedDict]


class UpdateRemainingResponse(Wrapper):
    """What `keys.update_remaining` returns: the answer in `object`, the exchange in `http_meta`."""

    object: UpdateRemainingResponseBody | None = None
