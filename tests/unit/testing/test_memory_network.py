"""What a simulated network does to what is sent, and TCP over it."""

from __future__ import annotations

import random
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.protocol import ClientFactory, Factory, Protocol

from swarmnode.testing.memory_network import TCP_HEADER_BYTES, LinkConditions, MemoryNetwork
from swarmnode.testing.memory_tcp import WINDOW, MemoryPort, MemoryReactor
from swarmnode.testing.sim_clock import ProcessClock, SimClock

HERE, THERE = "10.1.0.1", "10.2.0.1"


def network(**conditions: float) -> MemoryNetwork:
    return MemoryNetwork(SimClock(), random.Random(1), LinkConditions(**conditions))


def test_delay_jitter_and_loss() -> None:
    net = network(delay=0.1, jitter=0.2, loss=0.25)
    drawn = [net.way(HERE, THERE, 100) for _ in range(4000)]
    came = [delay for delay in drawn if delay is not None]
    assert 0.70 < len(came) / len(drawn) < 0.80
    assert 0.1 <= min(came) < 0.11 and 0.29 < max(came) <= 0.3
    assert mean(came) == pytest.approx(0.2, abs=0.01)
    assert net.machine(THERE).bytes_in == len(came) * (100 + TCP_HEADER_BYTES)


def test_bandwidth_is_shared_by_all_that_a_machine_sends() -> None:
    net = network(delay=0.0)
    net.machine(HERE, bandwidth=1000.0)
    delays = [net.way(HERE, place, 960) for place in (THERE, "10.3.0.1", THERE)]
    assert delays == pytest.approx([1.0, 2.0, 3.0])
    net.clock.advance(10)  # type: ignore[attr-defined]
    assert net.way(HERE, THERE, 960) == pytest.approx(1.0)


def test_partitions_and_what_is_different_between_two() -> None:
    net = network(delay=0.1)
    net.link(HERE, THERE, LinkConditions(delay=0.5))
    assert net.way(THERE, HERE, 1) == 0.5 and net.way(HERE, "10.3.0.1", 1) == 0.1
    net.partition([HERE], [THERE])
    assert net.way(HERE, THERE, 1) is None and net.way(HERE, "10.3.0.1", 1) is None
    assert net.way("10.3.0.1", "10.4.0.1", 1) == 0.1
    net.heal()
    assert net.way(HERE, THERE, 1) == 0.5


def test_multicast_reaches_its_lan_twice_or_never_and_in_another_order() -> None:
    net = network(delay=0.01, jitter=0.5, loss=0.2, duplicates=0.2)
    got: dict[str, list[bytes]] = {}
    sockets = {}
    for ip, lan in ((HERE, "home"), (THERE, "home"), ("10.3.0.1", "away")):
        net.machine(ip, lan=lan)
        got[ip] = []
        sockets[ip] = net.multicast(ip, net.clock)
        sockets[ip].start(got[ip].append)
    sent = [b"%d" % number for number in range(200)]
    for packet in sent:
        sockets[HERE].send(packet)
    net.clock.advance(1)  # type: ignore[attr-defined]
    assert got["10.3.0.1"] == []
    assert 120 < len(set(got[THERE])) < 200 and len(got[THERE]) > len(set(got[THERE]))
    assert got[THERE] != sorted(got[THERE], key=sent.index)
    sockets[THERE].stop()
    before = len(got[THERE])
    sockets[HERE].send(b"more")
    net.clock.advance(1)  # type: ignore[attr-defined]
    assert len(got[THERE]) == before


def test_the_trace_is_of_all_that_happens() -> None:
    one, same, other = (network(delay=0.1, jitter=0.1) for _ in range(3))
    for net in (one, same, other):
        net.way(HERE, THERE, 10)
    assert one.trace.digest() == same.trace.digest()
    other.way(HERE, THERE, 10)
    assert one.trace.digest() != other.trace.digest()


# TCP.


class Talker(Protocol):
    """Remembers what comes and how it ends."""

    transport: Any = None

    def __init__(self) -> None:
        self.data, self.end, self.pauses = bytearray(), None, []  # type: ignore[var-annotated]

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        assert self.end is None
        self.end = reason.type

    def pauseProducing(self) -> None:
        self.pauses.append(True)

    def resumeProducing(self) -> None:
        self.pauses.append(False)


class Wire:
    """A client and a server, connected when the bench has run."""

    def __init__(self, *, listens: bool = True, **conditions: float) -> None:
        self.net = network(**conditions)
        self.clock: SimClock = self.net.clock  # type: ignore[assignment]
        self.server, self.client = Talker(), Talker()
        self.process: ProcessClock = self.clock.process()
        self.net.machine(THERE).process = self.process
        self.there = MemoryReactor(self.net, THERE, self.process)
        self.port = MemoryPort(self.there, 1)
        if listens:
            self.port.serve(None, Factory.forProtocol(lambda: self.server))
        factory: Any = ClientFactory.forProtocol(lambda: self.client)
        self.failure: Any = None
        factory.clientConnectionFailed = self._failed
        self.connecting = MemoryReactor(self.net, HERE, self.clock).connectTCP(THERE, 1, factory, 10.0)

    def _failed(self, connector: Any, reason: Any) -> None:
        self.failure = reason.type


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=200_000), max_size=10), st.integers(0, 1000))
def test_bytes_come_in_order_and_all_of_them(chunks: list[bytes], seed: int) -> None:
    wire = Wire(delay=0.02, jitter=0.05, loss=0.1)
    wire.net.rng.seed(seed)
    wire.clock.advance(5)
    for chunk in chunks:
        wire.client.transport.write(chunk)
        wire.clock.advance(0.05)
    wire.client.transport.loseConnection()
    wire.clock.advance(120)
    assert bytes(wire.server.data) == b"".join(chunks)
    assert wire.server.end is wire.client.end is error.ConnectionDone


def test_nobody_listens_and_nobody_answers() -> None:
    refused = Wire(listens=False, delay=0.1)
    refused.clock.advance(1)
    assert refused.failure is error.ConnectionRefusedError
    silent = Wire(delay=0.1, loss=1.0)
    silent.clock.advance(9.9)
    assert silent.failure is None
    silent.clock.advance(0.2)
    assert silent.failure is error.TimeoutError
    given_up = Wire(delay=0.1, loss=1.0)
    given_up.connecting.disconnect()
    assert given_up.failure is error.UserError


def test_a_reader_that_hangs_stops_the_writer_and_then_reads_on() -> None:
    wire = Wire(delay=0.01)
    wire.clock.advance(1)
    wire.client.transport.registerProducer(wire.client, True)
    wire.process.pause()
    data = random.Random(1).randbytes(3 * WINDOW)
    wire.client.transport.write(data)
    wire.clock.advance(5)
    assert wire.client.pauses == [True] and wire.server.data == b""
    assert wire.net.machine(THERE).bytes_in < WINDOW + 200_000
    wire.process.resume()
    wire.clock.advance(5)
    assert wire.client.pauses == [True, False] and wire.server.data == data


def test_a_reader_that_pauses_reads_on_when_it_resumes() -> None:
    wire = Wire(delay=0.01)
    wire.clock.advance(1)
    wire.server.transport.pauseProducing()
    wire.client.transport.writeSequence([b"one", b"two"])
    wire.clock.advance(1)
    assert wire.server.data == b""
    wire.server.transport.resumeProducing()
    wire.clock.advance(0)
    assert wire.server.data == b"onetwo"


@pytest.mark.parametrize("silently", [False, True])
def test_a_crash_breaks_connections_or_is_silent(silently: bool) -> None:
    wire = Wire(delay=0.01)
    wire.clock.advance(1)
    wire.process.kill()
    wire.there.crash(silently=silently)
    wire.clock.advance(1)
    assert wire.server.end is None
    assert wire.client.end is (None if silently else error.ConnectionLost)
    assert wire.net.ports == {}


def test_an_aborted_connection_ends_at_both_ends() -> None:
    wire = Wire(delay=0.01)
    wire.clock.advance(1)
    wire.server.transport.abortConnection()
    wire.clock.advance(1)
    assert (wire.server.end, wire.client.end) == (error.ConnectionAborted, error.ConnectionLost)
