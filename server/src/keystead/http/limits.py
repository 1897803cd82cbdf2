"""What one client may cost: sizes, counts and times of the HTTP connection."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of a connection. Times are seconds and are kept by a sweep once a second, so they end up to 2 s late."""

    # Longest request target; a longer one is answered 414.
    max_target_bytes: int = 8192
    # Request line and header fields together; more is answered 431.
    max_header_bytes: int = 32768
    # Number of header fields; more are answered 431.
    max_headers: int = 100
    # Largest request body, declared or chunked; a larger one is answered 413, a declared one before it is sent.
    max_body_bytes: int = 8 * 1024 * 1024
    # From a request's first byte to the end of its header; then 408.
    header_timeout_s: float = 10.0
    # From the end of the header to the end of the body, however steadily it trickles; then 408.
    body_timeout_s: float = 30.0
    # How long a connection may wait for a request, the first one too; then it is closed without a word.
    keep_alive_timeout_s: float = 75.0
    # How long the client may read nothing of what is waiting for it; then the connection is dropped.
    write_timeout_s: float = 30.0
    # How long after our last answer the client's remaining input is still read and thrown away (RFC 9112 9.6).
    linger_timeout_s: float = 2.0
    # Open connections; one more is answered 503 and closed.
    max_connections: int = 10000
    # Requests of one connection that wait for an earlier one before reading stops.
    max_pipelined: int = 32
    # Bytes of the bodies of these waiting requests before reading stops.
    max_pipelined_bytes: int = 256 * 1024
