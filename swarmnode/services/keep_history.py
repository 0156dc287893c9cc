"""Keeping a record of finished requests in the database; no text of theirs is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swarmnode.services.request_record import RequestSummary


class RequestHistory:
    """An observer of the response core. run: `Database.run`; write(session, summary, stamp): one row.

    A database that is behind or gone costs a row, never a request.
    """

    def __init__(
        self,
        run: Callable[[Callable[[Any], Any]], Any],
        write: Callable[[Any, RequestSummary, float], None],
        stamp: Callable[[], float],
        log: Any,
    ) -> None:
        self._run, self._write, self._stamp, self._log = run, write, stamp, log
        self._failing = False

    def requests_changed(self, running: int, waiting: int) -> None:
        """Nothing to keep."""

    def request_finished(self, summary: RequestSummary) -> None:
        stamp = self._stamp()
        self._run(lambda session: self._write(session, summary, stamp)).addCallbacks(self._kept, self._lost)

    def _kept(self, _: Any) -> None:
        self._failing = False

    def _lost(self, why: Any) -> None:
        # One line when it begins to fail, not one a request.
        if not self._failing:
            self._log.warning("a finished request could not be recorded", reason=why.getErrorMessage())
        self._failing = True
