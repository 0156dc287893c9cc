"""What is done to rows between products: norms, activations, sums, rotation.

Every kernel is `void(arguments, first, last)` over rows first..last; the arguments are i64 fields, the first
of them the address of the row and the last ones constants (float32 as its bits).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from llvmlite import ir

from swarmnode.inference.kernels.code import F32, F32V, I32, I64, LANES, Code, Val, Var, vector
from swarmnode.inference.kernels.floats import gelu, sigmoid, silu, tanh
from swarmnode.inference.kernels.jit import Build


def row_kernel(name: str, fields: int, body: Callable[[Code, list[Val], Val], None]) -> tuple[str, Build]:
    """A kernel that calls body(code, fields of the arguments, row) for each row."""

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


def chunks(code: Code, count: Val, work: Callable[[Val], None]) -> None:
    """work(byte offset) for each 16 float32 numbers; buffers are padded with zeros to whole vectors."""
    with code.range(0, count, LANES) as index:
        work(index * 4)


# Norms: source, bytes of a row, count, target, bytes of a row, weights, biases (0: none), epsilon.


def rms_norm() -> tuple[str, Build]:
    """x / sqrt(mean(x**2) + eps) * weight (arXiv 1910.07467)."""
    return row_kernel("rms_norm", 8, _rms_norm)


def _rms_norm(code: Code, fields: list[Val], row: Val) -> None:
    source, target = fields[0] + row * fields[1], fields[3] + row * fields[4]
    _rms(code, source, target, fields[2], fields[5], fields[7])


def _rms(code: Code, source: Val, target: Val, count: Val, weights: Val, epsilon: Val) -> None:
    squares = Var(code, code.const(F32V, 0.0))

    def add(at: Val) -> None:
        value = code.load(F32V, source + at)
        squares.set(code.fma(value, value, squares.get()))

    chunks(code, count, add)
    mean = code.sum(squares.get()) / count.to_float(F32)
    factor = code.splat(code.f32(1.0) / code.sqrt(mean + _float(code, epsilon)))

    def scale(at: Val) -> None:
        value = code.load(F32V, source + at) * factor
        code.store(value * code.load(F32V, weights + at), target + at)

    chunks(code, count, scale)


def layer_norm() -> tuple[str, Build]:
    """(x - mean) / sqrt(variance + eps) * weight + bias (arXiv 1607.06450)."""
    return row_kernel("layer_norm", 8, _layer_norm)


def _layer_norm(code: Code, fields: list[Val], row: Val) -> None:
    source, target = fields[0] + row * fields[1], fields[3] + row * fields[4]
    count, weights, biases = fields[2], fields[5], fields[6]
    total = Var(code, code.const(F32V, 0.0))
    chunks(code, count, lambda at: total.set(total.get() + code.load(F32V, source + at)))
    size = count.to_float(F32)
    mean = code.splat(code.sum(total.get()) / size)
    squares = Var(code, code.const(F32V, 0.0))
    lane = code.lanes(vector(I64, LANES), range(LANES))

    def add(at: Val) -> None:
        rest = code.load(F32V, source + at) - mean
        inside = (lane + code.splat(at // 4)) < code.splat(count)
        rest = code.select(inside, rest, 0.0)  # the padding is not mean
        squares.set(code.fma(rest, rest, squares.get()))

    chunks(code, count, add)
    variance = code.sum(squares.get()) / size
    factor = code.splat(code.f32(1.0) / code.sqrt(variance + _float(code, fields[7])))

    def scale(at: Val) -> None:
        value = (code.load(F32V, source + at) - mean) * factor
        value = code.fma(value, code.load(F32V, weights + at), code.load(F32V, biases + at))
        code.store(value, target + at)

    chunks(code, count, scale)


def head_norm() -> tuple[str, Build]:
    """An RMSNorm of each of a row's heads, in place: rows, bytes of a row, heads, numbers of a head,
    weights (padded with zeros), epsilon. Numbers of a head: any."""
    return row_kernel("head_norm", 6, _head_norm)


def _head_norm(code: Code, fields: list[Val], row: Val) -> None:
    base, size = fields[0] + row * fields[1], fields[3]
    whole = size // LANES * LANES
    with code.range(0, fields[2]) as head:
        at = base + head * size * 4
        squares = Var(code, code.const(F32V, 0.0))

        def add(offset: Val, at: Val = at, squares: Var = squares) -> None:
            value = code.load(F32V, at + offset)
            squares.set(code.fma(value, value, squares.get()))

        chunks(code, whole, add)
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

        chunks(code, fields[2], add)

    return row_kernel("add_vector", 4, body)


def add_rows() -> tuple[str, Build]:
    """rows += other rows: rows, bytes of a row, count, others, bytes of a row."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, other = fields[0] + row * fields[1], fields[3] + row * fields[4]

        def add(at: Val) -> None:
            code.store(code.load(F32V, base + at) + code.load(F32V, other + at), base + at)

        chunks(code, fields[2], add)

    return row_kernel("add_rows", 5, body)


def gather_rows() -> tuple[str, Build]:
    """Copy chosen rows: source, bytes of a row, count, target, bytes of a row, their numbers (i64)."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        chosen = code.load(I64, fields[5] + row * 8)
        source, target = fields[0] + chosen * fields[1], fields[3] + row * fields[4]
        chunks(code, fields[2], lambda at: code.store(code.load(F32V, source + at), target + at))

    return row_kernel("gather_rows", 6, body)


def scale_rows() -> tuple[str, Build]:
    """rows *= a constant: rows, bytes of a row, count, constant."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, factor = fields[0] + row * fields[1], code.splat(_float(code, fields[3]))
        chunks(code, fields[2], lambda at: code.store(code.load(F32V, base + at) * factor, base + at))

    return row_kernel("scale_rows", 4, body)


def softcap_rows() -> tuple[str, Build]:
    """cap * tanh(x / cap) (arXiv 2408.00118): rows, bytes of a row, count, cap."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, cap = fields[0] + row * fields[1], code.splat(_float(code, fields[3]))

        def apply(at: Val) -> None:
            value = code.load(F32V, base + at)
            code.store(tanh(code, value / cap) * cap, base + at)

        chunks(code, fields[2], apply)

    return row_kernel("softcap_rows", 4, body)


ActivationName = Literal["silu", "gelu"]
_ACTIVATIONS = {"silu": silu, "gelu": gelu, "sigmoid": sigmoid}


def activate(activation: ActivationName, *, gated: bool) -> tuple[str, Build]:
    """gate = activation(gate) [* up]: gates, bytes of a row, count, ups, bytes of a row."""

    def body(code: Code, fields: list[Val], row: Val) -> None:
        base, other = fields[0] + row * fields[1], fields[3] + row * fields[4]

        def apply(at: Val) -> None:
            value = _ACTIVATIONS[activation](code, code.load(F32V, base + at))
            code.store(value * code.load(F32V, other + at) if gated else value, base + at)

        chunks(code, fields[2], apply)

    return row_kernel(f"activate_{activation}{'_gated' if gated else ''}", 5, body)


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

    return row_kernel(f"rotate_{'pairs' if pairs else 'halves'}", 7, body)
