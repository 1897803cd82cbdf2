"""`keystead migration`: queued imports of keys that failed."""

from typing import Annotated

import typer

from keystead.cli.listings import Listing
from keystead.cli.options import Config, Database, Json, Limit
from keystead.cli.output import instant, print_json, print_members, text
from keystead.cli.session import perform

app = typer.Typer(help="Queued imports of keys that failed.", no_args_is_help=True)

_FAILED = Listing(
    "migration.failed",
    "imports",
    {
        "id": text("id"),
        "migration": text("migrationId"),
        "workspace": text("workspaceId"),
        "api": text("apiId"),
        "name": text("name"),
        "queued": instant("queuedAt"),
        "attempts": text("attempts"),
        "reason": text("reason"),
    },
)


@app.command("failed")
def list_failed_imports(
    limit: Limit = None,
    cursor: Annotated[int | None, typer.Option(min=0, metavar="ID", help="Start after the one with this id.")] = None,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the queued keys of every workspace that could not be imported, with the reason of the last attempt.

    JSON: `imports` (each `id`, `migrationId`, `workspaceId`, `apiId`, `keyId`, `name`, `queuedAt` in ms, `attempts`,
    `reason`), `cursor` if there may be more.
    """
    _FAILED.show(database, config, request={}, limit=limit, cursor=cursor, as_json=as_json)


@app.command("retry")
def retry_imports(
    id_: Annotated[int | None, typer.Argument(metavar="ID", help="The id that `migration failed` shows.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every failed import.")] = False,
    database: Database = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Put failed imports back into the queue; a running server tries them at once, else the next one does.

    JSON: `retried`, how many.
    """
    if (id_ is not None) == everything:
        raise typer.BadParameter("Give either an ID or --all.")
    answer = perform(database, config, "migration.retry", {"request": {"id": id_}})
    if as_json:
        print_json(answer)
    else:
        print_members({"retried": str(answer["retried"])})
