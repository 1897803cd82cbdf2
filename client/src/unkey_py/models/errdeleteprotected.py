"""The exception for status 429 of apis.delete and its body (sdk.md section 10)."""

from __future__ import annotations

from enum import Enum
from typing import Any

import httpx

from unkey_py.models._refusal import Refusal, RefusalTypedDict, render, revive
from unkey_py.types.basemodel import BaseModel, open_member


class ErrDeleteProtectedCode(str, Enum):
    """The code of this status; another one becomes a member of its own."""

    DELETE_PROTECTED = "DELETE_PROTECTED"

    @classmethod
    def _missing_(cls, value: object) -> ErrDeleteProtectedCode | None:
        return open_member(cls, value)


class ErrDeleteProtectedErrorTypedDict(RefusalTypedDict):
    """`ErrDeleteProtectedError` as a dict."""

    code: ErrDeleteProtectedCode


class ErrDeleteProtectedError(Refusal):
    """What went wrong; `request_id` finds the request in the server's log."""

    code: ErrDeleteProtectedCode


class ErrDeleteProtectedData(BaseModel):
    """The body of the answer."""

    error: ErrDeleteProtectedError


class ErrDeleteProtected(Exception):
    """The API is protected against deletion, as older servers say it; ours answers 412.

    `data.error` says what is wrong. Further attributes: `status_code`, `request_id`, `reason` (finer than the
    code, when the server gave one) and `raw_response`.
    """

    data: ErrDeleteProtectedData
    status_code: int = 429
    reason: str | None = None
    raw_response: httpx.Response | None = None

    def __init__(self, data: ErrDeleteProtectedData) -> None:
        self.data = data

    @property
    def request_id(self) -> str:
        """Id of the request in the server's log."""
        return self.data.error.request_id

    def __str__(self) -> str:
        return render(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)
