"""Carries verification events from the spool to analytics, each exactly once.

A round reads what is new in the spool, counts it in memory, and stores the counts together with the position they
reach. A segment is deleted only after the committed position has left it. Nothing here fails a request: while
analytics takes nothing, the spool grows, and the next round tries again.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol

import msgspec
import structlog

from keystead.core.pacing import Pace
from keystead.sinks import segments
from keystead.sinks.merge import Counted, Counts
from keystead.sinks.segments import Chunk, Position
from keystead.sinks.spool import Spool
from keystead.sinks.upkeep import Upkeep
from keystead.threads import SYSTEM_THREADS, Running, Threads

_log = structlog.get_logger(__name__)
_HOUR_MS = 3_600_000


class Sink(Protocol):
    """Where counts go."""

    def position(self) -> Position:
        """Up to where the spool is counted."""

    def add(self, counts: Counts, before: Position, after: Position) -> None:
        """Durably add counts and move the position, both or neither; raises if the position is not `before`."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far analytics is behind, for metrics. Events are counted since the start of the process.

    `recorded_events` were flushed to the spool, `transferred_events` reached analytics (events that an earlier process
    left in the spool included), `dropped_events` were lost because the disk took no writes, `corrupt_lines` and
    `corrupt_segments` were passed over. `waiting_bytes` is what is in the spool now and not in analytics. `torn_lines`
    are the unfinished ends of segments: one for each crash in the middle of a write, more if something cuts files.
    `failed_rounds` changed nothing and are repeated.
    """

    recorded_events: int
    transferred_events: int
    dropped_events: int
    corrupt_lines: int
    corrupt_segments: int
    waiting_bytes: int
    torn_lines: int = 0
    failed_rounds: int = 0


class _Event(msgspec.Struct, array_like=True, gc=False):
    """A line of the spool (`keystead.core.events`); the bound on the time is the year 9999."""

    time_ms: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]
    request_id: str
    outcome: Literal[
        "VALID",
        "FORBIDDEN",
        "USAGE_EXCEEDED",
        "RATE_LIMITED",
        "DISABLED",
        "INSUFFICIENT_PERMISSIONS",
        "EXPIRED",
    ]
    tags: tuple[str, ...]
    workspace_id: str
    keyspace_id: str
    key_id: str
    identity_id: str | None
    external_id: str | None


_decoder = msgspec.json.Decoder(_Event)
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class _CorruptLines:
    """Those of one segment in one round; the rest tells of the first of them."""

    before_byte: int
    first_reason: str
    lines: int = 0


class _Round:
    """What one round has counted so far, and what there is to tell once that is committed: a round may be repeated."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.counts: dict[Counted, int] = {}
        self.events = 0
        self.bytes = 0
        self.torn: list[tuple[int, int]] = []
        self.corrupt: dict[int, _CorruptLines] = {}
        self.shortened: list[tuple[int, int]] = []
        self.missing: list[int] = []

    def take(self, chunk: Chunk) -> None:
        if chunk.lines:
            self._count(self._decode(chunk))
            self.bytes += len(chunk.lines)
        elif chunk.torn_bytes > 0:
            self.torn.append((chunk.segment, chunk.torn_bytes))
        elif chunk.torn_bytes < 0:
            self.shortened.append((chunk.segment, -chunk.torn_bytes))
        self.position = chunk.position

    def tell(self) -> None:
        """Log what was passed over."""
        for segment, found in self.corrupt.items():
            _log.error(
                "verification_log_corrupt_lines",
                segment=segment,
                before_byte=found.before_byte,
                lines=found.lines,
                first_reason=found.first_reason,
            )
        for segment, torn_bytes in self.torn:
            _log.info("verification_log_torn_line", segment=segment, bytes=torn_bytes)
        for segment, missing_bytes in self.shortened:
            _log.error("verification_log_shortened_segment", segment=segment, missing_bytes=missing_bytes)
        for segment in self.missing:
            _log.error("verification_log_missing_segment", segment=segment)

    def _decode(self, chunk: Chunk) -> list[_Event]:
        try:
            return _decoder.decode_lines(chunk.lines)
        except _UNDECODABLE:
            return self._decode_line_by_line(chunk)

    def _decode_line_by_line(self, chunk: Chunk) -> list[_Event]:
        events = []
        for line in chunk.lines.split(b"\n"):
            if not line.strip():  # says nothing and hides nothing
                continue
            try:
                events.append(_decoder.decode(line))
            except _UNDECODABLE as error:
                corrupt = _CorruptLines(chunk.position.offset, str(error))
                self.corrupt.setdefault(chunk.segment, corrupt).lines += 1
        return events

    def _count(self, events: list[_Event]) -> None:
        # Local names, because this loop is most of what an event costs.
        counts, new = self.counts, Counted
        for event in events:
            counted = new(
                event.time_ms - event.time_ms % _HOUR_MS,
                event.outcome,
                event.tags,
                event.keyspace_id,
                event.key_id,
                event.identity_id,
            )
            counts[counted] = counts.get(counted, 0) + 1
        self.events += len(events)


class Transfer:
    """A thread that runs a round every `interval_s` seconds, and at once while a round was full.

    A round ends after the chunk that reaches `max_round_events` or `max_round_bytes`, which bounds its memory. Between
    rounds the thread also lets `upkeep` delete a little of what is not kept any longer.
    """

    def __init__(
        self,
        spool: Spool,
        sink: Sink,
        *,
        interval_s: float = 1.0,
        max_round_events: int = 20_000,
        max_round_bytes: int = 8 * 1024 * 1024,
        upkeep: Upkeep | None = None,
        open_segment: segments.Open = segments.open_segment,
        remove: Callable[[Path], None] = os.remove,
        threads: Threads = SYSTEM_THREADS,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._sink = sink
        self._upkeep = upkeep
        self._interval_s = interval_s
        self._max_round_events = max_round_events
        self._max_round_bytes = max_round_bytes
        self._transferred_events = 0
        self._corrupt_lines = 0
        self._corrupt_segments = 0
        self._torn_lines = 0
        self._failed_rounds = 0
        self._paces: dict[str, Pace] = {}
        self._open_segment = open_segment
        self._remove = remove
        self._monotonic_s = monotonic_s
        self._threads = threads
        self._round_lock = threads.lock()
        self._stopping = threads.event()
        self._thread: Running | None = None

    def start(self) -> None:
        """Begin to transfer in the background."""
        self._thread = self._threads.start(self._run, "verification-transfer")

    def stop(self) -> None:
        """Transfer everything flushed so far and end the thread.

        What analytics does not take now stays in the spool for the next start.
        """
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._transfer_all()

    def transfer_once(self) -> bool:
        """Run one round; True if there is more to transfer at once.

        Raises what the spool's folder or the sink raises; nothing is lost or counted twice by that.
        """
        with self._round_lock:
            self._serve_spool()
            before = self._sink.position()
            done = _Round(before)
            has_more = self._fill(done)
            if done.position != before:
                self._sink.add(done.counts, before, done.position)
            self._note(done)
            self._delete_segments_before(done.position.segment)
            return has_more

    def lag(self) -> Lag:
        """How far analytics is behind; asks the sink for its position."""
        position = self._sink.position()
        waiting_bytes = 0
        for number in segments.numbers_in(self._spool.folder):
            if number >= position.segment:
                counted = position.offset if number == position.segment else 0
                # A loss of power may have cut off what was counted already.
                waiting_bytes += max(_size(self._spool, number) - counted, 0)
        return Lag(
            recorded_events=self._spool.recorded_events,
            transferred_events=self._transferred_events,
            dropped_events=self._spool.dropped_events,
            corrupt_lines=self._corrupt_lines,
            corrupt_segments=self._corrupt_segments,
            waiting_bytes=waiting_bytes,
            torn_lines=self._torn_lines,
            failed_rounds=self._failed_rounds,
        )

    def _serve_spool(self) -> None:
        """What the event loop should not wait for, or does only when there is something to answer."""
        if self._spool.buffered_bytes:
            self._spool.flush()
        try:
            self._spool.sync_finished()
        except OSError as error:
            self._report_failure("verification_log_not_synced", error)

    def _fill(self, done: _Round) -> bool:
        """Count the spool from the round's position on; True if the round was full before the end."""
        # Asked first: what is older is finished when it is read.
        newest = self._spool.segment
        try:
            for chunk in segments.read_from(self._spool.folder, done.position, newest, self._open_segment):
                done.take(chunk)
                if done.events >= self._max_round_events or done.bytes >= self._max_round_bytes:
                    return True
        except segments.UnreadableSegment as error:
            self._pass_over(error, done)
            return True
        return False

    def _pass_over(self, error: segments.UnreadableSegment, done: _Round) -> None:
        """Go on after a segment that can not be read; raises `error` if there is no room for another one."""
        successor = error.successor
        if successor is None:
            if not self._spool.rotate():
                raise error
            successor = self._spool.segment
        done.position = Position(successor, 0)
        try:
            aside = segments.set_aside(self._spool.folder, error.number)
        except FileNotFoundError:
            done.missing.append(error.number)
        except OSError as failure:
            # It stays where it is, and is deleted if that is possible later.
            self._corrupt_segments += 1
            _log.error("verification_log_unreadable_segment", reason=str(error), not_kept=str(failure))
        else:
            self._corrupt_segments += 1
            _log.error("verification_log_unreadable_segment", reason=str(error), kept_as=str(aside))

    def _note(self, done: _Round) -> None:
        self._transferred_events += done.events
        self._corrupt_lines += sum(corrupt.lines for corrupt in done.corrupt.values())
        self._corrupt_segments += len(done.missing) + len(done.shortened)
        self._torn_lines += len(done.torn)
        done.tell()

    def _delete_segments_before(self, segment: int) -> None:
        for number in segments.numbers_in(self._spool.folder):
            if number < segment:
                self._delete(number)

    def _delete(self, number: int) -> None:
        try:
            self._remove(segments.path_of(self._spool.folder, number))
        except FileNotFoundError:
            pass
        except OSError as error:
            self._report_failure("verification_log_segment_not_deleted", error)
            # A folder, say: under another name it is in nobody's way.
            with contextlib.suppress(OSError):
                segments.set_aside(self._spool.folder, number)

    def _run(self) -> None:
        while not self._stopping.wait(self._interval_s):
            self._transfer_all()
            self._keep_up()

    def _keep_up(self) -> None:
        if self._upkeep is None:
            return
        try:
            self._upkeep.run(self._stopping.is_set)
        except Exception as error:  # as with a round, the next one tries again
            self._report_failure("verification_upkeep_failed", error)

    def _transfer_all(self) -> None:
        try:
            while self.transfer_once():
                pass
        except Exception as error:  # whatever it is, the thread must live to try again
            self._failed_rounds += 1
            self._report_failure("verification_transfer_failed", error)

    def _report_failure(self, event: str, error: Exception) -> None:
        if self._paces.setdefault(event, Pace()).is_due(self._monotonic_s()):
            _log.error(event, error=str(error), exc_info=error)


def _size(spool: Spool, number: int) -> int:
    try:
        return segments.path_of(spool.folder, number).stat().st_size
    except FileNotFoundError:  # deleted since it was listed
        return 0
