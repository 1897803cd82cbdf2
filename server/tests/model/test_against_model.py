"""The server beside a model of the contract: after any history of calls every answer is what the model expects.

Some hundred histories by default; `KEYSTEAD_MODEL_EXAMPLES=50000` for a long search.
"""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as hypothesis_strategies

from keystead.http.operations import OPERATIONS
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import NOW_MS, ServerInProcess

sys.path.insert(0, str(Path(__file__).parent))
import drawing as st
from model import DAY_MS, HOUR_MS, Fresh, InAnyOrder, Model, Refused, hashed

EXAMPLES = int(os.environ.get("KEYSTEAD_MODEL_EXAMPLES", "100"))
STEPS = 70

METHODS = {operation.name: operation.method for operation in OPERATIONS}
ACCEPTED = {"migrations.enqueueKeys": 202}
"""The status of a success where it is not 200."""
WITHOUT_INPUT = {"liveness", "permissions.listPermissions", "permissions.listRoles"}

# Small pools, so that histories meet their own past.
KEY_NAMES = st.sampled_from(["", "a key", "ключ 🔑", 'quo"ted\\'])
EXTERNAL_IDS = st.sampled_from(["customer-1", "customer-2", "Customer-1"])
SLUGS = st.sampled_from(["docs.read", "docs.write", "docs.*", "Docs.read"])
ROLE_NAMES = st.sampled_from(["editor", "viewer", "Editor", "the boss"])
LIMIT_NAMES = st.sampled_from(["default", "tokens", "requests"])
METAS = st.sampled_from([{}, {"plan": "free"}, {"a": {"b": [1, 2.5, None, "ü"]}, "": True}])
DURATIONS = st.sampled_from([1000, 60_000, 86_400_000])
LIMITS = st.integers(1, 4)
BALANCES = st.sampled_from([1, 2, 3, 10, 2**31 - 1])
WHITELISTS = st.sampled_from([[], ["127.0.0.1"], ["10.0.0.0/8"], ["10.0.0.0/8", "127.0.0.0/8"], ["::1"]])
NAMESPACES = st.sampled_from(["default", "default", "emails", ""])
IDENTIFIERS = st.sampled_from(["alice", "alice", "alice", "alice.1", "Alice", "bob", "", "ali\nce"])
PATTERNS = st.sampled_from(["alice", "ali*", "*ice*", "***", "a.ice", "alice.1"])
UNKNOWN_IDS = ("key_unknown", "api_unknown", "x", "perm_unknown")

ACTIONS = st.sampled_from(
    [
        *(f"api.*.{action}_key" for action in ("create", "read", "update", "delete", "decrypt", "encrypt")),
        *(f"api.*.{action}_api" for action in ("create", "read", "update", "delete")),
        *(f"rbac.*.{verb}_{noun}" for verb in ("create", "read", "delete") for noun in ("permission", "role")),
        *(f"rbac.*.{verb}_to_key" for verb in ("add_permission", "add_role")),
        *(f"rbac.*.{verb}_from_key" for verb in ("remove_permission", "remove_role")),
        "rbac.*.add_permission_to_role",
        "rbac.*.remove_permission_from_role",
        *(f"identity.*.{verb}_identity" for verb in ("create", "read", "update", "delete")),
        "identity.default.read_identity",
        *(f"ratelimit.*.{action}" for action in ("limit", "limit", "create_namespace", "read_namespace")),
        *(f"ratelimit.*.{verb}_override" for verb in ("set", "read", "delete")),
    ]
)
API_ACTIONS = (
    "create_key",
    "read_key",
    "update_key",
    "delete_key",
    "decrypt_key",
    "encrypt_key",
    "read_api",
    "delete_api",
)

CLOCK_MOVES = st.sampled_from(
    [1, 999, 1000, 60_000, 3_600_000, DAY_MS, DAY_MS - 1, 28 * DAY_MS, 31 * DAY_MS, 400 * DAY_MS]
) | st.integers(1, 60 * DAY_MS)

REFILLS = st.fixed_dictionaries(
    {"interval": st.sampled_from(["daily", "monthly"]), "amount": st.integers(1, 5)},
    optional={"refillDay": st.sampled_from([1, 15, 28, 29, 30, 31, 15.0])},
)


def ratelimits(least_duration: int) -> st.Some:
    durations = st.sampled_from([least_duration, 60_000, DAY_MS])
    return st.fixed_dictionaries(
        {"limit": LIMITS},
        optional={
            "duration": durations,
            "refillInterval": st.sampled_from([1, 60_000]),
            "refillRate": st.just(7),
            "async": st.booleans(),
            "type": st.sampled_from(["fast", "consistent"]),
        },
    )


_GROUPS = SLUGS
for _ in range(2):
    _GROUPS = (
        SLUGS
        | st.fixed_dictionaries({"and": st.lists(_GROUPS, min_size=1, max_size=2)})
        | st.fixed_dictionaries({"or": st.lists(_GROUPS, min_size=1)}, optional={"more": st.just(1)})
    )
QUERIES = _GROUPS
ODD_QUERIES = st.sampled_from(
    [None, "", {}, [], 5, True, {"and": []}, {"or": [None]}, {"or": ["docs.read", {}]}, {"and": [""]}, {"xor": ["a"]}]
)

REQUESTED_LIMITS = st.fixed_dictionaries(
    {"name": LIMIT_NAMES},
    optional={"cost": st.integers(0, 3), "limit": st.integers(0, 4), "duration": DURATIONS},
)

# For each operation calls that are malformed, whoever makes them: members that replace the good ones.
SPOILT: dict[str, list[dict[str, Any]]] = {
    "apis.createApi": [{"name": "ab"}, {"name": None}, {"defaultBytes": 15}, {"defaultPrefix": "ninechars"}],
    "apis.getApi": [{"apiId": ""}, {"apiId": ...}],
    "apis.updateApi": [{"apiId": ""}, {"name": None}, {"ipWhitelist": "127.0.0.1"}],
    "apis.listApis": [{"limit": 0}, {"limit": 101}, {"limit": "many"}],
    "keys.createKey": [
        {"apiId": ...},
        {"apiId": 5},
        {"byteLength": 15},
        {"byteLength": 16.5},
        {"prefix": "x" * 17},
        {"meta": []},
        {"remaining": None},
        {"roles": [""]},
        {"externalId": ""},
        {"ratelimit": {"limit": 0, "duration": 1000}},
        {"ratelimit": {"limit": 1, "duration": 999}},
        {"remaining": 1, "refill": {"interval": "weekly", "amount": 1}},
        {"remaining": 1, "refill": {"interval": "monthly", "amount": 1, "refillDay": 32}},
        {"remaining": 1, "refill": {"interval": "monthly", "amount": 1, "refillDay": 1.5}},
        {"enabled": "true"},
    ],
    "keys.getKey": [{"keyId": ""}, {"keyId": ...}],
    "keys.whoami": [{"key": ""}, {"key": ...}, {"key": None}],
    "keys.verifyKey": [
        {"key": ""},
        {"tags": ["x"] * 11},
        {"tags": [""]},
        {"tags": ["x" * 129]},
        {"remaining": {"cost": -1}},
        {"remaining": None},
        {"ratelimits": [{"name": ""}]},
        {"ratelimits": [{"name": "x", "limit": 1, "duration": 0}]},
        {"ratelimits": [{"cost": 1}]},
        {"apiId": None},
        {"authorization": []},
    ],
    "keys.deleteKey": [{"keyId": ""}, {"permanent": 1}],
    "keys.updateKey": [
        {"keyId": ...},
        {"enabled": None},
        {"roles": None},
        {"permissions": [{"id": "x"}]},
        {"permissions": ["docs.read"]},
        {"remaining": -1},
        {"refill": {"interval": "daily", "amount": 0}},
        {"ratelimit": {"limit": 1, "duration": 0}},
        {"ownerId": ""},
    ],
    "keys.updateRemaining": [{"op": "add"}, {"value": ...}, {"value": "5"}, {"value": 1.5}, {"keyId": None}],
    "keys.getVerifications": [{"granularity": "hour"}, {"start": "noon"}, {"end": "1.5"}],
    "keys.addPermissions": [{"permissions": []}, {"keyId": ""}, {"permissions": [{"name": ""}]}],
    "keys.removePermissions": [{"permissions": []}, {"permissions": ...}],
    "keys.setPermissions": [{"permissions": []}, {"permissions": [{"slug": "x" * 129}]}],
    "keys.addRoles": [{"roles": []}, {"roles": [{"id": "ab"}]}],
    "keys.removeRoles": [{"roles": []}, {"roles": None}],
    "keys.setRoles": [{"roles": []}, {"roles": [{"create": "yes"}]}],
    "permissions.createPermission": [{"name": "ab"}, {"name": "with space"}, {"description": "ab"}],
    "permissions.createRole": [{"name": "ab"}, {"name": ...}],
    "permissions.setRolePermissions": [{"roleId": ""}, {"permissions": ...}],
    "identities.createIdentity": [
        {"externalId": "ab"},
        {"meta": None},
        {"ratelimits": [{"name": "x", "limit": 1, "duration": 999}]},
    ],
    "identities.getIdentity": [{"identityId": ""}],
    "apis.listKeys": [{"apiId": ""}, {"limit": 0}, {"externalId": ""}, {"ownerId": ""}],
    "apis.deleteKeys": [{"apiId": ""}, {"permanent": "yes"}],
    "apis.deleteApi": [{"apiId": ""}, {"apiId": ...}],
    "permissions.getPermission": [{"permissionId": ""}, {"permissionId": ...}],
    "permissions.deletePermission": [{"permissionId": ...}, {"permissionId": 5}],
    "permissions.getRole": [{"roleId": ""}],
    "permissions.deleteRole": [{"roleId": ...}, {"roleId": None}],
    "identities.listIdentities": [{"limit": 0}, {"limit": 101}, {"limit": 1.5}],
    "identities.updateIdentity": [
        {"identityId": ""},
        {"meta": None},
        {"ratelimits": [{"name": "x", "limit": 0, "duration": 1000}]},
    ],
    "identities.deleteIdentity": [{"identityId": ""}],
    "ratelimits.limit": [
        {"identifier": ...},
        {"limit": 0},
        {"duration": 999},
        {"cost": -1},
        {"meta": {"a": []}},
        {"resources": [{"type": "x"}]},
    ],
    "ratelimits.setOverride": [{"identifier": "ab"}, {"limit": -1}, {"duration": 999}, {"async": "yes"}],
    "ratelimits.getOverride": [{"identifier": ...}],
    "ratelimits.listOverrides": [{"limit": 0}],
    "ratelimits.deleteOverride": [{"identifier": ...}, {"identifier": 5}],
    "ratelimits.listNamespaces": [{"limit": 0}],
    # Members of the only item.
    "migrations.createKeys": [
        {"apiId": ...},
        {"hash": {"value": "x"}},
        {"hash": {"value": "x", "variant": "md5"}},
        {"remaining": 0},
        {"prefix": "ninechars"},
        {"roles": [""]},
        {"ratelimit": {"limit": 1, "duration": 1000}},
        {"ratelimit": {"limit": 1, "refillRate": 1, "refillInterval": 1, "type": "odd"}},
    ],
    "migrations.enqueueKeys": [
        {"migrationId": ...},
        {"keys": ...},
        {"keys": [{"plaintext": "x", "ratelimit": {"limit": 1, "duration": 999}}]},
    ],
    "analytics.getVerifications": [{"start": ...}, {"groupBy": "year"}, {"order": "up"}, {"limit": 0}],
}

answered: Counter[tuple[str, int]] = Counter()
"""(operation, status) → how often in this run."""


class Comparison:
    """Compares answers with what the model expects, and learns what the server makes up."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, expected: Any, actual: Any, path: str = "answer") -> None:
        if isinstance(expected, Fresh):
            self._learn(expected, actual, path)
        elif isinstance(expected, dict):
            assert isinstance(actual, dict), f"{path}: {actual!r} instead of {expected!r}"
            assert set(actual) == set(expected), f"{path}: {actual!r} instead of {expected!r}"
            for name, value in expected.items():
                self.of(value, actual[name], f"{path}.{name}")
        elif isinstance(expected, InAnyOrder) and isinstance(actual, list):
            self._of_any_order(expected, actual, path)
        elif isinstance(expected, list):
            assert isinstance(actual, list), f"{path}: {actual!r} instead of {expected!r}"
            assert len(actual) == len(expected), f"{path}: {actual!r} instead of {expected!r}"
            for position, value in enumerate(expected):
                self.of(value, actual[position], f"{path}.{position}")
        else:
            assert (type(actual), actual) == (type(expected), expected), f"{path}: {actual!r}, not {expected!r}"

    def _of_any_order(self, expected: InAnyOrder, actual: list[Any], path: str) -> None:
        assert len(actual) == min(expected.limit, len(expected)), f"{path}: {actual!r} instead of {expected!r}"
        if expected.order_by:
            values = sorted((row[expected.order_by] for row in expected), reverse=expected.is_descending)
            assert [row[expected.order_by] for row in actual] == values[: expected.limit], path
        there = {_told_apart(row, expected.by): row for row in actual}
        wanted = {_told_apart(row, expected.by): row for row in expected}
        if expected.limit < len(expected):
            wanted = {name: row for name, row in wanted.items() if name in there}
        self.of(wanted, there, path)

    def _learn(self, expected: Fresh, actual: Any, path: str) -> None:
        if expected.value is None:
            assert isinstance(actual, str), f"{path}: {actual!r}"
            assert expected.pattern.fullmatch(actual), f"{path}: {actual!r} does not match {expected}"
            if "_" in actual:
                assert actual not in self._seen, f"{path}: {actual} was made before"
                self._seen.add(actual)
            expected.value = actual
        assert actual == expected.value, f"{path}: {actual!r}, not {expected}"


def _told_apart(row: dict[str, Any], by: tuple[str, ...]) -> str:
    return json.dumps([row.get(name) for name in by], sort_keys=True)


def _any_unseen(known: dict[str, Any]) -> bool:
    return any(item.id.value is None for item in known.values())


class Drawing:
    """Draws values of a history."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def draw(self, some: st.Some) -> Any:
        return some.draw(self.random)


class History:
    """A workspace on the one server, and its model; `calls` is what has happened, for who has to look into it."""

    def __init__(self, server: ServerInProcess, client: Connection, start: int) -> None:
        self.server = server
        self.client = client
        self.calls: list[str] = []
        self.verified: dict[str, Any] = {}
        self.clock = self.server.clock
        self.clock.set(NOW_MS + start)
        self.operator = self.server.application.storage.operator
        now = self.clock.now_ms()
        workspace_id = self.server.call(lambda: self.operator.create_workspace("history", now))
        self.model = Model(workspace_id, now)
        self.comparison = Comparison()
        self.secrets_elsewhere = [f"{workspace_id}-old-{number}" for number in range(6)]
        self.model.plaintexts = {hashed(secret): secret for secret in self.secrets_elsewhere}
        self.make_root_key(["*"])
        self.root_key = next(iter(self.model.root_keys))
        # Something to begin with: most rules need a key.
        self.do("apis.createApi", {"name": "first", "storeEncryptedKeys": True}, self.root_key)
        limits = [{"name": "tokens", "limit": 3, "duration": 60_000}, {"name": "default", "limit": 2, "duration": 1000}]
        self.do("identities.createIdentity", {"externalId": "customer-1", "ratelimits": limits}, self.root_key)
        self.do("permissions.createRole", {"name": "editor"}, self.root_key)
        slugs = [{"slug": "docs.write", "create": True}, {"slug": "docs.*", "create": True}]
        role_id = self.model.roles["editor"].id.value
        self.do("permissions.setRolePermissions", {"roleId": role_id, "permissions": slugs}, self.root_key)
        first = {"apiId": self.model.apis[0].id.value, "externalId": "customer-1"}
        self.do("keys.createKey", {**first, "permissions": ["docs.read"], "roles": ["editor"]}, self.root_key)
        refill = {"interval": "monthly", "amount": 4, "refillDay": 31}
        self.do("ratelimits.limit", {"identifier": "alice", "limit": 3, "duration": 60_000}, self.root_key)
        self.do("keys.createKey", {**first, "remaining": 3, "refill": refill, "recoverable": True}, self.root_key)

    def make_root_key(self, permissions: list[str]) -> None:
        made = self.server.call(
            lambda: self.operator.create_root_key("history", permissions, self.model.workspace_id, self.clock.now_ms())
        )
        self.model.root_keys[made.key] = set(permissions)

    # One call to both

    def call(self, data: Drawing, operation: str, members: Any) -> None:
        self.learn_ids()
        root_key = self.some_root_key(data)
        if operation in SPOILT and data.draw(st.integers(0, 24)) == 0:
            is_array = isinstance(members, list)
            good = {"apiId": self.some_api(data), "plaintext": "never kept"} if is_array else members
            spoilt = {**good, **data.draw(st.sampled_from(SPOILT[operation]))}
            members = {name: value for name, value in spoilt.items() if value is not ...}
            members = [members] if is_array else members
            self.compare(operation, self.send(operation, members, root_key), Refused(400))
        else:
            self.do(operation, members, root_key)

    def do(self, operation: str, members: Any, root_key: str | None, idempotency_key: str | None = None) -> None:
        """Call the server and the model."""
        self.calls.append(f"{self.clock.now_ms()} {operation} {members} {idempotency_key or ''}")
        expected = self.model.answer(operation, root_key, members, idempotency_key)
        self.compare(operation, self.send(operation, members, root_key, idempotency_key), expected)
        if operation == "migrations.enqueueKeys":
            self.the_queue_is_worked_off()

    def send(self, operation: str, members: Any, root_key: str | None, idempotency_key: str | None = None) -> Answer:
        if operation.endswith(".getVerifications"):
            while self.server.application.log.transfer.transfer_once():
                pass
        if idempotency_key is not None:
            return self._send_repeatable(operation, members, root_key, idempotency_key)
        if METHODS[operation] == "GET":
            many = [(name, value if isinstance(value, list) else [value]) for name, value in members.items()]
            query: Any = [(name, value) for name, values in many for value in values]
            self.client.send(operation, None, query=query, root_key=root_key)
        else:
            self.client.send(operation, members, root_key=root_key)
        return self.client.receive()

    def _send_repeatable(self, operation: str, members: Any, root_key: str | None, idempotency_key: str) -> Answer:
        connection = HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        if root_key is not None:
            headers["Authorization"] = f"Bearer {root_key}"
        connection.request("POST", f"/v1/{operation}", json.dumps(members), headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, told, json.loads(body), body)

    def learn_ids(self) -> None:
        """What was made on the way has an id that no answer has told yet."""
        if _any_unseen(self.model.permissions):
            self.do("permissions.listPermissions", {}, self.root_key)
        if _any_unseen(self.model.roles):
            self.do("permissions.listRoles", {}, self.root_key)
        for external_id, identity in self.model.identities.items():
            if identity.id.value is None:
                self.do("identities.getIdentity", {"externalId": external_id}, self.root_key)
        if _any_unseen(self.model.namespaces):
            answer = self.send("ratelimits.listNamespaces", {}, self.root_key)
            known = [{"id": namespace.id, "name": namespace.name} for namespace in self.model.namespaces.values()]
            self.comparison.of(InAnyOrder(known, "name"), answer.json["namespaces"])

    def the_queue_is_worked_off(self) -> None:
        """As far as it is due; with what the server's own worker has done, if it was quicker."""
        while self.server.call(self.server.application.storage.migration_queue.run_due):
            pass
        for key in self.model.run_due():
            self.do("keys.whoami", {"key": key.secret.value}, self.root_key)

    def compare(self, operation: str, answer: Answer, expected: Any) -> None:
        request_id = answer.headers["unkey-request-id"]
        assert re.fullmatch("req_[a-zA-Z0-9]+", request_id)
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"
        answered[operation, answer.status] += 1
        if isinstance(expected, Refused):
            assert answer.status == expected.status, (answer, expected)
            self._compare_error(answer.json, expected, request_id)
        else:
            assert answer.status == ACCEPTED.get(operation, 200), (answer, expected)
            if operation == "keys.verifyKey":
                expected["requestId"] = request_id
                triggered = answer.headers.get("unkey-ratelimit-triggered")
                assert triggered == (self.model.triggered if expected["code"] == "RATE_LIMITED" else None)
            self.comparison.of(expected, answer.json)

    def _compare_error(self, body: Any, expected: Refused, request_id: str) -> None:
        message = body["error"].pop("message")
        assert isinstance(message, str)
        assert message
        if expected.message is not None:
            assert message == expected.message
        error = {
            "code": expected.code,
            "docs": f"https://unkey.dev/docs/api-reference/errors/code/{expected.code}",
            "requestId": request_id,
        }
        if expected.reason:
            error["reason"] = expected.reason
        self.comparison.of({"error": error}, body)

    # What calls are about

    def some_root_key(self, data: Drawing) -> str | None:
        """Mostly the one for everything; else another, none, an unknown or an ordinary one."""
        if data.draw(st.integers(0, 4)):
            return self.root_key
        others = [*self.model.root_keys, None, "unknown", *(key.secret.value for key in self.model.keys[:1])]
        return data.draw(st.sampled_from(others))

    def some(self, data: Drawing, known: list[Any], of: Callable[[Any], Fresh] = lambda item: item.id) -> str:
        values = [value for item in known if (value := of(item).value)]
        if not values or data.draw(st.integers(0, 19)) == 0:
            return data.draw(st.sampled_from(UNKNOWN_IDS))
        # The newest are the most interesting.
        return values[-1 - min(data.draw(st.integers(0, 4)), len(values) - 1)]

    def some_key(self, data: Drawing) -> str:
        return self.some(data, self.mostly_live(data, self.model.keys))

    def some_api(self, data: Drawing) -> str:
        return self.some(data, self.mostly_live(data, self.model.apis))

    def mostly_live(self, data: Drawing, known: list[Any]) -> list[Any]:
        return [item for item in known if item.is_live] if data.draw(st.integers(0, 9)) else known

    def some_secret(self, data: Drawing) -> str:
        if data.draw(st.integers(0, 29)) == 0:
            return self.root_key
        return self.some(data, self.mostly_live(data, self.model.keys), lambda key: key.secret)

    def selectors(self, data: Drawing, known: list[Any], names: st.Some, more: bool) -> list[Any]:
        ids = [item.id.value for item in known if item.id.value] + ["perm_unknown"]
        members = {"id": st.sampled_from(ids), "name": names, "create": st.booleans()}
        options = st.one_of(
            st.fixed_dictionaries({"name": names, "create": st.just(True)}),
            st.fixed_dictionaries({"id": st.sampled_from(ids)}),
            st.fixed_dictionaries({}, optional={**members, "slug": names} if more else members),
        )
        return data.draw(st.lists(options, min_size=1, max_size=3))

    def permission_selectors(self, data: Drawing) -> list[Any]:
        return self.selectors(data, list(self.model.permissions.values()), SLUGS, more=True)

    def role_selectors(self, data: Drawing) -> list[Any]:
        return self.selectors(data, list(self.model.roles.values()), ROLE_NAMES, more=False)

    # Time and what only the operator does

    def time_passes(self, data: Drawing) -> None:
        self.it_is(self.clock.now_ms() + data.draw(CLOCK_MOVES))

    def a_window_ends(self, data: Drawing) -> None:
        now, duration = self.clock.now_ms(), data.draw(DURATIONS)
        self.it_is((now // duration + 1) * duration - data.draw(st.integers(0, 1)))

    def it_is(self, now: int) -> None:
        self.clock.set(now)
        self.model.now = now
        if self.model.queue:
            self.the_queue_is_worked_off()

    def another_root_key(self, data: Drawing) -> None:
        permissions = data.draw(st.lists(ACTIONS, min_size=1, max_size=12))
        if self.model.apis and data.draw(st.booleans()):
            permissions = [f"api.{self.model.apis[-1].id.value}.{action}" for action in API_ACTIONS]
        if self.model.namespaces and data.draw(st.booleans()):
            namespace = data.draw(st.sampled_from(list(self.model.namespaces.values())))
            permissions.append(f"ratelimit.{namespace.id.value}.limit")
        if self.model.identities and data.draw(st.booleans()):
            identity = data.draw(st.sampled_from(list(self.model.identities.values())))
            permissions += [f"identity.{identity.id.value}.{verb}_identity" for verb in ("read", "update", "delete")]
        self.make_root_key(permissions)

    def a_change_is_repeated(self, data: Drawing) -> None:
        """The same call once more, at once or later, then with another body."""
        name, draw = data.draw(st.sampled_from([rule for rule in rules if METHODS[rule[0]] == "POST"]))
        members, root_key = draw(self, data), self.some_root_key(data)
        idempotency_key = f"repeated-{data.random.getrandbits(64):016x}"
        self.do(name, members, root_key, idempotency_key)
        for later in data.draw(st.lists(st.sampled_from([0, 0, HOUR_MS, DAY_MS - 1, DAY_MS]), max_size=2)):
            self.it_is(self.clock.now_ms() + later)
            self.do(name, members, root_key, idempotency_key)
        if isinstance(members, dict):
            self.do(name, {**members, "more": 1}, root_key, idempotency_key)

    def the_workspace_is_disabled_for_a_while(self, data: Drawing) -> None:
        if data.draw(st.integers(0, 9)):
            return
        workspace_id = self.model.workspace_id
        secret = [key.secret.value for key in self.model.keys if key.secret.value][-1]
        calls = (("keys.verifyKey", {"key": secret}), ("keys.whoami", {"key": secret}))
        for is_enabled in (False, True):
            self.server.write(lambda tx, e=is_enabled: tx.workspaces.set_enabled(workspace_id, e))  # type: ignore[misc]
            self.model.is_enabled = is_enabled
            for operation, members in calls:
                self.do(operation, members, self.root_key)


# The operations

Step = Callable[[History, Drawing], None]

rules: list[tuple[str, Callable[[History, Drawing], Any]]] = []
steps: list[Step] = [
    *[History.time_passes] * 3,
    *[History.a_window_ends] * 2,
    History.another_root_key,
    History.the_workspace_is_disabled_for_a_while,
    *[History.a_change_is_repeated] * 3,
]
driven: set[str] = set()


def operation(name: str, *, often: int = 1) -> Callable[[Callable[[History, Drawing], Any]], Step]:
    """Make a step that calls the operation with the members that the function draws."""

    def make(draw: Callable[[History, Drawing], Any]) -> Step:
        def step(history: History, data: Drawing) -> None:
            members = draw(history, data)
            if name == "keys.verifyKey":
                history.verified = members
            elif history.verified and data.draw(st.booleans()):
                # The same verification right before and after: what is remembered of the key must not outlive this.
                history.do("keys.verifyKey", history.verified, None)
                history.call(data, name, members)
                history.do("keys.verifyKey", history.verified, None)
                return
            history.call(data, name, members)

        steps.extend([step] * often)
        driven.add(name)
        rules.append((name, draw))
        return step

    return make


API_SETTINGS: dict[str, st.Some] = {
    "ipWhitelist": WHITELISTS,
    "defaultPrefix": st.sampled_from(["", "acme", "a_b"]),
    "defaultBytes": st.sampled_from([16, 24, 32.0]),
    "storeEncryptedKeys": st.booleans(),
    "deleteProtection": st.booleans(),
}


@operation("apis.createApi")
def creates_an_api(history: History, data: Drawing) -> dict[str, Any]:
    settings_of_api = st.fixed_dictionaries({}, optional=API_SETTINGS | {"ipWhitelist": st.just(["127.0.0.1"])})
    return {"name": data.draw(st.sampled_from(["billing", "   "])), **data.draw(settings_of_api)}


@operation("apis.getApi")
def gets_an_api(history: History, data: Drawing) -> dict[str, Any]:
    return {"apiId": history.some_api(data)}


@operation("apis.updateApi")
def updates_an_api(history: History, data: Drawing) -> dict[str, Any]:
    nullable = {name: st.none() | values for name, values in API_SETTINGS.items()}
    changes = st.fixed_dictionaries({}, optional={**nullable, "name": st.just("renamed")})
    return {"apiId": history.some_api(data), **data.draw(changes)}


@operation("apis.listApis")
def lists_apis(history: History, data: Drawing) -> dict[str, Any]:
    cursors = [api.id.value for api in history.model.apis] + ["", "zzz"]
    optional = {"limit": st.integers(1, 3), "cursor": st.sampled_from(cursors)}
    return data.draw(st.fixed_dictionaries({}, optional=optional))


def _new_key(history: History, data: Drawing, *members: str) -> dict[str, Any]:
    everything: dict[str, st.Some] = {
        "prefix": st.sampled_from(["", "acme", "sk_live"]),
        "name": KEY_NAMES,
        "byteLength": st.sampled_from([16, 24, 32]),
        "externalId": EXTERNAL_IDS,
        "ownerId": EXTERNAL_IDS,
        "meta": METAS,
        "roles": st.lists(ROLE_NAMES, max_size=3),
        "permissions": st.lists(SLUGS, max_size=3),
        "expires": st.sampled_from([0, 1, 60_000, 40 * DAY_MS]).map(lambda ms: ms and history.model.now + ms),
        "remaining": st.just(0) | BALANCES | BALANCES | BALANCES,
        "refill": REFILLS,
        "ratelimit": ratelimits(1000),
        "enabled": st.booleans(),
        "recoverable": st.booleans(),
        "environment": st.sampled_from(["", "test", "live"]),
        "unknown": st.just({"whatever": 1}),
    }
    wanted = {name: everything[name] for name in members or everything}
    return {"apiId": history.some_api(data), **data.draw(st.fixed_dictionaries({}, optional=wanted))}


@operation("keys.createKey", often=3)
def creates_any_key(history: History, data: Drawing) -> dict[str, Any]:
    return _new_key(history, data)


@operation("keys.createKey", often=3)
def creates_a_key_for_a_customer(history: History, data: Drawing) -> dict[str, Any]:
    return _new_key(history, data, "externalId", "roles", "permissions", "meta", "recoverable")


@operation("keys.createKey", often=3)
def creates_a_key_with_credits(history: History, data: Drawing) -> dict[str, Any]:
    balance, refill = data.draw(st.integers(1, 6)), data.draw(REFILLS)
    if refill["interval"] == "daily":
        refill.pop("refillDay", None)
    return {**_new_key(history, data, "externalId", "ratelimit", "name"), "remaining": balance, "refill": refill}


@operation("keys.getKey", often=2)
def gets_a_key(history: History, data: Drawing) -> dict[str, Any]:
    decrypt = st.sampled_from(["true", "false", "", "0", "yes", "No", "off"])
    return {"keyId": history.some_key(data), **data.draw(st.fixed_dictionaries({}, optional={"decrypt": decrypt}))}


@operation("keys.whoami")
def asks_who_a_key_is(history: History, data: Drawing) -> dict[str, Any]:
    return {"key": history.some_secret(data)}


@operation("keys.verifyKey", often=3)
def verifies_a_key(history: History, data: Drawing) -> dict[str, Any]:
    return {"key": history.some_secret(data)}


@operation("keys.verifyKey", often=3)
def verifies_with_costs(history: History, data: Drawing) -> dict[str, Any]:
    costs = st.fixed_dictionaries({}, optional={"cost": st.sampled_from([0, 1, 1.0, 2, 7, 2**40])})
    optional = {"remaining": costs, "ratelimits": st.lists(REQUESTED_LIMITS, max_size=3), "ratelimit": costs}
    return {"key": history.some_secret(data), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("keys.verifyKey", often=3)
def verifies_what_a_key_may_do(history: History, data: Drawing) -> dict[str, Any]:
    query = data.draw(QUERIES | ODD_QUERIES)
    optional = {
        "apiId": st.sampled_from(["", history.some_api(data)]),
        "tags": st.lists(st.sampled_from(["a", "ü" * 128, "path=/x"]), max_size=10),
    }
    members = data.draw(st.fixed_dictionaries({}, optional=optional))
    return {"key": history.some_secret(data), "authorization": {"permissions": query}, **members}


def verifies_a_customers_keys_in_turn(history: History, data: Drawing) -> None:
    """Until limits are used up, at costs down to nothing, by keys that share them and keys that do not."""
    names = [data.draw(LIMIT_NAMES) for _ in range(data.draw(st.integers(1, 2)))]
    for _ in range(6):
        entries = [{"name": name, "cost": data.draw(st.integers(0, 2))} for name in names]
        members = {"key": history.some_secret(data), "ratelimits": entries}
        history.do("keys.verifyKey", members, None)


steps += [verifies_a_customers_keys_in_turn] * 2


@operation("keys.deleteKey")
def deletes_a_key(history: History, data: Drawing) -> dict[str, Any]:
    permanent = st.fixed_dictionaries({}, optional={"permanent": st.booleans()})
    return {"keyId": history.some_key(data), **data.draw(permanent)}


@operation("keys.updateKey", often=2)
def updates_a_key(history: History, data: Drawing) -> dict[str, Any]:
    optional: dict[str, st.Some] = {
        "name": st.none() | KEY_NAMES,
        "externalId": st.none() | EXTERNAL_IDS,
        "ownerId": st.none() | EXTERNAL_IDS,
        "meta": st.none() | METAS,
        "expires": st.none() | st.sampled_from([0, history.model.now, history.model.now + 60_000]),
        "enabled": st.booleans(),
        "ratelimit": st.none() | ratelimits(1),
    }
    return {"keyId": history.some_key(data), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("keys.updateKey", often=2)
def updates_the_credits_of_a_key(history: History, data: Drawing) -> dict[str, Any]:
    optional = {"remaining": st.none() | st.integers(0, 6), "refill": st.none() | REFILLS}
    return {"keyId": history.some_key(data), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("keys.updateKey", often=2)
def updates_the_links_of_a_key(history: History, data: Drawing) -> dict[str, Any]:
    optional = {
        "permissions": st.builds(lambda: history.permission_selectors(data)) | st.just([]),
        "roles": st.builds(lambda: history.role_selectors(data)) | st.just([]),
        "name": KEY_NAMES,
    }
    return {"keyId": history.some_key(data), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("keys.updateRemaining")
def updates_the_balance_of_a_key(history: History, data: Drawing) -> dict[str, Any]:
    change = data.draw(st.sampled_from(["increment", "decrement", "set"]))
    value = data.draw(st.none() | st.integers(-3, 8) | st.sampled_from([2**31 - 1, -(2**31)]))
    return {"keyId": history.some_key(data), "op": change, "value": value}


@operation("keys.getVerifications")
def counts_verifications(history: History, data: Drawing) -> dict[str, Any]:
    now = history.model.now
    instants = st.sampled_from(["", 0, now, now - DAY_MS, now - 40 * DAY_MS, now + DAY_MS, 1])
    optional = {
        "keyId": st.sampled_from([history.some_key(data), ""]),
        "ownerId": EXTERNAL_IDS | st.just(""),
        "start": instants,
        "end": instants,
        "granularity": st.just("day"),
    }
    return data.draw(st.fixed_dictionaries({}, optional=optional))


@operation("keys.addPermissions")
def adds_permissions(history: History, data: Drawing) -> dict[str, Any]:
    return {"keyId": history.some_key(data), "permissions": history.permission_selectors(data)}


@operation("keys.removePermissions")
def removes_permissions(history: History, data: Drawing) -> dict[str, Any]:
    return {"keyId": history.some_key(data), "permissions": history.permission_selectors(data)}


@operation("keys.setPermissions")
def sets_permissions(history: History, data: Drawing) -> dict[str, Any]:
    return {"keyId": history.some_key(data), "permissions": history.permission_selectors(data)}


@operation("keys.addRoles")
def adds_roles(history: History, data: Drawing) -> dict[str, Any]:
    return {"keyId": history.some_key(data), "roles": history.role_selectors(data)}


@operation("keys.removeRoles")
def removes_roles(history: History, data: Drawing) -> dict[str, Any]:
    return {"keyId": history.some_key(data), "roles": history.role_selectors(data)}


@operation("keys.setRoles")
def sets_roles(history: History, data: Drawing) -> dict[str, Any]:
    return {"keyId": history.some_key(data), "roles": history.role_selectors(data)}


@operation("permissions.createPermission")
def creates_a_permission(history: History, data: Drawing) -> dict[str, Any]:
    names = st.sampled_from(["docs.read", "docs.write", "other", "docs_all"])
    slugs = st.sampled_from(["docs.read", "docs.write", "other", "Docs.read"])
    optional = {"slug": slugs, "description": st.sampled_from(["", "what it is for"])}
    return {"name": data.draw(names), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("permissions.createRole")
def creates_a_role(history: History, data: Drawing) -> dict[str, Any]:
    return {"name": data.draw(ROLE_NAMES)}


@operation("permissions.setRolePermissions", often=2)
def sets_the_permissions_of_a_role(history: History, data: Drawing) -> dict[str, Any]:
    role_id = history.some(data, list(history.model.roles.values()))
    selectors = history.permission_selectors(data) if data.draw(st.integers(0, 2)) else []
    return {"roleId": role_id, "permissions": selectors}


@operation("identities.createIdentity")
def creates_an_identity(history: History, data: Drawing) -> dict[str, Any]:
    limit = st.fixed_dictionaries({"name": LIMIT_NAMES, "limit": LIMITS, "duration": DURATIONS})
    optional = {"meta": METAS, "ratelimits": st.lists(limit, max_size=3)}
    return {"externalId": data.draw(EXTERNAL_IDS), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("identities.getIdentity")
def gets_an_identity(history: History, data: Drawing) -> dict[str, Any]:
    identity_id = history.some(data, list(history.model.identities.values()))
    optional = {"identityId": st.just(identity_id), "externalId": EXTERNAL_IDS}
    return data.draw(st.fixed_dictionaries({}, optional=optional))


@operation("identities.listIdentities")
def lists_identities(history: History, data: Drawing) -> dict[str, Any]:
    optional = {**_page_of(list(history.model.identities.values())), "environment": st.sampled_from(["default", "x"])}
    return data.draw(st.fixed_dictionaries({}, optional=optional))


@operation("identities.updateIdentity", often=2)
def updates_an_identity(history: History, data: Drawing) -> dict[str, Any]:
    limit = st.fixed_dictionaries({"name": LIMIT_NAMES, "limit": LIMITS, "duration": DURATIONS})
    selector = {"externalId": data.draw(EXTERNAL_IDS)}
    if data.draw(st.booleans()):
        selector = {"identityId": history.some(data, list(history.model.identities.values()))}
    optional = {
        "externalId": EXTERNAL_IDS,
        "environment": st.sampled_from(["default", "default", "live"]),
        "meta": METAS,
        "ratelimits": st.lists(limit, max_size=2),
    }
    members = data.draw(st.fixed_dictionaries({}, optional=optional))
    return {**selector, **members} if data.draw(st.integers(0, 9)) else members


@operation("identities.deleteIdentity")
def deletes_an_identity(history: History, data: Drawing) -> dict[str, Any]:
    return {"identityId": history.some(data, list(history.model.identities.values()))}


@operation("permissions.getPermission")
def gets_a_permission(history: History, data: Drawing) -> dict[str, Any]:
    return {"permissionId": history.some(data, list(history.model.permissions.values()))}


@operation("permissions.listPermissions")
def lists_permissions(_history: History, _data: Drawing) -> dict[str, Any]:
    return {}


@operation("permissions.deletePermission")
def deletes_a_permission(history: History, data: Drawing) -> dict[str, Any]:
    return {"permissionId": history.some(data, list(history.model.permissions.values()))}


@operation("permissions.getRole")
def gets_a_role(history: History, data: Drawing) -> dict[str, Any]:
    return {"roleId": history.some(data, list(history.model.roles.values()))}


@operation("permissions.listRoles")
def lists_roles(_history: History, _data: Drawing) -> dict[str, Any]:
    return {}


@operation("permissions.deleteRole")
def deletes_a_role(history: History, data: Drawing) -> dict[str, Any]:
    return {"roleId": history.some(data, list(history.model.roles.values()))}


def _page_of(items: list[Any]) -> dict[str, st.Some]:
    cursors = [item.id.value for item in items if item.id.value] + ["", "zzz"]
    return {"limit": st.integers(1, 3), "cursor": st.sampled_from(cursors)}


@operation("apis.listKeys", often=3)
def lists_keys(history: History, data: Drawing) -> dict[str, Any]:
    optional = {
        **_page_of(history.model.keys),
        "externalId": EXTERNAL_IDS,
        "ownerId": EXTERNAL_IDS,
        "decrypt": st.sampled_from(["true", "false", "", "no", "1"]),
        "revalidateKeysCache": st.sampled_from(["true", "false"]),
    }
    return {"apiId": history.some_api(data), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("apis.deleteKeys")
def deletes_the_keys_of_an_api(history: History, data: Drawing) -> dict[str, Any]:
    permanent = st.fixed_dictionaries({}, optional={"permanent": st.booleans()})
    return {"apiId": history.some_api(data), **data.draw(permanent)}


@operation("apis.deleteApi")
def deletes_an_api(history: History, data: Drawing) -> dict[str, Any]:
    return {"apiId": history.some_api(data)}


@operation("ratelimits.limit", often=5)
def takes_from_a_limit(history: History, data: Drawing) -> dict[str, Any]:
    required = {"identifier": IDENTIFIERS, "limit": LIMITS, "duration": DURATIONS}
    optional = {
        "namespace": NAMESPACES,
        "cost": st.sampled_from([0, 1, 1.0, 2, 7, 2**40]),
        "async": st.booleans(),
        "meta": st.just({"a": None, "b": 1.5}),
        "resources": st.just([{"type": "server", "id": "s1", "meta": {"a": True}}]),
    }
    return data.draw(st.fixed_dictionaries(required, optional=optional))


def _namespace(history: History, data: Drawing) -> dict[str, Any]:
    """Mostly one that is there; else by both members, or by none."""
    namespace_id = history.some(data, list(history.model.namespaces.values()))
    by_name = {"namespaceName": data.draw(st.sampled_from(list(history.model.namespaces)))}
    odd = [
        {"namespaceName": "nowhere"},
        {"namespaceId": "", **by_name},
        {"namespaceId": namespace_id, "namespaceName": "nowhere"},
        {"namespaceName": ""},
        {},
    ]
    return data.draw(st.sampled_from([*[by_name] * 5, *[{"namespaceId": namespace_id}] * 5, *odd]))


def _override(history: History, data: Drawing) -> dict[str, Any]:
    known = [(name, pattern) for name, item in history.model.namespaces.items() for pattern in item.overrides if name]
    if known and data.draw(st.booleans()):
        name, pattern = data.draw(st.sampled_from(known))
        return {"namespaceName": name, "identifier": pattern}
    return {**_namespace(history, data), "identifier": data.draw(PATTERNS)}


@operation("ratelimits.setOverride", often=3)
def sets_an_override(history: History, data: Drawing) -> dict[str, Any]:
    values = st.fixed_dictionaries(
        {"limit": st.integers(0, 4), "duration": DURATIONS}, optional={"async": st.booleans()}
    )
    return {**_override(history, data), **data.draw(values)}


@operation("ratelimits.getOverride")
def gets_an_override(history: History, data: Drawing) -> dict[str, Any]:
    return _override(history, data)


@operation("ratelimits.listOverrides")
def lists_overrides(history: History, data: Drawing) -> dict[str, Any]:
    known = [item for namespace in history.model.namespaces.values() for item in namespace.overrides.values()]
    return {**_namespace(history, data), **data.draw(st.fixed_dictionaries({}, optional=_page_of(known)))}


@operation("ratelimits.deleteOverride")
def deletes_an_override(history: History, data: Drawing) -> dict[str, Any]:
    return _override(history, data)


@operation("ratelimits.listNamespaces")
def lists_namespaces(history: History, data: Drawing) -> dict[str, Any]:
    return data.draw(st.fixed_dictionaries({}, optional=_page_of(list(history.model.namespaces.values()))))


def _key_from_elsewhere(history: History, data: Drawing, limits: st.Some) -> dict[str, Any]:
    secrets = history.secrets_elsewhere
    names: list[str] = [permission.name for permission in history.model.permissions.values()]
    # A name that two permissions share is ambiguous.
    clear = [name for name in names if names.count(name) == 1] + list(history.model.permissions)
    optional = {
        "start": st.sampled_from(["", "old_"]),
        "prefix": st.just("ignored"),
        "name": KEY_NAMES,
        "ownerId": EXTERNAL_IDS,
        "meta": METAS,
        "roles": st.lists(st.sampled_from([*list(history.model.roles) * 5, "no such role"]), max_size=2),
        "permissions": st.lists(st.sampled_from([*clear * 5, "no.such"]), max_size=2),
        "expires": st.sampled_from([0, history.model.now + 60_000]),
        "enabled": st.booleans(),
        "environment": st.just("test"),
        "ratelimit": limits,
    }
    item: dict[str, Any] = data.draw(st.fixed_dictionaries({}, optional=optional))
    if data.draw(st.booleans()):
        item |= {"plaintext": data.draw(st.sampled_from([*secrets, *secrets, ""]))}
    if not item.get("plaintext") or data.draw(st.booleans()):
        item |= {"hash": {"value": hashed(data.draw(st.sampled_from(secrets))), "variant": "sha256_base64"}}
    if data.draw(st.booleans()):
        item |= {"remaining": data.draw(st.integers(1, 4)), "refill": data.draw(REFILLS)}
        if item["refill"]["interval"] == "daily":
            item["refill"].pop("refillDay", None)
    return item


@operation("migrations.createKeys", often=3)
def imports_keys(history: History, data: Drawing) -> list[Any]:
    limits = st.fixed_dictionaries(
        {"limit": LIMITS, "refillRate": LIMITS, "refillInterval": st.sampled_from([1, 1000, 60_000])},
        optional={"async": st.booleans(), "type": st.sampled_from(["fast", "consistent"])},
    )
    items = []
    for _ in range(data.draw(st.integers(0, 3))):
        item = {"apiId": history.some_api(data), **_key_from_elsewhere(history, data, limits)}
        odd: dict[str, st.Some] = {
            "externalId": EXTERNAL_IDS | st.just(""),
            "hash": st.just({"value": f"no hash {history.model.workspace_id}", "variant": "sha256_base64"}),
        }
        item |= data.draw(st.fixed_dictionaries({}, optional=odd))
        if data.draw(st.integers(0, 19)) == 0:
            item |= data.draw(st.sampled_from([{"plaintext": ""}, {"refill": {"interval": "daily", "amount": 1}}]))
            item.pop(data.draw(st.sampled_from(["hash", "remaining"])), None)
        items.append(item)
    return items


@operation("migrations.enqueueKeys", often=2)
def queues_keys(history: History, data: Drawing) -> dict[str, Any]:
    limits = st.fixed_dictionaries({"limit": LIMITS, "duration": DURATIONS}, optional={"refillInterval": st.just(1)})
    items = [_key_from_elsewhere(history, data, limits) for _ in range(data.draw(st.integers(0, 3)))]
    if items and data.draw(st.integers(0, 9)) == 0:
        items[-1].pop("hash", None)
    return {"migrationId": "spring", "apiId": history.some_api(data), "keys": items}


@operation("analytics.getVerifications", often=4)
def counts_verifications_of_an_api(history: History, data: Drawing) -> dict[str, Any]:
    now, api_id = history.model.now, history.some_api(data)
    times = [event.time for key in history.model.keys if key.api.id.value == api_id for event in key.events]
    around = data.draw(st.sampled_from([now, *times[-8:]]))
    slices = data.draw(st.sampled_from([[], [], ["hour"], ["day"], ["month"], ["hour", "day"]]))
    groups = data.draw(st.lists(st.sampled_from(["key", "identity", "tags", "tag"]), max_size=2))
    hours = st.sampled_from([0, 1, 24, 70]) if slices == ["hour"] else st.sampled_from([1, 24, 70, 24 * 80])
    optional = {
        "end": st.sampled_from([around, around + 1, around + HOUR_MS, around + DAY_MS, now - HOUR_MS]),
        "externalId": EXTERNAL_IDS | st.just(""),
        "keyId": st.builds(lambda: [history.some_key(data), history.some_key(data)]),
        "tag": st.sampled_from([["a"], ["a", "path=/x"]]),
        "orderBy": st.sampled_from(["time", "valid", "insufficientPermissions", "total"]),
        "order": st.sampled_from(["asc", "desc"]),
        "limit": st.integers(1, 3),
    }
    start = hours.map(lambda hours: around // HOUR_MS * HOUR_MS - hours * HOUR_MS)
    members = data.draw(st.fixed_dictionaries({"start": start}, optional=optional))
    if slices == ["hour"]:
        members["end"] = min(members.get("end", now), members["start"] + 4 * DAY_MS)
    return {"apiId": api_id, **members, "groupBy": list(dict.fromkeys([*slices, *groups]))}


@operation("liveness")
def asks_whether_the_server_is_there(history: History, data: Drawing) -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """The one server of all histories."""
    # The clock goes back with every history: what is let go once would be missing in the next one.
    for_ever = {"analytics_hourly_retention_days": 0, "analytics_daily_retention_days": 0}
    with ServerInProcess(tmp_path_factory.mktemp("model"), analytics_interval_s=4, **for_ever) as server:
        yield server


def test_every_operation_is_driven() -> None:
    """No operation is left out of the histories; a new one needs a rule and a method of the model."""
    assert driven == {operation.name for operation in OPERATIONS}
    assert set(SPOILT) == driven - WITHOUT_INPUT


STARTS = st.sampled_from([0, 45 * DAY_MS, 58 * DAY_MS + DAY_MS - 40_000])


@pytest.mark.timeout(0)
def test_every_answer_is_the_expected_one(server: ServerInProcess) -> None:
    """Random histories of all operations are answered exactly as the contract says, call by call, member by member."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize="KEYSTEAD_MODEL_EXAMPLES" not in os.environ,
        # Another seed is another history, not a simpler one.
        phases=[Phase.explicit, Phase.generate],
    )
    @given(seed=hypothesis_strategies.integers(0, 2**64))
    def live_through(seed: int) -> None:
        data = Drawing(seed)
        history = History(server, client, data.draw(STARTS))
        try:
            for _ in range(STEPS):
                data.random.choice(steps)(history, data)
        except Exception as error:
            error.add_note("\n".join(["The history:", *history.calls]))
            raise

    with Connection(server.url) as client:
        live_through()
    # The histories are worth something only if they get far.
    for operation_ in OPERATIONS:
        assert answered[operation_.name, ACCEPTED.get(operation_.name, 200)] > 0, (operation_.name, answered)
    assert {status for _, status in answered} >= {200, 400, 401, 403, 404, 409, 412}
