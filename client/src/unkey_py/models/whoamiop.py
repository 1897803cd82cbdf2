"""Models of `keys.whoami`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class WhoamiIdentityTypedDict(TypedDict):
    """`WhoamiIdentity` as a dict."""

    id: str
    external_id: str


class WhoamiIdentity(BaseModel):
    """The identity the key belongs to."""

    id: str
    external_id: str


class WhoamiRequestBodyTypedDict(TypedDict):
    """`WhoamiRequestBody` as a dict."""

    key: str


class WhoamiRequestBody(BaseModel):
    """What `keys.whoami` takes."""

    key: str


class WhoamiResponseBodyTypedDict(TypedDict):
    """`WhoamiResponseBody` as a dict."""

    id: str
    created_at: int
    enabled: bool
    name: NotRequired[str]
    remaining: NotRequired[int]
    identity: NotRequired[WhoamiIdentityTypedDict]
    meta: NotRequired[dict[str, Any | None]]
    environment: NotRequired[str]


class WhoamiResponseBody(BaseModel):
    """The key asked for; `created_at` in milliseconds since the epoch."""

    id: str
    created_at: int
    enabled: bool
    name: str | None = None
    remaining: int | None = None
    identity: WhoamiIdentity | None = None
    meta: dict[str, Any | None] | None = None
    environment: str | None = None


class WhoamiResponseTypedDict(TypedDict):
    """`WhoamiResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[WhoamiResponseBodyTypedDict]


class WhoamiResponse(Wrapper):
    """What `keys.whoami` returns: the answer in `object`, the exchange in `http_meta`."""

    object: WhoamiResponseBody | None = None
