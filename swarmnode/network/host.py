"""The host: the connection pool bound to carriers, and streams by protocol id.

Carriers yield secured connections; in a private network each passes the gate first; the pool
(`protocols.pool`) decides which are used. Nothing here knows what carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred, succeed

from swarmnode.driving.driver import Clock, Driver
from swarmnode.interfaces.host import Accept as AcceptStream
from swarmnode.interfaces.host import Connection, Gate, HostWatcher, Stream, StreamReceiver
from swarmnode.network.arrivals import Arrivals
from swarmnode.network.dials import Dials
from swarmnode.network.interfaces import machine_addresses
from swarmnode.network.link import Link
from swarmnode.network.listeners import Listeners
from swarmnode.network.opening import Opening
from swarmnode.network.requests import Bars, Requests
from swarmnode.network.resolving import Resolve
from swarmnode.network.takers import Takers
from swarmnode.network.tally import Tally
from swarmnode.network.watching import Watchers
from swarmnode.policy.dialling import dial_order
from swarmnode.protocols.pool import vocabulary as pool
from swarmnode.protocols.pool.backoff import Rng
from swarmnode.protocols.pool.limits import PoolLimits
from swarmnode.protocols.pool.machine import ConnectionPool
from swarmnode.protocols.pool.peers import preference
from swarmnode.values.errors import SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr, tcp_address
from swarmnode.values.network import HostStats, LinkInfo, NetworkSettings

#: How long connections have to end in order when the host stops.
STOP_SECONDS = 2.0


class NetworkHost:
    """This node among its peers (`interfaces.host.Host`).

    identity: has `peer_id`. carriers: `interfaces.transport.ICarrier`s. rng: as `random.Random`.
    addresses_of: what is known of a peer's addresses. gate: of a private network. resolve: names into
    addresses. listen: where, instead of the settings' address and port. interfaces: the machine's addresses.
    bars: why a peer is not to be dialled.
    """

    def __init__(
        self,
        identity: Any,
        carriers: Sequence[Any],
        clock: Clock,
        rng: Rng,
        settings: NetworkSettings,
        addresses_of: Callable[[str], Sequence[Multiaddr]],
        log: Any,
        *,
        gate: Gate | None = None,
        resolve: Resolve | None = None,
        listen: Sequence[Multiaddr] | None = None,
        interfaces: Callable[[], Sequence[str]] = machine_addresses,
        bars: Bars = lambda peer: None,
    ) -> None:
        self._peer_id: str = identity.peer_id
        self._clock, self._log, self._addresses_of = clock, log, addresses_of
        if listen is None:
            listen = (tcp_address(settings.listen_address, settings.port),)
        self._listeners = Listeners(carriers, listen, interfaces, clock, self._broken)
        self._dials = Dials(carriers, self._post, self._new_link, gate)
        self._arrivals = Arrivals(self._post, self._new_link, gate, log, clock.seconds)
        self._requests = Requests(self._post, self._in_order, resolve, bars)
        self._watchers, self._takers, self._tally = Watchers(log), Takers(log), Tally()
        limits = PoolLimits(settings.max_peers, settings.max_connections_per_peer)
        self._driver = Driver(
            "connection pool",
            ConnectionPool(self._peer_id, limits, rng),
            clock,
            {
                pool.Dial: self._dials.dial,
                pool.GiveUp: self._dials.give_up,
                pool.Accept: self._accept,
                pool.Refuse: self._close,
                pool.CloseConnection: self._close,
                pool.Connected: self._connected,
                pool.Disconnected: self._disconnected,
                pool.Answer: self._requests.answer,
            },
            self._broken,
        )
        self._links: dict[int, Link] = {}
        self._by_peer: dict[str, list[Link]] = {}
        self._numbers = 0
        self._own: tuple[Multiaddr, ...] = ()
        self._stopping: Deferred[None] | None = None
        #: Fails when the host cannot go on.
        self.ended: Deferred[None] = Deferred()

    # Being there.

    @property
    def peer_id(self) -> str:
        return self._peer_id

    def start(self) -> Deferred[None]:
        """Listen. Fails with a `SwarmnodeError`, and then listens nowhere."""
        beginning = maybeDeferred(self._listeners.start, self._arrivals.arrived)
        return beginning.addCallback(lambda _: None)

    def stop(self) -> Deferred[None]:
        """Listen no more, end all connections, in order if they do so soon, and answer whoever waits."""
        if self._stopping is not None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopping = stopped
        stopping = Unavailable("This node is stopping", code="stopping")
        self._driver.stop()
        self._arrivals.stop()
        self._dials.stop()
        self._requests.fail(stopping)
        done = DeferredList([self._listeners.stop(), stopped])
        for peer in tuple(self._by_peer):
            self._disconnected(pool.Disconnected(peer, stopping))
        for link in tuple(self._links.values()):
            link.close(None)
        late = self._clock.callLater(STOP_SECONDS, self._abort_all)
        stopped.addBoth(lambda _: late.cancel() if late.active() else None)
        self._check_stopped()
        return done.addCallback(lambda _: None)

    def addresses(self) -> tuple[Multiaddr, ...]:
        return self._listeners.addresses()

    # Protocols.

    def serve(self, protocol: str, accept: AcceptStream) -> None:
        self._takers.add(protocol, accept)

    def unserve(self, protocol: str) -> None:
        self._takers.remove(protocol)

    def served(self) -> frozenset[str]:
        return frozenset(self._takers.protocols())

    def serves(self) -> Collection[str]:
        """The same, in the order in which they were taken."""
        return self._takers.protocols()

    def accept_stream(self, link: Link, stream: Stream) -> StreamReceiver:
        """An inbound stream; raises to refuse it."""
        # Some come with the connection itself, before the pool has said that the peer is connected.
        self._watchers.connected(link.peer, link.info)
        there_are = sum(each.inbound_streams for each in self._by_peer.get(link.peer, ()))
        return self._takers.accept(stream, there_are)

    def receiver_failed(self, stream: Stream, error: Exception) -> None:
        """Whoever took the stream raised."""
        self._takers.failed(stream, error)

    # Peers.

    def connect(self, peer: str | None, addresses: Sequence[Multiaddr] = ()) -> Deferred[str]:
        if self._driver.stopped:
            return fail(Unavailable("This node is not on the network", code="stopping"))
        if peer is not None and peer in self._by_peer:
            return succeed(peer)
        named = {address.peer for address in addresses}
        if peer is None and len(named) == 1 and None not in named:
            return self.connect(named.pop(), addresses)
        known = self._addresses_of(peer) if peer is not None else ()
        return self._requests.want(peer, [*addresses, *known])

    def open(self, peer: str, protocols: Sequence[str], receiver: StreamReceiver) -> Deferred[Stream]:
        opening = Opening(protocols, receiver)
        return opening.begin(self.connect(peer), lambda: self._best(peer))

    def disconnect(self, peer: str, error: SwarmnodeError | None = None) -> None:
        self._post(pool.Drop(peer, error))

    def peers(self) -> tuple[str, ...]:
        return tuple(self._by_peer)

    def links(self, peer: str) -> tuple[LinkInfo, ...]:
        return tuple(link.info for link in self._by_peer.get(peer, ()))

    def rtt(self, peer: str) -> float | None:
        return self._watchers.rtt(peer)

    def weigh(self, peer: str, tag: str, weight: float) -> None:
        self._post(pool.Weigh(peer, tag, weight))

    def watch(self, watcher: HostWatcher) -> None:
        self._watchers.add(watcher)

    def stats(self) -> HostStats:
        """How the connections are doing, for metrics."""
        return self._tally.stats(self._links.values())

    def _best(self, peer: str) -> Link | None:
        links = [link for link in self._by_peer.get(peer, ()) if link.usable]
        return max(links, key=self._preference, default=None)

    def _preference(self, link: Link) -> tuple[bool, bool, float, int]:
        info = link.info
        return preference(self._peer_id, link.peer, info.inbound, link.silence > 0, info.since, link.number)

    def _in_order(self, addresses: Sequence[Multiaddr]) -> tuple[Multiaddr, ...]:
        own = self._listeners.everywhere()
        if own is not self._own:
            self._own = own
            self._post(pool.OwnAddresses(own))
        return dial_order(addresses, own)

    # Connections.

    def _new_link(self, connection: Connection) -> Link:
        self._numbers += 1
        link = Link(self._numbers, connection, self)
        self._links[link.number] = link
        return link

    def link_closed(self, link: Link, error: SwarmnodeError | None) -> None:
        """It is gone."""
        if self._links.pop(link.number, None) is not None:
            self._tally.closed(link, error)
        self._arrivals.link_closed(link)
        self._dials.link_closed(link, error)
        self._post(pool.Gone(link.number, error))
        self._leave(link)
        self._check_stopped()

    def link_alive(self, link: Link, rtt: float) -> None:
        """It answered."""
        if link.usable:
            if link.silence > 0:
                self._post(pool.Heard(link.number, False))
            self._watchers.alive(link.peer, rtt)

    def link_quiet(self, link: Link, seconds: float) -> None:
        """It does not answer."""
        if link.usable:
            self._post(pool.Heard(link.number, True))
            silence = min(each.silence for each in self._by_peer.get(link.peer, (link,)))
            if silence > 0:
                self._watchers.quiet(link.peer, silence)

    def link_used(self, link: Link) -> None:
        """It has its first stream, or none any more."""
        if link.taken:
            self._post(pool.Used(link.number, link.streams))

    # What the pool decides.

    def _accept(self, effect: pool.Accept) -> None:
        link = self._links.get(effect.connection)
        if link is not None and not link.closing:
            self._by_peer.setdefault(link.peer, []).append(link)
            link.take()

    def _close(self, effect: pool.Refuse | pool.CloseConnection) -> None:
        self._tally.refused(effect)
        link = self._links.get(effect.connection)
        if link is not None:
            self._leave(link)
            link.close(effect.error)

    def _leave(self, link: Link) -> None:
        links = self._by_peer.get(link.peer, [])
        if link in links:
            links.remove(link)
            if not links:
                del self._by_peer[link.peer]

    def _connected(self, effect: pool.Connected) -> None:
        link = self._links.get(effect.connection)
        if link is not None:
            self._log.info("peer connected", peer=effect.peer, address=str(link.info.remote))
            self._watchers.connected(effect.peer, link.info)

    def _disconnected(self, effect: pool.Disconnected) -> None:
        reason = effect.error.message if effect.error is not None else "in order"
        self._log.info("peer disconnected", peer=effect.peer, reason=reason)
        self._watchers.disconnected(effect.peer, effect.error)

    def _post(self, event: Any) -> None:
        self._tally.event(event)
        self._driver.post(event)

    # The end.

    def _broken(self, error: SwarmnodeError) -> None:
        self._log.error("the host cannot go on", reason=error.message)
        self._requests.fail(error)
        if not self.ended.called:
            self.ended.errback(error)

    def _abort_all(self) -> None:
        for link in tuple(self._links.values()):
            link.connection.abort()
        self._links.clear()
        self._check_stopped()

    def _check_stopped(self) -> None:
        if self._stopping is not None and not self._links and not self._stopping.called:
            self._stopping.callback(None)
