"""The exchange behind an answer."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

import httpx
from pydantic import Field

from unkey_py.types.basemodel import BaseModel


class HTTPMetadataTypedDict(TypedDict):
    """`HTTPMetadata` as a dict."""

    response: NotRequired[httpx.Response]
    request: NotRequired[httpx.Request]


class HTTPMetadata(BaseModel):
    """The exchange behind an answer; `request` carries the token in clear. Neither member is dumped."""

    response: Annotated[httpx.Response | None, Field(exclude=True)] = None
    request: Annotated[httpx.Request | None, Field(exclude=True)] = None
