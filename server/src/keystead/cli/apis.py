"""`keystead api`: what keys belong to, with the settings of its keys."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Cursor, Database, Json, Limit, Workspace
from keystead.cli.output import joined, print_json, print_members, text, yes_or_no
from keystead.cli.session import perform

app = typer.Typer(help="Apis: what keys belong to, with the settings of its keys.", no_args_is_help=True)

_APIS = Listing(
    "api.list",
    "apis",
    {
        "id": text("id"),
        "name": text("name"),
        "prefix": text("defaultPrefix"),
        "bytes": text("defaultBytes"),
        "recoverable": yes_or_no("storeEncryptedKeys"),
        "protected": yes_or_no("deleteProtection"),
        "addresses": joined("ipWhitelist"),
    },
)

IpWhitelist = Annotated[
    list[str] | None,
    typer.Option(metavar="ADDRESS", help="From where keys may be verified: an address or a range; may be repeated."),
]
DefaultPrefix = Annotated[str | None, typer.Option(metavar="P", help="Prefix of new keys, at most 8 characters.")]
DefaultBytes = Annotated[int | None, typer.Option(metavar="N", help="Random bytes of new keys, 16 to 255.")]
StoreEncryptedKeys = Annotated[bool | None, typer.Option(help="Whether new keys may be recoverable.")]
DeleteProtection = Annotated[bool | None, typer.Option(help="Whether deleting the api is refused.")]


class Setting(StrEnum):
    """What `--reset` takes."""

    IP_WHITELIST = "ip-whitelist"
    DEFAULT_PREFIX = "default-prefix"
    DEFAULT_BYTES = "default-bytes"


@app.command("list")
def list_apis(
    workspace: Workspace = None,
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the apis of a workspace with their settings, by id.

    JSON: `apis` (each `id`, `workspaceId`, `name`, `storeEncryptedKeys`, `deleteProtection`, and if set `ipWhitelist`,
    `defaultPrefix`, `defaultBytes`), `total`, `cursor` if there may be more.
    """
    _APIS.show(database, config, request={}, workspace=workspace, limit=limit, cursor=cursor, as_json=as_json)


@app.command("create")
def create_api(
    name: Annotated[str, typer.Argument(help="What the api is called.")],
    ip_whitelist: IpWhitelist = None,
    default_prefix: DefaultPrefix = None,
    default_bytes: DefaultBytes = None,
    store_encrypted_keys: StoreEncryptedKeys = None,
    delete_protection: DeleteProtection = None,
    workspace: Workspace = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make an api and print its id.

    JSON: `apiId`, `name`.
    """
    settings = _settings(ip_whitelist, default_prefix, default_bytes, store_encrypted_keys, delete_protection)
    arguments = {"workspace_id": workspace, "request": {"name": name, **settings}}
    made = perform(database, config, "api.create", arguments)
    if as_json:
        print_json(made)
    else:
        print_members({"api": made["apiId"]})


@app.command("update")
def update_api(
    api_id: Annotated[str, typer.Argument(metavar="API_ID", help="The api's id.")],
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    ip_whitelist: IpWhitelist = None,
    default_prefix: DefaultPrefix = None,
    default_bytes: DefaultBytes = None,
    store_encrypted_keys: StoreEncryptedKeys = None,
    delete_protection: DeleteProtection = None,
    reset: Annotated[
        list[Setting] | None, typer.Option(help="Put a setting back to its default; may be repeated.")
    ] = None,
    workspace: Workspace = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Change the name or settings of an api; what is not given stays. In force for the next request.

    JSON: `apiId`.
    """
    changes = _settings(ip_whitelist, default_prefix, default_bytes, store_encrypted_keys, delete_protection)
    for setting in reset or ():
        member = _member(setting)
        if changes.get(member) is not None:
            raise typer.BadParameter(f"--reset {setting} and --{setting} exclude each other.")
        changes[member] = None
    if name is not None:
        changes["name"] = name
    if not changes:
        raise typer.BadParameter("Nothing to change is given.")
    perform(database, config, "api.update", {"workspace_id": workspace, "request": {"apiId": api_id, **changes}})
    if as_json:
        print_json({"apiId": api_id})
    else:
        print_members({"updated": api_id})


def _settings(
    ip_whitelist: list[str] | None,
    default_prefix: str | None,
    default_bytes: int | None,
    store_encrypted_keys: bool | None,
    delete_protection: bool | None,
) -> dict[str, Any]:
    """The settings that were given, as members of a request."""
    settings = {
        # An option that may be repeated is an empty list when it is not given at all.
        "ipWhitelist": ip_whitelist or None,
        "defaultPrefix": default_prefix,
        "defaultBytes": default_bytes,
        "storeEncryptedKeys": store_encrypted_keys,
        "deleteProtection": delete_protection,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _member(setting: Setting) -> str:
    first, *rest = setting.split("-")
    return first + "".join(map(str.capitalize, rest))
