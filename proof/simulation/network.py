"""Connections between clients and a simulated server: bytes take their time and come in pieces.

What the server has handed to its transport reaches the client, as bytes in a socket's buffer outlive a killed process;
what it has not is lost, and the client learns that the connection is.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

from keystead.http.protocol import Connection as Protocol
from proof.simulation.loop import SimLoop
from proof.simulation.scheduler import Life

PATIENCE_S = 300.0
"""Virtual time after which a request without an answer is a failure of the server."""

_SERVER_ADDRESS = ("192.0.2.1", 8080)


class Unanswered(AssertionError):
    """The server lives and has not answered for PATIENCE_S."""


class Answer(NamedTuple):
    """What the server said; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class ClientConnection:
    """One keep-alive connection of a client; made by `World.connect`.

    Requests on one connection may overlap; they are sent in the order of the calls and answered in that order.
    """

    def __init__(self, outside: SimLoop, random: Random, latency_us: int, split: float) -> None:
        self._outside = outside
        self._random = random
        self._latency_us = latency_us
        self._split = split
        self._transport: SimTransport | None = None
        self._waiting: deque[asyncio.Future[Answer | None]] = deque()
        self._received = b""
        self._arrives_us = 0
        self.is_open = False
        """False once either side has closed: every request from then on is answered None."""

    def attach(self, transport: "SimTransport") -> None:
        """The other end."""
        self._transport = transport
        self.is_open = True

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        """Send a request and wait for its answer; None when the connection is lost before all of it is here.

        The headers Host and Content-Length are added. Raises Unanswered.
        """
        if not self.is_open:
            await asyncio.sleep(0)
            return None
        lines = [f"{method} {path} HTTP/1.1", "Host: keystead"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        answer: asyncio.Future[Answer | None] = self._outside.create_future()
        self._waiting.append(answer)
        self._send("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
        patience = self._outside.call_later(PATIENCE_S, self._run_out_of_patience, answer, f"{method} {path}")
        try:
            return await answer
        finally:
            patience.cancel()

    async def call(
        self, operation: str, members: Any, root_key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        """POST `members` as JSON to /v1/`operation`, as `request` does."""
        fields = {"Content-Type": "application/json", **(headers or {})}
        if root_key is not None:
            fields["Authorization"] = f"Bearer {root_key}"
        return await self.request("POST", f"/v1/{operation}", json.dumps(members).encode(), fields)

    def close(self) -> None:
        """Hang up: requests under way are answered None, though the server may do what they ask."""
        if self.is_open:
            self._lost()
            if self._transport is not None:
                self._transport.from_client(None)

    def take(self, data: bytes | None) -> None:
        """Bytes from the server, None for its end; called on whichever fiber the server writes on."""
        self._outside.call_soon_threadsafe(self._read, data)

    def _send(self, data: bytes) -> None:
        for piece in self._pieces(data):
            delay_us = self._random.randrange(self._latency_us + 1) if self._latency_us else 0
            now_us = round(self._outside.time() * 1e6)
            # In order: what was sent later does not overtake.
            is_way_free = self._arrives_us <= now_us
            self._arrives_us = max(self._arrives_us + 1, now_us + delay_us)
            if delay_us or not is_way_free:
                self._outside.call_at(self._arrives_us / 1e6, self._arrive, piece)
            else:
                self._arrive(piece)

    def _pieces(self, data: bytes) -> Iterable[bytes]:
        if self._random.random() >= self._split:
            return [data]
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randint(1, 3)))
        bounds = [0, *cuts, len(data)]
        return [data[start:end] for start, end in pairwise(bounds) if start < end]

    def _arrive(self, piece: bytes) -> None:
        if self._transport is not None and self.is_open:
            self._transport.from_client(piece)

    def _read(self, data: bytes | None) -> None:
        if data is None:
            self._lost()
            return
        self._received += data
        while self._waiting and (end := self._received.find(b"\r\n\r\n")) >= 0:
            status_line, *fields = self._received[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
            start, length = end + 4, int(headers.get("content-length", 0))
            if len(self._received) < start + length:
                return
            answer = Answer(int(status_line.split()[1]), headers, self._received[start : start + length])
            self._received = self._received[start + length :]
            _resolve(self._waiting.popleft(), answer)

    def _lost(self) -> None:
        self.is_open = False
        self._received = b""
        while self._waiting:
            _resolve(self._waiting.popleft(), None)

    def _run_out_of_patience(self, answer: "asyncio.Future[Answer | None]", request: str) -> None:
        if not answer.done():
            answer.set_exception(Unanswered(f"{request}: no answer after {PATIENCE_S:.0f} s"))


class SimTransport(asyncio.Transport):
    """The server's end of a connection, on the server's loop."""

    def __init__(self, loop: SimLoop, life: Life, client: ClientConnection, address: tuple[str, int]) -> None:
        super().__init__({"peername": address, "sockname": _SERVER_ADDRESS})
        self._loop = loop
        self._life = life
        self._client = client
        self._protocol: Protocol | None = None
        self._unread: deque[bytes | None] = deque()
        self._is_paused = False
        self._is_closing = False

    def begin(self, protocol: Protocol) -> None:
        """Introduce the two ends to each other; on the server's loop."""
        self._protocol = protocol
        protocol.connection_made(self)
        self._hand_on()

    def from_client(self, data: bytes | None) -> None:
        """Bytes of the client, None for its end; from outside the server."""
        if not self._life.is_dead:
            self._unread.append(data)
            self._loop.call_soon_threadsafe(self._hand_on)

    def end(self) -> None:
        """The server is no more."""
        self._client.take(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See asyncio."""
        if not self._is_closing and not self._life.is_dead:
            self._client.take(bytes(data))

    def write_eof(self) -> None:
        """See asyncio; our clients then close too."""
        if not self._life.is_dead:
            self._client.take(None)
            self.from_client(None)

    def can_write_eof(self) -> bool:
        """See asyncio."""
        return True

    def get_write_buffer_size(self) -> int:
        """See asyncio: the network takes everything at once."""
        return 0

    def close(self) -> None:
        """See asyncio."""
        if not self._is_closing and not self._life.is_dead:
            self._is_closing = True
            self._client.take(None)
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        """See asyncio."""
        self.close()

    def is_closing(self) -> bool:
        """See asyncio."""
        return self._is_closing

    def pause_reading(self) -> None:
        """See asyncio."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """See asyncio."""
        self._is_paused = False
        self._loop.call_soon(self._hand_on)

    def _hand_on(self) -> None:
        protocol = self._protocol
        while protocol is not None and self._unread and not self._is_paused and not self._is_closing:
            data = self._unread.popleft()
            if data is not None:
                protocol.data_received(data)
            elif not protocol.eof_received():
                self.close()

    def _lose(self) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(None)
            self._protocol = None


def _resolve(future: "asyncio.Future[Answer | None]", answer: Answer | None) -> None:
    if not future.done():  # else its caller does not wait any longer
        future.set_result(answer)
