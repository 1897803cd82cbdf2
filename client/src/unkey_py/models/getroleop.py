"""Models of `permissions.get_role`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class GetRoleRequestTypedDict(TypedDict):
    """`GetRoleRequest` as a dict."""

    role_id: str


class GetRoleRequest(BaseModel):
    """What `permissions.get_role` sends."""

    role_id: str


class GetRoleResponseBodyTypedDict(TypedDict):
    """`GetRoleResponseBody` as a dict."""

    id: str
    name: str
    description: NotRequired[str]


class GetRoleResponseBody(BaseModel):
    """The answer of `permissions.get_role`."""

    id: str
    name: str
    description: str | None = None


class GetRoleResponseTypedDict(TypedDict):
    """`GetRoleResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[GetRoleResponseBodyTypedDict]


class GetRoleResponse(Wrapper):
    """What `permissions.get_role` returns: the answer in `object`, the exchange in `http_meta`."""

    object: GetRoleResponseBody | None = None
