"""The operations of apis (contract other-v1 §1, DECISIONS)."""

from keystead.contract import apis, keys
from keystead.http.operations.entry import GET, NOT_FOUND, POST, Needs, Operation, of_api

APIS = (
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
        needs=(of_api("read_api"),),
        needs_known=True,
        errors=NOT_FOUND,
    ),
    Operation(
        "apis.updateApi",
        POST,
        "Change the settings of an api: absent members stay, null is back to the default.",
        apis.UpdateApi,
        keys.EmptyAnswer,
        lambda services, caller, request: services.apis.update(caller, request),
        needs=(of_api("update_api"),),
        needs_known=True,
        errors=NOT_FOUND,
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
