"""Models of `ratelimit.list_overrides`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class ListOverridesRequestTypedDict(TypedDict):
    """`ListOverridesRequest` as a dict."""

    namespace_id: NotRequired[str]
    namespace_name: NotRequired[str]
    limit: NotRequired[int]
    cursor: NotRequired[str]


class ListOverridesRequest(BaseModel):
    """What `ratelimit.list_overrides` sends."""

    namespace_id: str | None = None
    namespace_name: str | None = None
    limit: int | None = 100
    cursor: str | None = None


class OverridesTypedDict(TypedDict):
    """`Overrides` as a dict."""

    id: str
    identifier: str
    limit: int
    duration: int
    async_: NotRequired[bool | None]


class Overrides(NullableModel):
    """An override of a listing: `limit` per `duration` milliseconds."""

    id: str
    identifier: str
    limit: int
    duration: int
    async_: OptionalNullable[bool] = UNSET


class ListOverridesResponseBodyTypedDict(TypedDict):
    """`ListOverridesResponseBody` as a dict."""

    overrides: list[OverridesTypedDict]
    total: int
    cursor: NotRequired[str]


class ListOverridesResponseBody(BaseModel):
    """The answer of `ratelimit.list_overrides`."""

    overrides: list[Overrides]
    total: int
    cursor: str | None = None


class ListOverridesResponseTypedDict(TypedDict):
    """`ListOverridesResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[ListOverridesResponseBodyTypedDict]


class ListOverridesResponse(Wrapper):
    """What `ratelimit.list_overrides` returns: the answer in `object`, the exchange in `http_meta`."""

    object: ListOverridesResponseBody | None = None
