"""Models of `identities.delete`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class DeleteIdentityRequestBodyTypedDict(TypedDict):
    """`DeleteIdentityRequestBody` as a dict."""

    identity_id: str


class DeleteIdentityRequestBody(BaseModel):
    """What `identities.delete` takes."""

    identity_id: str


class DeleteIdentityResponseBodyTypedDict(TypedDict):
    """`DeleteIdentityResponseBody` as a dict."""


class DeleteIdentityResponseBody(BaseModel):
    """The empty answer of `identities.delete`."""


class DeleteIdentityResponseTypedDict(TypedDict):
    """`DeleteIdentityResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[DeleteIdentityResponseBodyTypedDict]


class DeleteIdentityResponse(Wrapper):
    """What `identities.delete` returns: the answer in `object`, the exchange in `http_meta`."""

    object: DeleteIdentityResponseBody | None = None
