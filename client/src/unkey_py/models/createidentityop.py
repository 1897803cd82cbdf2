"""Models of `identities.create`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class CreateIdentityRatelimitsTypedDict(TypedDict):
    """`CreateIdentityRatelimits` as a dict."""

    name: str
    limit: int
    duration: int


class CreateIdentityRatelimits(BaseModel):
    """A limit shared by all keys of the identity: `limit` per `duration` milliseconds."""

    name: str
    limit: int
    duration: int


class CreateIdentityRequestBodyTypedDict(TypedDict):
    """`CreateIdentityRequestBody` as a dict."""

    external_id: str
    meta: NotRequired[dict[str, Any | None]]
    ratelimits: NotRequired[list[CreateIdentityRatelimitsTypedDict]]


class CreateIdentityRequestBody(BaseModel):
    """What `identities.create` takes."""

    external_id: str
    meta: dict[str, Any | None] | None = None
    ratelimits: list[CreateIdentityRatelimits] | None = None


class CreateIdentityResponseBodyTypedDict(TypedDict):
    """`CreateIdentityResponseBody` as a dict."""

    identity_id: str


class CreateIdentityResponseBody(BaseModel):
    """The answer of `identities.create`."""

    identity_id: str


class CreateIdentityResponseTypedDict(TypedDict):
    """`CreateIdentityResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[CreateIdentityResponseBodyTypedDict]


class CreateIdentityResponse(Wrapper):
    """What `identities.create` returns: the answer in `object`, the exchange in `http_meta`."""

    object: CreateIdentityResponseBody | None = None
