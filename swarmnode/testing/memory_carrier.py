"""A network in memory: nodes with IP addresses, and between them delay, loss and partitions by a hook.

Everything happens on one clock, so a test or a simulation with the same clock and the same hook runs the same
way. Connections keep what TCP, Noise and yamux promise to the host (`interfaces.host.Connection`), without
doing their work: bytes in order, proven peers, streams with windows, keep-alive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Connection
from swarmnode.interfaces.transport import ICarrier, IListening
from swarmnode.testing.memory_connection import MemoryConnection
from swarmnode.testing.memory_pipe import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, Pipe
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import LinkInfo

#: As a TCP carrier gives up.
DIAL_SECONDS = 10.0
#: Bytes of one message of the handshake, about.
HANDSHAKE_BYTES = 200
FIRST_PORT, LAST_PORT = 32_768, 60_999

#: (from, to, bytes) -> seconds that they take, or None: they are lost. `from` and `to` are IP addresses.
Way = Callable[[str, str, int], float | None]


def direct(source: str, target: str, size: int) -> float | None:
    """A way that takes no time and loses nothing."""
    return 0.0


class MemoryNet:
    """The network. way: what happens to bytes; may be set anew at any time."""

    def __init__(self, clock: Clock, way: Way = direct) -> None:
        self.clock, self.way = clock, way
        self.listening: dict[tuple[str, int], MemoryListening] = {}
        self._numbers = 0
        self._ports = FIRST_PORT

    def number(self) -> int:
        """The next number of a connection."""
        self._numbers += 1
        return self._numbers

    def port(self) -> int:
        """The port of one end of a new connection; they begin again when they are used up."""
        self._ports = FIRST_PORT if self._ports >= LAST_PORT else self._ports + 1
        return self._ports


@implementer(IListening)
class MemoryListening:
    """A carrier listens there."""

    ended = None

    def __init__(
        self, net: MemoryNet, carrier: MemoryCarrier, address: Multiaddr, accept: Callable[[Connection], None]
    ) -> None:
        self._net, self.carrier, self.address, self.accept = net, carrier, address, accept
        self._place = (carrier.ip, address.port or 0)
        net.listening[self._place] = self

    def stop(self) -> Deferred[None]:
        self._net.listening.pop(self._place, None)
        return succeed(None)


@implementer(ICarrier)
class MemoryCarrier:
    """One node's way into the network. ip: its address; it answers at loopback addresses too. clock: the
    node's own, when it can be stopped by itself; the network's otherwise."""

    def __init__(self, net: MemoryNet, peer: str, ip: str, clock: Clock | None = None) -> None:
        self.net, self.peer, self.ip = net, peer, ip
        self.clock = net.clock if clock is None else clock
        self._ends: dict[int, MemoryConnection] = {}

    def dials(self, address: Multiaddr) -> bool:
        return address.transport in (("ip4", "tcp"), ("ip6", "tcp"))

    def dial(self, address: Multiaddr, peer: str | None) -> Deferred[Any]:
        dial = _Dial(self, address.without_peer(), peer)
        dial.step()
        return dial.deferred

    def listen(self, address: Multiaddr, accept: Callable[[Connection], None]) -> Deferred[Any]:
        port = address.port or self.net.port()
        if (self.ip, port) in self.net.listening:
            raise Refused(f"Port {port} is taken", code="port_in_use")
        place = Multiaddr((address.parts[0], ("tcp", str(port))))
        return succeed(MemoryListening(self.net, self, place, accept))

    def crash(self, *, silently: bool) -> None:
        """The node is killed: its connections vanish. silently: its machine, or the cable, went with it."""
        for place in [place for place in self.net.listening if place[0] == self.ip]:
            del self.net.listening[place]
        ends, self._ends = self._ends, {}
        for end in ends.values():
            end.vanish(silently=silently)

    def join(self, remote: Multiaddr, listening: MemoryListening, local: Multiaddr) -> MemoryConnection:
        """Both ends of a new connection, of which this is the dialling one."""
        net, other = self.net, listening.carrier
        number, target = net.number(), net.number()
        since = net.clock.seconds()
        secret = hashlib.sha256(f"{number} {self.peer} {other.peer}".encode()).digest()
        ours = MemoryConnection(
            self.clock,
            LinkInfo(number, other.peer, remote, local, False, "memory", since, secret),
            first_stream=1,
        )
        theirs = MemoryConnection(
            other.clock,
            LinkInfo(target, self.peer, local, remote, True, "memory", since, secret),
            first_stream=2,
        )
        # What arrives waits as long as whoever it is for does nothing.
        ours.pipe = Pipe(other.clock, lambda size: net.way(self.ip, other.ip, size), theirs.deliver)
        theirs.pipe = Pipe(self.clock, lambda size: net.way(other.ip, self.ip, size), ours.deliver)
        self.keep(ours)
        theirs.arrived = lambda: other.take(theirs, listening)
        ours.send("secured", 0, None, HANDSHAKE_BYTES)
        return ours

    def take(self, end: MemoryConnection, listening: MemoryListening) -> None:
        """The other side has finished the handshake."""
        if self.net.listening.get((self.ip, listening.address.port or 0)) is not listening:
            end.abort()
            return
        self.keep(end)
        listening.accept(end)

    def keep(self, end: MemoryConnection) -> None:
        """Remember it, for the case of a crash."""
        self._ends = {number: each for number, each in self._ends.items() if not each.over}
        self._ends[end.info.number] = end


class _Dial:
    """A connection that comes about: two round trips, for TCP and for Noise."""

    def __init__(self, carrier: MemoryCarrier, address: Multiaddr, peer: str | None) -> None:
        self._carrier, self._address, self._peer = carrier, address, peer
        ip = address.ip
        self._ip = carrier.ip if ip is not None and ip.is_loopback else str(ip)
        self._net = carrier.net
        self._clock = carrier.clock
        self._until = self._clock.seconds() + DIAL_SECONDS
        self._retry = FIRST_RETRY_SECONDS
        self._call: Any = None
        self.deferred: Deferred[Any] = Deferred(lambda _: self._stop())
        self._steps: Iterator[tuple[str, str]] = iter(((carrier.ip, self._ip), (self._ip, carrier.ip)) * 2)
        self._leg: tuple[str, str] | None = None
        self._answered = False

    def step(self) -> None:
        """Send the next message."""
        self._leg = next(self._steps, None)
        if self._leg is None:
            self._finish()
        elif self._leg[0] == self._ip and self._listening() is None:
            self._send(lambda: self._fail(Unavailable("connection refused", code="connection_refused")))
        else:
            self._send(self.step)

    def _send(self, arrived: Callable[[], None]) -> None:
        assert self._leg is not None
        delay = self._net.way(*self._leg, HANDSHAKE_BYTES)
        if delay is None:
            wait, self._retry = self._retry, min(self._retry * 2, LONGEST_RETRY_SECONDS)
            self._later(wait, lambda: self._send(arrived))
        else:
            self._later(delay, arrived)

    def _later(self, delay: float, function: Callable[[], None]) -> None:
        clock = self._clock
        if clock.seconds() + delay >= self._until:
            late = Unavailable(f"no answer within {DIAL_SECONDS:.0f} s", code="dial_timeout")
            self._call = clock.callLater(self._until - clock.seconds(), self._fail, late)
        else:
            self._call = clock.callLater(delay, function)

    def _listening(self) -> MemoryListening | None:
        return self._net.listening.get((self._ip, self._address.port or 0))

    def _finish(self) -> None:
        listening = self._listening()
        if listening is None:
            self._fail(Unavailable("connection refused", code="connection_refused"))
            return
        found = listening.carrier.peer
        if found == self._carrier.peer:
            self._fail(Refused("this node answered itself", code="self_dial"))
        elif self._peer not in (None, found):
            self._fail(PeerFault(f"{found} answered instead", code="wrong_peer"))
        else:
            local = tcp_address(self._carrier.ip, self._net.port())
            self.deferred.callback(self._carrier.join(self._address, listening, local))

    def _fail(self, error: SwarmnodeError) -> None:
        self.deferred.errback(error)

    def _stop(self) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
