"""Ping, both sides."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.ping.machine import MAX_PINGS, PING_BYTES, PING_SECONDS, Echo, PingMachine
from swarmnode.protocols.ping.vocabulary import Failed, Gone, Measured, Opened, Received, Write
from swarmnode.values.errors import PeerFault, Unavailable

START = 100.0


def machine(times: int) -> PingMachine:
    numbers = count(1)
    return PingMachine(times, lambda size: next(numbers).to_bytes(size, "big"), START)


def failure(effects: list[Any]) -> Any:
    (effect,) = effects
    assert isinstance(effect, Failed)
    return effect.error


def test_pings_follow_one_another_and_are_measured_each() -> None:
    ping = machine(3)
    (write,) = ping.handle(Opened(), 101.0)
    assert len(write.data) == PING_BYTES
    assert ping.handle(Received(write.data[:10]), 101.2) == []
    (second,) = ping.handle(Received(write.data[10:]), 101.5)
    assert isinstance(second, Write) and second.data != write.data
    (third,) = ping.handle(Received(second.data), 101.75)
    assert ping.handle(Received(third.data), 104.75) == [Measured((0.5, 0.25, 3.0))]
    assert ping.deadline is None
    assert ping.handle(Received(b"x"), 105.0) == ping.handle(Gone(None), 105.0) == []


@pytest.mark.parametrize(("asked", "sent"), [(0, 1), (-5, 1), (1, 1), (10**9, MAX_PINGS)])
def test_how_many_is_bounded(asked: int, sent: int) -> None:
    ping, written = machine(asked), 0
    effects = ping.handle(Opened(), START)
    while isinstance(effects[0], Write):
        written += 1
        effects = ping.handle(Received(effects[0].data), START)
    assert effects == [Measured((0.0,) * sent)] and written == sent


def test_a_stream_that_does_not_come_and_an_answer_that_does_not_are_given_up() -> None:
    ping = machine(1)
    assert ping.deadline == START + PING_SECONDS
    assert ping.handle(None, START + 1) == []
    assert failure(ping.handle(None, START + PING_SECONDS)).code == "ping_timeout"
    ping = machine(1)
    ping.handle(Opened(), START + 9)
    assert ping.handle(None, START + PING_SECONDS) == []
    assert isinstance(failure(ping.handle(None, START + 9 + PING_SECONDS)), Unavailable)


@pytest.mark.parametrize("answer", [bytes(32), b"x" * 33])
def test_a_wrong_answer_is_the_peer_s_fault(answer: bytes) -> None:
    ping = machine(1)
    ping.handle(Opened(), START)
    error = failure(ping.handle(Received(answer), START))
    assert isinstance(error, PeerFault) and error.code == "bad_ping"


def test_an_answer_before_the_question_is_a_fault() -> None:
    assert failure(machine(1).handle(Received(b"x"), START)).code == "bad_ping"


def test_why_the_stream_went_is_passed_on() -> None:
    why = Unavailable("gone", code="connection_lost")
    assert failure(machine(1).handle(Gone(why), START)) is why
    assert failure(machine(1).handle(Gone(None), START)).code == "ping_ended"


@given(st.lists(st.one_of(st.none(), st.just(Opened()), st.builds(Received, st.binary(max_size=40)))))
def test_it_ends_once_whatever_comes(events: list[Any]) -> None:
    ping, ends, now = machine(2), 0, START
    for event in [*events, Gone(None), Gone(None)]:
        now += 1
        ends += sum(isinstance(effect, Measured | Failed) for effect in ping.handle(event, now))
    assert ends == 1


@given(st.lists(st.binary(max_size=100)))
def test_the_echo_gives_back_whole_pings_in_order(pieces: list[bytes]) -> None:
    echo, sent = Echo(), b"".join(pieces)
    back = b"".join(map(echo.feed, pieces))
    assert back == sent[: len(sent) - len(sent) % PING_BYTES]
