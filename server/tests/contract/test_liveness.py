"""Liveness (other-v1 §7)."""

from typing import Any

import httpx
import pytest


@pytest.mark.parametrize("authorization", [None, "Bearer unknown", "nonsense"])
@pytest.mark.parametrize("query", ["", "?x=1&x=2"])
def test_liveness(http: httpx.Client, authorization: str | None, query: str) -> None:
    """Whoever asks, the answer has the five texts that the published client needs, and no others."""
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = http.get(f"/v1/liveness{query}", headers=headers)
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    assert set(body) == {"status", "services"}
    assert set(body["services"]) == {"metrics", "logger", "ratelimit", "usagelimit"}
    assert all(isinstance(text, str) and text for text in (body["status"], *body["services"].values()))


def test_liveness_leaves_nothing_behind(home: Any, http: httpx.Client) -> None:
    """Asking is free: no audit entry is written."""
    before = home.audit()
    assert [http.get("/v1/liveness").status_code for _ in range(10)] == [200] * 10
    assert home.audit() == before
