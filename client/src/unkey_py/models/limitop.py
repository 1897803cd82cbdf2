"""Models of `ratelimits.limit`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class ResourcesTypedDict(TypedDict):
    """`Resources` as a dict."""

    type: str
    id: str
    name: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]


class Resources(BaseModel):
    """Something a limited request touches, for the audit log."""

    type: str
    id: str
    name: str | None = None
    meta: dict[str, Any | None] | None = None


class LimitRequestBodyTypedDict(TypedDict):
    """`LimitRequestBody` as a dict."""

    identifier: str
    limit: int
    duration: int
    namespace: NotRequired[str]
    cost: NotRequired[int]
    async_: NotRequired[bool]
    meta: NotRequired[dict[str, Any | None]]
    resources: NotRequired[list[ResourcesTypedDict]]


class LimitRequestBody(BaseModel):
    """What `ratelimits.limit` takes: `limit` per `duration` milliseconds for `identifier`."""

    identifier: str
    limit: int
    duration: int
    namespace: str | None = "default"
    cost: int | None = 1
    async_: bool | None = False
    meta: dict[str, Any | None] | None = None
    resources: list[Resources] | None = None


class LimitResponseBodyTypedDict(TypedDict):
    """`LimitResponseBody` as a dict."""

    success: bool
    limit: int
    remaining: int
    reset: int


class LimitResponseBody(BaseModel):
    """Whether the request may pass; `reset` is the end of the window in milliseconds since the epoch."""

    success: bool
    limit: int
    remaining: int
    reset: int


class LimitResponseTypedDict(TypedDict):
    """`LimitResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[LimitResponseBodyTypedDict]


class LimitResponse(Wrapper):
    """What `ratelimits.limit` returns: the answer in `object`, the exchange in `http_meta`."""

    object: LimitResponseBody | None = None
