"""SQLAlchemy engines: SQLite as we want it, anything else as its URL says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import StaticPool

from swarmnode.values.errors import Refused

DATABASE_NAME = "swarmnode.db"
BUSY_TIMEOUT_MS = 5000


def default_url(data_dir: Path) -> str:
    """The URL of the SQLite file in a data directory."""
    return URL.create("sqlite", database=str(data_dir / DATABASE_NAME)).render_as_string()


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite URL; None for other databases and for one in memory."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return None if parsed.database.startswith("file:") else Path(parsed.database)


def check_database_url(url: str) -> None:
    """Raise `Refused` for a URL or driver that is not usable. Empty: the default, which is. Connects to
    nothing."""
    if url:
        make_engine(url).dispose()


def make_engine(url: str) -> Engine:
    """An engine with one connection. Raises `Refused` for a URL or driver that is not usable."""
    parsed = _parse(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    options: dict[str, Any] = {"pool_pre_ping": not sqlite}
    if sqlite:
        # The one database thread is the only user; a second connection would only wait for the first.
        options = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
    try:
        engine = create_engine(parsed, **options)
    except (NoSuchModuleError, ModuleNotFoundError, ArgumentError) as error:
        raise _bad_url(parsed.render_as_string(hide_password=True), str(error)) from error
    if sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin)
    return engine


def checkpoint(engine: Engine) -> None:
    """Write SQLite's log back into its file, so that the file alone is the whole database."""
    if engine.dialect.name == "sqlite":
        # Below SQLAlchemy, because a checkpoint cannot be made inside a transaction.
        connection = engine.raw_connection()
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    # None: the driver begins no transactions of its own; `_begin` does, also around CREATE TABLE.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Any) -> None:
    # IMMEDIATE: a transaction that reads first and writes later cannot be turned away in its middle.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise _bad_url("", "it is not a URL") from error


def _bad_url(url: str, fault: str) -> Refused:
    return Refused(
        f"The database URL {url} cannot be used: {fault}".replace("  ", " "),
        code="bad_database_url",
        hint="storage.database_url is an SQLAlchemy URL, for example sqlite:////home/me/node.db or "
        "postgresql+psycopg://user:password@host/name (with that driver installed). Leave it out for SQLite "
        "in the data directory.",
    )
