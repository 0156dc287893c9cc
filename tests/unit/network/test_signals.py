"""The first signal to stop is obeyed, the others are not heard."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import pytest

from swarmnode.network import signals
from swarmnode.network.signals import heed_no_more, heed_once

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names SIGHUP")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """The handlers of a process, without a process."""
    handlers: dict[int, Any] = {signal.SIGHUP: signal.SIG_DFL}
    monkeypatch.setattr(signals.signal, "getsignal", handlers.get)
    monkeypatch.setattr(signals.signal, "signal", handlers.__setitem__)
    return handlers


@pytest.fixture
def heard(table: dict[int, Any]) -> list[int]:
    numbers: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        table[number] = lambda number, frame: numbers.append(number)
    return numbers


def test_only_the_first_signal_is_obeyed(table: dict[int, Any], heard: list[int]) -> None:
    heed_once(lambda: False)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        table[number](number, None)
    assert heard == [signal.SIGTERM]


def test_none_is_obeyed_by_a_node_that_stops_already(table: dict[int, Any], heard: list[int]) -> None:
    heed_once(lambda: True)
    table[signal.SIGINT](signal.SIGINT, None)
    assert heard == []


def test_a_closed_terminal_stops_the_node_in_order(table: dict[int, Any], heard: list[int]) -> None:
    heed_once(lambda: False)
    table[signal.SIGHUP](signal.SIGHUP, None)
    assert heard == [signal.SIGHUP]


def test_after_the_end_none_is_heard(table: dict[int, Any], heard: list[int]) -> None:
    heed_no_more()
    assert {table[number] for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)} == {signal.SIG_IGN}


def test_what_nohup_ignores_stays_ignored(table: dict[int, Any], heard: list[int]) -> None:
    table[signal.SIGHUP] = signal.SIG_IGN
    heed_once(lambda: False)
    assert table[signal.SIGHUP] is signal.SIG_IGN


def test_other_threads_touch_no_handlers(table: dict[int, Any], heard: list[int]) -> None:
    before = dict(table)
    thread = threading.Thread(target=lambda: heed_once(lambda: False))
    thread.start()
    thread.join()
    assert table == before
