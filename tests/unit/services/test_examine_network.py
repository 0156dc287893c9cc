"""The examination of a node's own network, on simulated nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from swarmnode.testing.memory_network import LinkConditions
from swarmnode.testing.sim_node import SimNode
from swarmnode.testing.simulation import Simulation
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings

NOBODY = Multiaddr.parse("/ip4/10.200.0.1/tcp/8810")


@pytest.fixture
def sim() -> Iterator[Simulation]:
    sim = Simulation(seed=9, full=True, conditions=LinkConditions(delay=0.02))
    yield sim
    sim.close()


def examined(sim: Simulation, node: SimNode) -> dict[str, Any]:
    answer: dict[str, Any] = sim.result(node.stack.admin.examine(), 120)
    assert json.loads(json.dumps(answer)) == answer
    return answer


def codes(answer: dict[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["level"] for finding in answer["findings"]}


def test_a_lonely_node_is_told_how_to_find_company(sim: Simulation) -> None:
    answer = examined(sim, sim.node())
    assert codes(answer)["alone"] == "problem"
    assert answer["peers"] == [] and answer["peers_connected"] == 0


def test_each_peer_is_measured(sim: Simulation) -> None:
    slow = sim.node(bandwidth=1_000_000)
    node = sim.node([slow], skew=3.0)
    sim.run(5)
    answer = examined(sim, node)
    (peer,) = answer["peers"]
    assert peer["node_id"] == slow.peer
    assert peer["rtt_ms"] == pytest.approx(40, rel=0.5)
    assert peer["clock_skew_seconds"] == pytest.approx(-3.0, abs=0.2)
    assert peer["down_mbit_s"] == pytest.approx(8.0, rel=0.1)
    assert peer["up_mbit_s"] > 80  # only what the slow one sends is slow
    assert codes(answer)["connected"] == "ok"


def test_a_peer_that_dies_meanwhile_is_a_line_with_a_problem(sim: Simulation) -> None:
    other = sim.node()
    node = sim.node([other])
    sim.run(5)
    sim.hang(other)
    (peer,) = examined(sim, node)["peers"]
    assert peer["problem"] and "down_mbit_s" not in peer


def test_missing_bootstrap_peers_are_named(sim: Simulation) -> None:
    other = sim.node()
    node = sim.node([other, NOBODY])
    sim.run(5)
    findings = examined(sim, node)["findings"]
    (missing,) = [finding for finding in findings if finding["code"] == "bootstrap_missing"]
    assert str(NOBODY) in missing["text"] and missing["level"] == "note"
    sim.crash(other)
    sim.run(1)
    assert codes(examined(sim, node))["bootstrap_missing"] == "problem"


def test_modes_that_keep_nodes_apart_are_told(sim: Simulation) -> None:
    hermit = sim.node([NOBODY], settings=NetworkSettings(offline=True), network_id="club")
    found = codes(examined(sim, hermit))
    assert found["offline_mode"] == "note" and found["private_network"] == "ok"
    assert "bootstrap_missing" not in found


def test_a_wrong_clock_is_a_problem(sim: Simulation) -> None:
    late = sim.node(skew=-90.0)
    for _ in range(2):
        sim.node([late])
    sim.run(5)
    assert codes(examined(sim, late))["clock"] == "problem"
