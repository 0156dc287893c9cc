"""Peer exchange: peers that a pruning peer names instead of itself (gossipsub v1.1, PRUNE Backoff and Peer
Exchange)."""

from __future__ import annotations

from swarmnode.protocols.gossipsub.mesh import Mesh
from swarmnode.protocols.gossipsub.neighbours import Neighbours
from swarmnode.protocols.gossipsub.outbox import Outbox
from swarmnode.protocols.gossipsub.parameters import MAX_EXCHANGED
from swarmnode.protocols.gossipsub.rpc import Prune
from swarmnode.protocols.gossipsub.vocabulary import ConnectTo
from swarmnode.protocols.identify.peer_record import open_record
from swarmnode.values.errors import PeerFault


class Exchange:
    """Takes such peers where the record holds. own: our peer id."""

    def __init__(self, own: str, neighbours: Neighbours, mesh: Mesh, outbox: Outbox) -> None:
        self._own, self._neighbours, self._mesh, self._outbox = own, neighbours, mesh, outbox
        self._room = MAX_EXCHANGED

    def begin_heartbeat(self) -> None:
        """So many may be dialled again."""
        self._room = MAX_EXCHANGED

    def take(self, prune: Prune, peer: str) -> None:
        """A PRUNE of a peer with a good name; it counts for a topic whose mesh the peer is in."""
        if peer not in self._mesh.members(prune.topic):
            return
        for other in prune.exchanged:
            known = other.peer == self._own or other.peer in self._neighbours
            if not known and self._room > 0 and other.record is not None and _holds(other.peer, other.record):
                self._room -= 1
                self._outbox.effect(ConnectTo(other.peer, other.record))


def _holds(peer: str, record: bytes) -> bool:
    try:
        return open_record(record).peer == peer
    except PeerFault:
        return False
