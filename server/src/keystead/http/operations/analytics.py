"""The operation of analytics (contract other-v1 §6)."""

from keystead.contract import analytics
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.http.operations.entry import GET, Operation, of_api
from keystead.service.analytics import end_of, slice_of


def _refuse_empty_range(request: analytics.GetVerificationSeries, now_ms: int) -> None:
    # First of the three (§6.2), and before anybody is authenticated even when the end is the present.
    if request.start >= end_of(request, now_ms):
        raise _bad("start must be before end")
    if "tag" in request.group_by and "tags" in request.group_by:
        raise _bad("group by tag or tags, not both")
    if request.order_by == "time" and slice_of(request) is None:
        raise _bad("orderBy: time needs groupBy hour, day or month")


def _bad(message: str) -> KeysteadError:
    return KeysteadError(ErrorCode.BAD_REQUEST, message)


ANALYTICS = Operation(
    "analytics.getVerifications",
    GET,
    "Count the verifications of an api by outcome, over time, by key, identity and tags.",
    analytics.GetVerificationSeries,
    list[analytics.VerificationsRow],
    lambda services, caller, request: services.analytics.of_api(caller, request),
    needs=(of_api("read_api"),),
    needs_known=True,
    refuse_at=_refuse_empty_range,
    errors=(ErrorCode.NOT_FOUND, ErrorCode.PRECONDITION_FAILED),
)
