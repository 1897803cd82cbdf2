"""The answer of liveness (contract other-v1 §7)."""

from msgspec import Struct


class Services(Struct):
    """What the server is made of."""

    metrics: str
    logger: str
    ratelimit: str
    usagelimit: str


class LivenessAnswer(Struct):
    """Answer of liveness: `status` is `ok` when everything else can be answered."""

    status: str
    services: Services


class NoInput(Struct):
    """Input of operations that take none."""
