"""Decisions about resources are kept in the audit log (contract other-v1 §4.1 step 8)."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from keystead.assembly import Outside, open_application, open_storage
from keystead.clock import ManualClock
from keystead.config import Settings
from keystead.contract.ratelimits import Limit, LimitedResource
from keystead.control import DatabaseLock
from keystead.service.access import Origin
from keystead.service.audit import Afterwards
from keystead.testing.connection import Connection
from keystead.testing.server import NOW_MS, ROOT_KEY, ServerInProcess

PROJECT = {"type": "project", "id": "p_1", "name": "one", "meta": {"a": "x", "b": True, "c": 1.5, "d": None}}
BARE = {"type": "user", "id": "u_1"}


def drain(tenant: Any) -> None:
    """Wait until what nobody waits for has been written: a later unit of the one writer."""
    ratelimits = tenant.server.application.services.ratelimits
    afterwards: Afterwards = ratelimits._afterwards
    tenant.server.call(afterwards.drain)


def test_decisions_about_resources_are_kept(tenant: Any) -> None:
    """Passed or denied, an entry lists the resources as they were sent, and who asked."""
    tenant.limit(limit=1, resources=[PROJECT, BARE])
    tenant.limit(limit=1, resources=[BARE])
    drain(tenant)
    passed, denied = tenant.audit("ratelimit.success", "ratelimit.denied")
    assert (passed.event, denied.event) == ("ratelimit.success", "ratelimit.denied")
    project, user = passed.resources
    assert (project.type, project.id, project.name, project.meta) == tuple(PROJECT.values())
    assert (user.type, user.id, user.name, user.meta) == ("user", "u_1", None, None)
    for entry in (passed, denied):
        assert (entry.actor_type, entry.actor_id) == ("key", tenant.record(tenant.root_key).id)
        assert entry.location == "127.0.0.1"


def test_other_decisions_are_not(tenant: Any) -> None:
    """Without resources, or with an empty list of them, a decision leaves nothing; nor does a failure."""
    tenant.limit()
    tenant.limit(resources=[])
    body = tenant.asked(resources=[BARE])
    tenant.call("ratelimits.limit", body, root_key=tenant.new_root_key())
    tenant.call("ratelimits.limit", body, root_key=None)
    drain(tenant)
    assert tenant.audit("ratelimit.success", "ratelimit.denied") == []


def test_an_orderly_end_loses_no_entry(tmp_path: Path) -> None:
    """Every entry of an answered decision is in the database when the server has stopped."""
    body = {"identifier": "anna", "limit": 250, "duration": 60_000, "resources": [BARE]}
    with ServerInProcess(tmp_path) as server, Connection(server.url, ROOT_KEY) as connection:
        for _ in range(300):
            connection.send("ratelimits.limit", body)
        answers = [connection.receive() for _ in range(300)]
    assert sum(answer.json["success"] for answer in answers) == 250
    assert kept(tmp_path / "keystead.db") == {"ratelimit.success": 250, "ratelimit.denied": 50}


def test_the_end_waits_for_entries_that_are_not_yet_being_written(tmp_path: Path) -> None:
    """Decisions of the last moment before the end leave their entries, though nothing has been written yet."""

    async def scenario() -> None:
        settings = Settings(database_url=str(tmp_path / "keystead.db"), root_key=ROOT_KEY)
        clock = ManualClock(NOW_MS)
        outside = Outside(clock=clock)
        async with open_storage(settings, outside) as storage, open_application(storage) as application:
            services, origin = application.services, Origin(NOW_MS, "req_1")
            caller = await services.access.authenticate(ROOT_KEY, origin)
            request = Limit("anna", 250, 60_000, resources=[LimitedResource("user", "u_1")])
            await services.ratelimits.limit(caller, request)
            for _ in range(299):
                assert services.ratelimits.limit_at_once(caller, request) is not None

    with DatabaseLock(tmp_path / "keystead.db"):
        asyncio.run(scenario())
    assert kept(tmp_path / "keystead.db") == {"ratelimit.success": 250, "ratelimit.denied": 50}


def kept(path: Path) -> dict[str, int]:
    """Event → how often it is in the audit log of a database."""
    database = sqlite3.connect(path)
    try:
        return dict(
            database.execute("SELECT event, count(*) FROM audit_log WHERE event LIKE 'ratelimit.%' GROUP BY event")
        )
    finally:
        database.close()


def test_the_root_key_is_counted(tenant: Any) -> None:
    """Each call is one event of its root key, decided from memory or not."""
    lines: list[bytes] = []
    access = tenant.server.application.services.access
    log, access._log = access._log, type("Log", (), {"record": staticmethod(lines.append)})()
    try:
        root_key = tenant.new_root_key("*")
        for namespace in ("email.outbound", "new", "email.outbound"):
            tenant.call("ratelimits.limit", tenant.asked(namespace=namespace), root_key=root_key)
    finally:
        access._log = log
    key_id = tenant.record(root_key).id.encode()
    assert len([line for line in lines if key_id in line and b'"VALID"' in line]) == 3
