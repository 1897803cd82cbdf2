"""Requests and answers of the key operations (contract keys-v1 §3)."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from keystead.contract.fields import (
    MAX_INT64,
    ExternalId,
    Instant,
    Int32,
    JsonObject,
    KeyMeta,
    Name,
    Named,
    NullableKeyMeta,
    Positive32,
)
from keystead.core.credits import MAX_BALANCE, BalanceChange

Interval = Literal["daily", "monthly"]
RoleName = Annotated[str, Meta(min_length=1, extra_json_schema={"maxLength": 512})]
PermissionSlug = Annotated[str, Meta(min_length=1, extra_json_schema={"maxLength": 128})]
SelectorId = Annotated[str, Meta(extra_json_schema={"minLength": 3, "maxLength": 256})]
RefillDay = Annotated[int, Meta(ge=1, le=31)]
Milliseconds = Annotated[int, Meta(ge=1, le=MAX_INT64)]
LongMilliseconds = Annotated[int, Meta(ge=1000, le=MAX_INT64)]
Balance = Annotated[int, Meta(ge=0, le=MAX_BALANCE)]
FirstBalance = Annotated[int, Meta(le=MAX_BALANCE, extra_json_schema={"minimum": 1})]
"""A positive balance; what is not is refused after the api was found (§3.4 step 6)."""


class EmptyAnswer(Struct):
    """`{}`."""


class Refill(Struct, rename="camel"):
    """When and to what a balance is refilled; `refill_day` only with monthly, 1 when absent."""

    interval: Interval
    amount: Positive32
    refill_day: RefillDay | UnsetType = UNSET


class NewRatelimit(Struct, rename="camel"):
    """The limit `default` of a new key; without `duration`, the deprecated `refill_interval` stands in."""

    limit: Positive32
    duration: LongMilliseconds | UnsetType = UNSET
    refill_interval: Milliseconds | UnsetType = UNSET
    refill_rate: Positive32 | UnsetType = UNSET
    async_: bool | UnsetType = UNSET
    type: Literal["fast", "consistent"] | UnsetType = UNSET


class ChangedRatelimit(Struct, rename="camel"):
    """The new limit `default` of a key; without a duration the present one is kept."""

    limit: Positive32
    duration: Milliseconds | UnsetType = UNSET
    refill_interval: Milliseconds | UnsetType = UNSET
    refill_rate: Positive32 | UnsetType = UNSET
    async_: bool | UnsetType = UNSET
    type: Literal["fast", "consistent"] | UnsetType = UNSET


class PermissionSelector(Struct):
    """Names a permission: `id`, else `slug`, else `name` (compared with the slug)."""

    id: SelectorId | UnsetType = UNSET
    slug: PermissionSlug | UnsetType = UNSET
    name: PermissionSlug | UnsetType = UNSET
    create: bool | UnsetType = UNSET


class RoleSelector(Struct):
    """Names a role: `id`, else `name`."""

    id: SelectorId | UnsetType = UNSET
    name: RoleName | UnsetType = UNSET
    create: bool | UnsetType = UNSET


class GetKey(Struct, rename="camel"):
    """Query of getKey."""

    key_id: Named
    decrypt: bool = False


class Whoami(Struct):
    """Body of whoami: the full secret."""

    key: Named

    def __repr__(self) -> str:
        return "Whoami(key=...)"


class DeleteKey(Struct, rename="camel"):
    """Body of deleteKey."""

    key_id: Named
    permanent: bool = False


class CreateKey(Struct, rename="camel"):
    """Body of createKey."""

    api_id: str
    prefix: Annotated[str, Meta(extra_json_schema={"maxLength": 16})] | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    byte_length: Annotated[int, Meta(ge=16, le=255)] | UnsetType = UNSET
    external_id: ExternalId | UnsetType = UNSET
    owner_id: ExternalId | UnsetType = UNSET
    meta: KeyMeta | UnsetType = UNSET
    roles: list[RoleName] | UnsetType = UNSET
    permissions: list[PermissionSlug] | UnsetType = UNSET
    expires: Instant | UnsetType = UNSET
    remaining: FirstBalance | UnsetType = UNSET
    refill: Refill | UnsetType = UNSET
    ratelimit: NewRatelimit | UnsetType = UNSET
    enabled: bool = True
    recoverable: bool = False
    environment: Name | UnsetType = UNSET


class UpdateKey(Struct, rename="camel"):
    """Body of updateKey: absent members stay as they are, null removes."""

    key_id: str
    name: Name | None | UnsetType = UNSET
    external_id: ExternalId | None | UnsetType = UNSET
    owner_id: ExternalId | None | UnsetType = UNSET
    meta: NullableKeyMeta | UnsetType = UNSET
    expires: Instant | None | UnsetType = UNSET
    remaining: Balance | None | UnsetType = UNSET
    refill: Refill | None | UnsetType = UNSET
    ratelimit: ChangedRatelimit | None | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    roles: list[RoleSelector] | UnsetType = UNSET
    permissions: list[PermissionSelector] | UnsetType = UNSET


class UpdateRemaining(Struct, rename="camel"):
    """Body of updateRemaining; `value` null with `set` is unlimited."""

    key_id: str
    op: BalanceChange
    value: Int32 | None


class GetVerifications(Struct, rename="camel"):
    """Query of keys.getVerifications; instants in ms, 0 counts as absent."""

    key_id: str = ""
    owner_id: str = ""
    start: Instant = 0
    end: Instant = 0
    granularity: Literal["day"] = "day"


class ChangePermissions(Struct, rename="camel"):
    """Body of addPermissions, removePermissions and setPermissions."""

    key_id: Named
    permissions: Annotated[list[PermissionSelector], Meta(min_length=1)]


class ChangeRoles(Struct, rename="camel"):
    """Body of addRoles, removeRoles and setRoles."""

    key_id: Named
    roles: Annotated[list[RoleSelector], Meta(min_length=1)]


class CreatedKey(Struct, rename="camel"):
    """Answer of createKey: the only time the secret is shown."""

    key_id: str
    key: str

    def __repr__(self) -> str:
        return f"CreatedKey(key_id={self.key_id!r}, key=...)"


class KeyRefill(Struct, rename="camel"):
    """Refill in a key object; `refill_day` null is daily."""

    interval: Interval
    amount: int
    refill_day: int | None
    last_refill_at: int | UnsetType = UNSET


class KeyRatelimit(Struct, rename="camel"):
    """The key's own limit `default`; `refill_rate` and `refill_interval` repeat `limit` and `duration`."""

    async_: bool
    limit: int
    duration: int
    refill_rate: int
    refill_interval: int


class IdentityWithMeta(Struct, rename="camel"):
    """An identity in a key object."""

    id: str
    external_id: str
    meta: JsonObject


class IdentityReference(Struct, rename="camel"):
    """An identity in whoami."""

    id: str
    external_id: str


class KeyObject(Struct, rename="camel"):
    """Answer of getKey (§3.1)."""

    id: str
    start: str
    api_id: str
    workspace_id: str
    created_at: int
    roles: list[str]
    permissions: list[str]
    enabled: bool
    name: str | UnsetType = UNSET
    owner_id: str | UnsetType = UNSET
    meta: JsonObject | UnsetType = UNSET
    updated_at: int | UnsetType = UNSET
    expires: int | UnsetType = UNSET
    remaining: int | UnsetType = UNSET
    refill: KeyRefill | UnsetType = UNSET
    ratelimit: KeyRatelimit | UnsetType = UNSET
    plaintext: str | UnsetType = UNSET
    identity: IdentityWithMeta | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"


class WhoamiAnswer(Struct, rename="camel"):
    """Answer of whoami (§3.2)."""

    id: str
    created_at: int
    enabled: bool
    name: str | UnsetType = UNSET
    remaining: int | UnsetType = UNSET
    identity: IdentityReference | UnsetType = UNSET
    meta: JsonObject | UnsetType = UNSET
    environment: str | UnsetType = UNSET


class RemainingAnswer(Struct):
    """Answer of updateRemaining; null is unlimited."""

    remaining: int | None


class DayOfVerifications(Struct, rename="camel"):
    """Outcomes of one UTC day; `time` is its start in ms."""

    time: int
    success: int
    rate_limited: int
    usage_exceeded: int


class VerificationsAnswer(Struct):
    """Answer of keys.getVerifications."""

    verifications: list[DayOfVerifications]


class NamedObject(Struct):
    """A permission or role in the answers that list them."""

    id: str
    name: str


class VerificationLimit(Struct):
    """The limit a verification reports; `reset` in ms."""

    limit: int
    remaining: int
    reset: int


class VerificationAnswer(Struct, rename="camel"):
    """Answer of verifyKey (§3.5), for the documentation: `core.answers` writes it."""

    valid: bool
    code: Literal[
        "VALID",
        "NOT_FOUND",
        "FORBIDDEN",
        "USAGE_EXCEEDED",
        "RATE_LIMITED",
        "UNAUTHORIZED",
        "DISABLED",
        "INSUFFICIENT_PERMISSIONS",
        "EXPIRED",
    ]
    request_id: str
    key_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    owner_id: str | UnsetType = UNSET
    meta: JsonObject | UnsetType = UNSET
    expires: int | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    permissions: list[str] | UnsetType = UNSET
    roles: list[str] | UnsetType = UNSET
    environment: str | UnsetType = UNSET
    identity: IdentityWithMeta | UnsetType = UNSET
    ratelimit: VerificationLimit | UnsetType = UNSET
    remaining: int | UnsetType = UNSET


def json_object(text: str | None) -> Raw:
    """Stored `meta` text as the member of an answer; `{}` when there is none."""
    return Raw((text or "{}").encode())
