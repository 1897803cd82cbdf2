"""Recoverable secrets: sealed with a data key of the workspace, which is wrapped by the operator's key (keys-v1 §5.5).

Here is only what is stored where; the cryptography is in `keystead.encryption`.
"""

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import structlog

from keystead.core.entities import DataKey, Key, KeyDetails
from keystead.core.errors import ErrorCode, KeysteadError, Reason, StartupError
from keystead.core.ids import IdPrefix
from keystead.core.pacing import Pace
from keystead.encryption import NONCE_BYTES, KeyEncryptionKeys, open_sealed, seal
from keystead.ports import Store, Transaction
from keystead.service.ids import Ids

_log = structlog.get_logger()

_FULL = {errno.ENOSPC, errno.EDQUOT}


class Vault:
    """Keeps and recovers the secrets of recoverable keys.

    `load_keys` gives the operator's keys; it is called at the first use, so that a server without recoverable keys
    makes no key file.
    """

    def __init__(self, store: Store, load_keys: Callable[[], KeyEncryptionKeys], ids: Ids) -> None:
        self._store = store
        self._load_keys = load_keys
        self._ids = ids
        self._unwrapped: dict[str, bytes] = {}
        self._full_disk_pace = Pace()

    def keep(self, tx: Transaction, key: Key, secret: str, now_ms: int) -> None:
        """Store `secret` encrypted beside its key."""
        tx.keys.put_ciphertext(key.id, *self.seal_all(tx, key.workspace_id, {key.id: secret}, now_ms)[key.id])

    def seal_all(
        self, tx: Transaction, workspace_id: str, secrets: Mapping[str, str], now_ms: int
    ) -> dict[str, tuple[str, str]]:
        """Key id → secret, as it may be stored for keys that have or will have these ids: ciphertext, data key's id."""
        if not secrets:
            return {}
        data_key = tx.data_keys.current(workspace_id) or self._make_data_key(tx, workspace_id, now_ms)
        opened = self._unwrap(data_key)
        return {
            key_id: (seal(opened, secret, key_id.encode(), self._ids.random(NONCE_BYTES)), data_key.id)
            for key_id, secret in secrets.items()
        }

    def recover(self, tx: Transaction, key: Key) -> str | None:
        """The secret of a recoverable key, None for any other."""
        stored = tx.keys.ciphertext(key.id)
        if stored is None:
            return None
        ciphertext, data_key_id = stored
        return open_sealed(self._unwrap(_data_key(tx, data_key_id)), ciphertext, key.id.encode())

    def recover_all(self, tx: Transaction, found: Sequence[KeyDetails]) -> dict[str, str]:
        """Key id → secret, for the recoverable ones of a listing."""
        sealed = {details.key.id: details.ciphertext for details in found if details.ciphertext is not None}
        unwrapped = {
            id_: self._unwrap(_data_key(tx, id_)) for id_ in {data_key_id for _, data_key_id in sealed.values()}
        }
        return {
            key_id: open_sealed(unwrapped[data_key_id], ciphertext, key_id.encode())
            for key_id, (ciphertext, data_key_id) in sealed.items()
        }

    async def rewrap_all(self, keys: KeyEncryptionKeys) -> int:
        """Wrap every data key with the current of `keys`, which are used from now on; how many were wrapped anew."""

        def rewrap(tx: Transaction) -> int:
            old = [d for d in tx.data_keys.all() if d.key_encryption_key_id != keys.current_id]
            for data_key in old:
                wrapped = keys.rewrap(
                    data_key.workspace_id, data_key.wrapped, data_key.key_encryption_key_id, self._ids.random
                )
                tx.data_keys.rewrap(data_key.id, wrapped.wrapped, wrapped.key_encryption_key_id)
            return len(old)

        # Before: a data key that is made behind the rewrapping must not be wrapped by a key that is then given up.
        self.use(keys)
        return await self._store.write(rewrap)

    def use(self, keys: KeyEncryptionKeys) -> None:
        """Use these key-encryption keys from now on."""
        self._keys = keys

    @cached_property
    def _keys(self) -> KeyEncryptionKeys:
        try:
            return self._load_keys()
        except StartupError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
                if self._full_disk_pace.is_due(time.monotonic()):
                    _log.error("encryption_keys_not_made", error=str(error))
                raise KeysteadError(
                    ErrorCode.INTERNAL_SERVER_ERROR,
                    "storage takes no writes at the moment, nothing was changed",
                    Reason.UNAVAILABLE,
                ) from error
            raise

    def _make_data_key(self, tx: Transaction, workspace_id: str, now_ms: int) -> DataKey:
        made = self._keys.new_data_key(workspace_id, self._ids.random)
        data_key = DataKey(
            self._ids.new(IdPrefix.DATA_KEY, now_ms), workspace_id, made.wrapped, made.key_encryption_key_id, now_ms
        )
        tx.data_keys.insert(data_key)
        return data_key

    def _unwrap(self, data_key: DataKey) -> bytes:
        known = self._unwrapped.get(data_key.id)
        if known is None:
            known = self._keys.unwrap(data_key.workspace_id, data_key.wrapped, data_key.key_encryption_key_id)
            self._unwrapped[data_key.id] = known
        return known


def _data_key(tx: Transaction, data_key_id: str) -> DataKey:
    data_key = tx.data_keys.get(data_key_id)
    # The foreign key of `encrypted_keys` keeps data keys that are in use.
    assert data_key is not None
    return data_key
