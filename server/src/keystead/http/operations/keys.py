"""The operations of keys (contract keys-v1)."""

from typing import Any

from keystead.contract import keys
from keystead.core.errors import ErrorCode
from keystead.core.verify import VerificationRequest
from keystead.http.operations.entry import GET, NOT_FOUND, POST, Needs, Operation, of_api
from keystead.http.services import Services
from keystead.service.access import Caller


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


async def _verify(_services: Services, _caller: Caller, _request: VerificationRequest) -> Any:
    raise AssertionError("verifyKey is answered by http.verify_lane")


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
    ignores_idempotency_key=True,
    authenticated=False,
    errors=(ErrorCode.FORBIDDEN, ErrorCode.TOO_MANY_REQUESTS),
)

KEYS = (
    Operation(
        "keys.getKey",
        GET,
        "Show a key.",
        keys.GetKey,
        keys.KeyObject,
        lambda services, caller, request: services.keys.get(caller, request),
        needs=(
            of_api("read_key"),
            Needs(("api.*.decrypt_key", "api.<apiId>.decrypt_key"), "`decrypt` is true"),
        ),
        errors=NOT_FOUND,
    ),
    Operation(
        "keys.whoami",
        POST,
        "Show what is known about the key with this secret.",
        keys.Whoami,
        keys.WhoamiAnswer,
        lambda services, caller, request: services.keys.whoami(caller, request),
        ignores_idempotency_key=True,
        needs=(of_api("read_key"),),
        errors=NOT_FOUND,
    ),
    Operation(
        "keys.deleteKey",
        POST,
        "Delete a key; it is dead on the next request.",
        keys.DeleteKey,
        keys.EmptyAnswer,
        lambda services, caller, request: services.keys.delete(caller, request),
        needs=(of_api("delete_key"),),
        errors=NOT_FOUND,
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
            of_api("create_key"),
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
            of_api("update_key"),
            *_link_needs("permission", add=True, remove=True),
            *_link_needs("role", add=True, remove=True),
        ),
        errors=NOT_FOUND,
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
        needs=(of_api("update_key"),),
        errors=NOT_FOUND,
        audit=("key.update",),
    ),
    Operation(
        "keys.getVerifications",
        GET,
        "Count the verifications of a key, or of an owner's keys, per UTC day.",
        keys.GetVerifications,
        keys.VerificationsAnswer,
        lambda services, caller, request: services.analytics.of_keys(caller, request),
        needs=(of_api("read_key"),),
        errors=NOT_FOUND,
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
        errors=NOT_FOUND,
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
        errors=NOT_FOUND,
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
        errors=NOT_FOUND,
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
        errors=NOT_FOUND,
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
        errors=NOT_FOUND,
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
        errors=NOT_FOUND,
        audit=("role.create", *_LINK_EVENTS["role"]),
    ),
)
