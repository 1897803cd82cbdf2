"""A change that has been acknowledged is in force for the next verification, also in the middle of many others."""

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from keystead.testing.connection import Connection

IN_STORM = 24
ROUNDS = 4


class Verified(NamedTuple):
    """One verification of a storm: when it was sent, when its answer was there, what it said."""

    began_s: float
    ended_s: float
    told: Any


class Storm:
    """Verifies one key without a break on many connections, from a thread of its own."""

    def __init__(self, url: str, request: dict[str, Any]) -> None:
        self.verified: list[Verified] = []
        self._request = request
        self._connections = [Connection(url) for _ in range(IN_STORM)]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._rage)

    def __enter__(self) -> "Storm":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for connection in self._connections:
            connection.close()

    def wait_for_more(self) -> None:
        """Until everything that is in flight now has been answered, and two rounds more."""
        enough = len(self.verified) + 3 * IN_STORM
        deadline_s = time.perf_counter() + 30
        while len(self.verified) < enough:
            assert self._thread.is_alive()
            assert time.perf_counter() < deadline_s
            time.sleep(0.001)

    def _rage(self) -> None:
        while not self._stopping.is_set():
            began = []
            for connection in self._connections:
                began.append(time.perf_counter())
                connection.send("keys.verifyKey", self._request)
            for connection, began_s in zip(self._connections, began, strict=True):
                answer = connection.receive()
                told = answer.json.get("code") or answer.json["error"]["message"]
                self.verified.append(Verified(began_s, time.perf_counter(), told))


class Change(NamedTuple):
    """A change and its opposite, what a verification tells before and after, and how the key is made."""

    name: str
    there: Callable[[Any, str], None]
    back: Callable[[Any, str], None] | None
    after: str
    request: dict[str, Any] = {}
    members: dict[str, Any] = {}


def _update(**members: Any) -> Callable[[Any, str], None]:
    return lambda tenant, key_id: tenant.call("keys.updateKey", {"keyId": key_id, **members})


def _operation(operation: str, **members: Any) -> Callable[[Any, str], None]:
    return lambda tenant, key_id: tenant.call(operation, {"keyId": key_id, **members})


def _api(**members: Any) -> Callable[[Any, str], None]:
    return lambda tenant, _: tenant.call("apis.updateApi", {"apiId": tenant.api_id, **members})


def _role(*slugs: str) -> Callable[[Any, str], None]:
    def change(tenant: Any, _: str) -> None:
        role_id = getattr(tenant, "role_id", None)
        if role_id is None:
            role_id = tenant.role_id = tenant.call("permissions.createRole", {"name": "editor"})["roleId"]
        permissions = [{"slug": slug, "create": True} for slug in slugs]
        tenant.call("permissions.setRolePermissions", {"roleId": role_id, "permissions": permissions})

    return change


def _workspace(enabled: bool) -> Callable[[Any, str], None]:
    def change(tenant: Any, _: str) -> None:
        tenant.server.write(lambda tx: tx.workspaces.set_enabled(tenant.workspace_id, enabled))

    return change


_NEEDS_WRITE = {"authorization": {"permissions": "docs.write"}}
_WRITE = [{"slug": "docs.write"}]
_CREDITS = {"remaining": 1_000_000}

CHANGES = [
    Change("disable", _update(enabled=False), _update(enabled=True), "DISABLED"),
    Change("delete", _operation("keys.deleteKey"), None, "NOT_FOUND"),
    Change("delete for good", _operation("keys.deleteKey", permanent=True), None, "NOT_FOUND"),
    Change("expire", _update(expires=1), _update(expires=None), "EXPIRED"),
    Change(
        "take the permission",
        _operation("keys.removePermissions", permissions=_WRITE),
        _operation("keys.addPermissions", permissions=_WRITE),
        "INSUFFICIENT_PERMISSIONS",
        _NEEDS_WRITE,
        {"permissions": ["docs.write"]},
    ),
    Change(
        "take the role",
        _operation("keys.removeRoles", roles=[{"name": "editor"}]),
        _operation("keys.addRoles", roles=[{"name": "editor"}]),
        "INSUFFICIENT_PERMISSIONS",
        _NEEDS_WRITE,
        {"roles": ["editor"]},
    ),
    Change(
        "take the role's permission",
        _role(),
        _role("docs.write"),
        "INSUFFICIENT_PERMISSIONS",
        _NEEDS_WRITE,
        {"roles": ["editor"]},
    ),
    Change("admit other addresses", _api(ipWhitelist=["10.0.0.0/8"]), _api(ipWhitelist=None), "FORBIDDEN"),
    Change("disable the workspace", _workspace(False), _workspace(True), "workspace is disabled"),
    Change(
        "limit",
        _update(ratelimit={"limit": 5, "duration": 1000}),
        _update(ratelimit=None),
        "RATE_LIMITED",
        # More than the limit ever has, so that the first verification is refused too; alone it would be ignored.
        {"ratelimit": {"cost": 6}},
    ),
    Change(
        "empty the account",
        _operation("keys.updateRemaining", op="set", value=0),
        _operation("keys.updateRemaining", op="set", value=None),
        "USAGE_EXCEEDED",
    ),
]


@pytest.mark.parametrize("credits", [{}, _CREDITS], ids=["unlimited", "with credits"])
@pytest.mark.parametrize("change", CHANGES, ids=[change.name for change in CHANGES])
def test_a_change_is_in_force_once_acknowledged(tenant: Any, change: Change, credits: dict[str, Any]) -> None:
    """No verification that starts after the acknowledgement, or after one that saw the change, tells of the past."""
    _role("docs.write")(tenant, "")
    key_id, secret = tenant.key(**change.members, **credits)
    with Storm(tenant.server.url, {"key": secret, **change.request}) as storm:
        storm.wait_for_more()
        for _ in range(ROUNDS if change.back else 1):
            _expect(storm, lambda: change.there(tenant, key_id), before="VALID", after=change.after)
            if change.back:
                _expect(storm, lambda: change.back(tenant, key_id), before=change.after, after="VALID")


def _expect(storm: Storm, change: Callable[[], None], *, before: str, after: str) -> None:
    storm.verified.clear()
    storm.wait_for_more()
    first_s = time.perf_counter()
    change()
    acknowledged_s = time.perf_counter()
    storm.wait_for_more()
    verified = list(storm.verified)
    assert {told for _, ended_s, told in verified if ended_s < first_s} == {before}
    assert {told for began_s, _, told in verified if began_s > acknowledged_s} == {after}
    seen_s = min(ended_s for _, ended_s, told in verified if told == after)
    assert {told for began_s, _, told in verified if began_s > seen_s} == {after}
    assert {told for _, _, told in verified} == {before, after}


@pytest.mark.parametrize("credits", [{}, _CREDITS], ids=["unlimited", "with credits"])
def test_the_answer_shows_the_newest_record(tenant: Any, credits: dict[str, Any]) -> None:
    """Each of many renamings shows in the verification that follows it, and no older name after it."""
    key_id, secret = tenant.key(name="0", **credits)
    with Storm(tenant.server.url, {"key": secret}) as storm:
        for number in range(1, 101):
            tenant.call("keys.updateKey", {"keyId": key_id, "name": str(number), "meta": {"number": number}})
            answer = tenant.call("keys.verifyKey", {"key": secret})
            assert (answer["name"], answer["meta"]) == (str(number), {"number": number})
        storm.wait_for_more()
    assert {verified.told for verified in storm.verified} == {"VALID"}
