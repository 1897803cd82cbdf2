"""Models of `keys.set_permissions`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class SetPermissionsPermissionsTypedDict(TypedDict):
    """`SetPermissionsPermissions` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]
    create: NotRequired[bool]


class SetPermissionsPermissions(BaseModel):
    """A permission to keep or add, by `id` or `name`; `create` makes the named one when it is missing."""

    id: str | None = None
    name: str | None = None
    create: bool | None = None


class SetPermissionsRequestBodyTypedDict(TypedDict):
    """`SetPermissionsRequestBody` as a dict."""

    key_id: str
    permissions: list[SetPermissionsPermissionsTypedDict]


class SetPermissionsRequestBody(BaseModel):
    """What `keys.set_permissions` takes."""

    key_id: str
    permissions: list[SetPermissionsPermissions]


class SetPermissionsResponseBodyTypedDict(TypedDict):
    """`SetPermissionsResponseBody` as a dict."""

    id: str
    name: str


class SetPermissionsResponseBody(BaseModel):
    """A permission of the key, of the complete new set."""

    id: str
    name: str


class SetPermissionsResponseTypedDict(TypedDict):
    """`SetPermissionsResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[SetPermissionsResponseBodyTypedDict]]


class SetPermissionsResponse(Wrapper):
    """What `keys.set_permissions` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[SetPermissionsResponseBody] | None = None
