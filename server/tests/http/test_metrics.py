"""`GET /metrics`."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from keystead.http.metrics import METRICS, MetricsPage
from keystead.testing.connection import Connection
from keystead.testing.server import ServerInProcess

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerInProcess]:
    with ServerInProcess(tmp_path_factory.mktemp("server"), metrics=True, analytics_interval_s=0.05) as server:
        yield server


@pytest.fixture
def client(server: ServerInProcess) -> Iterator[Connection]:
    with Connection(server.url, server.root_key) as client:
        yield client


def families(text: bytes) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def numbers(server: ServerInProcess) -> dict[str, float]:
    """Every number of the page, by its name and labels as they are written there."""
    lines = [line for line in page(server).text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def page(server: ServerInProcess) -> httpx.Response:
    return httpx.get(f"{server.url}/metrics")


def test_off_by_default(tmp_path: Path) -> None:
    """Unless the operator wants it, nobody learns how much a server does."""
    with ServerInProcess(tmp_path) as server:
        assert page(server).status_code == 404


def test_the_format_is_that_of_prometheus(server: ServerInProcess) -> None:
    """The page says what it is, and Prometheus' own parser understands all of it."""
    answer = page(server)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = families(answer.content)
    for metric in METRICS:
        assert f"keystead_{metric.name}" in found or metric.label == "status"
    assert {"process_resident_memory_bytes", "process_cpu_seconds", "keystead_build_info"} <= set(found)
    for family in found.values():
        assert family.documentation
        assert family.type in ("counter", "gauge")


def test_the_docs_name_every_metric_and_no_other() -> None:
    """docs/metrics.md has a row for each number of the page, with its type."""
    rows = re.findall(r"^\| `(keystead_\w+)`[ ●]*\| (counter|gauge) \|", DOCS.read_text(), re.MULTILINE)
    total = {"COUNTER": "_total", "GAUGE": ""}
    described = [(f"keystead_{m.name}{total[m.kind.name]}", m.kind.name.lower()) for m in METRICS]
    assert rows == [("keystead_build_info", "gauge"), *described]


def test_numbers_follow_what_happens(server: ServerInProcess, client: Connection) -> None:
    """Changes, spends, verifications and refusals of HTTP show in the very next look."""
    api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
    before = numbers(server)
    key = client.post("keys.createKey", {"apiId": api_id, "remaining": 5}).json["key"]
    for _ in range(3):
        client.post("keys.verifyKey", {"key": key})
    client.post("ratelimits.limit", {"identifier": "anna", "limit": 5, "duration": 60_000, "namespace": "test"})
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0)) as other:
        other.sendall(b"nonsense\r\n\r\n")
        assert other.recv(65_536).startswith(b"HTTP/1.1 400")
    after = numbers(server)

    def grown(name: str) -> float:
        return after[f"keystead_{name}"] - before.get(f"keystead_{name}", 0)

    assert grown("storage_spends_total") == 3
    assert grown("storage_changes_total") == 2  # the key, the namespace
    assert grown("verification_events_recorded_total") == 5  # root key twice, key three times
    assert grown('http_refusals_total{status="400"}') == 1
    assert grown('cache_entries{cache="keys"}') == 1
    assert grown('cache_entries{cache="namespaces"}') == 1
    assert grown("limit_counters") == 1
    assert after["keystead_http_connections"] >= 1


def test_no_secret_and_no_id_is_told(server: ServerInProcess, client: Connection) -> None:
    """Nothing that names a key, a workspace, an api, a namespace, a client or a secret is on the page."""
    api = client.post("apis.createApi", {"name": "an api of acme"}).json
    made = client.post("keys.createKey", {"apiId": api["apiId"], "name": "key of acme", "ownerId": "acme"}).json
    client.post("keys.verifyKey", {"key": made["key"], "tags": ["a tag of acme"]})
    client.post("keys.verifyKey", {"key": "a_guess_of_acme"})
    client.post("ratelimits.limit", {"identifier": "acme", "limit": 5, "duration": 60_000, "namespace": "acme space"})
    text = page(server).text
    for told in ("acme", api["apiId"], made["keyId"], made["key"], server.root_key, "ws_", "127.0.0.1"):
        assert told not in text


def test_a_broken_part_hides_no_other() -> None:
    """Numbers that can not be read are left out and logged once a minute; the others are told."""

    def broken() -> dict[str, float]:
        raise OSError("no such disk")

    metrics = MetricsPage([broken, lambda: {"http_connections": 7}], "1.2.3")
    with capture_logs() as logs:
        found = families(metrics.render())
        metrics.render()
    assert found["keystead_http_connections"].samples[0].value == 7
    assert found["keystead_build_info"].samples[0].labels["version"] == "1.2.3"
    assert "keystead_storage_commits" not in found
    assert [line["event"] for line in logs] == ["metrics_incomplete"]
