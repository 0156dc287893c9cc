"""Routing of rows to experts, and what comes back, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from swarmnode.inference.kernels.experts import combine, route
from swarmnode.inference.kernels.formats import padded


class Routed:
    def __init__(self, machine, scores: np.ndarray, used: int) -> None:
        rows, experts = scores.shape
        table = np.full((rows + 1, padded(experts)), 9e9, np.float32)  # the padding holds anything
        table[:rows, :experts] = scores
        self.counts, self.starts = np.full(experts, -1, np.int64), np.full(experts, -1, np.int64)
        self.rows, self.pairs = np.full(rows * used, -1, np.int64), np.full(rows * used, -1, np.int64)
        self.chosen = np.full((rows, used), -1, np.int64)
        self.weights = np.zeros((rows, used), np.float32)
        head = [table, table.strides[0], experts, used, np.array([rows], np.int64)]
        lists = [self.counts, self.starts, self.rows, self.pairs, self.chosen, self.weights]
        machine.run(route(), [*head, *lists], 1)


@pytest.mark.parametrize(("experts", "used"), [(2, 1), (5, 2), (8, 8), (16, 3), (33, 4), (128, 8)])
@pytest.mark.parametrize("rows", [1, 7])
def test_the_best_experts(machine, experts: int, used: int, rows: int) -> None:
    scores = np.random.default_rng(experts).standard_normal((rows, experts)).astype(np.float32) * 3
    found = Routed(machine, scores, used)
    wide = np.exp(scores.astype(np.float64))
    shares = wide / wide.sum(axis=1, keepdims=True)
    best = np.sort(np.argsort(-shares, axis=1, kind="stable")[:, :used], axis=1)
    np.testing.assert_array_equal(found.chosen, best)
    picked = np.take_along_axis(shares, best, axis=1)
    np.testing.assert_allclose(found.weights, picked / picked.sum(axis=1, keepdims=True), rtol=3e-6)
    assert found.counts.sum() == rows * used
    np.testing.assert_array_equal(found.counts, np.bincount(best.reshape(-1), minlength=experts))
    np.testing.assert_array_equal(found.starts, np.cumsum(found.counts) - found.counts)
    order = np.argsort(best.reshape(-1), kind="stable")
    np.testing.assert_array_equal(found.pairs, order)
    np.testing.assert_array_equal(found.rows, order // used)


def test_of_equal_scores_the_first(machine) -> None:
    scores = np.zeros((2, 20), np.float32)
    scores[1, [4, 11, 19]] = 1
    found = Routed(machine, scores, 2)
    np.testing.assert_array_equal(found.chosen, [[0, 1], [4, 11]])
    np.testing.assert_array_equal(found.weights, np.full((2, 2), 0.5))


def test_far_apart_scores(machine) -> None:
    scores = np.array([[1000, -1000, 999, 0], [-3e30, -3e30, -3e30, 3e30]], np.float32)
    found = Routed(machine, scores, 2)
    np.testing.assert_array_equal(found.chosen[0], [0, 2])
    assert 3 in found.chosen[1] and np.isfinite(found.weights).all()
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=1e-6)


def test_scores_that_are_no_numbers_choose_somebody(machine) -> None:
    """They may not lead out of the tables; the row's result is found to be no number later."""
    for fault in (np.nan, np.inf, -np.inf):
        scores = np.random.default_rng(1).standard_normal((3, 9)).astype(np.float32)
        scores[1] = fault
        found = Routed(machine, scores, 3)
        assert ((found.chosen >= 0) & (found.chosen < 9)).all()
        assert found.counts.sum() == 9 and (np.sort(found.pairs) == np.arange(9)).all()
        assert np.isfinite(found.weights[[0, 2]]).all()
        assert np.isnan(found.weights[1]).all() or fault == -np.inf


def test_combine(machine) -> None:
    rng = np.random.default_rng(2)
    results = np.zeros((15, 64), np.float32)
    results[:, :60] = rng.standard_normal((15, 60))
    weights = rng.uniform(0, 1, (5, 3)).astype(np.float32)
    out = np.full((5, 64), 7, np.float32)
    machine.run(combine(), [results, 256, 60, out, 256, weights, 3], 5)
    wanted = np.einsum("rs,rsw->rw", weights.astype(np.float64), results.reshape(5, 3, 64))
    np.testing.assert_allclose(out, wanted, atol=1e-6)
