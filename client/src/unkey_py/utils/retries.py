"""How a call is repeated (sdk.md section 8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


class BackoffStrategy:
    """How long to wait between attempts and when to stop.

    `initial_interval`, `max_interval` and `max_elapsed_time` are milliseconds. The wait before retry n (0, 1, …)
    is `initial_interval * exponent ** n` plus up to one second at random, but at most `max_interval`. No retry
    starts once `max_elapsed_time` has passed since the first attempt began, so the last wait may overrun it.
    """

    def __init__(self, initial_interval: int, max_interval: int, exponent: float, max_elapsed_time: int) -> None:
        self.initial_interval = initial_interval
        self.max_interval = max_interval
        self.exponent = exponent
        self.max_elapsed_time = max_elapsed_time


class RetryConfig:
    """What to retry: status 429 and 500 to 599, and connection failures and timeouts if `retry_connection_errors`.

    After a 429 no sooner than its Retry-After says; one beyond `max_elapsed_time` is not waited for. Any `strategy`
    other than `"backoff"` switches retrying off.
    """

    def __init__(self, strategy: str, backoff: BackoffStrategy, retry_connection_errors: bool) -> None:
        self.strategy = strategy
        self.backoff = backoff
        self.retry_connection_errors = retry_connection_errors


class Retries:
    """A retry configuration together with the statuses it is for, such as `["5XX"]`."""

    def __init__(self, config: RetryConfig, status_codes: list[str]) -> None:
        self.config = config
        self.status_codes = status_codes


class TemporaryError(Exception):
    """An answer that may be better next time."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response


class PermanentError(Exception):
    """A failure that a retry will not heal; the cause is in `inner`."""

    def __init__(self, inner: Exception) -> None:
        self.inner = inner


def waits(
    backoff: BackoffStrategy, now_ms: Callable[[], int], jitter: Callable[[], float], started_ms: int
) -> Iterator[float]:
    """Seconds to wait before each retry, asked for after a failed attempt; ends when the time is up.

    `started_ms` is when the first attempt began. `jitter` draws seconds from [0, 1).
    """
    # Multiplied step by step: a power of a large n overflows, a product merely becomes infinite.
    interval = backoff.initial_interval / 1000
    while now_ms() - started_ms <= backoff.max_elapsed_time:
        yield min(interval + jitter(), backoff.max_interval / 1000)
        interval *= float(backoff.exponent)
