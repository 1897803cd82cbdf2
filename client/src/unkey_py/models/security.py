"""The credentials of a call."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypedDict

from pydantic import Field

from unkey_py.types.basemodel import BaseModel


class SecurityTypedDict(TypedDict):
    """`Security` as a dict."""

    bearer_auth: NotRequired[str]


class Security(BaseModel):
    """The token, with or without the word Bearer; None sends requests anonymously."""

    bearer_auth: Annotated[str | None, Field(alias="bearer_auth")] = None
