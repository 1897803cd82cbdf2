"""Models of `keys.delete`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeleteKeyRequestBodyTypedDict(TypedDict):
    """`DeleteKeyRequestBody` as a dict."""

    key_id: str
    permanent: NotRequired[bool]


class DeleteKeyRequestBody(BaseModel):
    """What `keys.delete` takes; `permanent` also forgets that the key ever was."""

    key_id: str
    permanent: bool | None = False


class DeleteKeyResponseBodyTypedDict(TypedDict):
    """`DeleteKeyResponseBody` as a dict."""


class DeleteKeyResponseBody(BaseModel):
    """The empty answer of `keys.delete`."""


class DeleteKeyResponseTypedDict(TypedDict):
    """`DeleteKeyResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeleteKeyResponseBodyTypedDict]


class DeleteKeyResponse(Wrapper):
    """What `keys.delete` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeleteKeyResponseBody | None = None
