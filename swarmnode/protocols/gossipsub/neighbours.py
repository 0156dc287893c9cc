"""The peers that this node can say something to, and what they said about themselves."""

from __future__ import annotations

from dataclasses import dataclass, field

from swarmnode.protocols.gossipsub.parameters import MAX_PEER_TOPICS


@dataclass(slots=True)
class Neighbour:
    """outbound: this node dialled it. meshes: in how many of ours it is. The counts start anew with every
    heartbeat; a peer that goes beyond its share is not listened to until the next."""

    peer: str
    outbound: bool
    topics: dict[str, None] = field(default_factory=dict)
    ihave_entries: int = 0
    ids_asked: int = 0
    iwant_entries: int = 0
    answered: int = 0
    graylisted: bool = False
    meshes: int = 0

    def begin_heartbeat(self) -> None:
        """A new share of everything."""
        self.ihave_entries = self.ids_asked = self.iwant_entries = self.answered = 0


class Neighbours:
    """All of them, and which topics they are in."""

    def __init__(self) -> None:
        self._all: dict[str, Neighbour] = {}
        self._topics: dict[str, dict[str, None]] = {}

    def add(self, peer: str, *, outbound: bool) -> Neighbour:
        """A new one; or the same in another direction."""
        neighbour = self._all.get(peer)
        if neighbour is None:
            neighbour = self._all[peer] = Neighbour(peer, outbound)
        neighbour.outbound = outbound
        return neighbour

    def remove(self, peer: str) -> Neighbour | None:
        """It has gone."""
        neighbour = self._all.pop(peer, None)
        if neighbour is not None:
            for topic in neighbour.topics:
                self._leave(topic, peer)
        return neighbour

    def get(self, peer: str) -> Neighbour | None:
        """The neighbour of this id."""
        return self._all.get(peer)

    def all(self) -> list[Neighbour]:
        """Every one, in the order they came."""
        return list(self._all.values())

    def joined(self, peer: str, topic: str) -> bool:
        """The peer subscribed. False when it is in more topics than are remembered."""
        neighbour = self._all[peer]
        if topic not in neighbour.topics:
            if len(neighbour.topics) >= MAX_PEER_TOPICS:
                return False
            neighbour.topics[topic] = None
            self._topics.setdefault(topic, {})[peer] = None
        return True

    def left(self, peer: str, topic: str) -> None:
        """The peer subscribed no longer."""
        if self._all[peer].topics.pop(topic, "absent") is None:
            self._leave(topic, peer)

    def within(self, topic: str) -> list[str]:
        """The peers in a topic."""
        return list(self._topics.get(topic, ()))

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, peer: str) -> bool:
        return peer in self._all

    def _leave(self, topic: str, peer: str) -> None:
        peers = self._topics[topic]
        del peers[peer]
        if not peers:
            del self._topics[topic]
