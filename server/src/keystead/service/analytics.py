"""What became of a key's verifications (contract keys-v1 §3.8)."""

from collections.abc import Awaitable, Callable, Sequence

from keystead.contract.keys import DayOfVerifications, GetVerifications, VerificationsAnswer
from keystead.core.credits import DAY_MS
from keystead.core.entities import Api, Key
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.failures import bad_request, not_found
from keystead.service.keys import live_key

ByDay = Callable[[Sequence[str], int, int], Awaitable[list[tuple[int, int, int, int]]]]
"""(key ids, start_ms, end_ms) → (day_ms, success, rate limited, usage exceeded), ascending, empty days left out."""


class Analytics:
    """The use cases that read verification counts."""

    def __init__(self, store: Store, by_day: ByDay) -> None:
        self._store = store
        self._by_day = by_day

    async def of_keys(self, caller: Caller, request: GetVerifications) -> VerificationsAnswer:
        """Counts per UTC day for one key, or for all keys of an owner. Raises BAD_REQUEST, NOT_FOUND, FORBIDDEN."""
        if not request.key_id and not request.owner_id:
            raise bad_request("either keyId or ownerId is required")
        found = await self._store.read(lambda tx: _keys_of(tx, caller, request))
        # One api alone is enough for its keys; several need a permission on each (§2.4).
        for api_id in {api.id for _, api in found}:
            caller.require("api.*.read_key", f"api.{api_id}.read_key")
        end_ms = request.end or caller.now_ms
        start_ms = request.start or caller.now_ms - DAY_MS
        days = await self._by_day([key.id for key, _ in found], start_ms, end_ms)
        return VerificationsAnswer([DayOfVerifications(*day) for day in days])


def _keys_of(tx: Transaction, caller: Caller, request: GetVerifications) -> list[tuple[Key, Api]]:
    if request.key_id:
        return [live_key(tx, request.key_id, caller)]
    apis: dict[str, Api | None] = {}
    found = []
    for key in tx.keys.by_owner(request.owner_id, caller.workspace_id):
        if key.keyspace_id not in apis:
            apis[key.keyspace_id] = tx.apis.of_keyspace(key.keyspace_id)
        api = apis[key.keyspace_id]
        if api is not None:
            found.append((key, api))
    if not found:
        raise not_found("key of owner", request.owner_id)
    return found
