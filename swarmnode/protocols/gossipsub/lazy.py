"""Lazy gossip: announcing messages outside the mesh, and asking for those that were missed (IHAVE, IWANT)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swarmnode.protocols.gossipsub.counts import Counts
from swarmnode.protocols.gossipsub.mesh import Mesh
from swarmnode.protocols.gossipsub.message_cache import MessageCache
from swarmnode.protocols.gossipsub.neighbours import Neighbour, Neighbours
from swarmnode.protocols.gossipsub.outbox import Outbox
from swarmnode.protocols.gossipsub.parameters import (
    MAX_ANSWER_BYTES,
    MAX_IDS,
    MAX_IHAVE_ENTRIES,
    MAX_IWANT_ENTRIES,
    GossipParameters,
    Rng,
)
from swarmnode.protocols.gossipsub.promises import Promises
from swarmnode.protocols.gossipsub.scoring import Scores
from swarmnode.protocols.gossipsub.selection import chosen
from swarmnode.protocols.gossipsub.vocabulary import Urgency


class LazyGossip:
    """wanted: whether a message id of a topic is one that this node has not seen and cares for."""

    def __init__(
        self,
        parameters: GossipParameters,
        neighbours: Neighbours,
        scores: Scores,
        mesh: Mesh,
        outbox: Outbox,
        rng: Rng,
        counts: Counts,
        wanted: Callable[[str, bytes, float], bool],
    ) -> None:
        self._parameters, self._neighbours, self._scores = parameters, neighbours, scores
        self._mesh, self._outbox, self._rng, self._counts = mesh, outbox, rng, counts
        self._wanted = wanted
        self._direct = frozenset(parameters.direct)
        self.cache = MessageCache(parameters.history, parameters.history_gossip)
        self.promises = Promises(rng)

    def ihave(self, neighbour: Neighbour, entries: Sequence[tuple[str, Sequence[bytes]]], now: float) -> None:
        """IHAVE: ask for what is new, within the peer's share of this heartbeat."""
        if self._scores.score(neighbour.peer, now) < self._parameters.score.thresholds.gossip:
            return
        missed: dict[bytes, None] = {}
        for topic, ids in entries:
            neighbour.ihave_entries += 1
            if neighbour.ihave_entries > MAX_IHAVE_ENTRIES:
                break
            for message_id in ids:
                if self._wanted(topic, message_id, now) and not self.promises.awaited(message_id, now):
                    missed[message_id] = None
        asked = chosen(list(missed), MAX_IDS - neighbour.ids_asked, self._rng)
        if asked:
            neighbour.ids_asked += len(asked)
            self._counts.asked += len(asked)
            self.promises.asked(neighbour.peer, asked, now)
            self._outbox.iwant(neighbour.peer, asked)

    def iwant(self, neighbour: Neighbour, entries: Sequence[Sequence[bytes]], now: float) -> None:
        """IWANT: hand out what is asked for, within the peer's share of this heartbeat."""
        if self._scores.score(neighbour.peer, now) < self._parameters.score.thresholds.gossip:
            return
        for ids in entries:
            neighbour.iwant_entries += 1
            if neighbour.iwant_entries > MAX_IWANT_ENTRIES:
                return
            for message_id in ids:
                if neighbour.answered >= MAX_ANSWER_BYTES:
                    return
                message = self.cache.demanded(message_id, neighbour.peer)
                if message is not None:
                    neighbour.answered += len(message.encoded)
                    self._counts.answered += 1
                    self._outbox.message(neighbour.peer, message, Urgency.FORWARD)

    def heartbeat(self, now: float) -> dict[str, int]:
        """Announce the newest messages, move the windows on; who broke how many promises."""
        room: dict[str, int] = {}
        for topic, ids in self.cache.announced().items():
            served = self._mesh.served(topic)
            if served is not None:
                self._announce(topic, ids, served, room, now)
        self.cache.shift()
        broken = self.promises.broken(now)
        self._counts.broken_promises += sum(broken.values())
        return broken

    def _announce(
        self, topic: str, ids: list[bytes], served: dict[str, None], room: dict[str, int], now: float
    ) -> None:
        """To a quarter of the topic's other peers, at least `degree_lazy`. room: ids left for each peer."""
        parameters = self._parameters
        others = [
            peer
            for peer in self._neighbours.within(topic)
            if peer not in served
            and peer not in self._direct
            and self._scores.score(peer, now) >= parameters.score.thresholds.gossip
        ]
        count = max(parameters.degree_lazy, int(parameters.gossip_factor * len(others)))
        for peer in chosen(others, count, self._rng):
            left = room.get(peer, MAX_IDS)
            told = ids if len(ids) <= left else chosen(ids, left, self._rng)
            if told:
                room[peer] = left - len(told)
                self._counts.announced += len(told)
                self._outbox.ihave(peer, topic, told)
