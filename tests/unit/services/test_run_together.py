"""Starting parts in order, stopping them in reverse, and what goes wrong in between."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from swarmnode.services.run_together import RunTogether
from swarmnode.testing.host_bench import TestLog
from swarmnode.values.errors import Refused, Unavailable


class Part:
    def __init__(self, name: str, told: list[str], start: Any = None, stop: Any = None) -> None:
        self.name, self.told, self._start, self._stop = name, told, start, stop

    def start(self) -> Any:
        self.told.append(f"start {self.name}")
        if isinstance(self._start, Exception):
            raise self._start
        return self._start

    def stop(self) -> Any:
        self.told.append(f"stop {self.name}")
        if isinstance(self._stop, Exception):
            raise self._stop
        return self._stop


class NoStop:
    def start(self) -> None:
        """Nothing to begin."""


def outcome(deferred: Deferred[Any]) -> list[Any]:
    results: list[Any] = []
    deferred.addBoth(lambda result: results.append(getattr(result, "value", result)))
    return results


def test_in_order_and_in_reverse() -> None:
    told: list[str] = []
    slow: Deferred[None] = Deferred()
    running = RunTogether([Part("a", told, slow), NoStop(), Part("b", told)], TestLog())
    started = outcome(running.start())
    assert told == ["start a"]
    assert started == []
    slow.callback(None)
    assert told == ["start a", "start b"]
    assert started == [None]
    assert outcome(running.stop()) == [None]
    assert told[2:] == ["stop b", "stop a"]


def test_nobody_waits_for_another_one_to_stop_and_all_are_waited_for() -> None:
    told: list[str] = []
    slow: Deferred[None] = Deferred()
    running = RunTogether([Part("a", told), Part("b", told, stop=slow)], TestLog())
    running.start()
    first, second = outcome(running.stop()), outcome(running.stop())
    assert told == ["start a", "start b", "stop b", "stop a"]
    assert (first, second) == ([], [])
    slow.callback(None)
    assert (first, second, outcome(running.stop())) == ([None], [None], [None])
    assert told.count("stop a") == 1


@pytest.mark.parametrize("error", [Refused("the port is taken", code="port_in_use"), OSError("no")])
def test_one_that_fails_to_start_leaves_nothing_running(error: Exception) -> None:
    told: list[str] = []
    running = RunTogether([Part("a", told), Part("b", told, start=error), Part("c", told)], TestLog())
    assert outcome(running.start()) == [error]
    assert told == ["start a", "start b", "stop b", "stop a"]
    assert outcome(running.stop()) == [None]
    assert len(told) == 4


def test_the_others_go_on_without_an_optional_one() -> None:
    told: list[str] = []
    log = TestLog()
    broken, whole = Part("x", told, start=fail(OSError("no multicast"))), Part("y", told)
    running = RunTogether([Part("a", told)], log, optional=[broken, whole])
    assert outcome(running.start()) == [None]
    assert told == ["start a", "start x", "start y"]
    assert log.of("error") == ["a part did not start"]


def test_one_that_cannot_stop_keeps_nobody_else_from_stopping() -> None:
    told: list[str] = []
    log = TestLog()
    running = RunTogether([Part("a", told), Part("b", told, stop=OSError("stuck"))], log)
    running.start()
    assert outcome(running.stop()) == [None]
    assert told[2:] == ["stop b", "stop a"]
    assert log.of("error") == ["a part did not stop well"]


def test_a_stop_while_starting_starts_nothing_more() -> None:
    told: list[str] = []
    slow: Deferred[None] = Deferred()
    running = RunTogether([Part("a", told, slow), Part("b", told)], TestLog())
    started = outcome(running.start())
    assert outcome(running.stop()) == [None]
    slow.callback(None)
    assert told == ["start a", "stop a"]
    (error,) = started
    assert isinstance(error, Unavailable)


def test_it_runs_once() -> None:
    told: list[str] = []
    running = RunTogether([Part("a", told)], TestLog())
    running.start()
    (again,) = outcome(running.start())
    assert isinstance(again, Refused)
    assert again.code == "started_once"
    running.stop()
    (afterwards,) = outcome(running.start())
    assert isinstance(afterwards, Refused)
    assert told == ["start a", "stop a"]
