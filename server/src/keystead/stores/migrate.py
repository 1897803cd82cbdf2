"""Brings a database to the schema this version of Keystead works with, or refuses to touch it.

Starting on a current database costs one SELECT: alembic, which is slow to import, is imported only when
there is something to do. An upgrade is one transaction, so a process killed in the middle leaves the old
schema, and of two processes that start at once the second finds the work done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from keystead.core.errors import StartupError

if TYPE_CHECKING:
    from alembic.config import Config

_log = structlog.get_logger()

_VERSIONS = sa.text("SELECT version_num FROM alembic_version")


def upgrade(engine: sa.Engine, scripts: Path, head: str) -> None:
    """The database at revision `head`, created or upgraded if need be by the migrations in `scripts`.

    `scripts` is a folder with `env.py` and `versions/`, as alembic expects; no alembic.ini is read and
    logging is left alone.

    Raises StartupError, having changed nothing, when the database cannot be read, was written by a newer
    Keystead, or holds tables of another program.
    """
    try:
        with engine.connect() as connection:
            found = _versions(connection)
    except DBAPIError as error:
        raise StartupError(f"The database {_name(engine)} cannot be opened: {error.orig}.") from error
    if found == [head]:
        return
    _log.info("migrating_database", database=_name(engine), found=found, to=head)
    config = _configuration(scripts)
    _refuse_unknown_revision(found, config, engine)
    try:
        with _exclusive_transaction(engine) as connection:
            _run_migrations(connection, config, head)
    except DBAPIError as error:
        raise StartupError(
            f"The database {_name(engine)} cannot be brought up to date: {error.orig}. Nothing was changed."
        ) from error


def _versions(connection: sa.Connection) -> list[str]:
    """The revisions the database says it is at: empty for an empty database."""
    try:
        return list(connection.scalars(_VERSIONS))
    except DBAPIError as error:
        connection.rollback()
        tables = _tables(connection, error)
    if not tables:
        return []
    raise StartupError(
        f"The database {_name(connection.engine)} holds tables ({', '.join(tables[:3])}, ...) that Keystead "
        "did not make. Nothing was changed. Name another database, or an empty one."
    )


def _tables(connection: sa.Connection, error: DBAPIError) -> list[str]:
    """The tables of a database that has no revision; refuses if `error` has another reason than that."""
    name = _name(connection.engine)
    try:
        tables = sa.inspect(connection).get_table_names()
    except DBAPIError as unreadable:
        raise StartupError(f"The database {name} cannot be read: {unreadable.orig}.") from unreadable
    if "alembic_version" in tables:
        raise StartupError(f"The database {name} cannot be read: {error.orig}.") from error
    return tables


def _configuration(scripts: Path) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _refuse_unknown_revision(found: list[str], config: "Config", engine: sa.Engine) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    unknown = sorted(set(found) - known)
    if unknown:
        raise StartupError(
            f"The database {_name(engine)} was written by a newer Keystead (its schema revision "
            f"{', '.join(unknown)} is unknown here). Nothing was changed. Start that version or a later one, "
            "or restore the backup made before the upgrade."
        )


def _run_migrations(connection: sa.Connection, config: "Config", head: str) -> None:
    from alembic import command

    # `env.py` of each folder calls this, so that the folders share one environment without importing it.
    config.attributes["run_environment"] = lambda context: _run_environment(context, connection)
    command.upgrade(config, head)


def _run_environment(context: Any, connection: sa.Connection) -> None:
    # Batch mode because SQLite alters most things only by copying the table.
    context.configure(connection=connection, render_as_batch=True)
    context.run_migrations()


@contextmanager
def _exclusive_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction no other writer shares, DDL included; SQLite's foreign keys are checked at its end."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                yield connection
            return
        driver: Any = connection.connection.dbapi_connection
        enforced = driver.execute("PRAGMA foreign_keys").fetchone()[0]
        # Copying a table drops the old one, which with enforcement on would delete the rows that refer to it.
        # The pragma is ignored inside a transaction, hence the driver's connection, before one has begun.
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                _begin_immediately(connection, driver)
                yield connection
                _refuse_broken_references(connection)
        finally:
            driver.execute(f"PRAGMA foreign_keys = {enforced}")


def _begin_immediately(connection: sa.Connection, driver: Any) -> None:
    # Python's driver begins a transaction before INSERT and the like but not before DDL; an engine whose
    # events already began one is left as it is.
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _refuse_broken_references(connection: sa.Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = ", ".join(sorted({row[0] for row in broken}))
        raise StartupError(
            f"The upgrade of {_name(connection.engine)} would leave {len(broken)} rows (in {tables}) without "
            f"what they refer to. Nothing was changed. Please report this."
        )


def _name(engine: sa.Engine) -> str:
    """What the operator calls the database: its file, or its URL without the password."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        return engine.url.database
    return engine.url.render_as_string(hide_password=True)
