"""Models of `apis.list_keys`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.models.key import Key, KeyTypedDict
from unkey_py.types.basemodel import UNSET, BaseModel, NullableModel, OptionalNullable


class ListKeysRequestTypedDict(TypedDict):
    """`ListKeysRequest` as a dict."""

    api_id: str
    limit: NotRequired[int]
    cursor: NotRequired[str]
    owner_id: NotRequired[str]
    external_id: NotRequired[str]
    decrypt: NotRequired[bool | None]
    revalidate_keys_cache: NotRequired[bool | None]


class ListKeysRequest(NullableModel):
    """What `apis.list_keys` sends."""

    api_id: str
    limit: int | None = 100
    cursor: str | None = None
    owner_id: str | None = None
    external_id: str | None = None
    decrypt: OptionalNullable[bool] = UNSET
    revalidate_keys_cache: OptionalNullable[bool] = False


class ListKeysResponseBodyTypedDict(TypedDict):
    """`ListKeysResponseBody` as a dict."""

    keys: list[KeyTypedDict]
    total: int
    cursor: NotRequired[str]


class ListKeysResponseBody(BaseModel):
    """The answer of `apis.list_keys`."""

    keys: list[Key]
    total: int
    cursor: str | None = None


class ListKeysResponseTypedDict(TypedDict):
    """`ListKeysResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[ListKeysResponseBodyTypedDict]


class ListKeysResponse(Wrapper):
    """What `apis.list_keys` returns: the answer in `object`, the exchange in `http_meta`."""

    object: ListKeysResponseBody | None = None
