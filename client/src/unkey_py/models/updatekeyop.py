"""Models of `keys.update`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import Field
from typing_extensions import deprecated

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class UpdateKeyInterval(str, Enum):
    """How often credits come back."""

    DAILY = "daily"
    MONTHLY = "monthly"


@deprecated("has no effect")
class UpdateKeyType(str, Enum):
    """Deprecated and without effect."""

    FAST = "fast"
    CONSISTENT = "consistent"


class RolesTypedDict(TypedDict):
    """`Roles` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]
    create: NotRequired[bool]


class Roles(BaseModel):
    """A role the updated key shall have, by `id` or `name`; `create` makes the named one when it is missing."""

    id: str | None = None
    name: str | None = None
    create: bool | None = None


class UpdateKeyPermissionsTypedDict(TypedDict):
    """`UpdateKeyPermissions` as a dict."""

    id: NotRequired[str]
    name: NotRequired[str]
    create: NotRequired[bool]


class UpdateKeyPermissions(BaseModel):
    """A permission the updated key shall have, by `id` or `name`; `create` makes the named one."""

    id: str | None = None
    name: str | None = None
    create: bool | None = None


class UpdateKeyRatelimitTypedDict(TypedDict):
    """`UpdateKeyRatelimit` as a dict."""

    limit: int
    type: NotRequired[UpdateKeyType]
    async_: NotRequired[bool]
    refill_rate: NotRequired[int]
    refill_interval: NotRequired[int]
    duration: NotRequired[int]


class UpdateKeyRatelimit(BaseModel):
    """The new limit of the key: `limit` verifications per `duration` milliseconds."""

    limit: int
    type: Annotated[UpdateKeyType | None, Field(deprecated="has no effect")] = None
    async_: bool | None = False
    refill_rate: Annotated[int | None, Field(deprecated="use limit")] = None
    refill_interval: Annotated[int | None, Field(deprecated="use duration")] = None
    duration: int | None = None


class UpdateKeyRefillTypedDict(TypedDict):
    """`UpdateKeyRefill` as a dict."""

    interval: UpdateKeyInterval
    amount: int
    refill_day: NotRequired[float]


class UpdateKeyRefill(BaseModel):
    """Credits the key gets again: `amount` each day, or each month on `refill_day`."""

    interval: UpdateKeyInterval
    amount: int
    refill_day: float | None = None


class UpdateKeyRequestBodyTypedDict(TypedDict):
    """`UpdateKeyRequestBody` as a dict."""

    key_id: str
    name: NotRequired[str | None]
    owner_id: NotRequired[str | None]
    external_id: NotRequired[str | None]
    meta: NotRequired[dict[str, Any | None] | None]
    expires: NotRequired[int | None]
    ratelimit: NotRequired[UpdateKeyRatelimitTypedDict | None]
    remaining: NotRequired[int | None]
    refill: NotRequired[UpdateKeyRefillTypedDict | None]
    enabled: NotRequired[bool]
    roles: NotRequired[list[RolesTypedDict]]
    permissions: NotRequired[list[UpdateKeyPermissionsTypedDict]]


class UpdateKeyRequestBody(NullableModel):
    """What `keys.update` takes: absent members stay, null clears; `expires` in milliseconds since the epoch."""

    key_id: str
    name: OptionalNullable[str] = UNSET
    owner_id: Annotated[OptionalNullable[str], Field(deprecated="use external_id")] = UNSET
    external_id: OptionalNullable[str] = UNSET
    meta: OptionalNullable[dict[str, Any | None]] = UNSET
    expires: OptionalNullable[int] = UNSET
    ratelimit: OptionalNullable[UpdateKeyRatelimit] = UNSET
    remaining: OptionalNullable[int] = UNSET
    refill: OptionalNullable[UpdateKeyRefill] = UNSET
    enabled: bool | None = None
    roles: list[Roles] | None = None
    permissions: list[UpdateKeyPermissions] | None = None


class UpdateKeyResponseBodyTypedDict(TypedDict):
    """`UpdateKeyResponseBody` as a dict."""


class UpdateKeyResponseBody(BaseModel):
    """The empty answer of `keys.update`."""


class UpdateKeyResponseTypedDict(TypedDict):
    """`UpdateKeyResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[UpdateKeyResponseBodyTypedDict]


class UpdateKeyResponse(Wrapper):
    """What `keys.update` returns: the answer in `object`, the exchange in `http_meta`."""

    object: UpdateKeyResponseBody | None = None
