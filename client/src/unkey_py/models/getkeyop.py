"""Models of `keys.get`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.models.key import Key, KeyTypedDict
from unkey_py.types.basemodel import UNSET, NullableModel, OptionalNullable


class GetKeyRequestTypedDict(TypedDict):
    """`GetKeyRequest` as a dict."""

    key_id: str
    decrypt: NotRequired[bool | None]


class GetKeyRequest(NullableModel):
    """What `keys.get` sends; `decrypt` asks for the plaintext of a recoverable key."""

    key_id: str
    decrypt: OptionalNullable[bool] = UNSET


class GetKeyResponseTypedDict(TypedDict):
    """`GetKeyResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    key: NotRequired[KeyTypedDict]


class GetKeyResponse(Wrapper):
    """What `keys.get` returns: the answer in `key`, the exchange in `http_meta`."""

    key: Key | None = None
