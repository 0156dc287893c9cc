"""Why two nodes do not meet: every cause, made to happen between simulated nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from swarmnode.testing.sim_node import SimNode
from swarmnode.testing.simulation import Simulation
from swarmnode.values.errors import Refused
from swarmnode.values.network import NetworkSettings

STRANGER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


@pytest.fixture(params=[False, True], ids=["memory", "tcp-noise-yamux"])
def sim(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    sim = Simulation(seed=7, full=request.param)
    yield sim
    sim.close()


def explained(sim: Simulation, node: SimNode, text: object) -> dict[str, Any]:
    answer: dict[str, Any] = sim.result(node.stack.admin.explain(str(text)), 60)
    if not answer["meets"]:
        assert answer["message"] and answer["advice"], answer
    return answer


def cause(sim: Simulation, node: SimNode, text: object) -> str:
    answer = explained(sim, node, text)
    assert answer["meets"] is False
    return str(answer["cause"])


def test_nodes_that_meet(sim: Simulation) -> None:
    one, other = sim.node(), sim.node()
    answer = explained(sim, one, other.seen_as())
    assert answer["meets"] and answer["node_id"] == other.peer and "cause" not in answer
    assert [step["ok"] for step in answer["steps"]] == [True, True, True]
    assert explained(sim, one, other.peer)["meets"]  # its address is known now


def test_nobody_listens(sim: Simulation) -> None:
    node = sim.node()
    sim.network.machine("10.200.0.1")
    answer = explained(sim, node, "/ip4/10.200.0.1/tcp/8810")
    assert answer["cause"] == "refused"
    assert answer["steps"] == [
        {"step": "connect /ip4/10.200.0.1/tcp/8810", "ok": False, "detail": "connection refused"}
    ]


def test_nothing_gets_there(sim: Simulation) -> None:
    one, other = sim.node(), sim.node()
    sim.partition([one])
    answer = explained(sim, one, other.address)
    assert answer["cause"] == "timeout"
    assert "private network that this machine is not in" in answer["message"]


def test_somebody_else_answers(sim: Simulation) -> None:
    one, other = sim.node(), sim.node()
    answer = explained(sim, one, f"{other.address}/p2p/{STRANGER}")
    assert answer["cause"] == "wrong_peer"
    assert other.peer in answer["message"] and STRANGER in answer["message"]


def test_this_node_itself(sim: Simulation) -> None:
    node = sim.node()
    assert cause(sim, node, node.address) == "self"
    assert cause(sim, node, node.peer) == "self"


def test_no_address_is_known(sim: Simulation) -> None:
    assert cause(sim, sim.node(), STRANGER) == "no_address"


def test_another_network(sim: Simulation) -> None:
    club, other_club = sim.node(network_id="club"), sim.node(network_id="another")
    public = sim.node()
    assert cause(sim, club, public.address) == "other_network"
    assert cause(sim, club, public.address) == "other_network"  # also while it waits to try again
    assert cause(sim, club, other_club.address) == "other_network"
    answer = explained(sim, public, club.address)
    assert answer["cause"] == "closed_by_peer" and "private network" in answer["advice"]
    assert public.peer not in club.peers()


def test_offline_mode(sim: Simulation) -> None:
    hermit, other = sim.node(settings=NetworkSettings(offline=True)), sim.node()
    answer = explained(sim, hermit, other.address)
    assert answer["cause"] == "offline_mode" and answer["steps"] == []


def test_clocks_that_differ_too_much(sim: Simulation) -> None:
    one, other = sim.node(), sim.node(skew=-600.0)
    answer = explained(sim, one, other.address)
    assert answer["cause"] == "clock"
    assert "600.0 s behind" in answer["message"]


def test_the_other_node_is_full(sim: Simulation) -> None:
    full = sim.node(settings=NetworkSettings(max_peers=1))
    friend = sim.node([full])
    sim.run(5)
    full.stack.host.weigh(friend.peer, "pool", 1e6)
    answer = explained(sim, sim.node(), full.address)
    assert answer["cause"] == "closed_by_peer"
    assert "too many peers" in answer["advice"]


def test_what_is_no_target_is_refused(sim: Simulation) -> None:
    node = sim.node()
    for text in ("", "nonsense", "swarm://x", "/nonsense"):
        with pytest.raises(Refused):
            sim.result(node.stack.admin.explain(text))


def test_a_probe_leaves_nothing_behind(sim: Simulation) -> None:
    one, other = sim.node(), sim.node()
    cause(sim, one, f"{other.address}/p2p/{STRANGER}")
    sim.run(5)
    assert one.peers() == other.peers() == frozenset()
    assert one.stack.host.stats().pending == 0
