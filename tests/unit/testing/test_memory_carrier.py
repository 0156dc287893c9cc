"""The network in memory keeps what a real one keeps, and breaks what a real one breaks."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from swarmnode.interfaces.transport import ICarrier, IListening
from swarmnode.testing.host_bench import HostBench, Recorder
from swarmnode.testing.memory_carrier import DIAL_SECONDS, MemoryCarrier, MemoryNet
from swarmnode.testing.memory_pipe import Pipe
from swarmnode.values.errors import PeerFault, Refused, Unavailable
from swarmnode.values.multiaddr import tcp_address

ECHO = "/test/echo/1"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_a_pipe_delivers_all_in_order_whatever_is_lost(seed: int, pauses: list[float]) -> None:
    clock, chance = Clock(), random.Random(seed)
    arrived: list[tuple[int, float]] = []
    sent: list[float] = []

    def condition(size: int) -> float | None:
        return None if chance.random() < 0.3 else chance.choice((0.0, 0.01, 0.2))

    pipe = Pipe(clock, condition, lambda segment: arrived.append((segment, clock.seconds())))
    for number, pause in enumerate(pauses):
        pipe.send(number, 1)
        sent.append(clock.seconds())
        clock.pump([pause / 10] * 10)
    clock.pump([0.05] * 4000)
    assert [segment for segment, _ in arrived] == list(range(len(pauses)))
    assert all(when >= sent[segment] for segment, when in arrived)
    assert clock.getDelayedCalls() == []


def test_a_pipe_that_is_stopped_delivers_nothing() -> None:
    clock, arrived = Clock(), []
    pipe = Pipe(clock, lambda size: 1.0, arrived.append)
    pipe.send(1, 1)
    pipe.stop()
    pipe.send(2, 1)
    clock.advance(5)
    assert arrived == []
    assert clock.getDelayedCalls() == []


def test_delay_is_that_of_the_way_and_bytes_do_not_wait_for_each_other() -> None:
    clock, arrived = Clock(), []
    pipe = Pipe(clock, lambda size: 0.5, lambda segment: arrived.append((segment, clock.seconds())))
    for number in range(3):
        pipe.send(number, 1)
        clock.advance(0.25)
    clock.pump([0.25] * 4)
    assert arrived == [(0, 0.5), (1, 0.75), (2, 1.0)]


def dial(bench: HostBench, number: int, peer: str | None = None, *, port: int = 8810) -> Any:
    carrier = bench.node(90, start=False).carrier
    return bench.result(carrier.dial(tcp_address(f"10.0.0.{number}", port), peer), DIAL_SECONDS + 1)


def test_carriers_are_what_they_say() -> None:
    net = MemoryNet(Clock())
    carrier = MemoryCarrier(net, "peer", "10.0.0.1")
    found: list[Any] = []
    carrier.listen(tcp_address("0.0.0.0", 0), lambda connection: None).addCallback(found.append)
    assert verifyObject(ICarrier, carrier)
    assert verifyObject(IListening, found[0])
    assert found[0].address.port
    found[0].stop()
    assert net.listening == {}


def test_dialling_fails_as_it_does_elsewhere() -> None:
    bench = HostBench()
    there = bench.node(1)
    with pytest.raises(Unavailable, match="connection refused"):
        dial(bench, 1, port=1)
    with pytest.raises(Unavailable, match="connection refused"):
        dial(bench, 2)
    with pytest.raises(PeerFault) as wrong:
        dial(bench, 1, "somebody else")
    assert wrong.value.code == "wrong_peer"
    with pytest.raises(Refused) as itself:
        bench.result(there.carrier.dial(tcp_address("127.0.0.1", 8810), None))
    assert itself.value.code == "self_dial"
    bench.net.way = lambda source, target, size: None
    start = bench.clock.seconds()
    with pytest.raises(Unavailable, match="no answer within 10 s"):
        dial(bench, 1)
    assert bench.clock.seconds() - start == pytest.approx(DIAL_SECONDS, abs=0.1)


def test_a_connection_takes_two_round_trips() -> None:
    bench = HostBench(lambda source, target, size: 0.05)
    bench.node(1)
    start = bench.clock.seconds()
    dial(bench, 1)
    assert bench.clock.seconds() - start == pytest.approx(0.2, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300_000)), max_size=12),
)
def test_streams_carry_all_bytes_each_in_its_order(seed: int, writes: list[tuple[int, int]]) -> None:
    chance = random.Random(seed)
    bench = HostBench(lambda source, target, size: chance.choice((None, 0.0, 0.01, 0.05)))
    a, b = bench.node(1), bench.node(2)
    b.echo(ECHO)
    bench.result(a.host.connect(b.peer, [b.address]), 30)
    receivers = [Recorder() for _ in range(4)]
    streams = [bench.result(a.host.open(b.peer, [ECHO], receiver)) for receiver in receivers]
    sent = [bytearray() for _ in range(4)]
    for which, size in writes:
        data = chance.randbytes(size)
        sent[which] += data
        streams[which].write(data)
    for stream in streams:
        stream.end()
    for _ in range(100):
        if all(receiver.losses for receiver in receivers):
            break
        bench.run(2, 0.05)
    for receiver, data in zip(receivers, sent, strict=True):
        assert receiver.data == data
        assert receiver.losses == [None]
        assert receiver.has_ended


def test_ports_begin_again_where_there_are_no_more() -> None:
    net = MemoryNet(Clock())
    ports = [net.port() for _ in range(60_000)]
    assert max(ports) < 65_536 and len(set(ports)) > 20_000
