"""Recoverable secrets where their key file can not be made."""

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystead.encryption import KeyFile
from keystead.ports import Transaction
from keystead.service.operator import DEFAULT_WORKSPACE_ID, OPERATOR_WORKSPACE_ID
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


def test_a_first_recoverable_key_during_a_rotation(tmp_path: Path) -> None:
    """A workspace's data key that is made right behind the rotation's commit is wrapped by the key that is kept."""

    def seal(workspace_id: str) -> Callable[[Transaction], str]:
        vault = server.application.storage.vault
        return lambda tx: vault.seal_all(tx, workspace_id, {"key_1": "secret"}, server.clock.now_ms())["key_1"][1]

    async def rotate_and_seal() -> str:
        storage = server.application.storage
        rotation = asyncio.ensure_future(storage.commands()["encryption.rotate"]({}))
        await asyncio.sleep(0)
        sealed = storage.store.write(seal(DEFAULT_WORKSPACE_ID))
        await rotation
        return await sealed

    with ServerInProcess(tmp_path) as server:
        server.write(seal(OPERATOR_WORKSPACE_ID))
        data_key_id = server.call(rotate_and_seal)
        kept = KeyFile(server.settings.encryption_key_file).load()
        data_key = server.read(lambda tx: tx.data_keys.get(data_key_id))
        assert data_key is not None
        assert data_key.key_encryption_key_id in kept.ids
    with ServerInProcess(tmp_path):
        pass
