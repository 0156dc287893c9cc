"""The cache interface on keys and values."""

from __future__ import annotations

import numpy as np
import pytest

from swarmnode.inference.cache.attention_cache import AttentionCache
from swarmnode.values.errors import LocalFault

HEADS, SIZE = 2, 4


def rows(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    keys, values = np.random.default_rng(seed).standard_normal((2, count, HEADS, SIZE)).astype(np.float32)
    return keys, values


def content(cache: AttentionCache) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values as [positions, heads, size]; the rest of the last block must be zero."""
    scratch = np.full(2 * 64 * HEADS * SIZE * 8, np.nan, np.float32)
    flat = [
        part.transpose(0, 2, 1, 3).reshape(-1, HEADS, SIZE) for part in cache.blocks(cache.length, scratch)
    ]
    assert all((part[cache.length :] == 0).all() for part in flat)
    return flat[0][: cache.length], flat[1][: cache.length]


@pytest.mark.parametrize("kv", ["f32", "f16"])
@pytest.mark.parametrize("pieces", [(130,), (1,) * 130, (63, 1, 1, 65), (64, 64, 2)])
def test_appended_rows_come_back_rounded_to_the_type(kv: str, pieces: tuple[int, ...]) -> None:
    keys, values = rows(130)
    cache = AttentionCache(130, HEADS, SIZE, kv)
    for end, count in zip(np.cumsum(pieces), pieces, strict=True):
        cache.append(keys[end - count : end], values[end - count : end])
    kind = np.float16 if kv == "f16" else np.float32
    got = content(cache)
    np.testing.assert_array_equal(got[0], keys.astype(kind).astype(np.float32))
    np.testing.assert_array_equal(got[1], values.astype(kind).astype(np.float32))


def test_every_finite_float16_comes_back_exactly() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = halves[np.isfinite(halves)].astype(np.float32)
    given = np.resize(numbers, (-(-numbers.size // (HEADS * SIZE)), HEADS, SIZE))
    cache = AttentionCache(len(given), HEADS, SIZE, "f16")
    cache.append(given, given)
    scratch = np.empty(2 * 64 * HEADS * SIZE * 200, np.float32)
    keys, _ = cache.blocks(cache.length, scratch)
    back = keys.transpose(0, 2, 1, 3).reshape(-1, HEADS, SIZE)[: len(given)]
    np.testing.assert_array_equal(back.view(np.uint32), given.view(np.uint32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 65520.0, -1e9])
def test_numbers_beyond_float16_are_an_error_and_change_nothing(bad: float) -> None:
    cache = AttentionCache(10, HEADS, SIZE, "f16")
    keys, values = rows(2)
    values[1, 0, 2] = bad
    with pytest.raises(FloatingPointError):
        cache.append(keys, values)
    assert cache.length == 0
    values[1, 0, 2] = np.nextafter(np.float32(65520), np.float32(0))
    cache.append(keys, values)
    assert content(cache)[1][1, 0, 2] == 65504


@pytest.mark.parametrize("position", [0, 1, 63, 64, 65, 128, 150])
def test_truncating_forgets_and_leaves_zeros(position: int) -> None:
    cache = AttentionCache(150, HEADS, SIZE, "f32")
    keys, values = rows(150)
    cache.append(keys, values)
    cache.truncate(position)
    assert cache.length == position
    np.testing.assert_array_equal(content(cache)[0], keys[:position])
    cache.append(*rows(5, seed=2)) if position <= 145 else None
    assert not np.isnan(cache._store).any()
    assert (cache._store[:, -(-cache.length // 64) :] == 0).all()


@pytest.mark.parametrize("kv", ["f32", "f16"])
@pytest.mark.parametrize("position", [0, 64, 100])
def test_a_snapshot_brings_back_what_was_before_it(kv: str, position: int) -> None:
    cache = AttentionCache(200, HEADS, SIZE, kv)
    cache.append(*rows(120))
    before = [part.copy() for part in content(cache)]
    snapshot = cache.snapshot(position)
    cache.truncate(10)
    cache.append(*rows(150, seed=3))
    other = AttentionCache(300, HEADS, SIZE, kv)
    for each in (cache, other):
        each.restore(snapshot)
        assert each.length == position
        for got, kept in zip(content(each), before, strict=True):
            np.testing.assert_array_equal(got, kept[:position])
    assert snapshot.bytes == 2 * -(-position // 64) * 64 * HEADS * SIZE * (2 if kv == "f16" else 4)


def test_bytes_count_the_blocks_in_use() -> None:
    cache = AttentionCache(1000, HEADS, SIZE, "f16")
    assert cache.bytes == 0
    cache.append(*rows(65))
    assert cache.bytes == 2 * 2 * 64 * HEADS * SIZE * 2


def test_more_than_the_room_is_a_fault() -> None:
    cache = AttentionCache(10, HEADS, SIZE, "f32")
    with pytest.raises(LocalFault, match="10 positions"):
        cache.append(*rows(11))
    with pytest.raises(LocalFault):
        cache.snapshot(1)
