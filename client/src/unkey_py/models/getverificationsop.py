"""Models of `analytics.get_verifications`."""

from __future__ import annotations

from enum import Enum
from typing import NotRequired, TypeAlias, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class One(str, Enum):
    """What verifications are grouped by."""

    KEY = "key"
    IDENTITY = "identity"
    TAGS = "tags"
    TAG = "tag"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"


class Order(str, Enum):
    """Direction of a sorting."""

    ASC = "asc"
    DESC = "desc"


class OrderBy(str, Enum):
    """What groups are sorted by."""

    TIME = "time"
    VALID = "valid"
    NOT_FOUND = "notFound"
    FORBIDDEN = "forbidden"
    USAGE_EXCEEDED = "usageExceeded"
    RATE_LIMITED = "rateLimited"
    UNAUTHORIZED = "unauthorized"
    DISABLED = "disabled"
    INSUFFICIENT_PERMISSIONS = "insufficientPermissions"
    EXPIRED = "expired"
    TOTAL = "total"


class QueryParam2(str, Enum):
    """What verifications are grouped by, one of several."""

    KEY = "key"
    IDENTITY = "identity"
    TAGS = "tags"
    TAG = "tag"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"


GroupBy: TypeAlias = One | list[QueryParam2]
GroupByTypedDict: TypeAlias = One | list[QueryParam2]
KeyID: TypeAlias = str | list[str]
KeyIDTypedDict: TypeAlias = str | list[str]
Tag: TypeAlias = str | list[str]
TagTypedDict: TypeAlias = str | list[str]


class GetVerificationsIdentityTypedDict(TypedDict):
    """`GetVerificationsIdentity` as a dict."""

    id: str
    external_id: str


class GetVerificationsIdentity(BaseModel):
    """The identity a group of verifications belongs to."""

    id: str
    external_id: str


class GetVerificationsRequestTypedDict(TypedDict):
    """`GetVerificationsRequest` as a dict."""

    api_id: str
    external_id: NotRequired[str]
    key_id: NotRequired[KeyIDTypedDict]
    tag: NotRequired[TagTypedDict]
    start: NotRequired[int | None]
    end: NotRequired[int | None]
    group_by: NotRequired[GroupByTypedDict]
    limit: NotRequired[int]
    order_by: NotRequired[OrderBy]
    order: NotRequired[Order]


class GetVerificationsRequest(NullableModel):
    """What `analytics.get_verifications` takes; `start` and `end` in milliseconds since the epoch."""

    api_id: str
    external_id: str | None = None
    key_id: KeyID | None = None
    tag: Tag | None = None
    start: OptionalNullable[int] = UNSET
    end: OptionalNullable[int] = UNSET
    group_by: GroupBy | None = None
    limit: int | None = None
    order_by: OrderBy | None = None
    order: Order | None = Order.ASC


class GetVerificationsResponseBodyTypedDict(TypedDict):
    """`GetVerificationsResponseBody` as a dict."""

    total: int
    time: NotRequired[int]
    valid: NotRequired[int]
    not_found: NotRequired[int]
    forbidden: NotRequired[int]
    usage_exceeded: NotRequired[int]
    rate_limited: NotRequired[int]
    unauthorized: NotRequired[int]
    disabled: NotRequired[int]
    insufficient_permissions: NotRequired[int]
    expired: NotRequired[int]
    tag: NotRequired[str]
    tags: NotRequired[list[str]]
    key_id: NotRequired[str]
    identity: NotRequired[GetVerificationsIdentityTypedDict]


class GetVerificationsResponseBody(BaseModel):
    """Numbers of verifications by outcome, of one group; `time` in milliseconds since the epoch."""

    total: int
    time: int | None = None
    valid: int | None = None
    not_found: int | None = None
    forbidden: int | None = None
    usage_exceeded: int | None = None
    rate_limited: int | None = None
    unauthorized: int | None = None
    disabled: int | None = None
    insufficient_permissions: int | None = None
    expired: int | None = None
    tag: str | None = None
    tags: list[str] | None = None
    key_id: str | None = None
    identity: GetVerificationsIdentity | None = None


class GetVerificationsResponseTypedDict(TypedDict):
    """`GetVerificationsResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    response_bodies: NotRequired[list[GetVerificationsResponseBodyTypedDict]]


class GetVerificationsResponse(Wrapper):
    """What `analytics.get_verifications` returns: the answer in `response_bodies`, the exchange in `http_meta`."""

    response_bodies: list[GetVerificationsResponseBody] | None = None
