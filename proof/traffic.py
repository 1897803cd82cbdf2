"""Mixed traffic of clients that know what each answer must be: what they tally is what the server has to agree with.

Each client asks one thing at a time on a connection of its own. What it changes belongs to it alone, so it can tell the
answer; what all share is only read or spent from, and tallied.
"""

import asyncio
import json
import random
import time
from array import array
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

_FEW = 8
"""Keys of each shared kind, and keys with credits of each client."""
_MAX_MADE = 20
"""A client with so many keys of its own making deletes one instead of making another."""
_START_BALANCE = 50
_SHARED_BALANCE = 1_000_000_000
_LIMIT = {"type": "fast", "limit": 20, "duration": 1_000}
_PATIENCE_S = 30.0


class Unexpected(Exception):
    """An answer that is not what it has to be."""


@dataclass
class Tally:
    """What the clients have seen; latencies are seconds."""

    outcomes: Counter[str] = field(default_factory=Counter)
    """Verifications of keys that exist, by code."""
    spent: Counter[str] = field(default_factory=Counter)
    """Key id → credits spent from a shared balance."""
    verify_s: "array[float]" = field(default_factory=lambda: array("d"))
    other_s: "array[float]" = field(default_factory=lambda: array("d"))
    answered: int = 0
    longest_s: float = 0.0
    longest_of: str = ""
    silence_s: float = 0.0
    """The longest time in which nobody had an answer."""
    last_answer_s: float = field(default_factory=time.monotonic)

    def note(self, operation: str, began_s: float) -> None:
        """One more answer."""
        now_s = time.monotonic()
        taken_s = now_s - began_s
        (self.verify_s if operation == "keys.verifyKey" else self.other_s).append(taken_s)
        self.answered += 1
        if taken_s > self.longest_s:
            self.longest_s, self.longest_of = taken_s, operation
        self.silence_s = max(self.silence_s, now_s - self.last_answer_s)
        self.last_answer_s = now_s


class Wire(asyncio.Protocol):
    """A keep-alive connection with one request under way; as little work for each answer as Python allows.

    `credentials` is the root key of all requests but verifications, which carry none.
    """

    def __init__(self, host: str, credentials: str) -> None:
        self._transport: asyncio.Transport
        self._received = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._host = host
        self._authorization = f"authorization: Bearer {credentials}\r\n"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are, though not by inheritance

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        received = self._received = self._received + data
        head = received.find(b"\r\n\r\n")
        if head < 0 or self._waiting is None or self._waiting.done():
            return
        start = received.lower().find(b"content-length:", 0, head) + 15
        end = head + 4 + int(received[start : received.find(b"\r\n", start)])
        if len(received) >= end:
            self._received = received[end:]
            self._waiting.set_result((int(received[9:12]), received[head + 4 : end]))

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Unexpected(f"the server closed a connection: {error}"))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    async def verify(self, body: bytes) -> tuple[int, bytes]:
        """The status and body of a verification's answer."""
        return await self._ask(
            b"POST /v1/keys.verifyKey HTTP/1.1\r\nhost: soak\r\ncontent-type: application/json", body
        )

    async def post(self, operation: str, members: dict[str, Any]) -> tuple[int, bytes]:
        """The status and body of another operation's answer."""
        head = f"POST /v1/{operation} HTTP/1.1\r\nhost: {self._host}\r\n{self._authorization}"
        return await self._ask(f"{head}content-type: application/json".encode(), json.dumps(members).encode())

    async def get(self, operation: str, query: dict[str, Any]) -> tuple[int, bytes]:
        """The status and body of a query's answer."""
        head = f"GET /v1/{operation}?{urlencode(query)} HTTP/1.1\r\nhost: {self._host}\r\n{self._authorization}"
        return await self._ask(f"{head}accept: */*".encode(), b"")

    async def _ask(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(b"%b\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        return await self._waiting


@dataclass
class OwnKey:
    """A key that one client alone changes."""

    key_id: str
    secret: str
    balance: int | None = None
    enabled: bool = True


@dataclass
class Shared:
    """Keys that all clients verify, by what must come of it; `spent` are those with credits."""

    api_id: str = ""
    plain: list[OwnKey] = field(default_factory=list)
    limited: list[OwnKey] = field(default_factory=list)
    disabled: list[OwnKey] = field(default_factory=list)
    spent: list[OwnKey] = field(default_factory=list)

    def count(self) -> int:
        """How many there are."""
        return len(self.plain) + len(self.limited) + len(self.disabled) + len(self.spent)


class Client:
    """One client: does things at random, in the proportions of `_MIX`, and holds every answer against what it knows."""

    def __init__(self, wire: Wire, shared: Shared, tally: Tally, source: random.Random) -> None:
        self.wire = wire
        self.credits: list[OwnKey] = []
        self.made: list[OwnKey] = []
        self._gone: deque[str] = deque(maxlen=_FEW)  # secrets of deleted keys
        self._shared = shared
        self._tally = tally
        self._random = source
        self._draws = [do for do, weight in _MIX for _ in range(weight)]

    def use(self, tally: Tally) -> None:
        """Tally there from now on."""
        self._tally = tally

    async def prepare(self) -> None:
        """Make the client's keys with credits."""
        for _ in range(_FEW):
            self.credits.append(await self.create(remaining=_START_BALANCE))

    async def work(self, until: Callable[[], bool]) -> None:
        """Ask and check until told to stop. Raises Unexpected."""
        while not until():
            await self._random.choice(self._draws)(self)

    async def create(self, **members: Any) -> OwnKey:
        """A new key of the shared api."""
        made = await self.change("keys.createKey", {"apiId": self._shared.api_id, "prefix": "soak", **members})
        return OwnKey(made["keyId"], made["key"], members.get("remaining"), members.get("enabled", True))

    async def change(self, operation: str, members: dict[str, Any]) -> Any:
        """What a call answers that must succeed."""
        return self._success(operation, await self._timed(operation, self.wire.post(operation, members)))

    async def query(self, operation: str, **query: Any) -> Any:
        """What a query answers that must succeed."""
        return self._success(operation, await self._timed(operation, self.wire.get(operation, query)))

    async def verify(self, key: OwnKey, *codes: str) -> bytes:
        """Verify a key that exists; the body, whose code is one of `codes`."""
        body = await self._verify(key.secret)
        for code in codes:
            if b'"code":"%b"' % code.encode() in body:
                self._tally.outcomes[code] += 1
                return body
        raise Unexpected(f"verifying {key.key_id}: {body!r} instead of {' or '.join(codes)}")

    async def verify_unknown(self, secret: str) -> None:
        """Verify what is no key."""
        body = await self._verify(secret)
        if b'"code":"NOT_FOUND"' not in body:
            raise Unexpected(f"verifying no key: {body!r}")

    async def _verify(self, secret: str) -> bytes:
        status, body = await self._timed("keys.verifyKey", self.wire.verify(b'{"key":"%b"}' % secret.encode()))
        if status != 200:
            raise Unexpected(f"verifyKey: {status} {body!r}")
        return body

    async def _timed(self, operation: str, asking: Awaitable[tuple[int, bytes]]) -> tuple[int, bytes]:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                answer = await asking
        except TimeoutError:
            raise Unexpected(f"{operation}: no answer within {_PATIENCE_S:.0f} s") from None
        self._tally.note(operation, began_s)
        return answer

    def _success(self, operation: str, answer: tuple[int, bytes]) -> Any:
        status, body = answer
        if status != 200:
            raise Unexpected(f"{operation}: {status} {body!r}")
        return json.loads(body)

    def _expect(self, operation: str, shown: Any, expected: Any) -> None:
        if shown != expected:
            raise Unexpected(f"{operation}: {shown!r} instead of {expected!r}")

    # What a client does, one step each.

    async def _plain(self) -> None:
        await self.verify(self._random.choice(self._shared.plain), "VALID")

    async def _limited(self) -> None:
        await self.verify(self._random.choice(self._shared.limited), "VALID", "RATE_LIMITED")

    async def _disabled(self) -> None:
        await self.verify(self._random.choice(self._shared.disabled), "DISABLED")

    async def _unknown(self) -> None:
        secret = self._random.choice(self._gone) if self._gone and self._random.random() < 0.5 else self._invented()
        await self.verify_unknown(secret)

    def _invented(self) -> str:
        return f"soak_{self._random.getrandbits(128):032x}"

    async def _spend_shared(self) -> None:
        key = self._random.choice(self._shared.spent)
        await self.verify(key, "VALID")
        self._tally.spent[key.key_id] += 1

    async def _spend(self) -> None:
        key = self._random.choice(self.credits)
        assert key.balance is not None
        if key.balance:
            key.balance -= 1
            body = await self.verify(key, "VALID")
        else:
            body = await self.verify(key, "USAGE_EXCEEDED")
        self._expect("verifyKey's remaining", json.loads(body).get("remaining"), key.balance)

    async def _own(self) -> None:
        if self.made:
            key = self._random.choice(self.made)
            await self.verify(key, "VALID" if key.enabled else "DISABLED")

    async def _limit(self) -> None:
        identifier = f"user_{self._random.randrange(2_000)}"
        asked = {"namespace": "soak", "identifier": identifier, "limit": 1_000_000, "duration": 1_000}
        answer = await self.change("ratelimits.limit", asked)
        self._expect("ratelimits.limit", answer["success"], True)

    async def _create_or_delete(self) -> None:
        if len(self.made) < _MAX_MADE and (not self.made or self._random.random() < 0.5):
            self.made.append(await self.create(meta={"plan": "pro"}, externalId=f"of {self._random.randrange(500)}"))
            return
        key = self.made.pop(self._random.randrange(len(self.made)))
        await self.change("keys.deleteKey", {"keyId": key.key_id, "permanent": self._random.random() < 0.5})
        self._gone.append(key.secret)
        await self.verify_unknown(key.secret)

    async def _update(self) -> None:
        if self.made:
            key = self._random.choice(self.made)
            key.enabled = not key.enabled
            changes = {"enabled": key.enabled, "name": f"name {self._random.random()}"}
            await self.change("keys.updateKey", {"keyId": key.key_id, **changes})
            await self.verify(key, "VALID" if key.enabled else "DISABLED")

    async def _top_up(self) -> None:
        key = self._random.choice(self.credits)
        assert key.balance is not None
        op, value = self._random.choice((("set", _START_BALANCE), ("increment", 7), ("decrement", 3)))
        key.balance = {"set": value, "increment": key.balance + value, "decrement": max(0, key.balance - value)}[op]
        answer = await self.change("keys.updateRemaining", {"keyId": key.key_id, "op": op, "value": value})
        self._expect("keys.updateRemaining", answer["remaining"], key.balance)

    async def _get(self) -> None:
        key = self._random.choice(self.credits)
        shown = await self.query("keys.getKey", keyId=key.key_id)
        self._expect("keys.getKey", (shown["id"], shown["remaining"]), (key.key_id, key.balance))

    async def _list(self) -> None:
        page = await self.query("apis.listKeys", apiId=self._shared.api_id, limit=20)
        self._expect("apis.listKeys", len(page["keys"]), 20)

    async def _count(self) -> None:
        await self.query("keys.getVerifications", keyId=self._random.choice(self._shared.plain).key_id)


_MIX: tuple[tuple[Callable[[Client], Awaitable[None]], int], ...] = (
    (Client._plain, 42),
    (Client._limited, 14),
    (Client._spend, 10),
    (Client._spend_shared, 6),
    (Client._unknown, 8),
    (Client._disabled, 6),
    (Client._own, 4),
    (Client._limit, 3),
    (Client._create_or_delete, 2),
    (Client._update, 1),
    (Client._top_up, 1),
    (Client._get, 1),
    (Client._list, 1),
    (Client._count, 1),
)
"""What is done how often, in hundredths: nine in ten are verifications."""


async def connect(url: str, root_key: str) -> Wire:
    """A connection to the server at `url`."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: Wire(address.netloc, root_key), address.hostname or "", address.port or 80
    )
    return wire


async def open_clients(url: str, root_key: str, number: int, seed: int, tally: Tally) -> tuple[list[Client], Shared]:
    """The clients on a new server with all their keys made, and the keys they share."""
    shared = Shared()
    clients = [Client(await connect(url, root_key), shared, tally, random.Random(seed + n)) for n in range(number)]
    first = clients[0]
    shared.api_id = (await first.change("apis.createApi", {"name": "soak"}))["apiId"]
    for _ in range(_FEW):
        shared.plain.append(await first.create(meta={"plan": "free"}, externalId="customer_1"))
        shared.limited.append(await first.create(ratelimit=_LIMIT))
        shared.disabled.append(await first.create(enabled=False))
        shared.spent.append(await first.create(remaining=_SHARED_BALANCE))
    for client in clients:
        await client.prepare()
    return clients, shared


async def disagreements(clients: list[Client], shared: Shared, tally: Tally) -> list[str]:
    """Where the server's balances and number of keys are not what the clients have counted."""
    asking = clients[0]
    found = []
    expected = [(key, _SHARED_BALANCE - tally.spent[key.key_id]) for key in shared.spent]
    expected += [(key, key.balance or 0) for client in clients for key in client.credits]
    for key, balance in expected:
        shown = (await asking.query("keys.getKey", keyId=key.key_id))["remaining"]
        if shown != balance:
            found.append(f"{key.key_id} has {shown} credits, the clients count {balance}")
    total = (await asking.query("apis.listKeys", apiId=shared.api_id, limit=1))["total"]
    live = shared.count() + sum(len(client.credits) + len(client.made) for client in clients)
    if total != live:
        found.append(f"the api has {total} keys, the clients count {live}")
    return found


async def counted_events(client: Client, api_id: str, since_ms: int) -> Counter[str]:
    """The server's own count of verifications by code."""
    (row,) = await client.query("analytics.getVerifications", apiId=api_id, start=since_ms)
    names = {
        "VALID": "valid",
        "RATE_LIMITED": "rateLimited",
        "USAGE_EXCEEDED": "usageExceeded",
        "DISABLED": "disabled",
    }
    counts = Counter({code: row[name] for code, name in names.items()})
    counts["anything else"] = row["total"] - counts.total()
    return counts
