"""`keystead encryption`: the keys that protect recoverable keys."""

import typer

from keystead.cli.options import Config, Database, Json
from keystead.cli.output import print_json, print_members
from keystead.cli.session import perform

app = typer.Typer(help="The keys that protect recoverable keys.", no_args_is_help=True)


@app.callback()
def _encryption() -> None:
    # A callback keeps `rotate` a word of its own while it is the only command of its group.
    pass


@app.command("rotate")
def rotate_encryption(database: Database = None, config: Config = None, as_json: Json = False) -> None:
    """Put a new key-encryption key in use and rewrap every workspace's data key with it.

    JSON: `rewrapped`, the number of data keys.
    """
    done = perform(database, config, "encryption.rotate", {})
    if as_json:
        print_json({"rewrapped": done["rewrapped"]})
    else:
        print_members({"rewrapped": f"{done['rewrapped']} data key(s)"})
