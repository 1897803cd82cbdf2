"""`keystead identity`: the customers that keys belong to."""

from typing import Annotated, Any

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Cursor, Database, Json, Limit, Workspace
from keystead.cli.output import NOTHING, text

app = typer.Typer(help="Identities: the customers that keys belong to.", no_args_is_help=True)


@app.callback()
def _identity() -> None:
    # A callback keeps `list` a word of its own while it is the only command of its group.
    pass


def _ratelimits(identity: dict[str, Any]) -> str:
    limits = (f"{limit['name']}: {limit['limit']} in {limit['duration']} ms" for limit in identity["ratelimits"])
    return ", ".join(limits) or NOTHING


_IDENTITIES = Listing(
    "identity.list",
    "identities",
    {"id": text("id"), "external id": text("externalId"), "ratelimits": _ratelimits},
)


@app.command("list")
def list_identities(
    environment: Annotated[str, typer.Option(help="The environment they belong to.")] = "default",
    workspace: Workspace = None,
    limit: Limit = None,
    cursor: Cursor = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the identities of a workspace, by id.

    JSON: `identities` (each `id`, `externalId`, `ratelimits` with `name`, `limit`, `duration` in ms), `total`,
    `cursor` if there may be more.
    """
    request = {"environment": environment}
    _IDENTITIES.show(
        database, config, request=request, workspace=workspace, limit=limit, cursor=cursor, as_json=as_json
    )
