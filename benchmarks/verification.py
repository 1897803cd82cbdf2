"""Verifications of every kind beside nginx, and createKey."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from benchmarks import databases
from benchmarks.databases import API_ID, AUTOMATIC, CREDITS, NAMED, PLAIN, ROOT_KEY
from benchmarks.fastapi_process import FastApiProcess
from benchmarks.load import Load
from benchmarks.machine import SERVER_CORE, on_core
from benchmarks.nginx import Nginx
from benchmarks.report import Line
from benchmarks.rounds import Target, alternate, beside
from keystead.testing.server import ServerProcess

_PATH = "/v1/keys.verifyKey"
_KEY_ONLY = '{"key":"%s"}'
_QUERY_AND_LIMITS = json.dumps(
    {
        "key": "%s",
        "authorization": {
            "permissions": {"and": ["documents.read", {"or": ["projects.read", "invoices.read", "documents.write"]}]}
        },
        "ratelimits": [{"name": "requests"}, {"name": "tokens", "cost": 2}],
    },
    separators=(",", ":"),
)
_LIMIT = '{"namespace":"bench","identifier":"%s","limit":1000000000,"duration":60000}'
_SAMPLE = 50


@dataclass(frozen=True)
class Effort:
    """How much is measured: rounds of so many seconds each, and keys in the large database."""

    rounds: int
    round_s: int
    large_keys: int
    cached_keys: int


@dataclass(frozen=True)
class Case:
    """A kind of request, its target (processor time beside nginx), and a member that its answers must have."""

    name: str
    load: Load
    target: float | None
    member: tuple[str, object] = ("code", "VALID")


class _Small:
    """A server with a few keys of every kind, and nginx with answers as long as its own."""

    def __init__(self, folder: Path, server: ServerProcess, cases: dict[str, Case]) -> None:
        self.folder = folder
        self.server = server
        self.cases = cases
        lengths = {name: _answer_length(server.url, case) for name, case in cases.items()}
        self.nginx = Nginx(folder, set(lengths.values()))
        self._lengths = lengths

    def beside_nginx(self, name: str) -> list[Target]:
        """The server, and nginx before it, under the load of a case."""
        case = self.cases[name]
        return [
            Target("nginx", self.nginx.pid, self.nginx.urls[self._lengths[name]], case.load, does_more=False),
            self.target(name),
        ]

    def target(self, name: str) -> Target:
        """The server under the load of a case."""
        return Target(name, pid_of(self.server), self.server.url, self.cases[name].load)

    def check(self, name: str) -> None:
        """Ask once more whether the answers are what they should be."""
        _answer_length(self.server.url, self.cases[name])


@contextmanager
def small_server(folder: Path, **environment: str) -> Iterator[_Small]:
    """The server and nginx for all cases on a small database."""
    files = databases.small(folder, 1_000)
    unknown = folder / "unknown.secrets"
    unknown.write_text("acme_3ZzUnknownUnknownUnknown\n")
    plain = Load(_PATH, _KEY_ONLY, files[PLAIN])
    cases = {
        "warm": Case("verify, warm", plain, 2.6),
        "automatic": Case("verify, one automatic limit", Load(_PATH, _KEY_ONLY, files[AUTOMATIC]), 3.0),
        "named": Case(
            "verify, permission query and two named limits", Load(_PATH, _QUERY_AND_LIMITS, files[NAMED]), 4.0
        ),
        "unknown": Case(
            "verify, one unknown key", Load(_PATH, _KEY_ONLY, unknown, distinct=1), 2.6, ("code", "NOT_FOUND")
        ),
        "limit": Case(
            "ratelimits.limit, with a root key",
            Load("/v1/ratelimits.limit", _LIMIT, files[PLAIN], authorization=f"Bearer {ROOT_KEY}"),
            3.0,
            ("success", True),
        ),
        "credits": Case("verify, credits with durable commits", Load(_PATH, _KEY_ONLY, files[CREDITS]), None),
    }
    with ExitStack() as stack:
        with on_core(SERVER_CORE):
            server = stack.enter_context(ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY, **environment))
        small = _Small(folder, server, cases)
        stack.enter_context(small.nginx)
        yield small


def measure_memory_cases(small: _Small, effort: Effort) -> Iterator[Line]:
    """Verifications and limits answered from memory."""
    for name in ("warm", "automatic", "named", "unknown", "limit"):
        case = small.cases[name]
        nginx, server = targets = small.beside_nginx(name)
        alternate(targets, effort.rounds, effort.round_s, small.folder)
        small.check(name)
        yield _line(case.name, server, nginx, target=case.target)


def measure_credits(small: _Small, effort: Effort) -> Iterator[Line]:
    """Verifications that spend credits beside those that do not."""
    warm, credits_ = targets = [small.target("warm"), small.target("credits")]
    alternate(targets, effort.rounds, effort.round_s, small.folder)
    small.check("credits")
    throughput = beside(credits_.rate, warm.rate)
    line = _line(small.cases["credits"].name, credits_, warm, reference="warm")
    line.judge("req/s ratio", throughput, at_least=0.5)
    yield line


def measure_fastapi(small: _Small, effort: Effort) -> Iterator[Line]:
    """The same verification behind FastAPI: no target, for scale."""
    folder = small.folder / "fastapi"
    files = databases.small(folder, 1_000)
    with FastApiProcess(folder) as route:
        nginx, warm = small.beside_nginx("warm")
        load = Load(_PATH, _KEY_ONLY, files[PLAIN])
        target = Target("fastapi", route.pid, route.url, load)
        alternate([nginx, warm, target], max(2, effort.rounds // 2), effort.round_s, small.folder)
        yield _line("for scale: the same as a FastAPI route", target, nginx)


def measure_create(small: _Small, effort: Effort) -> Iterator[Line]:
    """Keys made with durable commits: no target."""
    body = json.dumps({"apiId": API_ID, "prefix": "acme", "name": "%s", "meta": {"plan": "pro"}})
    load = Load(
        "/v1/keys.createKey", body, small.cases["warm"].load.secrets, connections=32, authorization=f"Bearer {ROOT_KEY}"
    )
    target = Target("createKey", pid_of(small.server), small.server.url, load)
    alternate([target], max(2, effort.rounds // 2), effort.round_s, small.folder)
    yield Line(
        "createKey, durable, 32 connections",
        cpu_us=median(target.cpu_us),
        rate=median(target.rate),
        p99_ms=median(target.p99_ms),
    )


def measure_cold(effort: Effort) -> Iterator[Line]:
    """Keys that are not in the cache, read from a large database."""
    folder, secrets = databases.large(effort.large_keys)
    clear_log(folder)
    with on_core(SERVER_CORE):
        server = ServerProcess(folder, KEYSTEAD_ROOT_KEY=ROOT_KEY, KEYSTEAD_KEY_CACHE_ENTRIES="20000").start()
    try:
        warm = Target("warm", pid_of(server), server.url, Load(_PATH, _KEY_ONLY, secrets))
        cold = Target("cold", pid_of(server), server.url, Load(_PATH, _KEY_ONLY, secrets, distinct=0))
        cold.asked = warm.load.distinct
        _answer_length(server.url, Case("cold", cold.load, None))
        alternate([warm, cold], effort.rounds, effort.round_s, databases.WORK)
        name = f"verify, cold, {effort.large_keys:,} keys"
        line = _line(name, cold, warm, reference="warm")
        line.judge("CPU ratio", beside(cold.cpu_us, warm.cpu_us), at_most=4.0)
        yield line
    finally:
        server.stop()


def pid_of(server: ServerProcess) -> int:
    """The server's process."""
    assert server.process is not None
    return server.process.pid


def clear_log(folder: Path) -> None:
    """Remove the verification log and its counts, which earlier runs left in a kept database's folder."""
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif "analytics" in path.name:
            path.unlink()


def _line(
    name: str, measured: Target, beside_: Target, *, reference: str = "nginx", target: float | None = None
) -> Line:
    cpu = beside(measured.cpu_us, beside_.cpu_us)
    line = Line(
        name,
        cpu_us=median(measured.cpu_us),
        rate=median(measured.rate),
        p99_ms=median(measured.p99_ms),
        reference=reference,
        reference_cpu_us=median(beside_.cpu_us),
        reference_rate=median(beside_.rate),
        cpu_ratio=cpu,
        rate_ratio=beside(measured.rate, beside_.rate),
    )
    if target is not None:
        line.judge("CPU ratio", cpu, at_most=target)
    return line


def _answer_length(url: str, case: Case) -> int:
    """The usual length of a case's answers, in bytes. Raises RuntimeError when one is not what it should be."""
    lengths = []
    name, value = case.member
    headers = {"content-type": "application/json"}
    if case.load.authorization:
        headers["authorization"] = case.load.authorization
    with httpx.Client(base_url=url) as client:
        for secret in databases.secrets_in(case.load.secrets, _SAMPLE):
            answer = client.post(
                case.load.path,
                content=(case.load.body % secret).encode(),
                headers=headers,
            )
            if answer.status_code != 200 or answer.json()[name] != value:
                raise RuntimeError(f"{case.name}: {answer.status_code} {answer.text}")
            lengths.append(len(answer.content))
    return int(median(lengths))
