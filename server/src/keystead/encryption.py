"""Recoverable keys at rest: AES-256-GCM in an envelope (contract keys-v1 5.5), the ciphers from `cryptography`.

Three layers. A *key-encryption key* lives outside the database, in a file or in the settings. It wraps one *data
key* per workspace, which is stored wrapped. The data key seals the recoverable secrets. So rotating a key-encryption
key rewraps a few rows and touches no secret, and a stolen database alone opens nothing.

Invariants kept here:

* Every ciphertext is bound to its place: a wrapped data key to its workspace, a sealed secret to its context (the
  key's id). Moved elsewhere it does not open.
* No error, repr or log line made here holds key material or plaintext.
* At any instant, whatever is killed, the key file is one complete generation: it is written beside, synced, and
  only then given its name.

Nonces are random and 96 bits long; one data key is good for 2^32 seals (NIST SP 800-38D 8.3), far more than a
workspace has keys.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keystead.core.errors import ErrorCode, KeysteadError, StartupError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16

SEALED_MAX_CHARS = 1024
"""The longest sealed secret as stored (contract keys-v1 5.5)."""

SECRET_MAX_BYTES = SEALED_MAX_CHARS // 4 * 3 - NONCE_BYTES - TAG_BYTES
"""The longest secret that can be sealed, in bytes of UTF-8."""

Random = Callable[[int], bytes]
"""Gives that many unpredictable bytes: `secrets.token_bytes` outside of tests."""

# One purpose, one text in front: a ciphertext of one layer never opens in another.
_WRAP_PURPOSE = b"keystead data key v1\0"
_SEAL_PURPOSE = b"keystead recoverable key v1\0"
_ANSWER_PURPOSE = b"keystead kept answer v1\0"
_ID_PURPOSE = b"keystead key-encryption key v1\0"

_FILE_HEADER = (
    "# Keystead key-encryption keys, base64, one a line; the first is current.\n"
    "# Back this file up: without it no recoverable key can be read again.\n"
)
_FILE_MAX_BYTES = 64 * 1024
_OWNER_ONLY = 0o600


class DecryptionError(KeysteadError):
    """Stored key material did not open: altered, moved, or its key-encryption key is not configured.

    The message is fit for a caller; the cause, where there is one to tell, is chained for the log.
    """

    def __init__(self) -> None:
        super().__init__(ErrorCode.INTERNAL_SERVER_ERROR, "the recoverable key cannot be decrypted")


@dataclass(frozen=True)
class WrappedDataKey:
    """A workspace's data key, open (`data`, 32 bytes, never stored) and as stored (`wrapped`, base64)."""

    data: bytes = field(repr=False)
    wrapped: str
    key_encryption_key_id: str


# --- The outer layer: key-encryption keys wrap data keys ------------------------------------------------------


class KeyEncryptionKeys:
    """One generation of key-encryption keys, the first is current: it wraps, all of them unwrap.

    Immutable; a rotation gives a new one. Raises StartupError without a key or for one that is not 32 bytes.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise StartupError("no key-encryption key is given")
        if any(len(key) != KEY_BYTES for key in keys):
            raise StartupError(f"a key-encryption key has {KEY_BYTES} bytes")
        self._keys = {key_encryption_key_id(key): bytes(key) for key in keys}
        self._current_id = key_encryption_key_id(keys[0])

    def __repr__(self) -> str:
        return f"KeyEncryptionKeys(ids={self.ids!r})"

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> "KeyEncryptionKeys":
        """The keys given as base64, as in the setting `encryption_keys`; StartupError for a malformed one."""
        return cls([_key_from_text(text, "setting encryption_keys") for text in texts])

    @property
    def current_id(self) -> str:
        """The id of the key that wraps what is new."""
        return self._current_id

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all keys, the current one first."""
        return tuple(self._keys)

    def require(self, ids: Collection[str]) -> None:
        """Check at start-up that every data key can be unwrapped; StartupError names the ids that are missing.

        `ids` are those that stored data keys name.
        """
        missing = sorted(set(ids) - self._keys.keys())
        if missing:
            raise StartupError(
                f"the database holds recoverable keys under key-encryption keys that are not configured"
                f" (ids {', '.join(missing)}); restore the key file or the setting encryption_keys"
            )

    def new_data_key(self, workspace_id: str, random: Random) -> WrappedDataKey:
        """A fresh data key for a workspace, wrapped by the current key."""
        return self._wrap(workspace_id, random(KEY_BYTES), random)

    def unwrap(self, workspace_id: str, wrapped: str, key_encryption_key_id: str) -> bytes:
        """The 32 bytes of a workspace's data key; DecryptionError if altered, foreign or its key is unknown."""
        key = self._keys.get(key_encryption_key_id)
        if key is None:
            raise DecryptionError from LookupError(f"key-encryption key {key_encryption_key_id} is unknown")
        return _decrypt(key, wrapped, _WRAP_PURPOSE + workspace_id.encode())

    def rewrap(self, workspace_id: str, wrapped: str, key_encryption_key_id: str, random: Random) -> WrappedDataKey:
        """The same data key under the current key; DecryptionError as in `unwrap`."""
        return self._wrap(workspace_id, self.unwrap(workspace_id, wrapped, key_encryption_key_id), random)

    def _wrap(self, workspace_id: str, data: bytes, random: Random) -> WrappedDataKey:
        nonce = random(NONCE_BYTES)
        key = self._keys[self._current_id]
        wrapped = _encrypt(key, data, _WRAP_PURPOSE + workspace_id.encode(), nonce)
        return WrappedDataKey(data, wrapped, self._current_id)


def key_encryption_key_id(key: bytes) -> str:
    """The public name of a key-encryption key: 16 hexadecimal digits of a hash, which tell nothing about it."""
    return hashlib.sha256(_ID_PURPOSE + key).hexdigest()[:16]


# --- The inner layer: data keys seal secrets ------------------------------------------------------------------


def seal(data_key: bytes, plaintext: str, context: bytes, nonce: bytes) -> str:
    """Base64 of nonce and ciphertext, at most `SEALED_MAX_CHARS`; opens only with the same context (the key's id).

    `nonce` is `NONCE_BYTES` random bytes, never used twice. KeysteadError BAD_REQUEST for a plaintext of more than
    `SECRET_MAX_BYTES` bytes of UTF-8.
    """
    secret = plaintext.encode()
    if len(secret) > SECRET_MAX_BYTES:
        raise KeysteadError(ErrorCode.BAD_REQUEST, f"a recoverable key has at most {SECRET_MAX_BYTES} bytes in UTF-8")
    return _encrypt(data_key, secret, _SEAL_PURPOSE + context, nonce)


def open_sealed(data_key: bytes, sealed: str, context: bytes) -> str:
    """The plaintext; DecryptionError if it was altered, or sealed with another key or context."""
    return _decrypt(data_key, sealed, _SEAL_PURPOSE + context).decode()


def seal_answer(key: bytes, answer: str, context: bytes, nonce: bytes) -> str:
    """Base64 of nonce and ciphertext of an answer of any length; opens only with the same key and context."""
    return _encrypt(key, answer.encode(), _ANSWER_PURPOSE + context, nonce)


def open_answer(key: bytes, sealed: str, context: bytes) -> str:
    """The answer; DecryptionError if it was altered, or sealed with another key or context."""
    return _decrypt(key, sealed, _ANSWER_PURPOSE + context).decode()


def _encrypt(key: bytes, plaintext: bytes, associated: bytes, nonce: bytes) -> str:
    # Imported at first use: most servers never seal anything, and start-up is measured.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plaintext, associated)).decode("ascii")


def _decrypt(key: bytes, text: str, associated: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        sealed = base64.b64decode(text, validate=True)
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated)
    except (InvalidTag, ValueError):  # not ours, or not base64, or too short to hold a nonce and a tag
        raise DecryptionError from None


# --- The key file ---------------------------------------------------------------------------------------------


class KeyFile:
    """The file of key-encryption keys. Only one process changes it: the one that holds the database's lock.

    A rotation is three steps: `add_current`, then the caller rewraps every data key and commits, then
    `keep_only`. Stopped in between, every data key still finds its key here, and the rotation can be run again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load_or_create(self, random: Random) -> KeyEncryptionKeys:
        """The keys in the file, made with one new key if it is not there; StartupError as in `load`."""
        if not os.path.lexists(self.path):
            _create(self.path, [random(KEY_BYTES)])
        return self.load()

    def load(self) -> KeyEncryptionKeys:
        """The keys in the file.

        StartupError if it is missing, unreadable, malformed, or open to anybody but its owner.
        """
        return KeyEncryptionKeys(_read(self.path))

    def add_current(self, random: Random) -> KeyEncryptionKeys:
        """Put a new key at the head, before all that are there; StartupError as in `load`."""
        _replace(self.path, [random(KEY_BYTES), *_read(self.path)])
        return self.load()

    def keep_only(self, ids: Collection[str]) -> KeyEncryptionKeys:
        """Drop every key that is neither current nor among `ids`; StartupError as in `load`."""
        current, *older = _read(self.path)
        kept = [key for key in older if key_encryption_key_id(key) in ids]
        _replace(self.path, [current, *kept])
        return self.load()


def load(texts: Sequence[str], path: Path, random: Random) -> KeyEncryptionKeys:
    """The configured keys: those in the setting if it has any, else those in the file, made at first use."""
    return KeyEncryptionKeys.from_texts(texts) if texts else KeyFile(path).load_or_create(random)


def _key_from_text(text: str, place: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise StartupError(f"{place}: every key is base64 of {KEY_BYTES} bytes") from None
    return key


def _read(path: Path) -> list[bytes]:
    try:
        content = _read_private(path)
        lines = [line.strip() for line in content.decode("ascii").splitlines()]
    except OSError as error:
        raise StartupError(f"encryption key file {path}: {error.strerror or 'cannot be read'}") from error
    except UnicodeDecodeError:
        raise StartupError(f"encryption key file {path} is not text of base64 keys") from None
    place = f"encryption key file {path}"
    keys = [_key_from_text(line, place) for line in lines if line and not line.startswith("#")]
    if not keys:
        raise StartupError(f"{place} holds no key")
    return keys


def _read_private(path: Path) -> bytes:
    """The file's content, after a look at the opened file itself, so that nothing can be swapped in between."""
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise StartupError(f"encryption key file {path} is not a regular file")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StartupError(f"encryption key file {path} is open to others than its owner; run: chmod 600 {path}")
        content = file.read(_FILE_MAX_BYTES + 1)
    if len(content) > _FILE_MAX_BYTES:
        raise StartupError(f"encryption key file {path} is too large to be one")
    return content


def _create(path: Path, keys: Sequence[bytes]) -> None:
    """Give `path` its first content, without ever replacing one that another process made meanwhile."""
    try:
        # Unlike a rename, a link fails if the name is taken: the keys of a faster process are kept.
        with _written_beside(path, keys) as beside, contextlib.suppress(FileExistsError):
            os.link(beside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StartupError(f"encryption key file {path} cannot be made: {error.strerror}") from error


def _replace(path: Path, keys: Sequence[bytes]) -> None:
    # A link to the file stays one: what it points to is replaced.
    path = path.resolve()
    try:
        with _written_beside(path, keys) as beside:
            os.replace(beside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StartupError(f"encryption key file {path} cannot be replaced: {error.strerror}") from error


@contextlib.contextmanager
def _written_beside(path: Path, keys: Sequence[bytes]) -> Iterator[Path]:
    """A complete, synced, private file in the same folder, ready to be given the real name; then removed."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)  # left by a process of the same id that was killed while writing
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(_FILE_HEADER + "".join(base64.b64encode(key).decode("ascii") + "\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
