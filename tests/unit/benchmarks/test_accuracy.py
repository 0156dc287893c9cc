"""The distance between two engines' logits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.accuracy import Result, distance, log_softmax, sequences, table


def logits(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_equal_logits_are_no_distance_apart() -> None:
    same = logits([1, 2, 3], [0, 5, 1])
    found = distance(same, same + np.float32(7))
    assert found.kl == pytest.approx(0, abs=1e-6)
    assert found.worst_top == pytest.approx(0, abs=1e-6)
    assert (found.wrong, found.clear, found.positions) == (0, 2, 2)


def test_the_divergence_is_the_textbooks() -> None:
    p, q = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    found = distance(logits([math.log(x) for x in p]), logits([math.log(x) for x in q]))
    assert found.kl == pytest.approx(0.5 * math.log(2) - 0.25 * math.log(2), rel=1e-6)
    assert found.worst_top == pytest.approx(math.log(2), rel=1e-6)
    assert (found.wrong, found.clear) == (1, 1)


def test_near_ties_may_turn_round() -> None:
    found = distance(logits([1.0, 1.05]), logits([1.05, 1.0]))
    assert (found.wrong, found.clear) == (0, 0)


def test_the_worst_position_counts() -> None:
    found = distance(logits([3, 0], [3, 0]), logits([3, 0], [2, 0]))
    expected = log_softmax(logits([3, 0])) - log_softmax(logits([2, 0]))
    assert found.worst_top == pytest.approx(abs(expected[0, 0]), rel=1e-6)


def test_each_sequence_has_a_worst_position() -> None:
    reference = logits([3, 0], [3, 0], [3, 0], [3, 0])
    found = distance(reference, logits([3, 0], [2, 0], [3, 0], [1, 0]), length=2)
    near, far = (
        abs((log_softmax(logits([3, 0])) - log_softmax(logits([value, 0])))[0, 0]) for value in (2, 1)
    )
    assert found.worst_top == pytest.approx(far, rel=1e-6)
    assert found.worst_of_each == pytest.approx((near + far) / 2, rel=1e-6)
    assert found.kl_median < found.kl


def test_the_table_has_a_cell_for_every_column() -> None:
    same = distance(logits([3, 0]), logits([3, 0]))
    lines = table([Result("llama", "Q8_0", same, same)]).splitlines()
    assert {line.count("|") for line in lines} == {13}


def test_sequences_begin_a_text_and_are_always_the_same() -> None:
    one, other = sequences(1024), sequences(1024)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert sum(map(len, one)) >= 1000
    assert {int(ids[0]) for ids in one} == {1}
