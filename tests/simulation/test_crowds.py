"""Many nodes: gossip, look-ups, and the whole stack with Noise and yamux."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from swarmnode.protocols.kademlia.distance import provider_key
from swarmnode.testing.memory_network import LinkConditions
from swarmnode.testing.sim_node import SimNode
from swarmnode.testing.simulation import Simulation

Make = Callable[..., Simulation]


def crowd(sim: Simulation, size: int, *, pause: float = 0.1) -> list[SimNode]:
    """Nodes that come one after the other, each with three addresses of earlier ones."""
    rng, nodes = random.Random(sim.seed), [sim.node()]
    for _ in range(size - 1):
        nodes.append(sim.node(rng.sample(nodes, min(3, len(nodes)))))
        sim.run(pause)
    return nodes


def reached(sim: Simulation, nodes: list[SimNode], senders: list[SimNode], seconds: float) -> float:
    """The share of all that should be heard that is heard."""
    heard: list[tuple[str, str]] = []

    def listen(node: SimNode) -> None:
        node.stack.broadcast.on("nickname", lambda sender, said: heard.append((node.peer, sender)))

    for node in nodes:
        listen(node)
    for number, node in enumerate(senders):
        node.stack.broadcast.publish("nickname", peer=node.peer, nickname=f"node {number}")
        sim.run(0.1)
    sim.run(seconds)
    assert len(heard) == len(set(heard))
    return len(heard) / (len(senders) * (len(nodes) - 1))


def test_gossip_and_look_ups_among_a_hundred(make: Make) -> None:
    sim = make(100, without=("swarm", "exchange"), conditions=LinkConditions(0.03, jitter=0.03, loss=0.01))
    nodes = crowd(sim, 100)
    sim.run(10)
    assert reached(sim, nodes, nodes[::10], seconds=5) >= 0.999
    stored = sim.result(nodes[3].stack.dht.put("/swarmnode/test", b"a value"))
    assert len(stored.holders) == 20
    for node in nodes[5::20]:
        assert sim.result(node.stack.dht.get("/swarmnode/test")).payload == b"a value"
    sim.result(nodes[7].stack.dht.provide(provider_key(b"a model")))
    for node in nodes[9::20]:
        (provider,) = sim.result(node.stack.dht.find_providers(provider_key(b"a model"), 1))
        assert provider.peer == nodes[7].peer
    for node, target in zip(nodes[2::20], nodes[11::20], strict=False):
        found = sim.result(node.stack.dht.find_peer(target.peer))
        assert target.address in found.addresses


@pytest.mark.slow
def test_a_hundred_see_each_other_and_miss_the_dead(make: Make) -> None:
    sim = make(101)
    nodes = crowd(sim, 100)
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    dead, living = nodes[10:20], nodes[:10] + nodes[20:]
    for node in dead:
        sim.crash(node)
    sim.run_until(lambda: sim.converged(living), limit=15)
    assert not any(node.log.of("error") for node in nodes)


@pytest.mark.slow
def test_fifty_with_the_whole_stack(make: Make) -> None:
    sim = make(50, full=True)
    nodes = crowd(sim, 50)
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    assert reached(sim, nodes, nodes[::5], seconds=3) == 1.0
    for node in nodes[:3]:
        sim.crash(node, silently=True)
    sim.run_until(lambda: sim.converged(nodes[3:]), limit=15)
    assert not any(node.log.of("error") for node in nodes) and not sim.log.of("error")
