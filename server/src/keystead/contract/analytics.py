"""Query and answer of analytics.getVerifications (contract other-v1 §6)."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.fields import MAX_INT64, Instant

GroupBy = Literal["key", "identity", "tags", "tag", "month", "day", "hour"]
OrderBy = Literal[
    "time",
    "valid",
    "notFound",
    "forbidden",
    "usageExceeded",
    "rateLimited",
    "unauthorized",
    "disabled",
    "insufficientPermissions",
    "expired",
    "total",
]


class GetVerificationSeries(Struct, rename="camel"):
    """Query of analytics.getVerifications; instants in ms, `end` is now when absent.

    Empty texts count as absent. A key is any of `key_id`, a verification carries every `tag`.
    """

    api_id: str
    start: Instant
    end: Instant | UnsetType = UNSET
    external_id: str = ""
    key_id: list[str] = []
    tag: list[str] = []
    group_by: list[GroupBy] = []
    order_by: OrderBy | UnsetType = UNSET
    order: Literal["asc", "desc"] = "asc"
    limit: Annotated[int, Meta(ge=1, le=MAX_INT64)] | UnsetType = UNSET


class CountedIdentity(Struct, rename="camel"):
    """An identity with its external id, which is empty when the identity has been deleted."""

    id: str
    external_id: str


class VerificationsRow(Struct, rename="camel", kw_only=True):
    """Numbers of verifications by outcome; `time` is the start of the slice in ms.

    The members after `total` are there when grouped by. A row for a slice without any verification has empty ones, and
    no `identity`.
    """

    time: int | UnsetType = UNSET
    valid: int
    not_found: int
    forbidden: int
    usage_exceeded: int
    rate_limited: int
    unauthorized: int
    disabled: int
    insufficient_permissions: int
    expired: int
    total: int
    key_id: str | UnsetType = UNSET
    identity: CountedIdentity | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    tag: str | UnsetType = UNSET
