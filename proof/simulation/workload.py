"""Clients that use a simulated server as customers do, and what happens to it meanwhile.

A run has lives. In each, clients send requests until there have been enough or the server ends; then it is started
again, everything about every key is read, and `invariants` look at what all clients know.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa

from keystead.assembly import Application
from keystead.core.secrets import hash_secret
from keystead.ports import Transaction
from keystead.sinks.spool import Spool
from keystead.stores.tables import audit_log, queued_keys
from proof.simulation.books import FIRST_GRANTED, LATE, REPLAY_WITHIN_MS, ROLE, Batch, Books, Request, Subject
from proof.simulation.disk import Change as FailingChange
from proof.simulation.invariants import NO_CHANGE_MISSING, Observed, Violated, check_answer, check_at_rest
from proof.simulation.network import ClientConnection, Unanswered
from proof.simulation.scenario import Scenario
from proof.simulation.world import ROOT_KEY, StartFailed, World

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

IDENTITY = "customer"
IDENTITY_LIMITS = {"tokens": (6, 10_000), "calls": (3, 60_000)}
NAMESPACE = "uploads"
IDENTIFIERS = ("alice", "alina", "bob")
PERMISSIONS = ("documents.write", "documents.share", "billing.read")
NEEDED = (*PERMISSIONS, "documents.read")
WINDOWS_MS = (2_000, 10_000, 60_000)

_STARTS_TRIED = 20
_CATCHING_UP_S = 120.0
_LOOKING_AGAIN_S = 61.0
"""The queue looks at the clock again within this, should somebody have set it."""


class Run:
    """One run of a scenario in a world; `live` raises Violated."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self.world = world
        self.scenario = scenario
        self.books = Books()
        self.observed = Observed(IDENTITY, IDENTITY_LIMITS, NAMESPACE)
        self.crashes = self.power_losses = self.faults = 0
        self._random = world.random
        self._life = 0
        self._left = 0
        self._trouble_ends = ""
        self._main_api = ""
        self._doomed_api = ""
        self._role_id = ""
        self._secrets = 0
        self._to_repeat: list[Request] = []
        self._repeatable = self._repeating = 0
        self._stopping: asyncio.Future[None] | None = None
        """An orderly end that has begun while clients were waiting for answers."""
        self._spool: Spool | None = None
        self._counters_have_no_room = False
        """Whether counters of limits were in memory only when the last answer came."""
        self._lost_if_killed = 0
        """Events dropped so far, and those that waited in memory for a full disk, when the last answer came."""

    async def live(self) -> None:
        """All lives, and the checks between them."""
        await self._start()
        await self._set_up()
        for _ in range(self.scenario.lives):
            end = self._random.choice(self.scenario.ends)
            await self._one_life(end)
            await self._end_life(end)
            await self._start_again()
            await self._look_at_everything()
        if any("unknown permissions" in why for _, why in self.observed.queued):
            await self._mend()
            await self._look_at_everything()

    # ---- lives

    async def _start_again(self) -> None:
        """Start, now and then through crashes while it starts."""
        for _ in range(_STARTS_TRIED):
            if self._random.random() < 0.2:
                power_loss = self._random.random() < 0.5 and "power loss at a change" in self.scenario.ends
                self.world.disk.crash_at_change(self._random.randint(1, 40), power_loss=power_loss)
            else:
                power_loss = False
            if await self._start():
                self.world.disk.forget_plans()
                return
            self._note_end(power_loss)

    async def _start(self) -> bool:
        self._life += 1
        try:
            await self.world.start()
        except StartFailed as failure:
            if failure.__cause__ is None:
                return False
            raise Violated("always-starts-again", f"the server does not start: {failure.__cause__!r}") from failure
        application = self.world.application
        if application is None:
            return False
        self._spool = application.log.spool
        self.books.saw(self.world.now_ms)
        return True

    async def _one_life(self, end: str) -> None:
        self._left = self.scenario.requests
        self.world.disk.longest_sync_us = self.scenario.longest_sync_us
        if "at a change" in end:
            number = self._random.randint(1, self.scenario.requests * 6)
            self.world.disk.crash_at_change(number, power_loss=end.startswith("power"))
        stops_at = self._random.randrange(self.scenario.requests)
        clients = [asyncio.create_task(self._be_a_client(end, stops_at)) for _ in range(self.scenario.clients)]
        try:
            await asyncio.gather(*clients)
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _end_life(self, end: str) -> None:
        """Whatever is left of the life ends; the disk gets well."""
        power_loss = end.startswith("power")
        stopping, self._stopping = self._stopping, None
        orderly = end == "stop" and (self.world.is_up or stopping is not None)
        if orderly:
            had_faults = self.world.disk.is_full or self.scenario.failures > 0
            try:
                await (stopping or self.world.stop())
            except Exception as failure:
                if not had_faults:
                    raise Violated("always-starts-again", f"the server did not stop in order: {failure!r}") from failure
        else:
            self.world.crash(power_loss=power_loss)
            self.crashes += 1
        await self.world.died()
        self.world.disk.forget_plans()
        self.world.disk.free()
        self._note_end(power_loss, orderly=orderly)

    def _note_end(self, power_loss: bool, *, orderly: bool = False) -> None:
        self.power_losses += power_loss
        self.books.ended(self._life, power_loss=power_loss, counters_lost=self._counters_have_no_room)
        self._counters_have_no_room = False
        if self._spool is not None:
            self.observed.lost_events += self._spool.lost_events if orderly else self._lost_if_killed
            self._spool, self._lost_if_killed = None, 0

    # ---- clients

    async def _be_a_client(self, end: str, stops_at: int) -> None:
        life = self._life
        connection = self.world.connect()
        while self._left > 0 and self.world.is_up:
            self._left -= 1
            if self._left == stops_at and end in ("stop", "kill"):
                self._left = 0
                if end == "kill":
                    self.world.crash()
                else:
                    self._stopping = asyncio.ensure_future(self.world.stop())
                return
            self._make_trouble()
            if not connection.is_open:
                connection = self.world.connect()
            await self._act(connection)
            if self.scenario.pause_us:
                await asyncio.sleep(self._random.randrange(self.scenario.pause_us) / 1e6)
        assert life == self._life
        connection.close()

    def _make_trouble(self) -> None:
        scenario, disk, random = self.scenario, self.world.disk, self._random
        if random.random() < scenario.clock:
            # Answers are kept for a day: none is to run out on its way.
            leaps = () if self._repeating else (HOUR_MS, DAY_MS)
            by_ms = random.choice((-HOUR_MS, -30_000, -2_000, 2_000, 10_000, 61_000, *leaps))
            before_ms = self.world.now_ms
            self.world.jump_clock(by_ms)
            self.books.jumped(before_ms, self.world.now_ms)
            self.faults += 1
        if random.random() < scenario.failures:
            disk.fail_next(random.choice(list(FailingChange)), count=random.randint(1, 3))
            self.faults += 1
        if random.random() < scenario.full:
            if disk.is_full:
                disk.free()
            else:
                disk.fill()
                self.faults += 1

    async def _act(self, connection: ClientConnection) -> None:
        random = self._random
        if self._to_repeat and random.random() < 0.3:
            await self._repeat(connection, self._to_repeat.pop(0))
        elif random.random() < self.scenario.changes or not self._living():
            operation, members, subject = self._drawn_change()
            repeatable = operation != "apis.deleteApi" and random.random() < self.scenario.repeatable
            key = self._new_idempotency_key() if repeatable else None
            if key is not None and random.random() < 0.2:
                await self._send_twice(connection, operation, members, subject, key)
                return
            request = await self.send(connection, operation, members, subject, key)
            if key is not None and (request.answer is None or random.random() < 0.3):
                self._to_repeat.append(request)
        else:
            await self.send(connection, *self._drawn_use())

    def _new_idempotency_key(self) -> str:
        self._repeatable += 1
        return f"repeatable-{self._repeatable:08}"

    async def _send_twice(self, connection: ClientConnection, *request: Any) -> None:
        """As a client does that has lost patience: the second one is sent while the first is under way."""
        other = self.world.connect()
        self._repeating += 1
        try:
            await asyncio.gather(self.send(connection, *request), self.send(other, *request))
        finally:
            self._repeating -= 1
            other.close()

    async def _repeat(self, connection: ClientConnection, request: Request) -> None:
        # Sent again to the letter, as a client does that got no answer.
        if self.books.highest_ms - request.sent_ms < REPLAY_WITHIN_MS:
            self._repeating += 1
            try:
                key = request.idempotency_key
                await self.send(connection, request.operation, request.members, request.subject, key)
            finally:
                self._repeating -= 1

    async def send(
        self,
        connection: ClientConnection,
        operation: str,
        members: Any,
        subject: Subject | Batch | str | None,
        idempotency_key: str | None = None,
    ) -> Request:
        """Send a request, note it and its answer, and look at that answer. Raises Violated."""
        request = self.books.begin(self._life, operation, members, subject, self.world.now_ms, idempotency_key)
        headers = {"User-Agent": f"client {request.number}"}
        if operation != "keys.verifyKey":
            headers["Authorization"] = f"Bearer {ROOT_KEY}"
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        try:
            if operation in _QUERIES:
                path = f"/v1/{operation}?{urlencode(members, doseq=True)}"
                answer = await connection.request("GET", path, headers=headers)
            else:
                body = [members] if operation == "migrations.createKeys" else members
                headers["Content-Type"] = "application/json"
                answer = await connection.request("POST", f"/v1/{operation}", json.dumps(body).encode(), headers)
        except Unanswered as silence:
            raise Violated("unavailable-means-nothing-done", f"{request}: {silence}") from silence
        body = None
        if answer is not None:
            try:
                body = answer.json
            except ValueError as malformed:
                raise Violated("unavailable-means-nothing-done", f"{request}: {answer!r}") from malformed
        self.books.end(request, answer, body, self.world.now_ms)
        if request.answer is None and request.life in self.books.life_ends:
            request.responded = self.books.life_ends[request.life]
        self._learn(request)
        if answer is not None:
            self._see_what_waits_in_memory()
        check_answer(self.books, request, self.world.failures)
        return request

    def _see_what_waits_in_memory(self) -> None:
        application = self.world.application
        if application is not None and self._spool is not None:
            self._lost_if_killed = self._spool.dropped_events + self._spool._count_buffered()
            self._counters_have_no_room = application.services.verification._limiter.counters_in_memory > 0

    def _learn(self, request: Request) -> None:
        subject = request.subject
        if request.status != 200 or not isinstance(subject, Subject):
            return
        if request.operation == "keys.createKey":
            subject.key_id, subject.secret = request.body["keyId"], request.body["key"]
        elif request.operation == "migrations.createKeys":
            (subject.key_id,) = request.body["keyIds"]
        elif request.operation == "keys.verifyKey" and not subject.key_id:
            subject.key_id = request.body.get("keyId", "")

    # ---- what they ask

    def _living(self) -> list[Subject]:
        """The keys that clients use: the youngest, dead ones among them, as customers go on using those."""
        known = [subject for subject in self.books.subjects if subject.secret]
        return known[-self.scenario.keys - 1 :]

    def _drawn_use(self) -> tuple[str, dict[str, Any], Subject | str | None]:
        random = self._random
        if random.random() < 0.15:
            return "ratelimits.limit", self._drawn_limit(), NAMESPACE
        subject = random.choice(self._living())
        if subject.key_id and random.random() < 0.1:
            return "keys.getKey", {"keyId": subject.key_id}, subject
        return "keys.verifyKey", self._drawn_verification(subject), subject

    def _drawn_limit(self) -> dict[str, Any]:
        random = self._random
        return {
            "namespace": NAMESPACE,
            "identifier": random.choice(IDENTIFIERS),
            "limit": 4,
            "duration": WINDOWS_MS[2],
            "cost": random.choice((0, 1, 1, 2)),
        }

    def _drawn_verification(self, subject: Subject) -> dict[str, Any]:
        random = self._random
        members: dict[str, Any] = {"key": subject.secret, "tags": [f"request-{len(self.books.requests)}"]}
        if random.random() < 0.3:
            members["tags"].append("shared")
        if random.random() < 0.5:
            members["remaining"] = {"cost": random.choice((0, 1, 2, 5))}
        if random.random() < 0.2:
            members["authorization"] = {"permissions": random.choice(NEEDED)}
        if subject.identity is not None:
            named = [name for name in IDENTITY_LIMITS if random.random() < 0.6]
            if named:
                members["ratelimits"] = [{"name": name, "cost": random.choice((1, 1, 2))} for name in named]
            return members
        if random.random() < 0.2:
            members["ratelimit"] = {"cost": random.choice((0, 2))}
        if random.random() < 0.2:
            members["ratelimits"] = [
                {"name": name, "limit": 2, "duration": WINDOWS_MS[1], "cost": 1}
                for name in ("burst", "daily")[: random.randint(1, 2)]
            ]
        return members

    def _drawn_change(self) -> tuple[str, dict[str, Any], Subject | Batch | str | None]:
        random = self._random
        if self.scenario.queued and random.random() < self.scenario.queued:
            return self._drawn_batch()
        targets = [subject for subject in self._living() if subject.key_id]
        if len(targets) < self.scenario.keys or random.random() < 0.05:
            return self._drawn_creation()
        if random.random() < 0.1:
            return self._drawn_override()
        if random.random() < 0.05:
            granted = random.sample(NEEDED, random.randint(0, 2))
            return "permissions.setRolePermissions", self._granting(granted), ROLE
        subject = random.choice(targets)
        members: dict[str, Any] = {"keyId": subject.key_id}
        if random.random() < self.scenario.deletions:
            if self._doomed_api and subject.api_id == self._doomed_api:
                api_id = self._doomed_api
                return "apis.deleteApi", {"apiId": api_id}, api_id
            return "keys.deleteKey", members | {"permanent": random.random() < 0.5}, subject
        if random.random() < self.scenario.tops:
            op = random.choice(("set", "increment", "increment", "decrement"))
            value = None if op == "set" and random.random() < 0.2 else random.randint(0, 12)
            return "keys.updateRemaining", members | {"op": op, "value": value}, subject
        return self._drawn_update(subject, members)

    def _drawn_update(self, subject: Subject, members: dict[str, Any]) -> tuple[str, dict[str, Any], Subject]:
        random = self._random
        if random.random() < 0.3:
            verb = random.choice(("add", "remove", "set"))
            slugs = random.sample(PERMISSIONS, random.randint(1, 2))
            entries = [{"slug": slug, "create": True} if verb != "remove" else {"slug": slug} for slug in slugs]
            return f"keys.{verb}Permissions", members | {"permissions": entries}, subject
        if random.random() < 0.2:
            return f"keys.{random.choice(('add', 'remove'))}Roles", members | {"roles": [{"name": ROLE}]}, subject
        now_ms = self.world.now_ms
        drawn: dict[str, Any] = {
            "name": random.choice((None, f"name {len(self.books.requests)}")),
            "enabled": random.random() < 0.6,
            "expires": random.choice((None, now_ms + 2_000, now_ms + HOUR_MS)),
            "remaining": random.randint(0, 12),
            "refill": random.choice((None, self._drawn_refill())),
            "permissions": [{"slug": slug, "create": True} for slug in random.sample(PERMISSIONS, 1)],
        }
        if subject.identity is None:
            drawn["ratelimit"] = random.choice((None, self._drawn_own_limit()))
        for name in random.sample(list(drawn), random.randint(1, 2)):
            members[name] = drawn[name]
        return "keys.updateKey", members, subject

    def _drawn_refill(self) -> dict[str, Any]:
        amount = self._random.randint(1, 8)
        if self._random.random() < 0.7:
            return {"interval": "daily", "amount": amount}
        return {"interval": "monthly", "amount": amount, "refillDay": self._random.choice((1, 2, 31))}

    def _drawn_own_limit(self) -> dict[str, Any]:
        return {"limit": self._random.randint(1, 5), "duration": self._random.choice(WINDOWS_MS)}

    def _drawn_creation(self) -> tuple[str, dict[str, Any], Subject]:
        random = self._random
        api_id = self._doomed_api if random.random() < 0.3 else self._main_api
        subject = Subject(len(self.books.subjects), api_id)
        self.books.subjects.append(subject)
        members: dict[str, Any] = {"apiId": api_id, "name": f"key {subject.number}"}
        if random.random() < 0.3:
            members["enabled"] = random.random() < 0.8
        if random.random() < 0.6:
            members["remaining"] = random.randint(1, 12)
            if random.random() < 0.5:
                members["refill"] = self._drawn_refill()
        if random.random() < 0.3:
            subject.identity = members["externalId"] = IDENTITY
        if random.random() < 0.3:
            return self._drawn_import(subject, members)
        if subject.identity is None and random.random() < 0.5:
            members["ratelimit"] = self._drawn_own_limit()
        if random.random() < 0.4:
            members["permissions"] = random.sample(PERMISSIONS, 2)
        if random.random() < 0.3:
            members["roles"] = [ROLE]
        return "keys.createKey", members, subject

    def _drawn_import(self, subject: Subject, members: dict[str, Any]) -> tuple[str, dict[str, Any], Subject]:
        self._secrets += 1
        subject.secret = members["plaintext"] = f"imported_{self.world.seed}_{self._secrets}"
        if subject.identity is None and self._random.random() < 0.5:
            limit = self._drawn_own_limit()
            members["ratelimit"] = {
                "limit": limit["limit"],
                "refillRate": 1,
                "refillInterval": limit["duration"],
                "type": "fast",
            }
        return "migrations.createKeys", members, subject

    def _drawn_batch(self) -> tuple[str, dict[str, Any], Batch]:
        random = self._random
        api_id = self._doomed_api if random.random() < 0.2 else self._main_api
        batch = Batch(len(self.books.batches), api_id, [])
        self.books.batches.append(batch)
        items: list[dict[str, Any]] = []
        for number in range(random.randint(1, 3)):
            if random.random() < 0.15:
                # One that is known already, though nobody can see it here: the root key.
                items.append({"name": f"taken {batch.number}.{number}", "hash": _hash(ROOT_KEY)})
                batch.subjects.append(None)
            else:
                items.append(self._drawn_item(batch))
        return "migrations.enqueueKeys", {"migrationId": str(batch), "apiId": api_id, "keys": items}, batch

    def _drawn_item(self, batch: Batch) -> dict[str, Any]:
        random = self._random
        subject = Subject(len(self.books.subjects), batch.api_id)
        self.books.subjects.append(subject)
        batch.subjects.append(subject)
        self._secrets += 1
        subject.secret = f"queued_{self.world.seed}_{self._secrets}"
        item: dict[str, Any] = {"name": f"key {subject.number}", "enabled": random.random() < 0.9}
        if random.random() < 0.5:
            item["hash"] = _hash(subject.secret)
        else:
            item["plaintext"] = subject.secret
        if random.random() < 0.5:
            item["remaining"] = random.randint(1, 12)
            if random.random() < 0.5:
                item["refill"] = self._drawn_refill()
        if random.random() < 0.3:
            item["ratelimit"] = self._drawn_own_limit()
        if random.random() < 0.3:
            item["roles"] = [ROLE]
        if random.random() < 0.1:
            item["permissions"] = [LATE]
        return item

    def _granting(self, slugs: Iterable[str]) -> dict[str, Any]:
        permissions = [{"slug": slug, "create": True} for slug in sorted(slugs)]
        return {"roleId": self._role_id, "permissions": permissions}

    def _drawn_override(self) -> tuple[str, dict[str, Any], str]:
        random = self._random
        identifier = random.choice((*IDENTIFIERS, "ali*"))
        members: dict[str, Any] = {"namespaceName": NAMESPACE, "identifier": identifier}
        if random.random() < 0.4:
            return "ratelimits.deleteOverride", members, NAMESPACE
        limit = {"limit": random.choice((0, 2, 3)), "duration": random.choice(WINDOWS_MS)}
        return "ratelimits.setOverride", members | limit, NAMESPACE

    # ---- beginnings and pauses

    async def _set_up(self) -> None:
        """What every run has, made while nothing goes wrong."""
        connection = self.world.connect()

        async def made(operation: str, members: dict[str, Any]) -> Any:
            request = await self.send(connection, operation, members, None)
            assert request.status == 200, request
            return request.body

        self._main_api = (await made("apis.createApi", {"name": "main"}))["apiId"]
        self._doomed_api = (await made("apis.createApi", {"name": "doomed"}))["apiId"]
        self._role_id = (await made("permissions.createRole", {"name": ROLE}))["roleId"]
        await made("permissions.setRolePermissions", self._granting(FIRST_GRANTED))
        limits = [
            {"name": name, "limit": limit, "duration": duration_ms}
            for name, (limit, duration_ms) in IDENTITY_LIMITS.items()
        ]
        await made("identities.createIdentity", {"externalId": IDENTITY, "ratelimits": limits})
        await self.send(connection, "ratelimits.limit", self._drawn_limit(), NAMESPACE)
        connection.close()

    async def _look_at_everything(self) -> None:
        """Read all that can be read, on a server that has just started and has no other clients, and check it."""
        connection = self.world.connect()
        await self._work_off()
        for subject in self.books.subjects:
            if subject.key_id:
                await self.send(connection, "keys.getKey", {"keyId": subject.key_id}, subject)
            if subject.secret:
                members = {"key": subject.secret, "tags": [f"request-{len(self.books.requests)}"]}
                await self.send(connection, "keys.verifyKey", members | {"remaining": {"cost": 0}}, subject)
        for identifier in IDENTIFIERS:
            members = self._drawn_limit() | {"identifier": identifier, "cost": 0}
            await self.send(connection, "ratelimits.limit", members, NAMESPACE)
        await self._catch_up()
        self.observed.events = {}
        for api_id in (self._main_api, self._doomed_api):
            await self._read_events(connection, api_id)
        self.observed.keys = await self._read_keys(connection)
        self.observed.audit = await self._read_audit()
        connection.close()
        check_at_rest(self.books, self.observed)

    async def _mend(self) -> None:
        """Make the permission that some imports wait for."""
        connection = self.world.connect()
        members = {"name": LATE, "slug": LATE}
        request = await self.send(connection, "permissions.createPermission", members, None)
        assert request.status == 200, request
        self.books.is_late_made = True
        connection.close()

    async def _work_off(self) -> None:
        """Until all that is in the queue has been tried, and has failed for a reason that stays."""
        deadline_s = self.world.scheduler.now_us / 1e6 + 2 * _LOOKING_AGAIN_S
        while waiting := [row for row in await self._read_queue() if self._may_be_made(row)]:
            if self.world.scheduler.now_us / 1e6 > deadline_s:
                names = [_name(row) for row in waiting]
                raise Violated(NO_CHANGE_MISSING, f"imports are not worked off though nothing fails: {names}")
            self._go_to(max(row["due_at_ms"] for row in waiting))
            await asyncio.sleep(0.5)
        self.observed.queued = [(_name(row), row["error"]) for row in await self._read_queue()]
        self.books.worked_off(self.world.now_ms, {name for name, _ in self.observed.queued})

    def _go_to(self, due_ms: int) -> None:
        """Set the clock forwards: to a retry that is far off, or to what was written down before it was set back."""
        before_ms = self.world.now_ms
        if due_ms > before_ms:
            self.world.jump_clock(due_ms - before_ms)
            self.books.jumped(before_ms, self.world.now_ms)

    def _may_be_made(self, row: Mapping[str, Any]) -> bool:
        """Whether it waits for an attempt that nothing lasting is in the way of."""
        why = row["error"]
        is_free = why is None or why.startswith("an unexpected failure")
        is_mended = self.books.is_late_made and why is not None and why.startswith("unknown permissions")
        return row["due_at_ms"] is not None and (is_free or is_mended)

    async def _read_queue(self) -> list[Mapping[str, Any]]:
        store = self.world.application.storage.store  # type: ignore[union-attr]
        return await self._ask(lambda: store.read(_every_queued)) if self.books.batches else []

    async def _catch_up(self) -> None:
        """Until analytics holds what the spool does."""
        application = self.world.application
        deadline_s = self.world.scheduler.now_us / 1e6 + _CATCHING_UP_S
        while application is not None:
            await asyncio.sleep(1.1)
            spool = application.log.spool
            if not spool.buffered_bytes and not await self._ask(lambda: asyncio.to_thread(_waiting_bytes, application)):
                return
            if self.world.scheduler.now_us / 1e6 > deadline_s:
                raise Violated("events-exactly-once", "the spool is not transferred though nothing fails")

    async def _read_events(self, connection: ClientConnection, api_id: str) -> None:
        query = {"apiId": api_id, "start": 1, "end": self.books.highest_ms + 400 * DAY_MS, "groupBy": "tags"}
        request = await self.send(connection, "analytics.getVerifications", query, None)
        if request.status == 404:
            self.observed.unreadable_apis.add(api_id)
            return
        for row in request.body:
            for name, outcome in _COUNTED.items():
                if row[name]:
                    self.observed.events[tuple(row["tags"]), outcome] = row[name]

    async def _read_keys(self, connection: ClientConnection) -> set[str]:
        request = await self.send(connection, "apis.listKeys", {"apiId": self._main_api}, None)
        if request.status != 200:
            raise Violated(NO_CHANGE_MISSING, f"the api is gone: {request}")
        return {key["id"] for key in request.body["keys"]}

    async def _read_audit(self) -> list[Any]:
        store = self.world.application.storage.store  # type: ignore[union-attr]
        return await self._ask(lambda: store.read(_every_entry))

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        """Await something on the server's event loop."""

        async def asked() -> Any:
            return await question()

        server = self.world._server
        assert server is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked(), server.loop))


_QUERIES = {
    "keys.getKey",
    "keys.getVerifications",
    "analytics.getVerifications",
    "apis.listKeys",
}

_COUNTED = {
    "valid": "VALID",
    "forbidden": "FORBIDDEN",
    "usageExceeded": "USAGE_EXCEEDED",
    "rateLimited": "RATE_LIMITED",
    "disabled": "DISABLED",
    "insufficientPermissions": "INSUFFICIENT_PERMISSIONS",
    "expired": "EXPIRED",
}


def _waiting_bytes(application: Application) -> int:
    return application.log.transfer.lag().waiting_bytes


def _hash(secret: str) -> dict[str, str]:
    return {"value": hash_secret(secret), "variant": "sha256_base64"}


def _name(row: Mapping[str, Any]) -> str:
    return str(json.loads(row["item"])["name"])


def _every_queued(tx: Transaction) -> list[Mapping[str, Any]]:
    statement = sa.select(queued_keys).order_by(queued_keys.c.seq)
    return [row._mapping for row in tx.queued_keys._connection.execute(statement)]  # type: ignore[attr-defined]


def _every_entry(tx: Transaction) -> list[Any]:
    statement = sa.select(audit_log).order_by(audit_log.c.seq)
    return [entry._mapping for entry in tx.audit._connection.execute(statement)]  # type: ignore[attr-defined]
