"""TCP in memory, for the real TCP carrier: the real Noise and yamux machines run over it, byte for byte.

carrier = TcpCarrier(identity, MemoryReactor(network, ip, clock), entropy, MemoryPort(network, ip, 8810))
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from twisted.internet import error as twisted_errors
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.testing.memory_network import MemoryNetwork
from swarmnode.testing.memory_pipe import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, Pipe

#: Bytes that are on their way or unread on one side of a connection, as systems buffer them.
WINDOW = 1 << 20
#: Bytes waiting above which the writer is asked to pause, as in Twisted.
HIGH_WATER = 64 * 1024
SEGMENT = 64 * 1024
#: Connections that wait for a node that does not accept them.
BACKLOG = 512


class MemoryReactor:
    """The part of the reactor that the TCP carrier uses, on one machine."""

    def __init__(self, network: MemoryNetwork, ip: str, clock: Clock) -> None:
        self.network, self.ip, self.clock = network, ip, clock
        self.transports: dict[MemoryTransport, None] = {}

    def seconds(self) -> float:
        return self.clock.seconds()

    def callLater(self, delay: float, function: Any, *arguments: Any) -> DelayedCall:
        return self.clock.callLater(delay, function, *arguments)

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30.0) -> Connecting:
        """As `IReactorTCP`; host must be an IP address."""
        connecting = Connecting(self, (host, port), factory, timeout)
        connecting.knock()
        return connecting

    def crash(self, *, silently: bool) -> None:
        """The node is gone; the other ends hear of it unless the machine went too."""
        for place in [place for place, port in self.network.ports.items() if port.reactor is self]:
            del self.network.ports[place]
        transports, self.transports = self.transports, {}
        for transport in transports:
            transport.vanish(silently=silently)


class MemoryPort:
    """A port for the carrier to listen on, in place of a `network.listening.ReservedPort`."""

    def __init__(self, reactor: MemoryReactor, port: int) -> None:
        self.reactor, self.address, self.port = reactor, reactor.ip, port
        self.factory: Any = None
        self.waiting = 0
        self.ended: Deferred[None] = Deferred()

    def serve(self, reactor: Any, factory: Any) -> None:
        """Begin to accept connections."""
        self.factory = factory
        self.reactor.network.ports[self.address, self.port] = self

    def close(self) -> Deferred[None]:
        """Listen no more."""
        self.reactor.network.ports.pop((self.address, self.port), None)
        return succeed(None)


class Connecting:
    """An attempt to connect: one round trip, tried again while it is lost."""

    def __init__(self, reactor: MemoryReactor, place: tuple[str, int], factory: Any, timeout: float) -> None:
        self._reactor, self._factory, self._ip, self._port = reactor, factory, *place
        self._until = reactor.seconds() + timeout
        self._call: DelayedCall | None = None
        self._retry = FIRST_RETRY_SECONDS
        self._transport: MemoryTransport | None = None

    def knock(self) -> None:
        """Ask, and be answered by the system there."""
        way = self._reactor.network.way
        there = way(self._reactor.ip, self._ip, 0)
        back = None if there is None else self._answer()
        if there is not None and back is not None:
            self._later(there + back, self._arrived)
        else:
            wait, self._retry = self._retry, min(self._retry * 2, LONGEST_RETRY_SECONDS)
            self._later(wait, self.knock)

    def disconnect(self) -> None:
        """Give up."""
        if self._transport is not None:
            self._transport.abortConnection()
        elif self._call is not None and self._call.active():
            self._call.cancel()
            self._fail(twisted_errors.UserError())

    def _answer(self) -> float | None:
        # The system answers even while its node hangs: as long as the way there takes, then.
        network = self._reactor.network
        machine = network.machine(self._ip)
        return network.conditions.delay if machine.hangs else network.way(self._ip, self._reactor.ip, 0)

    def _later(self, delay: float, function: Any) -> None:
        left = self._until - self._reactor.seconds()
        if delay >= left:
            self._call = self._reactor.callLater(max(0.0, left), self._fail, twisted_errors.TimeoutError())
        else:
            self._call = self._reactor.callLater(delay, function)

    def _arrived(self) -> None:
        port = self._reactor.network.ports.get((self._ip, self._port))
        if port is None or port.waiting >= BACKLOG:
            self._fail(twisted_errors.ConnectionRefusedError())
            return
        own = self._reactor.network.port()
        here = IPv4Address("TCP", self._reactor.ip, own)
        there = IPv4Address("TCP", self._ip, self._port)
        ours = MemoryTransport(self._reactor, here, there)
        theirs = MemoryTransport(port.reactor, there, here)
        ours.join(theirs)
        theirs.join(ours)
        self._transport = ours
        port.waiting += 1
        port.reactor.callLater(0.0, _accept, port, theirs)
        protocol = self._factory.buildProtocol(there)
        if protocol is None:
            ours.abortConnection()
        else:
            ours.begin(protocol)

    def _fail(self, error: Exception) -> None:
        self._factory.clientConnectionFailed(self, Failure(error))


def _accept(port: MemoryPort, transport: MemoryTransport) -> None:
    """The node takes a connection that the system has taken before."""
    port.waiting -= 1
    is_open = port.reactor.network.ports.get((port.address, port.port)) is port
    protocol = port.factory.buildProtocol(transport.getPeer()) if is_open else None
    if protocol is None:
        transport.abortConnection()
    else:
        transport.begin(protocol)


class MemoryTransport:
    """One end of a connection: `ITCPTransport` and `IConsumer`, as far as they are used."""

    def __init__(self, reactor: MemoryReactor, here: IPv4Address, there: IPv4Address) -> None:
        self._reactor, self._here, self._there = reactor, here, there
        self.protocol: Any = None
        self._other: MemoryTransport | None = None
        self._pipe: Pipe | None = None
        self._out: deque[bytes] = deque()
        self._waiting = self._flying = 0
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._producer: Any = None
        self._is_producer_paused = self._is_paused = self._is_closing = self._is_over = False
        reactor.transports[self] = None

    def join(self, other: MemoryTransport) -> None:
        """Who is at the other end."""
        network, source, target = self._reactor.network, self._here.host, self._there.host
        self._other = other
        self._pipe = Pipe(other._reactor.clock, lambda size: network.way(source, target, size), other.deliver)

    def begin(self, protocol: Any) -> None:
        """The protocol that takes what comes."""
        self.protocol = protocol
        protocol.makeConnection(self)
        self._read()

    # ITCPTransport

    def getHost(self) -> IPv4Address:
        return self._here

    def getPeer(self) -> IPv4Address:
        return self._there

    def setTcpNoDelay(self, enabled: bool) -> None:
        """It always is."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing is kept alive but by who uses it."""

    def write(self, data: bytes) -> None:
        if self._is_over or self._is_closing or not data:
            return
        for start in range(0, len(data), SEGMENT):
            self._out.append(bytes(data[start : start + SEGMENT]))
        self._waiting += len(data)
        self._send()
        if self._waiting > HIGH_WATER and self._producer is not None and not self._is_producer_paused:
            self._is_producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, chunks: Iterable[bytes]) -> None:
        self.write(b"".join(chunks))

    def loseConnection(self) -> None:
        """End it when all is written."""
        self._is_closing = True
        self._finish_if_written()

    def abortConnection(self) -> None:
        """End it now."""
        if not self._is_over:
            self._tell("reset")
            self._lose(twisted_errors.ConnectionAborted())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._reactor.callLater(0.0, self._read)

    # From the other end.

    def deliver(self, segment: tuple[str, bytes]) -> None:
        """Something arrived."""
        if not self._is_over:
            self._inbox.append(segment)
            self._read()

    def read(self, size: int) -> None:
        """The other end has read so much of what was sent from here."""
        self._flying -= size
        self._send()
        if self._waiting == 0 and self._is_producer_paused and self._producer is not None:
            self._is_producer_paused = False
            self._producer.resumeProducing()
        self._finish_if_written()

    def vanish(self, *, silently: bool) -> None:
        """Its node was killed, or its whole machine."""
        if not self._is_over:
            if not silently:
                self._tell("reset")
            self._is_over = True
            if silently and self._pipe is not None:
                self._pipe.stop()

    def _read(self) -> None:
        while self._inbox and self.protocol is not None and not (self._is_paused or self._is_over):
            kind, data = self._inbox.popleft()
            if kind == "data":
                assert self._other is not None
                self._other.soon_read(len(data))
                self.protocol.dataReceived(data)
            elif kind == "end":
                self._lose(twisted_errors.ConnectionDone())
            else:
                self._lose(twisted_errors.ConnectionLost())

    def soon_read(self, size: int) -> None:
        """`read`, in this end's own time; only where somebody waits for it does it cost a call."""
        if self._out or self._is_closing:
            self._reactor.callLater(0.0, self.read, size)
        else:
            self._flying -= size

    def _send(self) -> None:
        while self._out and self._flying < WINDOW and not self._is_over:
            chunk = self._out.popleft()
            self._waiting -= len(chunk)
            self._flying += len(chunk)
            self._tell("data", chunk)

    def _tell(self, kind: str, data: bytes = b"") -> None:
        if self._pipe is not None:
            self._pipe.send((kind, data), len(data))

    def _finish_if_written(self) -> None:
        if self._is_closing and not self._out and not self._is_over:
            self._tell("end")
            self._lose(twisted_errors.ConnectionDone())

    def _lose(self, error: Exception) -> None:
        self._is_over = True
        self._out.clear()
        self._inbox.clear()
        self._reactor.transports.pop(self, None)
        # Never inside a call of the protocol's.
        self._reactor.callLater(0.0, self._lost, error)

    def _lost(self, error: Exception) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(error))
