"""A place that takes lines slowly, or not at all, keeps nobody waiting."""

from __future__ import annotations

import threading

import pytest

from swarmnode.observability.queued_outlet import QueuedOutlet

SECONDS = 10.0


class Place:
    """Takes a line when it is allowed to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lost = 0
        self.closed = False
        self.taking = threading.Event()
        self._allowed = threading.Event()

    def write(self, line: str) -> None:
        self.taking.set()
        assert self._allowed.wait(SECONDS)
        self.lines.append(line)

    def close(self) -> None:
        self.closed = True

    def allow(self) -> None:
        self._allowed.set()


@pytest.fixture
def place() -> Place:
    return Place()


def test_lines_arrive_in_order_and_the_end_waits_for_them(place: Place) -> None:
    place.allow()
    outlet = QueuedOutlet(place)
    for number in range(100):
        outlet.write(str(number))
    outlet.close()
    assert place.lines == [str(number) for number in range(100)]
    assert (place.closed, outlet.lost) == (True, 0)
    outlet.write("after the end")
    assert len(place.lines) == 100


def test_a_place_that_hangs_costs_lines_beyond_the_bound_and_nothing_else(place: Place) -> None:
    outlet = QueuedOutlet(place, most=3)
    outlet.write("taken")
    assert place.taking.wait(SECONDS)
    for number in range(5):
        outlet.write(str(number))
    assert (place.lines, outlet.lost) == ([], 2)
    assert not outlet.flush(0.0)
    place.allow()
    assert outlet.flush(SECONDS)
    outlet.write("later")
    assert outlet.flush(SECONDS)
    assert place.lines[:4] == ["taken", "0", "1", "2"]
    assert "2 lines of the log were lost" in place.lines[4]
    assert place.lines[5:] == ["later"]
    outlet.close()


def test_the_end_does_not_wait_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QueuedOutlet.flush, "__defaults__", (0.0,))
    outlet = QueuedOutlet(place)
    outlet.write("never")
    outlet.close()
    assert not place.closed  # it is still at work
    place.allow()
