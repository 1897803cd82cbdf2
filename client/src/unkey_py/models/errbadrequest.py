"""The exception for status 400 and its body (sdk.md section 10)."""

from __future__ import annotations

from enum import Enum
from typing import Any

import httpx

from unkey_py.models._refusal import Refusal, RefusalTypedDict, render, revive
from unkey_py.types.basemodel import BaseModel, open_member


class ErrBadRequestCode(str, Enum):
    """The code of this status; another one becomes a member of its own."""

    BAD_REQUEST = "BAD_REQUEST"

    @classmethod
    def _missing_(cls, value: object) -> ErrBadRequestCode | None:
        return open_member(cls, value)


class ErrorTypedDict(RefusalTypedDict):
    """`Error` as a dict."""

    code: ErrBadRequestCode


class Error(Refusal):
    """What went wrong; `request_id` finds the request in the server's log."""

    code: ErrBadRequestCode


class ErrBadRequestData(BaseModel):
    """The body of the answer."""

    error: Error


class ErrBadRequest(Exception):
    """The request is not valid.

    `data.error` says what is wrong. Further attributes: `status_code`, `request_id`, `reason` (finer than the
    code, when the server gave one) and `raw_response`.
    """

    data: ErrBadRequestData
    status_code: int = 400
    reason: str | None = None
    raw_response: httpx.Response | None = None

    def __init__(self, data: ErrBadRequestData) -> None:
        self.data = data

    @property
    def request_id(self) -> str:
        """Id of the request in the server's log."""
        return self.data.error.request_id

    def __str__(self) -> str:
        return render(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)
