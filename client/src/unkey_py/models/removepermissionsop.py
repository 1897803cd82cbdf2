"""Models of `keys.remove_permissions`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class RemovePermissionsPermissionsTypedDict(TypedDict):
    """`RemovePermissionsPermissions` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]


class RemovePermissionsPermissions(BaseModel):
    """A permission to take away, by `id` or by `name`."""

    id: str | None = None
    name: str | None = None


class RemovePermissionsRequestBodyTypedDict(TypedDict):
    """`RemovePermissionsRequestBody` as a dict."""

    key_id: str
    permissions: list[RemovePermissionsPermissionsTypedDict]


class RemovePermissionsRequestBody(BaseModel):
    """What `keys.remove_permissions` takes."""

    key_id: str
    permissions: list[RemovePermissionsPermissions]


class RemovePermissionsResponseBodyTypedDict(TypedDict):
    """`RemovePermissionsResponseBody` as a dict."""


class RemovePermissionsResponseBody(BaseModel):
    """The empty answer of `keys.remove_permissions`."""


class RemovePermissionsResponseTypedDict(TypedDict):
    """`RemovePermissionsResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[RemovePermissionsResponseBodyTypedDict]


class RemovePermissionsResponse(Wrapper):
    """What `keys.remove_permissions` returns: the answer in `object`, the exchange in `http_meta`."""

    object: RemovePermissionsResponseBody | None = None
