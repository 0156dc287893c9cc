"""Kademlia as a machine: the table, the queries, what is kept for others, and the upkeep of it all.

Sources: libp2p specs, kad-dht (wire format, k = 20); Maymounkov and Mazieres, "Kademlia" (buckets,
lookups); Baumgart and Mies, "S/Kademlia" (not to rely on what one peer says).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from swarmnode.protocols.kademlia import vocabulary as v
from swarmnode.protocols.kademlia.calls import Call, Calls, Purpose
from swarmnode.protocols.kademlia.distance import Rng
from swarmnode.protocols.kademlia.lookup import ALPHA
from swarmnode.protocols.kademlia.messages import MAX_CLOSER, Kind, Message, PeerEntry, decode, encode
from swarmnode.protocols.kademlia.publishing import Publisher
from swarmnode.protocols.kademlia.queries import PeerQuery, ProvidersQuery, Query, ValueQuery
from swarmnode.protocols.kademlia.records import Sign, check_key
from swarmnode.protocols.kademlia.routing_table import Changes, RoutingTable, subnet_of
from swarmnode.protocols.kademlia.searching import Searches
from swarmnode.protocols.kademlia.serving import AddressesOf, Server, Stamp
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id_bytes, peer_id_text

#: Providers that may be asked for at a time.
MAX_PROVIDERS_WANTED = 256
#: Faults of a request that honest peers of other kinds, or with a wrong clock, commit.
FORGIVEN = frozenset({"stale_record", "unknown_namespace"})


class Kademlia:
    """own: this node's peer id. addresses_of(peer): what is known of a peer's addresses, or this node's own.
    stamp(): Unix seconds, for records only. public_key, sign: what records are signed with."""

    def __init__(
        self,
        own: str,
        *,
        rng: Rng,
        stamp: Stamp,
        addresses_of: AddressesOf,
        public_key: bytes,
        sign: Sign,
        alpha: int = ALPHA,
    ) -> None:
        self.table = RoutingTable(own)
        self.server = Server(own, self.table, addresses_of, rng, stamp)
        self._own = own
        self._out: list[Any] = []
        self._now = 0.0
        self._calls = Calls()
        self._searches = Searches(
            own, self._seeds, self._calls, self._ask, self._emit, self._query_ended, alpha
        )
        self._publisher = Publisher(
            self.table, self.server, self._searches, rng, stamp, public_key, sign, self._ping
        )

    @property
    def deadline(self) -> float | None:
        """When something is due."""
        times = (
            self._calls.deadline,
            self._searches.deadline(self._now) if len(self._searches) else None,
            self._publisher.deadline if len(self.table) else None,
        )
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """One event; returns effects."""
        self._now, self._out = now, []
        if event is None:
            self._overdue(now)
        else:
            self._HANDLERS[type(event)](self, event, now)
        return self._out

    # Peers.

    def _peer_serves(self, event: v.PeerServes, now: float) -> None:
        self._changed(self.table.heard(event.peer, event.remote, now, connected=True), now)

    def _peer_left(self, event: v.PeerLeft, now: float) -> None:
        self.table.disconnected(event.peer)

    def _peer_dropped(self, event: v.PeerDropped, now: float) -> None:
        self._changed(self.table.drop(event.peer), now)

    def _changed(self, changes: Changes, now: float) -> None:
        for peer in changes.removed:
            self._emit(v.Kept(peer, False))
        for peer in changes.added:
            self._emit(v.Kept(peer, True))
        if changes.removed or changes.added:
            self._publisher.table_changed(now)
            if changes.added:
                self._publisher.work(now)
        if changes.ping is not None:
            self._ping(changes.ping)

    def _ping(self, peer: str) -> None:
        self._ask(peer, (), Message(Kind.PING), Purpose.PING, 0)

    # What this node wants.

    def _wanted(self, event: Any, now: float) -> None:
        try:
            self._WANTS[type(event)](self, event, now)
        except SwarmnodeError as error:
            self._emit(v.QueryDone(event.query, error))

    def _find_peer(self, event: v.FindPeer, now: float) -> None:
        peer = _one_spelling(event.peer)
        known = self.table.get(peer)
        addresses = self.server.entry(peer).addresses
        if addresses and (peer == self._own or (known is not None and not known.failures)):
            confirmed = known is None or known.connected
            self._emit(v.QueryDone(event.query, v.PeerFound(peer, addresses, confirmed)))
            return
        self._searches.start(PeerQuery(event.query, peer), now)

    def _put_value(self, event: v.PutValue, now: float) -> None:
        self._publisher.publish(event.query, event.key, event.payload, now)

    def _provide(self, event: v.Provide, now: float) -> None:
        self._publisher.publish(event.query, event.key, None, now)

    def _get_value(self, event: v.GetValue, now: float) -> None:
        check_key(event.key)
        local = self.server.local(event.key, now)
        signer = None if event.signer is None else _one_spelling(event.signer)
        self._searches.start(ValueQuery(event.query, event.key, signer, self.server.check, local), now)

    def _find_providers(self, event: v.FindProviders, now: float) -> None:
        if not 0 < event.limit <= MAX_PROVIDERS_WANTED:
            raise Refused(
                f"{event.limit} providers cannot be looked for (1 to {MAX_PROVIDERS_WANTED})",
                code="bad_limit",
                hint="Ask again for others when these do not do.",
                param="limit",
            )
        local = self.server.known_providers(event.key, event.limit, now)
        self._searches.start(ProvidersQuery(event.query, event.key, event.limit, local), now)

    def _withdraw(self, event: v.Withdraw, now: float) -> None:
        self._publisher.withdraw(event.key)

    def _give_up(self, event: v.GiveUp, now: float) -> None:
        self._searches.give_up(event.query)
        self._publisher.given_up(event.query, now)

    def _refresh(self, event: v.Refresh, now: float) -> None:
        self._publisher.hurry(now)
        self._publisher.work(now)

    def _query_ended(self, query: Query, result: v.QueryResult | SwarmnodeError) -> None:
        self._publisher.ended(query.number, result, self._now)
        if query.number <= 0:
            return
        if isinstance(result, v.PeerFound) and result.confirmed:
            self._emit(v.AddressesLearnt(result.peer, result.addresses))
        self._emit(v.QueryDone(query.number, result))

    # Requests of ours.

    def _seeds(self, target: int) -> list[PeerEntry]:
        return [self.server.entry(entry.peer) for entry in self.table.closest(target, MAX_CLOSER)]

    def _ask(
        self, peer: str, addresses: tuple[Multiaddr, ...], message: Message, purpose: Purpose, query: int
    ) -> Call | None:
        if self._calls.full:
            return None
        call = self._calls.add(peer, message.kind, purpose, query, addresses, self._now)
        answered = message.kind is not Kind.ADD_PROVIDER
        self._emit(v.Rpc(call.rpc, peer, addresses, encode(self.server.dated(message)), answered))
        return call

    def _reply(self, event: v.Reply, now: float) -> None:
        call = self._calls.take(event.rpc)
        if call is None:
            return
        try:
            message = _read_reply(call, event.data)
            self._searches.replied(call, message, subnet_of(event.remote), now)
        except PeerFault as fault:
            self._penalise(call.peer, fault, now)
            self._searches.failed(call, now)
            return
        if call.peer not in self.table and call.addresses:
            self._emit(v.AddressesLearnt(call.peer, call.addresses))
        self._changed(self.table.heard(call.peer, event.remote, now, connected=True), now)
        if call.purpose is Purpose.PING:
            self._ping_answered(call.peer, now)

    def _ping_answered(self, peer: str, now: float) -> None:
        following = self.table.answered_ping(peer, now)
        if following is not None:
            self._ping(following)

    def _rpc_failed(self, event: v.RpcFailed, now: float) -> None:
        call = self._calls.take(event.rpc)
        if call is None:
            return
        if isinstance(event.error, PeerFault):
            self._penalise(call.peer, event.error, now)
        self._no_answer(call, now)

    def _no_answer(self, call: Call, now: float) -> None:
        self._changed(self.table.failed(call.peer), now)
        self._searches.failed(call, now)

    # Requests of others.

    def _asked(self, event: v.Asked, now: float) -> None:
        try:
            self.server.count(event.peer, now)
            message = decode(event.data)
            if event.peer in self.table:
                self._changed(self.table.heard(event.peer, event.remote, now, connected=True), now)
            answer = self.server.answer(event.peer, message, now)
        except PeerFault as fault:
            if fault.code not in FORGIVEN:
                self._penalise(event.peer, fault, now)
            self._emit(v.Reject(event.request, fault))
            return
        except Unavailable as error:
            self._emit(v.Reject(event.request, error))
            return
        if message.kind is Kind.ADD_PROVIDER:
            for entry in message.providers:
                if entry.peer == event.peer and entry.addresses:
                    self._emit(v.AddressesLearnt(entry.peer, entry.addresses))
        self._emit(v.Answer(event.request, None if answer is None else encode(answer)))

    def _penalise(self, peer: str, fault: PeerFault, now: float) -> None:
        self._emit(v.Penalise(peer, fault))
        self._changed(self.table.drop(peer), now)

    # Time.

    def _overdue(self, now: float) -> None:
        for call in self._calls.take_late(now):
            self._emit(v.CancelRpc(call.rpc))
            self._no_answer(call, now)
        self._searches.overdue(now)
        if len(self.table):
            self._publisher.work(now)

    def _emit(self, effect: Any) -> None:
        self._out.append(effect)

    _WANTS: ClassVar[dict[type, Callable[[Any, Any, float], None]]] = {
        v.FindPeer: _find_peer,
        v.PutValue: _put_value,
        v.GetValue: _get_value,
        v.Provide: _provide,
        v.FindProviders: _find_providers,
    }
    _HANDLERS: ClassVar[dict[type, Callable[[Any, Any, float], None]]] = {
        v.PeerServes: _peer_serves,
        v.PeerLeft: _peer_left,
        v.PeerDropped: _peer_dropped,
        v.FindPeer: _wanted,
        v.PutValue: _wanted,
        v.GetValue: _wanted,
        v.Provide: _wanted,
        v.FindProviders: _wanted,
        v.Withdraw: _withdraw,
        v.GiveUp: _give_up,
        v.Refresh: _refresh,
        v.Reply: _reply,
        v.RpcFailed: _rpc_failed,
        v.Asked: _asked,
    }


def _one_spelling(peer: str) -> str:
    """A peer id as everybody else here spells it. Raises `Refused` for what is none."""
    return peer_id_text(peer_id_bytes(peer))


def _read_reply(call: Call, data: bytes) -> Message:
    """The answer to a call. Raises `PeerFault`."""
    if call.kind is Kind.ADD_PROVIDER:
        # Some echo the request, most say nothing.
        return Message(Kind.ADD_PROVIDER)
    message = decode(data)
    if message.kind is not call.kind:
        raise PeerFault(
            f"A DHT request {call.kind.name} was answered by {message.kind.name}", code="bad_dht_message"
        )
    return message
