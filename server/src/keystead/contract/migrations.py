"""Requests and answers of the migration operations (contract other-v1 §5)."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.apis import Prefix
from keystead.contract.fields import Instant, KeyMeta, Name, Positive32
from keystead.contract.keys import LongMilliseconds, Milliseconds, Refill, RoleName

MAX_ITEMS = 100

ExternalName = Annotated[str, Meta(extra_json_schema={"maxLength": 256})]
"""The external id of an identity; empty counts as absent here."""


class KeyHash(Struct):
    """SHA-256 of the complete key, base64 with padding: 44 characters. Others are kept, but never match."""

    value: Name
    variant: Literal["sha256_base64"]


class MigratedRatelimit(Struct, rename="camel"):
    """Becomes the limit `default` with `refill_interval` as its duration; the rest is ignored (D8)."""

    limit: Positive32
    refill_rate: Positive32
    refill_interval: Milliseconds
    async_: bool = False
    type: Literal["fast", "consistent"] = "fast"


class QueuedRatelimit(Struct, rename="camel"):
    """Becomes the limit `default`; `async`, `type` and the refill members are ignored."""

    limit: Positive32
    duration: LongMilliseconds
    refill_rate: Positive32 | UnsetType = UNSET
    refill_interval: Milliseconds | UnsetType = UNSET
    async_: bool = True
    type: Literal["fast", "consistent"] = "fast"


class KeyFromElsewhere(Struct, rename="camel", kw_only=True):
    """What an item of either import may say. `prefix` is ignored; `expires` 0 is never."""

    hash: KeyHash | UnsetType = UNSET
    plaintext: str | UnsetType = UNSET
    start: Name | UnsetType = UNSET
    prefix: Prefix | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    owner_id: ExternalName | UnsetType = UNSET
    meta: KeyMeta | UnsetType = UNSET
    roles: list[RoleName] | UnsetType = UNSET
    permissions: list[RoleName] | UnsetType = UNSET
    expires: Instant | UnsetType = UNSET
    remaining: Positive32 | UnsetType = UNSET
    refill: Refill | UnsetType = UNSET
    enabled: bool = True
    environment: Name | UnsetType = UNSET

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class MigratedKey(KeyFromElsewhere, kw_only=True):
    """An item of migrations.createKeys; with a plaintext, the hash is made of it."""

    api_id: str
    external_id: ExternalName | UnsetType = UNSET
    ratelimit: MigratedRatelimit | UnsetType = UNSET


MigrateKeys = Annotated[list[MigratedKey], Meta(max_length=MAX_ITEMS)]
"""Body of migrations.createKeys."""


class MigratedKeys(Struct, rename="camel"):
    """Answer of migrations.createKeys: the ids in the order of the request."""

    key_ids: list[str]


class QueuedItem(KeyFromElsewhere, kw_only=True):
    """An item of migrations.enqueueKeys; a hash counts for more than the plaintext, which is kept for decryption."""

    ratelimit: QueuedRatelimit | UnsetType = UNSET


class EnqueueKeys(Struct, rename="camel"):
    """Body of migrations.enqueueKeys; `migration_id` is a label."""

    migration_id: Name
    api_id: str
    keys: Annotated[list[QueuedItem], Meta(max_length=MAX_ITEMS)]
