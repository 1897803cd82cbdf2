"""Every member of every request: what it takes, what it refuses, and how the refusal names it.

The table is the contract's (keys-v1 §3 and §1.4, other-v1 §0.5 to §6, DECISIONS for the extensions), written down a
second time: it shares nothing with the types of the server, and a member without a row fails a test. Validation comes
before authentication, so a stranger's acceptable request is known by its 401.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import Raw, inspect

from keystead.http.operations import GET, OPERATIONS, Operation
from keystead.testing.server import ServerInProcess

INT32 = 2**31 - 1
INT64 = 2**63 - 1
YEAR_9999_MS = 253_402_300_799_999
ASTRAL = "\N{KEY}"  # one character, two UTF-16 code units
LONG = 1000  # for a text without end, short enough for a query


@dataclass(frozen=True)
class Member:
    """One member. `required` in its object; `nullable`: null is a value."""

    required: bool = False
    nullable: bool = False


@dataclass(frozen=True)
class Text(Member):
    """A text of `low` to `high` UTF-16 code units; None: no end."""

    low: int = 0
    high: int | None = None
    or_empty: bool = False
    is_identifier: bool = False

    @property
    def example(self) -> str:
        return "x" * max(self.low, 1)

    def accepted(self) -> Iterator[Any]:
        yield "x" * self.low
        yield "x" * (self.high or LONG)
        if self.or_empty:
            yield ""
        if self.is_identifier:
            yield "aZ09_.:-"
            return
        yield ASTRAL * ((self.high or LONG) // 2) + "x" * ((self.high or LONG) % 2)
        if self.low == 3:
            yield ASTRAL + "x"

    def refused(self) -> Iterator[Any]:
        yield from (1, 1.5, True, [], {}, ["xxx"])
        if self.low:
            yield "x" * (self.low - 1) if not self.or_empty else "xx"
        if self.low == 3:
            yield ASTRAL
        if self.high:
            yield "x" * (self.high + 1)
            yield ASTRAL * (self.high // 2 + 1)
        if self.is_identifier:
            yield from ("a b c", "a/b/c", "a*b", "äöü", "abc\n", "abc\0", ASTRAL * 3)


@dataclass(frozen=True)
class Integer(Member):
    """A whole number; `15.0` and `1e3` are whole."""

    low: int = -INT64
    high: int = INT64
    usual: int = 16

    @property
    def example(self) -> int:
        return max(self.low, min(self.high, self.usual))

    def accepted(self) -> Iterator[Any]:
        yield from (self.low, self.high, Raw(b"%d.0" % self.example), Raw(b"%d.00e0" % self.example))
        if self.low <= 1000 <= self.high:
            yield from (Raw(b"1e3"), Raw(b"1E+3"), Raw(b"10000.0e-1"))

    def refused(self) -> Iterator[Any]:
        yield from (self.low - 1, self.high + 1, Raw(b"%d.5" % self.example), Raw(b"1e-1"))
        yield from (2**64, 10**30, -(10**30), Raw(b"1e19"), Raw(b"1e400"), Raw(b"9" * 5000))
        yield from (True, False, "16", "", [], [16], {})


@dataclass(frozen=True)
class Flag(Member):
    """True or false, and nothing that looks like it."""

    example = True

    def accepted(self) -> Iterator[Any]:
        yield from (True, False)

    def refused(self) -> Iterator[Any]:
        yield from (0, 1, "true", "false", "", [], {}, 1.0)


@dataclass(frozen=True)
class Choice(Member):
    """One of a few words, spelt exactly so."""

    words: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        return self.words[0]

    def accepted(self) -> Iterator[Any]:
        yield from self.words

    def refused(self) -> Iterator[Any]:
        yield from ("", "other", self.words[0].upper(), 1, True, [], {}, list(self.words))


@dataclass(frozen=True)
class Free(Member):
    """A free-form object; its sizes have tests of their own."""

    example = {"plan": "pro"}

    def accepted(self) -> Iterator[Any]:
        yield from ({}, {"a": None, "b": [1, {}], "": 1.5})

    def refused(self) -> Iterator[Any]:
        yield from ([], [{}], "", "{}", 1, 1.5, True)


@dataclass(frozen=True)
class Query(Member):
    """A permission query: any JSON; how it is judged belongs to verification."""

    example = "billing.read"

    def accepted(self) -> Iterator[Any]:
        yield from ("", "a", {"and": ["a", {"or": ["b"]}]})

    def refused(self) -> Iterator[Any]:
        yield from ()


@dataclass(frozen=True)
class Scalars(Member):
    """A free-form object whose values are no objects and no arrays."""

    example = {"plan": "pro"}

    def accepted(self) -> Iterator[Any]:
        yield from ({}, {"a": None, "": "b", "c": True, "d": 1.5, "e": Raw(b"1e3"), "f": -(2**53)})
        yield {"a": 2**64, "b": -(10**30), "c": 1e308}

    def refused(self) -> Iterator[Any]:
        yield from ([], [{}], "", "{}", 1, 1.5, True, {"a": []}, {"a": {}}, {"a": 1, "b": ["c"]}, {"a": Raw(b"1e400")})


@dataclass(frozen=True)
class Object(Member):
    """An object with known members."""

    members: Any = None

    @property
    def example(self) -> Any:
        return {name: member.example for name, member in self.members.items()}

    def accepted(self) -> Iterator[Any]:
        yield {name: member.example for name, member in self.members.items() if member.required}

    def refused(self) -> Iterator[Any]:
        yield from ([], [{}], "", 1, 1.5, True)


@dataclass(frozen=True)
class Items(Member):
    """An array of `low` to `high` items; None: no end."""

    item: Any = None
    low: int = 0
    high: int | None = None

    @property
    def example(self) -> Any:
        return [self.item.example]

    def accepted(self) -> Iterator[Any]:
        yield [self.item.example] * self.low
        yield [self.item.example] * (self.high or 300)

    def refused(self) -> Iterator[Any]:
        yield from ({}, {"0": self.item.example}, "", "x", 1, 1.5, True)
        if self.low:
            yield [self.item.example] * (self.low - 1)
        if self.high:
            yield [self.item.example] * (self.high + 1)


NAMED = Text(low=1, required=True)
REFILL = {
    "interval": Choice(words=("monthly", "daily"), required=True),
    "amount": Integer(low=1, high=INT32, required=True),
    "refillDay": Integer(low=1, high=31),
}
PAGE_LIMIT = Integer(low=1, high=100)
RATELIMIT = {
    "limit": Integer(low=1, high=INT32, required=True),
    "duration": Integer(low=1),
    "refillInterval": Integer(low=1),
    "refillRate": Integer(low=1, high=INT32),
    "async": Flag(),
    "type": Choice(words=("fast", "consistent")),
}
PERMISSION_SELECTOR = {
    "id": Text(low=3, high=256),
    "slug": Text(low=1, high=128),
    "name": Text(low=1, high=128),
    "create": Flag(),
}
ROLE_SELECTOR = {"id": Text(low=3, high=256), "name": Text(low=1, high=512), "create": Flag()}
PERMISSIONS = {"keyId": NAMED, "permissions": Items(low=1, item=Object(members=PERMISSION_SELECTOR), required=True)}
ROLES = {"keyId": NAMED, "roles": Items(low=1, item=Object(members=ROLE_SELECTOR), required=True)}
API_SETTINGS = {
    "ipWhitelist": Items(item=Text()),
    "defaultPrefix": Text(high=8),
    "defaultBytes": Integer(low=16, high=255),
    "storeEncryptedKeys": Flag(),
    "deleteProtection": Flag(),
}
DESCRIPTION = Text(low=3, high=256, or_empty=True)
IDENTITY_RATELIMITS = Items(
    item=Object(
        members={
            "name": Text(high=256, required=True),
            "limit": Integer(low=1, high=INT32, required=True),
            "duration": Integer(low=1000, required=True),
        }
    )
)
NAMESPACE = {"namespaceId": Text(), "namespaceName": Text(high=512)}
OVERRIDE = {"identifier": Text(high=512, required=True), **NAMESPACE}
INSTANT = {"low": -YEAR_9999_MS, "high": YEAR_9999_MS}
KEY_FROM_ELSEWHERE = {
    "hash": Object(
        members={"value": Text(high=256, required=True), "variant": Choice(words=("sha256_base64",), required=True)}
    ),
    "plaintext": Text(),
    "start": Text(high=256),
    "prefix": Text(high=8),
    "name": Text(high=256),
    "ownerId": Text(high=256),
    "meta": Free(),
    "roles": Items(item=Text(low=1, high=512)),
    "permissions": Items(item=Text(low=1, high=512)),
    "expires": Integer(**INSTANT),
    "remaining": Integer(low=1, high=INT32),
    "refill": Object(members=REFILL),
    "enabled": Flag(),
    "environment": Text(high=256),
}
OUTCOMES = ("valid", "notFound", "forbidden", "usageExceeded", "rateLimited", "unauthorized", "disabled")

REQUESTS: dict[str, Any] = {
    "keys.getKey": {"keyId": NAMED, "decrypt": Flag()},
    "keys.whoami": {"key": NAMED},
    "keys.deleteKey": {"keyId": NAMED, "permanent": Flag()},
    "keys.createKey": {
        "apiId": Text(required=True),
        "prefix": Text(high=16),
        "name": Text(high=256),
        "byteLength": Integer(low=16, high=255),
        "externalId": Text(low=1, high=256),
        "ownerId": Text(low=1, high=256),
        "meta": Free(),
        "roles": Items(item=Text(low=1, high=512)),
        "permissions": Items(item=Text(low=1, high=128)),
        "expires": Integer(**INSTANT),
        "remaining": Integer(low=1, high=INT32),
        "refill": Object(members=REFILL),
        "ratelimit": Object(members=RATELIMIT | {"duration": Integer(low=1000)}),
        "enabled": Flag(),
        "recoverable": Flag(),
        "environment": Text(high=256),
    },
    "keys.verifyKey": {
        "key": NAMED,
        "apiId": Text(),
        "tags": Items(item=Text(low=1, high=128), high=10),
        "authorization": Object(members={"permissions": Query(nullable=True)}),
        "remaining": Object(members={"cost": Integer(low=0)}),
        "ratelimit": Object(members={"cost": Integer(low=0)}),
        "ratelimits": Items(
            item=Object(
                members={
                    "name": NAMED,
                    "cost": Integer(low=0),
                    "limit": Integer(low=0),
                    "duration": Integer(low=1),
                }
            )
        ),
    },
    "keys.updateKey": {
        "keyId": Text(required=True),
        "name": Text(high=256, nullable=True),
        "externalId": Text(low=1, high=256, nullable=True),
        "ownerId": Text(low=1, high=256, nullable=True),
        "meta": Free(nullable=True),
        "expires": Integer(**INSTANT, nullable=True),
        "remaining": Integer(low=0, high=INT32, nullable=True),
        "refill": Object(members=REFILL, nullable=True),
        "ratelimit": Object(members=RATELIMIT, nullable=True),
        "enabled": Flag(),
        "roles": Items(item=Object(members=ROLE_SELECTOR)),
        "permissions": Items(item=Object(members=PERMISSION_SELECTOR)),
    },
    "keys.updateRemaining": {
        "keyId": Text(required=True),
        "op": Choice(words=("set", "increment", "decrement"), required=True),
        "value": Integer(low=-INT32 - 1, high=INT32, required=True, nullable=True),
    },
    "keys.getVerifications": {
        "keyId": Text(),
        "ownerId": Text(),
        "start": Integer(**INSTANT),
        "end": Integer(**INSTANT),
        "granularity": Choice(words=("day",)),
    },
    "keys.addPermissions": PERMISSIONS,
    "keys.removePermissions": PERMISSIONS,
    "keys.setPermissions": PERMISSIONS,
    "keys.addRoles": ROLES,
    "keys.removeRoles": ROLES,
    "keys.setRoles": ROLES,
    "apis.createApi": {"name": Text(low=3, high=256, required=True), **API_SETTINGS},
    "apis.getApi": {"apiId": NAMED},
    "apis.listKeys": {
        "apiId": NAMED,
        "limit": PAGE_LIMIT,
        "cursor": Text(),
        "externalId": Text(low=1),
        "ownerId": Text(low=1),
        "decrypt": Flag(),
        "revalidateKeysCache": Flag(),
    },
    "apis.deleteKeys": {"apiId": NAMED, "permanent": Flag()},
    "apis.deleteApi": {"apiId": NAMED},
    "apis.updateApi": {
        "apiId": NAMED,
        "name": Text(low=3, high=256),
        "ipWhitelist": Items(item=Text(), nullable=True),
        "defaultPrefix": Text(high=8, nullable=True),
        "defaultBytes": Integer(low=16, high=255, nullable=True),
        "storeEncryptedKeys": Flag(nullable=True),
        "deleteProtection": Flag(nullable=True),
    },
    "apis.listApis": {"limit": PAGE_LIMIT, "cursor": Text()},
    "permissions.createPermission": {
        "name": Text(low=3, high=256, is_identifier=True, required=True),
        "slug": Text(low=3, high=128, is_identifier=True),
        "description": DESCRIPTION,
    },
    "permissions.getPermission": {"permissionId": NAMED},
    "permissions.listPermissions": {},
    "permissions.deletePermission": {"permissionId": Text(required=True)},
    "permissions.createRole": {"name": Text(low=3, high=256, required=True), "description": DESCRIPTION},
    "permissions.getRole": {"roleId": NAMED},
    "permissions.listRoles": {},
    "permissions.deleteRole": {"roleId": Text(required=True)},
    "permissions.setRolePermissions": {
        "roleId": NAMED,
        "permissions": Items(item=Object(members=PERMISSION_SELECTOR), required=True),
    },
    "identities.createIdentity": {
        "externalId": Text(low=3, high=256, required=True),
        "meta": Free(),
        "ratelimits": IDENTITY_RATELIMITS,
    },
    "identities.getIdentity": {"identityId": Text(low=1), "externalId": Text(low=1)},
    "identities.listIdentities": {"environment": Text(), "limit": PAGE_LIMIT, "cursor": Text()},
    "identities.updateIdentity": {
        "identityId": Text(low=1),
        "externalId": Text(low=1),
        "environment": Text(),
        "meta": Free(),
        "ratelimits": IDENTITY_RATELIMITS,
    },
    "identities.deleteIdentity": {"identityId": NAMED},
    "ratelimits.limit": {
        "namespace": Text(high=512),
        "identifier": Text(required=True),
        "limit": Integer(low=1, high=INT32, required=True),
        "duration": Integer(low=1000, required=True),
        "cost": Integer(low=0),
        "async": Flag(),
        "meta": Scalars(),
        "resources": Items(
            item=Object(
                members={
                    "type": Text(required=True),
                    "id": Text(required=True),
                    "name": Text(),
                    "meta": Scalars(),
                }
            )
        ),
    },
    "ratelimits.setOverride": {
        **NAMESPACE,
        "identifier": Text(low=3, high=512, required=True),
        "limit": Integer(low=0, high=INT32, required=True),
        "duration": Integer(low=1000, high=INT32, required=True),
        "async": Flag(),
    },
    "ratelimits.getOverride": OVERRIDE,
    "ratelimits.listOverrides": {**NAMESPACE, "limit": PAGE_LIMIT, "cursor": Text()},
    "ratelimits.deleteOverride": OVERRIDE,
    "ratelimits.listNamespaces": {"limit": PAGE_LIMIT, "cursor": Text()},
    "migrations.createKeys": Items(
        high=100,
        item=Object(
            members={
                "apiId": Text(required=True),
                **KEY_FROM_ELSEWHERE,
                "externalId": Text(high=256),
                "ratelimit": Object(
                    members={
                        "limit": Integer(low=1, high=INT32, required=True),
                        "refillRate": Integer(low=1, high=INT32, required=True),
                        "refillInterval": Integer(low=1, required=True),
                        "async": Flag(),
                        "type": Choice(words=("fast", "consistent")),
                    }
                ),
            }
        ),
    ),
    "migrations.enqueueKeys": {
        "migrationId": Text(high=256, required=True),
        "apiId": Text(required=True),
        "keys": Items(
            high=100,
            required=True,
            item=Object(
                members={
                    **KEY_FROM_ELSEWHERE,
                    "ratelimit": Object(members=RATELIMIT | {"duration": Integer(low=1000, required=True)}),
                }
            ),
        ),
    },
    "analytics.getVerifications": {
        "apiId": Text(required=True),
        "start": Integer(**INSTANT, usual=-YEAR_9999_MS, required=True),
        "end": Integer(**INSTANT, usual=YEAR_9999_MS),
        "externalId": Text(),
        "keyId": Items(item=Text()),
        "tag": Items(item=Text()),
        "groupBy": Items(item=Choice(words=("hour", "day", "month", "key", "identity", "tags", "tag"))),
        "orderBy": Choice(words=(*OUTCOMES, "insufficientPermissions", "expired", "total", "time")),
        "order": Choice(words=("asc", "desc")),
        "limit": Integer(low=1),
    },
    "liveness": {},
}
"""Operation → its request's members, as the contract has them; or what its body is an array of."""

SHAPES = {
    name: request if isinstance(request, Items) else Object(members=request) for name, request in REQUESTS.items()
}

IMPOSSIBLE_TOGETHER = {
    ("analytics.getVerifications", ("start",), YEAR_9999_MS): "start must be before end",
    ("analytics.getVerifications", ("end",), -YEAR_9999_MS): "start must be before end",
}
"""Ends of ranges that are acceptable, but leave no acceptable value for another member, with what is said to them."""

BY_NAME = {operation.name: operation for operation in OPERATIONS}
Path = tuple[str, ...]


def walk(member: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every member within `member` with its path; items of arrays are called `0`."""
    inner = {"0": member.item} if isinstance(member, Items) else getattr(member, "members", {})
    for name, held in inner.items():
        yield (*at, name), held
        yield from walk(held, (*at, name))


def paths_of(kind: inspect.Type, at: Path = ()) -> Iterator[Path]:
    """The same of a msgspec type."""
    if isinstance(kind, inspect.Metadata):
        yield from paths_of(kind.type, at)
    elif isinstance(kind, inspect.UnionType):
        for option in kind.types:
            yield from paths_of(option, at)
    elif isinstance(kind, inspect.ListType):
        yield (*at, "0")
        yield from paths_of(kind.item_type, (*at, "0"))
    elif isinstance(kind, inspect.StructType):
        for field in kind.fields:
            yield (*at, field.encode_name)
            yield from paths_of(field.type, (*at, field.encode_name))


def body_of(operation: str) -> Any:
    """A request that gives every member."""
    return SHAPES[operation].example


def put(holder: Any, path: Path, value: Any) -> Any:
    """`holder` with the value at `path` replaced; at the empty path it is the whole."""
    if not path:
        return value
    name, *rest = path
    if isinstance(holder, list):
        return [put(holder[0], tuple(rest), value) if rest else value]
    return holder | {name: put(holder[name], tuple(rest), value) if rest else value}


def drop(holder: Any, path: Path) -> Any:
    """`holder` without the member at `path`."""
    name, *rest = path
    if isinstance(holder, list):
        return [drop(holder[0], tuple(rest))]
    if rest:
        return holder | {name: drop(holder[name], tuple(rest))}
    return {other: value for other, value in holder.items() if other != name}


def send(client: httpx.Client, operation: Operation, request: Any) -> httpx.Response:
    """The answer to a request, in the body or the query; there a list is a parameter that is repeated."""
    if operation.method == GET:
        params = {
            name: [as_text(each) for each in value] if isinstance(value, list) else as_text(value)
            for name, value in request.items()
        }
        return client.get(operation.path, params=params)
    return client.post(
        operation.path, content=msgspec.json.encode(request), headers={"Content-Type": "application/json"}
    )


def as_text(value: Any) -> str:
    """A value as a query has it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def is_acceptable(answer: httpx.Response) -> bool:
    """Whether a stranger got past validation."""
    return answer.status_code == 401 or (answer.status_code == 200 and "code" in answer.json())


def message_of(answer: httpx.Response) -> str:
    """The message of a 400."""
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "BAD_REQUEST"
    message: str = error["message"]
    return message


def rows_of(server: ServerInProcess) -> dict[str, int]:
    """Table → number of rows: what a refused call must not change."""
    with closing(sqlite3.connect(server.settings.database_path)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: database.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in tables}


EVERY_MEMBER = [
    pytest.param(operation, path, member, id=f"{operation}:{'.'.join(path)}")
    for operation, shape in SHAPES.items()
    for path, member in ([((), shape)] if isinstance(shape, Items) else []) + list(walk(shape))
]
"""The members of every request, and the bodies that are arrays, whose path is empty."""
BODY_MEMBERS = [parameter for parameter in EVERY_MEMBER if BY_NAME[parameter.values[0]].method != GET]
QUERY_MEMBERS = [parameter for parameter in EVERY_MEMBER if BY_NAME[parameter.values[0]].method == GET]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_member_has_a_row(operation: Operation) -> None:
    """The table of this module has exactly the members that the server's request types have."""
    rows = {path for path, _ in walk(SHAPES[operation.name])}
    assert rows == set(paths_of(inspect.type_info(operation.request)))


@pytest.mark.parametrize(("name", "path", "member"), EVERY_MEMBER)
def test_ends_of_ranges_are_accepted(stranger: httpx.Client, name: str, path: Path, member: Any) -> None:
    """Both ends of every length and range, and every spelling of an allowed value, pass validation."""
    operation = BY_NAME[name]
    for value in member.accepted():
        answer = send(stranger, operation, put(body_of(name), path, value))
        impossible = [text for at, text in IMPOSSIBLE_TOGETHER.items() if at == (name, path, value)]
        if impossible:
            assert message_of(answer) == impossible[0]
        else:
            assert is_acceptable(answer), (value, answer.text)


@pytest.mark.parametrize(("name", "path", "member"), BODY_MEMBERS)
def test_bad_values_are_refused_by_name(
    server: ServerInProcess, caller: httpx.Client, api_id: str, name: str, path: Path, member: Any
) -> None:
    """What lies beyond an end, or has another JSON type, is 400 naming the member, and nothing is written."""
    operation = BY_NAME[name]
    body = body_of(name)
    for at in [at for at, _ in walk(SHAPES[name]) if at[-1] == "apiId"]:
        body = put(body, at, api_id)
    before = rows_of(server)
    for value in member.refused():
        message = message_of(send(caller, operation, put(body, path, value)))
        assert message.startswith(f"{'.'.join(path)}: "), (value, message)
    assert rows_of(server) == before


@pytest.mark.parametrize(("name", "path", "member"), BODY_MEMBERS)
def test_null(stranger: httpx.Client, name: str, path: Path, member: Any) -> None:
    """Null is a value where the contract says so, and a mistake everywhere else."""
    answer = send(stranger, BY_NAME[name], put(body_of(name), path, None))
    if member.nullable:
        assert is_acceptable(answer), answer.text
    else:
        assert message_of(answer).startswith(f"{'.'.join(path)}: ")


@pytest.mark.parametrize(("name", "path", "member"), [p for p in EVERY_MEMBER if p.values[1][-1:] not in [(), ("0",)]])
def test_missing(stranger: httpx.Client, name: str, path: Path, member: Any) -> None:
    """A required member that is missing is named as `Required`; any other may be left out."""
    answer = send(stranger, BY_NAME[name], drop(body_of(name), path))
    if member.required:
        assert message_of(answer) == f"{'.'.join(path)}: Required"
    else:
        assert is_acceptable(answer), answer.text


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"+1", b"01", b"1.", b".5", b"0x10", b"1_0"])
@pytest.mark.parametrize(("name", "path", "member"), [p for p in BODY_MEMBERS if isinstance(p.values[2], Integer)])
def test_what_is_no_json_number(stranger: httpx.Client, name: str, path: Path, member: Integer, number: bytes) -> None:
    """Spellings of numbers that JSON does not have are refused, at the latest where they stop being one."""
    message = message_of(send(stranger, BY_NAME[name], put(body_of(name), path, Raw(number))))
    assert message == "the request body is not valid JSON" or message.startswith(f"{'.'.join(path)}: ")


@pytest.mark.parametrize("name", [name for name in REQUESTS if BY_NAME[name].method != GET])
def test_unknown_members_are_ignored(stranger: httpx.Client, name: str) -> None:
    """Members that the contract does not know are ignored at any depth, whatever they hold."""
    unknown = {"unknown": [{"deep": None}, 1.5, True], "NAME": 1, "": {}}

    def with_unknown(member: Any) -> Any:
        if isinstance(member, Object):
            return {name: with_unknown(held) for name, held in member.members.items()} | unknown
        return [with_unknown(member.item)] if isinstance(member, Items) else member.example

    assert is_acceptable(send(stranger, BY_NAME[name], with_unknown(SHAPES[name])))


@pytest.mark.parametrize(("name", "path", "member"), QUERY_MEMBERS)
def test_bad_parameters_are_refused_by_name(stranger: httpx.Client, name: str, path: Path, member: Any) -> None:
    """In a query everything is text: a number out of range or not a number, and a text too short, are refused."""
    refused: list[str] = []
    if isinstance(member, Integer):
        refused = [str(member.low - 1), str(member.high + 1), str(2**64), "9" * 400, "abc", "1.5"]
    elif isinstance(member, Text) and member.low:
        refused = [""]
    elif isinstance(member, Choice):
        refused = [
            "",
            "other",
            member.words[0].upper(),
            f"{member.words[0]},{member.words[-1]}",
            f"[{member.words[0]}]",
        ]
    for value in refused:
        message = message_of(send(stranger, BY_NAME[name], put(body_of(name), path, value)))
        assert message.startswith(f"{'.'.join(path)}: "), (value, message)


LITERAL_TEXTS = [
    ("keys.getKey", {"keyId": ""}, "keyId: String must contain at least 1 character(s)"),
    ("keys.deleteKey", {"keyId": ""}, "keyId: String must contain at least 1 character(s)"),
    ("keys.whoami", {"key": ""}, "key: String must contain at least 1 character(s)"),
    ("keys.verifyKey", {"key": ""}, "key: String must contain at least 1 character(s)"),
    *(
        (f"keys.{verb}{noun.title()}", body, message)
        for noun in ("permissions", "roles")
        for verb in ("add", "remove", "set")
        for body, message in (
            ({"keyId": "", noun: [{}]}, "keyId: String must contain at least 1 character(s)"),
            ({"keyId": "key_1", noun: []}, f"{noun}: Array must contain at least 1 element(s)"),
            ({"keyId": "key_1"}, f"{noun}: Required"),
        )
    ),
    ("keys.createKey", {}, "apiId: Required"),
    ("keys.createKey", {"name": "no api"}, "apiId: Required"),
    ("keys.updateKey", {}, "keyId: Required"),
    ("keys.getKey", {}, "keyId: Required"),
    ("apis.createApi", {"name": "ab"}, "name: String must contain at least 3 character(s)"),
    ("apis.getApi", {"apiId": ""}, "apiId: String must contain at least 1 character(s)"),
    ("identities.createIdentity", {"externalId": "ab"}, "externalId: String must contain at least 3 character(s)"),
    (
        "ratelimits.setOverride",
        {"namespaceId": "rlns_1", "identifier": "", "limit": 1, "duration": 1000},
        "identifier: String must contain at least 3 character(s)",
    ),
    ("migrations.createKeys", [{}], "0.apiId: Required"),
    ("migrations.createKeys", [{"apiId": "a"}] * 101, ": Array must contain at most 100 element(s)"),
    ("migrations.createKeys", {}, ": Expected array, received object"),
]


@pytest.mark.parametrize(("name", "request_", "message"), LITERAL_TEXTS)
def test_literal_texts(stranger: httpx.Client, name: str, request_: Any, message: str) -> None:
    """The texts that interoperability tests compare are exactly these (keys-v1 §1.4)."""
    assert message_of(send(stranger, BY_NAME[name], request_)) == message


SEVERAL = [
    ("keys.createKey", {"apiId": "a", "roles": ["ok", ""]}, "roles.1: "),
    ("keys.createKey", {"apiId": "a", "permissions": ["ok", "x" * 129]}, "permissions.1: "),
    ("keys.createKey", {"apiId": "a", "roles": ["ok", "x" * 513]}, "roles.1: "),
    ("keys.verifyKey", {"key": "k", "tags": ["a", "b", "x" * 129]}, "tags.2: "),
    ("keys.verifyKey", {"key": "k", "ratelimits": [{"name": "a"}, {"name": "a", "cost": -1}]}, "ratelimits.1.cost: "),
    ("keys.verifyKey", {"key": "k", "ratelimits": [{"name": "a"}, {}]}, "ratelimits.1.name: "),
    ("keys.setRoles", {"keyId": "k", "roles": [{}, {"id": "ab"}]}, "roles.1.id: "),
    ("identities.createIdentity", {"externalId": "abc", "ratelimits": [{"name": "n", "limit": 0}]}, "ratelimits.0."),
    ("migrations.createKeys", [{"apiId": "a"}, {"apiId": "a", "ratelimit": {"type": "x"}}], "1.ratelimit"),
    ("migrations.createKeys", [{"apiId": "a"}, {"apiId": "a", "roles": ["ok", ""]}], "1.roles.1: "),
    ("migrations.createKeys", [{"apiId": "a"}, {"apiId": "a", "meta": []}], "1.meta: "),
    ("migrations.enqueueKeys", {"migrationId": "m", "apiId": "a", "keys": [{}, {"start": 1}]}, "keys.1.start: "),
    (
        "ratelimits.limit",
        {"identifier": "i", "limit": 1, "duration": 1000, "resources": [{"type": "t", "id": "i"}, {"type": "t"}]},
        "resources.1.id: ",
    ),
]


@pytest.mark.parametrize(("name", "body", "beginning"), SEVERAL)
def test_position_in_an_array(stranger: httpx.Client, name: str, body: Any, beginning: str) -> None:
    """The path of a bad item names its position."""
    assert message_of(send(stranger, BY_NAME[name], body)).startswith(beginning)
