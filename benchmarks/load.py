"""wrk: a load of POST requests, each with another secret in its body."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import LOAD_CORE

_SCRIPT = """
local head = %(head)s
local template = %(template)s
local skip, keep = %(skip)d, %(keep)d
local lines = io.lines(%(secrets)s)
for _ = 1, skip do lines() end

local function build(secret)
  local body = string.format(template, secret)
  return head .. #body .. "\\r\\n\\r\\n" .. body
end

-- keep > 0: that many requests, again and again; else another one every time, to the end of the file.
local requests, number = {}, 0
for i = 1, keep do requests[i] = build(lines()) end

function request()
  if keep == 0 then return build(lines()) end
  number = number %% keep + 1
  return requests[number]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT requests=%%d us=%%d failed=%%d bad_status=%%d p50_us=%%d p99_us=%%d\\n",
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Load:
    """Requests to one path. `body` has `%s` where the secret goes, one of `secrets` (a file, one a line).

    The first `distinct` are repeated; 0 takes another one every time.
    """

    path: str
    body: str
    secrets: Path
    distinct: int = 1_000
    connections: int = 64
    authorization: str = ""


@dataclass(frozen=True)
class Answered:
    """What wrk has seen: answers, seconds, and latencies in µs."""

    requests: int
    seconds: float
    p50_us: int
    p99_us: int


def run(load: Load, url: str, seconds: int, folder: Path, skip: int = 0) -> Answered:
    """Put `load` on the server at `url` for some whole seconds; `skip` secrets of the file are passed over.

    Raises RuntimeError when an answer was missing or its status not 2xx.
    """
    script = folder / "load.lua"
    script.write_text(_script(load, url, skip))
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s"]
    done = subprocess.run(
        [*command, "--timeout", "30s", "-s", str(script), url], capture_output=True, text=True, check=False
    )
    found = re.search(r"RESULT (.*)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk said nothing: {done.stdout} {done.stderr}")
    values = {name: int(value) for name, value in (pair.split("=") for pair in found[1].split())}
    if values["failed"] or values["bad_status"] or not values["requests"]:
        raise RuntimeError(f"not every request was answered: {values}")
    return Answered(values["requests"], values["us"] / 1e6, values["p50_us"], values["p99_us"])


def _script(load: Load, url: str, skip: int) -> str:
    host = url.removeprefix("http://")
    lines = [f"POST {load.path} HTTP/1.1", f"host: {host}", "content-type: application/json", "accept: */*"]
    lines.append("user-agent: keystead-benchmarks")
    if load.authorization:
        lines.append(f"authorization: {load.authorization}")
    head = "\r\n".join([*lines, "content-length: "])
    return _SCRIPT % {
        # JSON's strings are Lua's, for what occurs here.
        "head": json.dumps(head),
        "template": json.dumps(load.body),
        "secrets": json.dumps(str(load.secrets)),
        "skip": skip,
        "keep": load.distinct,
    }
