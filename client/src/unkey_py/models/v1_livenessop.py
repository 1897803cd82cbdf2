"""Models of `liveness.check`."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from unkey_py.models._wrapper import Wrapper
from unkey_py.models.httpmetadata import HTTPMetadataTypedDict
from unkey_py.types.basemodel import BaseModel


class ServicesTypedDict(TypedDict):
    """`Services` as a dict."""

    metrics: str
    logger: str
    ratelimit: str
    usagelimit: str


class Services(BaseModel):
    """State of the parts of the service, each a word such as `enabled`."""

    metrics: str
    logger: str
    ratelimit: str
    usagelimit: str


class V1LivenessResponseBodyTypedDict(TypedDict):
    """`V1LivenessResponseBody` as a dict."""

    status: str
    services: ServicesTypedDict


class V1LivenessResponseBody(BaseModel):
    """The answer of `liveness.check`."""

    status: str
    services: Services


class V1LivenessResponseTypedDict(TypedDict):
    """`V1LivenessResponse` as a dict."""

    http_meta: NotRequired[HTTPMetadataTypedDict]
    object: NotRequired[V1LivenessResponseBodyTypedDict]


class V1LivenessResponse(Wrapper):
    """What `liveness.check` returns: the answer in `object`, the exchange in `http_meta`."""

    object: V1LivenessResponseBody | None = None
