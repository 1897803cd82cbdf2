"""`GET /metrics`: the server in numbers, in the text format of Prometheus (docs/metrics.md).

The numbers are kept where they arise and only read here, when somebody asks: no request pays for them. None of them
tells of a key, a workspace or a client.
"""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from keystead.core.pacing import Pace

_log = structlog.get_logger()

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Kind(Enum):
    """Whether a number only grows while the process lives."""

    COUNTER = CounterMetricFamily
    GAUGE = GaugeMetricFamily


class Described(NamedTuple):
    """A metric; `name` is without the prefix `keystead_` and the suffix `_total`, `label` "" if it is one number."""

    name: str
    kind: Kind
    help: str
    label: str = ""


METRICS = (
    Described("verification_events_recorded", Kind.COUNTER, "Events accepted into the verification log."),
    Described("verification_events_dropped", Kind.COUNTER, "Events lost: the disk took no writes and memory was full."),
    Described("verification_events_transferred", Kind.COUNTER, "Events counted in analytics."),
    Described("verification_events_buffered", Kind.GAUGE, "Events in memory, waiting for a disk that takes no writes."),
    Described("verification_log_buffered_bytes", Kind.GAUGE, "Bytes of the events in memory."),
    Described("verification_log_waiting_bytes", Kind.GAUGE, "Bytes on disk that are not yet counted in analytics."),
    Described("verification_log_corrupt_lines", Kind.COUNTER, "Damaged lines passed over."),
    Described("verification_log_corrupt_segments", Kind.COUNTER, "Damaged or missing segments passed over."),
    Described("verification_log_torn_lines", Kind.COUNTER, "Unfinished lines at the end of segments."),
    Described("verification_log_failed_transfers", Kind.COUNTER, "Rounds of transfer that failed; all are repeated."),
    Described("storage_commits", Kind.COUNTER, "Transactions committed; each holds what was waiting."),
    Described("storage_failed_commits", Kind.COUNTER, "Transactions that failed; nothing of them was written."),
    Described("storage_changes", Kind.COUNTER, "Changes committed."),
    Described("storage_spends", Kind.COUNTER, "Spends of credits committed."),
    Described("storage_refusals", Kind.COUNTER, "Changes and spends refused as storage took no writes."),
    Described("audit_entries_waiting", Kind.GAUGE, "Audit entries about limits on their way to storage."),
    Described("audit_entries_lost", Kind.COUNTER, "Audit entries about limits lost as storage took no writes."),
    Described("cache_entries", Kind.GAUGE, "What is held in memory of the database.", "cache"),
    Described("limit_counters", Kind.GAUGE, "Counters of rate limits."),
    Described(
        "limit_counters_in_memory", Kind.GAUGE, "Those whose file has no room: an end of the process loses them."
    ),
    Described("guess_refusals", Kind.COUNTER, "Calls refused as their address has tried too many unknown keys."),
    Described("http_connections", Kind.GAUGE, "Connections open."),
    Described("http_refusals", Kind.COUNTER, "Requests refused by HTTP itself, before any operation.", "status"),
)

Numbers = Mapping[str, float | Mapping[str, float]]
"""Name of a metric → its number; by the value of its label if it has one."""

Read = Callable[[], Numbers]


class MetricsPage:
    """The page. `readers` give the numbers of all METRICS together; one that fails is left out, and logged."""

    def __init__(self, readers: Sequence[Read], version: str) -> None:
        self._readers = readers
        self._version = version
        self._failure_pace = Pace()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The numbers of now; looks at files, so not for the event loop's thread."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        build = GaugeMetricFamily("keystead_build_info", "Always 1.", labels=("version", "python"))
        build.add_metric((self._version, platform.python_version()), 1)
        yield build
        numbers = self._read()
        for metric in METRICS:
            if metric.name in numbers:
                yield _family(metric, numbers[metric.name])

    def _read(self) -> dict[str, float | Mapping[str, float]]:
        numbers: dict[str, float | Mapping[str, float]] = {}
        for read in self._readers:
            try:
                numbers |= read()
            except Exception as error:  # a broken part must not hide what the others have to tell
                if self._failure_pace.is_due(time.monotonic()):
                    _log.error("metrics_incomplete", error=str(error))
        return numbers


def _family(metric: Described, number: float | Mapping[str, float]) -> Metric:
    labels = (metric.label,) if metric.label else ()
    family: CounterMetricFamily | GaugeMetricFamily = metric.kind.value(
        f"keystead_{metric.name}", metric.help, labels=labels
    )
    values = number if isinstance(number, Mapping) else {"": number}
    for label, value in values.items():
        family.add_metric((label,) if metric.label else (), value)
    return family
