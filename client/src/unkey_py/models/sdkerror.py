"""The exception for answers that fit nothing declared (sdk.md section 10)."""

from __future__ import annotations

from dataclasses import dataclass

import httpx


@dataclass
class SDKError(Exception):
    """An answer of a status, a media type or a shape that no operation declares.

    Further attribute: `request_id`, the id of the request in the server's log, None when the server gave none.
    """

    message: str
    status_code: int = -1
    body: str = ""
    raw_response: httpx.Response | None = None

    @property
    def request_id(self) -> str | None:
        """Id of the request in the server's log, from the answer's headers."""
        return None if self.raw_response is None else self.raw_response.headers.get("unkey-request-id")

    def __str__(self) -> str:
        text = f"{self.message}: Status {self.status_code}"
        return f"{text}\n{self.body}" if self.body else text
