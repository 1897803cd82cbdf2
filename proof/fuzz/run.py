"""The fuzzer as a whole: which case is of which kind, on which server it is tried, what is looked at in between."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import httpx

from keystead.assembly import Application, Outside, open_application, open_storage
from keystead.clock import ManualClock
from keystead.config import Settings
from keystead.http.limits import HttpLimits
from keystead.testing.server import NOW_MS, ServerProcess
from proof.fuzz import grammar, operations
from proof.fuzz.bodies import Lockstep
from proof.fuzz.cases import Case, raw_case, shrink, split_case, try_case
from proof.fuzz.conversation import Ending, InMemory, OverSockets
from proof.fuzz.described import TRIALS, Described
from proof.fuzz.judge import Judge
from proof.fuzz.scene import keys_of_all_kinds, maker_of_things, require_health, require_no_trace, set_up
from proof.fuzz.violation import Violation
from proof.fuzz.watch import Watch, complaints_of_this_process

KINDS = ("sockets", *["raw"] * 9, *["split"] * 5, *["bodies"] * 2, *["operations"] * 3)
"""Case n is of the kind n modulo 20."""

EXAMPLES = 10
"""Cases of schemathesis that are tried, counted and repeated together."""

_SHARE_OF_DESCRIBED = 40
_BATCH = 2000
_AT_ONCE = 48
_MOST_VIOLATIONS = 5
_MOST_LOOKS = 10
_LONGEST_DRIP = 2000
_RAW_BOUND_MIB = 16.0
# An answer of analytics.getVerifications may have 500,000 rows; the allocator keeps the 75 MiB that one took.
_OPERATIONS_BOUND_MIB = 128.0

_ENVIRONMENT = {"KEYSTEAD_ROOT_KEY": grammar.ROOT_KEY, "KEYSTEAD_KEY_CACHE_ENTRIES": "1000"}
_CREDENTIALS = [*[f"Bearer {grammar.ROOT_KEY}"] * 3, "Bearer wrong", None]


@dataclass
class Found:
    """What a run has done and found."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    raw_growth_mib: float = 0.0
    operations_growth_mib: float = 0.0

    @property
    def cases(self) -> int:
        """How many cases were tried."""
        return sum(self.counts.values())


class Fuzz:
    """A run with one seed on fresh servers in `folder`; `say` is told of progress."""

    def __init__(self, seed: int, folder: Path, say: Callable[[str], None]) -> None:
        self.found = Found()
        self._seed = seed
        self._folder = folder
        self._say = say
        self._complaints: list[str] = []
        self._memory: InMemory | None = None
        self._operations: OverSockets
        self._others: list[OverSockets] = []
        self._judges: dict[str, Judge] = {}
        self._lockstep: Lockstep
        self._described: Described
        self._make_things: Callable[[], dict[str, Any]]
        self._things: dict[str, Any] = {}
        self._watches: list[Watch] = []

    async def run(self, cases: int) -> Found:
        """Try so many cases. Stops early when enough is wrong."""
        blocks = cases // _SHARE_OF_DESCRIBED // EXAMPLES
        numbers = range(cases - blocks * EXAMPLES)
        batch = min(_BATCH, max(len(numbers) // 5, 1))
        started = time.monotonic()
        async with self._servers():
            for start in range(0, len(numbers), batch):
                last = min(start + batch, len(numbers))
                of_batch = range(blocks * start // len(numbers), blocks * last // len(numbers))
                await self._try_all(numbers[start:last])
                await asyncio.to_thread(self._try_described, of_batch)
                await self._look_after(f"the batch from case {start}")
                if start <= len(numbers) // 5:
                    for watch in self._watches:
                        watch.warmed_up()
                self._say(f"{self.found.cases:,} cases, {time.monotonic() - started:.0f} s")
                if len(self.found.violations) >= _MOST_VIOLATIONS:
                    return self.found
            await self._look_at_the_end()
        return self.found

    async def run_one(self, number: int) -> Found:
        """Try one case alone."""
        async with self._servers(KINDS[number % len(KINDS)]):
            await self._try_all([number])
            await self._look_after(f"case {number}")
        return self.found

    async def run_described(self, block: int) -> Found:
        """Try the cases of one block of schemathesis alone."""
        async with self._servers("operations"):
            await asyncio.to_thread(self._try_described, [block])
        return self.found

    # ---- servers

    @asynccontextmanager
    async def _servers(self, *kinds: str) -> AsyncIterator[None]:
        """The servers that cases of these kinds need; all when no kind is named."""
        async with AsyncExitStack() as stack:
            self._complaints = stack.enter_context(complaints_of_this_process())
            openings = {
                ("raw", "split"): self._open_memory,
                ("bodies",): self._open_lockstep,
                ("sockets",): self._open_sockets,
                ("operations",): self._open_operations,
            }
            for needed_for, open_servers in openings.items():
                if not kinds or set(kinds) & set(needed_for):
                    await open_servers(stack)
            yield

    async def _open_memory(self, stack: AsyncExitStack) -> None:
        application = await self._application(stack, "memory")
        self._memory = InMemory(application)
        await set_up(self._memory)
        self._judges["memory"] = Judge(self._memory, application.protocol.limits)

    async def _open_sockets(self, stack: AsyncExitStack) -> None:
        sockets = OverSockets(_port(self._process(stack, "raw", _RAW_BOUND_MIB)))
        await set_up(sockets)
        self._judges["sockets"] = Judge(sockets, HttpLimits())
        self._others.append(sockets)

    async def _application(self, stack: AsyncExitStack, name: str) -> Application:
        folder = self._folder / name
        folder.mkdir()
        settings = Settings(database_url=str(folder / "keystead.db"), root_key=grammar.ROOT_KEY)
        outside = Outside(clock=ManualClock(NOW_MS), random=Random("the same in each").randbytes)
        storage = await stack.enter_async_context(open_storage(settings, outside))
        return await stack.enter_async_context(open_application(storage))

    async def _open_lockstep(self, stack: AsyncExitStack) -> None:
        lane, router = [InMemory(await self._application(stack, name)) for name in ("lane", "router")]
        keys = await keys_of_all_kinds(lane)
        if await keys_of_all_kinds(router) != keys:
            raise Violation("two servers with the same randomness made different keys")
        self._lockstep = Lockstep(lane, router, keys)

    async def _open_operations(self, stack: AsyncExitStack) -> None:
        server = self._process(stack, "operations", _OPERATIONS_BOUND_MIB)
        headers = {"Authorization": f"Bearer {grammar.ROOT_KEY}"}
        http = stack.enter_context(httpx.Client(base_url=server.url, timeout=30, headers=headers))
        self._operations = OverSockets(_port(server), patience_s=60.0)
        await set_up(self._operations)
        self._others.append(self._operations)
        self._make_things = maker_of_things(http)
        self._things = self._make_things()
        self._described = Described(server.url, self._make_things)

    def _process(self, stack: AsyncExitStack, name: str, bound_mib: float) -> ServerProcess:
        folder = self._folder / f"{name}-process"
        folder.mkdir()
        server = stack.enter_context(ServerProcess(folder, **_ENVIRONMENT))
        assert server.process is not None
        self._watches.append(Watch(server.process.pid, folder / "server.log", bound_mib))
        return server

    # ---- cases

    async def _try_all(self, numbers: Iterable[int]) -> None:
        waiting: list[Coroutine[Any, Any, None]] = []
        for number in numbers:
            kind = KINDS[number % len(KINDS)]
            if kind == "sockets":
                waiting.append(self._try_raw(number, kind, _socket_case(self._seed, number)))
            elif kind == "operations":
                waiting.append(self._try_simply(number, kind, self._try_operation(number)))
            elif kind == "bodies":
                await self._try_simply(number, kind, self._lockstep.try_case(self._seed, number))
            else:
                nth = number // len(KINDS) * KINDS.count("split") + number % len(KINDS)
                case = raw_case(self._seed, number) if kind == "raw" else split_case(self._seed, nth)
                await self._try_raw(number, kind, case)
            if len(waiting) >= _AT_ONCE:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)

    async def _try_raw(self, number: int, kind: str, case: Case) -> None:
        judge = self._judges["sockets" if kind == "sockets" else "memory"]
        violation = await _violation_of(try_case(case, judge))
        self.found.counts[kind] += 1
        if violation is None:
            return

        # Not while an exception is being handled: what the server raises would be taken for a consequence of it.
        async def fails(smaller: Case) -> bool:
            return await _violation_of(try_case(smaller, judge)) is not None

        smallest = await shrink(case, fails)
        why = await _violation_of(try_case(smallest, judge)) or f"{violation} (not when tried again)"
        self._report(number, kind, f"{why}\n{smallest}")

    async def _try_simply(self, number: int, kind: str, attempt: Coroutine[Any, Any, None]) -> None:
        violation = await _violation_of(attempt)
        self.found.counts[kind] += 1
        if violation is not None:
            self._report(number, kind, violation)

    async def _try_operation(self, number: int) -> None:
        if number % 100 == 17:
            self._things = await asyncio.to_thread(self._make_things)
        await operations.try_case(self._operations, self._things, self._seed, number)

    def _try_described(self, blocks: Iterable[int]) -> None:
        for block in blocks:
            # A stride that meets all trials, in another order for each seed.
            operation, mode = TRIALS[(block * 31 + self._seed) % len(TRIALS)]
            authorization = _CREDENTIALS[(block + self._seed) % len(_CREDENTIALS)]
            number = self._seed * 1_000_000 + block
            try:
                statuses = self._described.statuses(operation, mode, authorization, number=number, examples=EXAMPLES)
                self.found.counts["described"] += sum(statuses.values())
                is_stranger = authorization != _CREDENTIALS[0]
                if is_stranger and operation.authenticated and any(status < 300 for status in statuses):
                    raise Violation(f"{operation.name} lets a stranger in: {statuses}")
            except Exception as error:
                # schemathesis raises errors, and groups of errors, of its own.
                self._report_text(f"{operation.name}, {mode.value}: {_told(error)}", f"--described {block}")

    # ---- in between and at the end

    async def _look_after(self, when: str) -> None:
        async def look() -> None:
            for server in self._talked_to():
                await require_health(server)
            for watch in self._watches:
                watch.require_silence()
                watch.require_bounds()
            if self._complaints:
                raise Violation(f"the log complains: {self._complaints.pop()}")
            await self._require_nothing_left()

        violation = await _violation_of(look())
        if violation is not None:
            self._report_text(f"after {when}: {violation}", "")

    async def _require_nothing_left(self) -> None:
        # What a client did not wait for may still be on its way through storage.
        for _ in range(_MOST_LOOKS):
            if self._memory is None or not (left := self._memory.left_behind()):
                return
            await asyncio.sleep(0.5)
        raise Violation(f"left behind: {', '.join(left)}")

    async def _look_at_the_end(self) -> None:
        async def look() -> None:
            for server in self._talked_to():
                await require_no_trace(server)
            for watch in self._watches:
                await watch.require_files_returned()
                watch.require_bounds()

        violation = await _violation_of(look())
        if violation is not None:
            self._report_text(f"at the end: {violation}", "")
        self.found.raw_growth_mib, self.found.operations_growth_mib = (watch.growth_mib for watch in self._watches)

    def _talked_to(self) -> list[InMemory | OverSockets]:
        return [*([self._memory] if self._memory else []), *self._others]

    def _report(self, number: int, kind: str, text: str) -> None:
        self._report_text(f"case {number} ({kind}): {text}", f"--case {number}")

    def _report_text(self, text: str, only: str) -> None:
        replay = f"python -m proof.fuzz --seed {self._seed} {only}".strip()
        self.found.violations.append(f"violation in {text}\nto see it again: {replay}")


def _socket_case(seed: int, number: int) -> Case:
    """A raw case for real sockets; one in ten drips byte by byte."""
    case = raw_case(seed, number)
    if case.ending is Ending.SILENCE:
        # Time is real there, and silence would last for its time-outs.
        case = replace(case, ending=Ending.EOF)
    if number % (10 * len(KINDS)) == 0 and len(case.stream) <= _LONGEST_DRIP:
        case = replace(case, cuts=tuple(range(len(case.stream))))
    return case


async def _violation_of(attempt: Coroutine[Any, Any, None]) -> str | None:
    """What an attempt finds; anything else that goes wrong in it is one too."""
    try:
        await attempt
    except Violation as violation:
        return str(violation)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _told(error: BaseException) -> str:
    told = [str(error)]
    if isinstance(error, BaseExceptionGroup):
        told += [_told(inner) for inner in error.exceptions]
    return "\n".join(told)


def _port(server: ServerProcess) -> int:
    return int(server.url.rpartition(":")[2])
