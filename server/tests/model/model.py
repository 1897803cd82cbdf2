"""What the contract says a server answers, in memory and as plainly as possible (keys-v1 §1 to §4, DECISIONS).

Written from the contract alone: nothing of the server is imported, and nothing here is fast. A method of `Model` is an
operation; it gives the expected answer or raises `Refused`. What the server makes up (ids, secrets) is a `Fresh`, which
takes its value when it is first seen.

Where the contract leaves the order of two refusals open, the server's is taken over; such places say so.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any

DAY_MS = 86_400_000
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
    id: Fresh = field(default_factory=lambda: Fresh.id("perm"))


@dataclass(eq=False)
class Role:
    name: str
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


@dataclass(eq=False)
class Key:
    api: Api
    created_at: int
    secret: Fresh
    start_length: int
    id: Fresh = field(default_factory=lambda: Fresh.id("key"))
    name: str | None = None
    identity: Identity | None = None
    meta: dict[str, Any] | None = None
    expires: int | None = None
    enabled: bool = True
    environment: str | None = None
    recoverable: bool = False
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
    events: list[tuple[int, str]] = field(default_factory=list)

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
        self.used: dict[tuple[int, str, int, int], int] = {}
        self.triggered: str | None = None
        """The limit that rejected the last verification."""

    def answer(self, operation: str, root_key: str | None, members: dict[str, Any]) -> Any:
        """What is expected, or the refusal itself."""
        try:
            return getattr(self, operation.rpartition(".")[2])(root_key, _whole(members))
        except Refused as refused:
            return refused

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
            if api.id.value == api_id:
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
        apis = sorted(self.apis, key=lambda api: str(api.id.value))
        page = [api for api in apis if str(api.id.value) > m.get("cursor", "")][: m.get("limit", 100)]
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
        return {"apis": listed, "total": len(apis), **({"cursor": page[-1].id} if page else {})}

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
            identity=self._identity_of(m.get("externalId", m.get("ownerId"))),
            meta=m.get("meta"),
            expires=m.get("expires") or None,
            enabled=m.get("enabled", True),
            environment=m.get("environment"),
            recoverable=recoverable,
            remaining=m.get("remaining"),
            considered=self.now,
            limit=(limit["limit"], limit.get("duration", limit.get("refillInterval"))) if limit else None,
        )
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
        decrypt = m.get("decrypt", "").lower() not in ("", "0", "false", "no", "off")
        if decrypt:
            caller.require_for_api("decrypt_key", key.api.id.value)
        boundary = key.due_refill(self.now)
        body: dict[str, Any] = {
            "id": key.id,
            "start": (key.secret.value or "")[: key.start_length],
            "apiId": key.api.id,
            "workspaceId": self.workspace_id,
            "createdAt": key.created_at,
            "roles": [role.name for role in key.roles],
            "permissions": [permission.name for permission in key.permissions],
            "enabled": key.enabled,
            **given(
                name=key.name,
                ownerId=key.identity and key.identity.external_id,
                meta=key.meta,
                updatedAt=max(key.updated_at or 0, boundary) if boundary else key.updated_at,
                expires=key.expires,
                remaining=key.amount if boundary else key.remaining,
                plaintext=key.secret.value if decrypt and key.recoverable else None,
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
        key.is_live = False
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
            key.identity = self._identity_of(owner[0])
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
            keys = [k for k in self.keys if k.is_live and k.identity and k.identity.external_id == m["ownerId"]]
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
            for time, outcome in key.events:
                day = time // DAY_MS * DAY_MS
                if start <= end and start // DAY_MS <= time // DAY_MS <= end // DAY_MS and outcome in _COUNTED:
                    counts = days.setdefault(day, {"time": day, "success": 0, "rateLimited": 0, "usageExceeded": 0})
                    counts[_COUNTED[outcome]] += 1
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
        key.events.append((self.now, outcome))
        return {
            "valid": outcome == "VALID",
            "code": outcome,
            "keyId": key.id,
            "enabled": key.enabled,
            "permissions": key.slugs(),
            "roles": [role.name for role in key.roles],
            **given(
                name=key.name,
                ownerId=key.identity and key.identity.external_id,
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

    def _limits_of(self, key: Key, m: Any) -> dict[str, tuple[int, int, int, int]]:
        """§4.3: name → (whose counter, limit, duration, cost), in merged order."""
        owner = id(key.identity or key)
        configured = {}
        if key.identity:
            configured = {name: (id(key.identity), *limit) for name, limit in key.identity.limits.items()}
        in_effect = {}
        if key.limit:
            configured["default"] = (id(key), *key.limit)
            in_effect["default"] = (id(key), *key.limit, m.get("ratelimit", {}).get("cost", 1))
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

    def _take(self, limits: dict[str, tuple[int, int, int, int]]) -> list[tuple[str, bool, dict[str, int]]]:
        """§4.4: (name, accepted, what is reported) for each."""
        readings = []
        for name, (whose, limit, duration, cost) in limits.items():
            window = self.now // duration
            counter = (whose, name, duration, window)
            used = self.used.get(counter, 0)
            accepted = used < limit and used + cost <= limit
            if accepted:
                used = self.used[counter] = used + cost
            told = {"limit": limit, "remaining": max(0, limit - used), "reset": (window + 1) * duration}
            readings.append((name, accepted, told))
        return readings

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
        role = next((role for role in self.roles.values() if role.id.value == m["roleId"]), None)
        if role is None:
            raise Refused(404)
        links = Links(caller, role.permissions, self.permissions, Permission, "permission", "role")
        return links.set(links.choose_for_set(m["permissions"]))

    def createPermission(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("rbac.*.create_permission")
        slug = m.get("slug", m["name"])
        if slug in self.permissions:
            raise Refused(409)
        self.permissions[slug] = Permission(slug, m["name"])
        return {"permissionId": self.permissions[slug].id}

    def createRole(self, root_key: str | None, m: Any) -> Any:
        self.caller(root_key).require("rbac.*.create_role")
        if m["name"] in self.roles:
            raise Refused(409)
        self.roles[m["name"]] = Role(m["name"])
        return {"roleId": self.roles[m["name"]].id}

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
                limits = [
                    {"name": name, "limit": limit, "duration": duration}
                    for name, (limit, duration) in identity.limits.items()
                ]
                return {**_identity_with_meta(identity), "ratelimits": limits}
        raise Refused(404)

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
