"""Flags that several commands share, and how a command gets its settings from them."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from keystead.config import Settings

Config = Annotated[str | None, typer.Option(metavar="PATH", help="The settings file, in TOML.")]
Database = Annotated[
    str | None,
    typer.Option(metavar="URL", help="sqlite:///PATH or a path; else KEYSTEAD_DATABASE_URL, else keystead.db."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one line of JSON, for scripts.")]
Workspace = Annotated[
    str | None, typer.Option("--workspace", metavar="WS_ID", help="The workspace; else the default one.")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Show at most so many; else all.")]
Cursor = Annotated[str | None, typer.Option(metavar="ID", help="Start after the one with this id.")]
KeyId = Annotated[str, typer.Argument(metavar="KEY_ID", help="The key's id (not the key itself).")]


def read_settings(*, serving: bool = False, **flags: object) -> "Settings":
    """The settings from the given flags (None: not given) and all other sources; logging is configured by them.

    A command that does not serve logs to people, and only what they must know. StartupError for a bad setting.
    """
    # Here, not at the top: `keystead --help` needs neither.
    from keystead import logs
    from keystead.config import Settings, unknown_variables

    settings = Settings(**{name: value for name, value in flags.items() if value is not None})
    if serving:
        logs.configure(settings.log_level, settings.log_format)
    else:
        logs.configure("warning", "console")
    for sentence in unknown_variables():
        logging.getLogger("keystead.config").warning(sentence)
    return settings
