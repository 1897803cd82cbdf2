"""Models of `permissions.get`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class GetPermissionRequestTypedDict(TypedDict):
    """`GetPermissionRequest` as a dict."""

    permission_id: str


class GetPermissionRequest(BaseModel):
    """What `permissions.get` sends."""

    permission_id: str


class GetPermissionResponseBodyTypedDict(TypedDict):
    """`GetPermissionResponseBody` as a dict."""

    id: str
    name: str
    description: NotRequired[str]


class GetPermissionResponseBody(BaseModel):
    """The answer of `permissions.get`."""

    id: str
    name: str
    description: str | None = None


class GetPermissionResponseTypedDict(TypedDict):
    """`GetPermissionResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[GetPermissionResponseBodyTypedDict]


class GetPermissionResponse(Wrapper):
    """What `permissions.get` returns: the answer in `object`, the exchange in `http_meta`."""

    object: GetPermissionResponseBody | None = None
