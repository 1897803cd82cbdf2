"""Models of `keys.get_verifications`."""

from __future__ import annotations

from enum import Enum
from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class Granularity(str, Enum):
    """Length of the time slots of an answer."""

    DAY = "day"


class KeysGetVerificationsRequestTypedDict(TypedDict):
    """`KeysGetVerificationsRequest` as a dict."""

    key_id: NotRequired[str]
    owner_id: NotRequired[str]
    start: NotRequired[int | None]
    end: NotRequired[int | None]
    granularity: NotRequired[Granularity]


class KeysGetVerificationsRequest(NullableModel):
    """What `keys.get_verifications` takes; `start` and `end` in milliseconds since the epoch."""

    key_id: str | None = None
    owner_id: str | None = None
    start: OptionalNullable[int] = UNSET
    end: OptionalNullable[int] = UNSET
    granularity: Granularity | None = Granularity.DAY


class VerificationsTypedDict(TypedDict):
    """`Verifications` as a dict."""

    time: int
    success: int
    rate_limited: int
    usage_exceeded: int


class Verifications(BaseModel):
    """Verifications of one day; `time` is its start in milliseconds since the epoch."""

    time: int
    success: int
    rate_limited: int
    usage_exceeded: int


class KeysGetVerificationsResponseBodyTypedDict(TypedDict):
    """`KeysGetVerificationsResponseBody` as a dict."""

    verifications: list[VerificationsTypedDict]


class KeysGetVerificationsResponseBody(BaseModel):
    """The answer of `keys.get_verifications`."""

    verifications: list[Verifications]


class KeysGetVerificationsResponseTypedDict(TypedDict):
    """`KeysGetVerificationsResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[KeysGetVerificationsResponseBodyTypedDict]


class KeysGetVerificationsResponse(Wrapper):
    """What `keys.get_verifications` returns: the answer in `object`, the exchange in `http_meta`."""

    object: KeysGetVerificationsResponseBody | None = None
