"""Models of `apis.delete_keys`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeleteKeysRequestBodyTypedDict(TypedDict):
    """`DeleteKeysRequestBody` as a dict."""

    api_id: str
    permanent: NotRequired[bool]


class DeleteKeysRequestBody(BaseModel):
    """What `apis.delete_keys` takes; `permanent` also forgets that the keys ever were."""

    api_id: str
    permanent: bool | None = False


class DeleteKeysResponseBodyTypedDict(TypedDict):
    """`DeleteKeysResponseBody` as a dict."""

    deleted_keys: int


class DeleteKeysResponseBody(BaseModel):
    """The answer of `apis.delete_keys`."""

    deleted_keys: int


class DeleteKeysResponseTypedDict(TypedDict):
    """`DeleteKeysResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeleteKeysResponseBodyTypedDict]


class DeleteKeysResponse(Wrapper):
    """What `apis.delete_keys` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeleteKeysResponseBody | None = None
