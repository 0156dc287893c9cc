"""Migrations: the list, the tables they make, and data carried over."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from swarmnode.storage import migrating
from swarmnode.storage.engines import make_engine
from swarmnode.storage.migrating import MIGRATIONS, bring_up_to_date, current_revision
from swarmnode.storage.schema import APPLICATION_ID, REVISIONS, Base


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/x.db"


def test_the_list_of_revisions_is_the_chain_of_files():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    chain = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(chain)) == REVISIONS


def migrated(tmp_path: Path, name: str) -> Engine:
    """A database that went through every revision."""
    engine = make_engine(f"sqlite:///{tmp_path}/{name}.db")
    for revision in REVISIONS:
        bring_up_to_date(engine, revision)
    return engine


def shape(engine: Engine) -> dict[str, object]:
    """What the database says of its tables."""
    look = inspect(engine)
    return {
        table: (
            sorted(
                (c["name"], str(c["type"]), c["nullable"], c["primary_key"]) for c in look.get_columns(table)
            ),
            sorted((i["name"], i["column_names"], i["unique"]) for i in look.get_indexes(table)),
        )
        for table in look.get_table_names()
    }


def test_a_new_database_and_a_migrated_one_are_the_same(tmp_path: Path):
    new, old = make_engine(url(tmp_path)), migrated(tmp_path, "old")
    bring_up_to_date(new)
    assert shape(new) == shape(old)
    assert "usage_counters" in shape(new)
    for engine in (new, old):
        with engine.begin() as connection:
            assert current_revision(connection) == REVISIONS[-1]
            assert connection.exec_driver_sql("PRAGMA application_id").scalar() == APPLICATION_ID
        engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path):
    engine = migrated(tmp_path, "x")
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("start", REVISIONS[:-1])
def test_rows_survive_the_way_from_every_earlier_revision(tmp_path: Path, start: str):
    engine = make_engine(url(tmp_path))
    bring_up_to_date(engine, start)
    with engine.begin() as connection:
        assert current_revision(connection) == start
        connection.exec_driver_sql("INSERT INTO node_settings VALUES ('a', '[1]', 5)")
        connection.exec_driver_sql("INSERT INTO model_records VALUES ('m', '/m.gguf', 6, 7)")
    bring_up_to_date(engine)
    with engine.begin() as connection:
        assert current_revision(connection) == REVISIONS[-1]
        rows = [
            connection.exec_driver_sql(f"SELECT * FROM {t}").one() for t in ("node_settings", "model_records")
        ]
        assert rows == [("a", "[1]", 5), ("m", "/m.gguf", 6, 7)]
    engine.dispose()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = migrating._upgrade

    def failing(connection, revision):
        real(connection, revision)
        raise OSError("the disk is full")

    engine = make_engine(url(tmp_path))
    bring_up_to_date(engine, REVISIONS[0])
    monkeypatch.setattr(migrating, "_upgrade", failing)
    with pytest.raises(OSError, match="disk"):
        bring_up_to_date(engine)
    with engine.begin() as connection:
        assert current_revision(connection) == REVISIONS[0]
    engine.dispose()
    with sqlite3.connect(tmp_path / "x.db") as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    connection.close()
    assert {name for (name,) in names} == {"alembic_version", "node_settings", "model_records"}


def test_an_up_to_date_database_needs_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    engine = make_engine(url(tmp_path))
    bring_up_to_date(engine)
    monkeypatch.setattr(migrating, "_upgrade", lambda *_: pytest.fail("a migration ran"))
    bring_up_to_date(engine)
    engine.dispose()


def test_a_percent_sign_in_the_path_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "100%s" / "migrations"
    place.parent.mkdir()
    place.symlink_to(MIGRATIONS)
    monkeypatch.setattr(migrating, "MIGRATIONS", place)
    bring_up_to_date(make_engine(url(tmp_path)), REVISIONS[0])
    migrated(tmp_path, "y").dispose()
