"""Pages of other origins get no hold on the server."""

from collections.abc import Iterator

import httpx
import pytest

from keystead.http.operations import OPERATIONS, POST, Operation
from keystead.testing.server import ServerInProcess

ORIGIN = {"Origin": "https://attacker.example"}
# What a page may send across origins without asking first (Fetch, "CORS-safelisted request-header").
SIMPLE_TYPES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "")


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with ServerInProcess(tmp_path_factory.mktemp("server")) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_no_page_of_another_origin_may_read_or_send(http: httpx.Client, operation: Operation) -> None:
    """No answer allows another origin, no preflight succeeds, and no body a page can send unasked is read."""
    asked = {"Access-Control-Request-Method": operation.method, "Access-Control-Request-Headers": "authorization"}
    preflight = http.options(operation.path, headers=ORIGIN | asked)
    answers = [preflight, http.request(operation.method, operation.path, headers=ORIGIN)]
    assert preflight.status_code == 404
    if operation.method == POST:
        for content_type in SIMPLE_TYPES:
            body = b'{"key":"nobody","name":"some name","apiId":"api_1"}'
            sent = http.post(operation.path, content=body, headers=ORIGIN | {"Content-Type": content_type})
            # Read as an empty object, which hardly any operation takes, and none of those without a root key.
            assert sent.status_code in (400, 401)
            answers.append(sent)
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
