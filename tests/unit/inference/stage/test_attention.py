"""Attention against its definition, and independent of how the rows are grouped."""

from __future__ import annotations

import numpy as np
import pytest

from swarmnode.inference.cache.attention_cache import AttentionCache
from swarmnode.inference.stage import attention
from swarmnode.inference.stage.scratch import Scratch

KV_HEADS, GROUP, SIZE = 2, 3, 8


def filled(positions: int) -> tuple[AttentionCache, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    keys, values = rng.standard_normal((2, positions, KV_HEADS, SIZE)).astype(np.float32)
    cache = AttentionCache(positions, KV_HEADS, SIZE, "f32")
    cache.append(keys, values)
    return cache, keys, values


def attended(queries: np.ndarray, cache: AttentionCache, first: int) -> np.ndarray:
    out = np.empty_like(queries)
    attention.attend(queries, cache, first, out, Scratch())
    return out


def by_definition(query: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """softmax(q . k) . v in float64, one head after another."""
    out = np.empty(query.shape)
    for head in range(KV_HEADS):
        for member in range(GROUP):
            scores = keys[:, head].astype(np.float64) @ query[head, member]
            weights = np.exp(scores - scores.max())
            out[head, member] = (weights / weights.sum()) @ values[:, head]
    return out


@pytest.mark.parametrize(("first", "rows"), [(0, 1), (0, 64), (5, 150), (63, 2), (199, 1)])
def test_equals_the_definition(first: int, rows: int) -> None:
    cache, keys, values = filled(200)
    queries = np.random.default_rng(2).standard_normal((rows, KV_HEADS, GROUP, SIZE)).astype(np.float32)
    out = attended(queries, cache, first)
    for row in range(rows):
        seen = first + row + 1
        expected = by_definition(queries[row], keys[:seen], values[:seen])
        np.testing.assert_allclose(out[row], expected, atol=2e-6)


@pytest.mark.parametrize("most", [1, 1000, 5000])
def test_grouping_changes_no_bit(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    cache, _, _ = filled(200)
    queries = np.random.default_rng(3).standard_normal((150, KV_HEADS, GROUP, SIZE)).astype(np.float32)
    whole = attended(queries, cache, 20)
    monkeypatch.setattr(attention, "MAX_SCORES", most)
    np.testing.assert_array_equal(attended(queries, cache, 20).view(np.uint32), whole.view(np.uint32))


def test_groups_end_at_blocks_and_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(attention._groups(60, 80, 1)) == [(0, 4), (4, 68), (68, 80)]
    monkeypatch.setattr(attention, "MAX_SCORES", 10 * 64)
    assert list(attention._groups(0, 25, 1)) == [(0, 10), (10, 20), (20, 25)]
    assert list(attention._groups(6400, 2, 8)) == [(0, 1), (1, 2)]
