"""Models of `ratelimits.delete_override`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeleteOverrideRequestBodyTypedDict(TypedDict):
    """`DeleteOverrideRequestBody` as a dict."""

    identifier: str
    namespace_id: NotRequired[str]
    namespace_name: NotRequired[str]


class DeleteOverrideRequestBody(BaseModel):
    """What `ratelimits.delete_override` takes."""

    identifier: str
    namespace_id: str | None = None
    namespace_name: str | None = None


class DeleteOverrideResponseBodyTypedDict(TypedDict):
    """`DeleteOverrideResponseBody` as a dict."""


class DeleteOverrideResponseBody(BaseModel):
    """The empty answer of `ratelimits.delete_override`."""


class DeleteOverrideResponseTypedDict(TypedDict):
    """`DeleteOverrideResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeleteOverrideResponseBodyTypedDict]


class DeleteOverrideResponse(Wrapper):
    """What `ratelimits.delete_override` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeleteOverrideResponseBody | None = None
