"""What became of verifications: of a key or an owner (contract keys-v1 §3.8), and of an api (other-v1 §6)."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from keystead.contract.analytics import CountedIdentity, GetVerificationSeries, VerificationsRow
from keystead.contract.fields import or_none, or_unset
from keystead.contract.keys import DayOfVerifications, GetVerifications, VerificationsAnswer
from keystead.core.entities import Api, Key
from keystead.core.series import (
    COUNTED_OUTCOMES,
    DAY_MS,
    Group,
    SeriesQuery,
    SeriesRow,
    Slice,
    filled,
    gap_count,
)
from keystead.ports import Store, Transaction
from keystead.service.access import Caller
from keystead.service.apis import keyspace_of, live_api
from keystead.service.failures import bad_request, not_found
from keystead.service.keys import live_key

MAX_ROWS = 500_000
"""The most rows an answer may have: some 110 MB. More are refused, whose making would take the server's memory."""

_ROWS_PER_STEP = 1_000
_encode = msgspec.json.Encoder().encode


class Counts(Protocol):
    """Where verifications are counted. The functions wait for the disk: not for the event loop's thread."""

    def verifications_by_day(
        self, key_ids: Sequence[str], start_ms: int, end_ms: int
    ) -> Iterable[tuple[int, int, int, int]]:
        """(day_ms, success, rate limited, usage exceeded), ascending, empty days left out, all keys together."""

    def series(self, query: SeriesQuery, at_most: int) -> list[SeriesRow]:
        """The rows that hold events, in the query's order, at most its limit and `at_most` of them."""


class Analytics:
    """The use cases that read verification counts."""

    def __init__(self, store: Store, counts: Counts) -> None:
        self._store = store
        self._counts = counts

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
        key_ids = [key.id for key, _ in found]
        days = await asyncio.to_thread(self._counts.verifications_by_day, key_ids, start_ms, end_ms)
        return VerificationsAnswer([DayOfVerifications(*day) for day in days])

    async def of_api(self, caller: Caller, request: GetVerificationSeries) -> msgspec.Raw:
        """Counts of an api's verifications: an array of `VerificationsRow`, encoded.

        Raises NOT_FOUND for the api and the identity, PRECONDITION_FAILED for an api that has no keyspace, and
        BAD_REQUEST when the answer would have more than MAX_ROWS rows. Source: other-v1 §6.
        """
        query = await self._store.read(lambda tx: _query(tx, caller, request))
        rows = await asyncio.to_thread(self._rows, query)
        identities = {row.identity_id for row in rows if row.identity_id is not None}
        external_ids = await self._external_ids(caller, identities)
        return await asyncio.to_thread(_encoded, rows, external_ids)

    def _rows(self, query: SeriesQuery) -> list[SeriesRow]:
        most = min(query.limit or MAX_ROWS + 1, MAX_ROWS + 1)
        if query.limit is None and gap_count(query) > MAX_ROWS:
            raise _too_many()
        rows = list(islice(filled(self._counts.series(query, most), query), most))
        if len(rows) > MAX_ROWS:
            raise _too_many()
        return rows

    async def _external_ids(self, caller: Caller, identity_ids: Collection[str]) -> dict[str, str]:
        """Identity → its external id, for those that still exist."""
        if not identity_ids:
            return {}
        return await self._store.read(lambda tx: tx.identities.external_ids(list(identity_ids), caller.workspace_id))


def end_of(request: GetVerificationSeries, now_ms: int) -> int:
    """The end of the range in ms: the present when it is not given."""
    return now_ms if isinstance(request.end, UnsetType) else request.end


def slice_of(request: GetVerificationSeries) -> Slice | None:
    """The one time dimension that applies: the longest that is asked for (§6.3)."""
    return next((slice_ for slice_ in reversed(Slice) if slice_.value in request.group_by), None)


def _query(tx: Transaction, caller: Caller, request: GetVerificationSeries) -> SeriesQuery:
    keyspace_id = keyspace_of(live_api(tx, request.api_id, caller.workspace_id))
    identity_id = None
    if request.external_id:
        identity = tx.identities.by_external_id(request.external_id, caller.workspace_id)
        if identity is None:
            raise not_found("identity", request.external_id)
        identity_id = identity.id
    return SeriesQuery(
        keyspace_id=keyspace_id,
        start_ms=request.start,
        end_ms=end_of(request, caller.now_ms),
        # An empty text counts as not given (§0.5).
        key_ids=tuple(filter(None, request.key_id)),
        identity_id=identity_id,
        tags=tuple(dict.fromkeys(filter(None, request.tag))),
        slice=slice_of(request),
        groups=frozenset(group for group in Group if group.value in request.group_by),
        order_by=None if isinstance(request.order_by, UnsetType) else _ORDERS[request.order_by],
        descending=request.order == "desc" and request.order_by is not UNSET,
        limit=or_none(request.limit),
    )


def _too_many() -> Exception:
    return bad_request(f"the answer would have more than {MAX_ROWS} rows: choose a shorter range, or give a limit")


def _encoded(rows: Sequence[SeriesRow], external_ids: dict[str, str]) -> msgspec.Raw:
    """The answer, encoded a part at a time, so that a long one does not keep the interpreter from the event loop."""
    steps = range(0, len(rows), _ROWS_PER_STEP)
    parts = (_encode(list(_answers(rows[step : step + _ROWS_PER_STEP], external_ids)))[1:-1] for step in steps)
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _answers(rows: Iterable[SeriesRow], external_ids: dict[str, str]) -> Iterator[VerificationsRow]:
    for row in rows:
        outcomes = dict(zip(_COUNTED_MEMBERS, row.counts, strict=True))
        yield VerificationsRow(
            time=or_unset(row.time_ms),
            **outcomes,
            not_found=0,
            unauthorized=0,
            total=sum(row.counts),
            key_id=or_unset(row.key_id),
            identity=_identity(row.identity_id, external_ids),
            tags=UNSET if row.tags is None else list(row.tags),
            tag=or_unset(row.tag),
        )


def _identity(identity_id: str | None, external_ids: dict[str, str]) -> CountedIdentity | UnsetType:
    if identity_id is None:
        return UNSET
    return CountedIdentity(identity_id, external_ids.get(identity_id, ""))


def _camel(outcome: str) -> str:
    first, *rest = outcome.lower().split("_")
    return first + "".join(map(str.capitalize, rest))


_COUNTED_MEMBERS = tuple(outcome.lower() for outcome in COUNTED_OUTCOMES)
_ORDERS = {
    "time": "time",
    "total": "total",
    **{_camel(outcome): outcome for outcome in (*COUNTED_OUTCOMES, "NOT_FOUND", "UNAUTHORIZED")},
}


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
