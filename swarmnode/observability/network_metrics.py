"""What the peer-to-peer network counts, layer by layer, for Prometheus: read from the parts when it asks.

No label holds a peer or an address: there are as many of those as strangers like. Labels are topics of ours,
codes of errors of ours, and words of the tables below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from swarmnode.observability.metrics import PREFIX

RTT_BUCKETS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0)
#: Upper ends of the bands that trust is told in.
TRUST_BANDS = (0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
#: Different values of one label in one family; the rest are added up as `other`.
MAX_VALUES = 64
OTHER = "other"

#: Values of one family: by the value of its one label, or by the empty text where it has none.
Values = Mapping[str, float]
#: The parts of a network, as `network_stack.NetworkStack`.
Parts = Any


def _plain(value: float) -> Values:
    return {"": value}


def _gossip_counts(parts: Parts) -> Values:
    counts = parts.gossip.stats().state.counts
    names = ("published", "delivered", "forwarded", "duplicates", "ignored", "invalid", "foreign")
    return {name: getattr(counts, name) for name in names}


def _members(parts: Parts) -> Values:
    states = Counter(member.state for member in parts.swarm.members())
    return {state: states[state] for state in ("alive", "suspect")}


def _trust(parts: Parts) -> Values:
    bands = dict.fromkeys(map(str, TRUST_BANDS), 0.0)
    for peer in parts.host.peers():
        score = parts.trust.score(peer)
        bands[str(next(band for band in TRUST_BANDS if score <= band))] += 1
    return bands


def _handshakes(parts: Parts) -> Values:
    failed: Counter[str] = Counter()
    for carrier in parts.carriers:
        failed.update(getattr(carrier, "failed_handshakes", dict)())
    return failed


Row = tuple[str, str, str, Callable[[Parts], Values]]
#: name, meaning, label (or empty), and the figures.
_GAUGES: tuple[Row, ...] = (
    (
        "connections",
        "Connections in use, by who made them",
        "direction",
        lambda n: {"in": n.host.stats().inbound, "out": n.host.stats().outbound},
    ),
    ("connections_pending", "Connections not in use yet", "", lambda n: _plain(n.host.stats().pending)),
    ("streams", "Streams open now", "", lambda n: _plain(n.host.stats().streams)),
    ("peers_quiet", "Connected peers that owe an answer", "", lambda n: _plain(n.trips.quiet())),
    ("peers_known", "Peers in the peer book", "", lambda n: _plain(len(n.book.peers()))),
    ("peers_trust", "Connected peers by trust: at most so much", "at_most", _trust),
    ("members", "Members of the swarm but this node, by state", "state", _members),
    (
        "gossip_mesh_peers",
        "Peers in the mesh of a gossip topic",
        "topic",
        lambda n: {topic.topic: len(topic.mesh) for topic in n.gossip.stats().state.topics},
    ),
    (
        "gossip_queued_bytes",
        "Gossip that waits for slow peers",
        "",
        lambda n: _plain(n.gossip.stats().queued_bytes),
    ),
    ("dht_peers", "Peers in the DHT's routing table", "", lambda n: _plain(n.dht.facts().peers)),
    ("dht_records", "Records kept for the DHT", "", lambda n: _plain(n.dht.facts().records)),
    ("dht_provided_keys", "Keys whose providers are kept", "", lambda n: _plain(n.dht.facts().provided)),
    ("dht_queries", "Look-ups in the DHT under way", "", lambda n: _plain(n.dht.facts().queries)),
    (
        "requests_open",
        "Requests between peers under way, by who asked",
        "asker",
        lambda n: {"us": n.talk.stats()["asked"], "peers": n.talk.stats()["serving"]},
    ),
)
_COUNTERS: tuple[Row, ...] = (
    (
        "bytes",
        "Bytes of connections with peers, handshakes and all",
        "direction",
        lambda n: {"in": n.host.stats().received, "out": n.host.stats().sent},
    ),
    ("dials", "Attempts to reach an address, by outcome", "outcome", lambda n: n.host.stats().dials),
    (
        "arrivals",
        "Secured connections on arrival, by outcome",
        "outcome",
        lambda n: n.host.stats().arrivals,
    ),
    ("disconnects", "Connections that ended, by reason", "reason", lambda n: n.host.stats().ends),
    ("handshakes_failed", "Inbound handshakes that failed, by reason", "reason", _handshakes),
    ("penalties", "Faults of peers that cost them trust, by code", "code", lambda n: n.faults.counts()),
    ("gossip_messages", "Gossip messages by what became of them", "outcome", _gossip_counts),
    (
        "gossip_dropped",
        "Gossip dropped because a peer was slow, by urgency",
        "urgency",
        lambda n: n.gossip.stats().dropped,
    ),
    ("swarm_messages", "Signed messages of the swarm by verdict", "verdict", lambda n: n.broadcast.stats()),
    ("member_changes", "Members that came and went, by how", "change", lambda n: n.churn.counts()),
    (
        "dht_requests",
        "Requests in the DHT, by who asked",
        "asker",
        lambda n: {"us": n.dht.facts().asked, "peers": n.dht.facts().answered},
    ),
    ("mdns_packets", "Multicast DNS packets", "direction", lambda n: _packets(n.searches)),
)


def _packets(searches: Iterable[Any]) -> Values:
    found: Counter[str] = Counter()
    for search in searches:
        found.update(getattr(search, "packets", dict)())
    return {direction: found[direction] for direction in ("in", "out")}


class NetworkMetrics(Collector):
    """A collector for a registry; also holds the histogram of round trips, which `parts.trips` fills."""

    def __init__(self, parts: Parts, registry: CollectorRegistry) -> None:
        self._parts = parts
        round_trips = Histogram(
            f"{PREFIX}network_rtt_seconds",
            "Round trips measured on connections",
            buckets=RTT_BUCKETS,
            registry=registry,
        )
        parts.trips.observe = round_trips.observe
        registry.register(self)

    def describe(self) -> Iterator[Metric]:
        """The families, without asking anybody."""
        return self._families(lambda read: {})

    def collect(self) -> Iterator[Metric]:
        """The families with what is known now."""
        return self._families(lambda read: _bounded(read(self._parts)))

    def _families(self, values: Callable[[Callable[[Parts], Values]], Values]) -> Iterator[Metric]:
        kinds = ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS))
        for make, table in kinds:
            for name, meaning, label, read in table:
                family = make(f"{PREFIX}network_{name}", meaning, labels=[label] if label else [])
                for value, figure in sorted(values(read).items()):
                    family.add_metric([value] if label else [], figure)
                yield family


def _bounded(values: Values) -> Values:
    if len(values) <= MAX_VALUES:
        return values
    ordered = sorted(values.items())
    kept = dict(ordered[: MAX_VALUES - 1])
    kept[OTHER] = kept.get(OTHER, 0) + sum(figure for _, figure in ordered[MAX_VALUES - 1 :])
    return kept
