"""The clock of simulations, against Twisted's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from swarmnode.testing import sim_clock
from swarmnode.testing.sim_clock import SimClock, SimFault

#: What is done with calls: made, cancelled, put off, put earlier or later, and time that passes.
STEPS = st.lists(
    st.tuples(st.sampled_from(("call", "cancel", "delay", "reset", "pass")), st.integers(0, 40)), max_size=60
)


def history(clock: Any, steps: list[tuple[str, int]]) -> list[Any]:
    """What happens when; times are sums of quarters, so they are exact."""
    told: list[Any] = []
    calls: list[Any] = []

    def happen(number: int) -> None:
        told.append((number, clock.seconds()))
        if number % 3 == 0 and len(calls) < 200:
            calls.append(clock.callLater(0.25, happen, len(calls) + 1))

    for what, value in steps:
        call = calls[value % len(calls)] if calls else None
        if what == "call":
            calls.append(clock.callLater(value / 4, happen, len(calls) + 1))
        elif what == "pass":
            # Twisted's clock skips over what happens in between, so it goes by small steps.
            for _ in range(value):
                clock.advance(0)
                clock.advance(0.25)
        elif call is not None and call.active():
            getattr(call, what)(*(() if what == "cancel" else (value / 4,)))
        told.append((clock.seconds(), sorted(each.getTime() for each in clock.getDelayedCalls())))
    return told


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_it_does_what_twisteds_clock_does(steps: list[tuple[str, int]]) -> None:
    ours, theirs = history(SimClock(), steps), history(Clock(), steps)
    # Of calls at one moment Twisted's order is that of sorting; ours is that of asking.
    assert sorted(map(str, ours)) == sorted(map(str, theirs))


def test_it_is_what_it_says() -> None:
    clock = SimClock()
    assert verifyObject(IReactorTime, clock)
    assert verifyObject(IDelayedCall, clock.callLater(1, list))


def test_calls_at_one_moment_come_in_the_order_of_asking_and_keep_their_own_time() -> None:
    clock, told = SimClock(), list[Any]()
    for number in range(5):
        clock.callLater(1.0, told.append, number)
    clock.callLater(0.5, lambda: told.append(clock.seconds()))
    clock.advance(7)
    assert told == [0.5, 0, 1, 2, 3, 4]
    assert clock.seconds() == 7


def test_what_is_over_cannot_be_changed() -> None:
    clock = SimClock()
    done, cancelled = clock.callLater(0, list), clock.callLater(1, list)
    clock.advance(0)
    cancelled.cancel()
    with pytest.raises(AlreadyCalled):
        done.cancel()
    with pytest.raises(AlreadyCancelled):
        cancelled.reset(1)
    with pytest.raises(ValueError, match="seconds ago"):
        clock.callLater(-1, list)
    assert clock.getDelayedCalls() == []


def test_cancelled_calls_do_not_fill_the_heap() -> None:
    clock = SimClock()
    kept = clock.callLater(5, list)
    for _ in range(sim_clock.MAX_CANCELLED * 3):
        clock.callLater(1, list).cancel()
    assert len(clock._heap) <= sim_clock.MAX_CANCELLED + 2
    assert clock.getDelayedCalls() == [kept]


def test_a_paused_process_finds_all_it_missed() -> None:
    clock, told = SimClock(), list[Any]()
    process, other = clock.process(), clock.process()
    for when in (1, 2, 3):
        process.callLater(when, lambda when=when: told.append((when, clock.seconds())))
    gone = process.callLater(2, told.append, "cancelled")
    other.callLater(2, told.append, "other")
    process.pause()
    clock.advance(2.5)
    assert told == ["other"]
    gone.cancel()
    process.resume()
    clock.advance(1)
    assert told == ["other", (1, 2.5), (2, 2.5), (3, 3)]


def test_a_killed_process_does_nothing_more() -> None:
    clock, told = SimClock(), list[Any]()
    process = clock.process()
    process.callLater(1, told.append, 1)
    process.kill()
    process.callLater(1, told.append, 2)
    clock.advance(5)
    assert told == []


def test_waiting_for_what_does_not_come_is_an_error() -> None:
    clock = SimClock()
    clock.callLater(3, list)
    assert clock.run_until(lambda: clock.seconds() >= 2, limit=3) == pytest.approx(2)
    with pytest.raises(SimFault, match="within 1 s"):
        clock.run_until(lambda: False, limit=1)


def test_calls_that_never_let_time_pass_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim_clock, "MAX_CALLS_AT_ONCE", 100)
    clock = SimClock()

    def again() -> None:
        clock.callLater(0, again)

    again()
    with pytest.raises(SimFault, match="time stands still"):
        clock.advance(1)
