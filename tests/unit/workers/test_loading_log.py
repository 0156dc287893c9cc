"""The log of a model that takes its time to load."""

from __future__ import annotations

from structlog.testing import capture_logs

from swarmnode.workers.loading_log import LoadingLog


def test_a_line_for_every_quarter() -> None:
    said = LoadingLog("big")
    with capture_logs() as lines:
        for part in (0.1, 0.2, 0.36, 0.5, 0.61, 0.99):
            said({"resident_bytes": 1, "loading": part})
    assert [(line["model"], line["percent"]) for line in lines] == [
        ("big", 10),
        ("big", 36),
        ("big", 61),
        ("big", 99),
    ]


def test_a_worker_that_tells_nothing_leaves_no_line() -> None:
    with capture_logs() as lines:
        LoadingLog("m")({"resident_bytes": 1, "progress": 7})
    assert lines == []
