"""The database, and the one thread that works on it.

Every piece of work is a function of a session, run in one transaction: it commits when the function
returns and rolls back when it raises. One thread means one writer, and work done in the order asked.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from twisted.internet.defer import Deferred, fail, succeed

from swarmnode.storage.engines import checkpoint, default_url, make_engine, sqlite_path
from swarmnode.storage.migrating import bring_up_to_date
from swarmnode.storage.private_files import OWNER_ONLY_FILE
from swarmnode.storage.runner import Runner
from swarmnode.storage.sqlite_file import (
    ForeignDatabase,
    cannot_open,
    find_fault,
    is_content_fault,
    set_aside,
)
from swarmnode.values.errors import LocalFault, Refused, Unavailable

MAX_PENDING = 1024

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Database:
    """Asynchronous access to the node's database.

    url: any SQLAlchemy URL, or empty for SQLite in `<data_dir>/swarmnode.db`. stamp: wall time.
    """

    def __init__(
        self, url: str, data_dir: Path, runner: Runner, stamp: Callable[[], float] = time.time
    ) -> None:
        self._ours = not url
        self._url = url or default_url(data_dir)
        self._runner = runner
        self._stamp = stamp
        self._engine: Engine | None = None
        self._pending = 0
        self._closed = False
        self.moved_aside: Path | None = None

    def open(self) -> Deferred[None]:
        """Open it and bring its tables up to date, before any other work.

        A damaged SQLite file is moved aside (`moved_aside` says where) and a new one begun. Fails with
        `Refused` for a bad URL and for a database of a later version.
        """
        return self._submit(self._open)

    def run(self, work: Callable[[Session], T]) -> Deferred[T]:
        """Run `work(session)` in a transaction on the database's thread.

        The Deferred fails with what `work` raised, `LocalFault` for what the database said,
        `Unavailable` when more than `MAX_PENDING` pieces of work wait or the database is closed.
        """
        return self._submit(lambda: self._in_transaction(work))

    def close(self) -> Deferred[None]:
        """Finish all work, write the log into the file, end the thread. Again: nothing."""
        if self._closed:
            return succeed(None)
        self._closed = True
        return self._enqueue(self._dispose).addBoth(self._stopped)

    @property
    def pending(self) -> int:
        """Pieces of work asked for and not yet done."""
        return self._pending

    def _submit(self, work: Callable[[], T]) -> Deferred[T]:
        if self._closed:
            return fail(Unavailable("The database is closed", code="database_closed"))
        if self._pending >= MAX_PENDING:
            return fail(
                Unavailable(
                    f"The database is {MAX_PENDING} pieces of work behind",
                    code="database_busy",
                    hint="The disk is too slow or too busy; what was to be written now is lost.",
                )
            )
        return self._enqueue(work)

    def _enqueue(self, work: Callable[[], T]) -> Deferred[T]:
        self._pending += 1
        return self._runner.run(work).addBoth(self._done)

    def _done(self, result: T) -> T:
        self._pending -= 1
        return result

    def _open(self) -> None:
        engine = make_engine(self._url)  # connects to nothing yet
        path = sqlite_path(self._url)
        if path is not None:
            self._look_at(path)
            _make_private(path)
        try:
            with _named_faults():
                bring_up_to_date(engine)
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine

    def _look_at(self, path: Path) -> None:
        try:
            fault = find_fault(path)
        except ForeignDatabase:
            if not self._ours:
                raise _foreign(path) from None
            fault = "another program made it"
        if fault:
            self.moved_aside = set_aside(path, self._stamp())
            _log.warning(
                "The database %s is damaged (%s). It was moved to %s and a new one was begun: counters and "
                "the history of requests start afresh; models, keys and configuration are not touched.",
                path,
                fault,
                self.moved_aside,
            )

    def _in_transaction(self, work: Callable[[Session], T]) -> T:
        if self._engine is None:
            raise LocalFault("The database is not open", code="database_closed")
        with _named_faults(), Session(self._engine) as session, session.begin():
            return work(session)

    def _dispose(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            checkpoint(engine)
            engine.dispose()

    def _stopped(self, result: Any) -> Any:
        self._runner.stop()
        return result


def _make_private(path: Path) -> None:
    """Make the file before SQLite does, for the owner only; its log gets the same mode."""
    try:
        path.touch(OWNER_ONLY_FILE)
    except OSError as error:
        raise cannot_open(path, error) from error


@contextlib.contextmanager
def _named_faults() -> Iterator[None]:
    """What the database says, as an error with a way out."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _as_fault(getattr(error, "orig", None) or error) from error


def _as_fault(cause: BaseException) -> LocalFault:
    if is_content_fault(cause):
        return LocalFault(
            f"The database is damaged: {cause}",
            code="database_damaged",
            hint="Start the node again: it moves the damaged file aside and begins a new one.",
        )
    return LocalFault(
        f"The database failed: {cause}",
        code="database_error",
        hint="Check the free space and the rights on the data directory.",
    )


def _foreign(path: Path) -> Refused:
    return Refused(
        f"{path} is a database of another program",
        code="database_foreign",
        hint="Name another file in storage.database_url.",
    )
