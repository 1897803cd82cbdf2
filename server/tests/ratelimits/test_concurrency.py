"""Limits are exact, however many take at the same time (contract other-v1 §4.2, DECISIONS D11, D12)."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from keystead.testing.connection import Answer, Connection

IN_FLIGHT = 64


@pytest.fixture
def connections(tenant: Any) -> Iterator[list[Connection]]:
    """Connections to the server, with the tenant's root key."""
    with ExitStack() as stack:
        yield [stack.enter_context(Connection(tenant.server.url, tenant.root_key)) for _ in range(IN_FLIGHT)]


def at_once(connections: list[Connection], bodies: list[dict[str, Any]]) -> list[Answer]:
    """The answers to all decisions: each round of 64 is sent before one of its answers is read."""
    answers = []
    for start in range(0, len(bodies), IN_FLIGHT):
        pairs = list(zip(connections, bodies[start : start + IN_FLIGHT], strict=False))
        for connection, body in pairs:
            connection.send("ratelimits.limit", body)
        answers += [connection.receive() for connection, _ in pairs]
    assert {answer.status for answer in answers} == {200}
    return answers


@pytest.mark.parametrize("cost", [1, 7])
@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_exactly_the_limit_is_admitted(tenant: Any, connections: list[Connection], limit: int, cost: int) -> None:
    """Concurrent requests take as often as the cost fits, each is told its own balance, and no unit is lost."""
    fits = limit // cost
    count = -(-(fits + 1) // IN_FLIGHT) * IN_FLIGHT
    answers = at_once(connections, [tenant.asked(limit=limit, cost=cost)] * count)
    admitted = sorted(answer.json["remaining"] for answer in answers if answer.json["success"])
    assert admitted == sorted(limit - cost * (number + 1) for number in range(fits))
    refused = [answer.json["remaining"] for answer in answers if not answer.json["success"]]
    assert refused == [limit % cost] * (count - fits)


def test_a_namespace_is_made_once(tenant: Any, connections: list[Connection]) -> None:
    """64 first uses at the same time make one namespace, and count together."""
    answers = at_once(connections, [tenant.asked(namespace="new", limit=40)] * IN_FLIGHT)
    assert sum(answer.json["success"] for answer in answers) == 40
    assert len(tenant.audit("ratelimitNamespace.create")) == 2
    assert set(tenant.namespaces()) == {"email.outbound", "new"}


@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_a_change_of_an_override_divides_the_decisions(tenant: Any, connections: list[Connection], limit: int) -> None:
    """Around a change each decision is by the old override or by the new one, each counter admits exactly its limit,
    and what was asked after the acknowledgement is by the new one.
    """
    tenant.override("cust_*", 5)
    bodies = [tenant.asked()] * IN_FLIGHT
    for connection, body in zip(connections[:32], bodies, strict=False):
        connection.send("ratelimits.limit", body)
    tenant.connection.send(
        "ratelimits.setOverride",
        {"namespaceName": "email.outbound", "identifier": "cust_*", "limit": limit, "duration": 60_000},
    )
    for connection, body in zip(connections[32:], bodies, strict=False):
        connection.send("ratelimits.limit", body)
    assert tenant.connection.receive().status == 200
    around = [connection.receive().json for connection in connections]
    after = [answer.json for answer in at_once(connections, [tenant.asked()] * (1024 if limit == 1000 else 64))]
    assert {answer["limit"] for answer in around} <= {5, limit}
    assert {answer["limit"] for answer in after} == {limit}
    for value in {5, limit}:
        decided = [answer for answer in around + after if answer["limit"] == value]
        assert sum(answer["success"] for answer in decided) == min(value, len(decided))


def test_decisions_while_overrides_change_all_the_time(tenant: Any, connections: list[Connection]) -> None:
    """Whatever override is in force when, no counter ever admits more than its limit."""
    admitted: dict[int, int] = {}
    for number in range(20):
        tenant.connection.send(
            "ratelimits.setOverride",
            {"namespaceName": "email.outbound", "identifier": "***", "limit": 3 + number % 4, "duration": 60_000},
        )
        for answer in at_once(connections, [tenant.asked()] * IN_FLIGHT):
            admitted[answer.json["limit"]] = admitted.get(answer.json["limit"], 0) + answer.json["success"]
        assert tenant.connection.receive().status == 200
    assert all(count <= limit for limit, count in admitted.items())
    assert {limit: admitted[limit] for limit in (3, 4, 5, 6)} == {3: 3, 4: 4, 5: 5, 6: 6}
