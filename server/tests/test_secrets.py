"""A secret is seen by nobody but the one it was given to: no log, no error, no file holds it.

One server does everything that can be done with a secret, at debug level and with its clients' mistakes and a fault of
its own among it; then whatever it has written is searched.
"""

import base64
import io
import logging
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from msgspec import inspect

from keystead import logs
from keystead.http.operations import OPERATIONS
from keystead.service.keys import Keys
from keystead.service.vault import Vault
from keystead.service.verification import Verification
from keystead.testing.connection import Answer, Connection
from keystead.testing.server import ServerInProcess, ServerProcess

_TELLING = 12
"""So many characters of a secret in a row are no accident."""


def traces_of(secret: str, data: bytes) -> list[str]:
    """What of `secret` stands in `data`: any twelve characters of it, or all of it in another dress."""
    # The prefix is the customer's, and five characters after it may be shown.
    random_part = secret.rpartition("_")[2].encode()
    pieces = {random_part[at : at + _TELLING] for at in range(len(random_part) - _TELLING + 1)}
    dresses = {secret.encode().hex().encode(), base64.b64encode(secret.encode()).rstrip(b"=")[:-1]}
    return [piece.decode() for piece in pieces | dresses if piece in data]


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def debug_log() -> Iterator[io.StringIO]:
    """Everything that is logged, as the server would write it at debug level; logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


class Life:
    """A server's life with secrets: what it was told to keep to itself, and everything it put out."""

    def __init__(self, folder: Path) -> None:
        self.secrets: dict[str, str] = {}
        self.errors: list[tuple[str, Answer]] = []
        self.answers: list[Answer] = []
        self.files: dict[str, bytes] = {}
        with debug_log() as log, ServerInProcess(folder, analytics_interval_s=0.05) as server:
            self.secrets["the root key of the settings"] = server.root_key
            made = server.call(
                lambda: server.application.storage.operator.create_root_key("made", ["*"], None, server.clock.now_ms())
            )
            self.secrets["a root key"] = made.key
            with Connection(server.url, made.key) as self._client:
                self._live()
                self._migrate(server)
                self._make_mistakes()
                self._break_down()
            # The write-ahead logs and the spool are gone after an orderly end.
            self.files |= {f"while running: {name}": data for name, data in files_in(folder).items()}
        self.files |= files_in(folder)
        self.log = log.getvalue()

    def _post(self, operation: str, members: Any, **options: Any) -> Any:
        answer = self._client.post(operation, members, **options)
        self._note(operation, answer)
        return answer.json

    def _get(self, operation: str, **query: Any) -> Any:
        answer = self._client.get(operation, **query)
        self._note(operation, answer)
        return answer.json

    def _note(self, what: str, answer: Answer) -> None:
        if answer.status in (200, 202):
            self.answers.append(answer)
        else:
            self.errors.append((what, answer))

    def _live(self) -> None:
        self._api_id = self._post("apis.createApi", {"name": "test", "storeEncryptedKeys": True})["apiId"]
        members = {"apiId": self._api_id, "prefix": "acme", "name": "a key", "externalId": "customer", "remaining": 100}
        for kind, more in (
            ("a key", {}),
            ("a recoverable key", {"recoverable": True}),
            ("a long key", {"byteLength": 255, "recoverable": True}),
            ("a disabled key", {"enabled": False}),
            ("an expired key", {"expires": 1}),
            ("a deleted key", {"recoverable": True}),
        ):
            key = self._post("keys.createKey", {**members, **more})
            self.secrets[kind] = key["key"]
            self._post("keys.verifyKey", {"key": key["key"], "tags": ["a tag"]})
            self._post("keys.verifyKey", {"key": key["key"], "authorization": {"permissions": "none"}})
            self._post("keys.verifyKey", {"key": key["key"], "apiId": "api_other"})
            self._post("keys.whoami", {"key": key["key"]})
            self._get("keys.getKey", keyId=key["keyId"], decrypt="true")
            self._post("keys.updateKey", {"keyId": key["keyId"], "name": "renamed", "meta": {"a": 1}})
            self._get("keys.getVerifications", keyId=key["keyId"])
        self._post("keys.deleteKey", {"keyId": key["keyId"]})
        self._post("keys.verifyKey", {"key": key["key"]})
        self._post("keys.whoami", {"key": key["key"]})

    def _migrate(self, server: ServerInProcess) -> None:
        elsewhere = {"an imported key": "3ZFTVMJ69MaQg71pn85SRmbU", "a queued key": "9hYwqeRkTn42LbVx7sPdGmJc"}
        imported, queued = elsewhere.values()
        self._post("migrations.createKeys", [{"apiId": self._api_id, "plaintext": imported, "name": "imported"}])
        self._post(
            "migrations.enqueueKeys", {"migrationId": "m", "apiId": self._api_id, "keys": [{"plaintext": queued}]}
        )
        server.call(server.application.storage.migration_queue.run_due)
        for secret in (imported, queued):
            self._post("keys.verifyKey", {"key": secret})
        self._get("apis.listKeys", apiId=self._api_id, decrypt="true")
        self._get("apis.listKeys", apiId=self._api_id)
        self.secrets |= elsewhere

    def _make_mistakes(self) -> None:
        for secret in self.secrets.values():
            self._post("keys.whoami", {"key": secret}, root_key=secret)
            self._post("apis.createApi", {"name": "test"}, root_key=secret + " ")
            for operation in ("keys.verifyKey", "keys.whoami", "keys.createKey", "keys.updateRemaining"):
                for members in (
                    {"key": [secret]},
                    {"key": {"key": secret}},
                    {"key": 1, "secret": secret},
                    {"key": secret, "tags": [secret] * 11},
                    {"key": secret, "remaining": secret},
                    {"key": secret, "authorization": {"permissions": [secret]}},
                    {"key": secret, "ratelimits": [{"name": ""}]},
                    {"keyId": "key_1", "op": secret, "value": 1},
                    {"apiId": "api_1", "refill": {"interval": secret, "amount": 1}},
                    [secret],
                    secret,
                ):
                    self._post(operation, members)
                for raw in (b'{"key": "%b', b"%b", b'{"key": "\xff%b"}', b'{"key": "%b"} %b', b'{"%b": NaN}'):
                    self._post(operation, None, raw=raw.replace(b"%b", secret.encode()))
            for item in (
                {"apiId": self._api_id, "plaintext": secret},
                {"apiId": "api_1", "plaintext": secret},
                {"apiId": self._api_id, "plaintext": secret, "refill": {"interval": "daily", "amount": 1}},
                {"plaintext": secret},
                {"plaintext": [secret]},
                {"hash": {"value": secret, "variant": secret}},
                {"hash": {"value": [secret], "variant": "sha256_base64"}},
                {"ratelimit": {"type": secret}},
            ):
                self._post("migrations.createKeys", [item])
                self._post("migrations.enqueueKeys", {"migrationId": "m", "apiId": "api_1", "keys": [item]})
            self._get("keys.getVerifications", keyId="key_1", granularity=secret, start=secret)
            self._get(f"keys.getKey/{secret}", key=secret)
            self._get("keys.verifyKey", key=secret)

    def _break_down(self) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError("planted")

        secret = self.secrets["a recoverable key"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Verification, "_record", fail)
            patch.setattr(Vault, "keep", fail)
            patch.setattr("keystead.service.keys.whoami_answer", fail)
            patch.setattr(Keys, "update", fail)
            before = len(self.errors)
            self._post("keys.verifyKey", {"key": secret})
            # In another dress, the same call comes through the router.
            self._post("keys.verifyKey?dressed=1", {"key": secret})
            self._post("keys.createKey", {"apiId": self._api_id, "recoverable": True})
            self._post("keys.whoami", {"key": secret})
            self._post("keys.updateKey", {"keyId": "key_1", "name": secret, "meta": {"key": secret}})
            assert [answer.status for _, answer in self.errors[before:]] == [500] * 5


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return Life(tmp_path_factory.mktemp("life"))


def test_no_log_line_holds_a_secret(life: Life) -> None:
    """Nothing of any secret is logged at debug level, also not when calls are malformed or the server fails."""
    lines = life.log.splitlines()
    assert sum("planted" in line for line in lines) >= 5
    for kind, secret in life.secrets.items():
        assert traces_of(secret, life.log.encode()) == [], kind


def test_no_error_answer_holds_a_secret(life: Life) -> None:
    """No error repeats what was sent as a key, whatever was wrong with the call."""
    assert {answer.status for _, answer in life.errors} == {400, 401, 404, 409, 500}
    for kind, secret in life.secrets.items():
        for operation, answer in life.errors:
            found = traces_of(secret, answer.body + str(answer.headers).encode())
            assert found == [], (kind, operation, answer.body)


def test_a_secret_is_shown_by_its_creation_and_its_recovery_only(life: Life) -> None:
    """Of all answers only those of createKey, and of getKey and listKeys with `decrypt`, hold it, each of them once."""
    shown = dict.fromkeys(life.secrets, 0)
    for answer in life.answers:
        objects = [answer.json, *answer.json.get("keys", ())] if isinstance(answer.json, dict) else []
        allowed = {shown_key.get(member) for shown_key in objects for member in ("key", "plaintext")}
        for kind, secret in life.secrets.items():
            traces = traces_of(secret, answer.body)
            assert not traces or secret in allowed
            shown[kind] += bool(traces)
    assert shown == {
        "the root key of the settings": 0,
        "a root key": 0,
        "a key": 1,
        "a recoverable key": 3,
        "a long key": 3,
        "a deleted key": 2,
        "a disabled key": 1,
        "an expired key": 1,
        "an imported key": 1,
        "a queued key": 1,
    }


def test_no_file_holds_a_secret(life: Life) -> None:
    """No database, write-ahead log, spool, lock or other file holds anything of a secret, running or stopped."""
    names = set(life.files)
    for suffix in (".db", ".db-wal", "-analytics.db", ".db.lock"):
        assert f"while running: keystead{suffix}" in names
    assert any("spool" in name for name in names)
    for name, data in life.files.items():
        for kind, secret in life.secrets.items():
            assert traces_of(secret, data) == [], (kind, name)


def test_the_recoverable_copy_is_encrypted(life: Life, tmp_path: Path) -> None:
    """The copies of recoverable and imported keys are encrypted in the database, their key is in a file of its own."""
    file = tmp_path / "copy.db"
    file.write_bytes(life.files["keystead.db"])
    with sqlite3.connect(file) as connection:
        ciphertexts = [row[0] for row in connection.execute("SELECT ciphertext FROM encrypted_keys")]
        hashes = connection.execute("SELECT count(*) FROM keys").fetchone()[0]
    connection.close()
    assert len(ciphertexts) == len(set(ciphertexts)) == 5
    assert hashes == len(life.secrets)
    *_, key_encryption_key = life.files["keystead-encryption-keys"].split()
    for name, data in life.files.items():
        assert key_encryption_key not in data or name.endswith("keystead-encryption-keys")


def _structs_of(kind: inspect.Type) -> Iterator[type[msgspec.Struct]]:
    """The structs that a value of a type is made of."""
    if isinstance(kind, inspect.Metadata):
        yield from _structs_of(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for option in kind.types:
            yield from _structs_of(option)
    elif isinstance(kind, inspect.ListType):
        yield from _structs_of(kind.item_type)
    elif isinstance(kind, inspect.StructType):
        yield kind.cls
        for field in kind.fields:
            yield from _structs_of(field.type)


def _structs() -> list[type[msgspec.Struct]]:
    types = [kind for operation in OPERATIONS for kind in (operation.request, operation.answer)]
    found = {struct for kind in inspect.multi_type_info(types) for struct in _structs_of(kind)}
    return sorted(found, key=lambda kind: kind.__name__)


_SECRET_MEMBERS = {"key", "plaintext"}
_HOLDERS = [kind for kind in _structs() if _SECRET_MEMBERS & set(kind.__struct_fields__)]


@pytest.mark.parametrize("kind", _HOLDERS, ids=lambda kind: kind.__name__)
def test_what_holds_a_secret_does_not_show_it(kind: type[msgspec.Struct]) -> None:
    """A request or an answer that holds a secret leaves it out of its `repr`, so that no traceback can show it."""
    secret = "acme_3ZFTVMJ69MaQg71pn85SRmbU"
    members = {name: secret if name in _SECRET_MEMBERS else None for name in kind.__struct_fields__}
    shown = repr(kind(**members))
    assert kind.__name__ in shown
    assert traces_of(secret, shown.encode()) == []


def test_every_holder_of_a_secret_is_known() -> None:
    """The requests and answers with a secret are these; a new one comes under the tests above by itself."""
    assert [kind.__name__ for kind in _HOLDERS] == [
        "CreatedKey",
        "KeyObject",
        "ListedKey",
        "MigratedKey",
        "QueuedItem",
        "VerificationRequest",
        "Whoami",
    ]


def test_a_killed_server_leaves_no_secret_behind(tmp_path: Path) -> None:
    """After `kill -9` nothing in the server's folder holds a secret: logs, spool and write-ahead logs included."""
    server = ServerProcess(tmp_path, "--log-level", "debug", KEYSTEAD_ANALYTICS_INTERVAL_S="4").start()
    secrets = {"the first root key": server.root_key}
    command = [sys.executable, "-m", "keystead", "root-key", "create", "--name", "made", "--permission", "*", "--json"]
    made = msgspec.json.decode(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout)
    secrets["a root key made beside it"] = made["key"]
    with Connection(server.url, made["key"]) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        secrets["a key"] = client.post("keys.createKey", {"apiId": api_id, "remaining": 10}).json["key"]
        assert client.post("keys.verifyKey", {"key": secrets["a key"]}).json["valid"]
        assert client.post("keys.verifyKey", None, raw=secrets["a key"].encode()).status == 400
        server.kill()
    files = files_in(tmp_path)
    assert b"VALID" in b"".join(data for name, data in files.items() if "spool" in name)
    assert {"keystead.db", "keystead.db-wal", "keystead.db.lock", "server.log"} <= set(files)
    for name, data in files.items():
        for kind, secret in secrets.items():
            assert traces_of(secret, data) == [], (kind, name)


def test_failing_storage_logs_nothing_of_customers(tmp_path: Path) -> None:
    """When the database refuses a statement, the log tells why and not what was to be stored."""

    def allow_pages(tx: Any, pages: int) -> None:
        driver = tx.keys._connection.connection.dbapi_connection
        (count,) = driver.execute("PRAGMA page_count").fetchone()
        driver.execute(f"PRAGMA max_page_count = {count + pages}")

    with debug_log() as log, ServerInProcess(tmp_path) as server, Connection(server.url, server.root_key) as client:
        api_id = client.post("apis.createApi", {"name": "test"}).json["apiId"]
        server.write(lambda tx: allow_pages(tx, 1))
        private = {"name": "Jane Customer", "meta": {"diagnosis": "private" * 9_000}}
        assert client.post("keys.createKey", {"apiId": api_id, **private}).status == 503
    assert "database or disk is full" in log.getvalue()
    assert "Jane Customer" not in log.getvalue()
    assert "private" not in log.getvalue()
