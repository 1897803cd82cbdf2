"""Models of `permissions.list`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class ListPermissionsResponseBodyTypedDict(TypedDict):
    """`ListPermissionsResponseBody` as a dict."""

    id: str
    name: str
    description: NotRequired[str]


class ListPermissionsResponseBody(BaseModel):
    """The answer of `permissions.list`."""

    id: str
    name: str
    description: str | None = None


class ListPermissionsResponseTypedDict(TypedDict):
    """`ListPermissionsResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[ListPermissionsResponseBodyTypedDict]]


class ListPermissionsResponse(Wrapper):
    """What `permissions.list` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[ListPermissionsResponseBody] | None = None
