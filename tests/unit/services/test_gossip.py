"""Gossip over hosts without sockets: streams come, go and come again; slow peers cost what they may."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from swarmnode.interfaces.host import HIGH_WATER
from swarmnode.protocols.gossipsub.parameters import MAX_OWN_TOPICS, MAX_RPC_BYTES, PROTOCOL_1_1, PROTOCOLS
from swarmnode.protocols.gossipsub.rpc import Exchanged, Prune, control_rpc, read_rpc
from swarmnode.protocols.gossipsub.vocabulary import ConnectTo, Deliver, Verdict
from swarmnode.protocols.identify.peer_record import seal_record
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.services.gossip import MAX_CONNECTING, Gossip
from swarmnode.services.gossip_streams import RETRY_SECONDS
from swarmnode.testing.fake_host import FakeHost, FakeNetwork, FakeStream
from swarmnode.values.errors import Refused, SwarmnodeError

T = "swarm/models"


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def exception(self, event: str, **details: Any) -> None:
        self.lines.append(event)

    error = exception


class Node:
    def __init__(self, network: FakeNetwork, number: int, **options: Any) -> None:
        self.host: FakeHost = network.host(f"/ip4/10.0.0.{number}/tcp/1")
        self.log = Log()
        self.got: list[Deliver] = []
        self.blamed: list[str] = []
        options.setdefault("penalise", lambda peer, error: self.blamed.append(error.code))
        self.gossip = Gossip(
            self.host, network.clock, random.Random(number), self.host.signer.sign, 1000, self.log, **options
        )

    def listen(self, topic: str = T, **options: Any) -> None:
        self.gossip.subscribe(topic, lambda source, data: Verdict.ACCEPT, self.got.append, **options)

    @property
    def peer(self) -> str:
        return self.host.peer_id

    def mesh(self) -> tuple[str, ...]:
        return self.gossip.stats().state.topics[0].mesh


class Bench:
    def __init__(self, nodes: int = 2) -> None:
        self.clock = Clock()
        self.network = FakeNetwork(self.clock)
        self.nodes = [Node(self.network, number) for number in range(1, nodes + 1)]

    def start(self) -> None:
        for node in self.nodes:
            node.gossip.start()
            node.listen()

    def join(self, one: Node, other: Node) -> None:
        self.network.join(one.host, other.host, other.host.addresses()[0])

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.clock.advance(0.01)


@pytest.fixture
def pair() -> Bench:
    bench = Bench()
    bench.start()
    bench.join(*bench.nodes)
    bench.run(2)
    return bench


class Script:
    """A receiver that keeps what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.error: SwarmnodeError | None = None
        self.is_lost = False

    def received(self, data: bytes) -> None:
        self.data += data

    def ended(self) -> None: ...

    def lost(self, error: SwarmnodeError | None) -> None:
        self.error, self.is_lost = error, True

    def drained(self) -> None: ...


def stranger(bench: Bench) -> tuple[FakeHost, Any, Script]:
    """A host without gossip of its own, connected to the first node, and its stream there."""
    host = bench.network.host("/ip4/10.0.9.9/tcp/1")
    node = bench.nodes[0]
    bench.network.join(host, node.host, node.host.addresses()[0])
    script = Script()
    opened: list[Any] = []
    host.open(node.peer, [PROTOCOL_1_1], script).addCallback(opened.append)
    bench.run(0.1)
    return host, opened[0], script


def test_messages_go_both_ways(pair: Bench) -> None:
    one, other = pair.nodes
    assert one.mesh() == (other.peer,)
    one.gossip.publish(T, b"hello")
    other.gossip.publish(T, b"hello too")
    pair.run(0.1)
    (got,) = other.got
    assert (got.topic, got.peer, got.source, got.data) == (T, one.peer, one.peer, b"hello")
    assert [g.data for g in one.got] == [b"hello too"]
    stats = one.gossip.stats()
    assert (stats.streams_in, stats.streams_out, stats.slow_peers) == (1, 1, 0)
    assert stats.state.counts.published == stats.state.counts.delivered == 1


def test_connections_from_before_the_start_count() -> None:
    bench = Bench()
    bench.join(*bench.nodes)
    bench.start()
    bench.run(2)
    bench.nodes[0].gossip.publish(T, b"hello")
    bench.run(0.1)
    assert len(bench.nodes[1].got) == 1


def test_a_peer_without_gossip_is_tried_again_once_a_minute() -> None:
    bench = Bench(1)
    bench.start()
    host = bench.network.host("/ip4/10.0.9.9/tcp/1")
    tried = []
    real = bench.nodes[0].host.open

    def counted(*arguments: Any) -> Any:
        tried.append(bench.clock.seconds())
        return real(*arguments)

    bench.nodes[0].host.open = counted  # type: ignore[method-assign, assignment]
    bench.network.join(host, bench.nodes[0].host, bench.nodes[0].host.addresses()[0])
    bench.run(3 * RETRY_SECONDS - 1)
    assert len(tried) == 3
    assert bench.nodes[0].gossip.stats().state.peers == 0
    script = Script()
    host.serve(PROTOCOL_1_1, lambda stream: script)
    bench.run(2)
    (hello,) = Frames(MAX_RPC_BYTES, "test").feed(script.data)
    assert read_rpc(hello).subscriptions == ((T, True),)
    bench.network.part(host, bench.nodes[0].host)
    bench.run(5 * RETRY_SECONDS)
    assert len(tried) == 4, "and no more when it is gone"
    assert bench.clock.getDelayedCalls() == []


def test_what_a_peer_says_before_our_stream_is_there_counts() -> None:
    bench = Bench(1)
    bench.start()
    host, stream, _ = stranger(bench)
    stream.write(framed(control_rpc(subscriptions=[(T, True)])))
    bench.run(0.1)
    (topic,) = bench.nodes[0].gossip.stats().state.topics
    assert topic.peers == 1
    # It serves gossip a little later than it speaks it: we need not wait for a minute.
    script = Script()
    host.serve(PROTOCOL_1_1, lambda stream: script)
    bench.run(1)
    host.open(bench.nodes[0].peer, [PROTOCOL_1_1], Script())
    bench.run(1.5)
    rpcs = [read_rpc(m) for m in Frames(MAX_RPC_BYTES, "test").feed(script.data)]
    assert any(r.subscriptions for r in rpcs)
    assert any(r.graft for r in rpcs)


def test_a_lost_stream_is_opened_again_and_our_topics_told_again(pair: Bench) -> None:
    one, other = pair.nodes
    pair.run(20)
    (outbound,) = [s for s in one.host.streams if s.written]
    outbound.reset()
    pair.run(0.5)
    assert one.gossip.stats().streams_out == 0
    one.gossip.publish(T, b"waits")
    pair.run(1)
    assert [g.data for g in other.got] == [b"waits"]
    (again,) = [s for s in one.host.streams if s.written]
    told = [read_rpc(m).subscriptions for m in Frames(MAX_RPC_BYTES, "test").feed(again.written)]
    assert ((T, True),) in told
    assert one.gossip.stats().state.peers == 1
    assert one.mesh() == (other.peer,)


def test_a_stream_that_breaks_at_once_is_not_opened_over_and_over() -> None:
    bench = Bench(1)
    bench.start()
    host = bench.network.host("/ip4/10.0.9.9/tcp/1")
    opened = []

    def refuse(stream: Any) -> Any:
        opened.append(bench.clock.seconds())
        raise Refused("no", code="no")

    host.serve(PROTOCOL_1_1, refuse)
    bench.network.join(host, bench.nodes[0].host, bench.nodes[0].host.addresses()[0])
    bench.run(5 * RETRY_SECONDS)
    pauses = [round(after - before) for before, after in zip(opened, opened[1:], strict=False)]
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60]


def test_the_newest_of_two_streams_is_listened_to() -> None:
    bench = Bench(1)
    bench.start()
    host, first, script = stranger(bench)
    listening = bench.nodes[0].gossip._lines[host.peer_id].listening
    second: list[Any] = []
    host.open(bench.nodes[0].peer, [PROTOCOL_1_1], Script()).addCallback(second.append)
    bench.run(0.1)
    assert script.is_lost
    assert listening is not None
    listening.lost(None)
    second[0].write(framed(control_rpc(subscriptions=[(T, True)])))
    bench.run(0.1)
    assert bench.nodes[0].gossip.stats().streams_in == 1
    assert bench.nodes[0].gossip.stats().state.topics[0].peers == 1


@pytest.mark.parametrize("data", [b"\xff" * 10, b"\x80\x80\x80\x01", framed(b"\x0a\xff")])
def test_who_breaks_the_framing_or_the_format_is_disconnected(data: bytes) -> None:
    bench = Bench(1)
    bench.start()
    host, stream, script = stranger(bench)
    stream.write(data + framed(control_rpc(subscriptions=[(T, True)])))
    bench.run(0.1)
    assert bench.nodes[0].host.peers() == ()
    assert bench.nodes[0].gossip.stats().state.peers == 0
    assert script.is_lost


def test_a_stream_in_pieces_is_put_together() -> None:
    bench = Bench(1)
    bench.start()
    host, stream, _ = stranger(bench)
    for byte in framed(control_rpc(subscriptions=[(T, True), ("x" * 200, True)])):
        stream.write(bytes([byte]))
    stream.end()
    bench.run(0.1)
    stats = bench.nodes[0].gossip.stats()
    assert stats.state.topics[0].peers == 1
    assert stats.streams_in == 0


def test_a_slow_peer_gets_the_urgent_first_and_loses_the_rest(pair: Bench) -> None:
    one, other = pair.nodes
    (stream,) = [s for s in one.host.streams if s.written]
    stream.waiting = HIGH_WATER
    before = len(stream.written)
    for number in range(50):
        one.gossip.publish(T, bytes([number]) * 60_000)
    one.gossip.subscribe("late", lambda source, data: Verdict.ACCEPT, one.got.append)
    pair.run(0.1)
    assert len(stream.written) == before
    stats = one.gossip.stats()
    assert stats.slow_peers == 1
    assert stats.dropped == {
        "control": 0,
        "own": 50 - stats.queued_bytes // 60_000,
        "forward": 0,
        "gossip": 0,
    }
    stream.waiting = 0
    assert stream.receiver is not None
    stream.receiver.drained()
    rpcs = [read_rpc(m) for m in Frames(MAX_RPC_BYTES, "test").feed(stream.written[before:])]
    assert rpcs[0].subscriptions == (("late", True),)
    assert rpcs[-1].messages[0].data == bytes([49]) * 60_000
    pair.run(0.1)
    assert 0 < len(other.got) < 50
    pair.network.part(one.host, other.host)
    assert one.gossip.stats().dropped["own"] == stats.dropped["own"]


def test_a_use_case_that_fails_on_a_message_ends_nothing(pair: Bench) -> None:
    one, other = pair.nodes

    def fail(message: Deliver) -> None:
        raise ZeroDivisionError

    other.gossip.subscribe(T, lambda source, data: Verdict.ACCEPT, fail)
    one.gossip.publish(T, b"hello")
    pair.run(0.1)
    assert other.log.lines == ["a gossip message could not be handled"]
    assert other.gossip.stats().failed_deliveries == 1
    other.listen()
    one.gossip.publish(T, b"again")
    pair.run(0.1)
    assert [g.data for g in other.got] == [b"again"]


def test_a_use_case_may_publish_and_leave_while_it_is_told(pair: Bench) -> None:
    one, other = pair.nodes

    def answer(message: Deliver) -> None:
        other.gossip.publish(T, b"answer to " + message.data)
        other.gossip.unsubscribe(T)

    other.gossip.subscribe(T, lambda source, data: Verdict.ACCEPT, answer)
    one.gossip.publish(T, b"1")
    one.gossip.publish(T, b"2")
    pair.run(0.5)
    assert [g.data for g in one.got] == [b"answer to 1"]


def test_what_cannot_be_published_or_joined_is_refused(pair: Bench) -> None:
    one, _ = pair.nodes
    one.listen("small", max_bytes=10)
    for topic, size in (("small", 11), ("unknown", MAX_RPC_BYTES)):
        with pytest.raises(Refused) as caught:
            one.gossip.publish(topic, bytes(size))
        assert caught.value.code == "message_too_long"
    with pytest.raises(Refused):
        one.listen("")
    for number in range(MAX_OWN_TOPICS - 2):
        one.listen(f"t{number}")
    with pytest.raises(Refused) as caught:
        one.listen("one too many")
    assert caught.value.code == "too_many_topics"
    one.listen(T)


def test_misbehaviour_is_told_and_good_standing_counts() -> None:
    bench = Bench(1)
    node = bench.nodes[0]
    node.gossip._standing = lambda peer: 3.0
    bench.start()
    host, stream, _ = stranger(bench)
    (score,) = node.gossip.stats().state.scores
    assert score.application == 3.0
    node.gossip.regard(host.peer_id, -5.0)
    assert node.gossip.stats().state.scores[0].score == -5.0
    stream.write(framed(b"\x12\x04\x22\x02tt"))
    bench.run(0.1)
    assert node.blamed == ["bad_message"]


def test_exchanged_peers_are_dialled() -> None:
    bench = Bench(2)
    node, third = bench.nodes
    node.gossip._standing = lambda peer: 10.0
    bench.start()
    host, stream, _ = stranger(bench)
    stream.write(framed(control_rpc(subscriptions=[(T, True)], graft=[T])))
    record = seal_record(third.host.signer, 1, third.host.addresses())
    prune = Prune(T, (Exchanged(third.peer, record),), 60.0)
    bench.run(0.1)
    stream.write(framed(control_rpc(prune=[prune])))
    bench.run(0.1)
    assert node.host.dials == [(third.peer, third.host.addresses())]
    assert third.peer in node.host.peers()


def test_few_exchanged_peers_are_dialled_at_a_time() -> None:
    bench = Bench(1)
    dialled: list[str] = []
    waiting: list[Deferred[Any]] = []

    def connect(peer: str, addresses: Any) -> Any:
        dialled.append(peer)
        waiting.append(Deferred())
        return waiting[-1]

    gossip = bench.nodes[0].gossip
    gossip._connect = connect
    for number in range(MAX_CONNECTING + 3):
        gossip._connect_to(ConnectTo(f"peer{number}", None))
    assert len(dialled) == MAX_CONNECTING
    waiting[0].errback(Refused("no", code="no"))
    waiting[1].callback(None)
    for number in range(3):
        gossip._connect_to(ConnectTo(f"more{number}", None))
    assert dialled[MAX_CONNECTING:] == ["more0", "more1"]


def test_a_stream_that_is_lost_before_it_is_agreed_is_tried_again() -> None:
    bench = Bench(1)
    bench.start()
    node, clock = bench.nodes[0], bench.clock
    tries: list[tuple[Any, Deferred[Any]]] = []

    def open_later(peer: str, protocols: Any, receiver: Any) -> Any:
        tries.append((receiver, Deferred()))
        return tries[-1][1]

    node.host.open = open_later  # type: ignore[method-assign]
    other = bench.network.host("/ip4/10.0.9.9/tcp/1")
    bench.network.join(node.host, other, other.addresses()[0])
    receiver, deferred = tries[0]
    receiver.lost(None)
    stream = FakeStream(node.host, node.host.links(other.peer_id)[0], PROTOCOL_1_1)
    stream.other = FakeStream(other, other.links(node.peer)[0], PROTOCOL_1_1)
    deferred.callback(stream)
    assert stream not in node.host.streams, "it was reset"
    assert node.gossip.stats().streams_out == 0
    clock.advance(RETRY_SECONDS)
    assert len(tries) == 2
    # And one that is still being opened when the peer goes is given up.
    bench.network.part(node.host, other)
    assert tries[1][1].called
    assert clock.getDelayedCalls() == []


def test_after_the_stop_nothing_is_served_sent_or_awaited(pair: Bench) -> None:
    one, other = pair.nodes
    one.gossip.stop()
    pair.run(0.1)
    assert not set(PROTOCOLS) & one.host.served()
    assert one.host.streams == []
    other.gossip.publish(T, b"hello")
    one.gossip.publish(T, b"hello")
    pair.run(1)
    assert one.got == other.got == []
    one.gossip.stop()
    other.gossip.stop()
    pair.run(0.1)
    assert pair.clock.getDelayedCalls() == []


def test_a_disconnected_peer_is_forgotten_and_met_again(pair: Bench) -> None:
    one, other = pair.nodes
    pair.network.part(one.host, other.host)
    pair.run(0.1)
    stats = one.gossip.stats()
    assert (stats.state.peers, stats.streams_in, stats.streams_out) == (0, 0, 0)
    pair.join(other, one)
    pair.run(2)
    one.gossip.publish(T, b"hello")
    pair.run(0.1)
    assert [g.data for g in other.got] == [b"hello"]
