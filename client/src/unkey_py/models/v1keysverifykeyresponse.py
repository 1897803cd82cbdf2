"""The answer of `keys.verify`."""

from __future__ import annotations

from enum import Enum
from typing import Any, NotRequired, TypedDict

from unkey_py.types.basemodel import BaseModel, open_member


class Code(str, Enum):
    """Why a verification ended as it did; a value unknown to this release becomes a member of its own."""

    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    FORBIDDEN = "FORBIDDEN"
    USAGE_EXCEEDED = "USAGE_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    UNAUTHORIZED = "UNAUTHORIZED"
    DISABLED = "DISABLED"
    INSUFFICIENT_PERMISSIONS = "INSUFFICIENT_PERMISSIONS"
    EXPIRED = "EXPIRED"

    @classmethod
    def _missing_(cls, value: object) -> Code | None:
        return open_member(cls, value)


class V1KeysVerifyKeyResponseIdentityTypedDict(TypedDict):
    """`V1KeysVerifyKeyResponseIdentity` as a dict."""

    id: str
    external_id: str
    meta: dict[str, Any | None]


class V1KeysVerifyKeyResponseIdentity(BaseModel):
    """The identity a verified key belongs to."""

    id: str
    external_id: str
    meta: dict[str, Any | None]


class V1KeysVerifyKeyResponseRatelimitTypedDict(TypedDict):
    """`V1KeysVerifyKeyResponseRatelimit` as a dict."""

    limit: int
    remaining: int
    reset: int


class V1KeysVerifyKeyResponseRatelimit(BaseModel):
    """State of the limit; `reset` is the end of the window in milliseconds since the epoch."""

    limit: int
    remaining: int
    reset: int


class V1KeysVerifyKeyResponseTypedDict(TypedDict):
    """`V1KeysVerifyKeyResponse` as a dict."""

    valid: bool
    code: Code
    request_id: str
    key_id: NotRequired[str]
    name: NotRequired[str]
    owner_id: NotRequired[str]
    meta: NotRequired[dict[str, Any | None]]
    expires: NotRequired[int]
    ratelimit: NotRequired[V1KeysVerifyKeyResponseRatelimitTypedDict]
    remaining: NotRequired[int]
    enabled: NotRequired[bool]
    permissions: NotRequired[list[str]]
    roles: NotRequired[list[str]]
    environment: NotRequired[str]
    identity: NotRequired[V1KeysVerifyKeyResponseIdentityTypedDict]


class V1KeysVerifyKeyResponse(BaseModel):
    """The outcome of a verification: a refusal is an answer too, with `valid` false and a `code`."""

    valid: bool
    code: Code
    request_id: str
    key_id: str | None = None
    name: str | None = None
    owner_id: str | None = None
    meta: dict[str, Any | None] | None = None
    expires: int | None = None
    ratelimit: V1KeysVerifyKeyResponseRatelimit | None = None
    remaining: int | None = None
    enabled: bool | None = None
    permissions: list[str] | None = None
    roles: list[str] | None = None
    environment: str | None = None
    identity: V1KeysVerifyKeyResponseIdentity | None = None
