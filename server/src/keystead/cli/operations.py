"""What the operator makes: root keys, workspaces, new encryption keys; beside a running server or without one."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keystead.cli.options import Config, Database, Json, read_settings

if TYPE_CHECKING:
    from keystead.config import Settings

_TRIES = 5

root_key = typer.Typer(help="Root keys: the credentials with which the API is called.")
workspace = typer.Typer(help="Workspaces: each holds its own keys, APIs and permissions.")
encryption = typer.Typer(help="The keys that protect recoverable keys.")


@root_key.callback()
def _root_key() -> None:
    # A callback keeps `create` a word of its own while it is the only command of its group.
    pass


@workspace.callback()
def _workspace() -> None:
    pass


@encryption.callback()
def _encryption() -> None:
    pass


@root_key.command("create")
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
    """Make a root key and print it. It is shown this once; only its hash is kept."""
    made = perform(
        read_settings(database_url=database, config=config),
        "root-key.create",
        {"name": name, "permissions": permission, "workspace_id": workspace},
    )
    if as_json:
        typer.echo(json.dumps({"keyId": made["keyId"], "key": made["key"]}))
        return
    typer.echo(f"root key  {made['key']}")
    typer.echo(f"key id    {made['keyId']}")
    # On standard error: `keystead root-key create ... | tee` keeps the key, not the advice.
    typer.echo("Keep the root key now: it is not shown again.", err=True)


@workspace.command("create")
def create_workspace(
    name: Annotated[str, typer.Argument(help="What the workspace is called.")],
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a workspace and print its id."""
    made = perform(read_settings(database_url=database, config=config), "workspace.create", {"name": name})
    typer.echo(json.dumps({"id": made["id"]}) if as_json else f"workspace  {made['id']}")


@encryption.command("rotate")
def rotate_encryption(database: Database = None, config: Config = None, as_json: Json = False) -> None:
    """Put a new key-encryption key in use and rewrap every workspace's data key with it."""
    done = perform(read_settings(database_url=database, config=config), "encryption.rotate", {})
    if as_json:
        typer.echo(json.dumps({"rewrapped": done["rewrapped"]}))
    else:
        typer.echo(f"rewrapped  {done['rewrapped']} data key(s)")


def perform(settings: "Settings", command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Have the running server do a command, or do it here if there is none; KeysteadError or StartupError."""
    from keystead.control import DatabaseInUse, call_control

    for _ in range(_TRIES):
        answer = call_control(settings.database_path, command, arguments)
        if answer is not None:
            return answer
        try:
            return _perform_offline(settings, command, arguments)
        except DatabaseInUse as error:
            # A server or another command took the database between the look and the attempt: ask it instead.
            in_use = error
    raise in_use


def _perform_offline(settings: "Settings", command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    # Here, not at the top: beside a running server the storage is never loaded.
    from keystead.assembly import offline

    with offline(settings) as commands:

        async def work() -> dict[str, Any]:
            return await commands[command](arguments)

        return asyncio.run(work())
