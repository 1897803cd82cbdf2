"""Models of `apis.create`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class CreateAPIRequestBodyTypedDict(TypedDict):
    """`CreateAPIRequestBody` as a dict."""

    name: str


class CreateAPIRequestBody(BaseModel):
    """What `apis.create` takes."""

    name: str


class CreateAPIResponseBodyTypedDict(TypedDict):
    """`CreateAPIResponseBody` as a dict."""

    api_id: str


class CreateAPIResponseBody(BaseModel):
    """The answer of `apis.create`."""

    api_id: str


class CreateAPIResponseTypedDict(TypedDict):
    """`CreateAPIResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[CreateAPIResponseBodyTypedDict]


class CreateAPIResponse(Wrapper):
    """What `apis.create` returns: the answer in `object`, the exchange in `http_meta`."""

    object: CreateAPIResponseBody | None = None
