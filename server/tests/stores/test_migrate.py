"""Upgrading a database: from nothing, from an older schema, and not at all."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from keystead.core.errors import StartupError
from keystead.stores import migrate, tables
from keystead.stores.migrations import HEAD
from keystead.testing.schema import differences

FIRST = '''
"""First."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

def upgrade():
    op.create_table("parent", sa.Column("id", sa.String, primary_key=True), sa.Column("size", sa.Integer))
    op.create_table(
        "child",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("parent_id", sa.String, sa.ForeignKey("parent.id", ondelete="CASCADE"), nullable=False),
    )
'''
SECOND = '''
"""Second."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

def upgrade():
    with op.batch_alter_table("parent") as batch:
        batch.alter_column("size", type_=sa.BigInteger, nullable=False, server_default="0")
'''
FAILING = SECOND + '    op.execute("SELECT nonsense FROM nowhere")\n'
ORPHANING = SECOND + '    op.execute("DELETE FROM parent")\n'


def declared(*, ondelete: str | None = "CASCADE", size_default: str = "0") -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        "parent",
        metadata,
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("size", sa.BigInteger, nullable=False, server_default=size_default),
    )
    sa.Table(
        "child",
        metadata,
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("parent_id", sa.String, sa.ForeignKey("parent.id", ondelete=ondelete), nullable=False),
    )
    return metadata


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "100% scripts"
    (folder / "versions").mkdir(parents=True)
    entry = Path(migrate.__file__).parent / "migrations" / "env.py"
    (folder / "env.py").write_text(entry.read_text())
    add(folder, "0001", FIRST)
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'some.db'}")

    @sa.event.listens_for(engine, "connect")
    def enforce_foreign_keys(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    yield engine
    engine.dispose()


def add(folder: Path, revision: str, script: str) -> None:
    (folder / "versions" / f"{revision}.py").write_text(script)


def read(engine: sa.Engine, sql: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def fill(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO parent VALUES ('p', 7)"))
        connection.execute(sa.text("INSERT INTO child VALUES ('c', 'p')"))


def test_empty_database_gets_the_schema(engine: sa.Engine, scripts: Path) -> None:
    """An empty database is brought to the head revision in one call, and a second call changes nothing."""
    migrate.upgrade(engine, scripts, "0001")
    migrate.upgrade(engine, scripts, "0001")
    assert read(engine, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert sa.inspect(engine).get_table_names() == ["alembic_version", "child", "parent"]


def test_upgrade_that_copies_a_table_keeps_the_rows_that_refer_to_it(engine: sa.Engine, scripts: Path) -> None:
    """Altering a table, which SQLite does by copying, deletes no row; foreign keys hold again after."""
    migrate.upgrade(engine, scripts, "0001")
    fill(engine)
    add(scripts, "0002", SECOND)
    migrate.upgrade(engine, scripts, "0002")
    assert read(engine, "SELECT parent.size, child.id FROM parent, child") == [(7, "c")]
    assert read(engine, "PRAGMA foreign_keys") == [(1,)]


@pytest.mark.parametrize("script", [FAILING, ORPHANING])
def test_failed_upgrade_changes_nothing(engine: sa.Engine, scripts: Path, script: str) -> None:
    """A migration that fails, or would orphan rows, leaves schema, rows and revision as they were."""
    migrate.upgrade(engine, scripts, "0001")
    fill(engine)
    before = read(engine, "SELECT sql FROM sqlite_master")
    add(scripts, "0002", script)
    with pytest.raises(StartupError):
        migrate.upgrade(engine, scripts, "0002")
    assert read(engine, "SELECT sql FROM sqlite_master") == before
    assert read(engine, "SELECT parent.size, child.id, version_num FROM parent, child, alembic_version") == [
        (7, "c", "0001")
    ]


def test_newer_database_is_refused(engine: sa.Engine, scripts: Path) -> None:
    """A database of a newer Keystead is left alone, and the message names the file and the way out."""
    migrate.upgrade(engine, scripts, "0001")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0099'"))
    with pytest.raises(StartupError, match=r"some\.db was written by a newer Keystead.*0099.*Start that version"):
        migrate.upgrade(engine, scripts, "0001")


def test_database_of_another_program_is_refused(engine: sa.Engine, scripts: Path) -> None:
    """A database with somebody else's tables gets none of ours."""
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE recipes (name TEXT)"))
    with pytest.raises(StartupError, match=r"some\.db holds tables \(recipes"):
        migrate.upgrade(engine, scripts, "0001")
    assert sa.inspect(engine).get_table_names() == ["recipes"]


def test_file_that_is_no_database_is_refused(engine: sa.Engine, scripts: Path, tmp_path: Path) -> None:
    """A file of another kind is named in the message instead of ending in a traceback."""
    (tmp_path / "some.db").write_bytes(b"a letter to my aunt " * 100)
    with pytest.raises(StartupError, match=r"some\.db cannot be read"):
        migrate.upgrade(engine, scripts, "0001")


def test_current_database_starts_without_alembic(engine: sa.Engine, scripts: Path, tmp_path: Path) -> None:
    """Starting on a current database does not import alembic, which is slow."""
    migrate.upgrade(engine, scripts, "0001")
    code = (
        "import sys, pathlib, sqlalchemy as sa; from keystead.stores import migrate\n"
        "engine = sa.create_engine('sqlite:///' + sys.argv[1]); "
        "migrate.upgrade(engine, pathlib.Path(sys.argv[2]), '0001'); "
        "engine.dispose(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "some.db"), str(scripts)], capture_output=True, check=True
    )
    assert done.stdout == b"False\n"


def test_equal_schemas_have_no_differences(scripts: Path) -> None:
    """A schema reached by altering tables counts as equal to the declared one."""
    add(scripts, "0002", SECOND)
    assert differences(declared(), scripts, "0002") == []


def test_main_schema_is_what_the_migrations_make() -> None:
    """The tables in code and the migrations of the main database describe the same schema."""
    assert differences(tables.metadata, Path(migrate.__file__).parent / "migrations", HEAD) == []


def test_differences_name_what_differs(scripts: Path) -> None:
    """A foreign key's action, a default, a missing index and a forgotten head are each reported."""
    add(scripts, "0002", SECOND)
    metadata = declared(ondelete=None, size_default="1")
    sa.Index("by_parent", metadata.tables["child"].c.parent_id)
    found = "\n".join(differences(metadata, scripts, "0002"))
    assert "only in migrations: child: foreign key" in found
    assert "CASCADE" in found
    assert "only in metadata: parent: column size type BIGINT, not null 1, default '1'" in found
    assert "only in metadata: child: index by_parent" in found
    assert differences(declared(), scripts, "0001")[0] == "the migrations end at 0002, the code asks for 0001"
