"""The operations of identities (contract other-v1 §3)."""

from msgspec import UNSET

from keystead.contract import identities
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.http.operations.entry import GET, NOT_FOUND, POST, Needs, Operation


def _refuse_nameless_identity(request: identities.GetIdentity) -> None:
    if request.identity_id is UNSET and request.external_id is UNSET:
        raise KeysteadError(ErrorCode.BAD_REQUEST, "identityId or externalId is required")


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
        refuse=_refuse_nameless_identity,
        errors=NOT_FOUND,
    ),
)
