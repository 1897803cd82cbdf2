"""What the contract says a server answers, in memory and as plainly as possible (keys-v1, other-v1, DECISIONS).

Written from the contract alone: nothing of the server is imported, and nothing here is fast. A method of `Model` is an
operation; it gives the expected answer or raises `Refused`. What the server makes up (ids, secrets) is a `Fresh`, which
takes its value when it is first seen. §1 to §4 alone are those of keys-v1.

Where the contract leaves the order of two refusals open, the server's is taken over; such places say so.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import Any

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
MOST_ATTEMPTS = 10
MAX_INT32 = 2**31 - 1
CLIENT_ADDRESS = "127.0.0.1"

_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
}


_METHODS = {"analytics.getVerifications": "getVerificationsOfApi", "migrations.createKeys": "importKeys"}
"""Those that are not named like their operation."""


class InAnyOrder(list[Any]):
    """Items of an answer whose order the contract leaves open; the members `by` together tell them apart.

    With `order_by` only equals may change places; of them all there are `limit` at most.
    """

    def __init__(self, items: list[Any], *by: str) -> None:
        super().__init__(items)
        self.by = by
        self.order_by: str | None = None
        self.is_descending = False
        self.limit = len(items)


class Refused(Exception):
    """An error: its status decides the code; `message` only where the contract fixes it."""

    def __init__(self, status: int, reason: str | None = None, message: str | None = None) -> None:
        super().__init__(status, reason, message)
        self.status = status
        self.code = _CODES[status]
        self.reason = reason
        self.message = message


class Fresh:
    """A text that the server makes up; `value` is None until it has been seen."""

    def __init__(self, pattern: str) -> None:
        self.pattern = re.compile(pattern)
        self.value: str | None = None

    @staticmethod
    def id(prefix: str) -> "Fresh":
        return Fresh(rf"{prefix}_[1-9A-HJ-NP-Za-km-z]+")

    def __repr__(self) -> str:
        return f"<{self.value or self.pattern.pattern}>"


@dataclass(eq=False)
class Permission:
    slug: str
    name: str
    description: str | None = None
    id: Fresh = field(default_factory=lambda: Fresh.id("perm"))


@dataclass(eq=False)
class Role:
    name: str
    description: str | None = None
    id: Fresh = field(default_factory=lambda: Fresh.id("role"))
    permissions: list[Permission] = field(default_factory=list)

    @property
    def slug(self) -> str:
        """What selectors compare."""
        return self.name


@dataclass(eq=False)
class Identity:
    external_id: str
    meta: dict[str, Any]
    limits: dict[str, tuple[int, int]]
    id: Fresh = field(default_factory=lambda: Fresh.id("id"))


@dataclass(eq=False)
class Api:
    name: str
    id: Fresh = field(default_factory=lambda: Fresh.id("api"))
    settings: dict[str, Any] = field(default_factory=dict)
    is_live: bool = True


@dataclass(eq=False)
class Override:
    identifier: str
    limit: int
    duration: int
    is_async: bool
    id: Fresh = field(default_factory=lambda: Fresh.id("rlor"))

    def matches(self, identifier: str) -> bool:
        """A star is any run of characters but line ends (other-v1 §4.1)."""
        parts = map(re.escape, self.identifier.split("*"))
        return "*" in self.identifier and re.fullmatch(".*".join(parts), identifier) is not None

    def shown(self) -> dict[str, Any]:
        shown = {"id": self.id, "identifier": self.identifier, "limit": self.limit, "duration": self.duration}
        return {**shown, "async": self.is_async}


@dataclass(eq=False)
class Namespace:
    name: str
    id: Fresh = field(default_factory=lambda: Fresh.id("rlns"))
    overrides: dict[str, Override] = field(default_factory=dict)


@dataclass(eq=False)
class Event:
    """A verification."""

    time: int
    outcome: str
    identity: Identity | None
    tags: list[str]


@dataclass(eq=False)
class Queued:
    """A key that waits for its import (other-v1 §5.2)."""

    item: dict[str, Any]
    api: Api
    due: int | None
    attempts: int = 0


@dataclass(eq=False)
class Key:
    api: Api
    created_at: int
    secret: Fresh
    start_length: int = 0
    start: str | None = None
    hash: str | None = None
    """Both those of an imported key."""
    id: Fresh = field(default_factory=lambda: Fresh.id("key"))
    name: str | None = None
    owner_id: str | None = None
    identity: Identity | None = None
    meta: dict[str, Any] | None = None
    expires: int | None = None
    enabled: bool = True
    environment: str | None = None
    kept: Fresh | None = None
    """The secret as it is kept for decryption."""
    updated_at: int | None = None
    remaining: int | None = None
    amount: int | None = None
    day: int | None = None
    last_refill: int | None = None
    considered: int = 0
    limit: tuple[int, int] | None = None
    permissions: list[Permission] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)
    is_live: bool = True
    is_removed: bool = False
    """Removed for good: the secret may be imported again."""
    events: list["Event"] = field(default_factory=list)

    def due_refill(self, now: int) -> int | None:
        """The latest due boundary that lifts the balance (§4.5)."""
        if self.remaining is None or self.amount is None or self.remaining >= self.amount:
            return None
        today = datetime.fromtimestamp(now / 1000, UTC).date()
        while _midnight(today) > self.considered:
            is_last = (today + timedelta(days=1)).month != today.month
            if self.day is None or today.day == self.day or (is_last and self.day > today.day):
                return _midnight(today)
            today -= timedelta(days=1)
        return None

    def refill(self, now: int) -> None:
        """Apply what is due, before the balance is changed."""
        boundary = self.due_refill(now)
        if boundary is not None:
            self.remaining, self.last_refill, self.considered = self.amount, boundary, now
            self.updated_at = max(self.updated_at or 0, boundary)

    def set_balance(self, value: int | None, now: int) -> None:
        """D5: unlimited clears the refill."""
        self.remaining, self.considered = value, now
        if value is None:
            self.amount = self.day = self.last_refill = None

    def slugs(self) -> list[str]:
        """Direct and inherited, unique."""
        held = [*self.permissions, *(permission for role in self.roles for permission in role.permissions)]
        return list(dict.fromkeys(permission.slug for permission in held))


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _whole(value: Any) -> Any:
    """`15.0` is 15 wherever a number is expected, which is not within `meta` (§1.4)."""
    if isinstance(value, dict):
        return {name: member if name == "meta" else _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def given(**members: Any) -> dict[str, Any]:
    """Members that have a value: None is left out (§1.5)."""
    return {name: value for name, value in members.items() if value is not None}


class Caller:
    """A root key as the model knows it."""

    def __init__(self, permissions: set[str]) -> None:
        self._permissions = permissions

    def may(self, *wanted: str) -> bool:
        return "*" in self._permissions or any(slug in self._permissions for slug in wanted)

    def require(self, *wanted: str) -> None:
        if not self.may(*wanted):
            raise Refused(403, "INSUFFICIENT_PERMISSIONS")

    def require_for_api(self, action: str, api_id: str | None) -> None:
        self.require(f"api.*.{action}", f"api.{api_id}.{action}")


class Model:
    """A workspace. `now` is set by whoever drives it."""

    def __init__(self, workspace_id: str, now: int) -> None:
        self.workspace_id = workspace_id
        self.now = now
        self.is_enabled = True
        self.root_keys: dict[str, set[str]] = {}
        self.apis: list[Api] = []
        self.keys: list[Key] = []
        self.permissions: dict[str, Permission] = {}
        self.roles: dict[str, Role] = {}
        self.identities: dict[str, Identity] = {}
        self.namespaces: dict[str, Namespace] = {}
        self.queue: list[Queued] = []
        self.plaintexts: dict[str, str] = {}
        """Hash → of what, for keys that come from elsewhere; whoever drives the model knows."""
        self.used: dict[tuple[Any, ...], int] = {}
        self.kept_answers: dict[tuple[str | None, str, str], tuple[int, Any, Any]] = {}
        self.triggered: str | None = None
        """The limit that rejected the last verification."""

    def answer(self, operation: str, root_key: str | None, members: Any, idempotency_key: str | None = None) -> Any:
        """What is expected, or the refusal itself."""
        try:
            if idempotency_key is None or operation in _NEVER_REPEATED:
                return self._act(operation, root_key, members)
            return self._once(operation, root_key, members, idempotency_key)
        except Refused as refused:
            return refused

    def _act(self, operation: str, root_key: str | None, members: Any) -> Any:
        return getattr(self, _METHODS.get(operation, operation.rpartition(".")[2]))(root_key, _whole(members))

    def _once(self, operation: str, root_key: str | None, members: Any, idempotency_key: str) -> Any:
        """D15: a success is kept for a day; what failed may be tried again."""
        call = (root_key, operation, idempotency_key)
        kept_at, body, kept = self.kept_answers.get(call, (self.now - DAY_MS, None, None))
        if kept_at > self.now - DAY_MS:
            self.caller(root_key)
            if body != members:
                raise Refused(409)
            return kept
        answer = self._act(operation, root_key, members)
        self.kept_answers[call] = (self.now, members, answer)
        return answer

    # Who calls and about what

    def caller(self, root_key: str | None) -> Caller:
        """§2.2, without the permission."""
        if root_key is None:
            raise Refused(401, message="key required")
        if root_key not in self.root_keys:
            raise Refused(401)
        if not self.is_enabled:
            raise Refused(403, message="workspace is disabled")
        return Caller(self.root_keys[root_key])

    def live_key(self, key_id: str) -> Key:
        for key in self.keys:
            if key.id.value == key_id and key.is_live:
                return key
        raise Refused(404, message=f"key {key_id} not found")

    def live_api(self, api_id: str) -> Api:
        for api in self.apis:
            if api.id.value == api_id and api.is_live:
                return api
        raise Refused(404, message=f"api {api_id} not found")

    def by_secret(self, secret: str) -> Key | None:
        return next((key for key in self.keys if key.secret.value == secret and key.is_live), None)

    # Apis

    def createApi(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("api.*.create_api")
        api = Api(m["name"], settings=_api_settings(m))
        self.apis.append(api)
        return {"apiId": api.id, "name": api.name}

    def getApi(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require_for_api("read_api", m["apiId"])
        api = self.live_api(m["apiId"])
        return {"id": api.id, "workspaceId": self.workspace_id, "name": api.name}

    def updateApi(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require_for_api("update_api", m["apiId"])
        api = self.live_api(m["apiId"])
        api.name = m.get("name", api.name)
        api.settings |= _api_settings(m)
        return {}

    def listApis(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("api.*.read_api")
        apis = [api for api in self.apis if api.is_live]
        page, cursor = _page(apis, m)
        listed = [
            {
                "id": api.id,
                "workspaceId": self.workspace_id,
                "name": api.name,
                "storeEncryptedKeys": bool(api.settings.get("storeEncryptedKeys")),
                "deleteProtection": bool(api.settings.get("deleteProtection")),
                **given(
                    ipWhitelist=api.settings.get("ipWhitelist") or None,
                    defaultPrefix=api.settings.get("defaultPrefix"),
                    defaultBytes=api.settings.get("defaultBytes"),
                ),
            }
            for api in page
        ]
        return {"apis": listed, "total": len(apis), **cursor}

    def listKeys(self, root_key: str | None, m: Any) -> Any:
        """other-v1 §1.3."""
        caller = self.caller(root_key)
        caller.require_for_api("read_key", m["apiId"])
        caller.require_for_api("read_api", m["apiId"])
        api = self.live_api(m["apiId"])
        keys = chosen = [key for key in self.keys if key.api is api and key.is_live]
        if "externalId" in m:
            identity = self.identities.get(m["externalId"])
            if identity is None:
                return {"keys": [], "total": 0}
            chosen = [key for key in keys if key.identity is identity]
        elif "ownerId" in m:
            chosen = [key for key in keys if key.owner_id == m["ownerId"]]
        decrypt = _is_yes(m.get("decrypt", ""))
        if decrypt:
            caller.require_for_api("decrypt_key", m["apiId"])
        page, cursor = _page(chosen, m)
        listed = [
            {**self._shown(key, decrypt), "permissions": key.slugs(), **given(environment=key.environment)}
            for key in page
        ]
        return {"keys": listed, "total": len(keys), **cursor}

    def deleteKeys(self, root_key: str | None, m: Any) -> Any:
        """other-v1 §1.4."""
        self.caller(root_key).require_for_api("delete_key", m["apiId"])
        api = self.live_api(m["apiId"])
        permanent = m.get("permanent", False)
        gone = [key for key in self.keys if key.api is api and (not key.is_removed if permanent else key.is_live)]
        for key in gone:
            key.is_live, key.is_removed = False, permanent
        return {"deletedKeys": len(gone)}

    def deleteApi(self, root_key: str | None, m: Any) -> Any:
        """other-v1 §1.5: the secrets of its keys stay reserved."""
        self.caller(root_key).require_for_api("delete_api", m["apiId"])
        api = self.live_api(m["apiId"])
        if api.settings.get("deleteProtection"):
            raise Refused(412, "DELETE_PROTECTED")
        api.is_live = False
        for key in self.keys:
            if key.api is api:
                key.is_live = False
        return {}

    # Keys

    def createKey(self, root_key: str | None, m: Any) -> Any:
        """§3.4."""
        caller = self.caller(root_key)
        caller.require_for_api("create_key", m["apiId"])
        api = self.live_api(m["apiId"])
        recoverable = m.get("recoverable", False)
        if recoverable and not api.settings.get("storeEncryptedKeys"):
            raise Refused(412)
        refill, limit = m.get("refill"), m.get("ratelimit")
        if m.get("remaining") == 0 or (refill and "remaining" not in m):
            raise Refused(400)
        if refill:
            _refuse_day_with_daily(refill)
        if limit and "duration" not in limit and "refillInterval" not in limit:
            raise Refused(400)
        if recoverable:
            caller.require_for_api("encrypt_key", m["apiId"])
        if any(slug not in self.permissions for slug in m.get("permissions", ())):
            caller.require("rbac.*.create_permission")
        if any(name not in self.roles for name in m.get("roles", ())):
            caller.require("rbac.*.create_role")
        prefix = m.get("prefix", api.settings.get("defaultPrefix") or "")
        length = {16: 24, 24: 35, 32: 46}[m.get("byteLength", api.settings.get("defaultBytes") or 16)]
        separated = re.escape(prefix + "_" if prefix else "")
        key = Key(
            api,
            self.now,
            Fresh(rf"{separated}[1-9A-HJ-NP-Za-km-z]{{{length}}}"),
            len(m.get("prefix", "")) + 5,
            name=m.get("name"),
            owner_id=m.get("externalId", m.get("ownerId")),
            identity=self._identity_of(m.get("externalId", m.get("ownerId"))),
            meta=m.get("meta"),
            expires=m.get("expires") or None,
            enabled=m.get("enabled", True),
            environment=m.get("environment"),
            remaining=m.get("remaining"),
            considered=self.now,
            limit=(limit["limit"], limit.get("duration", limit.get("refillInterval"))) if limit else None,
        )
        key.kept = key.secret if recoverable else None
        if refill:
            key.amount, key.day, key.last_refill = refill["amount"], _refill_day(refill), self.now
        for slug in dict.fromkeys(m.get("permissions", ())):
            key.permissions.append(self.permissions.setdefault(slug, Permission(slug, slug)))
        for name in dict.fromkeys(m.get("roles", ())):
            key.roles.append(self.roles.setdefault(name, Role(name)))
        self.keys.append(key)
        return {"keyId": key.id, "key": key.secret}

    def getKey(self, root_key: str | None, m: Any) -> Any:
        """§3.1."""
        caller = self.caller(root_key)
        key = self.live_key(m["keyId"])
        caller.require_for_api("read_key", key.api.id.value)
        decrypt = _is_yes(m.get("decrypt", ""))
        if decrypt:
            caller.require_for_api("decrypt_key", key.api.id.value)
        return self._shown(key, decrypt)

    def _shown(self, key: Key, decrypt: bool) -> dict[str, Any]:
        boundary = key.due_refill(self.now)
        body: dict[str, Any] = {
            "id": key.id,
            "start": (key.secret.value or "")[: key.start_length] if key.start is None else key.start,
            "apiId": key.api.id,
            "workspaceId": self.workspace_id,
            "createdAt": key.created_at,
            "roles": [role.name for role in key.roles],
            "permissions": [permission.name for permission in key.permissions],
            "enabled": key.enabled,
            **given(
                name=key.name,
                ownerId=key.owner_id,
                meta=key.meta,
                updatedAt=max(key.updated_at or 0, boundary) if boundary else key.updated_at,
                expires=key.expires,
                remaining=key.amount if boundary else key.remaining,
                plaintext=key.kept if decrypt else None,
            ),
        }
        if key.amount is not None:
            body["refill"] = {
                "interval": "monthly" if key.day else "daily",
                "amount": key.amount,
                "refillDay": key.day,
                **given(lastRefillAt=boundary or key.last_refill),
            }
        if key.limit:
            limit, duration = key.limit
            body["ratelimit"] = {
                "async": False,
                "limit": limit,
                "duration": duration,
                "refillRate": limit,
                "refillInterval": duration,
            }
        if key.identity:
            body["identity"] = _identity_with_meta(key.identity)
        return body

    def whoami(self, root_key: str | None, m: Any) -> Any:
        """§3.2."""
        caller = self.caller(root_key)
        key = self.by_secret(m["key"])
        if key is None:
            raise Refused(404, message="Key not found")
        caller.require_for_api("read_key", key.api.id.value)
        identity = key.identity and {"id": key.identity.id, "externalId": key.identity.external_id}
        return {
            "id": key.id,
            "createdAt": key.created_at,
            "enabled": key.enabled,
            **given(
                name=key.name,
                remaining=key.amount if key.due_refill(self.now) else key.remaining,
                identity=identity,
                meta=key.meta or None,
                environment=key.environment,
            ),
        }

    def deleteKey(self, root_key: str | None, m: Any) -> Any:
        """§3.3."""
        caller = self.caller(root_key)
        key = self.live_key(m["keyId"])
        caller.require_for_api("delete_key", key.api.id.value)
        key.is_live, key.is_removed = False, m.get("permanent", False)
        return {}

    def updateKey(self, root_key: str | None, m: Any) -> Any:
        """§3.6. Permissions before roles, as the server has it; the contract does not say."""
        caller = self.caller(root_key)
        key = self.live_key(m["keyId"])
        caller.require_for_api("update_key", key.api.id.value)
        refill, limit = m.get("refill"), m.get("ratelimit")
        if refill and "remaining" in m and m["remaining"] is None:
            raise Refused(400)
        if refill:
            _refuse_day_with_daily(refill)
        duration = None
        if limit:
            duration = limit.get("duration", limit.get("refillInterval", key.limit[1] if key.limit else None))
            if duration is None:
                raise Refused(400)
        changes = []
        if "permissions" in m:
            links = Links(caller, key.permissions, self.permissions, Permission, "permission", "key")
            changes.append((links, links.choose_for_set(m["permissions"])))
        if "roles" in m:
            role_links = Links(caller, key.roles, self.roles, Role, "role", "key")
            changes.append((role_links, role_links.choose_for_set(m["roles"])))
        for links, chosen in changes:
            links.set(chosen)
        self._update_record(key, m)
        if limit:
            key.limit = (limit["limit"], duration)
        elif "ratelimit" in m:
            key.limit = None
        return {}

    def _update_record(self, key: Key, m: Any) -> None:
        own = {"name", "externalId", "ownerId", "meta", "expires", "remaining", "refill", "enabled"}
        if not own & set(m):
            return
        key.refill(self.now)
        key.name = m.get("name", key.name)
        owner = [m[member] for member in ("externalId", "ownerId") if member in m]
        if owner:
            key.owner_id, key.identity = owner[0], self._identity_of(owner[0])
        key.meta = m.get("meta", key.meta)
        key.expires = m.get("expires", key.expires) or None
        key.enabled = m.get("enabled", key.enabled)
        if "remaining" in m:
            key.set_balance(m["remaining"], self.now)
        if m.get("refill"):
            key.amount, key.day, key.considered = m["refill"]["amount"], _refill_day(m["refill"]), self.now
        elif "refill" in m:
            key.amount = key.day = key.last_refill = None
        key.updated_at = self.now

    def updateRemaining(self, root_key: str | None, m: Any) -> Any:
        """§3.7."""
        caller = self.caller(root_key)
        key = self.live_key(m["keyId"])
        caller.require_for_api("update_key", key.api.id.value)
        value = m["value"]
        if m["op"] != "set":
            boundary = key.due_refill(self.now)
            balance = key.amount if boundary else key.remaining
            if balance is None or value is None:
                raise Refused(400)
            value = max(0, balance + (value if m["op"] == "increment" else -value))
        if value is not None and not 0 <= value <= MAX_INT32:
            raise Refused(400)
        key.refill(self.now)
        key.set_balance(value, self.now)
        key.updated_at = self.now
        return {"remaining": value}

    def getVerifications(self, root_key: str | None, m: Any) -> Any:
        """§3.8."""
        caller = self.caller(root_key)
        if m.get("keyId"):
            keys = [self.live_key(m["keyId"])]
        elif m.get("ownerId"):
            keys = [key for key in self.keys if key.is_live and key.owner_id == m["ownerId"]]
        else:
            raise Refused(400)
        if not keys:
            raise Refused(404)
        for key in keys:
            caller.require_for_api("read_key", key.api.id.value)
        start = int(m.get("start") or 0) or self.now - DAY_MS
        end = int(m.get("end") or 0) or self.now
        days: dict[int, dict[str, int]] = {}
        for key in keys:
            for event in key.events:
                day = event.time // DAY_MS * DAY_MS
                is_within = start <= end and start // DAY_MS <= day // DAY_MS <= end // DAY_MS
                if is_within and event.outcome in _COUNTED:
                    counts = days.setdefault(day, {"time": day, "success": 0, "rateLimited": 0, "usageExceeded": 0})
                    counts[_COUNTED[event.outcome]] += 1
        return {"verifications": [days[day] for day in sorted(days)]}

    def _identity_of(self, external_id: str | None) -> Identity | None:
        if external_id is None:
            return None
        return self.identities.setdefault(external_id, Identity(external_id, {}, {}))

    # Verification, §4

    def verifyKey(self, _root_key: str | None, m: Any) -> Any:
        self.triggered = None
        key = self.by_secret(m["key"])
        if key is None:
            return {"valid": False, "code": "NOT_FOUND"}
        if not self.is_enabled:
            raise Refused(403, message="workspace is disabled")
        outcome, more = self._judge(key, m)
        key.events.append(Event(self.now, outcome, key.identity, m.get("tags", [])))
        return {
            "valid": outcome == "VALID",
            "code": outcome,
            "keyId": key.id,
            "enabled": key.enabled,
            "permissions": key.slugs(),
            "roles": [role.name for role in key.roles],
            **given(
                name=key.name,
                ownerId=key.owner_id,
                meta=key.meta,
                expires=key.expires,
                environment=key.environment,
                identity=key.identity and _identity_with_meta(key.identity),
            ),
            **more,
        }

    def _judge(self, key: Key, m: Any) -> tuple[str, dict[str, Any]]:
        """§4.2, from step 3 on; with the members that only some outcomes have."""
        if not key.enabled:
            return "DISABLED", {}
        if m.get("apiId") and m["apiId"] != key.api.id.value:
            return "FORBIDDEN", {}
        if key.expires is not None and key.expires < self.now:
            return "EXPIRED", {}
        whitelist = key.api.settings.get("ipWhitelist")
        if whitelist and not any(ip_address(CLIENT_ADDRESS) in ip_network(entry) for entry in whitelist):
            return "FORBIDDEN", {}
        query = m.get("authorization", {}).get("permissions")
        if query not in (None, ""):
            _refuse_malformed(query)
            if not _satisfies(set(key.slugs()), query):
                return "INSUFFICIENT_PERMISSIONS", {}
        more: dict[str, Any] = {}
        readings = self._take(self._limits_of(key, m))
        if readings:
            rejected = [reading for reading in readings if not reading[1]]
            default = [reading for reading in readings if reading[0] == "default"]
            reported = (rejected or default or readings)[0]
            more["ratelimit"] = reported[2]
            if rejected:
                self.triggered = reported[0]
                return "RATE_LIMITED", more
        if key.remaining is None:
            return "VALID", more
        key.refill(self.now)
        cost = m.get("remaining", {}).get("cost", 1)
        if cost > key.remaining:
            return "USAGE_EXCEEDED", {**more, "remaining": key.remaining}
        if cost:
            key.remaining, key.considered = key.remaining - cost, self.now
        return "VALID", {**more, "remaining": key.remaining}

    def _limits_of(self, key: Key, m: Any) -> dict[str, tuple[Any, int, int, int]]:
        """§4.3: name → (whose counter, limit, duration, cost), in merged order."""
        owner = key.identity or key
        configured = {}
        if key.identity:
            configured = {name: (key.identity, *limit) for name, limit in key.identity.limits.items()}
        in_effect = {}
        if key.limit:
            configured["default"] = (key, *key.limit)
            in_effect["default"] = (key, *key.limit, m.get("ratelimit", {}).get("cost", 1))
        for entry in m.get("ratelimits", ()):
            name, cost = entry["name"], entry.get("cost", 1)
            if "limit" in entry and "duration" in entry:
                whose = configured[name][0] if name in configured else owner
                in_effect[name] = (whose, entry["limit"], entry["duration"], cost)
            elif name in configured:
                in_effect[name] = (*configured[name], cost)
            else:
                raise Refused(400)
        return in_effect

    def _take(self, limits: dict[str, tuple[Any, int, int, int]]) -> list[tuple[str, bool, dict[str, int]]]:
        """§4.4: (name, accepted, what is reported) for each."""
        return [
            (name, *self._take_of((whose, name, duration), limit, duration, cost))
            for name, (whose, limit, duration, cost) in limits.items()
        ]

    def _take_of(self, what: tuple[Any, ...], limit: int, duration: int, cost: int) -> tuple[bool, dict[str, int]]:
        """A fixed window aligned to the epoch: whether there is room, and what is reported."""
        window = self.now // duration
        counter = (*what, window)
        used = self.used.get(counter, 0)
        accepted = used < limit and used + cost <= limit
        if accepted:
            used = self.used[counter] = used + cost
        return accepted, {"limit": limit, "remaining": max(0, limit - used), "reset": (window + 1) * duration}

    # Links

    def addPermissions(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        caller.require("rbac.*.add_permission_to_key")
        key = self.live_key(m["keyId"])
        links = Links(caller, key.permissions, self.permissions, Permission, "permission", "key")
        return links.add(m["permissions"], "rbac.*.create_permission")

    def removePermissions(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        caller.require("rbac.*.remove_permission_from_key")
        key = self.live_key(m["keyId"])
        Links(caller, key.permissions, self.permissions, Permission, "permission", "key").remove(m["permissions"])
        return {}

    def setPermissions(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        key = self.live_key(m["keyId"])
        links = Links(caller, key.permissions, self.permissions, Permission, "permission", "key")
        return links.set(links.choose_for_set(m["permissions"]))

    def addRoles(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        caller.require("rbac.*.add_role_to_key")
        key = self.live_key(m["keyId"])
        links = Links(caller, key.roles, self.roles, Role, "role", "key")
        return links.add(m["roles"], "rbac.*.create_role", "rbac.*.create_permission")

    def removeRoles(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        caller.require("rbac.*.remove_role_from_key")
        key = self.live_key(m["keyId"])
        Links(caller, key.roles, self.roles, Role, "role", "key").remove(m["roles"])
        return {}

    def setRoles(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        key = self.live_key(m["keyId"])
        links = Links(caller, key.roles, self.roles, Role, "role", "key")
        return links.set(links.choose_for_set(m["roles"]))

    def setRolePermissions(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        role = _by_id(self.roles, m["roleId"])
        links = Links(caller, role.permissions, self.permissions, Permission, "permission", "role")
        return links.set(links.choose_for_set(m["permissions"]))

    def createPermission(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("rbac.*.create_permission")
        slug = m.get("slug", m["name"])
        if slug in self.permissions:
            raise Refused(409)
        self.permissions[slug] = Permission(slug, m["name"], m.get("description"))
        return {"permissionId": self.permissions[slug].id}

    def createRole(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("rbac.*.create_role")
        if m["name"] in self.roles:
            raise Refused(409)
        self.roles[m["name"]] = Role(m["name"], m.get("description"))
        return {"roleId": self.roles[m["name"]].id}

    def getPermission(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("rbac.*.read_permission")
        return _shown_permission(_by_id(self.permissions, m["permissionId"]))

    def listPermissions(self, root_key: str | None, _m: Any) -> Any:
        self.caller(root_key).require("rbac.*.read_permission")
        return InAnyOrder([_shown_permission(permission) for permission in self.permissions.values()], "slug")

    def deletePermission(self, root_key: str | None, m: Any) -> Any:
        """D10."""
        self.caller(root_key).require("rbac.*.delete_permission")
        permission = _by_id(self.permissions, m["permissionId"])
        del self.permissions[permission.slug]
        for holder in [*self.keys, *self.roles.values()]:
            if permission in holder.permissions:
                holder.permissions.remove(permission)
        return {}

    def getRole(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("rbac.*.read_role")
        return _shown_role(_by_id(self.roles, m["roleId"]))

    def listRoles(self, root_key: str | None, _m: Any) -> Any:
        self.caller(root_key).require("rbac.*.read_role")
        return InAnyOrder([_shown_role(role) for role in self.roles.values()], "name")

    def deleteRole(self, root_key: str | None, m: Any) -> Any:
        """D10."""
        self.caller(root_key).require("rbac.*.delete_role")
        role = _by_id(self.roles, m["roleId"])
        del self.roles[role.name]
        for key in self.keys:
            if role in key.roles:
                key.roles.remove(role)
        return {}

    # Identities

    def createIdentity(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("identity.*.create_identity")
        limits = m.get("ratelimits", [])
        names = [limit["name"] for limit in limits]
        if m["externalId"] in self.identities or len(set(names)) < len(names):
            raise Refused(409)
        kept = {limit["name"]: (limit["limit"], limit["duration"]) for limit in limits}
        identity = self.identities[m["externalId"]] = Identity(m["externalId"], m.get("meta", {}), kept)
        return {"identityId": identity.id}

    def getIdentity(self, root_key: str | None, m: Any) -> Any:
        if "identityId" not in m and "externalId" not in m:
            raise Refused(400)
        own = [f"identity.{m['identityId']}.read_identity"] if "identityId" in m else []
        self.caller(root_key).require("identity.*.read_identity", *own)
        for identity in self.identities.values():
            if m.get("identityId", identity.id.value) != identity.id.value:
                continue
            if "identityId" in m or m["externalId"] == identity.external_id:
                return {**_identity_with_meta(identity), "ratelimits": _limits_of_identity(identity)}
        raise Refused(404)

    def listIdentities(self, root_key: str | None, m: Any) -> Any:
        """other-v1 §3.3; no operation makes an identity of another environment."""
        environment = m.get("environment", "default")
        self.caller(root_key).require("identity.*.read_identity", f"identity.{environment}.read_identity")
        known = list(self.identities.values()) if environment == "default" else []
        page, cursor = _page(known, m)
        listed = [
            {"id": item.id, "externalId": item.external_id, "ratelimits": _limits_of_identity(item)} for item in page
        ]
        return {"identities": listed, "total": len(known), **cursor}

    def updateIdentity(self, root_key: str | None, m: Any) -> Any:
        """other-v1 §3.4: kept limits first, then the new ones."""
        self.caller(root_key).require("identity.*.update_identity")
        if "identityId" not in m and "externalId" not in m:
            raise Refused(400)
        limits = {limit["name"]: (limit["limit"], limit["duration"]) for limit in m.get("ratelimits", ())}
        if len(limits) < len(m.get("ratelimits", ())):
            raise Refused(409)
        if "identityId" in m:
            identity = _by_id(self.identities, m["identityId"])
        else:
            found = self.identities.get(m["externalId"])
            if found is None or m.get("environment", "default") != "default":
                raise Refused(404)
            identity = found
        identity.meta = m.get("meta", identity.meta)
        if "ratelimits" in m:
            kept = {name: limits[name] for name in identity.limits if name in limits}
            identity.limits = kept | limits
        return {**_identity_with_meta(identity), "ratelimits": _limits_of_identity(identity)}

    def deleteIdentity(self, root_key: str | None, m: Any) -> Any:
        """other-v1 §3.5: the keys stay, and what they tell of their owner too."""
        self.caller(root_key).require("identity.*.delete_identity", f"identity.{m['identityId']}.delete_identity")
        identity = _by_id(self.identities, m["identityId"])
        del self.identities[identity.external_id]
        for key in self.keys:
            if key.identity is identity:
                key.identity = None
        return {}

    # Ratelimits, other-v1 §4

    def limit(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        name = m.get("namespace", "default")
        if name not in self.namespaces:
            if not caller.may("ratelimit.*.create_namespace"):
                raise Refused(404)
            caller.require("ratelimit.*.limit")
        namespace = self.namespaces.setdefault(name, Namespace(name))
        caller.require("ratelimit.*.limit", f"ratelimit.{namespace.id.value}.limit")
        limit, duration = m["limit"], m["duration"]
        identifier = m["identifier"]
        matching = [override for override in namespace.overrides.values() if override.matches(identifier)]
        for override in [*filter(None, [namespace.overrides.get(identifier)]), *matching][:1]:
            limit, duration = override.limit, override.duration
        # `async` is ignored (§4.2), so that it makes no counter of its own, as the server has it.
        accepted, told = self._take_of((namespace, identifier, limit, duration), limit, duration, m.get("cost", 1))
        return {"success": accepted, **told}

    def _namespace(self, m: Any) -> Namespace:
        """An empty selector is none; the id wins."""
        if m.get("namespaceId"):
            return _by_id(self.namespaces, m["namespaceId"])
        if m["namespaceName"] not in self.namespaces:
            raise Refused(404)
        return self.namespaces[m["namespaceName"]]

    def setOverride(self, root_key: str | None, m: Any) -> Any:
        _refuse_without_namespace(m)
        self.caller(root_key).require("ratelimit.*.set_override")
        overrides = self._namespace(m).overrides
        values = (m["limit"], m["duration"], m.get("async", False))
        override = overrides.setdefault(m["identifier"], Override(m["identifier"], *values))
        override.limit, override.duration, override.is_async = values
        return {"overrideId": override.id}

    def getOverride(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("ratelimit.*.read_override")
        _refuse_without_namespace(m)
        override = self._namespace(m).overrides.get(m["identifier"])
        if override is None:
            raise Refused(404)
        return override.shown()

    def listOverrides(self, root_key: str | None, m: Any) -> Any:
        _refuse_without_namespace(m)
        self.caller(root_key).require("ratelimit.*.read_override")
        known = list(self._namespace(m).overrides.values())
        page, cursor = _page(known, m)
        return {"overrides": [override.shown() for override in page], "total": len(known), **cursor}

    def deleteOverride(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("ratelimit.*.delete_override")
        _refuse_without_namespace(m)
        overrides = self._namespace(m).overrides
        if m["identifier"] not in overrides:
            raise Refused(404)
        del overrides[m["identifier"]]
        return {}

    def listNamespaces(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("ratelimit.*.read_namespace")
        page, cursor = _page(list(self.namespaces.values()), m)
        listed = [{"id": namespace.id, "name": namespace.name} for namespace in page]
        return {"namespaces": listed, "total": len(self.namespaces), **cursor}

    # Migrations, other-v1 §5

    def importKeys(self, root_key: str | None, items: Any) -> Any:
        """All or nothing."""
        caller = self.caller(root_key)
        for item in items:
            self._roles_named(item)
        for item in items:
            self._permissions_named(item)
        for item in items:
            caller.require_for_api("create_key", item["apiId"])
            self.live_api(item["apiId"])
            refill = item.get("refill")
            if (refill and "remaining" not in item) or not (item.get("plaintext") or "hash" in item):
                raise Refused(400)
            if refill:
                _refuse_day_with_daily(refill)
        hashes = [hashed(item["plaintext"]) if item.get("plaintext") else item["hash"]["value"] for item in items]
        if len(set(hashes)) < len(hashes) or any(self._is_known(hash_) for hash_ in hashes):
            raise Refused(409)
        keys = [
            self._imported(item, self.live_api(item["apiId"]), hash_) for item, hash_ in zip(items, hashes, strict=True)
        ]
        for item, key in zip(items, keys, strict=True):
            external_id = item.get("externalId") or None
            key.owner_id = external_id or item.get("ownerId") or None
            key.identity = self._identity_of(external_id)
            if "ratelimit" in item:
                key.limit = (item["ratelimit"]["limit"], item["ratelimit"]["refillInterval"])
        return {"keyIds": [key.id for key in keys]}

    def enqueueKeys(self, root_key: str | None, m: Any) -> Any:
        caller = self.caller(root_key)
        caller.require_for_api("create_key", m["apiId"])
        if any("plaintext" in item for item in m["keys"]):
            caller.require_for_api("encrypt_key", m["apiId"])
        api = self.live_api(m["apiId"])
        if not all(item.get("hash", {}).get("value") or item.get("plaintext") for item in m["keys"]):
            raise Refused(400)
        self.queue += [Queued(item, api, self.now) for item in m["keys"]]
        return {}

    def run_due(self) -> list[Key]:
        """What the worker makes of the queue now; an item that fails is tried again later, by itself."""
        made = []
        due = [(queued.due, queued) for queued in self.queue if queued.due is not None and queued.due <= self.now]
        for _, queued in sorted(due, key=lambda pair: pair[0]):
            item = queued.item
            hash_ = item.get("hash", {}).get("value") or hashed(item["plaintext"])
            try:
                self.live_api(str(queued.api.id.value))
                if self._is_known(hash_):
                    raise Refused(409)
                key = self._imported(item, queued.api, hash_)
            except Refused:
                queued.attempts += 1
                queued.due = None if queued.attempts == MOST_ATTEMPTS else self.now + 1000 * 2**queued.attempts
                continue
            self.queue.remove(queued)
            key.owner_id = item.get("ownerId") or None
            if "ratelimit" in item:
                key.limit = (item["ratelimit"]["limit"], item["ratelimit"]["duration"])
            made.append(key)
        return made

    def _imported(self, item: Any, api: Api, hash_: str) -> Key:
        refill, plaintext = item.get("refill"), item.get("plaintext")
        roles, permissions = self._roles_named(item), self._permissions_named(item)
        key = Key(
            api,
            self.now,
            Fresh(".*"),
            start=item.get("start", (plaintext or "")[:4]),
            hash=hash_,
            name=item.get("name"),
            meta=item.get("meta"),
            expires=item.get("expires") or None,
            enabled=item.get("enabled", True),
            environment=item.get("environment"),
            remaining=item.get("remaining"),
            considered=self.now,
            roles=roles,
            permissions=permissions,
        )
        key.secret.value = self.plaintexts.get(hash_, plaintext)
        if plaintext:
            key.kept = Fresh(".*")
            key.kept.value = plaintext
        if refill:
            key.amount, key.day, key.last_refill = refill["amount"], _refill_day(refill), self.now
        self.keys.append(key)
        return key

    def _is_known(self, hash_: str) -> bool:
        """Only what is removed for good frees its hash."""
        return any((key.hash or hashed(str(key.secret.value))) == hash_ and not key.is_removed for key in self.keys)

    def _roles_named(self, item: Any) -> list[Role]:
        names = list(dict.fromkeys(item.get("roles", ())))
        if any(name not in self.roles for name in names):
            raise Refused(412)
        return [self.roles[name] for name in names]

    def _permissions_named(self, item: Any) -> list[Permission]:
        """By slug, else by name (other-v1 §9.9)."""
        found = []
        for name in item.get("permissions", ()):
            named = [permission for permission in self.permissions.values() if permission.name == name]
            found += [self.permissions[name]] if name in self.permissions else named[:1]
            if name not in self.permissions and not named:
                raise Refused(412)
        return list(dict.fromkeys(found))

    # Analytics, other-v1 §6

    def getVerificationsOfApi(self, root_key: str | None, m: Any) -> Any:
        start, end, groups = m["start"], m.get("end", self.now), m.get("groupBy", [])
        dimension = next((slice_ for slice_ in ("month", "day", "hour") if slice_ in groups), None)
        order_by = m.get("orderBy", "time" if dimension else None)
        is_descending = "orderBy" in m and m.get("order") == "desc"
        if start >= end or {"tag", "tags"} <= set(groups) or (order_by == "time" and not dimension):
            raise Refused(400)
        self.caller(root_key).require_for_api("read_api", m["apiId"])
        api = self.live_api(m["apiId"])
        if m.get("externalId") and m["externalId"] not in self.identities:
            raise Refused(404)
        identity = self.identities[m["externalId"]] if m.get("externalId") else None
        rows: dict[str, dict[str, Any]] = {}
        for key in self.keys:
            for event in key.events:
                slice_start = _slice_start(event.time, dimension)
                low, high = (
                    (start, end) if dimension in (None, "hour") else (_slice_start(at, "day") for at in (start, end))
                )
                is_wanted = key.api is api and low <= slice_start <= high
                is_wanted &= not m.get("keyId") or key.id.value in m["keyId"]
                is_wanted &= identity is None or event.identity is identity
                is_wanted &= set(m.get("tag", ())) <= set(event.tags)
                if is_wanted:
                    self._count(rows, key, event, slice_start, groups, dimension)
        if not groups and not rows:
            rows[""] = dict.fromkeys(_OUTCOMES.values(), 0) | {"total": 0}
        if dimension and order_by == "time" and not is_descending:
            self._fill_gaps(rows, start, end, groups, dimension)
        by = {"key": "keyId", "identity": "identity", "tag": "tag", "tags": "tags"}
        members = [by[group] for group in by if group in groups]
        series = InAnyOrder(list(rows.values()), *(["time"] if dimension else []), *members)
        series.order_by, series.is_descending, series.limit = order_by, is_descending, m.get("limit", len(rows))
        return series

    def _count(
        self, rows: Any, key: Key, event: Event, slice_start: int, groups: list[str], dimension: str | None
    ) -> None:
        if "identity" in groups and event.identity is None:
            return
        for tag in dict.fromkeys(event.tags) if "tag" in groups else [None]:
            own: dict[str, Any] = {"time": slice_start} if dimension else {}
            if "key" in groups:
                own["keyId"] = key.id.value
            if "identity" in groups and event.identity:
                is_there = self.identities.get(event.identity.external_id) is event.identity
                own["identity"] = {
                    "id": event.identity.id.value,
                    "externalId": event.identity.external_id if is_there else "",
                }
            if "tags" in groups:
                own["tags"] = event.tags
            if tag is not None:
                own["tag"] = tag
            row = rows.setdefault(str(own), dict.fromkeys(_OUTCOMES.values(), 0) | {"total": 0} | own)
            row[_OUTCOMES[event.outcome]] += 1
            row["total"] += 1

    def _fill_gaps(self, rows: Any, start: int, end: int, groups: list[str], dimension: str) -> None:
        """A row for each slice without any."""
        empty = {"key": ("keyId", ""), "tag": ("tag", ""), "tags": ("tags", [])}
        blank = dict(empty[group] for group in empty if group in groups)
        there = {row["time"] for row in rows.values()}
        for slice_start in {_slice_start(at, dimension) for at in range(start, end, HOUR_MS)}:
            if slice_start < _slice_start(end, dimension) and slice_start not in there:
                zeros = dict.fromkeys(_OUTCOMES.values(), 0) | {"total": 0}
                rows[f"gap {slice_start}"] = {**zeros, "time": slice_start, **blank}

    def liveness(self, _root_key: str | None, _m: Any) -> Any:
        return {
            "status": "ok",
            "services": {"metrics": Fresh(r"\w+"), "logger": Fresh(r"\w+"), "ratelimit": Fresh(r"\w+")}
            | {"usagelimit": Fresh(r"\w+")},
        }


class Links:
    """Permissions or roles that are attached to a key or a role (§3.9 to §3.14)."""

    def __init__(
        self, caller: Caller, attached: list[Any], known: dict[str, Any], kind: Any, noun: str, holder: str
    ) -> None:
        self._caller = caller
        self._attached = attached
        self._known = known
        self._kind = kind
        self._noun = noun
        self._holder = holder

    def add(self, selectors: list[Any], *may_create: str) -> Any:
        chosen, missing = self._resolve(selectors)
        if missing:
            self._caller.require(*may_create)
        selected = [self._made(item) for item in chosen]
        before = list(self._attached)
        self._attached += [item for item in selected if item not in before]
        return _named(selected + [item for item in before if item not in selected])

    def remove(self, selectors: list[Any]) -> None:
        self._attached[:] = [item for item in self._attached if not self._is_selected(item, selectors)]

    def choose_for_set(self, selectors: list[Any]) -> list[Any]:
        """What the set will be, after every check (in the order of §3.11)."""
        if selectors and not any(_names_something(selector) for selector in selectors):
            raise Refused(400)
        noun, holder = self._noun, self._holder
        if not all(self._is_selected(item, selectors) for item in self._attached):
            self._caller.require(f"rbac.*.remove_{noun}_from_{holder}")
        chosen, missing = self._resolve(selectors)
        if missing:
            self._caller.require(f"rbac.*.create_{noun}")
        if any(item not in self._attached for item in chosen):
            self._caller.require(f"rbac.*.add_{noun}_to_{holder}")
        return [item for item in chosen if not isinstance(item, str)] + missing

    def set(self, chosen: list[Any]) -> Any:
        selected = [self._made(item) for item in chosen]
        kept = [item for item in self._attached if item in selected]
        self._attached[:] = kept + [item for item in selected if item not in kept]
        return _named(selected)

    def _made(self, item: Any) -> Any:
        if not isinstance(item, str):
            return item
        return self._known.setdefault(item, Permission(item, item) if self._kind is Permission else Role(item))

    def _resolve(self, selectors: list[Any]) -> tuple[list[Any], list[str]]:
        """What is selected in request order, the names of what has to be made in place of what does not exist."""
        chosen: list[Any] = []
        for selector in selectors:
            if not _names_something(selector):
                continue
            found = self._find(selector)
            if found is None and ("id" in selector or not selector.get("create")):
                raise Refused(404)
            item = found or _name_in(selector)
            if item not in chosen:
                chosen.append(item)
        return chosen, [item for item in chosen if isinstance(item, str)]

    def _find(self, selector: Any) -> Any:
        if "id" in selector:
            return next((item for item in self._known.values() if item.id.value == selector["id"]), None)
        return self._known.get(_name_in(selector))

    def _is_selected(self, item: Any, selectors: list[Any]) -> bool:
        return any(_names_something(selector) and self._find(selector) is item for selector in selectors)


def _slice_start(time: int, dimension: str | None) -> int:
    """By the hour unless told otherwise."""
    if dimension == "day":
        return time // DAY_MS * DAY_MS
    if dimension == "month":
        return _midnight(datetime.fromtimestamp(time / 1000, UTC).date().replace(day=1))
    return time // HOUR_MS * HOUR_MS


def hashed(plaintext: str) -> str:
    return b64encode(sha256(plaintext.encode()).digest()).decode()


def _by_id(known: dict[str, Any], item_id: str) -> Any:
    for item in known.values():
        if item.id.value == item_id:
            return item
    raise Refused(404)


def _page(items: list[Any], m: Any) -> tuple[list[Any], dict[str, Any]]:
    """Those of a page, and its cursor (other-v1 §0.6); every id has been seen before."""
    ordered = sorted(items, key=lambda item: str(item.id.value))
    page = [item for item in ordered if str(item.id.value) > m.get("cursor", "")][: m.get("limit", 100)]
    return page, {"cursor": page[-1].id} if page else {}


def _is_yes(word: str) -> bool:
    """D9."""
    return word.lower() not in ("", "0", "false", "no", "off")


def _refuse_without_namespace(m: Any) -> None:
    if not m.get("namespaceId") and not m.get("namespaceName"):
        raise Refused(400)


def _shown_permission(permission: Permission) -> dict[str, Any]:
    return {"slug": permission.slug, **_shown_role(permission)}


def _shown_role(item: Permission | Role) -> dict[str, Any]:
    """An empty description is one."""
    return {"id": item.id, "name": item.name, **given(description=item.description)}


def _limits_of_identity(identity: Identity) -> list[dict[str, Any]]:
    limits = identity.limits.items()
    return [{"name": name, "limit": limit, "duration": duration} for name, (limit, duration) in limits]


def _names_something(selector: Any) -> bool:
    return bool({"id", "slug", "name"} & set(selector))


def _name_in(selector: Any) -> str:
    """`slug` beats `name`; roles have no slug."""
    return str(selector.get("slug", selector.get("name")))


def _named(items: list[Any]) -> list[dict[str, Any]]:
    return [{"id": item.id, "name": item.name} for item in items]


def _api_settings(m: Any) -> dict[str, Any]:
    """Null is back to the default, which for all of them is no value."""
    members = ("ipWhitelist", "defaultPrefix", "defaultBytes", "storeEncryptedKeys", "deleteProtection")
    return {member: m[member] for member in members if member in m}


def _refuse_day_with_daily(refill: Any) -> None:
    if refill["interval"] == "daily" and "refillDay" in refill:
        raise Refused(400)


def _refill_day(refill: Any) -> int | None:
    return refill.get("refillDay", 1) if refill["interval"] == "monthly" else None


def _identity_with_meta(identity: Identity) -> dict[str, Any]:
    return {"id": identity.id, "externalId": identity.external_id, "meta": identity.meta}


_NEVER_REPEATED = ("keys.verifyKey", "keys.whoami", "ratelimits.limit")

_OUTCOMES = {
    "VALID": "valid",
    "NOT_FOUND": "notFound",
    "FORBIDDEN": "forbidden",
    "USAGE_EXCEEDED": "usageExceeded",
    "RATE_LIMITED": "rateLimited",
    "UNAUTHORIZED": "unauthorized",
    "DISABLED": "disabled",
    "INSUFFICIENT_PERMISSIONS": "insufficientPermissions",
    "EXPIRED": "expired",
}

_COUNTED = {"VALID": "success", "RATE_LIMITED": "rateLimited", "USAGE_EXCEEDED": "usageExceeded"}


def _refuse_malformed(query: Any) -> None:
    """§4.6."""
    if isinstance(query, str):
        return
    operands = query.get("and", query.get("or")) if isinstance(query, dict) else None
    if not isinstance(operands, list) or not operands:
        raise Refused(400)
    for operand in operands:
        _refuse_malformed(operand)


def _satisfies(held: set[str], query: Any) -> bool:
    if isinstance(query, str):
        return query in held
    if "and" in query:
        return all(_satisfies(held, operand) for operand in query["and"])
    return any(_satisfies(held, operand) for operand in query["or"])
