"""Models of `keys.create`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import Field
from typing_extensions import deprecated

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class CreateKeyInterval(str, Enum):
    """How often credits come back."""

    DAILY = "daily"
    MONTHLY = "monthly"


@deprecated("has no effect")
class CreateKeyType(str, Enum):
    """Deprecated and without effect."""

    FAST = "fast"
    CONSISTENT = "consistent"


class CreateKeyRatelimitTypedDict(TypedDict):
    """`CreateKeyRatelimit` as a dict."""

    limit: int
    async_: NotRequired[bool]
    type: NotRequired[CreateKeyType]
    duration: NotRequired[int]
    refill_rate: NotRequired[int]
    refill_interval: NotRequired[int]


class CreateKeyRatelimit(BaseModel):
    """A limit of the key: `limit` verifications per `duration` milliseconds."""

    limit: int
    async_: bool | None = True
    type: Annotated[CreateKeyType | None, Field(deprecated="has no effect")] = CreateKeyType.FAST
    duration: int | None = None
    refill_rate: Annotated[int | None, Field(deprecated="use limit")] = None
    refill_interval: Annotated[int | None, Field(deprecated="use duration")] = None


class CreateKeyRefillTypedDict(TypedDict):
    """`CreateKeyRefill` as a dict."""

    interval: CreateKeyInterval
    amount: int
    refill_day: NotRequired[float]


class CreateKeyRefill(BaseModel):
    """Credits the key gets again: `amount` each day, or each month on `refill_day`."""

    interval: CreateKeyInterval
    amount: int
    refill_day: float | None = None


class CreateKeyRequestBodyTypedDict(TypedDict):
    """`CreateKeyRequestBody` as a dict."""

    api_id: str
    prefix: NotRequired[str]
    name: NotRequired[str]
    byte_length: NotRequired[int]
    owner_id: NotRequired[str]
    external_id: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]
    roles: NotRequired[list[str]]
    permissions: NotRequired[list[str]]
    expires: NotRequired[int]
    remaining: NotRequired[int]
    refill: NotRequired[CreateKeyRefillTypedDict]
    ratelimit: NotRequired[CreateKeyRatelimitTypedDict]
    enabled: NotRequired[bool]
    recoverable: NotRequired[bool]
    environment: NotRequired[str]


class CreateKeyRequestBody(BaseModel):
    """What `keys.create` takes; `expires` in milliseconds since the epoch, `byte_length` in bytes."""

    api_id: str
    prefix: str | None = None
    name: str | None = None
    byte_length: int | None = 16
    owner_id: Annotated[str | None, Field(deprecated="use external_id")] = None
    external_id: str | None = None
    meta: dict[str, Any | None] | None = None
    roles: list[str] | None = None
    permissions: list[str] | None = None
    expires: int | None = None
    remaining: int | None = None
    refill: CreateKeyRefill | None = None
    ratelimit: CreateKeyRatelimit | None = None
    enabled: bool | None = True
    recoverable: bool | None = False
    environment: str | None = None


class CreateKeyResponseBodyTypedDict(TypedDict):
    """`CreateKeyResponseBody` as a dict."""

    key_id: str
    key: str


class CreateKeyResponseBody(BaseModel):
    """The new key; `key` is its plaintext and is shown this once."""

    key_id: str
    key: str


class CreateKeyResponseTypedDict(TypedDict):
    """`CreateKeyResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[CreateKeyResponseBodyTypedDict]


class CreateKeyResponse(Wrapper):
    """What `keys.create` returns: the answer in `object`, the exchange in `http_meta`."""

    object: CreateKeyResponseBody | None = None
