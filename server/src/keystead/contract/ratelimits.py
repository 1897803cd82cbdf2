"""Requests and answers of the ratelimit operations (contract other-v1 §4, DECISIONS for listNamespaces)."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.fields import MAX_INT32, MAX_INT64, PageLimit, Positive32
from keystead.core.verify import Cost

NamespaceName = Annotated[str, Meta(extra_json_schema={"maxLength": 512})]
"""The empty name is a name like any other where a namespace is used; where one is selected it counts as not given."""

OverrideIdentifier = Annotated[str, Meta(extra_json_schema={"maxLength": 512})]
Scalar = str | bool | int | float | None
OverrideLimit = Annotated[int, Meta(ge=0, le=MAX_INT32)]
OverrideDuration = Annotated[int, Meta(ge=1000, le=MAX_INT32)]


class LimitedResource(Struct):
    """Something a limited request touches, for the audit log."""

    type: str
    id: str
    name: str | UnsetType = UNSET
    meta: dict[str, Scalar] | UnsetType = UNSET


class Limit(Struct, rename="camel"):
    """Body of limit: `limit` units per `duration` milliseconds for `identifier`, of which this request takes `cost`.

    `async` and `meta` are accepted and have no effect: decisions are always exact (§4.2).
    """

    identifier: str
    limit: Positive32
    duration: Annotated[int, Meta(ge=1000, le=MAX_INT64)]
    namespace: NamespaceName = "default"
    cost: Cost = 1
    async_: bool = False
    meta: dict[str, Scalar] | UnsetType = UNSET
    resources: list[LimitedResource] | UnsetType = UNSET


class LimitAnswer(Struct):
    """Answer of limit, a refusal included: the limit in force, what is left, the end of the window in ms."""

    success: bool
    limit: int
    remaining: int
    reset: int


class SetOverride(Struct, rename="camel"):
    """Body of setOverride; `identifier` may hold stars, `duration` is milliseconds."""

    identifier: Annotated[str, Meta(extra_json_schema={"minLength": 3, "maxLength": 512})]
    limit: OverrideLimit
    duration: OverrideDuration
    namespace_id: str = ""
    namespace_name: NamespaceName = ""
    async_: bool = False


class OverrideSet(Struct, rename="camel"):
    """Answer of setOverride."""

    override_id: str


class SelectOverride(Struct, rename="camel"):
    """Query of getOverride and body of deleteOverride: `identifier` is compared literally."""

    identifier: OverrideIdentifier
    namespace_id: str = ""
    namespace_name: NamespaceName = ""


class OverrideObject(Struct, rename="camel"):
    """An override: `limit` units per `duration` milliseconds."""

    id: str
    identifier: str
    limit: int
    duration: int
    async_: bool


class ListOverrides(Struct, rename="camel"):
    """Query of listOverrides: `cursor` is the id of the last override seen."""

    namespace_id: str = ""
    namespace_name: NamespaceName = ""
    limit: PageLimit = 100
    cursor: str = ""


class OverridePage(Struct):
    """Answer of listOverrides; `cursor` is there on every page that is not empty (§0.6)."""

    overrides: list[OverrideObject]
    total: int
    cursor: str | UnsetType = UNSET


class NamespaceObject(Struct):
    """A namespace of the listing."""

    id: str
    name: str


class NamespacePage(Struct):
    """Answer of listNamespaces; `cursor` as in `OverridePage`."""

    namespaces: list[NamespaceObject]
    total: int
    cursor: str | UnsetType = UNSET
