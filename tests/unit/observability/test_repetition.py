"""What peers cause again and again does not fill the log."""

from __future__ import annotations

import io

import structlog

from swarmnode.observability import logs as module
from swarmnode.observability.logs import set_up_logs
from swarmnode.observability.repetition import BURST, MAX_KINDS, SECONDS_A_LINE, Repetition
from swarmnode.values.settings import LogSettings


def test_a_burst_is_told_and_then_a_line_now_and_then_with_how_many_were_left_out() -> None:
    repetition = Repetition()
    assert [repetition.untold("network", "x", "", 0.0) for _ in range(BURST + 5)] == [0] * BURST + [None] * 5
    assert repetition.untold("network", "y", "", 0.0) == repetition.untold("network", "x", "other", 0.0) == 0
    assert repetition.untold("network", "x", "", SECONDS_A_LINE) == 5
    assert repetition.untold("network", "x", "", SECONDS_A_LINE) is None
    assert [repetition.untold("network", "x", "", 1e6) for _ in range(BURST + 1)] == [1] + [0] * (
        BURST - 1
    ) + [None]


def test_kinds_beyond_number_are_one() -> None:
    repetition = Repetition()
    told = [repetition.untold("network", "x", str(number), 0.0) for number in range(MAX_KINDS + BURST + 10)]
    assert told == [0] * (MAX_KINDS + BURST) + [None] * 10


def written(level: str, logger: str) -> int:
    stream = io.StringIO()
    logs = set_up_logs(LogSettings(level=level), stream=stream)
    try:
        for number in range(3 * BURST):
            structlog.get_logger(logger).info("peer connected", peer=number)
    finally:
        logs.close()
        module._current = None
    return stream.getvalue().count("\n")


def test_only_what_peers_cause_is_left_out_and_only_at_the_usual_level() -> None:
    assert written("info", "network") == BURST
    assert written("info", "node") == written("debug", "network") == 3 * BURST
