"""The table of operations: everything the API can do, as data.

Routing, decoding, authentication, the OpenAPI document, its page and the completeness tests are driven by it. An entry
and a function of a service make an operation.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from keystead.contract import apis, identities, keys, permissions, service
from keystead.core.errors import ErrorCode, KeysteadError
from keystead.core.verify import VerificationRequest
from keystead.http.services import Services
from keystead.service.access import Caller

GET, POST = "GET", "POST"

Handle = Callable[[Services, Caller, Any], Awaitable[Any]]

_ID = re.compile(r"<(\w+)>")


@dataclass(frozen=True)
class Needs:
    """What a root key needs for an operation: one of the alternatives, or `*`.

    `<apiId>` and the like stand for the id of the object. `when` says under which condition, empty for always.
    """

    alternatives: tuple[str, ...]
    when: str = ""


@dataclass(frozen=True)
class Operation:
    """One operation.

    `handle` gets the services, the caller and the decoded request. With `needs_known` the permission follows from the
    request alone and is checked while authenticating; else the service checks it after it has looked for the object
    (keys-v1 §2.5). `refuse` raises BAD_REQUEST for what is wrong before anybody is authenticated. `errors` are the
    codes beyond those that every operation can answer with, `audit` the events it leaves.
    """

    name: str
    method: str
    summary: str
    request: type
    answer: Any
    handle: Handle
    needs: tuple[Needs, ...] = ()
    needs_known: bool = False
    refuse: Callable[[Any], None] | None = None
    errors: tuple[ErrorCode, ...] = ()
    audit: tuple[str, ...] = ()
    authenticated: bool = True
    extension: bool = False
    tags: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", (self.name.partition(".")[0],))

    @property
    def path(self) -> str:
        """The route."""
        return f"/v1/{self.name}"

    def known_needs(self, request: Any) -> Sequence[str]:
        """The alternatives that follow from `request`; empty when the service checks."""
        if not self.needs_known:
            return ()
        return [slug for need in self.needs if not need.when for slug in _filled(need.alternatives, request)]


def _filled(alternatives: Sequence[str], request: Any) -> list[str]:
    """The alternatives with the ids of the request; one whose id was not sent does not apply."""
    slugs = []
    for template in alternatives:
        match = _ID.search(template)
        value = getattr(request, _snake(match[1])) if match else ""
        if value is not UNSET:
            slugs.append(template.replace(match[0], value) if match else template)
    return slugs


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def _of_api(action: str) -> Needs:
    return Needs((f"api.*.{action}", f"api.<apiId>.{action}"))


def _link_needs(kind: str, *, add: bool = False, remove: bool = False) -> tuple[Needs, ...]:
    create = {
        "permission": ("rbac.*.create_permission",),
        "role": ("rbac.*.create_role",),
    }[kind]
    needs = []
    if add:
        needs.append(Needs((f"rbac.*.add_{kind}_to_key",), f"a {kind} is newly attached"))
        needs.append(Needs(create, f"a {kind} has to be created"))
    if remove:
        needs.append(Needs((f"rbac.*.remove_{kind}_from_key",), f"a {kind} is detached"))
    return tuple(needs)


def _refuse_nameless_identity(request: identities.GetIdentity) -> None:
    if request.identity_id is UNSET and request.external_id is UNSET:
        raise KeysteadError(ErrorCode.BAD_REQUEST, "identityId or externalId is required")


async def _alive(_services: Services, _caller: Caller, _request: service.NoInput) -> service.LivenessAnswer:
    # The socket is opened after everything else is ready, so an answer at all is the news.
    return service.LivenessAnswer("ok", service.Services("none", "structlog", "memory", "ledger"))


async def _verify(_services: Services, _caller: Caller, _request: VerificationRequest) -> Any:
    raise AssertionError("verifyKey is answered by http.verify_lane")


_NOT_FOUND = (ErrorCode.NOT_FOUND,)
_LINK_EVENTS = {
    kind: tuple(f"authorization.{verb}_{kind}_and_key" for verb in ("connect", "disconnect"))
    for kind in ("permission", "role")
}

VERIFY_KEY = Operation(
    "keys.verifyKey",
    POST,
    "Verify a key, take from its limits and spend its credits.",
    VerificationRequest,
    keys.VerificationAnswer,
    _verify,
    authenticated=False,
    errors=(ErrorCode.FORBIDDEN,),
)

LIVENESS = Operation(
    "liveness",
    GET,
    "Whether the server can answer everything else.",
    service.NoInput,
    service.LivenessAnswer,
    _alive,
    authenticated=False,
)

_KEYS = (
    Operation(
        "keys.getKey",
        GET,
        "Show a key.",
        keys.GetKey,
        keys.KeyObject,
        lambda services, caller, request: services.keys.get(caller, request),
        needs=(
            _of_api("read_key"),
            Needs(("api.*.decrypt_key", "api.<apiId>.decrypt_key"), "`decrypt` is true"),
        ),
        errors=_NOT_FOUND,
    ),
    Operation(
        "keys.whoami",
        POST,
        "Show what is known about the key with this secret.",
        keys.Whoami,
        keys.WhoamiAnswer,
        lambda services, caller, request: services.keys.whoami(caller, request),
        needs=(_of_api("read_key"),),
        errors=_NOT_FOUND,
    ),
    Operation(
        "keys.deleteKey",
        POST,
        "Delete a key; it is dead on the next request.",
        keys.DeleteKey,
        keys.EmptyAnswer,
        lambda services, caller, request: services.keys.delete(caller, request),
        needs=(_of_api("delete_key"),),
        errors=_NOT_FOUND,
        audit=("key.delete",),
    ),
    Operation(
        "keys.createKey",
        POST,
        "Create a key; the answer is the only time its secret is shown.",
        keys.CreateKey,
        keys.CreatedKey,
        lambda services, caller, request: services.keys.create(caller, request),
        needs=(
            _of_api("create_key"),
            Needs(("rbac.*.create_permission",), "a named permission has to be created"),
            Needs(("rbac.*.create_role",), "a named role has to be created"),
            Needs(("api.*.encrypt_key", "api.<apiId>.encrypt_key"), "`recoverable` is true"),
        ),
        needs_known=True,
        errors=(ErrorCode.NOT_FOUND, ErrorCode.CONFLICT, ErrorCode.PRECONDITION_FAILED),
        audit=(
            "key.create",
            "identity.create",
            "permission.create",
            "role.create",
            "authorization.connect_permission_and_key",
            "authorization.connect_role_and_key",
        ),
    ),
    VERIFY_KEY,
    Operation(
        "keys.updateKey",
        POST,
        "Change a key: absent members stay, null removes.",
        keys.UpdateKey,
        keys.EmptyAnswer,
        lambda services, caller, request: services.keys.update(caller, request),
        needs=(
            _of_api("update_key"),
            *_link_needs("permission", add=True, remove=True),
            *_link_needs("role", add=True, remove=True),
        ),
        errors=_NOT_FOUND,
        audit=(
            "key.update",
            "identity.create",
            "permission.create",
            "role.create",
            *_LINK_EVENTS["permission"],
            *_LINK_EVENTS["role"],
        ),
    ),
    Operation(
        "keys.updateRemaining",
        POST,
        "Set, raise or lower the credits of a key.",
        keys.UpdateRemaining,
        keys.RemainingAnswer,
        lambda services, caller, request: services.keys.update_remaining(caller, request),
        needs=(_of_api("update_key"),),
        errors=_NOT_FOUND,
        audit=("key.update",),
    ),
    Operation(
        "keys.getVerifications",
        GET,
        "Count the verifications of a key, or of an owner's keys, per UTC day.",
        keys.GetVerifications,
        keys.VerificationsAnswer,
        lambda services, caller, request: services.analytics.of_keys(caller, request),
        needs=(_of_api("read_key"),),
        errors=_NOT_FOUND,
    ),
    Operation(
        "keys.addPermissions",
        POST,
        "Attach permissions to a key.",
        keys.ChangePermissions,
        list[keys.NamedObject],
        lambda services, caller, request: services.keys.add_permissions(caller, request),
        needs=(
            Needs(("rbac.*.add_permission_to_key",)),
            Needs(("rbac.*.create_permission",), "a permission has to be created"),
        ),
        needs_known=True,
        errors=_NOT_FOUND,
        audit=("permission.create", "authorization.connect_permission_and_key"),
    ),
    Operation(
        "keys.removePermissions",
        POST,
        "Detach permissions from a key.",
        keys.ChangePermissions,
        keys.EmptyAnswer,
        lambda services, caller, request: services.keys.remove_permissions(caller, request),
        needs=(Needs(("rbac.*.remove_permission_from_key",)),),
        needs_known=True,
        errors=_NOT_FOUND,
        audit=("authorization.disconnect_permission_and_key",),
    ),
    Operation(
        "keys.setPermissions",
        POST,
        "Make the permissions of a key exactly these.",
        keys.ChangePermissions,
        list[keys.NamedObject],
        lambda services, caller, request: services.keys.set_permissions(caller, request),
        needs=_link_needs("permission", add=True, remove=True),
        errors=_NOT_FOUND,
        audit=("permission.create", *_LINK_EVENTS["permission"]),
    ),
    Operation(
        "keys.addRoles",
        POST,
        "Attach roles to a key.",
        keys.ChangeRoles,
        list[keys.NamedObject],
        lambda services, caller, request: services.keys.add_roles(caller, request),
        needs=(
            Needs(("rbac.*.add_role_to_key",)),
            Needs(("rbac.*.create_role", "rbac.*.create_permission"), "a role has to be created"),
        ),
        needs_known=True,
        errors=_NOT_FOUND,
        audit=("role.create", "authorization.connect_role_and_key"),
    ),
    Operation(
        "keys.removeRoles",
        POST,
        "Detach roles from a key.",
        keys.ChangeRoles,
        keys.EmptyAnswer,
        lambda services, caller, request: services.keys.remove_roles(caller, request),
        needs=(Needs(("rbac.*.remove_role_from_key",)),),
        needs_known=True,
        errors=_NOT_FOUND,
        audit=("authorization.disconnect_role_and_key",),
    ),
    Operation(
        "keys.setRoles",
        POST,
        "Make the roles of a key exactly these.",
        keys.ChangeRoles,
        list[keys.NamedObject],
        lambda services, caller, request: services.keys.set_roles(caller, request),
        needs=_link_needs("role", add=True, remove=True),
        errors=_NOT_FOUND,
        audit=("role.create", *_LINK_EVENTS["role"]),
    ),
)

_APIS = (
    Operation(
        "apis.createApi",
        POST,
        "Create an api.",
        apis.CreateApi,
        apis.CreatedApi,
        lambda services, caller, request: services.apis.create(caller, request),
        needs=(Needs(("api.*.create_api",)),),
        needs_known=True,
        audit=("api.create",),
    ),
    Operation(
        "apis.getApi",
        GET,
        "Show an api.",
        apis.GetApi,
        apis.ApiObject,
        lambda services, caller, request: services.apis.get(caller, request),
        needs=(_of_api("read_api"),),
        needs_known=True,
        errors=_NOT_FOUND,
    ),
    Operation(
        "apis.updateApi",
        POST,
        "Change the settings of an api: absent members stay, null is back to the default.",
        apis.UpdateApi,
        keys.EmptyAnswer,
        lambda services, caller, request: services.apis.update(caller, request),
        needs=(_of_api("update_api"),),
        needs_known=True,
        errors=_NOT_FOUND,
        audit=("api.update",),
        extension=True,
    ),
    Operation(
        "apis.listApis",
        GET,
        "List the apis of the workspace with their settings.",
        apis.ListPage,
        apis.ApiPage,
        lambda services, caller, request: services.apis.list(caller, request),
        needs=(Needs(("api.*.read_api",)),),
        needs_known=True,
        extension=True,
    ),
)

_PERMISSIONS = (
    Operation(
        "permissions.createPermission",
        POST,
        "Create a permission.",
        permissions.CreatePermission,
        permissions.CreatedPermission,
        lambda services, caller, request: services.permissions.create(caller, request),
        needs=(Needs(("rbac.*.create_permission",)),),
        needs_known=True,
        errors=(ErrorCode.CONFLICT,),
        audit=("permission.create",),
    ),
    Operation(
        "permissions.createRole",
        POST,
        "Create a role.",
        permissions.CreateRole,
        permissions.CreatedRole,
        lambda services, caller, request: services.permissions.create_role(caller, request),
        needs=(Needs(("rbac.*.create_role",)),),
        needs_known=True,
        errors=(ErrorCode.CONFLICT,),
        audit=("role.create",),
    ),
    Operation(
        "permissions.setRolePermissions",
        POST,
        "Make the permissions of a role exactly these.",
        permissions.SetRolePermissions,
        list[keys.NamedObject],
        lambda services, caller, request: services.permissions.set_role_permissions(caller, request),
        needs=(
            Needs(("rbac.*.add_permission_to_role",), "a permission is newly attached"),
            Needs(("rbac.*.create_permission",), "a permission has to be created"),
            Needs(("rbac.*.remove_permission_from_role",), "a permission is detached"),
        ),
        errors=_NOT_FOUND,
        audit=(
            "permission.create",
            "authorization.connect_role_and_permission",
            "authorization.disconnect_role_and_permission",
        ),
        extension=True,
    ),
)

_IDENTITIES = (
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
        errors=_NOT_FOUND,
    ),
)

OPERATIONS: tuple[Operation, ...] = (*_KEYS, *_APIS, *_PERMISSIONS, *_IDENTITIES, LIVENESS)
"""Every operation, in the order of the documentation."""
