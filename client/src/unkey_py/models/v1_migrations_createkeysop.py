"""Models of `migrations.create_keys`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict

from pydantic import Field
from typing_extensions import deprecated

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class V1MigrationsCreateKeysInterval(str, Enum):
    """How often credits come back."""

    DAILY = "daily"
    MONTHLY = "monthly"


@deprecated("has no effect")
class V1MigrationsCreateKeysType(str, Enum):
    """Deprecated and without effect."""

    FAST = "fast"
    CONSISTENT = "consistent"


class Variant(str, Enum):
    """How a hash was made."""

    SHA256_BASE64 = "sha256_base64"


class HashTypedDict(TypedDict):
    """`Hash` as a dict."""

    value: str
    variant: Variant


class Hash(BaseModel):
    """The hash of a key made elsewhere, in place of its plaintext."""

    value: str
    variant: Variant


class V1MigrationsCreateKeysRatelimitTypedDict(TypedDict):
    """`V1MigrationsCreateKeysRatelimit` as a dict."""

    limit: int
    refill_rate: int
    refill_interval: int
    async_: NotRequired[bool]
    type: NotRequired[V1MigrationsCreateKeysType]


class V1MigrationsCreateKeysRatelimit(BaseModel):
    """A limit of a migrated key: `limit` per `refill_interval` milliseconds."""

    limit: int
    refill_rate: Annotated[int, Field(deprecated="in v1, though required here")]
    refill_interval: Annotated[int, Field(deprecated="in v1, though required here")]
    async_: bool | None = False
    type: Annotated[V1MigrationsCreateKeysType | None, Field(deprecated="has no effect")] = (
        V1MigrationsCreateKeysType.FAST
    )


class V1MigrationsCreateKeysRefillTypedDict(TypedDict):
    """`V1MigrationsCreateKeysRefill` as a dict."""

    interval: V1MigrationsCreateKeysInterval
    amount: int
    refill_day: NotRequired[float]


class V1MigrationsCreateKeysRefill(BaseModel):
    """Credits a migrated key gets again: `amount` each day, or each month on `refill_day`."""

    interval: V1MigrationsCreateKeysInterval
    amount: int
    refill_day: float | None = None


class RequestBodyTypedDict(TypedDict):
    """`RequestBody` as a dict."""

    api_id: str
    prefix: NotRequired[str]
    name: NotRequired[str]
    plaintext: NotRequired[str]
    hash: NotRequired[HashTypedDict]
    start: NotRequired[str]
    owner_id: NotRequired[str]
    external_id: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]
    roles: NotRequired[list[str]]
    permissions: NotRequired[list[str]]
    expires: NotRequired[int]
    remaining: NotRequired[int]
    refill: NotRequired[V1MigrationsCreateKeysRefillTypedDict]
    ratelimit: NotRequired[V1MigrationsCreateKeysRatelimitTypedDict]
    enabled: NotRequired[bool]
    environment: NotRequired[str]


class RequestBody(BaseModel):
    """One key of `migrations.create_keys`, by `plaintext` or by `hash`."""

    api_id: str
    prefix: str | None = None
    name: str | None = None
    plaintext: str | None = None
    hash: Hash | None = None
    start: str | None = None
    owner_id: Annotated[str | None, Field(deprecated="use external_id")] = None
    external_id: str | None = None
    meta: dict[str, Any | None] | None = None
    roles: list[str] | None = None
    permissions: list[str] | None = None
    expires: int | None = None
    remaining: int | None = None
    refill: V1MigrationsCreateKeysRefill | None = None
    ratelimit: V1MigrationsCreateKeysRatelimit | None = None
    enabled: bool | None = True
    environment: str | None = None


class V1MigrationsCreateKeysResponseBodyTypedDict(TypedDict):
    """`V1MigrationsCreateKeysResponseBody` as a dict."""

    key_ids: list[str]


class V1MigrationsCreateKeysResponseBody(BaseModel):
    """The answer of `migrations.create_keys`."""

    key_ids: list[str]


class V1MigrationsCreateKeysResponseTypedDict(TypedDict):
    """`V1MigrationsCreateKeysResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[V1MigrationsCreateKeysResponseBodyTypedDict]


class V1MigrationsCreateKeysResponse(Wrapper):
    """What `migrations.create_keys` returns: the answer in `object`, the exchange in `http_meta`."""

    object: V1MigrationsCreateKeysResponseBody | None = None
