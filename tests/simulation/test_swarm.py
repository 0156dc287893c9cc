"""Whole nodes in a simulated network: they meet, die, hang, part and come back. One seed a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from swarmnode.policy.finding import WANTED_PEERS
from swarmnode.testing.memory_network import LinkConditions
from swarmnode.testing.sim_node import SimNode, SimStore
from swarmnode.testing.simulation import Simulation
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.network import NetworkSettings

NODES, FEW = 20, 12
#: A dead peer is gone from every view after so long, seconds.
GONE_SECONDS = 15.0

Make = Callable[..., Simulation]


def crowd(sim: Simulation, size: int, **options: object) -> list[SimNode]:
    """Nodes that begin with the first one, and see each other."""
    first = sim.node(**options)  # type: ignore[arg-type]
    nodes = [first, *(sim.node([first], **options) for _ in range(size - 1))]  # type: ignore[arg-type]
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    return nodes


def troubles(sim: Simulation) -> list[str]:
    """What anybody complained of that nobody did."""
    logs = (sim.log, *(node.log for node in sim.nodes))
    return [event for log in logs for level in ("error", "exception") for event in log.of(level)]


# Meeting.


def test_twenty_meet_by_one_bootstrap_address(make: Make) -> None:
    sim = make(1)
    crowd(sim, NODES)
    assert troubles(sim) == []


def a_line(sim: Simulation, settings: NetworkSettings | None = None) -> list[SimNode]:
    """Each knows only the one before it."""
    nodes = [sim.node(settings=settings)]
    for _ in range(NODES - 1):
        nodes.append(sim.node([nodes[-1]], settings=settings))
    return nodes


def test_twenty_meet_by_peer_exchange_alone(make: Make) -> None:
    sim = make(2, without=("dht", "swarm"))
    nodes = a_line(sim)
    sim.run_until(lambda: all(len(node.peers()) >= WANTED_PEERS for node in nodes), limit=60)


def test_twenty_meet_by_the_dht_alone(make: Make) -> None:
    sim = make(3, without=("swarm",))
    nodes = a_line(sim, NetworkSettings(peer_exchange=False))
    sim.run_until(lambda: all(node.stack.dht.facts().peers == NODES - 1 for node in nodes), limit=90)
    assert all(len(node.peers()) == NODES - 1 for node in nodes)


def test_twenty_meet_by_mdns_alone(make: Make) -> None:
    sim = make(4, conditions=LinkConditions(0.001, jitter=0.05, loss=0.05, duplicates=0.1))
    nodes = [sim.node(mdns=True, lan="home") for _ in range(NODES)]
    stranger = sim.node(mdns=True, lan="next door")
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    assert stranger.peers() == stranger.members() == frozenset()


def test_they_meet_again_from_their_caches(make: Make) -> None:
    sim = make(5)
    nodes = crowd(sim, NODES)
    for node in nodes:
        sim.stop(node)
    sim.run(5)
    for node in nodes:
        node.settings = replace(node.settings, bootstrap=())
        sim.start(node)
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    assert troubles(sim) == []


def test_a_node_comes_back_by_its_cache(make: Make) -> None:
    sim = make(6)
    nodes = crowd(sim, NODES)
    store = SimStore(tuple(KnownPeer(node.peer, (node.address,), "dht", 0.0, 0.0) for node in nodes[5:8]))
    late = sim.node(store=store)
    sim.run_until(lambda: sim.converged([*nodes, late]), limit=30)


# Dying.


def test_the_dead_are_gone_from_every_view_in_time(make: Make) -> None:
    sim = make(10)
    nodes = crowd(sim, FEW)
    dead, living = nodes[7:10], nodes[:7] + nodes[10:]
    for node in dead:
        sim.crash(node)
    took = sim.run_until(lambda: sim.converged(living), limit=GONE_SECONDS)
    assert took < GONE_SECONDS
    never_back(sim, living, {node.peer for node in dead}, seconds=90)


def test_one_whose_machine_lost_power_is_gone_in_time(make: Make) -> None:
    sim = make(11)
    nodes = crowd(sim, FEW)
    sim.crash(nodes[4], silently=True)
    living = nodes[:4] + nodes[5:]
    sim.run_until(lambda: sim.converged(living), limit=GONE_SECONDS)
    never_back(sim, living, {nodes[4].peer}, seconds=90)


def test_one_that_hangs_is_gone_in_time_and_comes_back(make: Make) -> None:
    sim = make(12)
    nodes = crowd(sim, FEW)
    hung, living = nodes[3], nodes[:3] + nodes[4:]
    sim.hang(hung)
    sim.run_until(lambda: sim.converged(living), limit=GONE_SECONDS)
    sim.run(60)
    sim.go_on(hung)
    sim.run_until(lambda: sim.converged(nodes), limit=60)
    assert troubles(sim) == []


def test_a_restart_is_no_death_for_long(make: Make) -> None:
    sim = make(13)
    nodes = crowd(sim, FEW)
    sim.crash(nodes[2])
    sim.run(0.5)
    sim.start(nodes[2])
    sim.run_until(lambda: sim.converged(nodes), limit=30)
    assert troubles(sim) == []


def test_who_takes_leave_is_gone_at_once(make: Make) -> None:
    sim = make(14)
    nodes = crowd(sim, FEW)
    sim.stop(nodes[6])
    assert sim.run_until(lambda: sim.converged(), limit=2) <= 2


def never_back(sim: Simulation, living: list[SimNode], dead: set[str], seconds: int) -> None:
    """Nobody sees a ghost, at any moment."""
    for _ in range(seconds):
        sim.run(1)
        assert not any(node.members() & dead for node in living)


# Parting.


@pytest.mark.parametrize("parts", [2, 3])
def test_a_partition_shows_and_heals_by_itself(make: Make, parts: int) -> None:
    sim = make(20 + parts)
    nodes = crowd(sim, FEW)
    groups = [nodes[part::parts] for part in range(parts)]
    sim.partition(*groups)
    sim.run_until(lambda: all(sim.converged(group) for group in groups), limit=30)
    sim.run(60)
    assert all(sim.converged(group) for group in groups)
    sim.heal()
    sim.run_until(lambda: sim.converged(nodes), limit=120)
    assert troubles(sim) == []


def test_bad_lines_kill_nobody(make: Make) -> None:
    sim = make(25, conditions=LinkConditions(delay=0.1, jitter=0.2, loss=0.05))
    nodes = crowd(sim, FEW)
    for _ in range(120):
        sim.run(1)
        assert sim.converged(nodes)
    assert troubles(sim) == []
