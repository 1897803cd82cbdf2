"""Many clients worked by one thread: each connection has requests under way while the others are attended to."""

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keystead.testing.connection import Answer, Connection


class Request(NamedTuple):
    """A POST; `settle` is told the answer, or None when there will be none."""

    operation: str
    members: Any
    settle: Callable[[Answer | None], None]
    idempotency_key: str | None = None


class Lost(NamedTuple):
    """A request without an answer, and when it had been handed to the system (seconds, `time.monotonic`)."""

    operation: str
    sent_s: float


Program = Callable[[], Sequence[Request]]
"""What a client does next: a few requests, sent one behind the other on its connection. Called once all are settled."""


class Clients:
    """A connection for each program. Every answer is taken as soon as it can be.

    `work` returns when `until` holds and nothing is under way, or when the server has closed all connections; `lost`
    then has what was not answered.
    """

    def __init__(self, url: str, root_key: str, programs: Sequence[Program]) -> None:
        self._url = url
        self._root_key = root_key
        self._programs = programs
        self._working: dict[int, _Client] = {}
        self.lost: list[Lost] = []

    def work(self, until: Callable[[], bool]) -> None:
        """Connect, and do what the programs say."""
        poll = select.poll()
        for program in self._programs:
            try:
                client = _Client(Connection(self._url, self._root_key), program)
            except OSError:
                continue
            self._working[client.connection.fileno()] = client
            poll.register(client.connection, select.POLLIN)
            self._go_on(client, until)
        while self._working:
            for number, _ in poll.poll(50):
                client = self._working[number]
                if client.is_gone or client.take_answers():
                    self._go_on(client, until)
                if client.is_gone:
                    poll.unregister(number)
                    self._drop(number, client)
            if until():
                for number, client in list(self._working.items()):
                    if not client.waiting:
                        poll.unregister(number)
                        self._drop(number, client)

    def _go_on(self, client: "_Client", until: Callable[[], bool]) -> None:
        if not client.is_gone and not client.waiting and not until():
            client.send()

    def _drop(self, number: int, client: "_Client") -> None:
        del self._working[number]
        client.connection.close()
        for request, sent_s in client.waiting:
            self.lost.append(Lost(request.operation, sent_s))
            request.settle(None)


class _Client:
    def __init__(self, connection: Connection, program: Program) -> None:
        self.connection = connection
        self.waiting: deque[tuple[Request, float]] = deque()
        self.is_gone = False
        self._program = program

    def send(self) -> None:
        for request in self._program():
            # What is sent in vain may have arrived all the same, and what is behind it is lost with it.
            if not self.is_gone:
                try:
                    self.connection.send(request.operation, request.members, idempotency_key=request.idempotency_key)
                except OSError:
                    self.is_gone = True
            self.waiting.append((request, float("inf") if self.is_gone else time.monotonic()))

    def take_answers(self) -> bool:
        """Take the answers to all that was sent; False when the server has gone away."""
        while self.waiting:
            try:
                answer = self.connection.receive()
            except OSError:
                self.is_gone = True
                return False
            request, _ = self.waiting.popleft()
            request.settle(answer)
        return True
