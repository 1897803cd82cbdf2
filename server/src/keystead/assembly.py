"""Where the parts are chosen and put together; nothing else names a concrete adapter."""

import asyncio
import gc
import os
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from keystead import __version__
from keystead.clock import Clock, SystemClock
from keystead.connect import Connect, connect_file
from keystead.control import Command, ControlServer, DatabaseLock, Perform, choose_socket_path, sole_use
from keystead.core.errors import StartupError
from keystead.core.ids import RequestIds
from keystead.core.permissions import EVERYTHING
from keystead.encryption import KeyEncryptionKeys, KeyFile
from keystead.encryption import load as load_encryption_keys
from keystead.service.ids import Ids
from keystead.service.migration_queue import MigrationQueue
from keystead.service.operator import Operator
from keystead.service.vault import Vault
from keystead.stores.sqlite import SqliteStore
from keystead.threads import SYSTEM_THREADS, Threads

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from keystead.config import Settings
    from keystead.http.exchange import Lane
    from keystead.http.metrics import MetricsPage, Numbers
    from keystead.http.outbox import Outbox
    from keystead.http.protocol import ProtocolFactory
    from keystead.http.services import Services
    from keystead.limiters.windows import WindowLimiter
    from keystead.service.audit import Afterwards
    from keystead.service.guesses import GuessBound
    from keystead.sinks.analytics import Analytics as Counts
    from keystead.sinks.spool import Spool
    from keystead.sinks.transfer import Transfer
    from keystead.sinks.upkeep import Upkeep
    from keystead.stores.cache import FencedCache

_log = structlog.get_logger()

_BACKLOG = 2048

_COLLECTION_THRESHOLDS = (20_000, 20, 20)
"""New objects before a collection, and collections before an older generation is included (Python: 700, 10, 10)."""

_OWN_FILES = 100
"""Files that a server has open beside its clients' connections, amply: about 30."""


@dataclass(frozen=True)
class SystemCalls:
    """The system calls by which files other than databases are changed: the verification log, the limits' counters."""

    write: Callable[[int, bytes], int] = os.write
    fsync: Callable[[int], None] = os.fsync
    fdatasync: Callable[[int], None] = os.fdatasync
    allocate: Callable[[int, int, int], None] = os.posix_fallocate
    remove: Callable[[Path], None] = os.remove


@dataclass(frozen=True)
class Outside:
    """What the server takes from the machine it runs on. A simulation gives its own (docs/simulation.md).

    `random` gives so many unpredictable bytes, `monotonic_s` seconds that never go back, for what is told in the log.
    """

    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[int], bytes] = os.urandom
    monotonic_s: Callable[[], float] = time.monotonic
    threads: Threads = SYSTEM_THREADS
    connect: Connect = connect_file
    calls: SystemCalls = field(default_factory=SystemCalls)


@dataclass(frozen=True)
class Storage:
    """The database and what the operator does with it."""

    settings: "Settings"
    outside: Outside
    clock: Clock
    ids: Ids
    store: SqliteStore
    vault: Vault
    operator: Operator
    migration_queue: MigrationQueue

    def commands(self) -> Mapping[str, Command]:
        """What the command line asks for, beside a running server or without one."""
        from keystead.commands import Commands
        from keystead.service.apis import Apis
        from keystead.service.changes import Changes
        from keystead.service.identities import Identities
        from keystead.service.keys import Keys
        from keystead.service.permissions import Permissions

        changes = Changes(self.store, self.ids)
        commands = Commands(
            clock=self.clock,
            operator=self.operator,
            apis=Apis(self.store, changes, self.ids),
            keys=Keys(self.store, changes, self.vault, self.ids),
            identities=Identities(self.store, changes, self.ids),
            permissions=Permissions(self.store, changes, self.ids),
            migration_queue=self.migration_queue,
        )
        return {**commands.by_name(), "encryption.rotate": self._rotate_encryption}

    async def _rotate_encryption(self, _arguments: dict[str, Any]) -> dict[str, Any]:
        if self.settings.encryption_keys:
            return {"rewrapped": await self.vault.rewrap_all(_configured_keys(self.settings, self.ids))}
        # The old keys leave the file only after everything has been wrapped with the new one.
        file = KeyFile(self.settings.encryption_key_file)
        file.load_or_create(self.ids.random)
        keys = file.add_current(self.ids.random)
        rewrapped = await self.vault.rewrap_all(keys)
        self.vault.use(file.keep_only([keys.current_id]))
        return {"rewrapped": rewrapped}


@asynccontextmanager
async def open_storage(settings: "Settings", outside: Outside | None = None) -> AsyncIterator[Storage]:
    """The database, ready for use: schema current, workspaces made, the promised root key there.

    The caller holds the database's lock. Raises StartupError.
    """
    outside = outside or Outside()
    clock = outside.clock
    ids = Ids(outside.random)
    store = SqliteStore(
        settings.database_path,
        max_cached_keys=settings.key_cache_entries,
        max_cached_absent=settings.unknown_key_cache_entries,
        random=outside.random,
        threads=outside.threads,
        connect=outside.connect,
    )
    try:
        operator = Operator(store, ids)
        await operator.set_up(clock.now_ms())
        if settings.root_key is not None:
            await operator.ensure_root_key(settings.root_key.get_secret_value(), clock.now_ms())
        vault = Vault(store, lambda: _configured_keys(settings, ids), ids)
        await _require_encryption_keys(settings, store)
        migration_queue = MigrationQueue(store, ids, clock.now_ms)
        yield Storage(settings, outside, clock, ids, store, vault, operator, migration_queue)
    finally:
        await store.close()


@dataclass(frozen=True)
class VerificationRecords:
    """Where verification events go: the spool, the counts made of it, what carries from one to the other and tidies."""

    spool: "Spool"
    counts: "Counts"
    transfer: "Transfer"
    upkeep: "Upkeep"


@dataclass(frozen=True)
class Application:
    """A server that only lacks a socket: hand `protocol` and `app` to uvicorn."""

    storage: Storage
    limiter: "WindowLimiter"
    log: VerificationRecords
    afterwards: "Afterwards"
    services: "Services"
    app: "Starlette"
    protocol: "ProtocolFactory"

    @property
    def has_lost(self) -> bool:
        """Whether something that was answered has not been kept because storage took no writes; known at the end."""
        return self.log.spool.lost_events > 0 or self.afterwards.lost > 0 or self.limiter.lost_counters > 0


@asynccontextmanager
async def open_application(storage: Storage) -> AsyncIterator[Application]:
    """Everything behind the socket. On leaving, what was recorded is written and transferred. Raises StartupError."""
    # Here, not at the top: the command line's small errands need none of it.
    from keystead.http.app import create_app
    from keystead.http.outbox import Outbox
    from keystead.service.audit import Afterwards

    async with (
        _open_limiter(storage.settings, storage.outside) as limiter,
        _open_verification_log(storage.settings, storage.outside) as log,
    ):
        afterwards = Afterwards(storage.store)
        bound = _guess_bound(storage.settings)
        services = _services(storage, limiter, log, afterwards, bound)
        outbox = Outbox(log.spool.flush)
        refusals = Counter[int]()
        protocol = _protocol(storage.settings, services, outbox, refusals)
        metrics = None
        if storage.settings.metrics:
            metrics = _metrics(storage, limiter, log, afterwards, bound, protocol, refusals)
        storage.migration_queue.start()
        try:
            yield Application(storage, limiter, log, afterwards, services, create_app(services, metrics), protocol)
        finally:
            await storage.migration_queue.stop()
            outbox.flush()
            await afterwards.drain()


@asynccontextmanager
async def _open_limiter(settings: "Settings", outside: Outside) -> AsyncIterator["WindowLimiter"]:
    """The counters of rate limits with those that the last process left; on leaving, they are safe on the disk."""
    from keystead.limiters.counter_file import CounterFile
    from keystead.limiters.slots import Slots
    from keystead.limiters.syncing import Syncing
    from keystead.limiters.windows import WindowLimiter

    slots = Slots(CounterFile(settings.limits_file, allocate=outside.calls.allocate, sync=outside.calls.fdatasync))
    with sole_use(settings.limits_file):
        limiter = WindowLimiter(slots, outside.clock.now_ms())
        syncing = Syncing(slots, threads=outside.threads)
        syncing.start()
        try:
            yield limiter
        finally:
            await asyncio.to_thread(syncing.stop)


@asynccontextmanager
async def _open_verification_log(settings: "Settings", outside: Outside) -> AsyncIterator[VerificationRecords]:
    """The spool, the counts, and the transfer between them; on leaving, all that was recorded has been counted."""
    from keystead.sinks import tables
    from keystead.sinks.analytics import Analytics, open_engine
    from keystead.sinks.spool import Spool
    from keystead.sinks.transfer import Transfer
    from keystead.sinks.upkeep import Upkeep
    from keystead.stores.migrate import upgrade

    with ExitStack() as closing:
        engine = open_engine(settings.analytics_database, outside.connect)
        counts = Analytics(engine, max_remembered=settings.key_cache_entries)
        closing.callback(counts.close)
        upgrade(engine, tables.MIGRATIONS, tables.HEAD)
        spool = Spool(
            settings.spool_folder,
            above=counts.position().segment,
            segment_bytes=settings.spool_segment_bytes,
            max_buffered_bytes=settings.spool_buffer_bytes,
            clock=outside.clock,
            write=outside.calls.write,
            fsync=outside.calls.fsync,
            threads=outside.threads,
        )
        closing.callback(spool.close)
        for path in (settings.analytics_database, settings.spool_folder):
            closing.enter_context(sole_use(path))
        upkeep = Upkeep(counts, outside.clock, settings.analytics_retention_days)
        transfer = Transfer(
            spool,
            counts,
            interval_s=settings.analytics_interval_s,
            upkeep=upkeep,
            remove=outside.calls.remove,
            threads=outside.threads,
            monotonic_s=outside.monotonic_s,
        )
        transfer.start()
        try:
            yield VerificationRecords(spool, counts, transfer, upkeep)
        finally:
            spool.flush()
            await asyncio.to_thread(transfer.stop)


def _services(
    storage: Storage,
    limiter: "WindowLimiter",
    log: VerificationRecords,
    afterwards: "Afterwards",
    bound: "GuessBound | None",
) -> "Services":
    from keystead.http.problems import Problems
    from keystead.http.services import Services
    from keystead.service.access import Access
    from keystead.service.analytics import Analytics
    from keystead.service.apis import Apis
    from keystead.service.changes import Changes
    from keystead.service.guesses import BoundedAccess, BoundedKeys, BoundedVerification
    from keystead.service.identities import Identities
    from keystead.service.keys import Keys
    from keystead.service.migrations import Migrations
    from keystead.service.permissions import Permissions
    from keystead.service.ratelimits import Ratelimits
    from keystead.service.verification import Verification

    store, ids = storage.store, storage.ids
    changes = Changes(store, ids)
    return Services(
        clock=storage.clock,
        request_ids=RequestIds(ids.random),
        problems=Problems(storage.settings.errors_docs_url),
        access=Access(store, limiter, log.spool) if bound is None else BoundedAccess(store, limiter, log.spool, bound),
        verification=(
            Verification(store, limiter, log.spool)
            if bound is None
            else BoundedVerification(store, limiter, log.spool, bound)
        ),
        keys=(
            Keys(store, changes, storage.vault, ids)
            if bound is None
            else BoundedKeys(store, changes, storage.vault, ids, bound)
        ),
        apis=Apis(store, changes, ids),
        identities=Identities(store, changes, ids),
        migrations=Migrations(changes, storage.vault, ids, storage.migration_queue),
        permissions=Permissions(store, changes, ids),
        ratelimits=Ratelimits(store, changes, limiter, ids, afterwards),
        analytics=Analytics(store, log.counts),
    )


def _guess_bound(settings: "Settings") -> "GuessBound | None":
    from keystead.service.guesses import GuessBound

    if not settings.unknown_keys_per_minute:
        return None
    return GuessBound(settings.unknown_keys_per_minute, [str(network) for network in settings.unknown_keys_exempt])


def _metrics(
    storage: Storage,
    limiter: "WindowLimiter",
    log: VerificationRecords,
    afterwards: "Afterwards",
    bound: "GuessBound | None",
    protocol: "ProtocolFactory",
    refusals: Counter[int],
) -> "MetricsPage":
    """The page of numbers; each is read where it is kept, when somebody asks."""
    from keystead.http.metrics import MetricsPage

    store = storage.store

    def of_log() -> "Numbers":
        lag = log.transfer.lag()
        return {
            "verification_events_transferred": lag.transferred_events,
            "verification_log_waiting_bytes": lag.waiting_bytes,
            "verification_log_corrupt_lines": lag.corrupt_lines,
            "verification_log_corrupt_segments": lag.corrupt_segments,
            "verification_log_torn_lines": lag.torn_lines,
            "verification_log_failed_transfers": lag.failed_rounds,
        }

    def of_memory() -> "Numbers":
        caches: dict[str, FencedCache[Any, Any]] = {"keys": store.cache, "namespaces": store.namespaces}
        return {
            "verification_events_recorded": log.spool.recorded_events,
            "verification_events_dropped": log.spool.dropped_events,
            "verification_events_buffered": log.spool.buffered_events,
            "verification_log_buffered_bytes": log.spool.buffered_bytes,
            "storage_commits": store.written.groups,
            "storage_failed_commits": store.written.failed_groups,
            "storage_changes": store.written.units,
            "storage_spends": store.written.spends,
            "storage_refusals": store.written.refused,
            "audit_entries_waiting": afterwards.waiting,
            "audit_entries_lost": afterwards.lost,
            "cache_entries": {name: len(cache) for name, cache in caches.items()}
            | {f"unknown_{name}": cache.absent_entries for name, cache in caches.items()},
            "limit_counters": len(limiter),
            "limit_counters_in_memory": limiter.counters_in_memory,
            "guess_refusals": 0 if bound is None else bound.refused_calls,
            "http_connections": len(protocol.live),
            "http_refusals": {str(status): count for status, count in sorted(refusals.items())},
        }

    return MetricsPage([of_memory, of_log], __version__)


def _protocol(
    settings: "Settings", services: "Services", outbox: "Outbox", refusals: Counter[int]
) -> "ProtocolFactory":
    """The connections' factory; `refusals` counts, by status, what HTTP itself refuses."""
    from keystead.http.limit_lane import LimitLane
    from keystead.http.limits import HttpLimits
    from keystead.http.operations import LIMIT, VERIFY_KEY
    from keystead.http.protocol import ProtocolFactory
    from keystead.http.verify_lane import VerifyLane

    def refuse(status: int, message: str) -> tuple[bytes, bytes]:
        refusals[status] += 1
        request_id = services.request_ids.next()
        body = services.problems.refusal(status, message, request_id)
        return body, b"unkey-request-id: %b\r\n" % request_id.encode("ascii")

    limits = HttpLimits(
        max_header_bytes=settings.max_header_bytes,
        max_body_bytes=settings.max_body_bytes,
        header_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        keep_alive_timeout_s=settings.keep_alive_timeout_s,
        write_timeout_s=settings.write_timeout_s,
        max_connections=settings.max_connections,
    )
    lanes: dict[bytes, Lane] = {
        VERIFY_KEY.path.encode(): VerifyLane(services),
        LIMIT.path.encode(): LimitLane(services),
    }
    return ProtocolFactory(
        lanes,
        outbox,
        refuse,
        limits=limits,
        forwarded=_forwarded(settings),
        wall_clock=lambda: services.clock.now_ms() / 1000,
    )


def serve(settings: "Settings") -> int:
    """Run the server until it is told to stop; the exit code, 1 if something was lost. Raises StartupError."""
    import uvloop

    # What we make here (databases, spool, keys) is for the operator alone.
    os.umask(0o077)
    with DatabaseLock(settings.database_path) as lock:
        _warn_of_open_files(settings)
        _make_room_for_connections(settings.max_connections)
        listener = _listen(settings)
        with listener:
            return 1 if uvloop.run(_serve(settings, lock, listener)) else 0


def _warn_of_open_files(settings: "Settings") -> None:
    """Say what others on the machine may open: what was copied here, from a backup perhaps, kept its mode."""
    for path in (settings.database_path, settings.analytics_database, settings.spool_folder):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # not made yet; whatever else is the matter, opening it says
        if mode & 0o077:
            _log.warning("open_to_others", path=str(path), advice=f"chmod go= {path}")


def _make_room_for_connections(max_connections: int) -> None:
    """Raise the limit of open files as far as the connections need it and the system allows; warn if that is too few.

    Without room for them all, strangers' connections take the place of our own files.
    """
    needed = max_connections + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As many as are served may be told at the same time that there are too many.
    wanted = needed + max_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a bound of its own
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
            )
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < needed:
            advice = f"raise the limit (LimitNOFILE, ulimit -Hn), or set max_connections to {soft - _OWN_FILES} or less"
            _log.warning("too_few_open_files_allowed", allowed=soft, needed=needed, advice=advice)


@contextmanager
def offline(settings: "Settings") -> Iterator[Perform]:
    """Does commands, one after the other, on a database that no server has open; it is open and locked meanwhile.

    Raises StartupError, as DatabaseInUse when another process has it open.
    """
    os.umask(0o077)
    with DatabaseLock(settings.database_path), asyncio.Runner() as runner, ExitStack() as closing:
        opened = AsyncExitStack()
        closing.callback(lambda: runner.run(opened.aclose()))
        storage = runner.run(opened.enter_async_context(open_storage(settings)))
        commands = storage.commands()

        async def run(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
            return await commands[name](arguments)

        yield lambda name, arguments: runner.run(run(name, arguments))


async def _serve(settings: "Settings", lock: DatabaseLock, listener: socket.socket) -> bool:
    """Whether something that was answered is lost at the end, because storage took no writes."""
    from keystead.http.server import HttpServer

    async with open_storage(settings) as storage, open_application(storage) as application:
        control = ControlServer(choose_socket_path(settings.database_path), storage.commands())
        await control.start()
        try:
            lock.announce(control.socket_path)
            await _make_first_root_key(storage)
            url = _url(settings, listener)

            def announce() -> None:
                _log.info("serving", url=url, database=str(settings.database_path), version=__version__)
                # Nothing that a server should fail for: the log has told it as well.
                with suppress(OSError), _once_or_never():
                    _tell(f"url       {url}", f"docs      {url}/docs")

            server = HttpServer(
                application.app,
                application.protocol,
                shutdown_timeout_s=settings.shutdown_timeout_s,
                tls=(settings.tls_certificate, settings.tls_key) if settings.tls_certificate else None,
                on_ready=announce,
            )
            _calm_garbage_collection()
            await server.serve(sockets=[listener])
            _log.info("stopped")
        finally:
            await control.stop()
    return application.has_lost


def _calm_garbage_collection() -> None:
    """Keep what a start has made out of collections, and have them less often: each holds all answers up.

    One that went through everything took 50 ms, every second or two; spends of credits pay most for small ones.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)


async def _make_first_root_key(storage: Storage) -> None:
    """Make and print a root key when there is none, nor one in the settings. Raises StartupError."""
    # Not "when the database was empty": a start that failed, or a command, may have made it before.
    if storage.settings.root_key is not None or await storage.operator.has_root_keys():
        return
    # Told before it is stored: a start that ends in between has made none, and the next one prints another. The other
    # way round nobody would ever learn the only root key there is.
    secret = storage.operator.new_root_key()
    try:
        with _once_or_never():
            _tell(f"root key  {secret}", "          Keep it now: it is not shown again.")
    except OSError as error:
        raise StartupError(
            f"The first root key can not be printed to standard output: {error.strerror}. Start where it can be read, "
            "or choose it yourself with KEYSTEAD_ROOT_KEY. None was made."
        ) from error
    await storage.operator.create_root_key("first", [EVERYTHING], None, storage.clock.now_ms(), secret)


def _tell(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201 - what the person at the terminal asked for, not a log line


@contextmanager
def _once_or_never() -> Iterator[None]:
    """What can not be written to standard output within is not tried again when the interpreter ends."""
    try:
        yield
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _url(settings: "Settings", listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _listen(settings: "Settings") -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        # A name that is not found has a negative number, and its own words.
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error.strerror or error).partition(" (")[0]
        raise StartupError(
            f"Cannot listen on {settings.host} port {settings.port}: {reason}. "
            "Choose another with --host and --port, or stop what uses it."
        ) from error


def _forwarded(settings: "Settings") -> Any:
    from keystead.http.forwarded import ForwardedFrom

    if settings.forwarded_header is None:
        return None
    return ForwardedFrom(settings.forwarded_header.encode(), tuple(settings.trusted_proxies))


def _configured_keys(settings: "Settings", ids: Ids) -> KeyEncryptionKeys:
    texts = [key.get_secret_value() for key in settings.encryption_keys]
    return load_encryption_keys(texts, settings.encryption_key_file, ids.random)


async def _require_encryption_keys(settings: "Settings", store: SqliteStore) -> None:
    """Refuse to start without the keys that stored secrets need: a new key file would only hide that they are lost."""
    in_use = {data_key.key_encryption_key_id for data_key in await store.read(lambda tx: tx.data_keys.all())}
    if not in_use:
        return
    if settings.encryption_keys:
        keys = KeyEncryptionKeys.from_texts([key.get_secret_value() for key in settings.encryption_keys])
    else:
        keys = KeyFile(settings.encryption_key_file).load()
    keys.require(in_use)
