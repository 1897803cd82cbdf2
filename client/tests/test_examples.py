"""The examples of the documentation run as written (keys-sdk.md), against a server that answers in memory."""

import re
from pathlib import Path

import httpx
import pytest

import unkey_py

PAGE = (Path(__file__).parents[2] / "examples" / "keys-sdk.md").read_text()
EXAMPLES = dict(
    re.findall(r"^## (\w+)\n\n### Example Usage\n\n```python\n(.*?)```", PAGE, flags=re.MULTILINE | re.DOTALL)
)
REFERENCES = [{"id": "perm_1", "name": "dns.record.create"}]
ANSWERS = {
    "getKey": {"id": "key_1", "start": "sk", "workspaceId": "ws_1", "createdAt": 1},
    "whoami": {"id": "key_1", "createdAt": 1, "enabled": True},
    "createKey": {"keyId": "key_1", "key": "sk_1"},
    "verifyKey": {"valid": True, "code": "VALID", "requestId": "req_1"},
    "updateRemaining": {"remaining": 1},
    "getVerifications": {"verifications": []},
    "addPermissions": REFERENCES,
    "setPermissions": REFERENCES,
    "addRoles": REFERENCES,
    "setRoles": REFERENCES,
}


@pytest.fixture
def requests(monkeypatch):
    """Requests that the examples make; their clients are opened by the package itself."""
    made = []

    def handle(request):
        made.append(request)
        return httpx.Response(200, json=ANSWERS.get(request.url.path.rpartition(".")[2], {}))

    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **more: real(transport=httpx.MockTransport(handle), **more))
    return made


def test_there_are_fourteen():
    """The page has an example for each of the fourteen operations."""
    assert set(EXAMPLES) == set(re.findall(r"^\* \[(\w+)\]", PAGE, flags=re.MULTILINE))
    assert len(EXAMPLES) == 14


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, requests, capsys):
    """The example runs unchanged, calls its operation once and prints the answer."""
    exec(EXAMPLES[name], {"__name__": "__main__"})
    assert len(requests) == 1
    operation = requests[0].url.path.rpartition(".")[2]
    assert operation.lower().startswith(name.split("_")[0])
    assert capsys.readouterr().out.endswith("\n")


def test_documented_imports():
    """The imports that the documentation shows work."""
    from unkey_py import Unkey, models  # noqa: F401
    from unkey_py.httpclient import AsyncHttpClient, HttpClient  # noqa: F401
    from unkey_py.models import CreateKeyRequestBody  # noqa: F401
    from unkey_py.models.createkeyop import CreateKeyInterval
    from unkey_py.types import UNSET, Nullable, OptionalNullable  # noqa: F401
    from unkey_py.utils import BackoffStrategy, RetryConfig

    assert unkey_py.CreateKeyInterval is CreateKeyInterval
    assert unkey_py.RetryConfig is RetryConfig
    assert not hasattr(unkey_py, BackoffStrategy.__name__)
