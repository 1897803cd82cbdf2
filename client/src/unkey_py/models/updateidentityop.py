"""Models of `identities.update`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class UpdateIdentityIdentitiesRatelimitsTypedDict(TypedDict):
    """`UpdateIdentityIdentitiesRatelimits` as a dict."""

    name: str
    limit: int
    duration: int


class UpdateIdentityIdentitiesRatelimits(BaseModel):
    """A limit of the identity after the update: `limit` per `duration` milliseconds."""

    name: str
    limit: int
    duration: int


class UpdateIdentityRatelimitsTypedDict(TypedDict):
    """`UpdateIdentityRatelimits` as a dict."""

    name: str
    limit: int
    duration: int


class UpdateIdentityRatelimits(BaseModel):
    """A limit shared by all keys of the identity: `limit` per `duration` milliseconds."""

    name: str
    limit: int
    duration: int


class UpdateIdentityRequestBodyTypedDict(TypedDict):
    """`UpdateIdentityRequestBody` as a dict."""

    identity_id: NotRequired[str]
    external_id: NotRequired[str]
    environment: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]
    ratelimits: NotRequired[list[UpdateIdentityRatelimitsTypedDict]]


class UpdateIdentityRequestBody(BaseModel):
    """What `identities.update` takes."""

    identity_id: str | None = None
    external_id: str | None = None
    environment: str | None = "default"
    meta: dict[str, Any | None] | None = None
    ratelimits: list[UpdateIdentityRatelimits] | None = None


class UpdateIdentityResponseBodyTypedDict(TypedDict):
    """`UpdateIdentityResponseBody` as a dict."""

    id: str
    external_id: str
    meta: dict[str, Any | None]
    ratelimits: list[UpdateIdentityIdentitiesRatelimitsTypedDict]


class UpdateIdentityResponseBody(BaseModel):
    """The answer of `identities.update`."""

    id: str
    external_id: str
    meta: dict[str, Any | None]
    ratelimits: list[UpdateIdentityIdentitiesRatelimits]


class UpdateIdentityResponseTypedDict(TypedDict):
    """`UpdateIdentityResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[UpdateIdentityResponseBodyTypedDict]


class UpdateIdentityResponse(Wrapper):
    """What `identities.update` returns: the answer in `object`, the exchange in `http_meta`."""

    object: UpdateIdentityResponseBody | None = None
