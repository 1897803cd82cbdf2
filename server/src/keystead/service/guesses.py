"""A bound on guessing: how many unknown keys one address may try in a minute (settings `unknown_keys_*`).

An address that has tried its number of unknown keys is refused, whatever it sends, until the minute ends: known keys
too, before they are looked for. Anything less would not bound guessing, since the right guess would still be told from
the wrong ones. So the price is that good keys from that address wait as well; addresses that verify other people's keys
(the operator's own servers) are exempt by name.

Off by default. `assembly.py` then takes the plain use cases and nothing of this runs.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

import structlog

from keystead.contract.keys import Whoami, WhoamiAnswer
from keystead.core.addresses import AddressList
from keystead.core.errors import ErrorCode, KeysteadError, Reason
from keystead.core.verify import NOT_FOUND, Verdict, VerificationRequest
from keystead.core.window import window_at
from keystead.ports import Limiter, Store, VerificationLog
from keystead.service.access import Access, Caller, Origin
from keystead.service.changes import Changes
from keystead.service.ids import Ids
from keystead.service.keys import Keys
from keystead.service.vault import Vault
from keystead.service.verification import Pending, Verification

_log = structlog.get_logger()

WINDOW_MS = 60_000
"""Guesses are counted by the minute of the epoch."""

MAX_SOURCES = 65_536
"""Addresses counted on their own in a minute; those that come later share one count."""

_LOGGED_A_WINDOW = 10
_REMEMBERED = 4096
# Where the count of those is kept that no place is left for, and of clients without an address.
_OVERFLOW, _NOWHERE = "others", "unknown"


class GuessBound:
    """Counts the unknown keys of each address, IPv6 by /64, and says who has tried enough.

    Kept in memory for the present minute only: a restart forgets it. A clock that steps begins a new minute.
    """

    def __init__(self, per_minute: int, exempt: Sequence[str] = (), max_sources: int = MAX_SOURCES) -> None:
        """`exempt` are addresses and CIDR ranges that are never counted."""
        self._per_minute = per_minute
        self._exempt = AddressList(exempt)
        self._max_sources = max_sources
        self._window = 0
        self._counts: dict[str, int] = {}
        self._refused: set[str] = set()
        # Address as text → whose count it is; making it out costs more than all the rest.
        self._sources: dict[str, str | None] = {}
        self.refused_calls = 0
        """Calls refused since the start."""

    def admit(self, address: str | None, now_ms: int) -> None:
        """Raise TOO_MANY_REQUESTS if the address has tried as many unknown keys as it may in this minute."""
        # Nobody is refused nearly always: then this is all that a call pays.
        if self._refused and self._is_refused(address, now_ms):
            self.refused_calls += 1
            end_ms = (self._window + 1) * WINDOW_MS
            raise KeysteadError(
                ErrorCode.TOO_MANY_REQUESTS,
                "too many unknown keys came from this address; it is answered again when the minute is over",
                Reason.RATE_LIMITED,
                retry_after_s=-(-(end_ms - now_ms) // 1000),
            )

    def count(self, address: str | None, now_ms: int) -> None:
        """An unknown key came from the address."""
        self._begin_window(now_ms)
        source = self._source(address)
        if source is None:
            return
        if source not in self._counts and len(self._counts) >= self._max_sources:
            source = _OVERFLOW
        count = self._counts[source] = self._counts.get(source, 0) + 1
        if count == self._per_minute:
            self._refused.add(source)
            self._tell(source)

    def __len__(self) -> int:
        return len(self._counts)

    def _is_refused(self, address: str | None, now_ms: int) -> bool:
        self._begin_window(now_ms)
        source = self._source(address)
        if source is None:
            return False
        return source in self._refused or (_OVERFLOW in self._refused and source not in self._counts)

    def _begin_window(self, now_ms: int) -> None:
        window = window_at(now_ms, WINDOW_MS)
        if window != self._window:
            self._window = window
            self._counts.clear()
            self._refused.clear()

    def _source(self, address: str | None) -> str | None:
        """Whose count the address belongs to; None for an exempt one."""
        if address is None:
            return _NOWHERE
        if address not in self._sources:
            if len(self._sources) >= _REMEMBERED:
                self._sources.clear()
            self._sources[address] = None if self._exempt.admits(address) else _network_of(address)
        return self._sources[address]

    def _tell(self, source: str) -> None:
        # The address, never a key; and not a line for each of many.
        told = len(self._refused)
        if told <= _LOGGED_A_WINDOW:
            _log.warning("guessing_refused", address=source, unknown_keys=self._per_minute)
        elif told == _LOGGED_A_WINDOW + 1:
            _log.warning("guessing_refused", address="more addresses, not logged in this minute")


def _network_of(address: str) -> str:
    """The address itself, for IPv6 its /64: that much is one customer's, to choose from at will."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return _NOWHERE
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


class BoundedAccess(Access):
    """`Access` that counts unknown root keys and refuses who has tried enough."""

    def __init__(self, store: Store, limiter: Limiter, log: VerificationLog, bound: GuessBound) -> None:
        super().__init__(store, limiter, log)
        self._bound = bound

    async def authenticate(
        self, authorization: str | None, origin: Origin, needed: Sequence[Sequence[str]] = ()
    ) -> Caller:
        """See `Access.authenticate`; raises TOO_MANY_REQUESTS as `GuessBound.admit` before anything is looked for."""
        self._bound.admit(origin.client_address, origin.now_ms)
        return await super().authenticate(authorization, origin, needed)

    def authenticate_at_once(
        self, authorization: str | None, origin: Origin, needed: Sequence[Sequence[str]] = ()
    ) -> Caller | None:
        """See `Access.authenticate_at_once`; raises TOO_MANY_REQUESTS as `authenticate`."""
        self._bound.admit(origin.client_address, origin.now_ms)
        return super().authenticate_at_once(authorization, origin, needed)

    def _unknown(self, origin: Origin) -> KeysteadError:
        self._bound.count(origin.client_address, origin.now_ms)
        return super()._unknown(origin)


class BoundedVerification(Verification):
    """`Verification` that counts unknown keys and refuses who has tried enough."""

    def __init__(self, store: Store, limiter: Limiter, log: VerificationLog, bound: GuessBound) -> None:
        super().__init__(store, limiter, log)
        self._bound = bound

    def start(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict | Pending | None:
        """See `Verification.start`; raises TOO_MANY_REQUESTS as `GuessBound.admit` before anything is looked for."""
        self._bound.admit(client_address, now_ms)
        verdict = super().start(request, now_ms, request_id, client_address)
        if verdict is NOT_FOUND:
            self._bound.count(client_address, now_ms)
        return verdict

    async def verify(
        self, request: VerificationRequest, now_ms: int, request_id: str, client_address: str | None
    ) -> Verdict:
        """See `Verification.verify`; raises TOO_MANY_REQUESTS as `start`."""
        self._bound.admit(client_address, now_ms)
        verdict = await super().verify(request, now_ms, request_id, client_address)
        if verdict is NOT_FOUND:
            self._bound.count(client_address, now_ms)
        return verdict


class BoundedKeys(Keys):
    """`Keys` whose whoami counts unknown keys; who has tried enough was refused while authenticating."""

    def __init__(self, store: Store, changes: Changes, vault: Vault, ids: Ids, bound: GuessBound) -> None:
        super().__init__(store, changes, vault, ids)
        self._bound = bound

    async def whoami(self, caller: Caller, request: Whoami) -> WhoamiAnswer:
        """See `Keys.whoami`; raises TOO_MANY_REQUESTS when others took the last guesses meanwhile."""
        address, now_ms = caller.origin.client_address, caller.now_ms
        try:
            answer = await super().whoami(caller, request)
        except KeysteadError as failure:
            if failure.code is ErrorCode.NOT_FOUND:
                self._bound.admit(address, now_ms)
                self._bound.count(address, now_ms)
            raise
        self._bound.admit(address, now_ms)
        return answer
