"""Debug records (sdk.md section 14): complete, except that no secret is readable."""

import json
import logging

import httpx
import pytest

from unkey_py import models
from unkey_py.utils import get_default_logger
from unkey_py.utils.logger import NoOpLogger


class Recorder:
    def __init__(self):
        self.records = []

    def debug(self, msg, *args, **kwargs):
        self.records.append((msg % args, kwargs))

    @property
    def text(self):
        return "\n".join(text for text, _ in self.records)


@pytest.fixture
def recorder():
    return Recorder()


def test_two_records_per_attempt(server, recorder, invoke):
    """Each attempt leaves a record of the request and one of the response."""
    server.answers = [(500, {}), {"id": "key_1", "createdAt": 5, "enabled": True}]
    invoke(server.client(debug_logger=recorder).keys.whoami, request={"key": "sk_secret"})
    starts = [text.split("\n")[0] for text, _ in recorder.records]
    assert starts == ["Request:", "Response:"] * 2
    assert "URL: http://127.0.0.1:3000/v1/keys.whoami" in recorder.text
    assert "Status Code: 200" in recorder.text
    assert '"id": "key_1"' in recorder.text


def test_no_secret_is_readable(server, recorder):
    """Neither the token nor a key, a plaintext or an Idempotency-Key shows, wherever the server repeats it."""
    unkey = server.client(bearer_auth="root_secret", debug_logger=recorder)
    echo = {"code": "NOT_FOUND", "docs": "d", "message": "no key sk_secret", "requestId": "r"}
    cookie = {"set-cookie": "session=cookie_secret"}
    server.answers = [
        httpx.Response(200, json={"keyId": "key_1", "key": "new_secret"}, headers=cookie),
        (200, {"id": "k", "start": "sk_", "workspaceId": "w", "createdAt": 1, "plaintext": "plain_secret"}),
        (404, {"error": echo}),
        httpx.Response(502, text="proxy says new_secret"),
    ]
    unkey.keys.create(request={"api_id": "a", "meta": {"key": "meta_secret"}})
    unkey.keys.get(key_id="k", decrypt=True)
    with pytest.raises(models.ErrNotFound):
        unkey.keys.whoami(request={"key": "sk_secret"})
    with pytest.raises(models.SDKError):
        unkey.keys.whoami(request={"key": "sk_secret"}, retries=None)
    assert len(recorder.records) == 8
    assert "secret" not in recorder.text
    assert "0123456789abcdef" not in recorder.text
    assert '"keyId": "key_1"' in recorder.text


def test_credentials_of_an_address(server, recorder):
    """A password in the server's address does not show."""
    server.answers = [{"keyId": "key_1", "key": "s"}]
    unkey = server.client(server_url="http://user:url_secret@host", debug_logger=recorder)
    unkey.keys.create(request={"api_id": "a"})
    assert "secret" not in recorder.text
    assert "@host/v1/keys.createKey" in recorder.text


def test_exceptions_are_recorded(server, recorder):
    """An attempt that brings no answer leaves a record with the exception."""
    server.answers = [httpx.ReadError("broken")]
    with pytest.raises(httpx.ReadError):
        server.client(debug_logger=recorder).keys.whoami(request={"key": "k"})
    assert recorder.records[-1] == ("Request Exception", {"exc_info": True})


@pytest.mark.parametrize("value", ["", "1", "0"])
def test_default_logger(monkeypatch, value):
    """UNKEY_DEBUG, if not empty, turns on the logger `unkey_py`; otherwise records go nowhere."""
    monkeypatch.setenv("UNKEY_DEBUG", value)
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    logger = get_default_logger()
    assert logger is logging.getLogger("unkey_py") if value else isinstance(logger, NoOpLogger)
    assert NoOpLogger().debug("dropped") is None


def test_bodies_stay_json(server, recorder):
    """A recorded body is the body with the secrets replaced, still JSON."""
    server.answers = [{"keyId": "key_1", "key": "s"}]
    server.client(debug_logger=recorder).keys.create(request={"api_id": "api_1"})
    bodies = [json.loads(text.rpartition("Body: ")[2]) for text, _ in recorder.records]
    assert bodies[0]["apiId"] == "api_1"
    assert bodies[1] == {"keyId": "key_1", "key": "***"}
