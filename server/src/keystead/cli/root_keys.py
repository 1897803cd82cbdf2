"""`keystead root-key`: the credentials with which the API is called."""

from typing import Annotated

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Cursor, Database, Json, KeyId, Limit
from keystead.cli.output import instant, joined, print_json, print_members, text, yes_or_no
from keystead.cli.session import perform

app = typer.Typer(help="Root keys: the credentials with which the API is called.", no_args_is_help=True)

_ROOT_KEYS = Listing(
    "root-key.list",
    "rootKeys",
    {
        "id": text("id"),
        "name": text("name"),
        "workspace": text("workspaceId"),
        "start": text("start"),
        "enabled": yes_or_no("enabled"),
        "created": instant("createdAt"),
        "permissions": joined("permissions"),
    },
)


@app.command("create")
def create_root_key(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    permission: Annotated[
        list[str],
        typer.Option(metavar="P", help="What it may do, such as 'api.*.create_key' or '*'; may be repeated."),
    ],
    workspace: Annotated[
        str | None, typer.Option(metavar="WS_ID", help="The workspace it acts for; else the default one.")
    ] = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a root key and print it. It is shown this once; only its hash is kept.

    JSON: `keyId`, `key`.
    """
    request = {"name": name, "permissions": permission, "workspace_id": workspace}
    made = perform(database, config, "root-key.create", request)
    if as_json:
        print_json({"keyId": made["keyId"], "key": made["key"]})
        return
    print_members({"root key": made["key"], "key id": made["keyId"]})
    # On standard error: `keystead root-key create ... | tee` keeps the key, not the advice.
    typer.echo("Keep the root key now: it is not shown again.", err=True)


@app.command("list")
def list_root_keys(
    workspace: Annotated[
        str | None, typer.Option(metavar="WS_ID", help="Only those that act for this workspace; else all.")
    ] = None,
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the root keys that are not revoked, by id; of the secret only its start is known.

    JSON: `rootKeys` (each `id`, `name`, `workspaceId`, `permissions`, `createdAt` in ms, `enabled`, `start`), `total`,
    `cursor` if there may be more.
    """
    request = {} if workspace is None else {"workspaceId": workspace}
    _ROOT_KEYS.show(database, config, request=request, limit=limit, cursor=cursor, as_json=as_json)


@app.command("revoke")
def revoke_root_key(key_id: KeyId, database: Database = None, config: Config = None, as_json: Json = False) -> None:
    """Revoke a root key: the next request with it is refused. It can not be brought back.

    As long as KEYSTEAD_ROOT_KEY still holds a revoked key, the server refuses to start.

    JSON: `keyId`.
    """
    perform(database, config, "root-key.revoke", {"request": {"keyId": key_id}})
    if as_json:
        print_json({"keyId": key_id})
    else:
        print_members({"revoked": key_id})
