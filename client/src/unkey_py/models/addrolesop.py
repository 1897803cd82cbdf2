"""Models of `keys.add_roles`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class AddRolesRolesTypedDict(TypedDict):
    """`AddRolesRoles` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]
    create: NotRequired[bool]


class AddRolesRoles(BaseModel):
    """A role to add, by `id` or by `name`; `create` makes the named one when it is missing."""

    id: str | None = None
    name: str | None = None
    create: bool | None = None


class AddRolesRequestBodyTypedDict(TypedDict):
    """`AddRolesRequestBody` as a dict."""

    key_id: str
    roles: list[AddRolesRolesTypedDict]


class AddRolesRequestBody(BaseModel):
    """What `keys.add_roles` takes."""

    key_id: str
    roles: list[AddRolesRoles]


class AddRolesResponseBodyTypedDict(TypedDict):
    """`AddRolesResponseBody` as a dict."""

    id: str
    name: str


class AddRolesResponseBody(BaseModel):
    """A role of the key after the addition."""

    id: str
    name: str


class AddRolesResponseTypedDict(TypedDict):
    """`AddRolesResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[AddRolesResponseBodyTypedDict]]


class AddRolesResponse(Wrapper):
    """What `keys.add_roles` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[AddRolesResponseBody] | None = None
