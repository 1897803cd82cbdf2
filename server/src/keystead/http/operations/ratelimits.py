"""The operations of ratelimits (contract other-v1 §4, DECISIONS)."""

from keystead.contract import apis, keys, ratelimits
from keystead.http.operations.entry import GET, NOT_FOUND, POST, Needs, Operation
from keystead.service.ratelimits import refuse_without_namespace

LIMIT = Operation(
    "ratelimits.limit",
    POST,
    "Take from the limit of an identifier; a refusal is an answer, `success` says it.",
    ratelimits.Limit,
    ratelimits.LimitAnswer,
    lambda services, caller, request: services.ratelimits.limit(caller, request),
    needs=(
        Needs(("ratelimit.*.limit", "ratelimit.<namespaceId>.limit")),
        Needs(("ratelimit.*.create_namespace",), "the namespace does not exist yet"),
    ),
    errors=NOT_FOUND,
    audit=("ratelimitNamespace.create", "ratelimit.success", "ratelimit.denied"),
    ignores_idempotency_key=True,
)

RATELIMITS = (
    LIMIT,
    Operation(
        "ratelimits.setOverride",
        POST,
        "Hold the identifiers that match to another limit, whatever their requests say; in force at once.",
        ratelimits.SetOverride,
        ratelimits.OverrideSet,
        lambda services, caller, request: services.ratelimits.set_override(caller, request),
        needs=(Needs(("ratelimit.*.set_override",)),),
        needs_known=True,
        refuse=refuse_without_namespace,
        errors=NOT_FOUND,
        audit=("ratelimit.set_override",),
    ),
    Operation(
        "ratelimits.getOverride",
        GET,
        "Show the override with exactly this identifier.",
        ratelimits.SelectOverride,
        ratelimits.OverrideObject,
        lambda services, caller, request: services.ratelimits.get_override(caller, request),
        needs=(Needs(("ratelimit.*.read_override",)),),
        needs_known=True,
        errors=NOT_FOUND,
    ),
    Operation(
        "ratelimits.listOverrides",
        GET,
        "List the overrides of a namespace.",
        ratelimits.ListOverrides,
        ratelimits.OverridePage,
        lambda services, caller, request: services.ratelimits.list_overrides(caller, request),
        needs=(Needs(("ratelimit.*.read_override",)),),
        needs_known=True,
        refuse=refuse_without_namespace,
        errors=NOT_FOUND,
    ),
    Operation(
        "ratelimits.deleteOverride",
        POST,
        "Delete the override with exactly this identifier; it no longer applies.",
        ratelimits.SelectOverride,
        keys.EmptyAnswer,
        lambda services, caller, request: services.ratelimits.delete_override(caller, request),
        needs=(Needs(("ratelimit.*.delete_override",)),),
        needs_known=True,
        errors=NOT_FOUND,
        audit=("ratelimit.delete_override",),
    ),
    Operation(
        "ratelimits.listNamespaces",
        GET,
        "List the namespaces of the workspace.",
        apis.ListPage,
        ratelimits.NamespacePage,
        lambda services, caller, request: services.ratelimits.list_namespaces(caller, request),
        needs=(Needs(("ratelimit.*.read_namespace",)),),
        needs_known=True,
        extension=True,
    ),
)
