"""A server that exists only in memory, and an environment without our own variables."""

import asyncio
import inspect
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from unkey_py import Unkey
from unkey_py._flow import Chance


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch):
    for name in ("KEYSTEAD_URL", "UNKEY_BEARER_AUTH", "UNKEY_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Server:
    """Answers with what `answers` holds, the last one for ever; keeps every request."""

    answers: list[Any] = field(default_factory=lambda: [{}])
    requests: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    now_ms: int = 0
    jitter: float = 0.5

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            # A response can be read once; the same answer may be given often.
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return httpx.Response(status, json=body, headers={"Unkey-Request-Id": "req_1"})

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ms += round(seconds * 1000)

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    def client(self, **settings: Any) -> Unkey:
        settings = {"bearer_auth": "root", **settings}
        settings.setdefault("client", httpx.Client(transport=httpx.MockTransport(self.handle)))
        settings.setdefault("async_client", httpx.AsyncClient(transport=httpx.MockTransport(self.handle)))
        unkey = Unkey(**settings)
        for group in vars(unkey).values():
            if hasattr(group, "_chance"):
                group._chance = Chance(lambda: self.now_ms, lambda: self.jitter, lambda: "0123456789abcdef" * 2)
                group._sleep = self.sleep
                group._sleep_async = self.sleep_async
        return unkey

    @property
    def body(self) -> Any:
        return json.loads(self.requests[-1].content)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(params=["sync", "async"])
def invoke(request):
    """Runs an operation's blocking or its awaitable flavour; what it is used for holds for both."""

    def run(operation, **arguments):
        if request.param == "sync":
            return operation(**arguments)
        twin = getattr(operation.__self__, f"{operation.__name__}_async")
        assert inspect.iscoroutinefunction(twin)
        return asyncio.run(twin(**arguments))

    return run


@pytest.fixture
def refusal():
    """Body of an error."""

    def make(code: str, **more: Any) -> dict[str, Any]:
        return {"error": {"code": code, "docs": "d", "message": "m", "requestId": "req_2", **more}}

    return make
