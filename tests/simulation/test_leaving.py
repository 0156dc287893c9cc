"""A node that is stopped in order takes leave, and everybody hears of it at once."""

from __future__ import annotations

import pytest

from swarmnode.testing.simulation import Simulation


@pytest.mark.parametrize("full", [False, True])
def test_a_node_that_stops_is_gone_at_once(full: bool) -> None:
    sim = Simulation(3, full=full)
    first = sim.node()
    others = [sim.node([first]) for _ in range(3)]
    sim.run(10)
    nodes = [first, *others]
    assert all(len(node.members()) == 3 for node in nodes)
    leaver = others[0]
    left = [node for node in nodes if node is not leaver]
    leaver.stop()
    sim.run(0.5)
    # Who was only disconnected would be asked after, and doubted, for a minute and more.
    assert [leaver.peer in node.members() for node in left] == [False] * 3
    assert all(len(node.members()) == 2 for node in left)
