"""Takes part in the DHT: looks things up, publishes, and keeps for others what is theirs to find.

Everything is done by the Kademlia machine; here it gets a host's streams and a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from swarmnode.driving.driver import Clock, Driver
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.policy.addresses import for_peer
from swarmnode.protocols.kademlia import vocabulary as v
from swarmnode.protocols.kademlia.distance import Rng
from swarmnode.protocols.kademlia.machine import Kademlia
from swarmnode.protocols.kademlia.messages import PeerEntry
from swarmnode.services.dht_streams import InboundRequests, OutboundRequest
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo

#: Streams on which others ask at a time: all, and those of one peer.
MAX_INBOUND = 256
MAX_INBOUND_PER_PEER = 32
#: Addresses that others tell of a peer and that are dialled: anybody's, if they lie.
MAX_HEARSAY = 8
#: What `Host.weigh` knows the peers of the table by, and how useful they are.
WEIGHT_TAG = "dht"
WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class DhtFacts:
    """How the DHT is doing. peers: in the routing table. records, provided: keys kept. queries: under way.
    asked, answered: requests of ours and of others since the start."""

    peers: int
    records: int
    provided: int
    queries: int
    server: bool
    asked: int = 0
    answered: int = 0


class Dht:
    """This node in the DHT.

    protocol: the id, of the public network or of a private one. addresses_of(peer): what is known of a
    peer's addresses. add_addresses(peer, addresses): take down hearsay that turned out well. stamp(): Unix
    seconds. sign: 64 bytes of Ed25519 signature with the key `public_key`. server: whether others are
    served and may keep things here. penalise(peer, fault): a peer broke the rules. failed: the machine
    ended by a bug of ours.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        rng: Rng,
        stamp: Callable[[], float],
        protocol: str,
        *,
        addresses_of: Callable[[str], Sequence[Multiaddr]],
        add_addresses: Callable[[str, Iterable[Multiaddr]], None],
        public_key: bytes,
        sign: Callable[[bytes], bytes],
        server: bool = True,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, fault: None,
        failed: Callable[[SwarmnodeError], None] = lambda fault: None,
    ) -> None:
        self.protocol, self._host, self._clock, self._server = protocol, host, clock, server
        self._addresses_of, self._add_addresses = addresses_of, add_addresses
        self._penalise, self._on_failure = penalise, failed
        self._machine = Kademlia(
            host.peer_id,
            rng=rng,
            stamp=stamp,
            addresses_of=self._known_addresses,
            public_key=public_key,
            sign=sign,
        )
        self._driver = Driver("the DHT", self._machine, clock, self._executors(), self._failed)
        self._running = False
        self._watching = False
        self._queries: dict[int, Deferred[Any]] = {}
        self._outbound: dict[int, OutboundRequest] = {}
        # In the order they came; a dict because their order must not depend on addresses in memory.
        self._inbound: dict[InboundRequests, None] = {}
        self._asking: dict[int, InboundRequests] = {}
        self._last_query = self._last_request = self._asked_others = 0

    def start(self) -> None:
        """Serve and watch the host's peers. A `Dht` is started once."""
        self._running = True
        if not self._watching:
            self._watching = True
            self._host.watch(self)
        if self._server:
            self._host.serve(self.protocol, self._accept)

    def stop(self) -> None:
        """End everything; queries fail with `Unavailable`."""
        if not self._running:
            return
        self._running = False
        self._driver.stop()
        if self._server:
            self._host.unserve(self.protocol)
        for peer in self._machine.table.peers():
            self._host.weigh(peer, WEIGHT_TAG, 0.0)
        self._drop_all(_stopped())

    def identified(self, peer: str, protocols: Collection[str]) -> None:
        """A connected peer has told the protocols that it serves."""
        if not self._running:
            return
        known = self._machine.table.get(peer)
        if self.protocol in protocols:
            if known is not None and known.connected:
                return  # Said again: no sign of life that counts.
            links = self._host.links(peer)
            self._driver.post(v.PeerServes(peer, links[0].remote if links else None))
        elif known is not None:
            self._driver.post(v.PeerDropped(peer))

    def facts(self) -> DhtFacts:
        """How it is doing."""
        server = self._machine.server
        return DhtFacts(
            len(self._machine.table),
            len(server.records),
            len(server.providers),
            len(self._queries),
            self._server,
            self._asked_others,
            self._last_request,
        )

    # Queries. All return Deferreds that fail with `Unavailable` or `Refused`; cancelling gives up.

    def put(self, key: bytes | str, payload: bytes) -> Deferred[v.Stored]:
        """Publish a payload under a key `/swarmnode/...`, signed, until `withdraw`: also if nobody takes it
        the first time, which the failure says."""
        return self._query(lambda number: v.PutValue(number, _bytes(key), payload))

    def get(self, key: bytes | str, signer: str | None = None) -> Deferred[v.ValueFound]:
        """The newest record under a key whose signature holds. signer: count only what this peer signed."""
        return self._query(lambda number: v.GetValue(number, _bytes(key), signer))

    def provide(self, key: bytes | str) -> Deferred[v.Stored]:
        """Publish that this node provides a key (a multihash: `distance.provider_key`), until `withdraw`."""
        return self._query(lambda number: v.Provide(number, _bytes(key)))

    def find_providers(self, key: bytes | str, limit: int = 20) -> Deferred[tuple[PeerEntry, ...]]:
        """Who claims to provide a key, with addresses where they are known."""
        found = self._query(lambda number: v.FindProviders(number, _bytes(key), limit))
        return found.addCallback(lambda result: result.providers)

    def find_peer(self, peer: str) -> Deferred[v.PeerFound]:
        """Where a peer can be dialled."""
        return self._query(lambda number: v.FindPeer(number, peer))

    def withdraw(self, key: bytes | str) -> None:
        """Publish this key no more; others forget it within the hour."""
        self._driver.post(v.Withdraw(_bytes(key)))

    def refresh(self) -> None:
        """Look around now, as after the network has changed."""
        self._driver.post(v.Refresh())

    # HostWatcher.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        """Whether it serves the DHT is known when it is identified."""

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """It stays in the table until it does not answer, unless it broke the rules."""
        if self._running:
            self._driver.post(v.PeerDropped(peer) if isinstance(error, PeerFault) else v.PeerLeft(peer))

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Requests to it will tell."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Of no concern here."""

    # What the machine asks for.

    def _executors(self) -> dict[type, Callable[[Any], None]]:
        return {
            v.Rpc: self._ask,
            v.CancelRpc: self._cancel_rpc,
            v.Answer: lambda effect: self._taken(effect.request).answer(effect.data),
            v.Reject: lambda effect: self._taken(effect.request).reject(),
            v.AddressesLearnt: lambda effect: self._add_addresses(effect.peer, effect.addresses),
            v.Kept: lambda effect: self._host.weigh(effect.peer, WEIGHT_TAG, WEIGHT if effect.kept else 0.0),
            v.Penalise: lambda effect: self._penalise(effect.peer, effect.error),
            v.QueryDone: self._done,
        }

    def _ask(self, rpc: v.Rpc) -> None:
        request = OutboundRequest(rpc, self.protocol, self._clock, self._driver.post, self._request_over)
        self._outbound[rpc.rpc] = request
        self._asked_others += 1
        hearsay = for_peer(self._host.addresses(), rpc.addresses)[:MAX_HEARSAY]
        request.begin(self._host, tuple(dict.fromkeys((*self._addresses_of(rpc.peer), *hearsay))))

    def _request_over(self, rpc: int) -> None:
        self._outbound.pop(rpc, None)

    def _cancel_rpc(self, effect: v.CancelRpc) -> None:
        request = self._outbound.pop(effect.rpc, None)
        if request is not None:
            request.cancel()

    def _done(self, effect: v.QueryDone) -> None:
        deferred = self._queries.pop(effect.query, None)
        if deferred is None:
            return
        if isinstance(effect.result, SwarmnodeError):
            deferred.errback(effect.result)
        else:
            deferred.callback(effect.result)

    def _known_addresses(self, peer: str) -> Sequence[Multiaddr]:
        return self._host.addresses() if peer == self._host.peer_id else self._addresses_of(peer)

    # Inbound.

    def _accept(self, stream: Stream) -> StreamReceiver:
        of_peer = sum(other.stream.peer == stream.peer for other in self._inbound)
        if not self._running or len(self._inbound) >= MAX_INBOUND or of_peer >= MAX_INBOUND_PER_PEER:
            raise Unavailable(
                f"{len(self._inbound)} DHT streams are open, {of_peer} of them by this peer "
                f"(at most {MAX_INBOUND} and {MAX_INBOUND_PER_PEER})",
                code="dht_busy",
                hint="Ask again later, or on a stream that is open.",
            )
        requests = InboundRequests(
            stream, self._clock, self._asked, self._penalise, self._stream_over, self._next_request
        )
        self._inbound[requests] = None
        return requests

    def _asked(self, requests: InboundRequests, asked: v.Asked) -> None:
        self._asking[asked.request] = requests
        self._driver.post(asked)

    def _taken(self, request: int) -> InboundRequests:
        return self._asking.pop(request)

    def _stream_over(self, requests: InboundRequests) -> None:
        self._inbound.pop(requests, None)

    def _next_request(self) -> int:
        self._last_request += 1
        return self._last_request

    # Queries and their end.

    def _query(self, make: Callable[[int], Any]) -> Deferred[Any]:
        self._last_query += 1
        number = self._last_query
        deferred: Deferred[Any] = Deferred(lambda _: self._give_up(number))
        if not self._running:
            deferred.errback(_stopped())
            return deferred
        self._queries[number] = deferred
        self._driver.post(make(number))
        return deferred

    def _give_up(self, number: int) -> None:
        self._queries.pop(number, None)
        self._driver.post(v.GiveUp(number))

    def _failed(self, error: SwarmnodeError) -> None:
        self._running = False
        if self._server:
            self._host.unserve(self.protocol)
        self._drop_all(error)
        self._on_failure(error)

    def _drop_all(self, error: SwarmnodeError) -> None:
        for request in list(self._outbound.values()):
            request.cancel()
        self._outbound.clear()
        for requests in list(self._inbound):
            requests.stream.reset()
        self._asking.clear()
        queries, self._queries = self._queries, {}
        for deferred in queries.values():
            deferred.errback(error)


def _bytes(key: bytes | str) -> bytes:
    return key.encode() if isinstance(key, str) else key


def _stopped() -> Unavailable:
    return Unavailable("The DHT is stopped on this node", code="dht_stopped", hint="Start the node again.")
