"""The exception for status 401 and its body (sdk.md section 10)."""

from __future__ import annotations

from enum import Enum
from typing import Any

import httpx

from unkey_py.models._refusal import Refusal, RefusalTypedDict, render, revive
from unkey_py.types.basemodel import BaseModel, open_member


class ErrUnauthorizedCode(str, Enum):
    """The code of this status; another one becomes a member of its own."""

    UNAUTHORIZED = "UNAUTHORIZED"

    @classmethod
    def _missing_(cls, value: object) -> ErrUnauthorizedCode | None:
        return open_member(cls, value)


class ErrUnauthorizedErrorTypedDict(RefusalTypedDict):
    """`ErrUnauthorizedError` as a dict."""

    code: ErrUnauthorizedCode


class ErrUnauthorizedError(Refusal):
    """What went wrong; `request_id` finds the request in the server's log."""

    code: ErrUnauthorizedCode


class ErrUnauthorizedData(BaseModel):
    """The body of the answer."""

    error: ErrUnauthorizedError


class ErrUnauthorized(Exception):
    """The root key is missing, unknown, or not a root key.

    `data.error` says what is wrong. Further attributes: `status_code`, `request_id`, `reason` (finer than the
    code, when the server gave one) and `raw_response`.
    """

    data: ErrUnauthorizedData
    status_code: int = 401
    reason: str | None = None
    raw_response: httpx.Response | None = None

    def __init__(self, data: ErrUnauthorizedData) -> None:
        self.data = data

    @property
    def request_id(self) -> str:
        """Id of the request in the server's log."""
        return self.data.error.request_id

    def __str__(self) -> str:
        return render(self.data)

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)
