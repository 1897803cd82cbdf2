"""The operations of imports (contract other-v1 §5)."""

from keystead.contract import keys, migrations
from keystead.core.errors import ErrorCode
from keystead.http.operations.entry import NOT_FOUND, POST, Needs, Operation, of_api

_EVENTS = ("key.create", "authorization.connect_permission_and_key", "authorization.connect_role_and_key")

MIGRATIONS = (
    Operation(
        "migrations.createKeys",
        POST,
        "Import keys issued elsewhere, all or none.",
        migrations.MigrateKeys,
        migrations.MigratedKeys,
        lambda services, caller, request: services.migrations.create_keys(caller, request),
        needs=(of_api("create_key"),),
        errors=(ErrorCode.NOT_FOUND, ErrorCode.CONFLICT, ErrorCode.PRECONDITION_FAILED),
        audit=(*_EVENTS, "identity.create"),
    ),
    Operation(
        "migrations.enqueueKeys",
        POST,
        "Queue keys issued elsewhere; they are imported one by one, soon.",
        migrations.EnqueueKeys,
        keys.EmptyAnswer,
        lambda services, caller, request: services.migrations.enqueue_keys(caller, request),
        needs=(
            of_api("create_key"),
            Needs(("api.*.encrypt_key", "api.<apiId>.encrypt_key"), "a key comes with its plaintext"),
        ),
        needs_known=True,
        errors=NOT_FOUND,
        audit=_EVENTS,
        success=202,
    ),
)
