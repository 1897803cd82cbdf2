"""A client's connection as tests need it: what was sent and what has been answered are two steps.

So one thread can put many requests in flight before it reads the first answer.
"""

import json
import socket
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit


class Answer(NamedTuple):
    """What the server said; header names are lower case, `json` is the decoded body."""

    status: int
    headers: dict[str, str]
    json: Any
    body: bytes


class Connection:
    """One keep-alive connection to a server; a context manager.

    Every request carries `root_key` unless it names another one, or None for no credentials. Raises ConnectionError
    when the server goes away.
    """

    def __init__(self, url: str, root_key: str | None = None) -> None:
        """Connects at once; `url` is the server's."""
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname or "", address.port or 80), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = address.netloc
        self._root_key = root_key
        self._received = b""

    def post(self, operation: str, members: Any, **options: Any) -> Answer:
        """Call an operation with a JSON body; `options` as for `send`."""
        self.send(operation, members, **options)
        return self.receive()

    def get(self, operation: str, **query: object) -> Answer:
        """Call an operation with a query."""
        self.send(operation, None, query=query)
        return self.receive()

    def send(
        self,
        operation: str,
        members: Any,
        *,
        query: dict[str, Any] | None = None,
        root_key: str | None = "",
        raw: bytes | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Send a request without waiting: a POST of `members` or of the `raw` body, a GET when `query` is given."""
        key = self._root_key if root_key == "" else root_key
        body = b"" if query is not None else json.dumps(members).encode() if raw is None else raw
        target = f"/v1/{operation}" + (f"?{urlencode(query)}" if query else "")
        lines = [f"{'POST' if query is None else 'GET'} {target} HTTP/1.1", f"Host: {self._host}"]
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        if idempotency_key is not None:
            lines.append(f"Idempotency-Key: {idempotency_key}")
        if query is None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def receive(self) -> Answer:
        """Wait for the next answer."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._read()
        status_line, *fields = self._received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        start, length = end + 4, int(headers.get("content-length", 0))
        while len(self._received) < start + length:
            self._read()
        body = self._received[start : start + length]
        self._received = self._received[start + length :]
        decoded = json.loads(body) if "json" in headers.get("content-type", "") else None
        return Answer(int(status_line.split()[1]), headers, decoded, body)

    def fileno(self) -> int:
        """The socket's, so that one thread can wait for the answers of many connections."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        data = self._socket.recv(262_144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
