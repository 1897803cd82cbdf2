"""`keystead key`: looking at keys, switching them off and on, deleting them."""

import json
from typing import Annotated, Any

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Cursor, Database, Json, KeyId, Limit, Workspace
from keystead.cli.output import instant, joined, print_json, print_members, text, yes_or_no
from keystead.cli.session import perform

app = typer.Typer(help="Keys: look at them, switch them off and on, delete them.", no_args_is_help=True)


def _owner(key: dict[str, Any]) -> str:
    return str(key["identity"]["externalId"]) if "identity" in key else text("ownerId")(key)


def _refill(key: dict[str, Any]) -> str:
    refill = key["refill"]
    day = f" on day {refill['refillDay']}" if refill["refillDay"] is not None else ""
    return f"{refill['amount']} {refill['interval']}{day}"


def _ratelimit(key: dict[str, Any]) -> str:
    return f"{key['ratelimit']['limit']} in {key['ratelimit']['duration']} ms"


_KEYS = Listing(
    "key.list",
    "keys",
    {
        "id": text("id"),
        "start": text("start"),
        "name": text("name"),
        "owner": _owner,
        "enabled": yes_or_no("enabled"),
        "remaining": text("remaining"),
        "expires": instant("expires"),
        "created": instant("createdAt"),
    },
)

_MEMBERS = {
    # member of the answer: what it is called for people, how it is shown
    "id": ("key", text("id")),
    "start": ("start", text("start")),
    "name": ("name", text("name")),
    "apiId": ("api", text("apiId")),
    "workspaceId": ("workspace", text("workspaceId")),
    "enabled": ("enabled", yes_or_no("enabled")),
    "ownerId": ("owner", text("ownerId")),
    "identity": ("identity", lambda key: f"{key['identity']['id']} ({key['identity']['externalId']})"),
    "createdAt": ("created", instant("createdAt")),
    "updatedAt": ("updated", instant("updatedAt")),
    "expires": ("expires", instant("expires")),
    "remaining": ("remaining", text("remaining")),
    "refill": ("refill", _refill),
    "ratelimit": ("ratelimit", _ratelimit),
    "roles": ("roles", joined("roles")),
    "permissions": ("permissions", joined("permissions")),
    "meta": ("meta", lambda key: json.dumps(key["meta"], ensure_ascii=False)),
    "plaintext": ("plaintext", text("plaintext")),
}


@app.command("list")
def list_keys(
    api_id: Annotated[str, typer.Argument(metavar="API_ID", help="The api whose keys to list.")],
    external_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Only keys of the identity with this external id.")
    ] = None,
    workspace: Workspace = None,
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the keys of an api, by id.

    JSON: `keys` (each as `GET /v1/apis.listKeys` answers it, never with its plaintext), `total` of the api, `cursor`
    if there may be more.
    """
    request = {"apiId": api_id} if external_id is None else {"apiId": api_id, "externalId": external_id}
    _KEYS.show(database, config, request=request, workspace=workspace, limit=limit, cursor=cursor, as_json=as_json)


@app.command("show")
def show_key(
    key_id: KeyId,
    decrypt: Annotated[bool, typer.Option("--decrypt", help="Show the plaintext too, if the key is recoverable.")] = (
        False
    ),
    workspace: Workspace = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show a key.

    JSON: the members of `GET /v1/keys.getKey`; `plaintext` only with --decrypt.
    """
    request = {"keyId": key_id, "decrypt": decrypt}
    key = perform(database, config, "key.show", {"workspace_id": workspace, "request": request})
    if as_json:
        print_json(key)
        return
    print_members({title: shown(key) for member, (title, shown) in _MEMBERS.items() if member in key})
    if decrypt and "plaintext" not in key:
        typer.echo("The key is not recoverable.", err=True)


@app.command("disable")
def disable_key(
    key_id: KeyId, workspace: Workspace = None, database: Database = None, config: Config = None, as_json: Json = False
) -> None:
    """Switch a key off: its next verification answers DISABLED.

    JSON: `keyId`, `enabled`.
    """
    _set_enabled(key_id, False, workspace, database, config, as_json)


@app.command("enable")
def enable_key(
    key_id: KeyId, workspace: Workspace = None, database: Database = None, config: Config = None, as_json: Json = False
) -> None:
    """Switch a key on again.

    JSON: `keyId`, `enabled`.
    """
    _set_enabled(key_id, True, workspace, database, config, as_json)


@app.command("delete")
def delete_key(
    key_id: KeyId,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="Remove its record too; the same secret may be imported again.")
    ] = False,
    workspace: Workspace = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Delete a key: it is unknown from the next verification on. It can not be brought back.

    JSON: `keyId`.
    """
    request = {"keyId": key_id, "permanent": permanent}
    perform(database, config, "key.delete", {"workspace_id": workspace, "request": request})
    if as_json:
        print_json({"keyId": key_id})
    else:
        print_members({"deleted": key_id})


def _set_enabled(
    key_id: str, enabled: bool, workspace: str | None, database: str | None, config: str | None, as_json: bool
) -> None:
    request = {"keyId": key_id, "enabled": enabled}
    perform(database, config, "key.update", {"workspace_id": workspace, "request": request})
    if as_json:
        print_json(request)
    else:
        print_members({"enabled" if enabled else "disabled": key_id})
