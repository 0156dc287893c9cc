"""Bringing a database to the tables of this version, in one transaction.

A new database gets the tables as the code describes them, an older one runs the migrations it lacks; a
test holds that both come to the same.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, inspect, text

from swarmnode.storage.schema import APPLICATION_ID, REVISIONS, Base
from swarmnode.values.errors import Refused

MIGRATIONS = Path(__file__).with_name("migrations")

_log = logging.getLogger(__name__)


def bring_up_to_date(engine: Engine, revision: str = REVISIONS[-1]) -> None:
    """Run the migrations that the database lacks: all of them or, after an error, none.

    Raises `Refused(code='database_newer')` when it was written by a later version.
    """
    with engine.begin() as connection:
        found = current_revision(connection)
        if found == revision:
            return
        if found is not None and found not in REVISIONS:
            raise _newer(engine, found)
        if found is None and revision == REVISIONS[-1]:
            _create(connection)
        else:
            _upgrade(connection, revision)
        if connection.dialect.name == "sqlite":
            connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
    if found is not None:
        _log.info("The database was brought from revision %s to %s", found, revision)


def current_revision(connection: Connection) -> str | None:
    """The revision a database is at; None for one without our tables."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _create(connection: Connection) -> None:
    Base.metadata.create_all(connection)
    # As Alembic itself makes this table.
    version = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))
    version.create(connection)
    connection.execute(version.insert().values(version_num=REVISIONS[-1]))


def _upgrade(connection: Connection, revision: str) -> None:
    # Alembic costs a quarter of a second and 10 MB, and is needed only when something changes.
    from alembic import command
    from alembic.config import Config

    config = Config()
    # The options pass through configparser, to which a percent sign means something.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _newer(engine: Engine, found: str) -> Refused:
    return Refused(
        f"The database {engine.url.render_as_string(hide_password=True)} is at revision {found}; "
        f"this version of swarmnode knows revisions up to {REVISIONS[-1]}",
        code="database_newer",
        hint="It was written by a newer swarmnode. Install that version again, or move the database away "
        "to begin a new one.",
    )
