"""The connection pool: whom to dial, which connections to take, which to close.

It dials through races (`dialling`), takes at most so many connections in all, a peer and a subnet, closes
duplicates, and sends the least useful peer away when there are too many. Who broke the rules is left alone
for a while, both ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from swarmnode.protocols.pool import refusals
from swarmnode.protocols.pool.backoff import BackOffs, Rng
from swarmnode.protocols.pool.dialling import Dialling
from swarmnode.protocols.pool.limits import FAULT_BACKOFF_SECONDS, PROTECTED_WEIGHT, PoolLimits
from swarmnode.protocols.pool.peers import Conn, PeerTable
from swarmnode.protocols.pool.vocabulary import (
    Accept,
    Answer,
    Arrived,
    CloseConnection,
    Connected,
    Disconnected,
    Drop,
    Effect,
    Failed,
    Gone,
    Heard,
    OwnAddresses,
    Reached,
    Refuse,
    Unwanted,
    Used,
    Wanted,
    Weigh,
)
from swarmnode.values.errors import PeerFault, SwarmnodeError


class ConnectionPool:
    """The machine. own_id: this node's peer id."""

    def __init__(self, own_id: str, limits: PoolLimits, rng: Rng) -> None:
        self._own_id, self._limits = own_id, limits
        self._dialling = Dialling(own_id, rng)
        self._peers = PeerTable(own_id)
        self._disgraced: BackOffs[str] = BackOffs(rng)
        self._handlers: dict[type, Callable[[Any, float], list[Effect]]] = {
            Wanted: self._wanted,
            Unwanted: lambda event, now: self._dialling.unwant(event.request),
            Reached: self._reached,
            Failed: lambda event, now: self._dialling.failed(event.attempt, event.error, now),
            Arrived: self._arrived,
            Gone: self._gone,
            Drop: self._drop,
            Weigh: self._weigh,
            Used: self._used,
            Heard: self._heard,
            OwnAddresses: self._own_addresses,
        }

    @property
    def deadline(self) -> float | None:
        """When an attempt is due or a duplicate is to be closed."""
        times = (self._dialling.deadline, self._peers.deadline)
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: Any | None, now: float) -> list[Effect]:
        """See `vocabulary`."""
        out = self._handlers[type(event)](event, now) if event is not None else []
        for conn in self._peers.spares(now):
            self._peers.remove(conn)
            out.append(CloseConnection(conn.number, refusals.spare()))
        return out + self._dialling.start(now)

    def _wanted(self, event: Wanted, now: float) -> list[Effect]:
        if self._dialling.knows(event.request):
            return []
        if event.peer == self._own_id:
            return [Answer(event.request, None, refusals.self_dial())]
        if event.peer is not None:
            if event.peer in self._peers:
                return [Answer(event.request, event.peer, None)]
            if (error := self._disgrace(event.peer, now)) is not None:
                return [Answer(event.request, None, error)]
        return self._dialling.want(event.request, event.peer, event.addresses, now)

    def _reached(self, event: Reached, now: float) -> list[Effect]:
        found = self._dialling.reached(event.attempt)
        if found is None:
            return [Refuse(event.connection, refusals.given_up())]
        race, address = found
        wrong: SwarmnodeError | None = None
        expected = race.peer or address.peer
        if event.peer == self._own_id:
            wrong = refusals.self_dial()
        elif expected not in (None, event.peer):
            wrong = refusals.wrong_peer(str(expected), event.peer)
        if wrong is not None:
            return [Refuse(event.connection, wrong), *self._dialling.wrong(race, address, wrong, now)]
        error = self._obstacle(event.peer, inbound=False, now=now)
        if error is None:
            out = self._take(Conn(event.connection, event.peer, False, "", now, now, address), now)
            # `_take` has settled the race when it was for this peer by name.
            return out if race.peer is not None else out + self._dialling.settle(race, event.peer, None)
        known = event.peer in self._peers  # it has all the connections it may have: that will do
        answer = (event.peer, None) if known else (None, error)
        return [Refuse(event.connection, error), *self._dialling.settle(race, *answer)]

    def _arrived(self, event: Arrived, now: float) -> list[Effect]:
        error: SwarmnodeError | None
        if event.peer == self._own_id:
            error = refusals.self_dial()
        else:
            error = self._obstacle(event.peer, inbound=True, now=now) or self._crowd(event)
        if error is not None:
            return [Refuse(event.connection, error)]
        return self._take(Conn(event.connection, event.peer, True, event.subnet, now, now), now)

    def _take(self, conn: Conn, now: float) -> list[Effect]:
        out: list[Effect] = []
        if conn.peer not in self._peers and len(self._peers) >= self._limits.max_peers:
            victim = self._victim(conn.peer, conn.inbound, now)
            if victim is not None:
                out += self._close_all(victim, refusals.made_room())
        first = self._peers.add(conn)
        out.append(Accept(conn.number))
        if first:
            out.append(Connected(conn.peer, conn.number))
        return out + self._dialling.connected(conn.peer)

    def _obstacle(self, peer: str, *, inbound: bool, now: float) -> SwarmnodeError | None:
        """Why a connection to a proven peer cannot be taken."""
        most = self._limits.max_connections_per_peer
        if len(self._peers.conns(peer)) >= most:
            return refusals.too_many_connections(peer, most)
        if (error := self._disgrace(peer, now)) is not None:
            return error
        full = peer not in self._peers and len(self._peers) >= self._limits.max_peers
        if full and self._victim(peer, inbound, now) is None:
            return refusals.peers_full(self._limits.max_peers)
        return None

    def _victim(self, peer: str, inbound: bool, now: float) -> str | None:
        """Whoever comes by itself displaces nobody more useful; whom we dialled ourselves was wanted."""
        weight = self._peers.weights.of(peer)
        if weight >= PROTECTED_WEIGHT:
            return self._peers.lightest(now, at_most=math.inf, spare_new=False)
        return self._peers.lightest(now, at_most=weight if inbound else math.inf)

    def _crowd(self, event: Arrived) -> SwarmnodeError | None:
        limit = self._limits.per_subnet
        if not event.subnet or event.peer in self._peers or self._peers.shares(event.subnet) < limit:
            return None
        return refusals.subnet_full(event.subnet, limit)

    def _disgrace(self, peer: str, now: float) -> SwarmnodeError | None:
        past = self._disgraced.get(peer, now)
        if past is None or past.until <= now:
            return None
        return refusals.in_disgrace(peer, past.until - now, past.error)

    def _gone(self, event: Gone, now: float) -> list[Effect]:
        conn = self._peers.conn(event.connection)
        if conn is None:
            return []
        self._note_fault(conn.peer, event.error, now)
        if not self._peers.remove(conn):
            return []
        if conn.address is not None:
            self._dialling.ended(conn.peer, conn.address, conn.since, event.error, now)
        return [Disconnected(conn.peer, event.error)]

    def _drop(self, event: Drop, now: float) -> list[Effect]:
        self._note_fault(event.peer, event.error, now)
        out = self._close_all(event.peer, event.error)
        error = self._disgrace(event.peer, now)
        return out + self._dialling.refuse(event.peer, error) if error is not None else out

    def _close_all(self, peer: str, error: SwarmnodeError | None) -> list[Effect]:
        out: list[Effect] = []
        for conn in self._peers.conns(peer):
            out.append(CloseConnection(conn.number, error))
            if self._peers.remove(conn):
                out.append(Disconnected(peer, error))
        return out

    def _note_fault(self, peer: str, error: SwarmnodeError | None, now: float) -> None:
        if isinstance(error, PeerFault):
            self._disgraced.fail(peer, error, now, FAULT_BACKOFF_SECONDS)

    def _weigh(self, event: Weigh, now: float) -> list[Effect]:
        self._peers.weights.set(event.peer, event.tag, event.weight)
        return []

    def _used(self, event: Used, now: float) -> list[Effect]:
        conn = self._peers.conn(event.connection)
        if conn is not None:
            if conn.streams and not event.streams:
                conn.idle_since = now
            conn.streams = event.streams
        return []

    def _heard(self, event: Heard, now: float) -> list[Effect]:
        conn = self._peers.conn(event.connection)
        if conn is not None:
            conn.quiet = event.quiet
        return []

    def _own_addresses(self, event: OwnAddresses, now: float) -> list[Effect]:
        self._dialling.listens(event.addresses)
        return []
