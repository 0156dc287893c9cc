"""How many rows of prompts a step carries, and how they are divided."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.row_budget import ALONE_SECONDS, FIRST_CHUNK, RowBudget, divide


class Machine:
    """A machine on which a step takes `plain` seconds and each row of a prompt `row` more."""

    def __init__(self, plain: float, row: float, chunk: int = 128, target: float = 0.2) -> None:
        self.plain, self.row = plain, row
        self.budget = RowBudget(chunk, target)

    def step(self, answering: int, prompts: bool) -> float:
        rows = self.budget.rows(answering > 0) if prompts else 0
        seconds = self.plain + rows * self.row
        self.budget.learn(answering, rows, seconds)
        return seconds


def test_the_first_chunk_is_small_and_the_next_ones_grow_by_two() -> None:
    machine = Machine(0.0001, 0.0001)
    counts = []
    for _ in range(6):
        counts.append(machine.budget.rows(False))
        machine.step(0, True)
    assert counts == [FIRST_CHUNK, 16, 32, 64, 128, 128]
    assert RowBudget(4, 0.2).rows(False) == 4


@pytest.mark.parametrize(("plain", "row"), [(0.05, 0.005), (0.3, 0.003), (0.001, 0.05), (0.02, 0.0001)])
def test_others_wait_no_longer_than_the_target_for_a_prompt(plain: float, row: float) -> None:
    machine = Machine(plain, row)
    for _ in range(50):
        machine.step(4, False)
    first = [machine.step(4, True) for _ in range(20)]
    for _ in range(50):
        machine.step(4, False)
    later = [machine.step(4, True) for _ in range(20)]
    most = max(plain + 0.2, plain + FIRST_CHUNK * row)
    assert max(first + later) <= most * 1.0001
    assert max(later) >= plain + min(0.2 - row, 128 * row) * 0.8, "the target is used, not undercut"


def test_nobody_waits_so_the_chunk_is_larger_but_a_cancel_is_heard() -> None:
    slow, quick = Machine(0.0, 0.05), Machine(0.0, 0.001)
    for machine in (slow, quick):
        for _ in range(10):
            machine.step(0, True)
    assert slow.budget.rows(False) == pytest.approx(ALONE_SECONDS / 0.05, abs=1)
    assert slow.budget.rows(True) == pytest.approx(0.2 / 0.05, abs=1)
    assert quick.budget.rows(False) == quick.budget.rows(True) == 128


def test_there_is_always_a_row() -> None:
    machine = Machine(1.0, 30.0)
    machine.step(3, True)
    assert machine.budget.rows(True) == 1


def test_a_long_target_holds_alone_too() -> None:
    machine = Machine(0.0, 0.1, target=5.0)
    for _ in range(10):
        machine.step(0, True)
    assert machine.budget.rows(False) == pytest.approx(50, abs=1)
    assert machine.budget.rows(True) == pytest.approx(0.85 * 50, abs=1)  # planned with a margin


def test_noise_does_not_open_the_gates() -> None:
    """Measurements that are off by a half either way leave the chunk within a few times its right size."""
    rng = random.Random(7)
    budget = RowBudget(4096, 0.2)
    for _ in range(300):
        rows = budget.rows(True) if rng.random() < 0.5 else 0
        budget.learn(4, rows, (0.05 + rows * 0.004) * rng.uniform(0.5, 1.5))
    assert 15 <= budget.rows(True) <= 200


def test_no_time_at_all_is_no_division_by_zero() -> None:
    budget = RowBudget(64, 0.2)
    for _ in range(9):
        budget.learn(0, budget.rows(False), 0.0)
    assert budget.rows(True) == 64


@given(st.integers(0, 300), st.lists(st.integers(0, 100), max_size=12))
def test_rows_are_divided_evenly_and_none_is_left(rows: int, wanted: list[int]) -> None:
    given_ = divide(rows, wanted)
    assert sum(given_) == min(rows, sum(wanted))
    assert all(0 <= got <= want for got, want in zip(given_, wanted, strict=True))
    hungry = [got for got, want in zip(given_, wanted, strict=True) if got < want]
    if hungry:
        assert max(given_) - min(hungry) <= 1


@pytest.mark.parametrize(
    ("rows", "wanted", "expected"),
    [
        (16, [512, 512], [8, 8]),
        (16, [3, 512], [3, 13]),
        (10, [512, 512, 512], [4, 3, 3]),
        (2, [5, 5, 5], [1, 1, 0]),
        (16, [], []),
    ],
)
def test_divide(rows: int, wanted: list[int], expected: list[int]) -> None:
    assert divide(rows, wanted) == expected
