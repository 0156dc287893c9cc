"""Gossip: the gossipsub router of this node, bound to its host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmnode.driving.driver import Clock, Driver
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.protocols.gossipsub.counts import GossipState
from swarmnode.protocols.gossipsub.machine import GossipMachine
from swarmnode.protocols.gossipsub.messages import checked_topic
from swarmnode.protocols.gossipsub.parameters import (
    MAX_DATA_BYTES,
    MAX_OWN_TOPICS,
    MAX_TOPIC_DATA_BYTES,
    PROTOCOLS,
    GossipParameters,
    Rng,
)
from swarmnode.protocols.gossipsub.score_parameters import TopicScore
from swarmnode.protocols.gossipsub.vocabulary import (
    ConnectTo,
    Deliver,
    Disconnect,
    PeerAdded,
    PeerGone,
    PeerReopened,
    Penalise,
    Publish,
    RecordOf,
    Regard,
    RpcIn,
    SendRpc,
    Subscribe,
    Unsubscribe,
    Urgency,
    Validator,
    Weigh,
)
from swarmnode.protocols.identify.peer_record import open_record
from swarmnode.services.gossip_streams import Listening, Speaking
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import LinkInfo

#: Peers from peer exchange that are being dialled at a time.
MAX_CONNECTING = 8
#: What a place in one of our meshes is worth where connections must go.
MESH_WEIGHT = 10.0

#: Called with each message that a topic's validator accepted.
Receive = Callable[[Deliver], None]


@dataclass(frozen=True, slots=True)
class _Topic:
    deliver: Receive
    max_bytes: int


@dataclass(slots=True)
class _Line:
    """A connected peer. known: the machine was told of it."""

    speaking: Speaking
    listening: Listening | None = None
    known: bool = False


@dataclass(frozen=True, slots=True)
class GossipStats:
    """For metrics. streams_in, streams_out: open now. slow_peers: connected ones for which something had to
    be dropped. dropped: RPCs so dropped since the start, by urgency. queued_bytes: waiting now."""

    state: GossipState
    streams_in: int
    streams_out: int
    slow_peers: int
    dropped: dict[str, int] = field(default_factory=dict)
    queued_bytes: int = 0
    failed_deliveries: int = 0


class Gossip:
    """sign: an Ed25519 signature of our identity. first_seqno: Unix nanoseconds at the start, so that numbers
    rise over restarts. connect: dials a peer of peer exchange, `Host.connect` unless given. penalise: told
    of every misbehaviour. standing: points that the application gives a peer (P5) when it appears; later
    ones by `regard`. record_of: signed peer records of others. log: structlog's."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        rng: Rng,
        sign: Callable[[bytes], bytes],
        first_seqno: int,
        log: Any,
        *,
        parameters: GossipParameters | None = None,
        connect: Callable[[str, Sequence[Multiaddr]], Any] | None = None,
        penalise: Callable[[str, PeerFault], None] = lambda peer, error: None,
        standing: Callable[[str], float] = lambda peer: 0.0,
        record_of: RecordOf = lambda peer: None,
    ) -> None:
        self._host, self._clock, self._log = host, clock, log
        self._connect, self._penalise, self._standing = connect or host.connect, penalise, standing
        self._machine = GossipMachine(host.peer_id, sign, rng, first_seqno, parameters, record_of)
        self._driver = Driver("gossip", self._machine, clock, self._execute_table(), self._failed)
        self._topics: dict[str, _Topic] = {}
        self._lines: dict[str, _Line] = {}
        self._dropped = dict.fromkeys(Urgency, 0)
        self._connecting = self._failed_deliveries = 0
        self._running = False

    def start(self) -> None:
        """Serve gossipsub, and speak it with everybody who is or will be connected."""
        self._running = True
        for protocol in PROTOCOLS:
            self._host.serve(protocol, self._accept)
        self._host.watch(self)
        for peer in self._host.peers():
            links = self._host.links(peer)
            if links:
                self.peer_connected(peer, links[0])

    def stop(self) -> None:
        """End all streams; nothing is delivered any more."""
        if not self._running:
            return
        self._running = False
        for protocol in PROTOCOLS:
            self._host.unserve(protocol)
        self._driver.stop()
        for peer in list(self._lines):
            self._hang_up(peer)

    def subscribe(
        self,
        topic: str,
        validator: Validator,
        deliver: Receive,
        *,
        max_bytes: int = MAX_DATA_BYTES,
        score: TopicScore | None = None,
    ) -> None:
        """Take part in a topic. Raises `Refused` for a name or a number of topics that cannot be."""
        checked_topic(topic)
        if topic not in self._topics and len(self._topics) >= MAX_OWN_TOPICS:
            raise Refused(f"No more than {MAX_OWN_TOPICS} gossip topics", code="too_many_topics")
        self._topics[topic] = _Topic(deliver, min(max_bytes, MAX_TOPIC_DATA_BYTES))
        self._driver.post(Subscribe(topic, validator, max_bytes, score))

    def unsubscribe(self, topic: str) -> None:
        """Leave a topic."""
        if self._topics.pop(topic, None) is not None:
            self._driver.post(Unsubscribe(topic))

    def publish(self, topic: str, data: bytes) -> None:
        """Sign a message and send it to the topic; it is not delivered here. Raises `Refused` when it is
        larger than the topic allows."""
        known = self._topics.get(checked_topic(topic))
        limit = MAX_TOPIC_DATA_BYTES if known is None else known.max_bytes
        if len(data) > limit:
            what = f"A gossip message in {topic} has {len(data)} bytes, {limit} are allowed"
            raise Refused(what, code="message_too_long", hint="Send large things over a stream of their own.")
        self._driver.post(Publish(topic, data))

    def regard(self, peer: str, points: float) -> None:
        """What the application thinks of a peer (P5), from now on while it is connected."""
        self._driver.post(Regard(peer, points))

    def stats(self) -> GossipStats:
        """How things stand."""
        lines = list(self._lines.values())
        dropped = {u: n + sum(v.speaking.queue.dropped[u] for v in lines) for u, n in self._dropped.items()}
        return GossipStats(
            state=self._machine.snapshot(self._clock.seconds()),
            streams_in=sum(line.listening is not None for line in lines),
            streams_out=sum(line.speaking.open for line in lines),
            slow_peers=sum(any(line.speaking.queue.dropped.values()) for line in lines),
            dropped={urgency.name.lower(): number for urgency, number in dropped.items()},
            queued_bytes=sum(line.speaking.queue.size for line in lines),
            failed_deliveries=self._failed_deliveries,
        )

    # What the host tells (`interfaces.host.HostWatcher`).

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        if self._running:
            self._line(peer).speaking.begin()

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        if peer in self._lines:
            self._hang_up(peer)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Whether it is dead is for others to say."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Of no use here."""

    def _accept(self, stream: Stream) -> StreamReceiver:
        """A peer opens its stream; a second one takes the first one's place."""
        peer = stream.peer
        line = self._line(peer)
        if line.listening is not None:
            line.listening.close()
        line.listening = Listening(
            stream,
            lambda data: self._driver.post(RpcIn(peer, data)),
            lambda error: self._host.disconnect(peer, error),
            lambda ended: self._deaf(line, ended),
        )
        self._meet(peer, line, stream.link)
        line.speaking.hurry()
        return line.listening

    def _line(self, peer: str) -> _Line:
        line = self._lines.get(peer)
        if line is None:
            speaking = Speaking(self._host, peer, self._clock, lambda link: self._opened(peer, link))
            line = self._lines[peer] = _Line(speaking)
        return line

    def _opened(self, peer: str, link: LinkInfo) -> None:
        line = self._lines[peer]
        if line.known:
            self._driver.post(PeerReopened(peer))
        else:
            self._meet(peer, line, link)

    def _meet(self, peer: str, line: _Line, link: LinkInfo) -> None:
        if not line.known:
            line.known = True
            self._driver.post(PeerAdded(peer, str(link.remote.ip or ""), outbound=not link.inbound))
            points = self._standing(peer)
            if points:
                self._driver.post(Regard(peer, points))

    @staticmethod
    def _deaf(line: _Line, ended: Listening) -> None:
        if line.listening is ended:
            line.listening = None

    def _hang_up(self, peer: str) -> None:
        line = self._lines.pop(peer)
        for urgency, number in line.speaking.queue.dropped.items():
            self._dropped[urgency] += number
        line.speaking.close()
        if line.listening is not None:
            line.listening.close()
        if line.known:
            self._driver.post(PeerGone(peer))

    # What the machine asks for.

    def _execute_table(self) -> dict[type, Callable[[Any], None]]:
        return {
            SendRpc: self._send,
            Deliver: self._deliver,
            ConnectTo: self._connect_to,
            Penalise: lambda effect: self._penalise(effect.peer, effect.error),
            Disconnect: lambda effect: self._host.disconnect(effect.peer, effect.error),
            Weigh: lambda effect: self._host.weigh(effect.peer, "gossip", MESH_WEIGHT * effect.meshes),
        }

    def _send(self, effect: SendRpc) -> None:
        line = self._lines.get(effect.peer)
        if line is not None:
            line.speaking.send(effect.data, effect.urgency)

    def _deliver(self, effect: Deliver) -> None:
        topic = self._topics.get(effect.topic)
        if topic is None:
            return
        try:
            topic.deliver(effect)
        except Exception:
            # A use case that fails on one message must not end gossip for all.
            self._failed_deliveries += 1
            self._log.exception("a gossip message could not be handled", topic=effect.topic)

    def _connect_to(self, effect: ConnectTo) -> None:
        if self._connecting >= MAX_CONNECTING:
            return
        try:
            addresses = () if effect.record is None else open_record(effect.record).addresses
        except PeerFault:
            return
        self._connecting += 1
        self._connect(effect.peer, addresses).addBoth(self._connected)

    def _connected(self, _: Any) -> None:
        self._connecting -= 1

    def _failed(self, error: SwarmnodeError) -> None:
        self._log.error("gossip has failed", reason=error.message, code=error.code)
        self.stop()
