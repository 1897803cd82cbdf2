"""The reference: what a stream of bytes asks for, read as strictly as RFC 9112 allows.

A request is either certain (every reader understands the same) or comes with a doubt: a recipient may understand it as
it is read here, or refuse it. What two recipients could understand differently has to be refused.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from keystead.http.limits import HttpLimits

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) (HTTP/\d\.\d)" % _TOKEN)
_LOOSE_LINE = re.compile(rb"(%b) +([\x21-\x7e]+) +(HTTP/\d\.\d)" % _TOKEN)
_OTHER_PROTOCOL = re.compile(rb"(%b) +([\x21-\x7e]+) (?:RTSP|ICE)/1\.[01]" % _TOKEN)
_OLDEST_LINE = re.compile(rb"(%b) +([\x21-\x7e]+)" % _TOKEN)
_FIELD = re.compile(rb"(%b):([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
_ODD_FIELD = re.compile(rb"(%b):([^\0\r\n]*)" % _TOKEN)
_ORIGIN = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@/%?]*)?")
_ABSOLUTE = re.compile(rb"https?://[A-Za-z0-9.\-]+(?::\d+)?(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*)?(?:\?[A-Za-z0-9=&]*)?")
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*:")
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_HOST_BYTES = re.compile(rb"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]+)([^\r\n]*)")
_EXTENSIONS = re.compile(rb'(?:;%b(?:=(?:%b|"[\t\x20!\x23-\x5b\x5d-\x7e]*"))?)*' % (_TOKEN, _TOKEN))
_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"))
_SINGLE = (b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type")
_MEANINGFUL = (b"content-type", b"authorization", b"user-agent", b"idempotency-key")
_OPTION = re.compile(rb"[a-z0-9\-]+")


class End(StrEnum):
    """What follows the last request."""

    CLEAN = "nothing"
    PARTIAL = "an incomplete request"
    REFUSED = "what has to be refused"
    CLOSED = "nothing that counts, as the connection ends"


@dataclass(frozen=True)
class Request:
    """A complete request, the stream's bytes from `start` to `end`.

    `persists` None: a recipient may keep the connection, or take nothing more from it.
    """

    method: bytes
    target: bytes
    version: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    persists: bool | None
    doubt: str
    start: int
    end: int

    @property
    def expects_continue(self) -> bool:
        """Whether it may be answered 100 first."""
        return self.version == b"1.1" and any(n == b"expect" and v.lower() == b"100-continue" for n, v in self.headers)

    def alone(self) -> bytes:
        """The same request in the plainest dress, for a connection of its own: no other field may matter."""
        fields = b"".join(b"%b: %b\r\n" % field for field in self.headers if field[0] in _MEANINGFUL)
        head = b"%b %b HTTP/1.1\r\nhost: alone.test\r\n%bcontent-length: %d\r\n\r\n"
        return head % (self.method, self.target, fields, len(self.body)) + self.body


@dataclass(frozen=True)
class Reading:
    """The requests of a stream and what follows them; `reason` says why that has to be refused."""

    requests: tuple[Request, ...]
    end: End
    reason: str

    @property
    def has_doubts(self) -> bool:
        """Whether a recipient has a choice anywhere."""
        return any(request.doubt or request.persists is None for request in self.requests)


class _Refuse(Exception):
    """Has to be refused."""


class _Partial(Exception):
    """More is to come."""


@lru_cache(maxsize=16)
def read(stream: bytes, limits: HttpLimits) -> Reading:
    """What `stream` asks of a server with these limits."""
    reader = _Reader(stream, limits)
    requests: list[Request] = []
    end, reason = End.CLEAN, ""
    try:
        while reader.has_more():
            requests.append(reader.request())
            if requests[-1].persists is False:
                end = End.CLOSED
                break
    except _Partial as partial:
        end, reason = End.PARTIAL, str(partial)
    except _Refuse as refuse:
        end, reason = End.REFUSED, str(refuse)
    return Reading(tuple(requests), end, reason)


class _Reader:
    """Reads one request after the other."""

    def __init__(self, stream: bytes, limits: HttpLimits) -> None:
        self._stream = stream
        self._at = 0
        self._limits = limits
        self._doubt = ""
        self._has_odd_trailer = False

    def has_more(self) -> bool:
        """Skip empty lines (RFC 9112 2.2) and say whether something is left."""
        while self._stream[self._at : self._at + 1] in (b"\r", b"\n"):
            self._at += 1
        return self._at < len(self._stream)

    def request(self) -> Request:
        """The next request."""
        self._doubt = ""
        self._has_odd_trailer = False
        started = self._at
        method, target, version = self._request_line()
        headers = self._fields()
        head_size = self._at - started
        if version not in (b"1.1", b"1.0"):
            raise _Refuse("the version")
        self._check_size(target, headers, head_size)
        self._check_target(method, target)
        self._check_host(version, headers)
        for name in _SINGLE:
            if sum(n == name for n, _ in headers) > 1:
                raise _Refuse(f"{name.decode()} twice")
        fields = dict(headers)
        self._check_expectation(version, fields)
        body = self._body(version, fields, head_size)
        persists = None if self._has_odd_trailer else self._persists(version, headers)
        return Request(method, target, version, tuple(headers), body, persists, self._doubt, started, self._at)

    # ---- the head

    def _line(self) -> bytes:
        end = self._stream.find(b"\n", self._at)
        if end < 0:
            raise _Partial("in a line")
        line = self._stream[self._at : end]
        self._at = end + 1
        if not line.endswith(b"\r"):
            raise _Refuse("a bare line feed")
        if b"\r" in line[:-1]:
            raise _Refuse("a bare carriage return")
        return line[:-1]

    def _request_line(self) -> tuple[bytes, bytes, bytes]:
        line = self._line()
        match = _LINE.fullmatch(line)
        if match is None and (match := _LOOSE_LINE.fullmatch(line)):
            self._doubt = "blanks in the request line"  # RFC 9112 3: may be parsed leniently
        if match is None and (other := _OTHER_PROTOCOL.fullmatch(line)):
            # llhttp takes these two for HTTP of the same version. They say the same, so nobody is misled.
            self._doubt = "another protocol's request line"
            return other[1], other[2], line[-3:]
        if match is None and (oldest := _OLDEST_LINE.fullmatch(line)):
            return oldest[1], oldest[2], b"0.9"
        if match is None:
            raise _Refuse("the request line")
        return match[1], match[2], match[3][5:]

    def _fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := self._line():
            match = _FIELD.fullmatch(line)
            if match is None:
                match = _ODD_FIELD.fullmatch(line)
                if match is None:
                    raise _Refuse("a field line")
                self._doubt = "a control character in a field"  # RFC 9110 5.5
            name, value = match[1].lower(), match[2].strip(b" \t")
            if name == b"transfer-encoding" and match[2].endswith(b"\t"):
                self._doubt = "a tab behind the transfer coding"  # white space as any, but llhttp refuses it
            fields.append((name, value))
        return fields

    def _check_size(self, target: bytes, headers: list[tuple[bytes, bytes]], raw: int) -> None:
        limits = self._limits
        if len(headers) > limits.max_headers:
            raise _Refuse("too many fields")
        if len(target) > limits.max_target_bytes:
            raise _Refuse("a long target")
        if len(target) + sum(len(name) + len(value) + 4 for name, value in headers) > limits.max_header_bytes:
            raise _Refuse("a large head")
        if raw > limits.max_header_bytes:
            self._doubt = "much white space in the head"

    def _check_target(self, method: bytes, target: bytes) -> None:
        if method in (b"CONNECT", b"PRI"):
            raise _Refuse("the method")
        if method not in _METHODS:
            self._doubt = "an unknown method"
        if b"#" in target:
            raise _Refuse("a fragment in the target")
        if _ORIGIN.fullmatch(target) or _ABSOLUTE.fullmatch(target) or (target == b"*" and method == b"OPTIONS"):
            return
        if not target.startswith((b"/", b"*")) and not _SCHEME.match(target):
            raise _Refuse("a relative target")
        self._doubt = "the target"

    def _check_host(self, version: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        hosts = [value for name, value in headers if name == b"host"]
        if not hosts:
            if version == b"1.1":
                raise _Refuse("no host")
        elif not _HOST.fullmatch(hosts[0]):
            if version == b"1.1" and not _HOST_BYTES.fullmatch(hosts[0]):
                raise _Refuse("the host")
            self._doubt = "the host"

    def _check_expectation(self, version: bytes, fields: dict[bytes, bytes]) -> None:
        expectation = fields.get(b"expect")
        if expectation is not None and version == b"1.1" and expectation.lower() != b"100-continue":
            self._doubt = "an unknown expectation"  # RFC 9110 10.1.1: may be answered 417

    def _persists(self, version: bytes, headers: list[tuple[bytes, bytes]]) -> bool | None:
        options = [
            option.strip(b" \t")
            for name, value in headers
            if name == b"connection"
            for option in value.lower().split(b",")
        ]
        # llhttp has a mind of its own about what is neither plainly one nor the other. It may: whoever sends this
        # has to be ready for both.
        odd = any(not _OPTION.fullmatch(option) for option in options) or any(
            name == b"proxy-connection" for name, _ in headers
        )
        if version == b"1.1":
            return False if b"close" in options and not odd else None if odd else True
        if odd or {b"keep-alive", b"close"} <= set(options):
            return None
        return b"keep-alive" in options

    # ---- the body

    def _body(self, version: bytes, fields: dict[bytes, bytes], head_size: int) -> bytes:
        coding = fields.get(b"transfer-encoding")
        length = fields.get(b"content-length")
        if coding is None:
            return self._counted(length) if length is not None else b""
        if length is not None:
            raise _Refuse("a length and a coding")
        if version != b"1.1":
            raise _Refuse("a coding in HTTP/1.0")
        if coding.lower() != b"chunked":
            if coding.lower().strip(b", \t") != b"chunked":
                raise _Refuse("the transfer coding")
            self._doubt = "empty elements in the transfer coding"  # RFC 9110 5.6.1.2
        return self._chunks(head_size)

    def _counted(self, length: bytes) -> bytes:
        if not re.fullmatch(rb"[0-9]+", length):
            raise _Refuse("the content-length")
        if len(length) > 20:
            self._doubt = "a long content-length"
        size = int(length) if len(length) < 1000 else 10**1000
        if size > self._limits.max_body_bytes:
            raise _Refuse("a large body")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = self._stream[self._at : self._at + size]
        if len(taken) < size:
            raise _Partial("in a body")
        self._at += size
        return taken

    def _chunks(self, head_size: int) -> bytes:
        body = bytearray()
        started = self._at
        while size := self._chunk_size():
            if size > self._limits.max_body_bytes or len(body) + size > self._limits.max_body_bytes:
                # As soon as its bytes come; a size beyond 64 bits at once.
                raise _Partial("in a body that is too large") if size < 2**64 else _Refuse("a chunk's size")
            body += self._take(size)
            if not b"\r\n".startswith(end := self._stream[self._at : self._at + 2]):
                raise _Refuse("the end of a chunk")
            if len(end) < 2:
                raise _Partial("at the end of a chunk")
            self._at += 2
        self._trailers()
        if head_size + self._at - started - len(body) > self._limits.max_header_bytes:
            self._doubt = "much framing"
        return bytes(body)

    def _chunk_size(self) -> int:
        line = self._line()
        match = _SIZE.fullmatch(line)
        if match is None:
            raise _Refuse("a chunk's size")
        if not _EXTENSIONS.fullmatch(match[2]):
            if not match[2].lstrip(b" \t").startswith(b";") and match[2].strip(b" \t"):
                raise _Refuse("a chunk's size")
            self._doubt = "a chunk's extensions"
        if len(match[1]) > 16:
            self._doubt = "a long chunk size"
        return int(match[1], 16)

    def _trailers(self) -> None:
        for name, _ in self._fields():
            if name in (b"content-length", b"transfer-encoding", b"connection", b"proxy-connection"):
                # RFC 9110 6.5.1: must not be there, and must not count.
                self._doubt = "framing in a trailer"
                self._has_odd_trailer = True
