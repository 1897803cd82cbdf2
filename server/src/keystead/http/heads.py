"""Heads of answers as ready-made bytes."""

import time
from email.utils import formatdate
from http import HTTPStatus

_PHRASES = {int(status): status.phrase.encode("ascii") for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """The first line; the phrase is empty for a status nobody has registered."""
    return b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES.get(status, b""))


class Heads:
    """What precedes the content-length in every answer of a lane, made anew when the second changes."""

    __slots__ = ("by_status", "date")

    def __init__(self) -> None:
        # status → everything up to and including "content-length: "
        self.by_status: dict[int, bytes] = {}
        # the header line of the present second
        self.date = b""
        self.refresh(time.time())

    def refresh(self, now_s: float) -> None:
        """Show the date of `now_s`, seconds since the epoch (RFC 9110 6.6.1)."""
        self.date = b"date: %b\r\n" % formatdate(now_s, usegmt=True).encode("ascii")
        for status in self.by_status:
            self.by_status[status] = self._make(status)

    def of(self, status: int) -> bytes:
        """The head of answers with this status, for one not in `by_status` too."""
        head = self.by_status.get(status)
        if head is None:
            head = self.by_status[status] = self._make(status)
        return head

    def _make(self, status: int) -> bytes:
        content_type = b"content-type: application/json; charset=UTF-8\r\ncontent-length: "
        return status_line(status) + self.date + content_type
