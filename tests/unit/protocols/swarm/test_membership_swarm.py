"""Fifty machines together: deaths are seen by all in time, ghosts stay away, liars evict nobody."""

from __future__ import annotations

import pytest

from swarmnode.protocols.swarm.member_claims import Claim, Suspicion
from swarmnode.protocols.swarm.membership_vocabulary import Claimed, Suspected
from swarmnode.testing.member_world import UNIX, World

NAMES = [f"n{number:02}" for number in range(50)]
#: Everybody connected to everybody, or each one to about eight.
MESHES = [None, 8]
#: The promise: a dead peer is gone from every view.
GONE_SECONDS = 15.0


def swarm(mesh: int | None, seed: int = 1) -> World:
    # Everybody connected to everybody costs too much time with more of them.
    world = World(NAMES if mesh else NAMES[:24], seed)
    world.start_all(mesh)
    world.run(12.0)
    assert world.wrong_views(world.nodes) == {}
    return world


def others(world: World, *names: str) -> list[str]:
    return [name for name in world.nodes if name not in names]


@pytest.mark.parametrize("mesh", MESHES)
def test_whoever_is_killed_or_hangs_is_gone_from_every_view_and_nobody_else(mesh: int | None):
    world = swarm(mesh)
    world.kill("n07")
    world.nodes["n23"].frozen = True
    world.run(GONE_SECONDS)
    assert world.wrong_views(others(world, "n07", "n23")) == {}
    world.run(60.0)
    assert world.wrong_views(others(world, "n07", "n23")) == {}
    gone = {peer for name in others(world, "n07", "n23") for _, peer in world.nodes[name].left}
    assert gone == {"n07", "n23"}


@pytest.mark.parametrize("mesh", MESHES)
def test_whoever_takes_leave_is_gone_at_once(mesh: int | None):
    world = swarm(mesh)
    world.leave("n07")
    world.run(1.0)
    assert world.wrong_views(others(world, "n07")) == {}


@pytest.mark.parametrize("mesh", MESHES)
def test_a_restart_is_newer_than_the_rumours_of_its_death(mesh: int | None):
    world = swarm(mesh)
    neighbours = list(world.nodes["n07"].connections)
    world.kill("n07")
    world.run(2.0)
    world.nodes["n07"].start()
    for peer in neighbours:
        world.connect("n07", peer)
    world.run(3.0)
    assert world.wrong_views(world.nodes) == {}
    world.run(40.0)
    assert world.wrong_views(world.nodes) == {}
    assert all(peer != "n07" for name in others(world, "n07") for _, peer in world.nodes[name].left)


@pytest.mark.parametrize("mesh", MESHES)
def test_whoever_hung_for_a_while_comes_back_by_its_own_word(mesh: int | None):
    world = swarm(mesh)
    world.nodes["n07"].frozen = True
    world.run(17.0)
    assert world.wrong_views(others(world, "n07")) == {}
    world.nodes["n07"].thaw()
    world.run(15.0)
    assert world.wrong_views(world.nodes) == {}


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("links", [1, 20])
def test_a_partition_heals(mesh: int | None, links: int):
    world = swarm(mesh)
    names = list(world.nodes)
    island, main = names[:20], names[20:]
    world.partition(island)
    # Those that nobody on this side was connected to are found out by probes.
    world.run(120.0)
    assert world.wrong_views(island) == {}
    assert world.wrong_views(main) == {}
    world.partition([])
    for one, other in zip(island[:links], main, strict=False):
        world.connect(one, other)
    world.run(15.0)
    assert world.wrong_views(world.nodes) == {}
    world.run(120.0)
    assert world.wrong_views(world.nodes) == {}


@pytest.mark.parametrize("mesh", MESHES)
def test_a_liar_that_doubts_everybody_evicts_nobody_and_is_blamed(mesh: int | None):
    world = swarm(mesh)
    liar = world.nodes["n13"]
    for _ in range(4):
        for name in others(world, "n13")[:15]:
            # It is ahead of what anybody said, as far as that is taken.
            doubted = int((UNIX + world.now) * 1000) + 60_000
            liar.gossip(Suspicion("n13", name, doubted, int(world.now * 1000)), "n13")
        world.run(16.0)
    assert world.wrong_views(world.nodes) == {}
    assert all(node.left == [] for node in world.nodes.values())
    assert all("n13" in world.nodes[name].blamed for name in others(world, "n13"))


def test_a_ghost_does_not_come_back_by_hearsay():
    world = swarm(8)
    claim = next(c for c in world.claims.values() if c.peer == "n07")
    world.kill("n07")
    world.run(GONE_SECONDS)
    for name in others(world, "n07"):
        world.nodes[name].feed(Claimed(claim))
    world.run(30.0)
    assert world.wrong_views(others(world, "n07")) == {}
    for name in others(world, "n07"):
        assert [peer for _, peer in world.nodes[name].joined].count("n07") == 1


def test_a_ghost_told_to_a_newcomer_is_found_out():
    world = World([*NAMES[:10], "new"], 3)
    world.start_all(4)
    world.run(12.0)
    ghost = Claim("ghost", int(UNIX * 1000), statement=b"ghost")
    world.claims[b"ghost"] = ghost
    world.nodes["ghost"] = type(world.nodes["new"])(world, "ghost")
    world.nodes["new"].feed(Claimed(ghost))
    assert "ghost" in world.nodes["new"].view()
    # Nobody hears it and nobody reaches it: probed within a minute, doubted, and gone.
    world.run(60.0 + 10.0 + 3.0 + 1.0 + 10.0 + 1.0)
    assert "ghost" not in world.nodes["new"].view()


def test_nothing_is_said_while_nothing_happens():
    world = swarm(None)
    before = {name: node.published for name, node in world.nodes.items()}
    world.run(100.0)
    assert {name: node.published for name, node in world.nodes.items()} == before


def test_members_that_no_connection_leads_to_are_not_doubted_when_others_hear_them():
    world = swarm(8)
    before = sum(node.published for node in world.nodes.values())
    world.run(120.0)
    assert world.wrong_views(world.nodes) == {}
    assert all(node.left == [] for node in world.nodes.values())
    # Whoever is asked after in vain is reached, and so connected.
    assert sum(node.published for node in world.nodes.values()) == before


def test_the_same_seed_brings_the_same_story():
    def story() -> list[object]:
        world = World(NAMES[:20], 5)
        world.start_all(6)
        world.run(10.0)
        world.kill("n03")
        world.run(20.0)
        return [(node.joined, node.left, node.published) for node in world.nodes.values()]

    assert story() == story()


def test_a_suspicion_of_a_stranger_to_us_shortens_the_lease_to_ten_seconds():
    world = World(["a", "b"], 1)
    world.nodes["a"].start()
    machine = world.nodes["a"].machine
    assert machine is not None
    world.nodes["a"].feed(Claimed(Claim("x", 5, statement=b"x")))
    world.nodes["a"].feed(Suspected(Suspicion("b", "x", 5)))
    world.run(9.9)
    assert world.nodes["a"].view() == {"x"}
    world.run(0.2)
    assert world.nodes["a"].view() == set()
