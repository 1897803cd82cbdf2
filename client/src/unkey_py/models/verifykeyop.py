"""Models of `keys.verify`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.models.v1keysverifykeyresponse import V1KeysVerifyKeyResponse, V1KeysVerifyKeyResponseTypedDict


class VerifyKeyResponseTypedDict(TypedDict):
    """`VerifyKeyResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    v1_keys_verify_key_response: NotRequired[V1KeysVerifyKeyResponseTypedDict]


class VerifyKeyResponse(Wrapper):
    """What `keys.verify` returns; the exchange is in `http_meta`."""

    v1_keys_verify_key_response: V1KeysVerifyKeyResponse | None = None
