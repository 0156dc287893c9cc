"""Greetings between nodes on one clock."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from swarmnode.protocols.swarm.hello import NAME, Hello
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.services import say_hello
from swarmnode.services.say_hello import MAX_TRIES, PATIENCE, RETRY, SayHello
from swarmnode.testing.fake_host import DELAY, FakeNetwork
from swarmnode.values.errors import Refused, SwarmnodeError

STAMP = 1_800_000_000.0
PROTOCOL = protocol_id(NAME, "")


class Node:
    """A host that says hello. ahead: of its clock, seconds."""

    def __init__(self, network: FakeNetwork, number: int, ahead: float = 0.0, **hello: Any) -> None:
        self.host = network.host(f"/ip4/10.0.0.{number}/tcp/1")
        self.faults: list[tuple[str, str]] = []
        self.told: list[tuple[str, bool]] = []
        self.says = hello
        self.hello = SayHello(
            self.host,
            network.clock,
            lambda: STAMP + ahead + network.clock.seconds(),
            lambda stamp_ms: Hello(f"node {number}", stamp_ms=stamp_ms, **self.says),
            penalise=lambda peer, error: self.faults.append((peer, error.code)),
        )
        self.hello.watch(lambda peer, facts: self.told.append((peer, facts is not None)))
        self.hello.start()


class Pair:
    def __init__(self, **bob: Any) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.ada, self.bob = Node(self.network, 1), Node(self.network, 2, **bob)
        self.ada_id, self.bob_id = self.ada.host.peer_id, self.bob.host.peer_id

    def join(self) -> None:
        self.network.join(self.ada.host, self.bob.host, self.bob.host.listening[0])

    def wait(self, seconds: float = 10 * DELAY) -> None:
        for _ in range(round(seconds / DELAY)):
            self.clock.advance(DELAY)


def test_both_learn_what_the_other_is() -> None:
    pair = Pair(features=frozenset({"novelty"}), profiles=("cpu-1",))
    pair.join()
    pair.wait()
    facts = pair.ada.hello.facts(pair.bob_id)
    assert facts is not None
    assert (facts.hello.software, facts.hello.profiles) == ("node 2", ("cpu-1",))
    assert pair.ada.hello.features(pair.bob_id) == {"novelty"}
    assert pair.bob.hello.features(pair.ada_id) == frozenset()
    assert pair.ada.told == [(pair.bob_id, True)]
    assert pair.bob.told == [(pair.ada_id, True)]
    assert [one.peer for one in pair.bob.hello.all_facts()] == [pair.ada_id]
    pair.wait(2 * PATIENCE)
    assert pair.ada.host.streams == pair.bob.host.streams == []
    assert pair.clock.getDelayedCalls() == []


def test_clocks_are_compared() -> None:
    pair = Pair(ahead=120.0)
    pair.join()
    pair.wait()
    (seen,) = pair.ada.hello.all_facts()
    assert abs(seen.skew - 120) <= seen.skew_error + 0.001
    (back,) = pair.bob.hello.all_facts()
    assert abs(back.skew + 120) <= 0.03
    assert pair.ada.hello.skew() == seen.skew


def test_nobody_has_said_anything_yet() -> None:
    pair = Pair()
    assert pair.ada.hello.facts(pair.bob_id) is None
    assert pair.ada.hello.features(pair.bob_id) is None
    assert pair.ada.hello.skew() is None


def test_what_has_changed_is_heard_when_asked_again() -> None:
    pair = Pair()
    pair.join()
    pair.wait()
    pair.bob.says = {"features": frozenset({"novelty"})}
    pair.ada.hello.ask_again(pair.bob_id)
    pair.wait()
    assert pair.ada.hello.features(pair.bob_id) == frozenset(), "no sooner than a second later"
    pair.wait(1.0)
    pair.ada.hello.ask_again(pair.bob_id)
    pair.wait()
    assert pair.ada.hello.features(pair.bob_id) == {"novelty"}
    assert len(pair.ada.told) == 2


def test_peers_that_are_there_already_are_greeted() -> None:
    pair = Pair()
    pair.ada.hello.stop()
    pair.join()
    pair.ada.hello.start()
    pair.wait()
    assert pair.ada.hello.facts(pair.bob_id) is not None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(say_hello, "MAX_PEERS", 0)
    pair = Pair()
    pair.join()
    pair.wait()
    assert pair.ada.hello.facts(pair.bob_id) is None
    assert pair.ada.told == []


def test_who_is_gone_is_forgotten() -> None:
    pair = Pair()
    pair.join()
    pair.wait()
    pair.network.part(pair.ada.host, pair.bob.host)
    assert pair.ada.hello.facts(pair.bob_id) is None
    assert pair.ada.told == [(pair.bob_id, True), (pair.bob_id, False)]
    pair.join()
    pair.wait()
    assert pair.ada.hello.facts(pair.bob_id) is not None


def test_a_side_that_was_dialled_asks_when_it_hears_nothing() -> None:
    pair = Pair()
    pair.ada.hello.stop()
    pair.join()
    pair.wait()
    assert pair.bob.hello.facts(pair.ada_id) is None
    pair.ada.host.serve(PROTOCOL, pair.ada.hello._answer)
    pair.wait(PATIENCE + 1)
    assert pair.bob.hello.facts(pair.ada_id) is not None


def test_a_peer_that_says_no_hello_is_asked_a_few_times_and_no_more() -> None:
    pair = Pair()
    pair.bob.hello.stop()
    opened: list[Any] = []

    def refuse(stream: Any) -> Any:
        opened.append(stream)
        raise Refused("no", code="no")

    pair.bob.host.serve(PROTOCOL, refuse)
    pair.join()
    pair.wait((MAX_TRIES + 2) * RETRY)
    assert len(opened) == MAX_TRIES
    assert pair.ada.faults == []


def test_another_version_is_a_fault() -> None:
    pair = Pair(protocol_version=2)
    pair.join()
    pair.wait()
    assert pair.ada.faults == [(pair.bob_id, "other_version")]
    assert pair.ada.hello.facts(pair.bob_id) is None


class Raw:
    """A receiver that keeps nothing but how it ended."""

    def __init__(self) -> None:
        self.error: SwarmnodeError | None = None

    def received(self, data: bytes) -> None:
        pass

    def ended(self) -> None:
        pass

    def lost(self, error: SwarmnodeError | None) -> None:
        self.error = error

    def drained(self) -> None:
        pass


def say(pair: Pair, data: bytes) -> Raw:
    receiver = Raw()
    pair.ada.host.open(pair.bob_id, (PROTOCOL,), receiver).addCallback(lambda stream: stream.write(data))
    pair.wait()
    return receiver


def test_hostile_greetings_are_faults_and_endless_ones_are_cut() -> None:
    pair = Pair()
    pair.ada.hello.stop()
    pair.join()
    assert say(pair, b"\xff\xff\x7f").error is not None
    assert say(pair, b"\x02\xff\xff").error is not None
    assert [code for _, code in pair.bob.faults] == ["bad_frame", "bad_message"]


def test_a_peer_that_greets_without_end_is_heard_once_a_second() -> None:
    pair = Pair()
    pair.join()
    pair.wait()
    assert say(pair, b"\x00").error is not None
    assert pair.bob.faults == []
    assert len(pair.bob.told) == 1


def test_a_listener_that_breaks_harms_nobody() -> None:
    pair = Pair()
    pair.ada.hello.watch(lambda peer, facts: 1 / 0)
    pair.join()
    pair.wait()
    assert pair.ada.hello.facts(pair.bob_id) is not None


def test_after_the_end_nothing_is_left() -> None:
    pair = Pair()
    pair.join()
    pair.ada.hello.stop()
    pair.bob.hello.stop()
    pair.wait(20.0)
    assert pair.clock.getDelayedCalls() == []
    assert PROTOCOL not in pair.ada.host.served()
