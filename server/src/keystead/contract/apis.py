"""Requests and answers of the api operations (contract other-v1 §1, DECISIONS for the extensions)."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from keystead.contract.fields import Label, Named, PageLimit
from keystead.contract.keys import KeyObject

Prefix = Annotated[str, Meta(extra_json_schema={"maxLength": 8})]
Address = Annotated[str, Meta(description="An IP address or CIDR range, version 4 or 6.")]
ByteCount = Annotated[int, Meta(ge=16, le=255)]


class CreateApi(Struct, rename="camel"):
    """Body of createApi; the members after `name` are ours."""

    name: Label
    ip_whitelist: list[Address] | UnsetType = UNSET
    default_prefix: Prefix | UnsetType = UNSET
    default_bytes: ByteCount | UnsetType = UNSET
    store_encrypted_keys: bool | UnsetType = UNSET
    delete_protection: bool | UnsetType = UNSET


class CreatedApi(Struct, rename="camel"):
    """Answer of createApi."""

    api_id: str
    name: str


class UpdateApi(Struct, rename="camel"):
    """Body of updateApi: absent members stay, null is back to the default."""

    api_id: Named
    name: Label | UnsetType = UNSET
    ip_whitelist: list[Address] | None | UnsetType = UNSET
    default_prefix: Prefix | None | UnsetType = UNSET
    default_bytes: ByteCount | None | UnsetType = UNSET
    store_encrypted_keys: bool | None | UnsetType = UNSET
    delete_protection: bool | None | UnsetType = UNSET


class GetApi(Struct, rename="camel"):
    """Query of getApi."""

    api_id: Named


class ApiObject(Struct, rename="camel"):
    """Answer of getApi: these three members and no more."""

    id: str
    workspace_id: str
    name: str


class ListPage(Struct):
    """Query of our listings: `cursor` is the id of the last item seen."""

    limit: PageLimit = 100
    cursor: str = ""


class ListedApi(Struct, rename="camel"):
    """One api with its settings."""

    id: str
    workspace_id: str
    name: str
    store_encrypted_keys: bool
    delete_protection: bool
    ip_whitelist: list[str] | UnsetType = UNSET
    default_prefix: str | UnsetType = UNSET
    default_bytes: int | UnsetType = UNSET


class ApiPage(Struct):
    """Answer of listApis; `cursor` is there on every page that is not empty (other-v1 §0.6)."""

    apis: list[ListedApi]
    total: int
    cursor: str | UnsetType = UNSET


class ListKeys(Struct, rename="camel"):
    """Query of listKeys. `owner_id` counts only without `external_id`; there is no cache to revalidate."""

    api_id: Named
    limit: PageLimit = 100
    cursor: str = ""
    external_id: Named | UnsetType = UNSET
    owner_id: Named | UnsetType = UNSET
    decrypt: bool = False
    revalidate_keys_cache: bool = False


class ListedKey(KeyObject):
    """A key in listKeys: `permissions` are slugs here, those of its roles included (§1.3)."""

    environment: str | UnsetType = UNSET


class KeyPage(Struct):
    """Answer of listKeys; `total` counts every live key of the api, `cursor` is there on every page with keys."""

    keys: list[ListedKey]
    total: int
    cursor: str | UnsetType = UNSET


class DeleteKeys(Struct, rename="camel"):
    """Body of deleteKeys; `permanent` frees the hashes."""

    api_id: Named
    permanent: bool = False


class DeletedKeys(Struct, rename="camel"):
    """Answer of deleteKeys."""

    deleted_keys: int


class DeleteApi(Struct, rename="camel"):
    """Body of deleteApi."""

    api_id: Named
