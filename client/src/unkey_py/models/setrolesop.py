"""Models of `keys.set_roles`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class SetRolesRolesTypedDict(TypedDict):
    """`SetRolesRoles` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]
    create: NotRequired[bool]


class SetRolesRoles(BaseModel):
    """A role to keep or add, by `id` or by `name`; `create` makes the named one when it is missing."""

    id: str | None = None
    name: str | None = None
    create: bool | None = None


class SetRolesRequestBodyTypedDict(TypedDict):
    """`SetRolesRequestBody` as a dict."""

    key_id: str
    roles: list[SetRolesRolesTypedDict]


class SetRolesRequestBody(BaseModel):
    """What `keys.set_roles` takes."""

    key_id: str
    roles: list[SetRolesRoles]


class SetRolesResponseBodyTypedDict(TypedDict):
    """`SetRolesResponseBody` as a dict."""

    id: str
    name: str


class SetRolesResponseBody(BaseModel):
    """A role of the key, of the complete new set."""

    id: str
    name: str


class SetRolesResponseTypedDict(TypedDict):
    """`SetRolesResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[SetRolesResponseBodyTypedDict]]


class SetRolesResponse(Wrapper):
    """What `keys.set_roles` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[SetRolesResponseBody] | None = None
