"""What tests with simulated swarms share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from swarmnode.testing.memory_network import LinkConditions
from swarmnode.testing.simulation import Simulation

HOME = LinkConditions(delay=0.01, jitter=0.01)


@pytest.fixture
def make() -> Iterator[Callable[..., Simulation]]:
    """Simulations, ended when the test is."""
    made: list[Simulation] = []

    def simulation(seed: int, **options: object) -> Simulation:
        made.append(Simulation(seed, **{"conditions": HOME, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield simulation
    for each in made:
        each.close()
