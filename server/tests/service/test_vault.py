"""Recoverable secrets where their key file can not be made."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from keystead.testing.connection import Connection
from keystead.testing.server import ServerInProcess


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_refuses_recoverable_keys_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Without room for the key file a recoverable key is refused with 503 and nothing is made; with room it works."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with ServerInProcess(tmp_path) as server, Connection(server.url, server.root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test", "storeEncryptedKeys": True}).json["apiId"]
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            refused = client.post("keys.createKey", {"apiId": api_id, "recoverable": True})
        assert refused.status == 503
        assert refused.json["error"]["code"] == "INTERNAL_SERVER_ERROR"
        assert refused.json["error"]["reason"] == "UNAVAILABLE"
        assert client.get("apis.listKeys", apiId=api_id).json["total"] == 0
        assert client.post("keys.createKey", {"apiId": api_id, "recoverable": True}).status == 200
