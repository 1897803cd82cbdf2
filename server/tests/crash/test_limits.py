"""Nobody gets a second window by a restart of the server, however it ended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.testing.connection import Connection
from keystead.testing.server import ServerProcess

WINDOW_MS = 2**40
"""Until 2039, so that no test meets the end of a window."""


@pytest.mark.parametrize("end", [ServerProcess.kill, ServerProcess.stop], ids=["killed", "stopped"])
def test_open_windows_come_back_whole(tmp_path: Path, end: Callable[[ServerProcess], object]) -> None:
    """What a key and an identifier have left of their limits is the same after each restart, down to nothing."""
    server = ServerProcess(tmp_path).start()
    with Connection(server.url, server.root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        limit = {"limit": 3, "duration": WINDOW_MS}
        key = client.post("keys.createKey", {"apiId": api_id, "ratelimit": limit}).json["key"]
    seen = []
    for _ in range(4):
        with Connection(server.url, server.root_key) as client:
            verified = client.post("keys.verifyKey", {"key": key}).json
            limited = client.post(
                "ratelimits.limit", {"namespace": "test", "identifier": "somebody", **limit, "cost": 1}
            ).json
            seen.append(
                (verified["code"], verified["ratelimit"]["remaining"], limited["success"], limited["remaining"])
            )
            end(server)
        server.start()
    server.stop()
    assert seen == [
        ("VALID", 2, True, 2),
        ("VALID", 1, True, 1),
        ("VALID", 0, True, 0),
        ("RATE_LIMITED", 0, False, 0),
    ]
