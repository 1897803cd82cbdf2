"""How long it takes to bring keys over from elsewhere, to list them, and to delete them.

`python -m benchmarks.migrations` imports 100,000 keys a hundred at a time, lists them page by page, verifies every one
of them, deletes them softly and for good, and imports as many again through the queue. Each step checks what it made:
every key is there once. The server is a process of its own, the client one connection. Prints seconds and keys per
second.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from keystead.core.secrets import hash_secret
from keystead.testing.server import ServerProcess

ROOT_KEY = "keystead_root_key_of_the_benchmarks"
_BATCH = 100
_POLL_S = 0.2


class Client:
    """Calls operations; an answer that is no success ends the run."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def post(self, operation: str, body: Any) -> Any:
        """The answer to a call with a body."""
        return self._http.post(f"/v1/{operation}", json=body).raise_for_status().json()

    def keys(self, api_id: str) -> Iterator[dict[str, Any]]:
        """Every key of an api, page by page."""
        query = {"apiId": api_id}
        while True:
            page = self._http.get("/v1/apis.listKeys", params=query).raise_for_status().json()
            yield from page["keys"]
            if "cursor" not in page:
                return
            query["cursor"] = page["cursor"]

    def total(self, api_id: str) -> int:
        """How many keys an api has."""
        page = self._http.get("/v1/apis.listKeys", params={"apiId": api_id, "limit": 1}).raise_for_status()
        total: int = page.json()["total"]
        return total


def main() -> None:
    """Run every step and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000, help="how many keys, a multiple of 100")
    count = parser.parse_args().keys
    with TemporaryDirectory() as folder, ServerProcess(Path(folder), KEYSTEAD_ROOT_KEY=ROOT_KEY) as server:
        headers = {"Authorization": f"Bearer {ROOT_KEY}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=600) as http:
            run(Client(http), count)


def run(client: Client, count: int) -> None:
    """The steps, each on what the one before has left."""
    api_id = client.post("apis.createApi", {"name": "migrated"})["apiId"]
    secrets = [f"elsewhere_{number:08}" for number in range(count)]
    ids = measured("imported", count, lambda: imported(client, api_id, secrets))
    listed = measured("listed", count, lambda: [key["id"] for key in client.keys(api_id)])
    check(listed == sorted(ids) and len(set(ids)) == count, "every key is listed once")
    verified = measured("verified", count, lambda: [verify(client, secret) for secret in secrets])
    check(verified == ids, "every key verifies as itself")
    for permanent in (False, True):
        body = {"apiId": api_id, "permanent": permanent}
        label = "removed for good" if permanent else "deleted softly"
        gone = measured(label, count, lambda body=body: client.post("apis.deleteKeys", body)["deletedKeys"])
        check(gone == count, "every key is deleted")
    measured("queued", count, lambda: queue(client, api_id, secrets))
    measured("worked off after that", count, lambda: wait(client, api_id, count))
    check(client.total(api_id) == count, "every queued key is there once")


def imported(client: Client, api_id: str, secrets: Sequence[str]) -> list[str]:
    """Import by hash; the ids."""
    ids: list[str] = []
    for batch in batches(secrets):
        items = [{"apiId": api_id, "externalId": f"of {secret}", **hashed(secret)} for secret in batch]
        ids += client.post("migrations.createKeys", items)["keyIds"]
    return ids


def queue(client: Client, api_id: str, secrets: Sequence[str]) -> None:
    """Queue with plaintexts."""
    for batch in batches(secrets):
        keys = [{"plaintext": secret} for secret in batch]
        client.post("migrations.enqueueKeys", {"migrationId": "benchmark", "apiId": api_id, "keys": keys})


def wait(client: Client, api_id: str, count: int) -> None:
    """Until the queue is empty."""
    while client.total(api_id) < count:
        time.sleep(_POLL_S)


def verify(client: Client, secret: str) -> str:
    """The id of the key with this secret."""
    return str(client.post("keys.verifyKey", {"key": secret}).get("keyId"))


def hashed(secret: str) -> dict[str, Any]:
    """The hash as imports take it."""
    return {"hash": {"value": hash_secret(secret), "variant": "sha256_base64"}}


def batches(secrets: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as a call takes."""
    for start in range(0, len(secrets), _BATCH):
        yield secrets[start : start + _BATCH]


def measured(what: str, count: int, step: Callable[[], Any]) -> Any:
    """What a step answers; how long it took is printed."""
    started = time.perf_counter()
    answer = step()
    seconds = time.perf_counter() - started
    print(f"{what:24} {seconds:9.2f} s {count / seconds:12,.0f} keys/s", flush=True)
    return answer


def check(holds: bool, claim: str) -> None:
    """End the run when a claim does not hold."""
    if not holds:
        sys.exit(f"not so: {claim}")


if __name__ == "__main__":
    main()
