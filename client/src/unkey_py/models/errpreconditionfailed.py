"""The exception for status 412 and its body (sdk.md section 10)."""

from __future__ import annotations

from enum import Enum
from typing import Any

import httpx

from unkey_py.models._refusal import Refusal, RefusalTypedDict, render, revive
from unkey_py.types.basemodel import BaseModel, open_member


class ErrPreconditionFailedCode(str, Enum):
    """The code of this status; another one becomes a member of its own."""

    PRECONDITION_FAILED = "PRECONDITION_FAILED"

    @classmethod
    def _missing_(cls, value: object) -> ErrPreconditionFailedCode | None:
        return open_member(cls, value)


class ErrPreconditionFailedErrorTypedDict(RefusalTypedDict):
    """`ErrPreconditionFailedError` as a dict."""

    code: ErrPreconditionFailedCode


class ErrPreconditionFailedError(Refusal):
    """What went wrong; `request_id` finds the request in the server's log."""

    code: ErrPreconditionFailedCode


class ErrPreconditionFailedData(BaseModel):
    """The body of the answer."""

    error: ErrPreconditionFailedError


class ErrPreconditionFailed(Exception):
    """The state of the object does not allow this; delete protection too.

    `data.error` says what is wrong. Further attributes: `status_code`, `request_id`, `reason` (finer than the
    code, when the server gave one) and `raw_response`.
    """

    data: ErrPreconditionFailedData
    status_code: int = 412
    reason: str | None = None
    raw_response: httpx.Response | None = None

    def __init__(self, data: ErrPreconditionFailedData) -> None:
        self.data = data

    @property
    def request_id(self) -> str:
        """Id of the request in the server's log."""
        return self.data.error.request_id

    def __str__(self) -> str:
        return render(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)
