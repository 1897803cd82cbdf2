"""Models of `ratelimit.get_override`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class GetOverrideRequestTypedDict(TypedDict):
    """`GetOverrideRequest` as a dict."""

    identifier: str
    namespace_id: NotRequired[str]
    namespace_name: NotRequired[str]


class GetOverrideRequest(BaseModel):
    """What `ratelimit.get_override` sends."""

    identifier: str
    namespace_id: str | None = None
    namespace_name: str | None = None


class GetOverrideResponseBodyTypedDict(TypedDict):
    """`GetOverrideResponseBody` as a dict."""

    id: str
    identifier: str
    limit: int
    duration: int
    async_: NotRequired[bool | None]


class GetOverrideResponseBody(NullableModel):
    """An override: `limit` per `duration` milliseconds."""

    id: str
    identifier: str
    limit: int
    duration: int
    async_: OptionalNullable[bool] = UNSET


class GetOverrideResponseTypedDict(TypedDict):
    """`GetOverrideResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[GetOverrideResponseBodyTypedDict]


class GetOverrideResponse(Wrapper):
    """What `ratelimit.get_override` returns: the answer in `object`, the exchange in `http_meta`."""

    object: GetOverrideResponseBody | None = None
