"""Models of `permissions.create_role`."""

from __future__ import annotations

from enum import Enum
from typing import NotRequired, TypeAlias, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class Description2(str, Enum):
    """The empty description."""

    UNKNOWN = ""


CreateRoleDescription: TypeAlias = str | Description2
CreateRoleDescriptionTypedDict: TypeAlias = str | Description2


class CreateRoleRequestBodyTypedDict(TypedDict):
    """`CreateRoleRequestBody` as a dict."""

    name: str
    description: NotRequired[CreateRoleDescriptionTypedDict]


class CreateRoleRequestBody(BaseModel):
    """What `permissions.create_role` takes."""

    name: str
    description: CreateRoleDescription | None = None


class CreateRoleResponseBodyTypedDict(TypedDict):
    """`CreateRoleResponseBody` as a dict."""

    role_id: str


class CreateRoleResponseBody(BaseModel):
    """The answer of `permissions.create_role`."""

    role_id: str


class CreateRoleResponseTypedDict(TypedDict):
    """`CreateRoleResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[CreateRoleResponseBodyTypedDict]


class CreateRoleResponse(Wrapper):
    """What `permissions.create_role` returns: the answer in `object`, the exchange in `http_meta`."""

    object: CreateRoleResponseBody | None = None
