"""The server beside a model of the contract: after any history of calls every answer is what the model expects.

A few hundred histories by default; `KEYSTEAD_MODEL_EXAMPLES=50000` for a long search.
"""

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as hypothesis_strategies

from keystead.http.operations import OPERATIONS
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import NOW_MS, ServerInProcess

sys.path.insert(0, str(Path(__file__).parent))
import drawing as st
from model import DAY_MS, Fresh, Model, Refused

EXAMPLES = int(os.environ.get("KEYSTEAD_MODEL_EXAMPLES", "200"))
STEPS = 60

METHODS = {operation.name: operation.method for operation in OPERATIONS}

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
UNKNOWN_IDS = ("key_unknown", "api_unknown", "x", "perm_unknown")

ACTIONS = st.sampled_from(
    [
        *(f"api.*.{action}_key" for action in ("create", "read", "update", "delete", "decrypt", "encrypt")),
        *(f"api.*.{action}_api" for action in ("create", "read", "update")),
        *(f"rbac.*.create_{noun}" for noun in ("permission", "role")),
        *(f"rbac.*.{verb}_to_key" for verb in ("add_permission", "add_role")),
        *(f"rbac.*.{verb}_from_key" for verb in ("remove_permission", "remove_role")),
        "rbac.*.add_permission_to_role",
        "rbac.*.remove_permission_from_role",
        "identity.*.create_identity",
        "identity.*.read_identity",
    ]
)
API_ACTIONS = ("create_key", "read_key", "update_key", "delete_key", "decrypt_key", "encrypt_key", "read_api")

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
        elif isinstance(expected, list):
            assert isinstance(actual, list), f"{path}: {actual!r} instead of {expected!r}"
            assert len(actual) == len(expected), f"{path}: {actual!r} instead of {expected!r}"
            for position, value in enumerate(expected):
                self.of(value, actual[position], f"{path}.{position}")
        else:
            assert (type(actual), actual) == (type(expected), expected), f"{path}: {actual!r}, not {expected!r}"

    def _learn(self, expected: Fresh, actual: Any, path: str) -> None:
        if expected.value is None:
            assert isinstance(actual, str), f"{path}: {actual!r}"
            assert expected.pattern.fullmatch(actual), f"{path}: {actual!r} does not match {expected}"
            if "_" in actual:
                assert actual not in self._seen, f"{path}: {actual} was made before"
                self._seen.add(actual)
            expected.value = actual
        assert actual == expected.value, f"{path}: {actual!r}, not {expected}"


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
        self.do("keys.createKey", {**first, "remaining": 3, "refill": refill, "recoverable": True}, self.root_key)

    def make_root_key(self, permissions: list[str]) -> None:
        made = self.server.call(
            lambda: self.operator.create_root_key("history", permissions, self.model.workspace_id, self.clock.now_ms())
        )
        self.model.root_keys[made.key] = set(permissions)

    # One call to both

    def call(self, data: Drawing, operation: str, members: dict[str, Any]) -> None:
        root_key = self.some_root_key(data)
        if operation in SPOILT and data.draw(st.integers(0, 24)) == 0:
            spoilt = {**members, **data.draw(st.sampled_from(SPOILT[operation]))}
            members = {name: value for name, value in spoilt.items() if value is not ...}
            self.compare(operation, self.send(operation, members, root_key), Refused(400))
        else:
            self.do(operation, members, root_key)

    def do(self, operation: str, members: dict[str, Any], root_key: str | None) -> None:
        """Call the server and the model."""
        expected = self.model.answer(operation, root_key, members)
        self.calls.append(f"{self.clock.now_ms()} {operation} {members}")
        self.compare(operation, self.send(operation, members, root_key), expected)

    def send(self, operation: str, members: dict[str, Any], root_key: str | None) -> Answer:
        if operation == "keys.getVerifications":
            while self.server.application.log.transfer.transfer_once():
                pass
        if METHODS[operation] == "GET":
            self.client.send(operation, None, query=members, root_key=root_key)
        else:
            self.client.send(operation, members, root_key=root_key)
        return self.client.receive()

    def compare(self, operation: str, answer: Answer, expected: Any) -> None:
        request_id = answer.headers["unkey-request-id"]
        assert re.fullmatch("req_[a-zA-Z0-9]+", request_id)
        assert answer.headers["content-type"] == "application/json; charset=UTF-8"
        answered[operation, answer.status] += 1
        if isinstance(expected, Refused):
            assert answer.status == expected.status, (answer, expected)
            self._compare_error(answer.json, expected, request_id)
        else:
            assert answer.status == 200, (answer, expected)
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
        return self.some(data, self.model.keys)

    def some_api(self, data: Drawing) -> str:
        return self.some(data, self.model.apis)

    def some_secret(self, data: Drawing) -> str:
        if data.draw(st.integers(0, 29)) == 0:
            return self.root_key
        return self.some(data, self.model.keys, lambda key: key.secret)

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
        self.clock.advance(data.draw(CLOCK_MOVES))
        self.model.now = self.clock.now_ms()

    def a_window_ends(self, data: Drawing) -> None:
        now, duration = self.clock.now_ms(), data.draw(DURATIONS)
        self.clock.set((now // duration + 1) * duration - data.draw(st.integers(0, 1)))
        self.model.now = self.clock.now_ms()

    def another_root_key(self, data: Drawing) -> None:
        permissions = data.draw(st.lists(ACTIONS, min_size=1, max_size=12))
        if self.model.apis and data.draw(st.booleans()):
            permissions = [f"api.{self.model.apis[-1].id.value}.{action}" for action in API_ACTIONS]
        self.make_root_key(permissions)

    def the_workspace_is_disabled_for_a_while(self, data: Drawing) -> None:
        if data.draw(st.integers(0, 9)):
            return
        workspace_id, secret = self.model.workspace_id, self.model.keys[-1].secret.value
        calls = (("keys.verifyKey", {"key": secret}), ("keys.whoami", {"key": secret}))
        for is_enabled in (False, True):
            self.server.write(lambda tx, e=is_enabled: tx.workspaces.set_enabled(workspace_id, e))  # type: ignore[misc]
            self.model.is_enabled = is_enabled
            for operation, members in calls:
                self.do(operation, members, self.root_key)


# The operations

Step = Callable[[History, Drawing], None]

steps: list[Step] = [
    *[History.time_passes] * 3,
    *[History.a_window_ends] * 2,
    History.another_root_key,
    History.the_workspace_is_disabled_for_a_while,
]
driven: set[str] = set()


def operation(name: str, *, often: int = 1) -> Callable[[Callable[[History, Drawing], dict[str, Any]]], Step]:
    """Make a step that calls the operation with the members that the function draws."""

    def make(draw: Callable[[History, Drawing], dict[str, Any]]) -> Step:
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


@operation("keys.createKey", often=2)
def creates_any_key(history: History, data: Drawing) -> dict[str, Any]:
    return _new_key(history, data)


@operation("keys.createKey", often=2)
def creates_a_key_for_a_customer(history: History, data: Drawing) -> dict[str, Any]:
    return _new_key(history, data, "externalId", "roles", "permissions", "meta", "recoverable")


@operation("keys.createKey", often=2)
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


@operation("keys.verifyKey", often=2)
def verifies_a_key(history: History, data: Drawing) -> dict[str, Any]:
    return {"key": history.some_secret(data)}


@operation("keys.verifyKey", often=2)
def verifies_with_costs(history: History, data: Drawing) -> dict[str, Any]:
    costs = st.fixed_dictionaries({}, optional={"cost": st.sampled_from([0, 1, 1.0, 2, 7, 2**40])})
    optional = {"remaining": costs, "ratelimits": st.lists(REQUESTED_LIMITS, max_size=3), "ratelimit": costs}
    return {"key": history.some_secret(data), **data.draw(st.fixed_dictionaries({}, optional=optional))}


@operation("keys.verifyKey", often=2)
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


@operation("liveness")
def asks_whether_the_server_is_there(history: History, data: Drawing) -> dict[str, Any]:
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    """The one server of all histories."""
    with ServerInProcess(tmp_path_factory.mktemp("model"), analytics_interval_s=4) as server:
        yield server


def test_every_operation_is_driven() -> None:
    """No operation is left out of the histories; a new one needs a rule and a method of the model."""
    assert driven == {operation.name for operation in OPERATIONS}
    assert set(SPOILT) == driven - {"liveness"}


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
        assert answered[operation_.name, 200] > 0, (operation_.name, answered)
    assert {status for _, status in answered} >= {200, 400, 401, 403, 404, 409, 412}
