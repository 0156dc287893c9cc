"""How many threads a model computes with."""

from __future__ import annotations

import pytest

from swarmnode.policy.threads import threads_for


@pytest.mark.parametrize(
    ("cores", "contribution", "threads"),
    [
        (8, "minimal", 4),
        (8, "moderate", 6),
        (8, "maximum", 8),
        (5, "minimal", 3),
        (5, "moderate", 4),
        (1, "minimal", 1),
    ],
)
def test_the_contribution_decides_where_nobody_else_does(cores: int, contribution: str, threads: int) -> None:
    assert threads_for(cores, contribution, 0) == threads


def test_a_configured_number_holds_up_to_the_cores_there_are() -> None:
    assert threads_for(8, "minimal", 7) == 7
    assert threads_for(8, "minimal", 64) == 8
    assert threads_for(0, "minimal", 3) == 1
