"""Models of `identities.get`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class GetIdentityRatelimitsTypedDict(TypedDict):
    """`GetIdentityRatelimits` as a dict."""

    name: str
    limit: int
    duration: int


class GetIdentityRatelimits(BaseModel):
    """A limit shared by all keys of the identity: `limit` per `duration` milliseconds."""

    name: str
    limit: int
    duration: int


class GetIdentityRequestTypedDict(TypedDict):
    """`GetIdentityRequest` as a dict."""

    identity_id: NotRequired[str]
    external_id: NotRequired[str]


class GetIdentityRequest(BaseModel):
    """What `identities.get` sends."""

    identity_id: str | None = None
    external_id: str | None = None


class GetIdentityResponseBodyTypedDict(TypedDict):
    """`GetIdentityResponseBody` as a dict."""

    id: str
    external_id: str
    meta: dict[str, Any | None]
    ratelimits: list[GetIdentityRatelimitsTypedDict]


class GetIdentityResponseBody(BaseModel):
    """The answer of `identities.get`."""

    id: str
    external_id: str
    meta: dict[str, Any | None]
    ratelimits: list[GetIdentityRatelimits]


class GetIdentityResponseTypedDict(TypedDict):
    """`GetIdentityResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[GetIdentityResponseBodyTypedDict]


class GetIdentityResponse(Wrapper):
    """What `identities.get` returns: the answer in `object`, the exchange in `http_meta`."""

    object: GetIdentityResponseBody | None = None
