"""Hosts without sockets: several nodes in one process, on one clock, for tests of what runs on a `Host`.

    network = FakeNetwork(Clock())
    alice, bob = network.host("/ip4/10.0.0.1/tcp/1"), network.host("/ip4/10.0.0.2/tcp/1")

Peer ids are real ones, made from the hosts' numbers. What is written arrives `DELAY` seconds later, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from nacl.signing import SigningKey
from twisted.internet.defer import Deferred, fail, succeed

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Accept, HostWatcher, StreamReceiver
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo
from swarmnode.values.peer_id import peer_id

#: Seconds that anything takes from one host to another.
DELAY = 0.01


def fake_key(number: int) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(sha256(b"fake host %d" % number).digest())


def signer_of(key: SigningKey) -> Signer:
    """What signs with it."""
    return Signer(key.verify_key.encode(), lambda message: key.sign(message).signature)


class FakeNetwork:
    """Hosts that reach one another by their addresses. delays: of messages, by the two peers' ids."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.hosts: list[FakeHost] = []
        self._links = 0

    def host(self, *addresses: str) -> FakeHost:
        """One more host, listening on these addresses."""
        key = fake_key(len(self.hosts))
        made = FakeHost(self, signer_of(key), tuple(map(Multiaddr.parse, addresses)))
        self.hosts.append(made)
        return made

    def at(self, address: Multiaddr) -> FakeHost | None:
        """Who listens there."""
        where = address.without_peer()
        return next((host for host in self.hosts if where in host.listening and host.up), None)

    def join(self, dialler: FakeHost, listener: FakeHost, address: Multiaddr) -> None:
        """Connect two hosts at once."""
        self._links += 1
        source = dialler.listening[0] if dialler.listening else Multiaddr.parse("/ip4/10.9.9.9/tcp/9")
        where, now = address.without_peer(), self.clock.seconds()
        there = LinkInfo(self._links, listener.peer_id, where, source, False, "fake", now)
        back = LinkInfo(self._links, dialler.peer_id, source, where, True, "fake", now)
        dialler.linked[listener.peer_id], listener.linked[dialler.peer_id] = there, back
        dialler.tell_of(there)
        listener.tell_of(back)

    def part(self, one: FakeHost, other: FakeHost, error: SwarmnodeError | None = None) -> None:
        """End the connection of two hosts."""
        one.link_down(other.peer_id, error)
        other.link_down(one.peer_id, error)


class FakeHost:
    """One node's `Host`. dials: what `connect` was asked for. linked: the connection to each peer."""

    def __init__(self, network: FakeNetwork, signer: Signer, listening: tuple[Multiaddr, ...]) -> None:
        self.network, self.signer, self.listening = network, signer, listening
        self.peer_id = peer_id(signer.public_key)
        self.up = True
        self.dials: list[tuple[str | None, tuple[Multiaddr, ...]]] = []
        self.addresses_of: Callable[[str], Sequence[Multiaddr]] = lambda peer: ()
        self.streams: list[FakeStream] = []
        self.weights: dict[tuple[str, str], float] = {}
        self._accepts: dict[str, Accept] = {}
        self.linked: dict[str, LinkInfo] = {}
        self._watchers: list[HostWatcher] = []

    def addresses(self) -> tuple[Multiaddr, ...]:
        return self.listening

    def serve(self, protocol: str, accept: Accept) -> None:
        self._accepts[protocol] = accept

    def unserve(self, protocol: str) -> None:
        self._accepts.pop(protocol, None)

    def served(self) -> frozenset[str]:
        return frozenset(self._accepts)

    def peers(self) -> tuple[str, ...]:
        return tuple(self.linked)

    def links(self, peer: str) -> tuple[LinkInfo, ...]:
        return (self.linked[peer],) if peer in self.linked else ()

    def rtt(self, peer: str) -> float | None:
        return 2 * DELAY if peer in self.linked else None

    def weigh(self, peer: str, tag: str, weight: float) -> None:
        self.weights[peer, tag] = weight

    def watch(self, watcher: HostWatcher) -> None:
        self._watchers.append(watcher)

    def connect(self, peer: str | None, addresses: Sequence[Multiaddr] = ()) -> Deferred[str]:
        self.dials.append((peer, tuple(addresses)))
        if peer is not None and peer in self.linked:
            return succeed(peer)
        result: Deferred[str] = Deferred()
        call = self.network.clock.callLater(
            DELAY, self._reach, peer, (*addresses, *(self.addresses_of(peer) if peer else ())), result
        )
        result._canceller = lambda _: call.cancel()
        return result

    def _reach(self, peer: str | None, addresses: Sequence[Multiaddr], result: Deferred[str]) -> None:
        if peer is not None and peer in self.linked:
            result.callback(peer)
            return
        for address in addresses:
            other = self.network.at(address)
            if other is None:
                continue
            if other is self:
                result.errback(Refused("this is ourselves", code="self_dial"))
                return
            if peer is not None and other.peer_id != peer:
                result.errback(PeerFault(f"{other.peer_id} answers", code="wrong_peer"))
                return
            if other.peer_id not in self.linked:
                self.network.join(self, other, address)
            result.callback(other.peer_id)
            return
        result.errback(Unavailable("nobody answers", code="unreachable"))

    def disconnect(self, peer: str, error: SwarmnodeError | None = None) -> None:
        for other in self.network.hosts:
            if other.peer_id == peer and peer in self.linked:
                self.network.part(self, other, error)

    def open(self, peer: str, protocols: Sequence[str], receiver: StreamReceiver) -> Deferred[FakeStream]:
        link = self.linked.get(peer)
        other = next((host for host in self.network.hosts if host.peer_id == peer), None)
        if link is None or other is None:
            return fail(Unavailable(f"{peer} is not connected", code="unreachable"))
        protocol = next((name for name in protocols if name in other._accepts), None)
        if protocol is None:
            error = Refused(f"{peer} speaks none of {', '.join(protocols)}", code="protocol_unsupported")
            return fail(error)
        ours, theirs = (
            FakeStream(self, link, protocol),
            FakeStream(other, other.linked[self.peer_id], protocol),
        )
        ours.other, theirs.other = theirs, ours
        ours.receiver = receiver
        self.network.clock.callLater(DELAY, other._opened, theirs)
        return succeed(ours)

    def _opened(self, stream: FakeStream) -> None:
        try:
            stream.receiver = self._accepts[stream.protocol](stream)
        except (SwarmnodeError, KeyError):
            stream.reset()

    def tell_of(self, link: LinkInfo) -> None:
        """The first connection to a peer is there."""
        for watcher in list(self._watchers):
            watcher.peer_connected(link.peer, link)

    def link_down(self, peer: str, error: SwarmnodeError | None) -> None:
        """It is gone."""
        if self.linked.pop(peer, None) is None:
            return
        gone = error or Unavailable("the connection is gone", code="connection_lost")
        for stream in [one for one in self.streams if one.peer == peer]:
            stream.lose(gone)
        for watcher in list(self._watchers):
            watcher.peer_disconnected(peer, error)


class FakeStream:
    """One end of a stream. written: all that was written here."""

    def __init__(self, host: FakeHost, link: LinkInfo, protocol: str) -> None:
        self._host, self.link, self.protocol = host, link, protocol
        self.peer = link.peer
        self.waiting = 0
        self.written = b""
        self.receiver: StreamReceiver | None = None
        self.other: FakeStream | None = None
        self._ended = self._heard_end = self._over = False
        host.streams.append(self)

    def write(self, data: bytes) -> None:
        if not self._over and not self._ended:
            self.written += data
            self._tell("take", data)

    def end(self) -> None:
        if not self._over and not self._ended:
            self._ended = True
            self._tell("take_end")
            self._finish()

    def reset(self) -> None:
        if not self._over:
            self._tell("lose", Unavailable("the peer reset the stream", code="stream_reset"))
            self.lose(Unavailable("the stream was reset", code="stream_reset"))

    def pause(self) -> None:
        """Nothing is held back."""

    def resume(self) -> None:
        """Nothing was held back."""

    def take(self, data: bytes) -> None:
        """From the other end."""
        if not self._over and self.receiver is not None:
            self.receiver.received(data)

    def take_end(self) -> None:
        """The other end sends no more."""
        if not self._over and self.receiver is not None:
            self._heard_end = True
            self.receiver.ended()
            self._finish()

    def lose(self, error: SwarmnodeError | None) -> None:
        """It is over."""
        if self._over:
            return
        self._over = True
        self._host.streams.remove(self)
        if self.receiver is not None:
            self.receiver.lost(error)

    def _finish(self) -> None:
        if self._ended and self._heard_end:
            self.lose(None)

    def _tell(self, what: str, *args: Any) -> None:
        self._host.network.clock.callLater(DELAY, lambda: getattr(self.other, what)(*args))
