"""Models of `permissions.list_roles`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class ListRolesResponseBodyTypedDict(TypedDict):
    """`ListRolesResponseBody` as a dict."""

    id: str
    name: str
    description: NotRequired[str]


class ListRolesResponseBody(BaseModel):
    """The answer of `permissions.list_roles`."""

    id: str
    name: str
    description: str | None = None


class ListRolesResponseTypedDict(TypedDict):
    """`ListRolesResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[ListRolesResponseBodyTypedDict]]


class ListRolesResponse(Wrapper):
    """What `permissions.list_roles` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[ListRolesResponseBody] | None = None
