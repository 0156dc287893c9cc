"""Looking at an SQLite file before trusting it, and setting a bad one aside."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import quote

from swarmnode.values.errors import LocalFault

MAX_SET_ASIDE = 1000

# Primary result codes (sqlite.org/rescode.html): the content is at fault, not the moment.
_CONTENT_FAULTS = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_HEADER = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm", "-journal")


class ForeignDatabase(Exception):
    """A healthy SQLite file that another program made."""


def is_content_fault(error: BaseException | None) -> bool:
    """Whether the error says that the file itself is damaged."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in _CONTENT_FAULTS


def find_fault(path: Path) -> str | None:
    """What is wrong with the database file, in words; None for a good, an empty or an absent one.

    Raises `ForeignDatabase`, or `LocalFault` when the file cannot be looked at. Reads the whole file.
    """
    try:
        with path.open("rb") as file:
            start, size = file.read(len(_HEADER)), os.fstat(file.fileno()).st_size
        # SQLite itself takes a file of a few bytes, whatever they are, for an empty database.
        if start != _HEADER:
            return "it is not an SQLite file" if start else None
        has_log = path.with_name(path.name + "-wal").exists()
        with contextlib.closing(_open(path)) as connection:
            return _examine(connection, None if has_log else size)
    except FileNotFoundError:
        return None
    except sqlite3.DatabaseError as error:
        if is_content_fault(error):
            return str(error)
        raise cannot_open(path, error) from error
    except OSError as error:
        raise cannot_open(path, error) from error


def set_aside(path: Path, stamp: float) -> Path:
    """Move the file and its companions to `<name>.corrupt-<UTC time>`; return the new path."""
    target = _free_name(path, time.strftime("%Y%m%d-%H%M%S", time.gmtime(stamp)))
    # The companions go first: a write-ahead log left alone would be replayed into the new file.
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(target.with_name(target.name + companion))
    path.rename(target)
    return target


def cannot_open(path: Path, error: Exception) -> LocalFault:
    """The error for a database that is in the way of itself, not damaged."""
    return LocalFault(
        f"The database {path} cannot be opened: {error}",
        code="database_unavailable",
        hint="Check the free space and the rights on it, and whether another program has it open.",
    )


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=5)


def _examine(connection: sqlite3.Connection, size: int | None) -> str | None:
    """size: of the file, or None where the log may hold pages that the file lacks."""
    (pages,), (page_bytes,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size")
    )
    # quick_check does not miss a last page that holds no row yet.
    if size is not None and size < pages * page_bytes:
        return f"it has {size} bytes, and should have {pages * page_bytes}"
    (report,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if report != "ok":
        return str(report)
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if names and "alembic_version" not in names:
        raise ForeignDatabase
    return None


def _free_name(path: Path, stamp: str) -> Path:
    for number in range(MAX_SET_ASIDE):
        target = path.with_name(f"{path.name}.corrupt-{stamp}" + (f"-{number}" if number else ""))
        if not target.exists():
            return target
    raise LocalFault(
        f"There are {MAX_SET_ASIDE} damaged databases beside {path}",
        code="database_unavailable",
        hint="Remove the files named *.corrupt-*, and find out why the disk damages files.",
    )
