"""Changes that callers ask for: a unit of work, done once for each `Idempotency-Key` (DECISIONS D15).

The look-up, the change and the kept answer are one transaction, and units run one after the other: of two equal calls
at the same time the second finds the first one's answer. Only successes are kept: a call that failed may be tried
again.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import msgspec

from keystead.core.entities import KeptAnswer
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.idempotency import KEPT_FOR_MS, answer_key, idempotency_key_hash
from keystead.encryption import NONCE_BYTES, open_answer, seal_answer
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.ids import Ids

T = TypeVar("T")


class Changes:
    """The way from use cases to the store's writer."""

    def __init__(self, store: Store, ids: Ids) -> None:
        self._store = store
        self._ids = ids

    async def write(self, caller: Caller, unit: Callable[[Transaction], T]) -> T:
        """What `unit` answers, after its commit; for a repeated call the kept answer, as JSON text, and no change.

        Raises CONFLICT when the caller's `Idempotency-Key` came with another body before, and what `unit` raises.
        """
        if caller.origin.repeatable is None:
            return await self._store.write(unit)
        return await self._store.write(lambda tx: self._once(tx, caller, unit))

    def _once(self, tx: Transaction, caller: Caller, unit: Callable[[Transaction], T]) -> T:
        call = caller.origin.repeatable
        assert call is not None
        key_hash = idempotency_key_hash(call.idempotency_key)
        context = f"{caller.key_id} {call.operation} {key_hash}".encode()
        oldest_ms = caller.now_ms - KEPT_FOR_MS
        kept = tx.kept_answers.get(caller.key_id, call.operation, key_hash)
        if kept is not None and kept.created_at_ms > oldest_ms:
            if kept.request_hash != call.request_hash:
                raise KeysteadError(
                    ErrorCode.CONFLICT, "Idempotency-Key: it was used for a request with another body before"
                )
            text = open_answer(answer_key(call.idempotency_key), kept.answer, context)
            # Encoded as it is: the caller gets the bytes of the first answer.
            return cast("T", msgspec.Raw(text.encode()))
        answer = unit(tx)
        sealed = seal_answer(
            answer_key(call.idempotency_key),
            msgspec.json.encode(answer).decode(),
            context,
            self._ids.random(NONCE_BYTES),
        )
        tx.kept_answers.drop_older(oldest_ms)
        tx.kept_answers.put(
            KeptAnswer(caller.key_id, call.operation, key_hash, call.request_hash, sealed, caller.now_ms)
        )
        return answer
