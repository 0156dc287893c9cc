"""What this node thinks of its peers: the score function of gossipsub v1.1, P1 to P7.

Counters decay in steps of one interval, worked out when they are next looked at: an idle peer costs nothing.
A peer that leaves with a bad name is remembered for a while and does not recover meanwhile.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from swarmnode.protocols.gossipsub.score_parameters import ScoreParameters, TopicScore

#: Topics whose parameters and counters are kept.
MAX_SCORED_TOPICS = 256
#: Points the application can give or take.
MAX_REGARD = 1000.0


@dataclass(slots=True)
class _InTopic:
    """A peer's counters in a topic. grafted: when it came into the mesh, None outside."""

    grafted: float | None = None
    first: float = 0.0
    rate: float = 0.0
    failure: float = 0.0
    invalid: float = 0.0

    def deficit(self, parameters: TopicScore, now: float) -> float:
        """P3: what is missing of the expected deliveries."""
        active = self.grafted is not None and now - self.grafted > parameters.rate_activation
        return max(0.0, parameters.rate_threshold - self.rate) if active and parameters.rate_weight else 0.0


@dataclass(slots=True)
class _Standing:
    """One peer. tick: up to which its counters have decayed. group: whom it shares an address with."""

    tick: int
    group: str = ""
    connected: bool = True
    forgotten_at: float = 0.0
    regard: float = 0.0
    behaviour: float = 0.0
    topics: dict[str, _InTopic] = field(default_factory=dict)
    #: The score without P6, as it was worked out last; None when something has changed.
    known: float | None = None


@dataclass(frozen=True, slots=True)
class PeerScore:
    """A peer's score and its parts, for metrics. topics: points of P1 to P4 together, before the cap."""

    peer: str
    score: float
    topics: float
    application: float
    colocation: float
    behaviour: float


def address_group(ip: str) -> str:
    """Who counts as one address: an IPv4 address, an IPv6 /64; empty for addresses that are exempt."""
    try:
        address = ipaddress.ip_address(ip.split("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if not address.is_global:
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class Scores:
    """The scores of all peers. Unknown peers have 0."""

    def __init__(self, parameters: ScoreParameters) -> None:
        self._parameters = parameters
        self._topics: dict[str, TopicScore] = {}
        self._peers: dict[str, _Standing] = {}
        self._groups: dict[str, int] = {}
        self._retained = 0

    def know_topic(self, topic: str, parameters: TopicScore | None) -> None:
        """Count what happens in a topic from now on; None for the usual parameters."""
        if topic in self._topics or len(self._topics) < MAX_SCORED_TOPICS:
            self._topics[topic] = parameters or self._parameters.topic

    def added(self, peer: str, ip: str, now: float) -> None:
        """The peer is connected."""
        standing = self._peers.get(peer)
        if standing is None:
            standing = self._peers[peer] = _Standing(self._tick(now))
        elif not standing.connected:
            # It served its time outside: nothing decayed meanwhile.
            self._retained -= 1
            standing.tick, standing.connected = self._tick(now), True
        else:
            self._leave_group(standing)
        standing.known = None
        standing.group = address_group(ip)
        if standing.group:
            self._groups[standing.group] = self._groups.get(standing.group, 0) + 1

    def gone(self, peer: str, now: float) -> None:
        """The peer is not connected any more; what it is blamed for stays."""
        standing = self._peers.get(peer)
        if standing is None or not standing.connected:
            return
        for topic in standing.topics:
            self.left(peer, topic, now)
        score = self.score(peer, now)
        self._leave_group(standing)
        if score >= 0 and not self._blamed(standing):
            del self._peers[peer]
            return
        for counters in standing.topics.values():
            counters.first = counters.rate = 0.0
        standing.connected, standing.known = False, None
        standing.forgotten_at = now + self._parameters.retain
        self._retained += 1
        if self._retained > self._parameters.retained:
            self._forget_best(now)

    def expire(self, now: float) -> None:
        """Forget those whose time is over. Called now and then."""
        if self._retained:
            for peer in [p for p, s in self._peers.items() if not s.connected and s.forgotten_at <= now]:
                self._forget(peer)

    def grafted(self, peer: str, topic: str, now: float) -> None:
        """The peer came into a mesh."""
        counters = self._counters(peer, topic, now)
        if counters is not None:
            counters.grafted = now

    def left(self, peer: str, topic: str, now: float) -> None:
        """The peer left a mesh: a deficit in what it should have delivered sticks (P3b)."""
        counters, parameters = self._counters(peer, topic, now), self._topics.get(topic)
        if counters is not None and parameters is not None and counters.grafted is not None:
            counters.failure += counters.deficit(parameters, now) ** 2
            counters.grafted = None

    def delivered(self, peer: str, topic: str, now: float, *, first: bool) -> None:
        """The peer brought a valid message, as the first or nearly so (P2, P3)."""
        counters, parameters = self._counters(peer, topic, now), self._topics.get(topic)
        if counters is None or parameters is None:
            return
        if first:
            counters.first = min(counters.first + 1, parameters.first_cap)
        if counters.grafted is not None:
            counters.rate = min(counters.rate + 1, parameters.rate_cap)

    def invalid(self, peer: str, topic: str, now: float) -> None:
        """The peer brought an invalid message (P4); in a topic that is not known it is a slip (P7)."""
        counters = self._counters(peer, topic, now)
        if counters is None:
            self.slipped(peer, 1, now)
        else:
            counters.invalid += 1

    def slipped(self, peer: str, times: float, now: float) -> None:
        """The peer broke the protocol's manners (P7)."""
        standing = self._fresh(peer, now)
        if standing is not None:
            standing.behaviour += times

    def regard(self, peer: str, points: float, now: float) -> None:
        """What the application thinks of it (P5)."""
        standing = self._fresh(peer, now)
        if standing is not None:
            standing.regard = max(-MAX_REGARD, min(MAX_REGARD, points))

    def score(self, peer: str, now: float) -> float:
        """The peer's score now."""
        standing = self._peers.get(peer)
        if standing is None:
            return 0.0
        if standing.known is None or standing.tick != self._tick(now):
            self._decay(standing, now)
            topics, application, behaviour = self._parts(standing, now)
            standing.known = min(topics, self._parameters.topics_cap) + application + behaviour
        return standing.known + self._colocation(standing)

    def snapshot(self, now: float) -> tuple[PeerScore, ...]:
        """All connected peers' scores."""
        shown = []
        for peer, standing in self._peers.items():
            if standing.connected:
                score = self.score(peer, now)
                topics, application, behaviour = self._parts(standing, now)
                shown.append(
                    PeerScore(peer, score, topics, application, self._colocation(standing), behaviour)
                )
        return tuple(shown)

    @property
    def retained(self) -> int:
        """Peers remembered that are not connected."""
        return self._retained

    # The parts of the function.

    def _parts(self, standing: _Standing, now: float) -> tuple[float, float, float]:
        parameters = self._parameters
        topics = 0.0
        for topic, counters in standing.topics.items():
            topics += self._in_topic(counters, self._topics[topic], now)
        surplus = max(0.0, standing.behaviour - parameters.behaviour_threshold)
        application = parameters.application_weight * standing.regard
        return topics, application, parameters.behaviour_weight * surplus * surplus

    def _in_topic(self, counters: _InTopic, parameters: TopicScore, now: float) -> float:
        points = parameters.first_weight * counters.first
        if counters.grafted is not None:
            quanta = (now - counters.grafted) / parameters.time_in_mesh_quantum
            points += parameters.time_in_mesh_weight * min(quanta, parameters.time_in_mesh_cap)
            points += parameters.rate_weight * counters.deficit(parameters, now) ** 2
        points += parameters.failure_weight * counters.failure
        points += parameters.invalid_weight * counters.invalid * counters.invalid
        return parameters.weight * points

    def _colocation(self, standing: _Standing) -> float:
        if not standing.group:
            return 0.0
        surplus = self._groups.get(standing.group, 0) - self._parameters.colocation_threshold
        return self._parameters.colocation_weight * surplus * surplus if surplus > 0 else 0.0

    # Decay and memory.

    def _tick(self, now: float) -> int:
        return int(now / self._parameters.interval)

    def _fresh(self, peer: str, now: float) -> _Standing | None:
        standing = self._peers.get(peer)
        if standing is None or not standing.connected:
            return None
        self._decay(standing, now)
        standing.known = None
        return standing

    def _counters(self, peer: str, topic: str, now: float) -> _InTopic | None:
        if topic not in self._topics:
            return None
        standing = self._fresh(peer, now)
        return None if standing is None else standing.topics.setdefault(topic, _InTopic())

    def _decay(self, standing: _Standing, now: float) -> None:
        ticks = self._tick(now) - standing.tick if standing.connected else 0
        if ticks <= 0:
            return
        standing.tick += ticks
        zero = self._parameters.zero
        standing.behaviour = _decayed(standing.behaviour, self._parameters.behaviour_decay, ticks, zero)
        for topic, counters in standing.topics.items():
            parameters = self._topics[topic]
            counters.first = _decayed(counters.first, parameters.first_decay, ticks, zero)
            counters.rate = _decayed(counters.rate, parameters.rate_decay, ticks, zero)
            counters.failure = _decayed(counters.failure, parameters.failure_decay, ticks, zero)
            counters.invalid = _decayed(counters.invalid, parameters.invalid_decay, ticks, zero)

    def _blamed(self, standing: _Standing) -> bool:
        return standing.behaviour > 0 or any(c.failure or c.invalid for c in standing.topics.values())

    def _leave_group(self, standing: _Standing) -> None:
        if standing.group:
            left = self._groups[standing.group] - 1
            if left:
                self._groups[standing.group] = left
            else:
                del self._groups[standing.group]
            standing.group = ""

    def _forget_best(self, now: float) -> None:
        """Room for new ones: an eighth of those remembered goes, the least blamed first, so that a crowd of
        newcomers cannot wash away the worst."""
        absent = [p for p, s in self._peers.items() if not s.connected]
        absent.sort(key=lambda p: -self.score(p, now))
        for peer in absent[: max(1, len(absent) // 8)]:
            self._forget(peer)

    def _forget(self, peer: str) -> None:
        del self._peers[peer]
        self._retained -= 1


def _decayed(value: float, factor: float, ticks: int, zero: float) -> float:
    if not value:
        return 0.0
    value *= factor**ticks
    return value if value >= zero else 0.0
