"""Models of `keys.remove_roles`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class RemoveRolesRolesTypedDict(TypedDict):
    """`RemoveRolesRoles` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]


class RemoveRolesRoles(BaseModel):
    """A role to take away, by `id` or by `name`."""

    id: str | None = None
    name: str | None = None


class RemoveRolesRequestBodyTypedDict(TypedDict):
    """`RemoveRolesRequestBody` as a dict."""

    key_id: str
    roles: list[RemoveRolesRolesTypedDict]


class RemoveRolesRequestBody(BaseModel):
    """What `keys.remove_roles` takes."""

    key_id: str
    roles: list[RemoveRolesRoles]


class RemoveRolesResponseBodyTypedDict(TypedDict):
    """`RemoveRolesResponseBody` as a dict."""


class RemoveRolesResponseBody(BaseModel):
    """The empty answer of `keys.remove_roles`."""


class RemoveRolesResponseTypedDict(TypedDict):
    """`RemoveRolesResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[RemoveRolesResponseBodyTypedDict]


class RemoveRolesResponse(Wrapper):
    """What `keys.remove_roles` returns: the answer in `object`, the exchange in `http_meta`."""

    object: RemoveRolesResponseBody | None = None
