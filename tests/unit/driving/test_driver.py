"""The driver on Twisted's Clock: order, re-entrance, deadlines, bounds, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.task import Clock

from swarmnode.driving.driver import TURN_LIMIT, Driver
from swarmnode.values.errors import SwarmnodeError


@dataclass(frozen=True)
class Note:
    text: str


@dataclass(frozen=True)
class Alarm:
    at: float


class Recorder:
    """A machine that turns each event into notes about it, and keeps a deadline that tests set."""

    def __init__(self) -> None:
        self.deadline: float | None = None
        self.seen: list[tuple[Any, float]] = []
        self.inside = False

    def handle(self, event: Any | None, now: float) -> list[Any]:
        assert not self.inside
        self.inside = True
        self.seen.append((event, now))
        if isinstance(event, Exception):
            raise event
        if isinstance(event, Alarm):
            self.deadline = event.at
        if event is None:
            self.deadline = None
        self.inside = False
        return [Note(f"{event} a"), Note(f"{event} b")]


class Bench:
    def __init__(self, **options: Any) -> None:
        self.clock, self.machine = Clock(), Recorder()
        self.notes: list[str] = []
        self.failures: list[SwarmnodeError] = []
        self.on_note: Callable[[str], None] = self.notes.append
        self.driver = Driver(
            "bench", self.machine, self.clock, {Note: self.note}, self.failures.append, **options
        )

    def note(self, effect: Note) -> None:
        self.on_note(effect.text)


def test_effects_run_in_order_and_a_post_from_an_effect_comes_after() -> None:
    bench = Bench()

    def note(text: str) -> None:
        bench.notes.append(text)
        if text == "one a":
            bench.driver.post("two")

    bench.on_note = note
    bench.driver.post("one")
    assert bench.notes == ["one a", "one b", "two a", "two b"]


def test_one_timer_follows_the_deadline() -> None:
    bench = Bench()
    bench.driver.post(Alarm(5.0))
    bench.driver.post(Alarm(3.0))
    assert len(bench.clock.getDelayedCalls()) == 1
    bench.clock.advance(2.9)
    assert len(bench.machine.seen) == 2
    bench.clock.advance(0.2)
    assert bench.machine.seen[-1] == (None, pytest.approx(3.1))
    assert bench.clock.getDelayedCalls() == []


def test_a_deadline_in_the_past_comes_at_once() -> None:
    bench = Bench()
    bench.clock.advance(10)
    bench.driver.post(Alarm(1.0))
    bench.clock.advance(0)
    assert bench.machine.seen[-1] == (None, 10)


def test_a_long_turn_lets_others_have_theirs() -> None:
    bench = Bench()

    def note(text: str) -> None:
        bench.notes.append(text)
        if text == "0 a":
            for number in range(1, TURN_LIMIT + 50):
                bench.driver.post(number)

    bench.on_note = note
    bench.driver.post(0)
    assert len(bench.machine.seen) == TURN_LIMIT
    bench.driver.post("later")
    assert len(bench.machine.seen) == TURN_LIMIT
    bench.clock.advance(0)
    assert [event for event, _ in bench.machine.seen] == [*range(TURN_LIMIT + 50), "later"]


def test_a_full_inbox_ends_the_machine_by_name() -> None:
    bench = Bench(inbox_limit=3)

    def note(text: str) -> None:
        for _ in range(4):
            bench.driver.post("more")

    bench.on_note = note
    bench.driver.post("one")
    (failure,) = bench.failures
    assert failure.code == "inbox_full" and "bench" in failure.message
    assert bench.driver.stopped and len(bench.machine.seen) == 1


def test_an_effect_that_fails_ends_the_machine_and_names_it() -> None:
    bench = Bench()
    bench.driver.post(Alarm(5.0))

    def note(text: str) -> None:
        raise ValueError("no pen")

    bench.on_note = note
    bench.driver.post("one")
    (failure,) = bench.failures
    assert failure.message == "bench: Note failed: ValueError: no pen"
    assert isinstance(failure.__cause__, ValueError)
    assert bench.clock.getDelayedCalls() == []
    bench.driver.post("two")
    assert len(bench.failures) == 1


def test_a_machine_that_raises_is_ended() -> None:
    bench = Bench()
    bench.driver.post(KeyError("x"))
    assert "KeyError" in bench.failures[0].message


def test_an_effect_nobody_knows_is_a_failure() -> None:
    bench = Bench()
    bench.driver = Driver("bench", bench.machine, bench.clock, {}, bench.failures.append)
    bench.driver.post("one")
    assert bench.failures[0].code == "machine_failed"


def test_stop_is_silent_and_final() -> None:
    bench = Bench()

    def note(text: str) -> None:
        bench.notes.append(text)
        bench.driver.stop()

    bench.on_note = note
    bench.driver.post(Alarm(5.0))
    bench.driver.post("two")
    assert bench.notes == ["Alarm(at=5.0) a"]
    assert bench.clock.getDelayedCalls() == [] and bench.failures == []
