"""Models of `identities.list`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import Field

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class ListIdentitiesRatelimitsTypedDict(TypedDict):
    """`ListIdentitiesRatelimits` as a dict."""

    name: str
    limit: int
    duration: int


class ListIdentitiesRatelimits(BaseModel):
    """A limit shared by all keys of the identity: `limit` per `duration` milliseconds."""

    name: str
    limit: int
    duration: int


class ListIdentitiesIdentitiesTypedDict(TypedDict):
    """`ListIdentitiesIdentities` as a dict."""

    id: str
    external_id: str
    ratelimits: list[ListIdentitiesRatelimitsTypedDict]


class ListIdentitiesIdentities(BaseModel):
    """An identity of a listing."""

    id: str
    external_id: str
    ratelimits: list[ListIdentitiesRatelimits]


class ListIdentitiesRequestTypedDict(TypedDict):
    """`ListIdentitiesRequest` as a dict."""

    environment: NotRequired[str]
    limit: NotRequired[int]
    cursor: NotRequired[str]


class ListIdentitiesRequest(BaseModel):
    """What `identities.list` sends."""

    environment: str | None = "default"
    limit: int | None = 100
    cursor: str | None = None


class ListIdentitiesResponseBodyTypedDict(TypedDict):
    """`ListIdentitiesResponseBody` as a dict."""

    identities: list[ListIdentitiesIdentitiesTypedDict]
    total: int
    cursor: NotRequired[str]


class ListIdentitiesResponseBody(BaseModel):
    """The answer of `identities.list`."""

    identities: list[ListIdentitiesIdentities]
    total: int
    cursor: str | None = None


class ListIdentitiesResponseTypedDict(TypedDict):
    """`ListIdentitiesResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[ListIdentitiesResponseBodyTypedDict]


class ListIdentitiesResponse(Wrapper):
    """What `identities.list` returns: the answer in `object`, the exchange in `http_meta`.

    `next()` gives the next page, None after the last; after `list_async` it is to be awaited.
    """

    next: Annotated[Callable[[], Any], Field(exclude=True)]
    object: ListIdentitiesResponseBody | None = None
