"""The arithmetic of products, format by format: a panel's 16 or 32 outputs of a few rows at a time.

The sum of one output is taken along k in one order, whatever the tile: blocks one after another, each an
exact integer (or, for float weights, a chain of fused multiply-adds over 256 numbers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from swarmnode.inference.kernels.code import F32, F32V, I8, I16, I32, I32V, LANES, Code, Val, Var, vector
from swarmnode.inference.kernels.dots import (
    I8V,
    I16V,
    broadcast4,
    broadcast_pair,
    dot_group,
    dot_pairs,
    dot_signed,
    offset_of,
)
from swarmnode.inference.kernels.floats import load_half, widen_bfloat
from swarmnode.inference.kernels.formats import (
    K32_BYTES,
    K32_SCALES,
    K32_SUM16,
    K256_BYTES,
    Q4_K,
    Q5_K,
    Q6_K,
    SUB_BYTES,
    SUB_SCALE,
    SUB_SHARE,
    SUB_SUM16,
)
from swarmnode.inference.kernels.targets import Target

#: Numbers along k whose products are summed before they are added to the rest, for float weights.
FLOAT_RUN = 256

#: How many bytes ahead of their use weights are asked for (the best of 1, 2, 4, 6, 8 and 12 KiB measured).
PREFETCH_BYTES = 6144


@dataclass(frozen=True, slots=True)
class Panel:
    """Where a panel lies, how many blocks it has, whether what comes next is asked for."""

    address: Val
    blocks: Val
    ahead: bool

    def ask(self, address: Val, offset: int, size: int) -> None:
        """Ask for what lies some blocks after these bytes: memory is what is waited for."""
        if self.ahead:
            for line in range(0, size, 64):
                address.code.prefetch(address, PREFETCH_BYTES + offset + line)


Tile = Callable[[Code, Target, Panel, list[Val], list[Val]], None]


def _accumulators(code: Code, count: int) -> list[Var]:
    return [Var(code, code.const(F32V, 0.0)) for _ in range(count)]


def _store(code: Code, sums: list[Var], outputs: list[Val]) -> None:
    for total, output in zip(sums, outputs, strict=True):
        code.store(total.get(), output)


def _tile_q4_q5(
    fifth: bool, code: Code, target: Target, weights: Panel, inputs: list[Val], outputs: list[Val]
) -> None:
    """sum over superblocks of d * sum_j scale_j s_j (q . x)_j - dmin * sum_j m_j scale_j sum(x)_j, j over 8
    sub-blocks, whose activations share a factor."""
    size = (Q5_K if fifth else Q4_K).size
    scales = 2560 if fifth else 2048
    sums = _accumulators(code, len(inputs))
    with code.range(0, weights.blocks) as block:
        base, here = weights.address + block * size, block * K256_BYTES
        totals, leasts = _accumulators(code, len(inputs)), _accumulators(code, len(inputs))
        with code.range(0, 8) as part:
            packed = base + part * 256
            high = code.load(I8V, base + part * 64, 2048) if fifth else None
            weights.ask(packed, 0, 256)
            if fifth:
                weights.ask(base + part * 64, 2048, 64)
            numbers = _nibbles(code, packed, high)
            factor = code.load(vector(I8, LANES), base + part * LANES, scales).unsigned(I32V)
            minimum = code.load(vector(I8, LANES), base + part * LANES, scales + 128).unsigned(I32V)
            minimum = minimum.to_float(F32V)
            for row, total, least in zip(inputs, totals, leasts, strict=True):
                at = row + (here + part * SUB_BYTES)
                quads = [broadcast4(code, at, 4 * index) for index in range(8)]
                exact = dot_group(code, target, numbers, quads, 31 if fifth else 15)
                scale = code.splat(code.load(F32, at, SUB_SCALE))
                share = code.splat(code.load(F32, at, SUB_SHARE))
                least.set(code.fma(minimum, share, least.get()))
                total.set(code.fma((exact * factor).to_float(F32V), scale, total.get()))
        weights.ask(base, scales, 320)
        delta = load_half(code, target, base, scales + 256)
        delta_min = load_half(code, target, base, scales + 288)
        for total, least, result in zip(totals, leasts, sums, strict=True):
            value = code.fma(delta, total.get(), delta_min * least.get() * -1.0)
            result.set(result.get() + value)
    _store(code, sums, outputs)


def _nibbles(code: Code, packed: Val, high: Val | None) -> list[Val]:
    """The 32 numbers of a sub-block, 4 a vector: those of the low nibbles, then of the high ones."""
    raw = [code.load(I8V, packed, 64 * index) for index in range(4)]
    low = [one & 15 for one in raw]
    top = [(one.bits(I16V) >> 4).bits(I8V) & 15 for one in raw]
    if high is None:
        return low + top
    result = []
    for half, numbers in enumerate((low, top)):
        for index, one in enumerate(numbers):
            result.append(one | (_shifted(high, 4 - (2 * index + half)) & 16))
    return result


def _shifted(value: Val, left: int) -> Val:
    """Bytes shifted by words: bits of a neighbour come in and must be masked off."""
    words = value.bits(I16V)
    return (words << left if left >= 0 else words >> -left).bits(I8V)


def _tile_q6(code: Code, target: Target, weights: Panel, inputs: list[Val], outputs: list[Val]) -> None:
    """sum over superblocks of d * sum_i scale_i sum_j s_j ((q . x)_j - 32 sum(x)_j), i over 8 groups of
    activations that share a factor, j over the 2 sub-blocks of each."""
    sums = _accumulators(code, len(inputs))
    with code.range(0, weights.blocks) as block:
        base, here = weights.address + block * Q6_K.size, block * K256_BYTES
        totals = _accumulators(code, len(inputs))
        with code.range(0, 8) as part:
            packed = base + part * 256
            weights.ask(packed, 0, 256)
            weights.ask(base + part * 128, 2048, 128)
            bits = [code.load(I8V, base + part * 128, 2048 + 64 * index) for index in range(2)]
            raw = [code.load(I8V, packed, 64 * index) for index in range(4)]
            low, top = [], []
            for index, one in enumerate(raw):
                place = (index % 2) * 4
                low.append((one & 15) | (_shifted(bits[index // 2], 4 - place) & 48))
                nibble = (one.bits(I16V) >> 4).bits(I8V) & 15
                top.append(nibble | (_shifted(bits[index // 2], 2 - place) & 48))
            scales = base + part * 32
            signed = [code.load(vector(I8, LANES), scales, 3072 + 16 * half) for half in range(2)]
            factors = [one.signed(I32V) for one in signed]
            pair = ((factors[0] & 0xFFFF) | (factors[1] << 16)).bits(I16V)
            for row, total in zip(inputs, totals, strict=True):
                at = row + (here + part * SUB_BYTES)
                result = code.const(I32V, 0)
                for half, numbers in enumerate((low, top)):
                    quads = [broadcast4(code, at, 16 * half + 4 * index) for index in range(4)]
                    result = result + dot_group(code, target, numbers, quads, 63) * factors[half]
                middle = broadcast_pair(code, at, SUB_SUM16)
                offset = dot_pairs(code, target, code.const(I32V, 0), pair, middle)
                scale = code.splat(code.load(F32, at, SUB_SCALE))
                total.set(code.fma((result - (offset << 5)).to_float(F32V), scale, total.get()))
        weights.ask(base, 3072, 288)
        delta = load_half(code, target, base, 3328)
        for total, result_sum in zip(totals, sums, strict=True):
            result_sum.set(code.fma(delta, total.get(), result_sum.get()))
    _store(code, sums, outputs)


def _tile_q8(code: Code, target: Target, weights: Panel, inputs: list[Val], outputs: list[Val]) -> None:
    """sum over blocks of 32 of d * sum_i scale_i (q . x)_i, i over 2 groups of activations."""

    def exact(at: Val, numbers: list[Val], quads: list[Val], group: int) -> Val:
        start = code.const(I32V, 0)
        if offset := offset_of(target):
            start = code.splat(code.load(I32, at, K32_SUM16 + 4 * group) * -offset)
        return dot_signed(code, target, numbers, quads, start)

    def numbers_at(base: Val) -> list[Val]:
        return [code.load(I8V, base, 64 * index) for index in range(8)]

    _tile_32(code, target, weights, inputs, outputs, 512, numbers_at, exact)


def _tile_q4_0(code: Code, target: Target, weights: Panel, inputs: list[Val], outputs: list[Val]) -> None:
    """sum over blocks of 32 of d * sum_i scale_i ((q . x)_i - 8 sum(x)_i)."""

    def exact(at: Val, numbers: list[Val], quads: list[Val], group: int) -> Val:
        found = dot_group(code, target, numbers, quads, 15)
        return found + code.splat(code.load(I32, at, K32_SUM16 + 4 * group) * -8)

    _tile_32(code, target, weights, inputs, outputs, 256, lambda base: _nibbles(code, base, None), exact)


def _tile_32(
    code: Code,
    target: Target,
    weights: Panel,
    inputs: list[Val],
    outputs: list[Val],
    delta_at: int,
    numbers_at: Callable[[Val], list[Val]],
    exact: Callable[[Val, list[Val], list[Val], int], Val],
) -> None:
    """Blocks of 32: exact(activations, 4 vectors of weights, 4 of activations, group): its sum."""
    sums, size = _accumulators(code, len(inputs)), delta_at + 2 * LANES
    with code.range(0, weights.blocks) as block:
        base, here = weights.address + block * size, block * K32_BYTES
        weights.ask(base, 0, size)
        numbers = numbers_at(base)
        delta = load_half(code, target, base, delta_at)
        for row, result in zip(inputs, sums, strict=True):
            at, parts = row + here, []
            for group in range(2):
                mine = range(4 * group, 4 * group + 4)
                quads = [broadcast4(code, at, 4 * index) for index in mine]
                whole = exact(at, [numbers[index] for index in mine], quads, group)
                scale = code.splat(code.load(F32, at, K32_SCALES + 4 * group))
                parts.append((whole.to_float(F32V), scale))
            value = code.fma(parts[1][0], parts[1][1], parts[0][0] * parts[0][1])
            result.set(code.fma(delta, value, result.get()))
    _store(code, sums, outputs)


def _tile_float(
    kind: str, code: Code, target: Target, weights: Panel, inputs: list[Val], outputs: list[Val]
) -> None:
    """32 rows at a time: chains of fused multiply-adds over 256 numbers, added up."""
    size = 128 if kind == "F32" else 64
    sums = [_accumulators(code, 2) for _ in inputs]
    blocks = weights.blocks
    runs = (blocks + (FLOAT_RUN - 1)) // FLOAT_RUN
    with code.range(0, runs) as run:
        chains = [_accumulators(code, 2) for _ in inputs]
        begin = run * FLOAT_RUN
        end = code.select(begin + FLOAT_RUN < blocks, begin + FLOAT_RUN, blocks)
        with code.range(begin, end) as k:
            weights.ask(weights.address + k * size, 0, size)
            both = _float_pair(code, target, kind, weights.address + k * size)
            for row, chain in zip(inputs, chains, strict=True):
                value = code.splat(code.load(F32, row, k * 4))
                for half in range(2):
                    chain[half].set(code.fma(both[half], value, chain[half].get()))
        for chain, total in zip(chains, sums, strict=True):
            for half in range(2):
                total[half].set(total[half].get() + chain[half].get())
    for total, output in zip(sums, outputs, strict=True):
        for half in range(2):
            code.store(total[half].get(), output, 64 * half)


def _float_pair(code: Code, target: Target, kind: str, address: Val) -> list[Val]:
    if kind == "F32":
        return [code.load(F32V, address, 64 * half) for half in range(2)]
    if kind == "F16":
        return [load_half(code, target, address, 32 * half) for half in range(2)]
    return [widen_bfloat(code, code.load(vector(I16, LANES), address, 32 * half)) for half in range(2)]


TILES: dict[str, Tile] = {
    "Q4_K": partial(_tile_q4_q5, False),
    "Q5_K": partial(_tile_q4_q5, True),
    "Q6_K": _tile_q6,
    "Q8_0": _tile_q8,
    "Q4_0": _tile_q4_0,
    "F16": partial(_tile_float, "F16"),
    "BF16": partial(_tile_float, "BF16"),
    "F32": partial(_tile_float, "F32"),
}
