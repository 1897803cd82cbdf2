"""Requests and answers of the identity operations (contract other-v1 §3)."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.fields import MAX_INT64, JsonObject, Label, Name, Named, Positive32


class IdentityRatelimit(Struct):
    """A named limit shared by all keys of an identity; `duration` in ms."""

    name: Name
    limit: Positive32
    duration: Annotated[int, Meta(ge=1000, le=MAX_INT64)]


class CreateIdentity(Struct, rename="camel"):
    """Body of createIdentity."""

    external_id: Label
    meta: JsonObject | UnsetType = UNSET
    ratelimits: list[IdentityRatelimit] | UnsetType = UNSET


class CreatedIdentity(Struct, rename="camel"):
    """Answer of createIdentity."""

    identity_id: str


class GetIdentity(Struct, rename="camel"):
    """Query of getIdentity: `identity_id` wins when both are given."""

    identity_id: Named | UnsetType = UNSET
    external_id: Named | UnsetType = UNSET


class IdentityObject(Struct, rename="camel"):
    """Answer of getIdentity."""

    id: str
    external_id: str
    meta: JsonObject
    ratelimits: list[IdentityRatelimit]
