"""The command `keystead`. Exit codes: 0 done, 1 refused with one line on standard error, 2 used wrongly."""

import errno
import json
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keystead.cli import apis, encryption, identities, keys, migrations, permissions, root_keys, workspaces
from keystead.cli.options import Config, Database, read_settings
from keystead.cli.output import Table
from keystead.cli.serve import serve
from keystead.core.errors import KeysteadError, StartupError


class OperatorGroup(TyperGroup):
    """Turns what an operator can mend into one line; anything else is our defect and keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exits with 1 for a KeysteadError, a StartupError or an error of the system."""
        try:
            return super().invoke(ctx)
        except (KeysteadError, StartupError) as error:
            message = str(error)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has seen enough
                raise
            message = str(error)
        typer.echo("error: " + " ".join(message.split()), err=True)
        raise typer.Exit(1)


app = typer.Typer(
    name="keystead",
    cls=OperatorGroup,
    help="The self-hosted system for API keys: issue, verify, limit, revoke.",
    no_args_is_help=True,
    add_completion=False,
    # Plain help: Rich would be imported for it, and its tracebacks show the values of variables.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.add_typer(workspaces.app, name="workspace")
app.add_typer(root_keys.app, name="root-key")
app.add_typer(apis.app, name="api")
app.add_typer(keys.app, name="key")
app.add_typer(identities.app, name="identity")
app.add_typer(permissions.role, name="role")
app.add_typer(permissions.permission, name="permission")
app.add_typer(migrations.app, name="migration")
app.add_typer(encryption.app, name="encryption")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"keystead {version('keystead')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from keystead.http.openapi import document

    typer.echo(json.dumps(document(), indent=2, ensure_ascii=False))


@app.command()
def config(
    database: Database = None,
    config: Config = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
) -> None:
    """Show every setting, its value and where that came from; secrets are hidden."""
    from keystead.config import describe
    from keystead.config import markdown as page

    if markdown:
        typer.echo(page(), nl=False)
        return
    views = describe(read_settings(database_url=database, config=config))
    rows = [(view.name, view.value, view.origin) for view in views]
    if sys.stdout.isatty():
        Table(("setting", "value", "from")).add(rows)
    else:
        for row in rows:
            typer.echo("\t".join(row))


@app.command()
def commands() -> None:
    """Print the page docs/command-line.md: every command with its options."""
    from keystead.cli.reference import markdown

    typer.echo(markdown(typer.main.get_command(app)), nl=False)


def run() -> None:
    """The entry of the installed command."""
    app()
