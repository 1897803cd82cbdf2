"""The request of `keys.verify`."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from pydantic import Field
from typing_extensions import deprecated

from unkey_py.models.permissionquery import PermissionQuery, PermissionQueryTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class AuthorizationTypedDict(TypedDict):
    """`Authorization` as a dict."""

    permissions: NotRequired[PermissionQueryTypedDict | None]


class Authorization(NullableModel):
    """Permissions the key must have for the verification to succeed; null asks for none."""

    permissions: OptionalNullable[PermissionQuery] = UNSET


class RatelimitsModelTypedDict(TypedDict):
    """`RatelimitsModel` as a dict."""

    name: str
    cost: NotRequired[int]
    limit: NotRequired[int]
    duration: NotRequired[int]


class RatelimitsModel(BaseModel):
    """A limit to count this verification against; `duration` in milliseconds."""

    name: str
    cost: int | None = 1
    limit: int | None = None
    duration: int | None = None


class RemainingTypedDict(TypedDict):
    """`Remaining` as a dict."""

    cost: NotRequired[int]


class Remaining(BaseModel):
    """How many credits the verification spends."""

    cost: int | None = 1


@deprecated("use ratelimits")
class V1KeysVerifyKeyRequestRatelimitTypedDict(TypedDict):
    """`V1KeysVerifyKeyRequestRatelimit` as a dict."""

    cost: NotRequired[int]


@deprecated("use ratelimits")
class V1KeysVerifyKeyRequestRatelimit(BaseModel):
    """How much of the limit the verification spends; use `ratelimits`."""

    cost: int | None = 1


class V1KeysVerifyKeyRequestTypedDict(TypedDict):
    """`V1KeysVerifyKeyRequest` as a dict."""

    key: str
    api_id: NotRequired[str]
    tags: NotRequired[list[str]]
    authorization: NotRequired[AuthorizationTypedDict]
    remaining: NotRequired[RemainingTypedDict]
    ratelimit: NotRequired[V1KeysVerifyKeyRequestRatelimitTypedDict]
    ratelimits: NotRequired[list[RatelimitsModelTypedDict]]


class V1KeysVerifyKeyRequest(BaseModel):
    """What `keys.verify` takes."""

    key: str
    api_id: str | None = None
    tags: list[str] | None = None
    authorization: Authorization | None = None
    remaining: Remaining | None = None
    ratelimit: Annotated[V1KeysVerifyKeyRequestRatelimit | None, Field(deprecated="use ratelimits")] = None
    ratelimits: list[RatelimitsModel] | None = None
