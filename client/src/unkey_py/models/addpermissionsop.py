"""Models of `keys.add_permissions`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class AddPermissionsPermissionsTypedDict(TypedDict):
    """`AddPermissionsPermissions` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]
    create: NotRequired[bool]


class AddPermissionsPermissions(BaseModel):
    """A permission to add, by `id` or by `name`; `create` makes the named one when it is missing."""

    id: str | None = None
    name: str | None = None
    create: bool | None = None


class AddPermissionsRequestBodyTypedDict(TypedDict):
    """`AddPermissionsRequestBody` as a dict."""

    key_id: str
    permissions: list[AddPermissionsPermissionsTypedDict]


class AddPermissionsRequestBody(BaseModel):
    """What `keys.add_permissions` takes."""

    key_id: str
    permissions: list[AddPermissionsPermissions]


class ResponseBodyTypedDict(TypedDict):
    """`ResponseBody` as a dict."""

    id: str
    name: str


class ResponseBody(BaseModel):
    """A permission of the key after the addition."""

    id: str
    name: str


class AddPermissionsResponseTypedDict(TypedDict):
    """`AddPermissionsResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[ResponseBodyTypedDict]]


class AddPermissionsResponse(Wrapper):
    """What `keys.add_permissions` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[ResponseBody] | None = None
