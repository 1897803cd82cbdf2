"""Models of `permissions.delete_role`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeleteRoleRequestBodyTypedDict(TypedDict):
    """`DeleteRoleRequestBody` as a dict."""

    role_id: str


class DeleteRoleRequestBody(BaseModel):
    """What `permissions.delete_role` takes."""

    role_id: str


class DeleteRoleResponseBodyTypedDict(TypedDict):
    """`DeleteRoleResponseBody` as a dict."""


class DeleteRoleResponseBody(BaseModel):
    """The empty answer of `permissions.delete_role`."""


class DeleteRoleResponseTypedDict(TypedDict):
    """`DeleteRoleResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeleteRoleResponseBodyTypedDict]


class DeleteRoleResponse(Wrapper):
    """What `permissions.delete_role` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeleteRoleResponseBody | None = None
