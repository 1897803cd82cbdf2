"""Models of `ratelimit.set_override`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class SetOverrideRequestBodyTypedDict(TypedDict):
    """`SetOverrideRequestBody` as a dict."""

    identifier: str
    limit: int
    duration: int
    namespace_id: NotRequired[str]
    namespace_name: NotRequired[str]
    async_: NotRequired[bool]


class SetOverrideRequestBody(BaseModel):
    """What `ratelimit.set_override` takes: `limit` per `duration` milliseconds for `identifier`."""

    identifier: str
    limit: int
    duration: int
    namespace_id: str | None = None
    namespace_name: str | None = None
    async_: bool | None = False


class SetOverrideResponseBodyTypedDict(TypedDict):
    """`SetOverrideResponseBody` as a dict."""

    override_id: str


class SetOverrideResponseBody(BaseModel):
    """The answer of `ratelimit.set_override`."""

    override_id: str


class SetOverrideResponseTypedDict(TypedDict):
    """`SetOverrideResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[SetOverrideResponseBodyTypedDict]


class SetOverrideResponse(Wrapper):
    """What `ratelimit.set_override` returns: the answer in `object`, the exchange in `http_meta`."""

    object: SetOverrideResponseBody | None = None
