"""Audit entries that nobody waits for."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from keystead.core.entities import AuditEntry, AuditResource
from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.service.audit import Afterwards


def entry(number: int, *resources: AuditResource) -> AuditEntry:
    return AuditEntry(f"log_{number}", "ws_1", 0, "ratelimit.success", "key", "key_1", "", resources)


class SlowStore:
    """A store whose writes wait for the test; it keeps what each unit added."""

    def __init__(self) -> None:
        self.units: list[list[str]] = []
        self.may_write = asyncio.Event()
        self.failure: Exception | None = None
        self.audit = self

    async def write(self, unit: Callable[[Any], None]) -> None:
        await self.may_write.wait()
        if self.failure is not None:
            raise self.failure
        unit(self)

    def add(self, entries: list[AuditEntry]) -> None:
        self.units.append([added.id for added in entries])


@pytest.fixture
def scenario() -> Callable[..., SlowStore]:
    """Runs a test's coroutine function with a store and what writes to it; gives the store."""

    def run(steps: Callable[[SlowStore, Afterwards], Any], **bounds: Any) -> SlowStore:
        async def with_store() -> SlowStore:
            store = SlowStore()
            await steps(store, Afterwards(store, **bounds))  # type: ignore[arg-type]
            return store

        return asyncio.run(with_store())

    return run


def test_a_flood_is_few_units(scenario: Any) -> None:
    """What comes up during a write goes into the next unit, in order; `drain` returns when all is written."""

    async def steps(store: SlowStore, afterwards: Afterwards) -> None:
        afterwards.add(entry(0))
        await asyncio.sleep(0)
        for number in range(1, 100):
            afterwards.add(entry(number))
        drained = asyncio.ensure_future(afterwards.drain())
        await asyncio.sleep(0)
        assert not drained.done()
        store.may_write.set()
        await drained
        afterwards.add(entry(100))
        await afterwards.drain()

    store = scenario(steps)
    assert store.units == [["log_0"], [f"log_{number}" for number in range(1, 100)], ["log_100"]]


def test_nothing_to_wait_for(scenario: Any) -> None:
    """Without entries `drain` returns at once."""
    assert scenario(lambda _store, afterwards: afterwards.drain()).units == []


UNAVAILABLE = KeysteadError(ErrorCode.INTERNAL_SERVER_ERROR, "no writes", Reason.UNAVAILABLE)


def test_entries_outlive_a_full_disk(scenario: Any) -> None:
    """While storage takes no writes entries wait, in order, and are written without anybody's help when it does."""

    async def steps(store: SlowStore, afterwards: Afterwards) -> None:
        store.may_write.set()
        store.failure = UNAVAILABLE
        for number in range(3):
            afterwards.add(entry(number))
            await asyncio.sleep(0.003)
        assert afterwards.waiting == 3
        store.failure = None
        while afterwards.waiting:
            await asyncio.sleep(0.001)
        await afterwards.drain()
        assert afterwards.lost == 0

    store = scenario(steps, retry_s=0.001)
    assert [id_ for unit in store.units for id_ in unit] == ["log_0", "log_1", "log_2"]


def test_memory_for_waiting_entries_is_bounded(scenario: Any) -> None:
    """Beyond the bound the newest entries are lost, counted and logged, not one line each."""

    async def steps(store: SlowStore, afterwards: Afterwards) -> None:
        store.may_write.set()
        store.failure = UNAVAILABLE
        afterwards.add(entry(0))
        await asyncio.sleep(0.001)
        for number in range(1, 10):
            afterwards.add(entry(number))
        assert (afterwards.waiting, afterwards.lost) == (4, 6)
        store.failure = None
        await afterwards.drain()

    with capture_logs() as logs:
        store = scenario(steps, max_waiting=4, retry_s=60.0)
    assert [id_ for unit in store.units for id_ in unit] == ["log_0", "log_1", "log_2", "log_3"]
    assert [(line["event"], line["lost_since_start"]) for line in logs] == [("audit_entries_lost", 1)]


@pytest.mark.parametrize("large", [{"name": "x" * 900}, {"meta": {"x": "x" * 900}}])
def test_few_large_entries_are_bounded_too(scenario: Any, large: dict[str, Any]) -> None:
    """A caller chooses what the resources say: their length counts, and small entries still find room."""

    async def steps(store: SlowStore, afterwards: Afterwards) -> None:
        store.may_write.set()
        store.failure = UNAVAILABLE
        afterwards.add(entry(0))
        await asyncio.sleep(0.001)
        for number in range(1, 6):
            afterwards.add(entry(number, AuditResource("user", "u", **large)))
        afterwards.add(entry(6))
        assert (afterwards.waiting, afterwards.lost) == (4, 3)
        store.failure = None
        await afterwards.drain()

    store = scenario(steps, max_characters=2500, retry_s=60.0)
    assert [id_ for unit in store.units for id_ in unit] == ["log_0", "log_1", "log_2", "log_6"]


BROKEN = KeysteadError(ErrorCode.INTERNAL_SERVER_ERROR, "broken")


@pytest.mark.parametrize("failure", [UNAVAILABLE, BROKEN, ValueError("broken")])
def test_what_can_not_be_written_is_told(scenario: Any, failure: Exception) -> None:
    """An end on a storage that takes no writes waits for nothing, and the log says how many entries are lost."""

    async def steps(store: SlowStore, afterwards: Afterwards) -> None:
        store.may_write.set()
        store.failure = failure
        afterwards.add(entry(0))
        afterwards.add(entry(1))
        await afterwards.drain()
        assert afterwards.lost == 2
        store.failure = None
        afterwards.add(entry(2))
        await afterwards.drain()

    with capture_logs() as logs:
        store = scenario(steps, retry_s=60.0)
    assert store.units == [["log_2"]]
    assert [(line["log_level"], line["entries"]) for line in logs] == [("error", 2)]
