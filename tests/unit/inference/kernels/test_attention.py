"""Attention over pages against a softmax in double precision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from swarmnode.inference.kernels.append import append
from swarmnode.inference.kernels.attention import attend
from swarmnode.inference.kernels.page_layout import BLOCK, PART, PageLayout
from swarmnode.inference.kernels.program import Memory, address_of, float_bits

KV = ["f32", "f16", "q8_0"]


@dataclass
class Cache:
    """Pages of one session of one layer, not next to one another, with a layer before it in each page."""

    layout: PageLayout
    length: int

    def __post_init__(self) -> None:
        pages = -(-self.length // BLOCK)
        self.offset = self.layout.layer_bytes
        self.size = 2 * self.layout.layer_bytes
        self.memory = Memory(2 * pages * self.size)
        self.memory.bytes[:] = 0xFF  # not numbers, where nothing was put
        order = np.random.default_rng(9).permutation(2 * pages)[:pages]
        self.table = self.memory.address + order.astype(np.int64) * self.size
        for start in order * self.size + self.offset:  # what is beyond the head's numbers is zeros
            self.memory.bytes[start : start + self.layout.layer_bytes] = 0

    def tables(self, rows: int) -> np.ndarray:
        return np.full(rows, address_of(self.table), np.int64)

    def append(self, machine, keys: np.ndarray, values: np.ndarray, first: int = 0) -> None:
        positions = np.arange(first, first + len(keys), dtype=np.int64)
        fields = [keys, keys.strides[0], values, values.strides[0], self.offset, positions]
        machine.run(append(self.layout, machine.target), [*fields, self.tables(len(keys))], len(keys))


def rounded(kv: str, rows: np.ndarray, heads: int) -> np.ndarray:
    """What the cache keeps of rows, float64 [rows, heads, head_dim]."""
    split = rows.reshape(len(rows), heads, -1)
    if kv == "f32":
        return split.astype(np.float64)
    if kv == "f16":
        return split.astype(np.float16).astype(np.float64)
    dim = split.shape[2]
    out = np.zeros(split.shape)
    for begin in range(0, dim, PART):
        part = split[:, :, begin : begin + PART]
        factor = (np.abs(part).max(axis=2) * np.float32(1 / 127)).astype(np.float16).astype(np.float32)
        with np.errstate(divide="ignore"):
            inverse = np.where(factor > 0, np.float32(1) / factor, np.float32(0))
        numbers = np.clip(np.rint(part * inverse[..., None]), -127, 127)
        out[:, :, begin : begin + PART] = numbers * factor[..., None].astype(np.float64)
    return out


def softmax(
    queries: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    positions: np.ndarray,
    *,
    group: int,
    window: int,
    scale: float,
    cap: float,
) -> np.ndarray:
    """float64 [rows, heads * head_dim]."""
    heads, dim = keys.shape[1:]
    asked = queries.reshape(len(queries), heads, group, dim).astype(np.float64)
    out = np.zeros_like(asked)
    for row, position in enumerate(positions):
        first = max(0, position - window + 1) if window else 0
        seen = slice(first, position + 1)
        scores = np.einsum("hgd,thd->hgt", asked[row], keys[seen]) * scale
        if cap:
            scores = cap * np.tanh(scores / cap)
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
        out[row] = np.einsum("hgt,thd->hgd", weights, values[seen])
    return out.reshape(len(queries), -1)


def attended(
    machine, cache: Cache, queries: np.ndarray, positions: np.ndarray, *, group, window, scale, cap
) -> np.ndarray:
    out = np.full_like(queries, np.nan)
    fields = [queries, queries.strides[0], out, out.strides[0], cache.offset, positions]
    fields += [cache.tables(len(queries)), window, float_bits(scale), float_bits(cap)]
    kernel = attend(cache.layout, group, machine.target, softcap=cap > 0)
    machine.run(kernel, fields, len(queries) * cache.layout.kv_heads)
    return out


def compare(
    machine, kv: str, dim: int, group: int, *, heads: int = 2, window: int = 0, cap: float = 0, length=150
) -> None:
    rng = np.random.default_rng(dim + group)
    layout = PageLayout(heads, dim, kv)
    keys, values = (rng.standard_normal((length, heads * dim)).astype(np.float32) for _ in range(2))
    keys[length // 3] *= 5
    positions = np.array([p for p in (0, 1, 15, 63, 64, 100, 127, 128, 149) if p < length], np.int64)
    queries = rng.standard_normal((len(positions), heads * group * dim)).astype(np.float32)
    cache = Cache(layout, length)
    cache.append(machine, keys[:70], values[:70])
    cache.append(machine, keys[70:], values[70:], 70)
    scale = dim**-0.5
    options = {"group": group, "window": window, "scale": scale, "cap": cap}
    found = attended(machine, cache, queries, positions, **options)
    stored = [rounded(kv, one, heads) for one in (keys, values)]
    wanted = softmax(queries, *stored, positions, **options)
    np.testing.assert_allclose(found, wanted, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("dim", [8, 16, 20, 48])
def test_small_heads_everywhere(machine, kv: str, dim: int) -> None:
    compare(machine, kv, dim, 2)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("dim", [64, 80, 128, 256])
def test_large_heads(best, kv: str, dim: int) -> None:
    compare(best, kv, dim, 2, heads=1)


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("group", [1, 3, 4, 8])
def test_groups_of_query_heads(best, kv: str, group: int) -> None:
    compare(best, kv, 32, group)


@pytest.mark.parametrize("group", [4, 8])
def test_wide_groups_of_large_heads(best, group: int) -> None:
    compare(best, "f16", 128, group, heads=1)


@pytest.mark.parametrize("window", [1, 2, 30, 63, 64, 65, 100, 149, 150, 4096])
def test_windows(machine, window: int) -> None:
    compare(machine, "f16", 16, 2, window=window)


@pytest.mark.parametrize("window", [0, 40])
@pytest.mark.parametrize("cap", [0.5, 50.0])
def test_softcaps(machine, cap: float, window: int) -> None:
    compare(machine, "f32", 16, 2, cap=cap, window=window)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 129])
def test_lengths_about_a_block(best, length: int) -> None:
    compare(best, "f16", 16, 2, length=length)


@pytest.mark.parametrize("kv", KV)
def test_a_row_does_not_depend_on_what_comes_later(best, kv: str) -> None:
    """A shorter cache, and one whose later positions are no numbers: the same bits."""
    rng = np.random.default_rng(3)
    layout, rows = PageLayout(1, 16, kv), rng.standard_normal((2, 150, 16)).astype(np.float32)
    query, positions = rng.standard_normal((1, 32)).astype(np.float32), np.array([99], np.int64)
    options = {"group": 2, "window": 0, "scale": 0.25, "cap": 0.0}
    results = []
    for later in (None, 1.0, np.nan, np.inf):
        cache = Cache(layout, 150)
        cache.append(best, rows[0][:100], rows[1][:100])
        if later is not None:
            bad = np.full((50, 16), later, np.float32)
            cache.append(best, bad, bad, 100)
        results.append(attended(best, cache, query, positions, **options))
    for other in results[1:]:
        np.testing.assert_array_equal(other.view(np.uint32), results[0].view(np.uint32))


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize("place", [0, 30, 99])
@pytest.mark.parametrize("fault", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cap", [0.0, 5.0])
def test_what_is_no_number_shows(best, kv: str, place: int, fault: float, cap: float) -> None:
    """A key or a value that is not finite leaves its rows not finite, and others alone."""
    rng = np.random.default_rng(4)
    for side in range(2):
        rows = rng.standard_normal((2, 100, 16)).astype(np.float32)
        rows[side, place, 3] = fault
        cache = Cache(PageLayout(1, 16, kv), 100)
        cache.append(best, rows[0], rows[1])
        positions = np.array([place, 99], np.int64)
        query = np.abs(rng.standard_normal((2, 16))).astype(np.float32)
        options = {"group": 1, "window": 0, "scale": 0.25, "cap": cap}
        found = attended(best, cache, query, positions, **options)
        assert not np.isfinite(found).all(axis=1).any()
        if place:
            before = attended(best, cache, query, np.array([0, place - 1], np.int64), **options)
            assert np.isfinite(before).all()


def test_q8_0_is_the_q8_0_of_gguf(machine) -> None:
    """Factors as the gguf package has them; the numbers are taken by the factor as it is kept."""
    rng = np.random.default_rng(5)
    rows = (rng.standard_normal((64, 64)) * 3).astype(np.float32)
    cache = Cache(PageLayout(1, 64, "q8_0"), 64)
    cache.append(machine, rows, rows)
    layout = cache.layout
    start = int(cache.table[0] - cache.memory.address) + cache.offset
    raw = cache.memory.bytes[start : start + layout.layer_bytes]
    theirs = quants.quantize(rows, GGMLQuantizationType.Q8_0).reshape(64, 2, 34)
    factors = raw[layout.head_dim * BLOCK : layout.key_bytes].view(np.float16).reshape(2, BLOCK)
    np.testing.assert_array_equal(factors.T, theirs[:, :, :2].copy().view(np.float16)[:, :, 0])
    keys = raw[: layout.head_dim * BLOCK].view(np.int8).reshape(64, BLOCK).T
    values = raw[layout.values :][: 64 * BLOCK].view(np.int8).reshape(BLOCK, 64)
    np.testing.assert_array_equal(keys, values)
    apart = np.abs(keys.astype(int) - theirs[:, :, 2:].view(np.int8).reshape(64, 64))
    assert apart.max() <= 1 and apart.mean() < 0.05


def test_layouts() -> None:
    assert PageLayout(2, 20, "f16").padded_dim == 32
    assert PageLayout(2, 20, "f32").layer_bytes == 2 * (20 + 32) * BLOCK * 4
    one = PageLayout(3, 80, "q8_0")
    assert one.parts == 3
    assert one.key_bytes == 80 * BLOCK + 3 * BLOCK * 2
    assert one.values == 3 * one.key_bytes
