"""Keys imported through the queue (contract other-v1 §5.2): what the operation answers, and what the worker does."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from keystead.assembly import Outside, Storage, open_storage
from keystead.clock import ManualClock
from keystead.config import Settings
from keystead.contract.apis import CreateApi
from keystead.contract.migrations import EnqueueKeys, KeyHash, QueuedItem
from keystead.contract.permissions import CreateRole
from keystead.core.entities import QueuedKey
from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.core.secrets import hash_secret
from keystead.service.access import Caller, Origin
from keystead.service.apis import Apis
from keystead.service.changes import Changes
from keystead.service.migration_queue import MAX_ATTEMPTS
from keystead.service.migrations import Migrations
from keystead.service.operator import DEFAULT_WORKSPACE_ID
from keystead.service.permissions import Permissions
from keystead.testing.server import NOW_MS, ROOT_KEY, ServerProcess

ENQUEUE = "migrations.enqueueKeys"
NOT_ALLOWED = (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
BAD = (400, "BAD_REQUEST")


def hashed(secret: str) -> dict[str, Any]:
    return {"hash": {"value": hash_secret(secret), "variant": "sha256_base64"}}


def batch(tenant: Any, *keys: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"migrationId": "mig_spring", "apiId": tenant.api_id, "keys": list(keys), **members}


def enqueue(tenant: Any, *keys: dict[str, Any]) -> None:
    """Queue keys and wait until each has been tried once."""
    assert tenant.answer(tenant.call(ENQUEUE, batch(tenant, *keys)), 202) == {}
    queue = tenant.server.application.storage.migration_queue

    async def settle() -> None:
        while await queue.run_due():
            pass

    tenant.server.call(settle)


# the operation


def test_a_queued_key_is_there_shortly_after(tenant: Any) -> None:
    """202 and `{}`; the key shows and verifies, with its name and a limit that applies by itself (§5.2)."""
    limit = {"limit": 1, "duration": 60_000, "async": False, "refillRate": 3}
    enqueue(tenant, {**hashed("queued"), "name": "legacy", "externalId": "dropped", "ratelimit": limit})
    first = tenant.verify("queued")
    assert (first["valid"], first["name"], "identity" in first) == (True, "legacy", False)
    assert tenant.verify("queued")["code"] == "RATE_LIMITED"
    (key,) = tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]
    assert key["ratelimit"]["duration"] == 60_000


def test_an_empty_batch_is_accepted(tenant: Any) -> None:
    """No keys are 202 as well (§9.21)."""
    enqueue(tenant)
    assert tenant.ask("apis.listKeys", apiId=tenant.api_id)["total"] == 0


def test_a_queued_plaintext_can_be_decrypted(tenant: Any) -> None:
    """It is kept sealed; beside a hash, the hash is what verifies (§5.2)."""
    enqueue(tenant, {"plaintext": "plain-0001"}, {"plaintext": "plain-0002", **hashed("other")})
    assert tenant.verify("plain-0001")["valid"]
    assert [tenant.verify(secret)["valid"] for secret in ("plain-0002", "other")] == [False, True]
    keys = tenant.ask("apis.listKeys", apiId=tenant.api_id, decrypt=True)["keys"]
    assert {key["plaintext"] for key in keys} == {"plain-0001", "plain-0002"}
    assert {key["start"] for key in keys} == {"plai"}


def test_combinations_that_are_not_checked(tenant: Any) -> None:
    """A refill without a balance sleeps, and the interval decides about the day (§5.2)."""
    daily = {"refill": {"interval": "daily", "amount": 5, "refillDay": 15}}
    monthly = {"refill": {"interval": "monthly", "amount": 5}, "remaining": 1}
    enqueue(tenant, {**hashed("daily"), **daily, "name": "daily"}, {**hashed("monthly"), **monthly, "name": "monthly"})
    keys = {key["name"]: key for key in tenant.ask("apis.listKeys", apiId=tenant.api_id)["keys"]}
    assert (keys["daily"]["refill"]["refillDay"], "remaining" in keys["daily"]) == (None, False)
    assert (keys["monthly"]["refill"]["refillDay"], keys["monthly"]["remaining"]) == (1, 1)
    assert tenant.verify("daily")["valid"]


def test_a_queued_key_has_its_audit_entries(tenant: Any) -> None:
    """They name the root key that queued it."""
    tenant.ask("permissions.createRole", name="reader")
    tenant.clear_audit()
    enqueue(tenant, {**hashed("audited"), "roles": ["reader"]})
    assert set(tenant.events()) == {"key.create", "authorization.connect_role_and_key"}
    root_key = tenant.server.read(lambda tx: tx.keys.by_hash(hash_secret(tenant.root_key)))
    assert {entry.actor_id for entry in tenant.audit()} == {root_key.id}


def test_the_permissions_of_queueing(tenant: Any) -> None:
    """Creating keys is needed always, encrypting them when one comes with its plaintext, each by id or for all."""
    plain, with_hash = {"plaintext": "planted"}, hashed("planted too")
    for scope in ("*", tenant.api_id):
        creating, encrypting = f"api.{scope}.create_key", f"api.{scope}.encrypt_key"
        for keys, held in (([with_hash], [creating]), ([plain, with_hash], [creating, encrypting])):
            response = tenant.call(ENQUEUE, batch(tenant, *keys), root_key=tenant.new_root_key(*held))
            assert response.status_code == 202, response.text
        for held in ([creating], [encrypting]):
            failure = tenant.refused(ENQUEUE, batch(tenant, plain), root_key=tenant.new_root_key(*held))
            assert failure[:3] == NOT_ALLOWED
        # Even an empty plaintext counts as one.
        empty = batch(tenant, {"plaintext": "", **hashed("x")})
        assert tenant.refused(ENQUEUE, empty, root_key=tenant.new_root_key(creating))[:3] == NOT_ALLOWED


def test_what_is_refused_and_in_which_order(tenant: Any, foreign: Any) -> None:
    """Schema, credentials, permission, api and keyspace (both 404), content; nothing is queued then (§5.2)."""
    contentless = batch(tenant, hashed("fine"), {"hash": {"value": "", "variant": "sha256_base64"}})
    malformed = batch(tenant, {**hashed("x"), "ratelimit": {"limit": 1, "duration": 999}})
    failure = tenant.refused(ENQUEUE, malformed, root_key=None)
    assert (failure[:2], failure.message.partition(": ")[0]) == (BAD, "keys.0.ratelimit.duration")
    too_many = batch(tenant, *(hashed(f"{number}") for number in range(101)))
    assert tenant.refused(ENQUEUE, too_many).message.startswith("keys: ")
    assert tenant.refused(ENQUEUE, contentless, root_key=None)[:2] == (401, "UNAUTHORIZED")
    for api_id in ("api_zzz", foreign.api_id, tenant.api_without_keyspace()):
        assert tenant.refused(ENQUEUE, contentless | {"apiId": api_id})[:2] == (404, "NOT_FOUND")
    failure = tenant.refused(ENQUEUE, contentless)
    assert failure[:2] == BAD
    assert failure.message.startswith("keys.1: ")
    assert tenant.refused(ENQUEUE, batch(tenant, {"plaintext": "x" * 741}))[:2] == BAD
    for member in ("migrationId", "apiId", "keys"):
        body = {name: value for name, value in batch(tenant).items() if name != member}
        assert tenant.refused(ENQUEUE, body, root_key=None).message == f"{member}: Required"
    enqueue(tenant)
    assert tenant.ask("apis.listKeys", apiId=tenant.api_id)["total"] == 0


def test_a_hash_that_never_matches_is_reported(tenant: Any) -> None:
    """As in createKeys the log tells which."""
    with structlog.testing.capture_logs() as logs:
        enqueue(tenant, hashed("fine"), {"hash": {"value": "hex instead", "variant": "sha256_base64"}})
    assert [line["items"] for line in logs if line["event"] == "imported_hashes_never_match"] == [[1]]


# the worker, with a clock of its own and nobody else at work


class Bench:
    """The queue on a database, without a server: its worker does one round whenever `run` is called."""

    def __init__(self, storage: Storage, clock: ManualClock) -> None:
        self.storage = storage
        self.clock = clock
        self.queue = storage.migration_queue
        self.changes = Changes(storage.store, storage.ids)
        self.migrations = Migrations(self.changes, storage.vault, storage.ids, self.queue)

    def caller(self) -> Caller:
        return Caller("key_root", DEFAULT_WORKSPACE_ID, frozenset(["*"]), Origin(self.clock.now_ms(), "req_1"))

    async def api(self) -> str:
        apis = Apis(self.storage.store, self.changes, self.storage.ids)
        made = await apis.create(self.caller(), CreateApi(name="imported"))
        return made.api_id

    async def role(self, name: str) -> None:
        permissions = Permissions(self.storage.store, self.changes, self.storage.ids)
        await permissions.create_role(self.caller(), CreateRole(name=name))

    async def enqueue(self, api_id: str, *items: QueuedItem) -> None:
        await self.migrations.enqueue_keys(self.caller(), EnqueueKeys("mig_spring", api_id, list(items)))

    async def run(self) -> int:
        """Work until nothing is due; how many attempts that took."""
        attempts = 0
        while made := await self.queue.run_due():
            attempts += made
        return attempts

    async def exists(self, secret: str) -> bool:
        return await self.storage.store.find(hash_secret(secret)) is not None

    async def waiting(self) -> int | None:
        """The instant at which something is due next."""
        return await self.storage.store.read(lambda tx: tx.queued_keys.next_due_ms())

    async def rows(self) -> list[QueuedKey]:
        return await self.storage.store.read(lambda tx: tx.queued_keys.due(2**62, 1000))


@asynccontextmanager
async def bench(folder: Path, clock: ManualClock | None = None) -> AsyncIterator[Bench]:
    clock = clock or ManualClock(NOW_MS)
    async with open_storage(Settings(database_url=str(folder / "keystead.db")), Outside(clock=clock)) as storage:
        yield Bench(storage, clock)


def with_hash(secret: str, **members: Any) -> QueuedItem:
    return QueuedItem(hash=KeyHash(hash_secret(secret), "sha256_base64"), **members)


Test = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def on_bench(tmp_path: Path) -> Callable[[Test], None]:
    """Runs a function of a bench to its end."""

    def run(test: Test) -> None:
        async def opened() -> None:
            async with bench(tmp_path) as opened_bench:
                await test(opened_bench)

        asyncio.run(opened())

    return run


def test_a_failure_holds_up_no_other(on_bench: Callable[[Test], None]) -> None:
    """Of five keys the second lacks its role: the others are made, and it waits alone, with the reason."""

    async def test(work: Bench) -> None:
        items = [with_hash(f"key {number}", roles=["missing"] if number == 1 else []) for number in range(5)]
        await work.enqueue(await work.api(), *items)
        assert await work.run() == 5
        assert [await work.exists(f"key {number}") for number in range(5)] == [True, False, True, True, True]
        (left,) = await work.rows()
        assert (left.attempts, left.error) == (1, 'unknown roles: ["missing"]')

    on_bench(test)


def test_keys_queued_while_the_clock_was_ahead(on_bench: Callable[[Test], None]) -> None:
    """Set right again, neither what was queued nor what had failed meanwhile waits for that time to come."""

    async def test(work: Bench) -> None:
        work.clock.advance(10**12)
        await work.enqueue(await work.api(), with_hash("failed", roles=["missing"]))
        assert await work.run() == 1
        await work.enqueue(await work.api(), with_hash("queued"))
        work.clock.advance(-(10**12))
        await work.role("missing")
        assert await work.run() == 2
        assert await work.exists("failed")
        assert await work.exists("queued")

    on_bench(test)


def test_attempts_are_spaced_by_powers_of_two(on_bench: Callable[[Test], None]) -> None:
    """After attempt n the wait is 2^n seconds by the clock; after the last one it is given up, for the operator."""

    async def test(work: Bench) -> None:
        await work.enqueue(await work.api(), with_hash("key", roles=["missing"]))
        with structlog.testing.capture_logs() as logs:
            for attempt in range(1, MAX_ATTEMPTS):
                assert await work.run() == 1
                assert await work.waiting() == work.clock.now_ms() + 1000 * 2**attempt
                work.clock.advance(1000 * 2**attempt - 1)
                assert await work.run() == 0
                work.clock.advance(1)
            assert await work.queue.failed() == []
            assert await work.run() == 1
        assert await work.waiting() is None
        (failed,) = await work.queue.failed()
        assert (failed.attempts, failed.migration_id, failed.due_at_ms) == (MAX_ATTEMPTS, "mig_spring", None)
        assert [line["log_level"] for line in logs if line.get("given_up")] == ["warning"]
        work.clock.advance(10**12)
        assert await work.run() == 0

    on_bench(test)


def test_a_key_succeeds_once_its_cause_is_gone(on_bench: Callable[[Test], None]) -> None:
    """A role made meanwhile is enough for the next attempt, and nothing stays in the queue."""

    async def test(work: Bench) -> None:
        await work.enqueue(await work.api(), with_hash("key", roles=["late"]))
        await work.run()
        await work.role("late")
        work.clock.advance(2000)
        assert await work.run() == 1
        assert await work.exists("key")
        assert await work.rows() == await work.queue.failed() == []

    on_bench(test)


def test_given_up_keys_can_be_tried_again(on_bench: Callable[[Test], None]) -> None:
    """The operator retries all, or those chosen; a retried key starts over."""

    async def give_up(work: Bench) -> list[int]:
        while await work.waiting() is not None:
            await work.run()
            work.clock.advance(2**MAX_ATTEMPTS * 1000)
        return [failed.seq for failed in await work.queue.failed()]

    async def test(work: Bench) -> None:
        names = ["first", "second", "third"]
        await work.enqueue(await work.api(), *(with_hash(name, roles=[name]) for name in names))
        seqs = await give_up(work)
        assert len(seqs) == 3
        await work.role("second")
        assert await work.queue.retry([seqs[1], 10**6]) == 1
        assert [row.attempts for row in await work.rows() if row.due_at_ms is not None] == [0]
        assert await work.run() == 1
        assert [await work.exists(name) for name in names] == [False, True, False]
        await work.role("first")
        assert await work.queue.retry() == 2
        assert await give_up(work) == [seqs[2]]
        assert [await work.exists(name) for name in names] == [True, True, False]
        assert await work.queue.retry([]) == 0

    on_bench(test)


def test_a_hash_known_meanwhile_is_a_failure(on_bench: Callable[[Test], None]) -> None:
    """Of two queued keys with one hash the first is made; the second is given up as a conflict."""

    async def test(work: Bench) -> None:
        await work.enqueue(await work.api(), with_hash("same", name="first"), with_hash("same", name="second"))
        await work.run()
        found = await work.storage.store.read(lambda tx: tx.keys.by_hash(hash_secret("same")))
        assert found is not None
        assert found.name == "first"
        (left,) = await work.rows()
        assert left.error == "a key with this hash already exists"

    on_bench(test)


def test_an_api_deleted_meanwhile_is_a_failure(on_bench: Callable[[Test], None]) -> None:
    """Its queued keys are not made; the reason names it."""

    async def test(work: Bench) -> None:
        api_id = await work.api()
        await work.enqueue(api_id, with_hash("key"))

        def delete(tx: Any) -> None:
            tx.apis.delete(tx.apis.get(api_id, DEFAULT_WORKSPACE_ID), NOW_MS)

        await work.storage.store.write(delete)
        await work.run()
        assert [row.error for row in await work.rows()] == [f"api {api_id} not found"]

    on_bench(test)


def test_rounds_at_the_same_time_make_no_key_twice(on_bench: Callable[[Test], None]) -> None:
    """However many rounds run at once, each key is made once, in order."""

    async def test(work: Bench) -> None:
        api_id = await work.api()
        await work.enqueue(api_id, *(with_hash(f"key {number}") for number in range(100)))
        await asyncio.gather(*(work.run() for _ in range(5)))
        made = [
            entry.resources[0].id
            for entry in await work.storage.store.read(lambda tx: tx.audit.of_workspace(DEFAULT_WORKSPACE_ID))
            if entry.event == "key.create" and entry.actor_id == "key_root"
        ]
        keys = [
            await work.storage.store.read(lambda tx, n=number: tx.keys.by_hash(hash_secret(f"key {n}")))
            for number in range(100)
        ]
        assert [key.id for key in keys if key] == made
        assert len(set(made)) == 100

    on_bench(test)


def test_no_write_no_loss(on_bench: Callable[[Test], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """While storage takes no writes nothing counts as an attempt; afterwards the keys are made."""

    async def test(work: Bench) -> None:
        await work.enqueue(await work.api(), with_hash("key"))

        async def refuse(_unit: Any) -> None:
            raise KeysteadError(ErrorCode.INTERNAL_SERVER_ERROR, "storage takes no writes", Reason.UNAVAILABLE)

        with monkeypatch.context() as patch:
            patch.setattr(work.storage.store, "write", refuse)
            with pytest.raises(KeysteadError) as failure:
                await work.queue.run_due()
            assert failure.value.reason is Reason.UNAVAILABLE
        assert [row.attempts for row in await work.rows()] == [0]
        assert await work.run() == 1
        assert await work.exists("key")

    on_bench(test)


def test_the_queue_outlives_the_process(tmp_path: Path) -> None:
    """What was queued, waits or was given up is there after a restart, attempts and plaintexts included."""

    async def before() -> None:
        async with bench(tmp_path, clock) as work:
            api_id = await work.api()
            await work.enqueue(api_id, with_hash("waiting", roles=["late"]))
            await work.run()
            await work.enqueue(api_id, QueuedItem(plaintext="queued-0001"))

    async def after() -> None:
        async with bench(tmp_path, clock) as work:
            assert sorted(row.attempts for row in await work.rows()) == [0, 1]
            await work.role("late")
            clock.advance(2000)
            assert await work.run() == 2
            assert await work.exists("waiting")
            key = await work.storage.store.read(lambda tx: tx.keys.by_hash(hash_secret("queued-0001")))
            assert key is not None
            assert await work.storage.store.read(lambda tx: work.storage.vault.recover(tx, key)) == "queued-0001"

    clock = ManualClock(NOW_MS)
    asyncio.run(before())
    asyncio.run(after())


def test_the_started_worker_works_and_stops(on_bench: Callable[[Test], None]) -> None:
    """It takes up what was left, wakes for what is queued, sleeps otherwise, and stops at once."""

    async def done(work: Bench) -> None:
        while await work.waiting() is not None:
            await asyncio.sleep(0)

    async def test(work: Bench) -> None:
        api_id = await work.api()
        await work.enqueue(api_id, with_hash("left by an earlier process"))
        work.queue.start()
        await done(work)
        await work.enqueue(api_id, with_hash("queued now"))
        await done(work)
        assert await work.exists("left by an earlier process")
        assert await work.exists("queued now")
        await asyncio.wait_for(work.queue.stop(), 10)
        await work.enqueue(api_id, with_hash("too late"))
        assert not await work.exists("too late")

    on_bench(test)


def test_no_plaintext_is_stored(tmp_path: Path) -> None:
    """Neither a queued nor an imported plaintext is anywhere in the files of the database."""

    async def work() -> None:
        async with bench(tmp_path) as opened:
            api_id = await opened.api()
            waiting = QueuedItem(plaintext="very-secret-0001", roles=["missing"])
            await opened.enqueue(api_id, waiting, QueuedItem(plaintext="very-secret-0002"))
            await opened.run()
            assert "very-secret" not in repr(await opened.rows())
            assert b"very-secret" not in b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
            assert await opened.exists("very-secret-0002")

    asyncio.run(work())


def test_a_killed_server_loses_no_key_and_makes_none_twice(tmp_path: Path) -> None:
    """After kill -9 in the midst of 100 queued keys, and a restart, each is there exactly once."""
    secrets = [f"queued-{number:04}-{os.getpid()}" for number in range(100)]
    headers = {"Authorization": f"Bearer {ROOT_KEY}"}
    server = ServerProcess(tmp_path, KEYSTEAD_ROOT_KEY=ROOT_KEY)

    def call(http: httpx.Client, operation: str, body: Any) -> Any:
        return http.post(f"/v1/{operation}", json=body).json()

    with server:
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
            api_id = call(http, "apis.createApi", {"name": "imported"})["apiId"]
            keys = [{"plaintext": secret} for secret in secrets]
            assert call(http, ENQUEUE, {"migrationId": "m", "apiId": api_id, "keys": keys}) == {}
        server.kill()
        server.start()
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
            # Each look is a call of its own: the server gets on with the queue meanwhile.
            while not call(http, "keys.verifyKey", {"key": secrets[-1]})["valid"]:
                pass
            verified = [call(http, "keys.verifyKey", {"key": secret}) for secret in secrets]
            total = http.get("/v1/apis.listKeys", params={"apiId": api_id}).json()["total"]
    assert all(answer["valid"] for answer in verified)
    assert (len({answer["keyId"] for answer in verified}), total) == (100, 100)
