"""What is done to rows between products: quantising, norms, activations, sums, rotation.

Every kernel is `void(arguments, first, last)` over rows first..last; the arguments are i64 fields, the first
of them the address of the row and the last ones constants (float32 as its bits).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from llvmlite import ir

from swarmnode.inference.kernels.code import F32, F32V, I8, I16, I32, I32V, I64, LANES, Code, Val, Var, vector
from swarmnode.inference.kernels.floats import gelu, narrow_half, sigmoid, silu, tanh, widen_half
from swarmnode.inference.kernels.formats import (
    K32_BYTES,
    K32_SCALE,
    K32_SUM,
    K256_BYTES,
    K256_SCALE,
    K256_SUM16,
    K256_SUM32,
)
from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.targets import Target

I8V16 = vector(I8, LANES)


def _kernel(name: str, fields: int, body: Callable[[Code, list[Val], Val], None]) -> tuple[str, Build]:
    def build(module: ir.Module) -> None:
        code = Code(module, name, 3)
        arguments, first, last = code.arguments
        values = code.loads(I64, arguments, fields)
        with code.range(first, last) as row:
            body(code, values, row)
        code.end()

    return name, build


def _float(code: Code, field: Val) -> Val:
    """A float32 from the low bits of a field."""
    return field.narrow(I32).bits(F32)


def _chunks(code: Code, count: Val, work: Callable[[Val], None]) -> None:
    """work(byte offset) for each 16 float32 numbers; buffers are padded with zeros to whole vectors."""
    with code.range(0, count, LANES) as index:
        work(index * 4)


# Quantising: source, bytes of a row, numbers of a row (padded in memory), target, bytes of a row.


def quantise_256() -> tuple[str, Build]:
    """float32 rows to blocks of 256 bytes, their sums and one factor: as ggml's Q8_K, rounded to even."""
    return _kernel("quantise_256", 5, partial(_quantise, 256))


def quantise_32() -> tuple[str, Build]:
    """float32 rows to blocks of 32 bytes, their sum and one factor."""
    return _kernel("quantise_32", 5, partial(_quantise, 32))


def _quantise(size: int, code: Code, fields: list[Val], row: Val) -> None:
    source, target = fields[0] + row * fields[1], fields[3] + row * fields[4]
    bytes_ = K256_BYTES if size == 256 else K32_BYTES
    with code.range(0, fields[2] // size) as block:
        _quantise_block(code, source + block * (4 * size), target + block * bytes_, size)


def _quantise_block(code: Code, source: Val, out: Val, size: int) -> None:
    vectors = size // LANES
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
    if size == 256:
        for index, total in enumerate(sums):
            code.store(total.narrow(I16), out, K256_SUM16 + 2 * index)
        for index in range(0, len(sums), 2):
            code.store((sums[index] + sums[index + 1]).narrow(I16), out, K256_SUM32 + index)
        code.store(scale, out, K256_SCALE)
    else:
        code.store(sums[0] + sums[1], out, K32_SUM)
        code.store(scale, out, K32_SCALE)


# Norms: source, bytes of a row, count, target, bytes of a row, weights, biases (0: none), epsilon.


def rms_norm() -> tuple[str, Build]:
    """x / sqrt(mean(x**2) + eps) * weight (arXiv 1910.07467)."""
    return _kernel("rms_norm", 8, _rms_norm)


def _rms_norm(code: Code, fields: list[Val], row: Val) -> None:
    source, target = fields[0] + row * fields[1], fields[3] + row * fields[4]
    _rms(code, source, target, fields[2], fields[5], fields[7])


def _rms(code: Code, source: Val, target: Val, count: Val, weights: Val, epsilon: Val) -> None:
    squares = Var(code, code.const(F32V, 0.0))

    def add(at: Val) -> None:
        value = code.load(F32V, source + at)
        squares.set(code.fma(value, value, squares.get()))

    _chunks(code, count, add)
    mean = code.sum(squares.get()) / count.to_float(F32)
    factor = code.splat(code.f32(1.0) / code.sqrt(mean + _float(code, epsilon)))

    def scale(at: Val) -> None:
        value = code.load(F32V, source + at) * factor
        code.store(value * code.load(F32V, weights + at), target + at)

    _chunks(code, count, scale)


def layer_norm() -> tuple[str, Build]:
    """(x - mean) / sqrt(variance + eps) * weight + bias (arXiv 1607.06450)."""
    return _kernel("layer_norm", 8, _layer_norm)


def _layer_norm(code: Code, fields: list[Val], row: Val) -> None:
    source, target = fields[0] + row * fields[1], fields[3] + row * fields[4]
    count, weights, biases = fields[2], fields[5], fields[6]
    total = Var(code, code.const(F32V, 0.0))
    _chunks(code, count, lambda at: total.set(total.get() + code.load(F32V, source + at)))
    size = count.to_float(F32)
    mean = code.splat(code.sum(total.get()) / size)
    squares = Var(code, code.const(F32V, 0.0))
    lane = code.lanes(vector(I64, LANES), range(LANES))

    def add(at: Val) -> None:
        rest = code.load(F32V, source + at) - mean
        inside = (lane + code.splat(at // 4)) < code.splat(count)
        rest = code.select(inside, rest, 0.0)  # the padding is not mean
        squares.set(code.fma(rest, rest, squares.get()))

    _chunks(code, count, add)
    variance = code.sum(squares.get()) / size
    factor = code.splat(code.f32(1.0) / code.sqrt(variance + _float(code, fields[7])))

    def scale(at: Val) -> None:
        value = (code.load(F32V, source + at) - mean) * factor
        value = code.fma(value, code.load(F32V, weights + at), code.load(F32V, biases + at))
        code.store(value, target + at)

    _chunks(code, count, scale)


def head_norm() -> tuple[str, Build]:
    """An RMSNorm of each of a row's heads, in place: rows, bytes of a row, heads, numbers of a head,
    weights (padded with zeros), epsilon. Numbers of a head: any."""
    return _kernel("head_norm", 6, _head_norm)


def _head_norm(code: Code, fields: list[Val], row: Val) -> None:
    base, size = fields[0] + row * fields[1], fields[3]
    whole = size // LANES * LANES
    with code.range(0, fields[2]) as head:
        at = base + head * size * 4
        squares = Var(code, code.const(F32V, 0.0))

        def add(offset: Val, at: Val = at, squares: Var = squares) -> None:
            value = code.load(F32V, at + offset)
            squares.set(code.fma(value, value, squares.get()))

        _chunks(code, whole, add)
        total = Var(code, code.sum(squares.get()))
        with code.range(whole, size) as index:
            value = code.load(F32, at + index * 4)
            total.set(code.fma(value, value, total.get()))
        mean = total.get() / size.to_float(F32)
        factor = code.f32(1.0) / code.sqrt(mean + _float(code, fields[5]))
        with code.range(0, size) as index:
            value = code.load(F32, at + index * 4) * factor
            code.store(value * code.load(F32, fields[4] + index * 4), at + index * 4)


# Sums and activations.


def add_vector() -> tuple[str, Build]:
    """rows += one vector: rows, bytes of a row, count, vector."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base = fields[0] + row * fields[1]

        def add(at: Val) -> None:
            code.store(code.load(F32V, base + at) + code.load(F32V, fields[3] + at), base + at)

        _chunks(code, fields[2], add)

    return _kernel("add_vector", 4, body)


def add_rows() -> tuple[str, Build]:
    """rows += other rows: rows, bytes of a row, count, others, bytes of a row."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, other = fields[0] + row * fields[1], fields[3] + row * fields[4]

        def add(at: Val) -> None:
            code.store(code.load(F32V, base + at) + code.load(F32V, other + at), base + at)

        _chunks(code, fields[2], add)

    return _kernel("add_rows", 5, body)


def gather_rows() -> tuple[str, Build]:
    """Copy chosen rows: source, bytes of a row, count, target, bytes of a row, their numbers (i64)."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        chosen = code.load(I64, fields[5] + row * 8)
        source, target = fields[0] + chosen * fields[1], fields[3] + row * fields[4]
        _chunks(code, fields[2], lambda at: code.store(code.load(F32V, source + at), target + at))

    return _kernel("gather_rows", 6, body)


def scale_rows() -> tuple[str, Build]:
    """rows *= a constant: rows, bytes of a row, count, constant."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, factor = fields[0] + row * fields[1], code.splat(_float(code, fields[3]))
        _chunks(code, fields[2], lambda at: code.store(code.load(F32V, base + at) * factor, base + at))

    return _kernel("scale_rows", 4, body)


def softcap_rows() -> tuple[str, Build]:
    """cap * tanh(x / cap) (arXiv 2408.00118): rows, bytes of a row, count, cap."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, cap = fields[0] + row * fields[1], code.splat(_float(code, fields[3]))

        def apply(at: Val) -> None:
            value = code.load(F32V, base + at)
            code.store(tanh(code, value / cap) * cap, base + at)

        _chunks(code, fields[2], apply)

    return _kernel("softcap_rows", 4, body)


ActivationName = Literal["silu", "gelu"]
_ACTIVATIONS = {"silu": silu, "gelu": gelu, "sigmoid": sigmoid}


def activate(activation: ActivationName, *, gated: bool) -> tuple[str, Build]:
    """gate = activation(gate) [* up]: gates, bytes of a row, count, ups, bytes of a row."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, other = fields[0] + row * fields[1], fields[3] + row * fields[4]

        def apply(at: Val) -> None:
            value = _ACTIVATIONS[activation](code, code.load(F32V, base + at))
            code.store(value * code.load(F32V, other + at) if gated else value, base + at)

        _chunks(code, fields[2], apply)

    return _kernel(f"activate_{activation}{'_gated' if gated else ''}", 5, body)


def round_half(target: Target) -> tuple[str, Build]:
    """Round rows to float16 numbers times one power of two a row (`inference.stage.residual`): rows, bytes of
    a row, count."""
    return _kernel("round_half", 3, partial(_round_half, target))


#: As in `inference.stage.residual`: the largest number of a row lies below 2**15 then; rows smaller than
#: 2**-100 are scaled as if they were that.
_TARGET_EXPONENT, _LOWEST_EXPONENT = 15, -100


def _round_half(target: Target, code: Code, fields: list[Val], row: Val) -> None:
    base = fields[0] + row * fields[1]
    peak = Var(code, code.const(F32V, 0.0))

    def look(at: Val) -> None:
        size = code.abs(code.load(F32V, base + at))
        peak.set(code.select(size > peak.get(), size, peak.get()))

    _chunks(code, fields[2], look)
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

    _chunks(code, fields[2], apply)


def rotate(*, pairs: bool) -> tuple[str, Build]:
    """Turn the heads of rows: rows, bytes of a row, heads, numbers of a head, pairs that turn, table of
    cosines then sines (float32 [positions, 2, pairs]), positions of the rows (i64)."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, size, half = fields[0] + row * fields[1], fields[3], fields[4]
        cosines = fields[5] + code.load(I64, fields[6] + row * 8) * half * 8
        with code.range(0, fields[2]) as head:
            at = base + head * size * 4
            with code.range(0, half) as index:
                one = at + index * (8 if pairs else 4)
                two = one + 4 if pairs else one + half * 4
                cos = code.load(F32, cosines + index * 4)
                sin = code.load(F32, cosines + (half + index) * 4)
                x, y = code.load(F32, one), code.load(F32, two)
                code.store(x * cos - y * sin, one)
                code.store(x * sin + y * cos, two)

    return _kernel(f"rotate_{'pairs' if pairs else 'halves'}", 7, body)
