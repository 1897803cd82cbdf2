"""What the results of all operations share."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from unkey_py.models.httpmetadata import HTTPMetadata
from unkey_py.types.basemodel import BaseModel


class Wrapper(BaseModel):
    """An operation's result: the answer, and in `http_meta` the exchange it came from, which is not dumped."""

    # A result is made here and never sent, so its fields have no wire names.
    model_config = ConfigDict(alias_generator=None)

    http_meta: Annotated[HTTPMetadata | None, Field(exclude=True)] = None
