"""Which experts a row is sent to, and what they count for."""

from __future__ import annotations

import numpy as np

from swarmnode.inference.stage.layer import choose_experts


def test_the_best_share_what_they_had_of_all() -> None:
    scores = np.log(np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.15, 0.05]], np.float32))
    shares = choose_experts(scores, 2)
    expected = [[0, 0, 3 / 7, 4 / 7], [70 / 85, 0, 15 / 85, 0]]
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


def test_of_equal_ones_the_first_are_taken() -> None:
    shares = choose_experts(np.array([[1, 2, 2, 2, 0]], np.float32), 2)
    np.testing.assert_allclose(shares, [[0, 0.5, 0.5, 0, 0]], rtol=1e-6)


def test_all_of_them() -> None:
    scores = np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)
    weights = np.exp(scores.astype(np.float64))
    expected = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(choose_experts(scores, 6), expected, rtol=1e-5)


def test_a_row_alone_has_the_same_bits() -> None:
    scores = 3 * np.random.default_rng(2).standard_normal((40, 13)).astype(np.float32)
    whole = choose_experts(scores.copy(), 3)
    alone = np.concatenate([choose_experts(scores[row : row + 1].copy(), 3) for row in range(40)])
    np.testing.assert_array_equal(alone.view(np.uint32), whole.view(np.uint32))
    assert ((whole > 0).sum(axis=1) == 3).all()
