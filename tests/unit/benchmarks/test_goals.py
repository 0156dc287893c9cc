"""The goals of serving and their table."""

from __future__ import annotations

from typing import Any

from benchmarks import serving_engine, serving_node
from benchmarks.goals import GOALS, judge, number_of, table, wanted_share
from benchmarks.serving import ENGINE_TESTS, NODE_TESTS


def sample(test: str, threads: int = 1, hogs: int = 0, **figures: Any) -> dict[str, Any]:
    return {
        "kind": "serving",
        "test": test,
        "model": "m",
        "threads": threads,
        "hogs": hogs,
        "figures": figures,
    }


def test_every_goal_belongs_to_a_measurement_that_exists() -> None:
    for test in ENGINE_TESTS:
        assert callable(getattr(serving_engine, test))
    for test in NODE_TESTS:
        assert callable(getattr(serving_node, test))
    assert {goal.test for goal in GOALS} == {*ENGINE_TESTS, *NODE_TESTS}


def test_a_list_counts_by_its_largest_and_yes_is_one() -> None:
    assert number_of([1, 4.5, 2]) == 4.5
    assert number_of(True) == 1.0


def test_rounds_are_put_together_by_threads_and_hogs() -> None:
    samples = [
        {"kind": "about"},
        sample("far_context", share=0.8),
        sample("far_context", share=0.7),
        sample("far_context", threads=2, share=0.9),
        sample("far_context", hogs=1, share=0.1),
    ]
    assert [(s["threads"], s["hogs"], values) for s, _goal, values in judge(samples)] == [
        (1, 0, [0.8, 0.7]),
        (2, 0, [0.9]),
        (1, 1, [0.1]),
    ]


def test_the_median_decides_in_the_right_direction() -> None:
    samples = [sample("far_context", share=share) for share in (0.1, 0.74, 0.99)]
    assert table(samples).splitlines()[-1].endswith("| >= 0.75 | 0.74 | 0.10 to 0.99 | NO |")
    samples = [sample("start_up", first_start_s=20.0, later_starts_s=[1, 3.5])]
    rows = table(samples).splitlines()[-2:]
    assert rows[0].endswith("| <= 20 | 20.00 | 20.00 to 20.00 | yes |")
    assert rows[1].endswith("| <= 3 | 3.50 | 3.50 to 3.50 | NO |")


def test_the_share_of_the_memory_is_wanted_of_two_types() -> None:
    assert wanted_share("tinyllama-Q8_0", 2, "decode") == 0.75
    assert wanted_share("tinyllama-Q4_K_M", 1, "decode") == 0.60
    assert wanted_share("tinyllama-Q4_K_M", 2, "decode") == 0.50
    assert wanted_share("mixture-Q4_K_M", 1, "decode") is None
    assert wanted_share("tinyllama-Q8_0", 1, "prefill128") is None
