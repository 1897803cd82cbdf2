"""Models of `permissions.delete`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeletePermissionRequestBodyTypedDict(TypedDict):
    """`DeletePermissionRequestBody` as a dict."""

    permission_id: str


class DeletePermissionRequestBody(BaseModel):
    """What `permissions.delete` takes."""

    permission_id: str


class DeletePermissionResponseBodyTypedDict(TypedDict):
    """`DeletePermissionResponseBody` as a dict."""


class DeletePermissionResponseBody(BaseModel):
    """The empty answer of `permissions.delete`."""


class DeletePermissionResponseTypedDict(TypedDict):
    """`DeletePermissionResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeletePermissionResponseBodyTypedDict]


class DeletePermissionResponse(Wrapper):
    """What `permissions.delete` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeletePermissionResponseBody | None = None
