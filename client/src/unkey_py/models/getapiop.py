"""Models of `apis.get`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class GetAPIRequestTypedDict(TypedDict):
    """`GetAPIRequest` as a dict."""

    api_id: str


class GetAPIRequest(BaseModel):
    """What `apis.get` sends."""

    api_id: str


class GetAPIResponseBodyTypedDict(TypedDict):
    """`GetAPIResponseBody` as a dict."""

    id: str
    workspace_id: str
    name: NotRequired[str]


class GetAPIResponseBody(BaseModel):
    """The answer of `apis.get`."""

    id: str
    workspace_id: str
    name: str | None = None


class GetAPIResponseTypedDict(TypedDict):
    """`GetAPIResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[GetAPIResponseBodyTypedDict]


class GetAPIResponse(Wrapper):
    """What `apis.get` returns: the answer in `object`, the exchange in `http_meta`."""

    object: GetAPIResponseBody | None = None
