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


def attended(
    queries: np.ndarray, cache: AttentionCache, first: int, sight: attention.Sight = attention.EVERYTHING
) -> np.ndarray:
    out = np.empty_like(queries)
    attention.attend(queries, cache, first, out, Scratch(), sight)
    return out


def by_definition(query: np.ndarray, keys: np.ndarray, values: np.ndarray, cap: float = 0.0) -> np.ndarray:
    """softmax(q . k) . v in float64, one head after another; with a cap, softmax(cap * tanh(./cap))."""
    out = np.empty(query.shape)
    for head in range(KV_HEADS):
        for member in range(GROUP):
            scores = keys[:, head].astype(np.float64) @ query[head, member]
            if cap:
                scores = cap * np.tanh(scores / cap)
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


@pytest.mark.parametrize("window", [1, 2, 63, 64, 65, 100, 200, 1000])
@pytest.mark.parametrize(("first", "rows"), [(0, 200), (130, 1), (63, 66)])
def test_a_window_leaves_out_what_lies_before_it(first: int, rows: int, window: int) -> None:
    cache, keys, values = filled(200)
    queries = np.random.default_rng(4).standard_normal((rows, KV_HEADS, GROUP, SIZE)).astype(np.float32)
    out = attended(queries, cache, first, attention.Sight(window))
    for row in range(rows):
        seen = slice(max(0, first + row + 1 - window), first + row + 1)
        np.testing.assert_allclose(out[row], by_definition(queries[row], keys[seen], values[seen]), atol=2e-6)


def test_what_lies_before_a_window_may_be_anything() -> None:
    cache, _, _ = filled(200)
    queries = np.random.default_rng(5).standard_normal((4, KV_HEADS, GROUP, SIZE)).astype(np.float32)
    before = attended(queries, cache, 196, attention.Sight(50))
    other = AttentionCache(200, KV_HEADS, SIZE, "f32")
    _, keys, values = filled(200)
    keys[:148], values[:148] = 99, -99
    other.append(keys, values)
    after = attended(queries, other, 196, attention.Sight(50))
    assert not np.array_equal(after[0], before[0])  # it sees position 147
    np.testing.assert_array_equal(after[1:].view(np.uint32), before[1:].view(np.uint32))


def test_scores_are_capped() -> None:
    cache, keys, values = filled(100)
    queries = 5 * np.random.default_rng(6).standard_normal((100, KV_HEADS, GROUP, SIZE)).astype(np.float32)
    out = attended(queries, cache, 0, attention.Sight(cap=3.0))
    for row in range(100):
        seen = slice(0, row + 1)
        expected = by_definition(queries[row], keys[seen], values[seen], cap=3.0)
        np.testing.assert_allclose(out[row], expected, atol=2e-6)


@pytest.mark.parametrize("sight", [attention.EVERYTHING, attention.Sight(70), attention.Sight(40, 2.0)])
@pytest.mark.parametrize("most", [1, 1000, 5000])
def test_grouping_changes_no_bit(monkeypatch: pytest.MonkeyPatch, most: int, sight: attention.Sight) -> None:
    cache, _, _ = filled(200)
    queries = np.random.default_rng(3).standard_normal((150, KV_HEADS, GROUP, SIZE)).astype(np.float32)
    whole = attended(queries, cache, 20, sight)
    monkeypatch.setattr(attention, "MAX_SCORES", most)
    np.testing.assert_array_equal(attended(queries, cache, 20, sight).view(np.uint32), whole.view(np.uint32))


def test_groups_end_where_a_row_sees_a_block_less() -> None:
    sight = attention.Sight(70)
    groups = list(attention._groups(120, 150, 1, sight))
    assert groups == [(0, 8), (8, 13), (13, 72), (72, 77), (77, 136), (136, 141), (141, 150)]
    for start, stop in groups:
        assert sight.first(120 + start) // 64 == sight.first(120 + stop - 1) // 64


def test_groups_end_at_blocks_and_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(attention._groups(60, 80, 1)) == [(0, 4), (4, 68), (68, 80)]
    monkeypatch.setattr(attention, "MAX_SCORES", 10 * 64)
    assert list(attention._groups(0, 25, 1)) == [(0, 10), (10, 20), (20, 25)]
    assert list(attention._groups(6400, 2, 8)) == [(0, 1), (1, 2)]
