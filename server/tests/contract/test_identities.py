"""Identities: createIdentity and getIdentity (other-v1 §3.1, §3.2)."""

import re
from typing import Any

import pytest

from keystead.core.ids import ALPHABET

LIMITS = [
    {"name": "tokens", "limit": 5000, "duration": 3_600_000},
    {"name": "a name / of any kind", "limit": 1, "duration": 1000},
    {"name": "", "limit": 2**31 - 1, "duration": 2**63 - 1},
]


@pytest.mark.parametrize("limits", [None, [], LIMITS[:1], LIMITS])
@pytest.mark.parametrize("meta", [None, {}, {"plan": "gold", "seats": [1, {"a": None}]}])
def test_create_and_get(home: Any, meta: Any, limits: Any) -> None:
    """An identity comes back by either selector as it was made: all four members, empty ones included."""
    external_id = home.name("Customer ä/")
    given = {"meta": meta, "ratelimits": limits}
    body = {"externalId": external_id} | {name: value for name, value in given.items() if value is not None}
    made = home.ask("identities.createIdentity", **body)
    assert set(made) == {"identityId"}
    assert re.fullmatch(f"id_[{ALPHABET}]+", made["identityId"])
    identity = {
        "id": made["identityId"],
        "externalId": external_id,
        "meta": meta or {},
        "ratelimits": limits or [],
    }
    assert home.ask("identities.getIdentity", identityId=made["identityId"]) == identity
    assert home.ask("identities.getIdentity", externalId=external_id) == identity


def test_the_id_beats_the_external_id(home: Any) -> None:
    """When both selectors are given the id decides, whether or not the other fits."""
    (first, first_name), (second, second_name) = home.identity(), home.identity()
    for name in (first_name, second_name, "nobody"):
        assert home.ask("identities.getIdentity", identityId=first, externalId=name)["externalId"] == first_name
    answer = home.call("identities.getIdentity", {"identityId": "id_unknown", "externalId": second_name})
    assert answer.status_code == 404
    assert second != first


def test_identities_that_are_not_there(home: Any, foreign: Any) -> None:
    """Unknown identities and those of another workspace are 404 by either selector, compared exactly."""
    foreign_id, foreign_name = foreign.identity()
    _, name = home.identity()
    for query in (
        {"identityId": "id_unknown"},
        {"externalId": "unknown"},
        {"identityId": foreign_id},
        {"externalId": foreign_name},
        {"externalId": name.upper()},
        {"externalId": f"{name} "},
        {"identityId": name},
    ):
        answer = home.call("identities.getIdentity", query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND"), query
        assert next(iter(query.values())) in answer.json()["error"]["message"]


def test_external_ids_are_unique_in_a_workspace(home: Any, foreign: Any) -> None:
    """An external id that exists is 409 and nothing of the call is kept; another case or workspace is free."""
    identity_id, name = home.identity(meta={"first": True})
    before = home.audit()
    answer = home.call("identities.createIdentity", {"externalId": name, "meta": {}, "ratelimits": LIMITS})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
    assert name in answer.json()["error"]["message"]
    assert home.audit() == before
    shown = home.ask("identities.getIdentity", externalId=name)
    assert (shown["id"], shown["meta"], shown["ratelimits"]) == (identity_id, {"first": True}, [])
    assert home.ask("identities.createIdentity", externalId=name.upper())["identityId"] != identity_id
    assert foreign.ask("identities.createIdentity", externalId=name)["identityId"] != identity_id


def test_an_identity_that_a_key_brought_about(home: Any) -> None:
    """The identity that createKey made is found like any other, and its external id is taken."""
    name = home.name("customer")
    home.key(externalId=name)
    shown = home.ask("identities.getIdentity", externalId=name)
    assert (shown["externalId"], shown["meta"], shown["ratelimits"]) == (name, {}, [])
    assert home.call("identities.createIdentity", {"externalId": name}).status_code == 409


def test_an_identity_that_was_there_before_its_key(home: Any) -> None:
    """A key of a known external id gets that identity, with its meta, and the limits that verifications name."""
    identity_id, name = home.identity(
        meta={"plan": "gold"}, ratelimits=[{"name": "tokens", "limit": 1, "duration": 1000}]
    )
    first, second = home.key(externalId=name), home.key(externalId=name)
    assert home.verify(first.secret)["identity"] == {"id": identity_id, "externalId": name, "meta": {"plan": "gold"}}
    tokens = {"ratelimits": [{"name": "tokens"}]}
    codes = [home.verify(key.secret, **tokens)["code"] for key in (first, second, first)]
    assert codes == ["VALID", "RATE_LIMITED", "RATE_LIMITED"]
    assert home.verify(first.secret)["code"] == "VALID"


@pytest.mark.parametrize("names", [("a", "a"), ("a", "b", "a"), ("", "")])
def test_limits_of_one_name(home: Any, names: tuple[str, ...]) -> None:
    """Two limits of one name are 409, and neither the identity nor a limit is kept."""
    before = home.audit()
    external_id = home.name("customer")
    limits = [{"name": name, "limit": number + 1, "duration": 1000} for number, name in enumerate(names)]
    answer = home.call("identities.createIdentity", {"externalId": external_id, "ratelimits": limits})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
    assert home.audit() == before
    assert home.call("identities.getIdentity", {"externalId": external_id}).status_code == 404


def test_limits_whose_names_differ_by_case(home: Any) -> None:
    """Names of limits are compared exactly."""
    limits = [{"name": name, "limit": 1, "duration": 1000} for name in ("a", "A", "ä", "a ")]
    _, name = home.identity(ratelimits=limits)
    assert home.ask("identities.getIdentity", externalId=name)["ratelimits"] == limits


def test_audit_of_an_identity(home: Any) -> None:
    """There is one entry for the identity and one for each of its limits."""
    count = len(home.audit())
    identity_id, name = home.identity(ratelimits=LIMITS)
    entries = home.audit()[count:]
    assert [entry.event for entry in entries] == ["identity.create"] + ["ratelimit.create"] * len(LIMITS)
    for entry, limit in zip(entries, [None, *LIMITS], strict=True):
        resources = [(resource.type, resource.name) for resource in entry.resources]
        assert resources == ([("ratelimit", limit["name"])] if limit else []) + [("identity", name)]
        assert entry.resources[-1].id == identity_id
        assert (entry.actor_id, entry.workspace_id) == (home.root.id, home.id)
