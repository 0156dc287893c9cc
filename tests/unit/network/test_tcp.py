"""TCP on a reactor in memory, with a security that agrees at once or never."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import error as twisted_errors
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from swarmnode.interfaces.transport import ICarrier, IListening
from swarmnode.network.doorstep import MAX_UNSECURED, MAX_UNSECURED_PER_IP
from swarmnode.network.tcp import CONNECT_SECONDS, TcpCarrier, place_of
from swarmnode.values.errors import PeerFault, Unavailable
from swarmnode.values.multiaddr import Multiaddr, tcp_address

TARGET = tcp_address("192.168.1.5", 8810)


class Transport(StringTransport):
    """Knows the options of TCP."""

    protocol: Any = None

    def setTcpNoDelay(self, on: bool) -> None:
        self.no_delay = on

    def setTcpKeepAlive(self, on: bool) -> None:
        self.keeps_alive = on


class End(Protocol):
    """What `connect_protocol` makes."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        (self.initiator, _, _, _, self.expected, self.remote, self.local, self.name) = arguments
        self.cancelled: list[bool] = []
        self.secured: Deferred[Any] = Deferred(lambda _: self.cancelled.append(True))
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Port:
    """A `ReservedPort` without a socket."""

    address, port = "0.0.0.0", 8810  # noqa: S104 - a name for all addresses

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.factory: Any = None
        self.closed = False

    def serve(self, reactor: Any, factory: Any) -> None:
        self.factory = factory

    def close(self) -> None:
        self.closed = True


class Bench:
    def __init__(self) -> None:
        self.reactor, self.port, self.ends = MemoryReactorClock(), Port(), []
        self.carrier = TcpCarrier(object(), self.reactor, bytes, self.port, self.secure)  # type: ignore[arg-type]

    def secure(self, *arguments: Any) -> tuple[End, Deferred[Any]]:
        self.ends.append(End(arguments))
        return self.ends[-1], self.ends[-1].secured

    def dial(self, peer: str | None = None) -> tuple[list[Any], Deferred[Any]]:
        results: list[Any] = []
        dialling = self.carrier.dial(TARGET, peer)
        dialling.addBoth(results.append)
        return results, dialling

    def connect(self) -> Transport:
        """The system says that the connection is open."""
        host, port, factory, timeout, _ = self.reactor.tcpClients[-1]
        assert (host, port, timeout) == ("192.168.1.5", 8810, CONNECT_SECONDS)
        return self.open(factory.buildProtocol(IPv4Address("TCP", host, port)), ("192.168.1.9", 40000))

    def open(self, protocol: Any, local: tuple[str, int]) -> Transport:
        transport = Transport(hostAddress=IPv4Address("TCP", *local))
        protocol.makeConnection(transport)
        return transport

    def listen(self) -> tuple[list[Any], Any]:
        accepted: list[Any] = []
        results: list[Any] = []
        self.carrier.listen(tcp_address("0.0.0.0", 8810), accepted.append).addCallback(results.append)
        return accepted, results[0]


def test_dialling_ends_in_a_secured_connection() -> None:
    bench = Bench()
    results, _ = bench.dial("a peer")
    transport = bench.connect()
    (end,) = bench.ends
    assert transport.protocol is end
    assert end.transport is transport
    assert (transport.no_delay, transport.keeps_alive) == (True, True)
    assert (end.initiator, end.expected, end.name) == (True, "a peer", "tcp")
    assert (end.remote, end.local) == (TARGET, tcp_address("192.168.1.9", 40000))
    assert results == []
    end.secured.callback("the connection")
    assert results == ["the connection"]


def test_a_peer_that_proves_nothing_is_an_error() -> None:
    bench = Bench()
    results, _ = bench.dial()
    bench.connect()
    bench.ends[0].secured.errback(PeerFault("it lies", code="bad_signature"))
    assert results[0].value.code == "bad_signature"


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (twisted_errors.ConnectionRefusedError(), "connection_refused"),
        (twisted_errors.TimeoutError(), "dial_timeout"),
        (twisted_errors.NoRouteError(), "no_route"),
        (twisted_errors.ConnectError(99, "odd"), "connect_failed"),
        (RuntimeError("a bug"), "internal_error"),
    ],
)
def test_what_the_system_says_is_told_in_words(cause: Exception, code: str) -> None:
    bench = Bench()
    results, _ = bench.dial()
    factory = bench.reactor.tcpClients[-1][2]
    factory.clientConnectionFailed(bench.reactor.connectors[-1], Failure(cause))
    assert results[0].value.code == code
    assert results[0].value.message


def test_giving_up_before_and_after_the_connection_is_open() -> None:
    bench = Bench()
    results, dialling = bench.dial()
    dialling.cancel()
    assert results[0].check(CancelledError)
    assert bench.reactor.connectors[-1].stoppedConnecting or bench.reactor.connectors[-1]._disconnected
    assert bench.reactor.tcpClients[-1][2].buildProtocol(None) is None
    results, dialling = bench.dial()
    bench.connect()
    dialling.cancel()
    assert bench.ends[0].cancelled == [True]
    assert results[0].check(CancelledError)


def test_what_comes_in_is_accepted_when_it_is_secured() -> None:
    bench = Bench()
    accepted, listening = bench.listen()
    assert verifyObject(ICarrier, bench.carrier)
    assert verifyObject(IListening, listening)
    assert listening.address == tcp_address("0.0.0.0", 8810)
    caller = IPv4Address("TCP", "203.0.113.7", 5555)
    bench.open(bench.port.factory.buildProtocol(caller), ("192.168.1.5", 8810))
    (end,) = bench.ends
    assert (end.initiator, end.expected) == (False, None)
    assert (end.remote, end.local) == (tcp_address("203.0.113.7", 5555), tcp_address("192.168.1.5", 8810))
    assert accepted == []
    end.secured.callback("the connection")
    assert accepted == ["the connection"]
    listening.stop()
    assert bench.port.closed


def test_strangers_at_the_door_are_limited() -> None:
    bench = Bench()
    bench.listen()

    def call(ip: str) -> bool:
        protocol = bench.port.factory.buildProtocol(IPv4Address("TCP", ip, 5555))
        if protocol is not None:
            bench.open(protocol, ("192.168.1.5", 8810))
        return protocol is not None

    assert [call("203.0.113.7") for _ in range(MAX_UNSECURED_PER_IP + 1)] == [True] * MAX_UNSECURED_PER_IP + [
        False
    ]
    bench.ends[0].secured.errback(Unavailable("too slow", code="slow"))
    bench.ends[1].secured.callback("the connection")
    assert [call("203.0.113.7") for _ in range(3)] == [True, True, False]
    others = [call(f"203.0.113.{number}") for number in range(100, 200)]
    assert others.count(True) == MAX_UNSECURED - MAX_UNSECURED_PER_IP


def test_a_port_that_was_reserved_can_be_given_back() -> None:
    bench = Bench()
    bench.carrier.release()
    bench.carrier.release()
    assert bench.port.closed


def test_places() -> None:
    assert place_of(IPv4Address("TCP", "1.2.3.4", 5)) == tcp_address("1.2.3.4", 5)
    assert place_of(IPv6Address("TCP", "fe80::1%eth0", 5)) == tcp_address("fe80::1", 5)
    assert place_of(IPv6Address("TCP", "::ffff:1.2.3.4", 5)) == tcp_address("1.2.3.4", 5)
    assert place_of(UNIXAddress(b"/x")) is None


def test_what_tcp_dials() -> None:
    carrier = Bench().carrier
    for text, yes in {
        "/ip4/1.2.3.4/tcp/1": True,
        "/ip6/::1/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA": True,
        "/ip4/1.2.3.4/tcp/1/ws": False,
        "/ip4/1.2.3.4/udp/1": False,
        "/dns4/host/tcp/1": False,
    }.items():
        assert carrier.dials(Multiaddr.parse(text)) is yes
