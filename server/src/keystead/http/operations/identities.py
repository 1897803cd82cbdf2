"""The operations of identities (contract other-v1 §3)."""

from keystead.contract import identities, keys
from keystead.core.errors import ErrorCode
from keystead.http.operations.entry import GET, NOT_FOUND, POST, Needs, Operation
from keystead.service.identities import refuse_nameless

IDENTITIES = (
    Operation(
        "identities.createIdentity",
        POST,
        "Create an identity with its ratelimits.",
        identities.CreateIdentity,
        identities.CreatedIdentity,
        lambda services, caller, request: services.identities.create(caller, request),
        needs=(Needs(("identity.*.create_identity",)),),
        needs_known=True,
        errors=(ErrorCode.CONFLICT,),
        audit=("identity.create", "ratelimit.create"),
    ),
    Operation(
        "identities.getIdentity",
        GET,
        "Show an identity.",
        identities.GetIdentity,
        identities.IdentityObject,
        lambda services, caller, request: services.identities.get(caller, request),
        needs=(Needs(("identity.*.read_identity", "identity.<identityId>.read_identity")),),
        needs_known=True,
        refuse=refuse_nameless,
        errors=NOT_FOUND,
    ),
    Operation(
        "identities.listIdentities",
        GET,
        "List the identities of an environment, by id.",
        identities.ListIdentities,
        identities.IdentityPage,
        lambda services, caller, request: services.identities.page(caller, request),
        needs=(Needs(("identity.*.read_identity", "identity.<environment>.read_identity")),),
        needs_known=True,
    ),
    Operation(
        "identities.updateIdentity",
        POST,
        "Replace an identity's `meta` or ratelimits.",
        identities.UpdateIdentity,
        identities.IdentityObject,
        lambda services, caller, request: services.identities.update(caller, request),
        needs=(Needs(("identity.*.update_identity",)),),
        needs_known=True,
        errors=(ErrorCode.CONFLICT, ErrorCode.NOT_FOUND),
        audit=("identity.update", "ratelimit.create", "ratelimit.update", "ratelimit.delete"),
    ),
    Operation(
        "identities.deleteIdentity",
        POST,
        "Delete an identity and its ratelimits; its keys stay.",
        identities.DeleteIdentity,
        keys.EmptyAnswer,
        lambda services, caller, request: services.identities.delete(caller, request),
        needs=(Needs(("identity.*.delete_identity", "identity.<identityId>.delete_identity")),),
        needs_known=True,
        errors=NOT_FOUND,
        audit=("identity.delete", "ratelimit.delete"),
    ),
)
