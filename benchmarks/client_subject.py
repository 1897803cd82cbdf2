"""One of the things compared, at work: run by an interpreter that has it, with nothing else of this repository.

`client_subject.py import|ready SUBJECT` prints one measurement; `client_subject.py calls SUBJECT URL TOKEN KEY` takes
orders from stdin, a JSON object a line, and answers each with one.
"""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_NOBODY = "http://127.0.0.1:1"


def _memory_kib() -> int:
    fields = Path("/proc/self/status").read_text().split()
    return int(fields[fields.index("VmRSS:") + 1])


def _import(subject: str) -> dict[str, float]:
    before = _memory_kib()
    wall, cpu = time.perf_counter(), time.process_time()
    if subject == "httpx":
        import httpx  # noqa: F401
    else:
        # Not only the package: ours imports nothing before a name is used.
        from unkey_py import Unkey  # noqa: F401
    return _spent(wall, cpu) | {"kib": _memory_kib() - before}


def _ready(subject: str) -> dict[str, float]:
    """Import, make a client, and make a call as far as the attempt to connect, which is refused at once."""
    wall, cpu = time.perf_counter(), time.process_time()
    before = _memory_kib()
    refused = False
    if subject == "httpx":
        import httpx

        client = httpx.Client(headers={"Authorization": "Bearer root"})
        try:
            client.post(f"{_NOBODY}/v1/keys.verifyKey", json={"key": "sk"})
        except httpx.ConnectError:
            refused = True
    else:
        from unkey_py import Unkey

        unkey = Unkey(bearer_auth="root", server_url=_NOBODY, retry_config=None)
        try:
            unkey.keys.verify(request={"key": "sk"})
        except Exception as error:
            refused = type(error).__name__ == "ConnectError"
    spent = _spent(wall, cpu)
    assert refused
    return spent | {"kib": _memory_kib() - before}


def _spent(wall: float, cpu: float) -> dict[str, float]:
    return {"ms": (time.perf_counter() - wall) * 1000, "cpu_ms": (time.process_time() - cpu) * 1000}


def _callables(subject: str, url: str, token: str, key: str) -> tuple[Callable[[], Any], Callable[[], Awaitable[Any]]]:
    """A verification, blocking and not, from whose answer `valid` is read."""
    if subject == "httpx":
        import httpx

        headers = {"Authorization": f"Bearer {token}"}
        # As ours: with the defaults, threads now and then close each other's connections and calls fail.
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        client = httpx.Client(headers=headers, limits=limits)
        async_client = httpx.AsyncClient(headers=headers, limits=limits)
        address = f"{url}/v1/keys.verifyKey"

        def call() -> None:
            assert client.post(address, json={"key": key}).json()["valid"]

        async def call_async() -> None:
            assert (await async_client.post(address, json={"key": key})).json()["valid"]

    else:
        from unkey_py import Unkey

        unkey = Unkey(bearer_auth=token, server_url=url)

        def call() -> None:
            result: Any = unkey.keys.verify(request={"key": key})
            assert result.v1_keys_verify_key_response.valid

        async def call_async() -> None:
            result: Any = await unkey.keys.verify_async(request={"key": key})
            assert result.v1_keys_verify_key_response.valid

    return call, call_async


def _in_threads(call: Callable[[], Any], tasks: int, seconds: float) -> int:
    counts: list[int] = []
    failures: list[Exception] = []
    until = time.perf_counter() + seconds

    def work() -> None:
        count = 0
        while time.perf_counter() < until:
            try:
                call()
            except Exception as error:
                failures.append(error)
            else:
                count += 1
        counts.append(count)

    threads = [threading.Thread(target=work) for _ in range(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        print(f"  {len(failures)} calls failed, the first with {failures[0]!r}", file=sys.stderr, flush=True)
    return sum(counts)


def _in_this_thread(call: Callable[[], Any], seconds: float) -> int:
    count, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        call()
        count += 1
    return count


async def _in_tasks(call: Callable[[], Awaitable[Any]], tasks: int, seconds: float) -> int:
    until = time.perf_counter() + seconds

    async def work() -> int:
        count = 0
        while time.perf_counter() < until:
            await call()
            count += 1
        return count

    return sum(await asyncio.gather(*(work() for _ in range(tasks))))


def _calls(subject: str, url: str, token: str, key: str) -> None:
    call, call_async = _callables(subject, url, token, key)
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        order = json.loads(line)
        tasks, seconds = order["tasks"], order["seconds"]
        wall, cpu = time.perf_counter(), time.process_time()
        if order["flavour"] == "async":
            count = loop.run_until_complete(_in_tasks(call_async, tasks, seconds))
        else:
            count = _in_this_thread(call, seconds) if tasks == 1 else _in_threads(call, tasks, seconds)
        print(json.dumps(_spent(wall, cpu) | {"calls": count}), flush=True)


if __name__ == "__main__":
    kind, subject, *rest = sys.argv[1:]
    if kind == "calls":
        _calls(subject, *rest)
    else:
        print(json.dumps({"import": _import, "ready": _ready}[kind](subject)))
