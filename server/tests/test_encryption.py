"""Envelope encryption and the key file, including what is left after a kill at any moment."""

import base64
import logging
import os
import random
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keystead.core.errors import ErrorCode, KeysteadError, StartupError
from keystead.encryption import (
    KEY_BYTES,
    NONCE_BYTES,
    SEALED_MAX_CHARS,
    SECRET_MAX_BYTES,
    DecryptionError,
    KeyEncryptionKeys,
    KeyFile,
    key_encryption_key_id,
    load,
    open_sealed,
    seal,
)

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
NONCE = bytes(NONCE_BYTES)
SECRET = "acme_3ZFTVMJ69MaQg71pn85SRmbU"


def text_of(key: bytes) -> str:
    return base64.b64encode(key).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystead-encryption-keys"


# --- The envelope ---


def test_a_data_key_unwraps_to_what_was_wrapped() -> None:
    """A stored data key gives back its 32 bytes to its workspace."""
    keys = KeyEncryptionKeys([OLD])
    made = keys.new_data_key("ws_1", secrets.token_bytes)
    assert len(made.data) == KEY_BYTES
    assert made.key_encryption_key_id == keys.current_id
    assert keys.unwrap("ws_1", made.wrapped, made.key_encryption_key_id) == made.data


def test_a_data_key_opens_for_its_workspace_only() -> None:
    """A wrapped data key moved to another workspace's row does not open."""
    keys = KeyEncryptionKeys([OLD])
    made = keys.new_data_key("ws_1", secrets.token_bytes)
    with pytest.raises(DecryptionError):
        keys.unwrap("ws_2", made.wrapped, made.key_encryption_key_id)


def test_rewrapping_keeps_the_data_key() -> None:
    """After a rotation the same data key opens under the new key alone, and no longer needs the old one."""
    made = KeyEncryptionKeys([OLD]).new_data_key("ws_1", secrets.token_bytes)
    again = KeyEncryptionKeys([NEW, OLD]).rewrap("ws_1", made.wrapped, made.key_encryption_key_id, secrets.token_bytes)
    assert again.key_encryption_key_id == key_encryption_key_id(NEW)
    assert KeyEncryptionKeys([NEW]).unwrap("ws_1", again.wrapped, again.key_encryption_key_id) == made.data


def test_an_unknown_key_encryption_key_is_told_in_the_cause_only() -> None:
    """A missing key-encryption key is an internal error; which one is for the log, not for the caller."""
    made = KeyEncryptionKeys([OLD]).new_data_key("ws_1", secrets.token_bytes)
    with pytest.raises(DecryptionError) as caught:
        KeyEncryptionKeys([NEW]).unwrap("ws_1", made.wrapped, made.key_encryption_key_id)
    assert made.key_encryption_key_id not in caught.value.message
    assert made.key_encryption_key_id in str(caught.value.__cause__)


def test_require_names_the_missing_ids() -> None:
    """A start with the wrong key file is refused with the ids of the keys that are missing."""
    keys = KeyEncryptionKeys([NEW])
    keys.require([keys.current_id])
    with pytest.raises(StartupError, match=key_encryption_key_id(OLD)):
        keys.require([keys.current_id, key_encryption_key_id(OLD)])


@pytest.mark.parametrize("plaintext", ["", "x", SECRET, "ключ-🔑", "k" * 370, "k" * SECRET_MAX_BYTES])
def test_a_sealed_secret_opens_again_and_fits_its_column(plaintext: str) -> None:
    """Sealing and opening give back the text, in at most 1024 characters."""
    sealed = seal(OLD, plaintext, b"key_1", NONCE)
    assert len(sealed) <= SEALED_MAX_CHARS
    assert open_sealed(OLD, sealed, b"key_1") == plaintext


def test_a_secret_that_would_not_fit_is_refused() -> None:
    """A secret one byte too long is the caller's error, told without the secret."""
    with pytest.raises(KeysteadError) as caught:
        seal(OLD, "k" * (SECRET_MAX_BYTES + 1), b"key_1", NONCE)
    assert caught.value.code is ErrorCode.BAD_REQUEST
    assert "kk" not in caught.value.message


def test_every_altered_bit_is_noticed() -> None:
    """A sealed secret with any one bit changed does not open."""
    raw = base64.b64decode(seal(OLD, SECRET, b"key_1", NONCE))
    for place in range(len(raw) * 8):
        altered = bytearray(raw)
        altered[place // 8] ^= 1 << place % 8
        with pytest.raises(DecryptionError):
            open_sealed(OLD, base64.b64encode(altered).decode(), b"key_1")


@pytest.mark.parametrize(
    ("key", "sealed", "context"),
    [
        (OLD, seal(OLD, SECRET, b"key_1", NONCE), b"key_2"),
        (NEW, seal(OLD, SECRET, b"key_1", NONCE), b"key_1"),
        (OLD, seal(OLD, SECRET, b"key_1", NONCE)[:-8], b"key_1"),
        (OLD, "", b"key_1"),
        (OLD, "AAAA", b"key_1"),
        (OLD, "not base64!", b"key_1"),
        (OLD, "é", b"key_1"),
    ],
    ids=["other key's row", "other data key", "cut", "empty", "short", "not base64", "not ascii"],
)
def test_what_does_not_belong_does_not_open(key: bytes, sealed: str, context: bytes) -> None:
    """Moved, cut or malformed ciphertext is one kind of internal error, which tells nothing."""
    with pytest.raises(DecryptionError) as caught:
        open_sealed(key, sealed, context)
    assert caught.value.code is ErrorCode.INTERNAL_SERVER_ERROR
    assert SECRET not in str(caught.value)


def test_layers_do_not_open_each_other() -> None:
    """A wrapped data key can't be passed off as a sealed secret, even under the same key and context."""
    wrapped = KeyEncryptionKeys([OLD]).new_data_key("ws_1", secrets.token_bytes).wrapped
    with pytest.raises(DecryptionError):
        open_sealed(OLD, wrapped, b"ws_1")


def test_a_nonce_of_the_wrong_length_is_a_programming_error() -> None:
    """A nonce that is not 12 bytes never encrypts anything."""
    with pytest.raises(ValueError, match="12 bytes"):
        seal(OLD, SECRET, b"key_1", b"")


def test_key_material_is_never_shown() -> None:
    """No repr of a key holder holds a key in any usual notation."""
    keys = KeyEncryptionKeys([OLD])
    made = keys.new_data_key("ws_1", secrets.token_bytes)
    shown = repr(keys) + str(keys) + repr(made) + f"{made}"
    for key in (OLD, made.data):
        assert not any(form in shown for form in (text_of(key), key.hex(), repr(key)))


# --- The key file ---


def test_the_file_is_made_private_at_first_use(path: Path) -> None:
    """The first start makes a key file for its owner only, the second reads the same key, nothing else is left."""
    made = KeyFile(path).load_or_create(secrets.token_bytes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyFile(path).load_or_create(secrets.token_bytes).ids == made.ids
    assert list(path.parent.iterdir()) == [path]


def test_a_file_made_meanwhile_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that make the file at the same time, the slower one takes the faster one's keys."""
    link = os.link

    def slow_link(source: Path, target: Path) -> None:
        path.write_text(text_of(OLD))
        path.chmod(0o600)
        link(source, target)

    monkeypatch.setattr(os, "link", slow_link)
    assert KeyFile(path).load_or_create(secrets.token_bytes).ids == (key_encryption_key_id(OLD),)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o602, 0o644])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    """A key file that group or world may touch stops the start, with the command that mends it."""
    KeyFile(path).load_or_create(secrets.token_bytes)
    path.chmod(mode)
    with pytest.raises(StartupError, match="chmod 600"):
        KeyFile(path).load()


@pytest.mark.parametrize(
    "content",
    ["", "# only a comment\n", "short\n", text_of(OLD[:31]), text_of(OLD) + "\nAAAA\n", "é" * 44, "A" * 70_000],
    ids=["empty", "comment", "not base64", "31 bytes", "second bad", "not ascii", "huge"],
)
def test_a_malformed_file_is_refused_without_showing_it(path: Path, content: str) -> None:
    """A damaged key file stops the start with its path, never with its content, and is never replaced."""
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StartupError, match="keystead-encryption-keys") as caught:
        KeyFile(path).load_or_create(secrets.token_bytes)
    assert text_of(OLD) not in str(caught.value)
    assert path.read_text() == content


def test_what_is_no_file_is_refused(path: Path) -> None:
    """A folder, a pipe or a dangling link in place of the key file stops the start."""
    path.mkdir()
    with pytest.raises(StartupError):
        KeyFile(path).load_or_create(secrets.token_bytes)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(StartupError, match="regular"):
        KeyFile(path).load()
    path.unlink()
    path.symlink_to(path.with_name("gone"))
    with pytest.raises(StartupError, match="No such file"):
        KeyFile(path).load_or_create(secrets.token_bytes)


def test_a_folder_that_is_not_there_is_an_operators_error(tmp_path: Path) -> None:
    """A key file that can't be made stops the start with its path."""
    with pytest.raises(StartupError, match="cannot be made"):
        KeyFile(tmp_path / "none" / "keys").load_or_create(secrets.token_bytes)


def test_a_rotation_puts_the_new_key_first_and_drops_the_old_last(path: Path) -> None:
    """A new key becomes current while the old one stays, until it is no longer among those to keep."""
    file = KeyFile(path)
    (old,) = file.load_or_create(secrets.token_bytes).ids
    new, second = file.add_current(secrets.token_bytes).ids
    assert second == old
    assert file.keep_only([new, old]).ids == (new, old)
    assert file.keep_only([]).ids == (new,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_to_the_file_survives_a_rotation(path: Path) -> None:
    """A key file that is a symbolic link stays one: the file it points to gets the new content."""
    real = path.with_name("real")
    KeyFile(real).load_or_create(secrets.token_bytes)
    path.symlink_to(real)
    KeyFile(path).add_current(secrets.token_bytes)
    assert path.is_symlink()
    assert len(KeyFile(real).load().ids) == 2


def test_keys_in_the_setting_win_over_the_file(path: Path) -> None:
    """With keys in the settings no file is read or made."""
    keys = load([text_of(NEW), text_of(OLD)], path, secrets.token_bytes)
    assert keys.ids == (key_encryption_key_id(NEW), key_encryption_key_id(OLD))
    assert not path.exists()
    assert load([], path, secrets.token_bytes).ids == KeyFile(path).load().ids


def test_a_bad_key_in_the_setting_is_not_shown() -> None:
    """A malformed key in the settings is an operator's error that names the setting only."""
    with pytest.raises(StartupError, match="encryption_keys") as caught:
        KeyEncryptionKeys.from_texts([text_of(OLD)[:-4]])
    assert text_of(OLD)[:8] not in str(caught.value)


# --- Kills ---

TOUCHES = ("open", "fsync", "link", "replace", "unlink")
"""The calls that change something on disk; a kill is tried before each."""


def kill_at(step: int, work: Callable[[], object]) -> bool:
    """Run `work` in a child that is killed at its `step`-th touch of the disk; whether it got that far."""
    child = os.fork()
    if child == 0:
        touches = 0

        def killing(call: Callable[..., object]) -> Callable[..., object]:
            def wrapped(*arguments: object, **options: object) -> object:
                nonlocal touches
                touches += 1
                if touches == step:
                    os._exit(9)
                return call(*arguments, **options)

            return wrapped

        try:
            for name in TOUCHES:
                setattr(os, name, killing(getattr(os, name)))
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_while_the_file_is_made_leaves_none_or_a_whole_one(path: Path) -> None:
    """Killed at any step of the first start, the next start works, with the same key if one was made."""
    step = 1
    while kill_at(step, lambda: KeyFile(path).load_or_create(secrets.token_bytes)):
        before = path.read_bytes() if path.exists() else None
        assert len(KeyFile(path).load_or_create(secrets.token_bytes).ids) == 1
        assert before in (None, path.read_bytes())
        path.unlink()
        step += 1
    assert step > 5


def test_a_kill_during_a_rotation_loses_no_data_key(path: Path) -> None:
    """Killed at any step of a rotation, every stored data key still opens, and the rotation can be run again."""
    file = KeyFile(path)
    first = file.load_or_create(secrets.token_bytes)
    row_path = path.with_name("row")  # stands for the database: replaced atomically, like a commit

    def rotate() -> None:
        keys = file.add_current(secrets.token_bytes)
        wrapped, key_id = row_path.read_text().split()
        again = keys.rewrap("ws_1", wrapped, key_id, secrets.token_bytes)
        beside = row_path.with_name("row.new")
        beside.write_text(f"{again.wrapped} {again.key_encryption_key_id}")
        os.replace(beside, row_path)
        file.keep_only([again.key_encryption_key_id])

    made = first.new_data_key("ws_1", secrets.token_bytes)
    row_path.write_text(f"{made.wrapped} {made.key_encryption_key_id}")
    step = 1
    while kill_at(step, rotate):
        wrapped, key_id = row_path.read_text().split()
        assert file.load().unwrap("ws_1", wrapped, key_id) == made.data
        step += 1
    assert step > 10
    assert len(file.load().ids) == 1


def test_randomness_comes_from_the_argument() -> None:
    """The same random bytes give the same data key and wrapping: nothing else is drawn."""
    first, second = (KeyEncryptionKeys([OLD]).new_data_key("ws_1", random.Random(7).randbytes) for _ in range(2))
    assert first == second


def test_nothing_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Encryption writes no log line, so no key can be in one."""
    with caplog.at_level(logging.DEBUG):
        keys = KeyFile(path).load_or_create(secrets.token_bytes)
        keys.new_data_key("ws_1", secrets.token_bytes)
    assert not caplog.records
