"""Models of `permissions.create`."""

from __future__ import annotations

from enum import Enum
from typing import NotRequired, TypeAlias, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class Two(str, Enum):
    """The empty description."""

    UNKNOWN = ""


Description: TypeAlias = str | Two
DescriptionTypedDict: TypeAlias = str | Two


class CreatePermissionRequestBodyTypedDict(TypedDict):
    """`CreatePermissionRequestBody` as a dict."""

    name: str
    description: NotRequired[DescriptionTypedDict]


class CreatePermissionRequestBody(BaseModel):
    """What `permissions.create` takes."""

    name: str
    description: Description | None = None


class CreatePermissionResponseBodyTypedDict(TypedDict):
    """`CreatePermissionResponseBody` as a dict."""

    permission_id: str


class CreatePermissionResponseBody(BaseModel):
    """The answer of `permissions.create`."""

    permission_id: str


class CreatePermissionResponseTypedDict(TypedDict):
    """`CreatePermissionResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[CreatePermissionResponseBodyTypedDict]


class CreatePermissionResponse(Wrapper):
    """What `permissions.create` returns: the answer in `object`, the exchange in `http_meta`."""

    object: CreatePermissionResponseBody | None = None
