"""Models of `migrations.enqueue`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import Field
from typing_extensions import deprecated

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class V1MigrationsEnqueueKeysInterval(str, Enum):
    """How often credits come back."""

    DAILY = "daily"
    MONTHLY = "monthly"


@deprecated("has no effect")
class V1MigrationsEnqueueKeysType(str, Enum):
    """Deprecated and without effect."""

    FAST = "fast"
    CONSISTENT = "consistent"


class V1MigrationsEnqueueKeysVariant(str, Enum):
    """How a hash was made."""

    SHA256_BASE64 = "sha256_base64"


class V1MigrationsEnqueueKeysHashTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysHash` as a dict."""

    value: str
    variant: V1MigrationsEnqueueKeysVariant


class V1MigrationsEnqueueKeysHash(BaseModel):
    """The hash of a key made elsewhere, in place of its plaintext."""

    value: str
    variant: V1MigrationsEnqueueKeysVariant


class V1MigrationsEnqueueKeysRatelimitTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysRatelimit` as a dict."""

    limit: int
    duration: int
    async_: NotRequired[bool]
    type: NotRequired[V1MigrationsEnqueueKeysType]
    refill_rate: NotRequired[int]
    refill_interval: NotRequired[int]


class V1MigrationsEnqueueKeysRatelimit(BaseModel):
    """A limit of a migrated key: `limit` per `duration` milliseconds."""

    limit: int
    duration: int
    async_: bool | None = True
    type: Annotated[V1MigrationsEnqueueKeysType | None, Field(deprecated="has no effect")] = (
        V1MigrationsEnqueueKeysType.FAST
    )
    refill_rate: Annotated[int | None, Field(deprecated="use limit")] = None
    refill_interval: Annotated[int | None, Field(deprecated="use duration")] = None


class V1MigrationsEnqueueKeysRefillTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysRefill` as a dict."""

    interval: V1MigrationsEnqueueKeysInterval
    amount: int
    refill_day: NotRequired[float]


class V1MigrationsEnqueueKeysRefill(BaseModel):
    """Credits a migrated key gets again: `amount` each day, or each month on `refill_day`."""

    interval: V1MigrationsEnqueueKeysInterval
    amount: int
    refill_day: float | None = None


class V1MigrationsEnqueueKeysKeysTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysKeys` as a dict."""

    prefix: NotRequired[str]
    name: NotRequired[str]
    plaintext: NotRequired[str]
    hash: NotRequired[V1MigrationsEnqueueKeysHashTypedDict]
    start: NotRequired[str]
    owner_id: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]
    roles: NotRequired[list[str]]
    permissions: NotRequired[list[str]]
    expires: NotRequired[int]
    remaining: NotRequired[int]
    refill: NotRequired[V1MigrationsEnqueueKeysRefillTypedDict]
    ratelimit: NotRequired[V1MigrationsEnqueueKeysRatelimitTypedDict]
    enabled: NotRequired[bool]
    environment: NotRequired[str]


class V1MigrationsEnqueueKeysKeys(BaseModel):
    """One key of `migrations.enqueue`, by `plaintext` or by `hash`."""

    prefix: str | None = None
    name: str | None = None
    plaintext: str | None = None
    hash: V1MigrationsEnqueueKeysHash | None = None
    start: str | None = None
    owner_id: str | None = None
    meta: dict[str, Any | None] | None = None
    roles: list[str] | None = None
    permissions: list[str] | None = None
    expires: int | None = None
    remaining: int | None = None
    refill: V1MigrationsEnqueueKeysRefill | None = None
    ratelimit: V1MigrationsEnqueueKeysRatelimit | None = None
    enabled: bool | None = True
    environment: str | None = None


class V1MigrationsEnqueueKeysRequestBodyTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysRequestBody` as a dict."""

    migration_id: str
    api_id: str
    keys: list[V1MigrationsEnqueueKeysKeysTypedDict]


class V1MigrationsEnqueueKeysRequestBody(BaseModel):
    """What `migrations.enqueue` takes."""

    migration_id: str
    api_id: str
    keys: list[V1MigrationsEnqueueKeysKeys]


class V1MigrationsEnqueueKeysResponseBodyTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysResponseBody` as a dict."""


class V1MigrationsEnqueueKeysResponseBody(BaseModel):
    """The empty answer of `migrations.enqueue`."""


class V1MigrationsEnqueueKeysResponseTypedDict(TypedDict):
    """`V1MigrationsEnqueueKeysResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[V1MigrationsEnqueueKeysResponseBodyTypedDict]


class V1MigrationsEnqueueKeysResponse(Wrapper):
    """What `migrations.enqueue` returns: the answer in `object`, the exchange in `http_meta`."""

    object: V1MigrationsEnqueueKeysResponseBody | None = None
