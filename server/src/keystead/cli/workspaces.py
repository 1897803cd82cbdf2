"""`keystead workspace`: the tenants."""

from typing import Annotated

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Cursor, Database, Json, Limit
from keystead.cli.output import instant, print_json, print_members, text, yes_or_no
from keystead.cli.session import perform

app = typer.Typer(help="Workspaces: each holds its own keys, apis and permissions.", no_args_is_help=True)

_WORKSPACES = Listing(
    "workspace.list",
    "workspaces",
    {"id": text("id"), "name": text("name"), "enabled": yes_or_no("enabled"), "created": instant("createdAt")},
)

WorkspaceId = Annotated[str, typer.Argument(metavar="WS_ID", help="The workspace's id.")]


@app.command("create")
def create_workspace(
    name: Annotated[str, typer.Argument(help="What the workspace is called.")],
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a workspace and print its id.

    JSON: `id`.
    """
    made = perform(database, config, "workspace.create", {"name": name})
    if as_json:
        print_json({"id": made["id"]})
    else:
        print_members({"workspace": made["id"]})


@app.command("list")
def list_workspaces(
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the workspaces, by id.

    JSON: `workspaces` (each `id`, `name`, `enabled`, `createdAt` in ms), `total`, `cursor` if there may be more.
    """
    _WORKSPACES.show(database, config, request={}, limit=limit, cursor=cursor, as_json=as_json)


@app.command("enable")
def enable_workspace(
    workspace_id: WorkspaceId, database: Database = None, config: Config = None, as_json: Json = False
) -> None:
    """Let a workspace answer again, from the next request on.

    JSON: `id`, `enabled`.
    """
    _set_enabled(workspace_id, True, database, config, as_json)


@app.command("disable")
def disable_workspace(
    workspace_id: WorkspaceId, database: Database = None, config: Config = None, as_json: Json = False
) -> None:
    """Make every operation and every verification of a workspace answer 403, from the next request on.

    JSON: `id`, `enabled`.
    """
    _set_enabled(workspace_id, False, database, config, as_json)


def _set_enabled(workspace_id: str, enabled: bool, database: str | None, config: str | None, as_json: bool) -> None:
    request = {"id": workspace_id, "enabled": enabled}
    perform(database, config, "workspace.set-enabled", {"request": request})
    if as_json:
        print_json(request)
    else:
        print_members({"enabled" if enabled else "disabled": workspace_id})
