"""The same seed gives the same history, in whatever process it runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCENARIO = """
from swarmnode.testing.memory_network import LinkConditions
from swarmnode.testing.simulation import Simulation
sim = Simulation({seed}, full={full}, conditions=LinkConditions(0.02, jitter=0.03, loss=0.02))
first = sim.node(mdns=True)
nodes = [first, *(sim.node([first], mdns=number % 2 == 0) for number in range(7))]
sim.run(10)
sim.crash(nodes[3])
sim.hang(nodes[4])
sim.run(10)
sim.partition(nodes[:4])
sim.go_on(nodes[4])
sim.run(20)
sim.heal()
sim.start(nodes[3])
sim.run(20)
print(len(sim.running), sim.clock.handled, sim.digest())
"""


def history(seed: int, hash_seed: int, *, full: bool) -> tuple[int, int, str]:
    """How many nodes run in the end, how many calls that took, and the digest."""
    ran = subprocess.run(
        [sys.executable, "-c", SCENARIO.format(seed=seed, full=full)],
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    running, calls, digest = ran.stdout.split()
    return int(running), int(calls), digest


@pytest.mark.parametrize("full", [False, True])
def test_two_processes_see_the_same(full: bool) -> None:
    one = history(1, 1, full=full)
    assert one[0] == 8 and one[1] > 1000
    assert history(1, 2, full=full) == one


def test_another_seed_gives_another_history() -> None:
    assert history(1, 1, full=False)[2] != history(2, 1, full=False)[2]
