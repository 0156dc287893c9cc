"""The gossipsub router: one event in, effects out (gossipsub v1.0 and v1.1).

Nothing is sent while there is nothing to say: a heartbeat speaks only when a mesh needs mending or there
are fresh messages to announce, and stops altogether without neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from swarmnode.protocols.gossipsub.counts import Counts, GossipState, TopicState
from swarmnode.protocols.gossipsub.exchange import Exchange
from swarmnode.protocols.gossipsub.intake import Intake
from swarmnode.protocols.gossipsub.lazy import LazyGossip
from swarmnode.protocols.gossipsub.mesh import Mesh
from swarmnode.protocols.gossipsub.messages import Message, make_message
from swarmnode.protocols.gossipsub.neighbours import Neighbour, Neighbours
from swarmnode.protocols.gossipsub.outbox import Outbox
from swarmnode.protocols.gossipsub.parameters import (
    MAX_OWN_TOPICS,
    MAX_PEERS,
    MAX_TOPIC_DATA_BYTES,
    GossipParameters,
    Rng,
)
from swarmnode.protocols.gossipsub.rpc import Rpc, read_rpc
from swarmnode.protocols.gossipsub.scoring import Scores
from swarmnode.protocols.gossipsub.seen import Fate
from swarmnode.protocols.gossipsub.vocabulary import (
    ConnectTo,
    Disconnect,
    Effect,
    Event,
    PeerAdded,
    PeerGone,
    PeerReopened,
    Penalise,
    Publish,
    RecordOf,
    Regard,
    RpcIn,
    Subscribe,
    Unsubscribe,
    Urgency,
)
from swarmnode.values.errors import PeerFault
from swarmnode.values.peer_id import peer_id_bytes

_SEQNO_MASK = (1 << 64) - 1


class GossipMachine:
    """peer_id: ours. sign: an Ed25519 signature by its key, 64 bytes. first_seqno: higher than any used by
    this peer id before, such as Unix nanoseconds at the start. record_of: what peer exchange may show."""

    def __init__(
        self,
        peer_id: str,
        sign: Callable[[bytes], bytes],
        rng: Rng,
        first_seqno: int,
        parameters: GossipParameters | None = None,
        record_of: RecordOf = lambda peer: None,
    ) -> None:
        self._peer_id, self._sign, self._rng, self._seqno = peer_id, sign, rng, first_seqno
        self.parameters = parameters or GossipParameters()
        self.counts = Counts()
        self.scores = Scores(self.parameters.score)
        self._direct = frozenset(self.parameters.direct)
        self._neighbours, self._outbox = Neighbours(), Outbox()
        self._mesh = Mesh(self.parameters, self._neighbours, self.scores, self._outbox, rng, record_of)
        self._intake = Intake(peer_id_bytes(peer_id), self.scores, self._outbox, self.counts)
        shared = (self.parameters, self._neighbours, self.scores, self._mesh, self._outbox, rng)
        self._lazy = LazyGossip(*shared, self.counts, self._intake.wanted)
        self._exchange = Exchange(peer_id, self._neighbours, self._mesh, self._outbox)
        self._tick = 0
        self._next: float | None = None
        self._on: dict[type, Callable[[Any, float], None]] = {
            PeerAdded: self._peer_added,
            PeerReopened: self._peer_reopened,
            PeerGone: self._peer_gone,
            RpcIn: self._rpc_in,
            Subscribe: self._subscribe,
            Unsubscribe: self._unsubscribe,
            Publish: self._publish,
            Regard: self._regard,
        }

    @property
    def deadline(self) -> float | None:
        """The next heartbeat."""
        return self._next

    def handle(self, event: Event | None, now: float) -> list[Effect]:
        """Take one event (None: the deadline has passed)."""
        if event is not None:
            self._on[type(event)](event, now)
        elif self._next is not None and now >= self._next:
            self._heartbeat(now)
            self._next = now + self.parameters.heartbeat if self._busy() else None
        if self._next is None and self._busy():
            # Not all nodes at once that were started together.
            self._next = now + self.parameters.heartbeat * (0.1 + 0.9 * self._rng.random())
        return self._outbox.flush()

    def snapshot(self, now: float) -> GossipState:
        """How things stand, for metrics."""
        topics = (
            TopicState(t, len(self._neighbours.within(t)), tuple(self._mesh.members(t)))
            for t in self._intake.topics
        )
        cache = self._lazy.cache
        return GossipState(
            peers=len(self._neighbours),
            topics=tuple(topics),
            scores=self.scores.snapshot(now),
            counts=replace(self.counts),
            seen=len(self._intake.seen),
            cached=len(cache),
            cached_bytes=cache.size,
            retained=self.scores.retained,
        )

    # Neighbours.

    def _peer_added(self, event: PeerAdded, now: float) -> None:
        if event.peer == self._peer_id or (
            len(self._neighbours) >= MAX_PEERS and event.peer not in self._neighbours
        ):
            return
        self._neighbours.add(event.peer, outbound=event.outbound)
        self.scores.added(event.peer, event.ip, now)
        self._greet(event.peer)

    def _peer_reopened(self, event: PeerReopened, now: float) -> None:
        """What the peer may have missed is said again: our topics, and whose meshes it is in."""
        if event.peer in self._neighbours:
            self._greet(event.peer)
            self._mesh.say_again(event.peer)

    def _greet(self, peer: str) -> None:
        for topic in self._intake.topics:
            self._outbox.subscription(peer, topic, True)

    def _peer_gone(self, event: PeerGone, now: float) -> None:
        if event.peer in self._neighbours:
            self._mesh.forget(event.peer, now)
            self._lazy.promises.forget(event.peer)
            self._neighbours.remove(event.peer)
            self.scores.gone(event.peer, now)
            self._outbox.forget(event.peer)

    def _regard(self, event: Regard, now: float) -> None:
        self.scores.regard(event.peer, event.points, now)

    # Our own part.

    def _subscribe(self, event: Subscribe, now: float) -> None:
        known = event.topic in self._intake.topics
        if not known and len(self._intake.topics) >= MAX_OWN_TOPICS:
            return
        self._intake.subscribe(event, self.parameters.score.topic)
        self.scores.know_topic(event.topic, event.score)
        if not known:
            for neighbour in self._neighbours.all():
                self._outbox.subscription(neighbour.peer, event.topic, True)
            self._mesh.join(event.topic, now)

    def _unsubscribe(self, event: Unsubscribe, now: float) -> None:
        if self._intake.topics.pop(event.topic, None) is not None:
            for neighbour in self._neighbours.all():
                self._outbox.subscription(neighbour.peer, event.topic, False)
            self._mesh.leave(event.topic, now)

    def _publish(self, event: Publish, now: float) -> None:
        if len(event.data) > MAX_TOPIC_DATA_BYTES:
            return
        self._seqno = (self._seqno + 1) & _SEQNO_MASK
        message = make_message(self._peer_id, self._sign, self._seqno, event.topic, event.data)
        self._intake.seen.add(message.id, Fate.VALID, now)
        self._lazy.cache.put(message)
        self.counts.published += 1
        for peer in self._recipients(event.topic, len(event.data), now):
            self._outbox.message(peer, message, Urgency.OWN)

    def _recipients(self, topic: str, size: int, now: float) -> list[str]:
        within, threshold = self._neighbours.within(topic), self.parameters.score.thresholds.publish
        if size <= self.parameters.flood_publish_bytes:
            return [p for p in within if p in self._direct or self.scores.score(p, now) >= threshold]
        served = self._mesh.members(topic) if topic in self._intake.topics else self._mesh.fanout(topic, now)
        return [*served, *(p for p in within if p in self._direct)]

    # What peers say.

    def _rpc_in(self, event: RpcIn, now: float) -> None:
        neighbour = self._neighbours.get(event.peer)
        if neighbour is None or not self._listens(neighbour, now):
            return
        try:
            rpc = read_rpc(event.data)
        except PeerFault as error:
            self.counts.malformed_rpcs += 1
            self.scores.slipped(event.peer, 1, now)
            self._outbox.effect(Disconnect(event.peer, error))
            return
        self._subscriptions(neighbour, rpc, now)
        self._messages(neighbour, rpc, now)
        self._control(neighbour, rpc, now)

    def _listens(self, neighbour: Neighbour, now: float) -> bool:
        """Whether the peer's score lets us listen; told once when it does not."""
        threshold = self.parameters.score.thresholds.graylist
        bad = neighbour.peer not in self._direct and self.scores.score(neighbour.peer, now) < threshold
        if bad:
            self.counts.graylisted_rpcs += 1
            if not neighbour.graylisted:
                error = PeerFault(
                    "The peer's gossip is not listened to: its score is too low", code="graylisted"
                )
                self._outbox.effect(Penalise(neighbour.peer, error))
        neighbour.graylisted = bad
        return not bad

    def _subscriptions(self, neighbour: Neighbour, rpc: Rpc, now: float) -> None:
        for topic, subscribe in rpc.subscriptions:
            if subscribe:
                self._neighbours.joined(neighbour.peer, topic)
            else:
                self._neighbours.left(neighbour.peer, topic)
                self._mesh.drop(topic, neighbour.peer, now)

    def _messages(self, neighbour: Neighbour, rpc: Rpc, now: float) -> None:
        for raw in rpc.messages:
            try:
                message = self._intake.take(neighbour.peer, raw, now)
            except PeerFault as error:
                self._outbox.effect(Penalise(neighbour.peer, error))
                if not self._listens(neighbour, now):
                    return
                continue
            if message is not None:
                self._lazy.promises.came(message.id)
                self._lazy.cache.put(message)
                self._forward(message, neighbour.peer)

    def _forward(self, message: Message, sender: str) -> None:
        members = self._mesh.members(message.topic)
        if self._direct:
            within = self._neighbours.within(message.topic)
            members += [p for p in within if p in self._direct and p not in members]
        for peer in members:
            if peer not in (sender, message.source):
                self.counts.forwarded += 1
                self._outbox.message(peer, message, Urgency.FORWARD)

    def _control(self, neighbour: Neighbour, rpc: Rpc, now: float) -> None:
        peer = neighbour.peer
        if rpc.ihave:
            self._lazy.ihave(neighbour, rpc.ihave, now)
        if rpc.iwant:
            self._lazy.iwant(neighbour, rpc.iwant, now)
        for topic in dict.fromkeys(rpc.graft):
            self._mesh.graft_received(topic, peer, now)
        trusted = self.scores.score(peer, now) >= self.parameters.score.thresholds.accept_exchange
        for prune in {p.topic: p for p in rpc.prune}.values():
            if trusted:
                self._exchange.take(prune, peer)
            self._mesh.prune_received(prune, peer, now)

    # Time.

    def _busy(self) -> bool:
        return bool(len(self._neighbours) or len(self._lazy.cache) or self._direct)

    def _heartbeat(self, now: float) -> None:
        for neighbour in self._neighbours.all():
            neighbour.begin_heartbeat()
        self._exchange.begin_heartbeat()
        self._mesh.heartbeat(self._tick, now)
        for peer, times in self._lazy.heartbeat(now).items():
            self.scores.slipped(peer, times, now)
        if self._tick % self.parameters.direct_ticks == 0:
            for peer in self.parameters.direct:
                if peer not in self._neighbours and peer != self._peer_id:
                    self._outbox.effect(ConnectTo(peer, None))
        self._intake.seen.expire(now)
        self.scores.expire(now)
        self._tick += 1
