"""analytics.getVerifications, line by line of other-v1 §6 and of its checklist (§10)."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystead.core.entities import Identity
from keystead.core.events import encode_event, encode_subject
from keystead.core.series import COUNTED_OUTCOMES
from keystead.service import analytics
from keystead.testing.server import NOW_MS, ServerInProcess

from .conftest import Tenant

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TODAY_MS = 1_767_225_600_000  # 2026-01-01, the day of NOW_MS
MEMBERS = (
    "valid",
    "notFound",
    "forbidden",
    "usageExceeded",
    "rateLimited",
    "unauthorized",
    "disabled",
    "insufficientPermissions",
    "expired",
)
OPERATION = "analytics.getVerifications"


class Event(NamedTuple):
    """A verification as analytics knows it."""

    time_ms: int
    key_id: str = "key_a"
    outcome: str = "VALID"
    identity_id: str | None = None
    tags: tuple[str, ...] = ()


class Site:
    """An api whose verifications are whatever a test sends."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.server = tenant.server
        self.api_id = tenant.api_id
        api = self.server.read(lambda tx: tx.apis.get(self.api_id, tenant.id))
        assert api is not None
        self.keyspace_id = api.keyspace_id

    def send(self, *events: Event) -> None:
        """Have these events counted."""
        spool = self.server.application.log.spool
        for event in events:
            # Keys of different tests are different keys.
            key_id = f"{event.key_id} of {self.api_id}"
            subject = encode_subject(
                self.tenant.id, str(self.keyspace_id), key_id, event.identity_id, event.identity_id
            )
            spool.record(encode_event(event.time_ms, "req_1", event.outcome, event.tags, subject))
        transfer(self.server)

    def rows(self, **query: Any) -> list[dict[str, Any]]:
        """The answer, with the keys under the names that `send` got."""
        if "keyId" in query:
            given_ids = [query["keyId"]] if isinstance(query["keyId"], str) else query["keyId"]
            query["keyId"] = [key_id and f"{key_id} of {self.api_id}" for key_id in given_ids]
        found: list[dict[str, Any]] = self.tenant.ask(OPERATION, **{"apiId": self.api_id, **query})
        for row in found:
            assert row["total"] == sum(row[member] for member in MEMBERS)
            assert row["notFound"] == row["unauthorized"] == 0
            if "keyId" in row:
                row["keyId"] = row["keyId"].removesuffix(f" of {self.api_id}")
        return found

    def by(self, member: str, **query: Any) -> dict[Any, int]:
        """A member of the rows → their total."""
        rows = self.rows(start=TODAY_MS, end=TODAY_MS + 30 * DAY_MS, **query)
        found = {
            json.dumps(row[member]) if isinstance(row[member], list) else row[member]: row["total"] for row in rows
        }
        assert len(found) == len(rows)
        return found

    def refused(self, **query: Any) -> tuple[int, str, str]:
        """Status, code and message of a refusal."""
        failure = self.tenant.refused(OPERATION, {"apiId": self.api_id, **query})
        return failure.status, failure.code, failure.message

    def identity(self, external_id: str) -> str:
        """A new identity of the workspace; its id."""
        name = self.tenant.name("id")
        identity = Identity(name, self.tenant.id, external_id)
        self.server.write(lambda tx: tx.identities.insert(identity, NOW_MS))
        return name


def transfer(server: ServerInProcess) -> None:
    """Count everything that was recorded, without waiting for the server's own round."""
    log = server.application.log
    log.spool.flush()
    while log.transfer.transfer_once():
        pass


@pytest.fixture
def site(tenant: Tenant) -> Site:
    return Site(tenant)


# --- 6.1 the query, 6.2 the order of checks -----------------------------------------------------------------


def test_a_verification_shows_by_its_outcome(tenant: Tenant, site: Site) -> None:
    """What keys.verifyKey answered is counted under its outcome, in the hour it happened, end being now by default."""
    key_id, secret = tenant.key(remaining=1)
    tenant.verify(secret, tags=["path=/a"])
    tenant.verify(secret)
    tenant.server.clock.advance(HOUR_MS)
    tenant.verify(secret)
    transfer(tenant.server)
    rows = tenant.ask(OPERATION, apiId=tenant.api_id, start=TODAY_MS, groupBy=["hour", "key"])
    zeros = dict.fromkeys(MEMBERS, 0)
    assert rows == [
        {"time": TODAY_MS, **zeros, "valid": 1, "usageExceeded": 1, "total": 2, "keyId": key_id},
        {"time": TODAY_MS + HOUR_MS, **zeros, "usageExceeded": 1, "total": 1, "keyId": key_id},
    ]
    assert tenant.ask(OPERATION, apiId=tenant.api_id, start=TODAY_MS, groupBy="tags", orderBy="total") == [
        {**zeros, "valid": 1, "total": 1, "tags": ["path=/a"]},
        {**zeros, "usageExceeded": 2, "total": 2, "tags": []},
    ]


def test_every_outcome_has_its_member(site: Site) -> None:
    """Each outcome is counted in the member of its name and in the total; without grouping there is one row."""
    site.send(*(Event(TODAY_MS, outcome=o) for n, o in enumerate(COUNTED_OUTCOMES, 1) for _ in range(n)))
    (row,) = site.rows(start=TODAY_MS, end=TODAY_MS + 1)
    assert row == {
        "valid": 1,
        "notFound": 0,
        "forbidden": 2,
        "usageExceeded": 3,
        "rateLimited": 4,
        "unauthorized": 0,
        "disabled": 5,
        "insufficientPermissions": 6,
        "expired": 7,
        "total": 28,
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"apiId": None}, "apiId: Required"),
        ({"start": None}, "start: Required"),
        ({"start": "soon"}, "start: Expected number, received text"),
        ({"start": "1.5"}, "start: Expected integer"),
        ({"end": "1.5"}, "end: Expected integer"),
        ({"externalId": ["a", "b"]}, "externalId: Expected one value, received several"),
        ({"groupBy": "week"}, "groupBy.0: Invalid enum value"),
        ({"groupBy": ["day", ""]}, "groupBy.1: Invalid enum value"),
        ({"orderBy": "name"}, "orderBy: Invalid enum value"),
        ({"orderBy": ["total", "time"]}, "orderBy: Expected one value, received several"),
        ({"order": "up"}, "order: Invalid enum value"),
        ({"limit": 0}, "limit: Number must be greater than or equal to 1"),
        ({"limit": -1}, "limit: Number must be greater than or equal to 1"),
        ({"limit": "1.5"}, "limit: Expected integer"),
        ({"start": TODAY_MS}, "start must be before end"),
        ({"start": TODAY_MS + 1}, "start must be before end"),
        ({"start": NOW_MS, "end": None}, "start must be before end"),
        ({"start": TODAY_MS, "groupBy": ["tag", "tags"]}, "start must be before end"),
        ({"groupBy": ["tag", "tags"]}, "group by tag or tags, not both"),
        ({"groupBy": ["key"], "orderBy": "time"}, "orderBy: time needs groupBy hour, day or month"),
    ],
)
def test_a_bad_query_is_refused_before_anybody_is_authenticated(
    tenant: Tenant, query: dict[str, Any], message: str
) -> None:
    """Schema, range, tag with tags, and time order without time are 400, in this order, also without credentials."""
    whole = {"apiId": tenant.api_id, "start": 1, "end": TODAY_MS, **query}
    failure = tenant.refused(OPERATION, {name: v for name, v in whole.items() if v is not None}, root_key=None)
    assert (failure.status, failure.code, failure.message) == (400, "BAD_REQUEST", message)


def test_numbers_are_read_loosely_and_parameters_repeat(site: Site) -> None:
    """Blanks, exponents and repetition are taken as the first server took them; other parameters are ignored."""
    site.send(Event(TODAY_MS))
    query = {"start": " 1e3 ", "end": TODAY_MS, "limit": "0x10", "groupBy": ["key", "key"], "week": ["1", "2"]}
    assert [row["total"] for row in site.rows(**query)] == [1]


def test_empty_texts_count_as_absent(site: Site) -> None:
    """An empty externalId, keyId or tag filters nothing."""
    site.send(Event(TODAY_MS))
    (row,) = site.rows(start=TODAY_MS, end=NOW_MS, externalId="", keyId=[""], tag="")
    assert row["total"] == 1


def test_who_may_ask(tenant: Tenant, foreign: Tenant) -> None:
    """`*` and read_api suffice, read_analytics and another api's do not; that is settled before the api is sought."""
    query = {"apiId": tenant.api_id, "start": 1, "end": 2}
    for permission in ("*", "api.*.read_api", f"api.{tenant.api_id}.read_api"):
        assert tenant.call(OPERATION, query, root_key=tenant.new_root_key(permission)).status_code == 200
    for permission in ("api.*.read_analytics", f"api.{foreign.api_id}.read_api", "api.*.read_key"):
        failure = tenant.refused(OPERATION, query, root_key=tenant.new_root_key(permission))
        assert failure[:3] == (403, "FORBIDDEN", "INSUFFICIENT_PERMISSIONS")
        assert "api.*.read_api" in failure.message
    assert tenant.refused(OPERATION, query, root_key=None)[:2] == (401, "UNAUTHORIZED")
    assert tenant.refused(OPERATION, query, root_key="unknown")[:2] == (401, "UNAUTHORIZED")
    absent = {**query, "apiId": "api_absent"}
    assert tenant.refused(OPERATION, absent, root_key=tenant.new_root_key("api.x.read_api"))[:2] == (403, "FORBIDDEN")


def test_the_api_comes_before_the_identity(tenant: Tenant, foreign: Tenant) -> None:
    """An unknown, foreign or deleted api is 404, one without keyspace 412, and only then an unknown identity 404."""
    query: dict[str, Any] = {"start": 1, "end": 2, "externalId": "nobody"}
    gone = tenant.api()
    tenant.ask("apis.deleteApi", apiId=gone)
    for api_id in ("api_absent", foreign.api_id, gone):
        failure = tenant.refused(OPERATION, {"apiId": api_id, **query})
        assert failure[:2] == (404, "NOT_FOUND")
        assert api_id in failure.message
    bare = tenant.refused(OPERATION, {"apiId": tenant.api_without_keyspace(), **query})
    assert bare[:2] == (412, "PRECONDITION_FAILED")
    failure = tenant.refused(OPERATION, {"apiId": tenant.api_id, **query})
    assert failure[:2] == (404, "NOT_FOUND")
    assert "nobody" in failure.message


# --- 6.3 what counts ----------------------------------------------------------------------------------------


def test_the_first_hour_must_begin_in_the_range_and_the_last_counts_whole(site: Site) -> None:
    """A start of 09:05 leaves 09:00 out, an end of 11:30 takes all of 11:00; with and without grouping by hour."""
    nine_ms = TODAY_MS + 9 * HOUR_MS
    minute_ms = 60_000
    times = [nine_ms + 30 * minute_ms, nine_ms + 90 * minute_ms, nine_ms + 179 * minute_ms, nine_ms + 180 * minute_ms]
    site.send(*map(Event, times))
    query = {"start": nine_ms + 5 * minute_ms, "end": nine_ms + 150 * minute_ms}
    assert [row["total"] for row in site.rows(**query)] == [2]
    assert [(row["time"], row["total"]) for row in site.rows(groupBy="hour", **query)] == [
        (nine_ms, 0),  # a gap: the slice of the start has no row
        (nine_ms + HOUR_MS, 1),
        (nine_ms + 2 * HOUR_MS, 1),
    ]
    exact = {"start": nine_ms, "end": nine_ms + HOUR_MS}
    assert [row["total"] for row in site.rows(**exact)] == [2]


def test_days_and_months_are_compared_as_dates(site: Site) -> None:
    """The day of a start at 23:59 counts whole; a month counts only when its first day is in the range."""
    second_ms = TODAY_MS + DAY_MS
    site.send(Event(TODAY_MS), Event(second_ms), Event(second_ms + 2 * DAY_MS), Event(TODAY_MS + 31 * DAY_MS))
    late = {"start": second_ms - 1, "end": second_ms + 1}
    assert [(row["time"], row["total"]) for row in site.rows(groupBy="day", **late)] == [(TODAY_MS, 1), (second_ms, 1)]
    whole = {"start": TODAY_MS + DAY_MS - 1, "end": TODAY_MS + 31 * DAY_MS}
    february_ms = TODAY_MS + 31 * DAY_MS
    assert [(r["time"], r["total"]) for r in site.rows(groupBy="month", **whole)] == [(TODAY_MS, 3), (february_ms, 1)]
    cut = {**whole, "start": second_ms}
    assert [(r["time"], r["total"]) for r in site.rows(groupBy="month", **cut)] == [(TODAY_MS, 0), (february_ms, 1)]


def test_the_longest_time_asked_for_is_the_one(site: Site) -> None:
    """Of several time dimensions one applies: month before day before hour."""
    site.send(Event(TODAY_MS + DAY_MS + HOUR_MS))
    query = {"start": TODAY_MS, "end": TODAY_MS + DAY_MS}
    assert [row["time"] for row in site.rows(groupBy=["hour", "month", "day"], **query)] == [TODAY_MS]
    assert [row["time"] for row in site.rows(groupBy=["hour", "day"], **query)] == [TODAY_MS, TODAY_MS + DAY_MS]


def test_keys_are_alternatives_and_tags_add_up(site: Site) -> None:
    """Several keyIds match any of them, several tags only what carries them all; unknown ones match nothing."""
    site.send(
        Event(TODAY_MS, "key_a", tags=("x",)),
        Event(TODAY_MS, "key_b", tags=("y", "x")),
        Event(TODAY_MS, "key_c"),
    )
    assert site.by("keyId", groupBy="key", keyId=["key_a", "key_c", "key_a", "key_z"]) == {"key_a": 1, "key_c": 1}
    assert site.by("keyId", groupBy="key", keyId="key_b") == {"key_b": 1}
    assert site.by("keyId", groupBy="key", keyId="key_z") == {}
    assert site.by("keyId", groupBy="key", tag="x") == {"key_a": 1, "key_b": 1}
    assert site.by("keyId", groupBy="key", tag=["x", "y"]) == {"key_b": 1}
    assert site.by("keyId", groupBy="key", tag=["x", "z"]) == {}
    assert [row["total"] for row in site.rows(start=TODAY_MS, end=NOW_MS, keyId="key_z")] == [0]


def test_keys_and_tags_of_another_api_do_not_count(site: Site, foreign: Tenant) -> None:
    """An api's counts are its own, whatever the names."""
    other = Site(foreign)
    site.send(Event(TODAY_MS, tags=("x",)))
    other.send(Event(TODAY_MS, tags=("x",)), Event(TODAY_MS, tags=("x",)))
    query = {"start": TODAY_MS, "end": NOW_MS}
    assert [row["total"] for row in site.rows(**query)] == [1]
    assert [row["total"] for row in site.rows(tag="x", **query)] == [1]
    theirs = f"key_a of {foreign.api_id}"
    assert [r["total"] for r in site.tenant.ask(OPERATION, apiId=site.api_id, keyId=theirs, **query)] == [0]


def test_one_identity(site: Site) -> None:
    """An externalId counts what the identity's keys did while they were its keys; one never seen has zeros."""
    first, other = site.identity("cust_1"), site.identity("cust_2")
    site.identity("cust_3")
    site.send(
        Event(TODAY_MS, "key_a", identity_id=first),
        Event(TODAY_MS, "key_b", identity_id=first, tags=("x",)),
        Event(TODAY_MS, "key_b", identity_id=other),
        Event(TODAY_MS, "key_b"),
    )
    assert [row["total"] for row in site.rows(start=TODAY_MS, end=NOW_MS, externalId="cust_1")] == [2]
    assert [row["total"] for row in site.rows(start=TODAY_MS, end=NOW_MS, externalId="cust_1", tag="x")] == [1]
    assert [row["total"] for row in site.rows(start=TODAY_MS, end=NOW_MS, externalId="cust_3")] == [0]
    assert site.by("keyId", groupBy="key", externalId="cust_1") == {"key_a": 1, "key_b": 1}


def test_grouping_by_identity(site: Site) -> None:
    """A row has the identity with its external id, empty once it is deleted; events without identity have no row."""
    kept, gone = site.identity("cust_kept"), site.identity("cust_gone")
    site.send(Event(TODAY_MS), Event(TODAY_MS, identity_id=kept), *[Event(TODAY_MS, "key_b", identity_id=gone)] * 2)
    site.tenant.ask("identities.deleteIdentity", identityId=gone)
    rows = site.rows(start=TODAY_MS, end=NOW_MS, groupBy="identity", orderBy="total")
    assert [(row["identity"], row["total"]) for row in rows] == [
        ({"id": kept, "externalId": "cust_kept"}, 1),
        ({"id": gone, "externalId": ""}, 2),
    ]
    both = site.rows(start=TODAY_MS, end=NOW_MS, groupBy=["identity", "key", "tags", "hour"], orderBy="total")
    assert [(row["identity"]["id"], row["keyId"], row["tags"], row["time"]) for row in both] == [
        (kept, "key_a", [], TODAY_MS),
        (gone, "key_b", [], TODAY_MS),
    ]


def test_grouping_by_tags_and_by_tag(site: Site) -> None:
    """`tags` has a row for each list, order included, and one for none; `tag` one for each tag, and none for none."""
    site.send(
        Event(TODAY_MS),
        Event(TODAY_MS, tags=("x", "y")),
        Event(TODAY_MS, tags=("y", "x")),
        Event(TODAY_MS, "key_b", tags=("y",)),
        Event(TODAY_MS, tags=("z", 'quoted "\n', "é")),
    )
    lists = {"[]": 1, '["x", "y"]': 1, '["y", "x"]': 1, '["y"]': 1, json.dumps(["z", 'quoted "\n', "é"]): 1}
    assert site.by("tags", groupBy="tags") == lists
    assert site.by("tag", groupBy="tag") == {"x": 2, "y": 3, "z": 1, 'quoted "\n': 1, "é": 1}
    assert site.by("tag", groupBy="tag", tag="x") == {"x": 2, "y": 2}
    rows = site.rows(start=TODAY_MS, end=NOW_MS, groupBy=["key", "tag"], keyId="key_b")
    assert [(row["keyId"], row["tag"], row["total"]) for row in rows] == [("key_b", "y", 1)]


# --- 6.3 gaps, order, limit ---------------------------------------------------------------------------------


def test_an_empty_range_is_filled_with_zeros(site: Site) -> None:
    """30 hours without events are 30 rows, 24 hours 24 or 25, days and months likewise; nothing else is filled."""
    end_ms = TODAY_MS + 3 * DAY_MS
    for hours, expected in ((30, {30}), (24, {24, 25})):
        for end in (end_ms, end_ms + 1_800_000):
            rows = site.rows(start=end - hours * HOUR_MS, end=end, groupBy="hour")
            assert len(rows) in expected
            assert all(row["total"] == 0 for row in rows)
            assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert len(site.rows(start=TODAY_MS, end=end_ms, groupBy="day")) == 3
    assert len(site.rows(start=TODAY_MS, end=TODAY_MS + 62 * DAY_MS, groupBy="month")) == 2
    for group in ("key", "identity", "tags", "tag"):
        assert site.rows(start=TODAY_MS, end=end_ms, groupBy=group) == []
    assert len(site.rows(start=TODAY_MS, end=end_ms)) == 1


def test_filler_has_empty_members(site: Site) -> None:
    """A zero row has an empty key, tag or list, no identity, and is added only for slices without any row."""
    identity = site.identity("cust_9")
    site.send(
        Event(TODAY_MS + HOUR_MS, "key_a", identity_id=identity, tags=("x",)),
        Event(TODAY_MS + 2 * HOUR_MS, "key_b", identity_id=identity, tags=("x",)),
        Event(TODAY_MS + 2 * HOUR_MS, "key_c", identity_id=identity),
    )
    query = {"start": TODAY_MS, "end": TODAY_MS + 2 * HOUR_MS + 1_800_000}
    rows = site.rows(groupBy=["hour", "key", "identity", "tags"], **query)
    zeros = dict.fromkeys([*MEMBERS, "total"], 0)
    assert rows[0] == {"time": TODAY_MS, **zeros, "keyId": "", "tags": []}
    assert [(row["time"], row["keyId"]) for row in rows[1:]] == [
        (TODAY_MS + HOUR_MS, "key_a"),
        (TODAY_MS + 2 * HOUR_MS, "key_b"),
        (TODAY_MS + 2 * HOUR_MS, "key_c"),
    ]
    assert site.rows(groupBy=["hour", "tag"], **query)[0] == {"time": TODAY_MS, **zeros, "tag": ""}


def test_order(site: Site) -> None:
    """Rows come by the member asked for, ascending unless told; without orderBy, `order` means nothing."""
    for n, key_id in enumerate(("key_a", "key_b", "key_c"), 1):
        site.send(*[Event(TODAY_MS + n * HOUR_MS, key_id)] * n, *[Event(TODAY_MS, key_id, "EXPIRED")] * (4 - n))
    query = {"start": TODAY_MS, "end": TODAY_MS + DAY_MS, "groupBy": "key"}
    assert [row["valid"] for row in site.rows(orderBy="valid", **query)] == [1, 2, 3]
    assert [row["valid"] for row in site.rows(orderBy="valid", order="desc", **query)] == [3, 2, 1]
    assert [row["expired"] for row in site.rows(orderBy="expired", order="asc", **query)] == [1, 2, 3]
    for member in ("total", *MEMBERS):
        assert len(site.rows(orderBy=member, **query)) == 3
    hours = {**query, "groupBy": "hour"}
    times = [TODAY_MS + n * HOUR_MS for n in range(4)]
    latest = site.rows(orderBy="time", order="desc", **hours)
    assert [row["time"] for row in latest] == times[::-1]
    assert len(site.rows(orderBy="time", order="asc", **hours)) == 24
    assert len(site.rows(order="desc", **hours)) == 24
    assert [row["time"] for row in site.rows(order="desc", **hours)][:4] == times
    most = site.rows(orderBy="valid", order="desc", **hours)
    assert [(row["time"], row["valid"]) for row in most] == list(zip(times[::-1], [3, 2, 1, 0], strict=True))


def test_limit_cuts_what_is_ordered_and_filled(site: Site) -> None:
    """The greatest n by total, the first n slices gaps included, the last n slices without gaps."""
    for n in range(5):
        site.send(*[Event(TODAY_MS + (n + 2) * HOUR_MS, f"key_{n}")] * (n + 1))
    query = {"start": TODAY_MS, "end": TODAY_MS + DAY_MS}
    top = site.rows(groupBy="key", orderBy="total", order="desc", limit=2, **query)
    assert [(row["keyId"], row["total"]) for row in top] == [("key_4", 5), ("key_3", 4)]
    first = site.rows(groupBy="hour", limit=3, **query)
    assert [(row["time"], row["total"]) for row in first] == [(TODAY_MS + n * HOUR_MS, n // 2) for n in range(3)]
    last = site.rows(groupBy="hour", orderBy="time", order="desc", limit=1, **query)
    assert [(row["time"], row["total"]) for row in last] == [(TODAY_MS + 6 * HOUR_MS, 5)]
    assert len(site.rows(groupBy="key", limit=10**18, **query)) == 5
    assert len(site.rows(limit=1, **query)) == 1


def test_an_answer_without_bound_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a server can hold are a 400 that says what to do, with a limit they are cut instead."""
    status, code, message = site.refused(start=0, end=253_402_300_799_999, groupBy="hour")
    assert (status, code) == (400, "BAD_REQUEST")
    assert "limit" in message
    assert len(site.rows(start=-253_402_300_799_999, end=253_402_300_799_999, groupBy="hour", limit=2)) == 2
    monkeypatch.setattr(analytics, "MAX_ROWS", 3)
    site.send(*(Event(TODAY_MS, f"key_{n}") for n in range(4)))
    query = {"start": TODAY_MS, "end": NOW_MS, "groupBy": "key"}
    assert site.refused(**query)[0] == 400
    assert site.refused(limit=4, **query)[0] == 400
    assert len(site.rows(limit=3, **query)) == 3


# --- against a count by hand --------------------------------------------------------------------------------

TAGS = ("x", "y", "z")
EVENTS = st.builds(
    Event,
    time_ms=st.integers(TODAY_MS - 40 * DAY_MS, TODAY_MS + 40 * DAY_MS),
    key_id=st.sampled_from(["key_a", "key_b", "key_c"]),
    outcome=st.sampled_from(COUNTED_OUTCOMES),
    identity_id=st.sampled_from([None, "one", "two"]),
    tags=st.lists(st.sampled_from(TAGS), max_size=3, unique=True).map(tuple),
)
QUERIES = st.fixed_dictionaries(
    {
        "start": st.integers(TODAY_MS - 45 * DAY_MS, TODAY_MS + 20 * DAY_MS),
        "length": st.integers(1, 70 * DAY_MS),
        "keyId": st.lists(st.sampled_from(["key_a", "key_b", "key_z"]), max_size=2),
        "tag": st.lists(st.sampled_from(TAGS), max_size=2),
        "externalId": st.sampled_from(["", "", "one"]),
        "groupBy": st.lists(st.sampled_from(["key", "identity", "tags", "tag", "month", "day", "hour"]), max_size=4),
        "orderBy": st.sampled_from([None, "time", "total", "valid", "notFound"]),
        "order": st.sampled_from(["asc", "desc"]),
        "limit": st.sampled_from([None, None, 1, 7]),
    }
)


def start_of(time_ms: int, unit: str) -> int:
    moment = datetime.fromtimestamp(time_ms // 1000, UTC).replace(minute=0, second=0)
    if unit != "hour":
        moment = moment.replace(hour=0)
    if unit == "month":
        moment = moment.replace(day=1)
    return int(moment.timestamp()) * 1000


def after(start_ms: int, unit: str) -> int:
    return start_of(start_ms + {"hour": HOUR_MS, "day": DAY_MS, "month": 31 * DAY_MS}[unit], unit)


def expected_rows(events: list[Event], query: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows as §6.3 words them, event by event, unordered, unfilled."""
    groups, unit = query["groupBy"], unit_of(query)
    counts: dict[str, Counter[str]] = {}
    for event in events:
        slice_ms = start_of(event.time_ms, unit or "hour")
        if unit in (None, "hour"):
            counts_here = query["start"] <= slice_ms <= query["end"]
        else:
            counts_here = start_of(query["start"], "day") <= slice_ms <= start_of(query["end"], "day")
        wanted = (
            counts_here
            and (not query["keyId"] or event.key_id in query["keyId"])
            and set(query["tag"]) <= set(event.tags)
            and query["externalId"] in ("", event.identity_id)
            and ("identity" not in groups or event.identity_id is not None)
        )
        for tag in event.tags if "tag" in groups else [""]:
            about: dict[str, Any] = {}
            about |= {"time": slice_ms} if unit else {}
            about |= {"keyId": event.key_id} if "key" in groups else {}
            about |= {"identity": event.identity_id} if "identity" in groups else {}
            about |= {"tags": list(event.tags)} if "tags" in groups else {}
            about |= {"tag": tag} if "tag" in groups else {}
            if wanted:
                counts.setdefault(json.dumps(about), Counter())[event.outcome] += 1
    if not counts and not groups:
        counts["{}"] = Counter()
    return [{**json.loads(about), **members_of(outcomes)} for about, outcomes in counts.items()]


def unit_of(query: dict[str, Any]) -> str | None:
    return next((unit for unit in ("month", "day", "hour") if unit in query["groupBy"]), None)


def members_of(outcomes: Counter[str]) -> dict[str, int]:
    by_name = {outcome.replace("_", "").lower(): count for outcome, count in outcomes.items()}
    return {member: by_name.get(member.lower(), 0) for member in MEMBERS} | {"total": outcomes.total()}


def zero_times(rows: list[dict[str, Any]], query: dict[str, Any]) -> Iterator[int]:
    """The slices that get a zero row."""
    unit = unit_of(query)
    if unit is None or query["orderBy"] not in (None, "time") or (query["orderBy"] and query["order"] == "desc"):
        return
    slice_ms, end_ms = start_of(query["start"], unit), start_of(query["end"], unit)
    held = {row["time"] for row in rows}
    while slice_ms < end_ms:
        if slice_ms not in held:
            yield slice_ms
        slice_ms = after(slice_ms, unit)


@pytest.fixture(scope="module")
def crowd(server: ServerInProcess, http: httpx.Client) -> Iterator[Site]:
    """A fresh api for each example, of a workspace with the identities `one` and `two`."""

    def sites() -> Iterator[Site]:
        tenant = Tenant(server, http)
        for _ in itertools.count():
            tenant.api_id = tenant.api()
            yield Site(tenant)

    server.clock.set(NOW_MS)
    return sites()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENTS, max_size=40), queries=st.lists(QUERIES, min_size=1, max_size=4))
def test_answers_are_those_of_a_count_by_hand(
    crowd: Iterator[Site], events: list[Event], queries: list[dict[str, Any]]
) -> None:
    """Any events and any query: every row, gap, order and limit is what a naive reading of the contract gives."""
    site = next(crowd)
    ids = {name: identity_of(site, name) for name in ("one", "two")}
    half = len(events) // 2
    sent = [event._replace(identity_id=ids.get(event.identity_id or "")) for event in events]
    site.send(*sent[:half])
    site.send(*sent[half:])
    for query in queries:
        query["end"] = query["start"] + query.pop("length")
        asked = {name: value for name, value in query.items() if value not in (None, "", [])}
        if {"tag", "tags"} <= set(query["groupBy"]) or (query["orderBy"] == "time" and unit_of(query) is None):
            assert site.refused(**asked)[0] == 400
            continue
        rows = site.rows(**asked)
        for row in rows:
            if "identity" in row:
                row["identity"] = row["identity"]["externalId"]
        compare(rows, expected_rows(events, query), query)


def identity_of(site: Site, external_id: str) -> str:
    found = site.server.read(lambda tx: tx.identities.by_external_id(external_id, site.tenant.id))
    return found.id if found else site.identity(external_id)


def compare(rows: list[dict[str, Any]], real: list[dict[str, Any]], query: dict[str, Any]) -> None:
    """Assert that `rows` are `real` with its zero rows, in an order that is allowed, and cut."""
    empty = {"key": {"keyId": ""}, "tags": {"tags": []}, "tag": {"tag": ""}}
    zero = members_of(Counter())
    for group in query["groupBy"]:
        zero |= empty.get(group, {})
    expected = real + [{"time": time_ms, **zero} for time_ms in zero_times(real, query)]
    by = query["orderBy"] or ("time" if unit_of(query) else None)
    if by is not None:
        values = sorted(
            (row[by] for row in expected), reverse=query["orderBy"] is not None and query["order"] == "desc"
        )
        assert [row[by] for row in rows] == values[: query["limit"]]
    assert len(rows) == min(len(expected), query["limit"] or len(expected))
    left = [json.dumps(row, sort_keys=True) for row in expected]
    for row in rows:
        left.remove(json.dumps(row, sort_keys=True))


# --- retention ----------------------------------------------------------------------------------------------


def test_what_is_not_kept_is_in_no_answer(tmp_path: Path) -> None:
    """Hours go first, then days, then months, each at its time, from this operation and from keys.getVerifications."""
    days = {
        "analytics_hourly_retention_days": 2,
        "analytics_daily_retention_days": 10,
        "analytics_monthly_retention_days": 70,
    }
    with ServerInProcess(tmp_path, **days) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        tenant = Tenant(server, http)
        site = Site(tenant)
        key_id, secret = tenant.key()
        tenant.verify(secret)
        transfer(server)
        query: dict[str, Any] = {"start": TODAY_MS, "end": TODAY_MS + HOUR_MS}

        def totals() -> list[int]:
            found = [sum(row["total"] for row in site.rows(groupBy=unit, **query)) for unit in ("hour", "day", "month")]
            own = tenant.ask("keys.getVerifications", keyId=key_id, **query)["verifications"]
            return [*found, sum(day["success"] for day in own)]

        seen = []
        for day in (0, 2, 3, 10, 11, 90, 91):
            server.clock.set(TODAY_MS + day * DAY_MS)
            assert server.application.log.upkeep.run() is False
            seen.append(totals())
        assert seen == [
            [1, 1, 1, 1],
            [1, 1, 1, 1],
            [0, 1, 1, 1],
            [0, 1, 1, 1],
            [0, 0, 1, 0],
            [0, 0, 1, 0],
            [0, 0, 1, 0],
        ]
        server.clock.set(TODAY_MS + 130 * DAY_MS)
        server.application.log.upkeep.run()
        assert totals() == [0, 0, 0, 0]
        # A range of whole days needs no hours, and one of whole months no days.
        assert site.rows(start=TODAY_MS, end=TODAY_MS + DAY_MS)[0]["total"] == 0
