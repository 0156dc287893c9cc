"""The figures of the network, of simulated nodes, as Prometheus' own parser reads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.protocol import ClientFactory, Protocol

from swarmnode.observability.network_metrics import MAX_VALUES, NetworkMetrics, _bounded
from swarmnode.testing.sim_node import SimNode
from swarmnode.testing.simulation import Simulation
from swarmnode.values.errors import PeerFault

PREFIX = "swarmnode_network_"


@pytest.fixture
def sim() -> Iterator[Simulation]:
    sim = Simulation(seed=3, full=True)
    yield sim
    sim.close()


class Reading:
    """The metrics of one node."""

    def __init__(self, node: SimNode) -> None:
        self.registry = CollectorRegistry()
        NetworkMetrics(node.stack, self.registry)

    def values(self) -> dict[tuple[str, str], float]:
        """By name without the prefix, and the value of the label."""
        families = text_string_to_metric_families(generate_latest(self.registry).decode())
        return {
            (sample.name.removeprefix(PREFIX), next(iter(sample.labels.values()), "")): sample.value
            for family in families
            for sample in family.samples
        }


def test_every_layer_has_figures(sim: Simulation) -> None:
    first = sim.node()
    reading = Reading(first)
    for _ in range(2):
        sim.node([first])
    sim.run(15)
    values = reading.values()
    assert values["connections", "in"] == 2 and values["connections", "out"] == 0
    assert values["connections_pending", ""] == 0
    assert values["streams", ""] > 0
    assert values["bytes_total", "in"] > 1000 and values["bytes_total", "out"] > 1000
    assert values["arrivals_total", "ok"] == 2
    assert values["rtt_seconds_count", ""] >= 2
    assert values["peers_known", ""] == 2 and values["peers_quiet", ""] == 0
    assert sum(value for (name, _), value in values.items() if name == "peers_trust") == 2
    assert values["members", "alive"] == 2 and values["members", "suspect"] == 0
    assert values["member_changes_total", "joined"] == 2
    assert values["gossip_mesh_peers", "swarm/health"] == 2
    assert values["gossip_messages_total", "delivered"] >= 2
    assert values["swarm_messages_total", "accept"] >= 2
    assert values["dht_peers", ""] == 2
    assert values["dht_requests_total", "us"] + values["dht_requests_total", "peers"] >= 2


def test_failures_are_counted_by_what_they_were(sim: Simulation) -> None:
    node, other = sim.node(), sim.node()
    reading = Reading(node)
    sim.network.machine("10.200.0.1")
    for target in ("/ip4/10.200.0.1/tcp/8810", str(other.address)):
        node.stack.admin.join(target).addErrback(lambda why: None)
    sim.run(5)
    node.stack.faults(other.peer, PeerFault("bad", code="bad_message"))
    sim.crash(other)
    sim.run(12)
    values = reading.values()
    assert values["dials_total", "connection_refused"] >= 1 and values["dials_total", "ok"] == 1
    assert values["penalties_total", "bad_message"] == 1
    assert sum(value for (name, _), value in values.items() if name == "disconnects_total") == 1
    assert values["member_changes_total", "died"] == 1
    assert values["bytes_total", "in"] > 1000  # those of connections that are gone count, too


def test_handshakes_that_fail_are_counted(sim: Simulation) -> None:
    club, public = sim.node(), sim.node()
    reading = Reading(club)

    class Mute(Protocol):
        def connectionMade(self) -> None:
            assert self.transport is not None
            self.transport.write(b"GET / HTTP/1.1\r\n\r\n")

    factory = ClientFactory()
    factory.protocol = Mute  # type: ignore[assignment]
    (carrier,) = public.stack.carriers
    carrier._reactor.connectTCP(club.ip, 8810, factory)
    sim.run(12)
    assert reading.values()["handshakes_failed_total", "bad_negotiation"] == 1


def test_suspicions_are_seen(sim: Simulation) -> None:
    first = sim.node()
    second, third = sim.node([first]), sim.node([first])
    reading = Reading(first)
    sim.run(10)
    sim.hang(third)
    sim.run(8)
    assert reading.values()["members", "suspect"] == 1
    assert second.running


def test_families_are_described_without_asking_anybody() -> None:
    class Nothing:
        class trips:  # noqa: N801
            observe = None

    NetworkMetrics(Nothing(), registry := CollectorRegistry())
    names = set(registry._names_to_collectors)
    assert {f"{PREFIX}connections", f"{PREFIX}dials", f"{PREFIX}rtt_seconds"} <= names


def test_labels_are_bounded() -> None:
    values = _bounded({f"v{n:03}": 1.0 for n in range(3 * MAX_VALUES)})
    assert len(values) == MAX_VALUES and sum(values.values()) == 3 * MAX_VALUES
    assert values["other"] == 2 * MAX_VALUES + 1
