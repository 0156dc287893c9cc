"""A thousand machines: delivery, and a cost per node that does not grow with the swarm."""

from __future__ import annotations

import pytest

from swarmnode.protocols.gossipsub import vocabulary as v
from swarmnode.testing.gossip_swarm import GossipSwarm

T = "swarm/models"


def cost(nodes: int, messages: int = 20) -> tuple[float, float]:
    """The share delivered with a tenth dead and one RPC of a hundred lost, and the copies of a message
    that a node sends."""
    swarm = GossipSwarm(nodes, seed=nodes, loss=0.01)
    swarm.subscribe(T)
    swarm.mingle(8)
    swarm.run(10)
    for node in swarm.rng.sample(swarm.nodes, nodes // 10):
        node.silent = True
    live = [node for node in swarm.nodes if not node.silent]
    before = sum(node.said for node in swarm.nodes)
    for number in range(messages):
        swarm.post(swarm.rng.choice(live), v.Publish(T, b"%4d" % number + bytes(2000)))
        swarm.run(1)
    swarm.run(6)
    reached = sum(swarm.reached(b"%4d" % number + bytes(2000)) for number in range(messages))
    said = sum(node.said for node in swarm.nodes) - before
    return reached / messages / (len(live) - 1), said / messages / len(live) / 2150


@pytest.mark.slow
def test_a_thousand_nodes_hear_everything_at_the_cost_of_a_hundred() -> None:
    (small, small_copies), (large, large_copies) = cost(100), cost(1000)
    assert small >= 0.999
    assert large >= 0.999
    assert large_copies < 1.2 * small_copies < 12
