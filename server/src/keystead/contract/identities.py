"""Requests and answers of the identity operations (contract other-v1 §3)."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.fields import MAX_INT64, JsonObject, Label, Name, Named, PageLimit, Positive32


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
    """Answer of getIdentity and updateIdentity."""

    id: str
    external_id: str
    meta: JsonObject
    ratelimits: list[IdentityRatelimit]


class ListIdentities(Struct):
    """Query of listIdentities; `environment` is compared exactly."""

    environment: str = "default"
    limit: PageLimit = 100
    cursor: str = ""


class ListedIdentity(Struct, rename="camel"):
    """An identity in listIdentities, where there is no `meta`."""

    id: str
    external_id: str
    ratelimits: list[IdentityRatelimit]


class IdentityPage(Struct):
    """Answer of listIdentities; `total` counts those of the environment, `cursor` is there on every non-empty page."""

    identities: list[ListedIdentity]
    total: int
    cursor: str | UnsetType = UNSET


class UpdateIdentity(Struct, rename="camel"):
    """Body of updateIdentity: absent members stay, given ones are replaced as a whole.

    `identity_id` wins when both are given; `environment` counts only with `external_id`, which can not be changed.
    """

    identity_id: Named | UnsetType = UNSET
    external_id: Named | UnsetType = UNSET
    environment: str = "default"
    meta: JsonObject | UnsetType = UNSET
    ratelimits: list[IdentityRatelimit] | UnsetType = UNSET


class DeleteIdentity(Struct, rename="camel"):
    """Body of deleteIdentity."""

    identity_id: Named
