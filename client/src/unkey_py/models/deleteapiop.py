"""Models of `apis.delete`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeleteAPIRequestBodyTypedDict(TypedDict):
    """`DeleteAPIRequestBody` as a dict."""

    api_id: str


class DeleteAPIRequestBody(BaseModel):
    """What `apis.delete` takes."""

    api_id: str


class DeleteAPIResponseBodyTypedDict(TypedDict):
    """`DeleteAPIResponseBody` as a dict."""


class DeleteAPIResponseBody(BaseModel):
    """The empty answer of `apis.delete`."""


class DeleteAPIResponseTypedDict(TypedDict):
    """`DeleteAPIResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeleteAPIResponseBodyTypedDict]


class DeleteAPIResponse(Wrapper):
    """What `apis.delete` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeleteAPIResponseBody | None = None
