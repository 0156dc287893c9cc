"""The host over a network in memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed

from swarmnode.network.doorstep import MAX_UNSECURED_PER_IP
from swarmnode.network.host import STOP_SECONDS
from swarmnode.network.takers import MAX_INBOUND_STREAMS
from swarmnode.protocols.pool.limits import SPARE_SECONDS
from swarmnode.testing.host_bench import HostBench, Node, Recorder, Witness
from swarmnode.testing.memory_connection import MemoryConnection
from swarmnode.values.errors import PeerFault, Refused, Unavailable
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import LinkInfo, NetworkSettings

ECHO, OTHER = "/test/echo/1", "/test/other/1"


def pair(way: Any = None) -> tuple[HostBench, Node, Node]:
    bench = HostBench() if way is None else HostBench(way)
    a, b = bench.node(1), bench.node(2)
    b.echo(ECHO)
    return bench, a, b


def join(bench: HostBench, a: Node, b: Node) -> None:
    assert bench.result(a.host.connect(b.peer, [b.address]), 15) == b.peer
    bench.run(0.05)


def test_two_hosts_meet_and_both_watchers_are_told() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    assert a.witness.changes() == [("connected", b.peer)]
    assert b.witness.changes() == [("connected", a.peer)]
    assert (a.host.peers(), b.host.peers()) == ((b.peer,), (a.peer,))
    (link,) = a.host.links(b.peer)
    (back,) = b.host.links(a.peer)
    assert (link.inbound, back.inbound) == (False, True)
    assert link.remote == b.address
    assert link.handshake_hash == back.handshake_hash
    assert bench.result(a.host.connect(b.peer)) == b.peer


def test_whoever_answers_at_an_address() -> None:
    bench, a, b = pair()
    assert bench.result(a.host.connect(None, [b.address])) == b.peer
    with pytest.raises(Unavailable) as found:
        bench.result(a.host.connect(None, [tcp_address("10.0.0.99", 1)]))
    assert "/ip4/10.0.0.99/tcp/1: connection refused" in found.value.message


def test_an_address_that_names_its_peer_is_held_to_it() -> None:
    bench, a, b = pair()
    c = bench.node(3)
    with pytest.raises(Unavailable) as found:
        bench.result(a.host.connect(None, [b.address.with_peer(c.peer)]))
    assert b.peer in found.value.message
    assert a.host.peers() == b.host.peers() == ()


def test_addresses_known_of_a_peer_are_dialled() -> None:
    bench = HostBench()
    b = bench.node(2)
    a = bench.node(1, book={b.peer: (b.address,)})
    b.echo(ECHO)
    receiver = Recorder()
    stream = bench.result(a.host.open(b.peer, [ECHO], receiver))
    stream.write(b"hello")
    stream.end()
    bench.run(0.1)
    assert (receiver.data, receiver.has_ended, receiver.losses) == (b"hello", True, [None])
    (accepted,) = b.accepted
    assert (accepted.data, accepted.losses) == (b"hello", [None])
    assert accepted.stream is not None
    assert (accepted.stream.peer, accepted.stream.protocol) == (a.peer, ECHO)


def test_names_are_resolved_before_they_are_dialled() -> None:
    bench = HostBench()
    b = bench.node(2)
    asked: list[Any] = []

    def resolve(addresses: Any) -> Deferred[Any]:
        asked.append(addresses)
        return succeed([b.address])

    a = bench.node(1, resolve=resolve)
    name = Multiaddr.parse("/dns4/b.example/tcp/8810")
    assert bench.result(a.host.connect(None, [name])) == b.peer
    assert asked == [[name]]


def test_a_single_protocol_is_offered_without_waiting() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    results: list[Any] = []
    receiver = Recorder()
    a.host.open(b.peer, [OTHER], receiver).addCallback(results.append)
    assert results
    assert receiver.losses == []
    bench.run(0.1)
    assert [type(error) for error in receiver.losses] == [Refused]
    assert receiver.losses[0] is not None
    assert receiver.losses[0].code == "protocol_unsupported"


def test_the_first_common_protocol_is_agreed_on() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    stream = bench.result(a.host.open(b.peer, [OTHER, ECHO], Recorder()))
    assert stream.protocol == ECHO
    receiver = Recorder()
    with pytest.raises(Refused):
        bench.result(a.host.open(b.peer, [OTHER, OTHER + "x"], receiver))
    assert receiver.losses == []


def test_giving_up_before_the_connection_is_there() -> None:
    bench = HostBench(lambda source, target, size: 0.2)
    b = bench.node(2)
    a = bench.node(1, book={b.peer: (b.address,)})
    receiver = Recorder()
    opening = a.host.open(b.peer, [ECHO], receiver)
    failures: list[Any] = []
    opening.addErrback(failures.append)
    opening.cancel()
    assert failures[0].check(CancelledError)
    connecting = a.host.connect(b.peer, [b.address])
    connecting.addErrback(failures.append)
    bench.run(0.3)
    connecting.cancel()
    bench.run(5)
    assert len(failures) == 2
    assert a.host.peers() == b.host.peers() == ()
    assert receiver.losses == []


def test_giving_up_a_stream_that_is_being_agreed_on() -> None:
    bench, a, b = pair(lambda source, target, size: 0.2)
    join(bench, a, b)
    bench.run(1)
    receiver = Recorder()
    opening = a.host.open(b.peer, [OTHER, ECHO], receiver)
    opening.addErrback(lambda _: None)
    opening.cancel()
    bench.run(1)
    assert receiver.losses == []
    assert [len(each.losses) for each in b.accepted] == [1]


def test_a_receiver_that_raises_harms_only_its_stream() -> None:
    bench, a, b = pair()

    def broken(data: bytes) -> None:
        raise RuntimeError("a bug")

    def refuses(stream: Any) -> Any:
        raise ValueError("another bug")

    b.host.serve(OTHER, refuses)
    join(bench, a, b)
    receiver = Recorder()
    receiver.received = broken  # type: ignore[method-assign]
    stream = bench.result(a.host.open(b.peer, [ECHO], receiver))
    stream.write(b"x")
    refused = Recorder()
    bench.result(a.host.open(b.peer, [OTHER], refused))
    bench.run(0.1)
    assert len(receiver.losses) == len(refused.losses) == 1
    assert len(b.accepted[0].losses) == 1
    assert a.log.of("error") == ["a stream's taker failed"]
    assert b.log.of("error") == ["accepting a stream failed"]
    assert a.host.peers() == (b.peer,)


def test_a_watcher_that_raises_harms_nobody() -> None:
    bench, a, b = pair()

    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a bug")

    a.host.watch(Broken())  # type: ignore[arg-type]
    late = type(a.witness)()
    a.host.watch(late)
    join(bench, a, b)
    assert late.changes() == [("connected", b.peer)]
    assert "a watcher failed" in a.log.of("error")


def test_inbound_streams_of_a_peer_are_limited() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    receivers = [Recorder() for _ in range(MAX_INBOUND_STREAMS + 5)]
    streams = [bench.result(a.host.open(b.peer, [ECHO], receiver)) for receiver in receivers]
    bench.run(0.1)
    assert len(b.accepted) == MAX_INBOUND_STREAMS
    assert sum(len(each.losses) for each in receivers) == 5
    streams[0].reset()
    bench.run(0.1)
    bench.result(a.host.open(b.peer, [ECHO], Recorder()))
    bench.run(0.1)
    assert len(b.accepted) == MAX_INBOUND_STREAMS + 1


class Eager:
    """A connection whose peer has opened a stream before anybody attended to it."""

    def __init__(self, info: LinkInfo) -> None:
        self.info, self.opened = info, 0

    def attend(self, owner: Any) -> None:
        owner.stream_opened(self, SimpleNamespace(protocol=ECHO, peer=self.info.peer, link=self.info))

    def open(self, protocols: Any, receiver: Any, opened: Any) -> Any:
        self.opened += 1
        return SimpleNamespace(protocol=protocols[0])


def test_a_peer_is_told_before_its_first_stream() -> None:
    bench = HostBench()
    a = bench.node(1)
    told: list[str] = []
    eager = Eager(LinkInfo(1, "a peer", a.address, None, True, "test", 0.0))

    class Opener(Witness):
        def peer_connected(self, peer: str, link: LinkInfo) -> None:
            told.append("connected")
            a.host.open(peer, [OTHER], Recorder())

    a.host.watch(Opener())
    a.host.serve(ECHO, lambda stream: told.append("stream") or Recorder())
    bench.net.listening["10.0.0.1", 8810].accept(eager)  # type: ignore[arg-type]
    assert told == ["connected", "stream"]
    assert eager.opened == 1
    assert a.witness.changes() == [("connected", "a peer")]


def test_connections_at_the_gate_are_limited() -> None:
    bench = HostBench()
    held: list[Any] = []

    class Shut:
        def admit(self, connection: Any, settled: Any) -> Any:
            held.append(settled)
            return SimpleNamespace(verified=False, serves=tuple, cancel=lambda: None)

    a = bench.node(1, gate=Shut())  # type: ignore[arg-type]
    accept = bench.net.listening["10.0.0.1", 8810].accept
    for number in range(MAX_UNSECURED_PER_IP + 1):
        accept(MemoryConnection(bench.clock, LinkInfo(number, f"p{number}", a.address, None, True, "", 0.0),
                                first_stream=2))  # fmt: skip
    bench.run(0.1)
    assert len(held) == MAX_UNSECURED_PER_IP
    assert len(a.host._links) == MAX_UNSECURED_PER_IP
    held[0](PeerFault("not one of us", code="other_network"))
    held[1](None)
    bench.run(0.1)
    assert a.host.peers() == ("p1",)
    assert len(a.host._links) == MAX_UNSECURED_PER_IP - 1


def test_back_pressure_reaches_the_writer() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    receiver = Recorder()
    stream = bench.result(a.host.open(b.peer, [ECHO], receiver))
    bench.run(0.05)
    (accepted,) = b.accepted
    accepted.echo = False
    assert accepted.stream is not None
    accepted.stream.pause()
    stream.write(bytes(4 << 20))
    bench.run(1)
    assert len(accepted.data) < 1 << 20
    assert stream.waiting == (4 << 20) - len(accepted.data)
    assert receiver.drains == 0
    accepted.stream.resume()
    bench.run(1)
    assert (len(accepted.data), stream.waiting, receiver.drains) == (4 << 20, 0, 1)


def test_simultaneous_dials_end_in_one_connection() -> None:
    bench = HostBench(lambda source, target, size: 0.03)
    a, b = bench.node(1), bench.node(2)
    dials = [a.host.connect(b.peer, [b.address]), b.host.connect(a.peer, [a.address])]
    for dial in dials:
        bench.result(dial, 3)
    bench.run(SPARE_SECONDS + 2)
    assert len(a.host.links(b.peer)) == len(b.host.links(a.peer)) == 1
    for node, other in ((a, b), (b, a)):
        assert node.witness.changes() == [("connected", other.peer)]
    smaller = min((a, b), key=lambda node: node.peer)
    larger = b if smaller is a else a
    assert not smaller.host.links(larger.peer)[0].inbound


def test_round_trips_are_smoothed() -> None:
    bench, a, b = pair(lambda source, target, size: 0.02)
    join(bench, a, b)
    bench.run(30)
    assert a.host.rtt(b.peer) == pytest.approx(0.04, abs=0.011)
    bench.net.way = lambda source, target, size: 0.2
    bench.run(4)
    rtt = a.host.rtt(b.peer)
    assert rtt is not None
    assert 0.05 < rtt < 0.35
    assert a.host.rtt("nobody") is None


def test_a_dead_peer_is_quiet_and_then_gone() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    bench.run(5)
    b.carrier.crash(silently=True)
    bench.net.way = lambda source, target, size: None
    bench.run(7)
    assert ("quiet", b.peer) in a.witness.told
    assert a.host.peers() == (b.peer,)
    bench.run(7)
    assert a.witness.changes()[-1] == ("disconnected", b.peer, "peer_silent")
    assert a.host.peers() == ()


def test_a_killed_process_is_noticed_at_once() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    receiver = Recorder()
    bench.result(a.host.open(b.peer, [ECHO], receiver))
    b.carrier.crash(silently=False)
    bench.run(0.1)
    assert a.witness.changes()[-1] == ("disconnected", b.peer, "connection_lost")
    assert len(receiver.losses) == 1


def test_disconnecting_from_who_broke_the_rules() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    a.host.disconnect(b.peer, PeerFault("it lies", code="lie"))
    bench.run(0.1)
    assert a.witness.changes()[-1] == ("disconnected", b.peer, "lie")
    assert b.witness.changes()[-1][:2] == ("disconnected", a.peer)
    with pytest.raises(Unavailable) as found:
        bench.result(a.host.connect(b.peer, [b.address]))
    assert found.value.code == "peer_backoff"


def test_a_full_host_refuses() -> None:
    bench = HostBench()
    a = bench.node(1, NetworkSettings(max_peers=2))
    others = [bench.node(number) for number in (2, 3, 4)]
    for other in others:
        bench.result(other.host.connect(a.peer, [a.address]))
    bench.run(0.1)
    assert a.host.peers() == tuple(other.peer for other in others[:2])
    assert others[2].host.peers() == ()


def test_stopping_ends_everything_and_leaves_nobody_waiting() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    receiver = Recorder()
    bench.result(a.host.open(b.peer, [ECHO], receiver))
    failures: list[Any] = []
    waiting = a.host.connect(None, [tcp_address("10.0.0.77", 1)])
    waiting.addErrback(failures.append)
    bench.result(a.host.stop(), STOP_SECONDS)
    bench.run(0.1)
    assert failures[0].value.code == "stopping"
    assert len(receiver.losses) == 1
    assert a.witness.changes()[-1] == ("disconnected", b.peer, "stopping")
    assert b.host.peers() == ()
    with pytest.raises(Unavailable):
        bench.result(b.host.connect(a.peer, [a.address]))
    with pytest.raises(Unavailable):
        bench.result(a.host.connect(b.peer, [b.address]))
    bench.result(b.host.stop(), STOP_SECONDS)
    assert bench.clock.getDelayedCalls() == []


def test_a_connection_that_does_not_end_is_dropped() -> None:
    bench, a, b = pair()
    join(bench, a, b)
    (link,) = a.host._by_peer[b.peer]
    aborted: list[bool] = []
    link.connection.close = lambda error: None  # type: ignore[method-assign]
    link.connection.abort = lambda: aborted.append(True)  # type: ignore[method-assign]
    stopped: list[Any] = []
    a.host.stop().addCallback(stopped.append)
    bench.run(STOP_SECONDS * 0.9)
    assert stopped == []
    bench.run(STOP_SECONDS * 0.2)
    assert len(stopped) == len(aborted) == 1


def test_addresses_of_a_host_that_listens_on_all() -> None:
    bench = HostBench()
    a = bench.node(1)
    assert a.host.addresses() == (a.address,)
    failing = bench.node(1, start=False)
    with pytest.raises(Refused) as found:
        bench.result(failing.host.start())
    assert found.value.code == "port_in_use"
    assert failing.host.addresses() == ()


def test_a_host_does_not_dial_itself() -> None:
    bench = HostBench()
    a = bench.node(1)
    for peer, address in (
        (None, a.address),
        (None, tcp_address("127.0.0.1", 8810)),
        (a.peer, a.address),
        ("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", a.address),
    ):
        with pytest.raises(Refused) as found:
            bench.result(a.host.connect(peer, [address]))
        assert found.value.code == "self_dial"


def test_protocols_are_taken_once() -> None:
    bench, a, b = pair()
    assert b.host.served() == {ECHO}
    with pytest.raises(Refused):
        b.echo(ECHO)
    join(bench, a, b)
    b.host.unserve(ECHO)
    receiver = Recorder()
    bench.result(a.host.open(b.peer, [ECHO], receiver))
    bench.run(0.1)
    assert len(receiver.losses) == 1


def test_loss_and_partition_delay_but_break_nothing_that_heals() -> None:
    lost = {"count": 0}

    def lossy(source: str, target: str, size: int) -> float | None:
        lost["count"] += 1
        return None if lost["count"] % 3 == 0 else 0.01

    bench, a, b = pair(lossy)
    join(bench, a, b)
    receiver = Recorder()
    stream = bench.result(a.host.open(b.peer, [ECHO], receiver))
    sent = bytes(range(256)) * 4000
    stream.write(sent)
    bench.run(60)
    assert receiver.data == sent
    bench.net.way = lambda source, target, size: None
    stream.write(b"after")
    bench.run(2)
    bench.net.way = lossy
    bench.run(20)
    assert receiver.data == sent + b"after"
    assert len(a.witness.changes()) == 1
