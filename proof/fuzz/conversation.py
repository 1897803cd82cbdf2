"""Two ways to talk to a server: to its protocol class without sockets, and over sockets to a process.

Both take a stream in pieces and an ending, and tell what came back. Neither looks inside the server.
"""

import asyncio
import gc
import re
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import uvicorn
from uvicorn.server import ServerState

from keystead.assembly import Application
from keystead.http.protocol import Connection, ProtocolFactory
from keystead.testing.transport import MemoryTransport

_LONGEST_READ = 65_536
_TURNS_AFTER = 6
# A store's writing thread holds the last work it did, and with it whom that was for, until it has other work.
_HELD_BY_WRITERS = 4
_CLOSE = b"\r\nconnection: close\r\n"
_ID = re.compile(rb"unkey-request-id: req_")


class Ending(StrEnum):
    """What the client does after its last byte."""

    EOF = "shuts down its side"
    SILENCE = "says nothing more"
    RESET = "resets the connection"


@dataclass(frozen=True)
class Wanted:
    """What to wait for before the ending: so many final answers, and the server's end if it has to end first."""

    answers: int
    ends: bool


@dataclass(frozen=True)
class Transcript:
    """What came back; `ended_first`: the server ended its side before the client did. `hung` says what did not come."""

    output: bytes
    ended_first: bool
    hung: str = ""


class Conversation(Protocol):
    """A server that can be talked to, each time on a connection of its own."""

    async def talk(self, pieces: Sequence[bytes], ending: Ending, wanted: Wanted) -> Transcript:
        """Send the pieces, wait for what is wanted, end, and wait for the server's end."""
        ...


class InMemory:
    """The protocol class of an application in this process and on this loop; time passes when told to."""

    def __init__(self, application: Application, patience_s: float = 20.0) -> None:
        """`patience_s` bounds every wait; no case comes near it unless something hangs."""
        of_app = application.protocol
        self._now_s = 1000.0
        self._factory = ProtocolFactory(
            of_app.lanes, of_app.outbox, of_app.refuse, limits=of_app.limits, clock=lambda: self._now_s
        )
        self._config = uvicorn.Config(
            application.app, interface="asgi3", proxy_headers=False, lifespan="off", ws="none", log_config=None
        )
        self._config.load()
        self._state = ServerState()
        self._patience_s = patience_s

    async def talk(self, pieces: Sequence[bytes], ending: Ending, wanted: Wanted) -> Transcript:
        """As `Conversation` says. In silence the clock is set forward until the server has had enough."""
        connection = self._factory(self._config, self._state, {})
        transport = MemoryTransport({"peername": ("192.0.2.7", 4711), "sockname": ("127.0.0.1", 3000)})
        changed = asyncio.Event()
        transport.on_change = changed.set
        connection.connection_made(transport)
        try:
            return await self._talk(connection, transport, changed, pieces, ending, wanted)
        finally:
            connection.connection_lost(None)

    async def _talk(
        self,
        connection: Connection,
        transport: MemoryTransport,
        changed: asyncio.Event,
        pieces: Sequence[bytes],
        ending: Ending,
        wanted: Wanted,
    ) -> Transcript:
        def has_ended() -> bool:
            return transport.has_eof or transport.is_closed

        async def until(condition: Any) -> bool:
            try:
                async with asyncio.timeout(self._patience_s):
                    while not condition():
                        changed.clear()
                        await changed.wait()
            except TimeoutError:
                return False
            return True

        for piece in pieces:
            for start in range(0, len(piece), _LONGEST_READ):
                if not await until(lambda: transport.reads or transport.is_closed):
                    return Transcript(bytes(transport.output), has_ended(), "reading was never taken up again")
                if transport.is_closed:
                    break
                connection.data_received(piece[start : start + _LONGEST_READ])
            # Sometimes the loop turns between two pieces, sometimes both are there in one turn.
            if len(piece) % 2:
                await asyncio.sleep(0)
        if ending is Ending.RESET:
            await asyncio.sleep(0)
            return Transcript(b"", False)

        def has_enough() -> bool:
            return has_ended() or (not wanted.ends and len(_ID.findall(transport.output)) >= wanted.answers)

        if not await until(has_enough):
            return Transcript(bytes(transport.output), False, f"waited in vain for {wanted}")
        for _ in range(_TURNS_AFTER):
            await asyncio.sleep(0)
        ended_first = has_ended()
        if ending is Ending.SILENCE and not transport.is_closed:
            await self._pass_time(transport)
        elif not transport.is_closed:
            connection.eof_received()
        if not await until(lambda: transport.is_closed):
            return Transcript(bytes(transport.output), ended_first, "the connection was never closed")
        return Transcript(bytes(transport.output), ended_first)

    async def _pass_time(self, transport: MemoryTransport) -> None:
        for _ in range(4):  # to arm, to end what waits, to arm again for the time of grace, to close
            self._factory.sweep()
            self._now_s += 100.0
            for _ in range(_TURNS_AFTER):
                await asyncio.sleep(0)
            if transport.is_closed:
                return

    def left_behind(self) -> list[str]:
        """What should not be there once every connection is closed."""
        gc.collect()
        kept = sum(type(thing) is Connection for thing in gc.get_objects())
        left = {
            "connections that live": len(self._factory.live) + len(self._state.connections),
            "tasks": len(self._state.tasks),
            "connections in memory": kept if kept > _HELD_BY_WRITERS else 0,
        }
        return [f"{count} {what}" for what, count in left.items() if count]


class OverSockets:
    """A server process; many conversations may be under way at once."""

    def __init__(self, port: int, patience_s: float = 30.0) -> None:
        """`patience_s` bounds a conversation."""
        self._port = port
        self._patience_s = patience_s

    async def talk(self, pieces: Sequence[bytes], ending: Ending, wanted: Wanted) -> Transcript:
        """As `Conversation` says; silence is not kept, as time is real here."""
        received = bytearray()
        state = {"ended_first": False}
        try:
            async with asyncio.timeout(self._patience_s):
                await self._talk(pieces, ending, wanted, received, state)
        except TimeoutError:
            return Transcript(bytes(received), state["ended_first"], f"no end in {self._patience_s} s, {wanted}")
        except ConnectionError as error:
            return Transcript(bytes(received), state["ended_first"], f"the server broke the connection: {error!r}")
        return Transcript(bytes(received), state["ended_first"])

    async def _talk(
        self, pieces: Sequence[bytes], ending: Ending, wanted: Wanted, received: bytearray, state: dict[str, bool]
    ) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        sending = asyncio.create_task(self._send(writer, pieces))
        try:
            if ending is Ending.RESET:
                await sending
                _reset(writer)
                return
            while wanted.ends or len(_ID.findall(received)) < wanted.answers or _CLOSE in received:
                data = await reader.read(_LONGEST_READ)
                if not data:
                    state["ended_first"] = True
                    break
                received += data
            await sending
            writer.write_eof()
            while data := await reader.read(_LONGEST_READ):
                received += data
        finally:
            sending.cancel()
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            # Lets the system send each piece by itself, which TCP_NODELAY (asyncio's default) makes likely.
            await asyncio.sleep(0.0005 if len(pieces) < 20 else 0)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
