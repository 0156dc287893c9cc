"""Ping between fake hosts."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from swarmnode.protocols.ping.machine import PING_SECONDS, PROTOCOL
from swarmnode.services.ping_peers import MAX_QUEUED, MAX_STREAMS_A_PEER, MAX_WAITING_BYTES, PingPeers
from swarmnode.testing.fake_host import DELAY, FakeNetwork
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable


class Answer:
    """Gathers what comes on a stream, or of a Deferred."""

    def __init__(self, deferred: Any = None) -> None:
        self.got, self.over = b"", False
        self.value: Any = None
        if deferred is not None:
            deferred.addBoth(self.take)

    def take(self, value: Any) -> None:
        self.value = getattr(value, "value", value)

    def received(self, data: bytes) -> None:
        self.got += data

    def ended(self) -> None: ...

    def drained(self) -> None: ...

    def lost(self, error: SwarmnodeError | None) -> None:
        self.over = True


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        network = FakeNetwork(self.clock)
        self.alice, self.bob = network.host("/ip4/10.0.0.1/tcp/1"), network.host("/ip4/10.0.0.2/tcp/1")
        self.calls = 0
        self.pinger = PingPeers(self.alice, self.clock, self.entropy)
        self.answerer = PingPeers(self.bob, self.clock, self.entropy)
        self.alice.connect(self.bob.peer_id, self.bob.listening)
        self.run(0.1)

    def entropy(self, size: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(size, "big")

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / DELAY)):
            self.clock.advance(DELAY)

    def ping(self, count: int = 1) -> Answer:
        return Answer(self.pinger.ping(self.bob.peer_id, count))


def test_round_trips_are_measured_one_by_one() -> None:
    bench = Bench()
    bench.answerer.start()
    answer = bench.ping(3)
    bench.run(0.2)
    assert [round(rtt, 6) for rtt in answer.value] == [2 * DELAY] * 3
    assert bench.calls == 3
    assert bench.alice.streams == bench.bob.streams == []


def test_only_one_stream_is_open_to_a_peer() -> None:
    bench = Bench()
    bench.answerer.start()
    answers = [bench.ping(2) for _ in range(3)]
    for _ in range(30):
        assert len(bench.alice.streams) <= 1
        bench.run(DELAY)
    assert [len(answer.value) for answer in answers] == [2, 2, 2]


def test_too_many_at_once_are_refused() -> None:
    bench = Bench()
    bench.answerer.start()
    answers = [bench.ping() for _ in range(MAX_QUEUED + 5)]
    refused = [a for a in answers if isinstance(a.value, Unavailable)]
    assert len(refused) == 4 and refused[0].value.code == "too_many_pings"
    bench.run(2)
    assert all(isinstance(a.value, list) for a in answers if a not in refused)


def test_a_peer_that_does_not_speak_ping_or_is_not_there() -> None:
    bench = Bench()
    assert bench.ping().value.code == "protocol_unsupported"
    bench.bob.network.part(bench.alice, bench.bob)
    assert bench.ping().value.code == "unreachable"


def test_a_peer_that_does_not_answer_is_given_up() -> None:
    bench = Bench()
    bench.bob.serve(PROTOCOL, lambda stream: Answer())
    first, second = bench.ping(), bench.ping()
    bench.run(PING_SECONDS + 0.1)
    assert first.value.code == "ping_timeout" and second.value is None
    bench.run(PING_SECONDS + 0.1)
    assert second.value.code == "ping_timeout"
    assert bench.alice.streams == []


def test_a_peer_that_answers_something_else_is_at_fault() -> None:
    bench = Bench()

    def accept(stream: Any) -> Answer:
        stream.write(bytes(64))
        return Answer()

    bench.bob.serve(PROTOCOL, accept)
    answer = bench.ping()
    bench.run(0.2)
    assert isinstance(answer.value, PeerFault)
    assert bench.alice.streams == []


def test_a_connection_that_breaks_ends_the_ping() -> None:
    bench = Bench()
    bench.bob.serve(PROTOCOL, lambda stream: Answer())
    answer = bench.ping()
    bench.run(0.1)
    bench.bob.network.part(bench.alice, bench.bob)
    assert isinstance(answer.value, SwarmnodeError)


def test_a_peer_has_two_streams_and_no_more() -> None:
    bench = Bench()
    bench.answerer.start()
    opened: list[Any] = []
    receivers = [Answer() for _ in range(MAX_STREAMS_A_PEER + 1)]
    for receiver in receivers:
        bench.alice.open(bench.bob.peer_id, (PROTOCOL,), receiver).addCallback(opened.append)
    for stream in opened:
        stream.write(bytes(40))
    bench.run(0.1)
    assert [receiver.over for receiver in receivers] == [False, False, True]
    assert [len(receiver.got) for receiver in receivers] == [32, 32, 0]
    opened[0].end()
    bench.run(0.1)
    bench.alice.open(bench.bob.peer_id, (PROTOCOL,), again := Answer())
    bench.run(0.1)
    assert receivers[0].over and not again.over


def test_a_peer_that_does_not_read_is_not_written_to_for_ever() -> None:
    bench = Bench()
    bench.answerer.start()
    receiver = Answer()
    opened: list[Any] = []
    bench.alice.open(bench.bob.peer_id, (PROTOCOL,), receiver).addCallback(opened.append)
    bench.run(0.1)
    bench.bob.streams[0].waiting = MAX_WAITING_BYTES + 1
    opened[0].write(bytes(32))
    bench.run(0.1)
    assert receiver.over and receiver.got == b""


def test_stopping_gives_up_what_runs_and_what_waits() -> None:
    bench = Bench()
    bench.bob.serve(PROTOCOL, lambda stream: Answer())
    answers = [bench.ping() for _ in range(3)]
    bench.pinger.stop()
    assert [a.value.code for a in answers] == ["stopping"] * 3
    bench.run(0.2)
    assert bench.clock.getDelayedCalls() == [] and bench.alice.streams == []


def test_cancelling_one_lets_the_next_go_on() -> None:
    bench = Bench()
    bench.answerer.start()
    deferred = bench.pinger.ping(bench.bob.peer_id)
    first, second = Answer(deferred), bench.ping()
    deferred.cancel()
    bench.run(0.2)
    assert first.value.code == "ping_cancelled"
    assert len(second.value) == 1


def test_refusal_is_not_the_peer_s_fault() -> None:
    bench = Bench()
    assert isinstance(bench.ping().value, Refused)
