"""Rounding rows: activations to bytes, the residual stream to float16. Kernels as in `rows`."""

from __future__ import annotations

from functools import partial

from swarmnode.inference.kernels.code import F32, F32V, I8, I16, I32, I32V, LANES, Code, Val, Var, vector
from swarmnode.inference.kernels.floats import narrow_half, widen_half
from swarmnode.inference.kernels.formats import (
    K32_BYTES,
    K32_SCALES,
    K32_SUM16,
    K256_BYTES,
    SUB_BYTES,
    SUB_SCALE,
    SUB_SHARE,
    SUB_SUM16,
)
from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.rows import chunks, row_kernel
from swarmnode.inference.kernels.targets import Target

I8V16 = vector(I8, LANES)


# Quantising: source, bytes of a row, numbers of a row (padded in memory), target, bytes of a row.


def quantise_256() -> tuple[str, Build]:
    """float32 rows to blocks of 256 bytes with a factor for each 32, rounded to even (`formats`)."""
    return row_kernel("quantise_256", 5, partial(_quantise, 256))


def quantise_32() -> tuple[str, Build]:
    """float32 rows to blocks of 32 bytes with a factor for each 16, rounded to even."""
    return row_kernel("quantise_32", 5, partial(_quantise, 32))


def _quantise(size: int, code: Code, fields: list[Val], row: Val) -> None:
    source, target = fields[0] + row * fields[1], fields[3] + row * fields[4]
    bytes_, fill = (K256_BYTES, _fill_256) if size == 256 else (K32_BYTES, _fill_32)
    with code.range(0, fields[2] // size) as block:
        fill(code, source + block * (4 * size), target + block * bytes_)


def _fill_256(code: Code, source: Val, out: Val) -> None:
    for group in range(8):
        at = out + SUB_BYTES * group
        scale, sums = _quantise_group(code, source + 128 * group, at, 2)
        for half, total in enumerate(sums):
            code.store(total.narrow(I16), at, SUB_SUM16 + 2 * half)
        code.store(scale, at, SUB_SCALE)
        code.store(scale * (sums[0] + sums[1]).to_float(F32), at, SUB_SHARE)


def _fill_32(code: Code, source: Val, out: Val) -> None:
    for group in range(2):
        scale, sums = _quantise_group(code, source + 64 * group, out + 16 * group, 1)
        code.store(sums[0], out, K32_SUM16 + 4 * group)
        code.store(scale, out, K32_SCALES + 4 * group)


def _quantise_group(code: Code, source: Val, out: Val, vectors: int) -> tuple[Val, list[Val]]:
    """Vectors of 16 numbers that share a factor to bytes; the factor, and the sum of each vector's bytes."""
    largest = code.const(F32V, 0.0)
    values = [code.load(F32V, source, 64 * index) for index in range(vectors)]
    for value in values:
        size_of = code.abs(value)
        largest = code.select(size_of > largest, size_of, largest)
    peak = code.largest(largest)
    # 0 for numbers; not a number where any is none or infinite, so that the product is none either.
    faults = code.const(F32V, 0.0)
    for value in values:
        faults = code.fma(value, 0.0, faults)
    scale = code.fma(peak, 1.0 / 127.0, code.sum(faults))
    # A peak below 2**-100 counts as zero: its inverse would not be finite.
    inverse = code.select(peak > 2.0**-100, code.f32(127.0) / peak, 0.0)
    factor = code.splat(inverse)
    sums = []
    for index, value in enumerate(values):
        # Not above 127, for a quotient that was rounded up; what is no number becomes 0 and is found later.
        whole = code.round(code.select(value.eq(value), value, 0.0) * factor)
        whole = code.min(code.max(whole, -127.0), 127.0)
        numbers = whole.to_int(I32V)
        code.store(numbers.narrow(I8V16), out, LANES * index)
        sums.append(code.sum(numbers))
    return scale, sums


# The residual stream.


def round_half(target: Target) -> tuple[str, Build]:
    """Round rows to float16 numbers times one power of two a row (`inference.stage.residual`): rows, bytes of
    a row, count."""
    return row_kernel("round_half", 3, partial(_round_half, target))


#: As in `inference.stage.residual`: the largest number of a row lies below 2**15 then; rows smaller than
#: 2**-100 are scaled as if they were that.
_TARGET_EXPONENT, _LOWEST_EXPONENT = 15, -100


def _round_half(target: Target, code: Code, fields: list[Val], row: Val) -> None:
    base = fields[0] + row * fields[1]
    peak = Var(code, code.const(F32V, 0.0))

    def look(at: Val) -> None:
        size = code.abs(code.load(F32V, base + at))
        peak.set(code.select(size > peak.get(), size, peak.get()))

    chunks(code, fields[2], look)
    bits = code.largest(peak.get()).bits(I32)
    # The e with max|x| < 2**e after rounding to 11 bits: half a unit of the 11th bit is added first, and a
    # number just at the middle rounds to even, that is up only from an odd one (all ones is odd).
    exponent = ((bits + 0x1000) >> 23) - 126
    exponent = code.select(exponent < _LOWEST_EXPONENT, _LOWEST_EXPONENT, exponent)
    up = code.splat(((_TARGET_EXPONENT - exponent + 127) << 23).bits(F32))
    down = code.splat(((exponent - _TARGET_EXPONENT + 127) << 23).bits(F32))

    def apply(at: Val) -> None:
        halves = narrow_half(code, target, code.load(F32V, base + at) * up)
        code.store(widen_half(code, target, halves) * down, base + at)

    chunks(code, fields[2], apply)
