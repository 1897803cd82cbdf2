"""A key as `keys.get` and `apis.list_keys` give it."""

from __future__ import annotations

from enum import Enum
from typing import Any, NotRequired, TypedDict

from unkey_py.types.basemodel import BaseModel, NullableModel, OptionalNullable, open_member


class Interval(str, Enum):
    """How often credits come back."""

    DAILY = "daily"
    MONTHLY = "monthly"

    @classmethod
    def _missing_(cls, value: object) -> Interval | None:
        return open_member(cls, value)


class Type(str, Enum):
    """Deprecated and without meaning."""

    FAST = "fast"
    CONSISTENT = "consistent"

    @classmethod
    def _missing_(cls, value: object) -> Type | None:
        return open_member(cls, value)


class IdentityTypedDict(TypedDict):
    """`Identity` as a dict."""

    id: str
    external_id: str
    meta: NotRequired[dict[str, Any | None]]


class Identity(BaseModel):
    """The identity a key belongs to."""

    id: str
    external_id: str
    meta: dict[str, Any | None] | None = None


class RatelimitModelTypedDict(TypedDict):
    """`RatelimitModel` as a dict."""

    async_: bool
    limit: int
    duration: int
    type: NotRequired[Type]
    refill_rate: NotRequired[int]
    refill_interval: NotRequired[int]


class RatelimitModel(BaseModel):
    """The limit of a key: `limit` verifications per `duration` milliseconds."""

    async_: bool
    limit: int
    duration: int
    type: Type | None = None
    refill_rate: int | None = None
    refill_interval: int | None = None


class RefillTypedDict(TypedDict):
    """`Refill` as a dict."""

    interval: Interval
    amount: int
    refill_day: NotRequired[float | None]
    last_refill_at: NotRequired[int]


class Refill(NullableModel):
    """The refill of a key; `last_refill_at` in milliseconds since the epoch."""

    interval: Interval
    amount: int
    refill_day: OptionalNullable[float] = 1
    last_refill_at: int | None = None


class KeyTypedDict(TypedDict):
    """`Key` as a dict."""

    id: str
    start: str
    workspace_id: str
    created_at: int
    api_id: NotRequired[str]
    name: NotRequired[str]
    owner_id: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]
    updated_at: NotRequired[int]
    expires: NotRequired[int]
    remaining: NotRequired[int]
    refill: NotRequired[RefillTypedDict]
    ratelimit: NotRequired[RatelimitModelTypedDict]
    roles: NotRequired[list[str]]
    permissions: NotRequired[list[str]]
    enabled: NotRequired[bool]
    plaintext: NotRequired[str]
    identity: NotRequired[IdentityTypedDict]


class Key(BaseModel):
    """A key; times in milliseconds since the epoch, `plaintext` only when asked for and recoverable."""

    id: str
    start: str
    workspace_id: str
    created_at: int
    api_id: str | None = None
    name: str | None = None
    owner_id: str | None = None
    meta: dict[str, Any | None] | None = None
    updated_at: int | None = None
    expires: int | None = None
    remaining: int | None = None
    refill: Refill | None = None
    ratelimit: RatelimitModel | None = None
    roles: list[str] | None = None
    permissions: list[str] | None = None
    enabled: bool | None = None
    plaintext: str | None = None
    identity: Identity | None = None
