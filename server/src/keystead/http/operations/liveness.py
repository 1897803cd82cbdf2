"""Whether the server is there (contract other-v1 §7)."""

from keystead.contract import service
from keystead.http.operations.entry import GET, Operation
from keystead.http.services import Services
from keystead.service.access import Caller


async def _alive(_services: Services, _caller: Caller, _request: service.NoInput) -> service.LivenessAnswer:
    # The socket is opened after everything else is ready, so an answer at all is the news.
    return service.LivenessAnswer("ok", service.Services("none", "structlog", "memory", "ledger"))


LIVENESS = Operation(
    "liveness",
    GET,
    "Whether the server can answer everything else.",
    service.NoInput,
    service.LivenessAnswer,
    _alive,
    authenticated=False,
)
