from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail, succeed

from swarmnode.services.keep_history import RequestHistory
from swarmnode.services.request_record import RequestSummary

SUMMARY = RequestSummary("r", "m", "local", "ok", None, None, None, None, 1.0, 3, 4, None)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, text: str, **fields: Any) -> None:
        self.lines.append(f"{text}: {fields['reason']}")


def test_each_summary_becomes_one_row() -> None:
    rows: list[Any] = []
    history = RequestHistory(
        lambda work: succeed(work("session")), lambda *row: rows.append(row), lambda: 12.0, Log()
    )
    history.request_finished(SUMMARY)
    assert rows == [("session", SUMMARY, 12.0)]


def test_a_failing_database_is_told_once_until_it_recovers() -> None:
    outcomes = [
        fail(OSError("disk full")),
        fail(OSError("disk full")),
        succeed(None),
        fail(OSError("disk full")),
    ]
    log = Log()
    history = RequestHistory(lambda work: outcomes.pop(0), lambda *row: None, lambda: 0.0, log)
    for _ in range(4):
        history.request_finished(SUMMARY)
    assert log.lines == ["a finished request could not be recorded: disk full"] * 2
