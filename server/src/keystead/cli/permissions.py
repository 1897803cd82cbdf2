"""`keystead permission` and `keystead role`: what keys may do."""

from typing import Annotated

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Cursor, Database, Json, Limit, Workspace
from keystead.cli.output import Table, joined, print_json, text
from keystead.cli.session import perform

permission = typer.Typer(help="Permissions: what keys may be allowed to do.", no_args_is_help=True)
role = typer.Typer(help="Roles: sets of permissions under a name.", no_args_is_help=True)

_PERMISSIONS = Listing(
    "permission.list",
    "permissions",
    {"id": text("id"), "name": text("name"), "slug": text("slug"), "description": text("description")},
)

_ROLES = Listing(
    "role.list",
    "roles",
    {
        "id": text("id"),
        "name": text("name"),
        "description": text("description"),
        "permissions": joined("permissions"),
    },
)


@permission.callback()
def _permission() -> None:
    # A callback keeps `list` a word of its own while it is the only command of its group.
    pass


@permission.command("list")
def list_permissions(
    workspace: Workspace = None,
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the permissions of a workspace, by id; verification compares the slug.

    JSON: `permissions` (each `id`, `name`, `slug`, and if set `description`), `total`, `cursor` if there may be more.
    """
    _PERMISSIONS.show(database, config, request={}, workspace=workspace, limit=limit, cursor=cursor, as_json=as_json)


@role.command("list")
def list_roles(
    workspace: Workspace = None,
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the roles of a workspace with the slugs of their permissions, by id.

    JSON: `roles` (each `id`, `name`, `permissions`, and if set `description`), `total`, `cursor` if there may be more.
    """
    _ROLES.show(database, config, request={}, workspace=workspace, limit=limit, cursor=cursor, as_json=as_json)


@role.command("set-permissions")
def set_role_permissions(
    role_id: Annotated[str, typer.Argument(metavar="ROLE_ID", help="The role's id.")],
    permission: Annotated[
        list[str] | None, typer.Option(metavar="SLUG", help="A permission it shall give; may be repeated.")
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Make the permissions that do not exist.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Take every permission from the role.")] = False,
    workspace: Workspace = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make the permissions of a role exactly those given. In force for its keys on the next verification.

    JSON: `permissions` (each `id`, `name`), the complete new set.
    """
    slugs = permission or []
    if bool(slugs) == clear:
        raise typer.BadParameter("Give at least one --permission, or --clear.")
    request = {"roleId": role_id, "permissions": [{"slug": slug, "create": create} for slug in slugs]}
    answer = perform(database, config, "role.set-permissions", {"workspace_id": workspace, "request": request})
    if as_json:
        print_json(answer)
    else:
        Table(("id", "name")).add([[item["id"], item["name"]] for item in answer["permissions"]])
