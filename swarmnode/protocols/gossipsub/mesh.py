"""The meshes: with whom this node exchanges a topic's messages in full (gossipsub v1.0 and v1.1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from swarmnode.protocols.gossipsub.backoff import Backoffs
from swarmnode.protocols.gossipsub.neighbours import Neighbours
from swarmnode.protocols.gossipsub.outbox import Outbox
from swarmnode.protocols.gossipsub.parameters import (
    CLEAR_TICKS,
    MAX_EXCHANGE_BYTES,
    MAX_EXCHANGED,
    MAX_OWN_TOPICS,
    MAX_RECORD_BYTES,
    GossipParameters,
    Rng,
)
from swarmnode.protocols.gossipsub.rpc import Exchanged, Prune
from swarmnode.protocols.gossipsub.scoring import Scores
from swarmnode.protocols.gossipsub.selection import better_candidates, chosen, quota_candidates, surplus
from swarmnode.protocols.gossipsub.vocabulary import RecordOf, Weigh


@dataclass(slots=True)
class _Fanout:
    """Where messages go in a topic that this node does not subscribe to."""

    until: float
    peers: dict[str, None] = field(default_factory=dict)


class Mesh:
    """All topics' meshes and fanouts."""

    def __init__(
        self,
        parameters: GossipParameters,
        neighbours: Neighbours,
        scores: Scores,
        outbox: Outbox,
        rng: Rng,
        record_of: RecordOf,
    ) -> None:
        self._parameters, self._neighbours, self._scores = parameters, neighbours, scores
        self._outbox, self._rng, self._record_of = outbox, rng, record_of
        self._direct = frozenset(parameters.direct)
        self._meshes: dict[str, dict[str, None]] = {}
        self._fanouts: dict[str, _Fanout] = {}
        self._backoffs = Backoffs()

    # What is there.

    def topics(self) -> list[str]:
        """Those with a mesh."""
        return list(self._meshes)

    def members(self, topic: str) -> list[str]:
        """The peers in a topic's mesh."""
        return list(self._meshes.get(topic, ()))

    def served(self, topic: str) -> dict[str, None] | None:
        """Who gets the topic's messages in full, in the mesh or else the fanout; None when nobody could."""
        if topic in self._meshes:
            return self._meshes[topic]
        fanout = self._fanouts.get(topic)
        return None if fanout is None else fanout.peers

    def fanout(self, topic: str, now: float) -> list[str]:
        """The peers for a message of our own in a topic not subscribed to; kept for its successors."""
        parameters = self._parameters
        fanout = self._fanouts.pop(topic, None) or _Fanout(now)
        fanout.until = now + parameters.fanout_ttl
        self._fanouts[topic] = fanout
        if len(self._fanouts) > MAX_OWN_TOPICS:
            del self._fanouts[next(iter(self._fanouts))]
        fit = [p for p in self._neighbours.within(topic) if self._publishable(p, now)]
        fanout.peers = {p: None for p in fanout.peers if p in fit}
        others = [p for p in fit if p not in fanout.peers]
        fanout.peers.update(dict.fromkeys(chosen(others, parameters.degree - len(fanout.peers), self._rng)))
        return list(fanout.peers)

    # What happens.

    def join(self, topic: str, now: float) -> None:
        """This node subscribes: a mesh is formed at once, from the fanout first."""
        if topic in self._meshes:
            return
        self._meshes[topic] = {}
        former = self._fanouts.pop(topic, None)
        candidates = self._candidates(topic, now)
        first = [p for p in candidates if former is not None and p in former.peers]
        for peer in first[: self._parameters.degree]:
            self._graft(topic, peer, now)
        self._refill(topic, now)

    def leave(self, topic: str, now: float) -> None:
        """This node unsubscribes: those in the mesh are told, and left alone for a short while."""
        for peer in self.members(topic):
            self._prune(topic, peer, now, self._parameters.unsubscribe_backoff, exchange=False)
        self._meshes.pop(topic, None)

    def drop(self, topic: str, peer: str, now: float) -> None:
        """The peer has left the topic, or put us out of its mesh."""
        if self._meshes.get(topic, {}).pop(peer, "absent") is None:
            self._scores.left(peer, topic, now)
            self._weigh(peer, -1)
        if topic in self._fanouts:
            self._fanouts[topic].peers.pop(peer, None)

    def forget(self, peer: str, now: float) -> None:
        """The peer has gone."""
        for topic in list(self._meshes):
            self.drop(topic, peer, now)
        for fanout in self._fanouts.values():
            fanout.peers.pop(peer, None)

    def graft_received(self, topic: str, peer: str, now: float) -> None:
        """GRAFT: the peer has us in its mesh. Topics that are not ours are passed over in silence
        (v1.1, Spam Protection Measures)."""
        mesh = self._meshes.get(topic)
        if mesh is None or peer in mesh:
            return
        parameters, until = self._parameters, self._backoffs.until(topic, peer)
        if peer in self._direct:
            self._refuse(topic, peer, now, exchange=False)
        elif now < until:
            # Much too early is worse than too early.
            flood = now < until - parameters.prune_backoff + parameters.graft_flood
            self._scores.slipped(peer, 2 if flood else 1, now)
            self._refuse(topic, peer, now, exchange=False)
        elif self._scores.score(peer, now) < 0:
            self._refuse(topic, peer, now, exchange=False)
        elif len(mesh) >= parameters.degree_high and not self._outbound(peer):
            self._refuse(topic, peer, now, exchange=True)
        else:
            # Whoever grafts has subscribed, whether or not we have heard of it.
            self._neighbours.joined(peer, topic)
            self._enter(topic, peer, now)

    def say_again(self, peer: str) -> None:
        """GRAFT where the peer is in our mesh already; it means nothing to a peer that knows."""
        for topic, mesh in self._meshes.items():
            if peer in mesh:
                self._outbox.graft(peer, topic)

    def prune_received(self, prune: Prune, peer: str, now: float) -> None:
        """PRUNE: the peer has us in its mesh no longer. A slack is waited beyond the back-off, so that we are
        not too early by its clock."""
        if prune.topic not in self._meshes:
            return
        self.drop(prune.topic, peer, now)
        backoff = self._parameters.prune_backoff if prune.backoff is None else prune.backoff
        self._backoffs.add(prune.topic, peer, now + backoff + 2 * self._parameters.heartbeat)

    def heartbeat(self, tick: int, now: float) -> None:
        """Keep every mesh healthy; does nothing where it is."""
        for topic in list(self._meshes):
            self._maintain(topic, tick, now)
        if tick % CLEAR_TICKS == 0:
            self._backoffs.expire(now)
        for topic in [t for t, fanout in self._fanouts.items() if fanout.until <= now]:
            del self._fanouts[topic]

    # How.

    def _maintain(self, topic: str, tick: int, now: float) -> None:
        parameters, mesh = self._parameters, self._meshes[topic]
        backoff = parameters.prune_backoff
        for peer in [p for p in mesh if self._scores.score(p, now) < 0]:
            self._prune(topic, peer, now, backoff, exchange=False)
        if len(mesh) < parameters.degree_low:
            self._refill(topic, now)
        elif len(mesh) > parameters.degree_high:
            leaving = surplus(list(mesh), self._scorer(now), self._outbound, parameters, self._rng)
            for peer in leaving:
                self._prune(topic, peer, now, backoff, exchange=True)
        if len(mesh) >= parameters.degree_low:
            self._balance(topic, tick, now)

    def _balance(self, topic: str, tick: int, now: float) -> None:
        """Enough peers that we dialled, and now and then better ones."""
        parameters, mesh = self._parameters, self._meshes[topic]
        members = list(mesh)
        if sum(self._outbound(p) for p in members) < parameters.degree_out:
            candidates = self._candidates(topic, now)
            for peer in quota_candidates(members, candidates, self._outbound, parameters, self._rng):
                self._graft(topic, peer, now)
        if tick % parameters.opportunistic_ticks == 0:
            candidates, score = self._candidates(topic, now), self._scorer(now)
            for peer in better_candidates(list(mesh), candidates, score, parameters, self._rng):
                self._graft(topic, peer, now)

    def _refill(self, topic: str, now: float) -> None:
        missing = self._parameters.degree - len(self._meshes[topic])
        for peer in chosen(self._candidates(topic, now), missing, self._rng):
            self._graft(topic, peer, now)

    def _candidates(self, topic: str, now: float) -> list[str]:
        mesh = self._meshes[topic]
        return [
            peer
            for peer in self._neighbours.within(topic)
            if peer not in mesh
            and peer not in self._direct
            and self._backoffs.until(topic, peer) <= now
            and self._scores.score(peer, now) >= 0
        ]

    def _graft(self, topic: str, peer: str, now: float) -> None:
        self._enter(topic, peer, now)
        self._outbox.graft(peer, topic)

    def _enter(self, topic: str, peer: str, now: float) -> None:
        self._meshes[topic][peer] = None
        self._scores.grafted(peer, topic, now)
        self._weigh(peer, 1)

    def _prune(self, topic: str, peer: str, now: float, backoff: float, *, exchange: bool) -> None:
        self.drop(topic, peer, now)
        self._backoffs.add(topic, peer, now + backoff)
        known = self._exchanged(topic, peer, now) if exchange else ()
        self._outbox.prune(peer, Prune(topic, known, backoff))

    def _refuse(self, topic: str, peer: str, now: float, *, exchange: bool) -> None:
        self._prune(topic, peer, now, self._parameters.prune_backoff, exchange=exchange)

    def _exchanged(self, topic: str, peer: str, now: float) -> tuple[Exchanged, ...]:
        """Peers for one that has to go, to find a mesh elsewhere with."""
        known: list[Exchanged] = []
        room = MAX_EXCHANGE_BYTES
        others = [p for p in self._neighbours.within(topic) if p != peer]
        for other in chosen(others, len(others), self._rng):
            record = self._record_of(other)
            if not record or len(record) > min(room, MAX_RECORD_BYTES) or self._scores.score(other, now) < 0:
                continue
            known.append(Exchanged(other, record))
            room -= len(record)
            if len(known) == MAX_EXCHANGED:
                break
        return tuple(known)

    def _publishable(self, peer: str, now: float) -> bool:
        threshold = self._parameters.score.thresholds.publish
        return peer not in self._direct and self._scores.score(peer, now) >= threshold

    def _outbound(self, peer: str) -> bool:
        neighbour = self._neighbours.get(peer)
        return neighbour is not None and neighbour.outbound

    def _scorer(self, now: float) -> Callable[[str], float]:
        return lambda peer: self._scores.score(peer, now)

    def _weigh(self, peer: str, change: int) -> None:
        neighbour = self._neighbours.get(peer)
        if neighbour is not None:
            neighbour.meshes += change
            self._outbox.effect(Weigh(peer, neighbour.meshes))
