"""Making, using and leaving a client (sdk.md sections 3 to 6)."""

import asyncio
import gc
import json
import os
import ssl
import subprocess
import sys
import threading
import weakref
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pydantic
import pytest

from unkey_py import HttpClient, Unkey, models
from unkey_py.utils import BackoffStrategy, RetryConfig

KEY = {"id": "key_1", "createdAt": 5, "enabled": True}


def ask(unkey, **options):
    return unkey.keys.whoami(request={"key": "k"}, **options)


@pytest.mark.parametrize(
    ("token", "header"),
    [("root", "Bearer root"), ("bearer x", "bearer x"), ("BEARER x", "BEARER x"), (lambda: "made", "Bearer made")],
)
def test_token(server, token, header):
    """The token is sent as a bearer token, as it is if it says so itself."""
    server.answers = [KEY]
    ask(server.client(bearer_auth=token))
    assert server.requests[-1].headers["authorization"] == header


def test_token_function_runs_once_per_operation(server):
    """A function is asked for the token once per operation, not once per attempt."""
    asked = []
    server.answers = [(500, {}), KEY]
    unkey = server.client(bearer_auth=lambda: asked.append(1) or "t")
    ask(unkey)
    assert (len(asked), len(server.requests)) == (1, 2)


def test_token_from_environment(server, monkeypatch):
    """UNKEY_BEARER_AUTH is used when no token is given, and only then (D14)."""
    monkeypatch.setenv("UNKEY_BEARER_AUTH", "env")
    server.answers = [KEY]
    for given, header in [(None, "Bearer env"), ("mine", "Bearer mine"), (lambda: None, None)]:
        ask(server.client(bearer_auth=given))
        assert server.requests[-1].headers.get("authorization") == header


def test_anonymous(server):
    """Without any token the request carries no Authorization."""
    server.answers = [KEY]
    ask(server.client(bearer_auth=None))
    assert "authorization" not in server.requests[-1].headers


def test_token_of_another_type():
    """A token that is not text is refused: at once, or at the call if a function gives it."""
    with pytest.raises(pydantic.ValidationError):
        Unkey(bearer_auth=3)
    unkey = Unkey(bearer_auth=lambda: 3)
    with pytest.raises(pydantic.ValidationError):
        ask(unkey)


@pytest.mark.parametrize(
    ("settings", "environment", "url"),
    [
        ({}, None, "http://127.0.0.1:3000"),
        ({}, "http://env/", "http://env"),
        ({"server_url": ""}, "http://env", "http://env"),
        ({"server_url": "http://s//", "server_idx": 9}, "http://env", "http://s"),
        ({"server_url": "http://s/prefix"}, None, "http://s/prefix"),
        ({"server_url": "http://{host}", "url_params": {"host": "h"}}, None, "http://h"),
        ({"url_params": {"host": "h"}, "server_idx": -1}, None, "http://127.0.0.1:3000"),
    ],
)
def test_server(server, monkeypatch, settings, environment, url):
    """The argument, else KEYSTEAD_URL, else the list of servers; slashes at the end do not matter (D14)."""
    if environment:
        monkeypatch.setenv("KEYSTEAD_URL", environment)
    server.answers = [KEY]
    ask(server.client(**settings))
    assert str(server.requests[-1].url) == f"{url}/v1/keys.whoami"


def test_server_outside_the_list():
    """An index outside the list of servers is an IndexError at construction."""
    with pytest.raises(IndexError):
        Unkey(server_idx=1)


def test_url_without_scheme():
    """A server without a scheme fails at the call with httpx's exception."""
    with Unkey(server_url="localhost", bearer_auth="x") as unkey, pytest.raises(httpx.UnsupportedProtocol):
        ask(unkey, retries=None)


@pytest.mark.parametrize("name", ["client", "async_client"])
def test_clients_without_the_methods(name):
    """An HTTP client that lacks a method is refused at construction."""
    with pytest.raises(AssertionError):
        Unkey(**{name: object()})


def test_custom_client(server):
    """A client that merely has the methods is used, and what it adds to a request is sent."""

    class Tracing(HttpClient):
        def __init__(self):
            self.inner = httpx.Client(transport=httpx.MockTransport(server.handle), headers={"x-app": "a"})
            self.closed = False

        def build_request(self, method, url, **more):
            return self.inner.build_request(method, url, **more)

        def send(self, request, **more):
            request.headers["x-trace"] = "1"
            return self.inner.send(request, **more)

        def close(self):
            self.closed = True

    server.answers = [KEY]
    client = Tracing()
    with server.client(client=client) as unkey:
        ask(unkey)
    assert (server.requests[-1].headers["x-trace"], server.requests[-1].headers["x-app"]) == ("1", "a")
    assert not client.closed
    assert ask(unkey).object.id == "key_1"


def test_timeout_of_a_custom_client(server):
    """A supplied client keeps its own timeout unless one is asked for."""
    server.answers = [KEY]
    client = httpx.Client(transport=httpx.MockTransport(server.handle), timeout=7)
    for settings, timeout in [({}, 7), ({"timeout_ms": 1000}, 1)]:
        ask(server.client(client=client, **settings))
        assert set(server.requests[-1].extensions["timeout"].values()) == {timeout}


def test_retries_by_the_drivers(server, invoke):
    """Both flavours wait as the flow says between attempts, and hand it what was raised."""
    server.answers = [(500, {}), httpx.ConnectError("x"), KEY]
    patient = RetryConfig("backoff", BackoffStrategy(1000, 9000, 2, 60000), True)
    result = invoke(server.client(retry_config=patient).keys.whoami, request={"key": "k"})
    assert result.object.id == "key_1"
    assert server.slept == [1.5, 2.5]
    server.answers = [httpx.ReadError("broken")]
    with pytest.raises(httpx.ReadError, match="broken"):
        invoke(server.client().keys.whoami, request={"key": "k"})


def test_connections_are_opened_when_used_and_closed_when_left(monkeypatch, server):
    """Nothing is opened before the first call; leaving closes; used again, the client opens anew."""
    opened = []

    class Recorded(httpx.Client):
        def __init__(self, **settings):
            super().__init__(transport=httpx.MockTransport(server.handle), **settings)
            opened.append(self)

    monkeypatch.setattr(httpx, "Client", Recorded)
    server.answers = [KEY]
    with Unkey() as unkey:
        assert opened == []
        ask(unkey)
        ask(unkey)
        assert [client.is_closed for client in opened] == [False]
        assert opened[0].timeout == httpx.Timeout(30, connect=5)
    assert [client.is_closed for client in opened] == [True]
    with unkey:
        ask(unkey)
    assert [client.is_closed for client in opened] == [True, True]


def test_tls(monkeypatch, server, invoke):
    """Only a server without TLS, asked without a proxy, gets connections that could not check a certificate."""
    contexts = {}

    def recorded(kind):
        class Recorded(kind):
            def __init__(self, *, verify, limits, **settings):
                # Closing a surplus connection may hit one that another thread has just been given.
                assert limits.max_keepalive_connections == limits.max_connections == 100
                super().__init__(transport=httpx.MockTransport(server.handle), **settings)
                contexts[len(contexts)] = verify

        return Recorded

    monkeypatch.setattr(httpx, "Client", recorded(httpx.Client))
    monkeypatch.setattr(httpx, "AsyncClient", recorded(httpx.AsyncClient))
    monkeypatch.setattr("unkey_py._pools.getproxies", dict)
    server.answers = [KEY]
    for url in ("http://h", "https://h"):
        invoke(Unkey(server_url=url).keys.whoami, request={"key": "k"})
    monkeypatch.setattr("unkey_py._pools.getproxies", lambda: {"http": "https://proxy"})
    invoke(Unkey(server_url="http://h").keys.whoami, request={"key": "k"})
    plain, *checking = contexts.values()
    assert checking == [True, True]
    # The one for plain servers trusts nobody, so TLS through it could only fail.
    assert (plain.verify_mode, plain.get_ca_certs()) == (ssl.CERT_REQUIRED, [])


def test_own_requests_are_httpx_own(monkeypatch):
    """The package's own clients send what an httpx client with its defaults would send, cookies included."""
    sent = []

    def handle(request):
        sent.append(request)
        return httpx.Response(200, json=KEY, headers={"set-cookie": "node=7"})

    transport = httpx.MockTransport(handle)
    given = {"client": httpx.Client(transport=transport), "async_client": httpx.AsyncClient(transport=transport)}
    sync, async_ = httpx.Client, httpx.AsyncClient
    monkeypatch.setattr(httpx, "Client", lambda **settings: sync(transport=transport, **settings))
    monkeypatch.setattr(httpx, "AsyncClient", lambda **settings: async_(transport=transport, **settings))

    async def twice(unkey, **options):
        for _ in range(2):
            await unkey.keys.whoami_async(request={"key": "k"}, **options)
            unkey.keys.whoami(request={"key": "k"}, **options)

    for options in ({}, {"http_headers": {"ACCEPT-encoding": "br", "x-mine": "1"}}):
        sent.clear()
        for settings in ({}, given):
            asyncio.run(twice(Unkey("t", server_url="http://h/prefix", **settings), **options))
        ours, theirs = sent[:4], sent[4:]
        for mine, other in zip(ours, theirs, strict=True):
            assert sorted(mine.headers.multi_items()) == sorted(other.headers.multi_items())
            assert (mine.url, mine.content, mine.method) == (other.url, other.content, other.method)
        given["client"].cookies.clear()
        given["async_client"].cookies.clear()


def test_async_connections_belong_to_their_loop(monkeypatch, server):
    """One object serves one event loop after the other; leaving closes both flavours of the loop's connections."""
    opened = []

    class Recorded(httpx.AsyncClient):
        def __init__(self, **settings):
            super().__init__(transport=httpx.MockTransport(server.handle), **settings)
            opened.append(self)

    monkeypatch.setattr(httpx, "AsyncClient", Recorded)
    server.answers = [KEY]
    unkey = Unkey()

    async def use():
        async with unkey as entered:
            assert entered is unkey
            await asyncio.gather(*(unkey.keys.whoami_async(request={"key": "k"}) for _ in range(3)))

    asyncio.run(use())
    asyncio.run(use())
    assert [client.is_closed for client in opened] == [True, True]


def test_loops_that_ended_are_let_go(monkeypatch, server):
    """A client used in one event loop after the other keeps no connections of loops that are closed."""
    opened = []

    class Held(httpx.AsyncClient):
        def __init__(self, **settings):
            super().__init__(transport=httpx.MockTransport(server.handle), **settings)
            self.loop = asyncio.get_running_loop()  # as connections hold theirs
            opened.append(weakref.ref(self))

    monkeypatch.setattr(httpx, "AsyncClient", Held)
    server.answers = [KEY]
    unkey = Unkey()
    for _ in range(4):
        asyncio.run(unkey.keys.whoami_async(request={"key": "k"}))
    gc.collect()
    assert [client() is not None for client in opened] == [False, False, False, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_has_its_own_connections():
    """A child does not speak on its parent's connections: each would read answers that are meant for the other."""
    ports = []

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            ports.append(self.client_address[1])
            body = json.dumps(KEY).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as answering:
        answering.daemon_threads = True
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        unkey = Unkey(server_url=f"http://127.0.0.1:{answering.server_address[1]}")
        ask(unkey)
        child = os.fork()
        if child == 0:
            try:
                ask(unkey)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        ask(unkey)
        answering.shutdown()
    parent, of_child, parent_again = ports
    assert of_child != parent == parent_again


def test_abandoned_clients_are_closed(monkeypatch, server):
    """Connections of a client nobody holds any more are closed, in a running loop too."""
    closed = []
    transport = httpx.MockTransport(server.handle)

    class Sync(httpx.Client):
        def __init__(self, **settings):
            super().__init__(transport=transport, **settings)

        def close(self):
            closed.append("sync")

    class Async(httpx.AsyncClient):
        def __init__(self, **settings):
            super().__init__(transport=transport, **settings)

        async def aclose(self):
            closed.append("async")

    monkeypatch.setattr(httpx, "Client", Sync)
    monkeypatch.setattr(httpx, "AsyncClient", Async)
    server.answers = [KEY]

    async def use():
        unkey = Unkey()
        ask(unkey)
        await unkey.keys.whoami_async(request={"key": "k"})
        del unkey
        gc.collect()
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(use())
    assert closed == ["sync", "async"]


def test_group_of_a_temporary(server):
    """A group keeps what it needs alive: it may be used after its client is gone."""
    server.answers = [KEY]
    client = server.client()
    gone, keys = weakref.ref(client), client.keys
    del client
    gc.collect()
    assert gone() is None
    assert keys.whoami(request={"key": "k"}).object.id == "key_1"


def test_threads(server):
    """One client may be used from many threads."""
    server.answers = [KEY]
    unkey, results = server.client(), []
    threads = [threading.Thread(target=lambda: results.append(ask(unkey))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.object.id for result in results] == ["key_1"] * 8
    assert len({result.http_meta.request for result in results}) == 8


def test_cancelled_task(server):
    """A task cancelled between attempts ends there."""

    async def never(seconds):
        await asyncio.Event().wait()

    server.answers = [(500, {})]
    unkey = server.client()
    unkey.keys._sleep_async = never

    async def use():
        task = asyncio.create_task(unkey.keys.whoami_async(request={"key": "k"}))
        while not server.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(use())
    assert len(server.requests) == 1


def test_real_sockets():
    """The clients the package opens itself speak HTTP, in both flavours."""
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(404)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"error":{"code":"NOT_FOUND","docs":"d","message":"m","requestId":"req_9"}}')

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        unkey = Unkey(server_url=f"http://127.0.0.1:{http.server_port}", bearer_auth="t")
        with unkey, pytest.raises(models.ErrNotFound) as caught:
            unkey.keys.get(key_id="k")
        assert caught.value.request_id == "req_9"

        async def use():
            async with unkey:
                await unkey.keys.get_async(key_id="k")

        with pytest.raises(models.ErrNotFound):
            asyncio.run(use())
        http.shutdown()


def test_light_import():
    """Importing the client imports neither httpx nor pydantic nor asyncio; the first use of a name does."""
    program = """
import sys
from unkey_py import Unkey, models, RetryConfig, UNSET
from unkey_py.keys import Keys
heavy = {"httpx", "pydantic", "asyncio", "anyio"} & set(sys.modules)
assert not heavy, heavy
models.Code.VALID
assert "pydantic" in sys.modules and "unkey_py.models.createkeyop" not in sys.modules
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
