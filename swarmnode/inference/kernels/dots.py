"""Exact products of bytes: the only code that differs by instruction set.

All give the same integers. Nothing saturates: the bounds that make it so are stated where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import llvmlite.binding as llvm

from swarmnode.inference.kernels.code import I8, I16, I32, I32V, Code, Val, vector
from swarmnode.inference.kernels.targets import Target

BYTES = 64
I8V, I16V = vector(I8, BYTES), vector(I16, BYTES // 2)

#: The largest magnitude of an activation.
MAX_ACTIVATION = 127
_I16_MAX = 32767


def broadcast4(code: Code, address: Val, offset: Val | int = 0) -> Val:
    """Four bytes in each of 16 lanes."""
    return code.splat(code.load(I32, address, offset)).bits(I8V)


def broadcast_pair(code: Code, address: Val, offset: Val | int = 0) -> Val:
    """Two i16 in each of 16 lanes."""
    return code.splat(code.load(I32, address, offset)).bits(I16V)


def dot_group(code: Code, target: Target, weights: Sequence[Val], rows: Sequence[Val], highest: int) -> Val:
    """The sums over all vectors of weights[v] * rows[v], 4 bytes a lane: i32 x 16.

    weights: unsigned bytes of at most `highest` (<= 127); rows: signed bytes of at most 127 in magnitude.
    """
    if target.dot in ("avx512", "avx2"):
        return _by_words(code, target, weights, rows, highest)
    total = code.const(I32V, 0)
    for weight, row in zip(weights, rows, strict=True):
        total = _QUADS[target.dot](code, total, weight, row)
    return total


def dot_signed(code: Code, target: Target, weights: Sequence[Val], rows: Sequence[Val], total: Val) -> Val:
    """The same for signed weights of any value; `total` must be -128 times the sum of the bytes of `rows` a
    lane where `offset_of` says so, else zero."""
    for weight, row in zip(weights, rows, strict=True):
        if target.dot == "vnni":
            total = _vnni(code, total, weight ^ -128, row)
        elif target.dot in ("avx512", "avx2"):
            total = total + _wide_pairs(code, target, weight, row)
        elif target.dot == "neon":
            total = _neon(code, total, weight, row)
        else:
            total = _portable(code, total, weight, row, signed=True)
    return total


def offset_of(target: Target) -> int:
    """What `dot_signed` adds to each weight, and wants taken off: see there."""
    return 128 if target.dot == "vnni" else 0


def dot_pairs(code: Code, target: Target, total: Val, one: Val, two: Val) -> Val:
    """total + the sums of one * two, two i16 a lane; the sums must fit in i32."""
    if target.dot in ("vnni", "avx512"):
        return total + code.intrinsic("llvm.x86.avx512.pmaddw.d.512", I32V, one, two)
    if target.dot == "avx2":
        return total + _halves(code, _madd, one, two)
    wide_one, wide_two = one.bits(I32V), two.bits(I32V)
    low = (wide_one << 16).sar(16) * (wide_two << 16).sar(16)
    return total + low + wide_one.sar(16) * wide_two.sar(16)


def _vnni(code: Code, total: Val, weight: Val, row: Val) -> Val:
    if llvm.llvm_version_info[0] < 21:  # the bytes were passed as words then
        weight, row = weight.bits(I32V), row.bits(I32V)
    return code.intrinsic("llvm.x86.avx512.vpdpbusd.512", I32V, total, weight, row)


def _by_words(code: Code, target: Target, weights: Sequence[Val], rows: Sequence[Val], highest: int) -> Val:
    """Pairs of products are added in i16 as long as they surely fit, then widened."""
    fit = _I16_MAX // (2 * highest * MAX_ACTIVATION)
    ones = code.const(I16V, 1)
    total: Val | None = None
    for start in range(0, len(weights), fit):
        words: Val | None = None
        for weight, row in zip(weights[start : start + fit], rows[start : start + fit], strict=True):
            product = _products(code, target, weight, row)
            words = product if words is None else words + product
        assert words is not None  # a group is never empty
        zero = code.const(I32V, 0) if total is None else total
        total = dot_pairs(code, target, zero, words, ones)
    assert total is not None
    return total


def _products(code: Code, target: Target, weight: Val, row: Val) -> Val:
    """Unsigned times signed bytes, neighbours added: i16 x 32."""
    if target.dot == "avx512":
        return code.intrinsic("llvm.x86.avx512.pmaddubs.w.512", I16V, weight, row)
    return _halves(code, _maddubs, weight, row)


def _maddubs(code: Code, one: Val, two: Val) -> Val:
    return code.intrinsic("llvm.x86.avx2.pmadd.ub.sw", vector(I16, 16), one, two)


def _madd(code: Code, one: Val, two: Val) -> Val:
    return code.intrinsic("llvm.x86.avx2.pmadd.wd", vector(I32, 8), one, two)


def _halves(code: Code, work: Callable[[Code, Val, Val], Val], one: Val, two: Val) -> Val:
    """Work on both halves of vectors, and join what comes out."""
    middle = one.type.count // 2
    parts = [
        work(code, code.shuffle(one, one, lanes), code.shuffle(two, two, lanes))
        for lanes in (range(middle), range(middle, 2 * middle))
    ]
    return code.shuffle(parts[0], parts[1], range(2 * parts[0].type.count))


def _wide_pairs(code: Code, target: Target, weight: Val, row: Val) -> Val:
    """Signed times signed bytes through i16, four products a lane."""
    zero = code.const(I32V, 0)
    parts = []
    for lanes in (range(32), range(32, 64)):
        words = [code.shuffle(part, part, lanes).signed(I16V) for part in (weight, row)]
        parts.append(dot_pairs(code, target, zero, words[0], words[1]))
    even, odd = range(0, 32, 2), range(1, 32, 2)
    return code.shuffle(parts[0], parts[1], even) + code.shuffle(parts[0], parts[1], odd)


def _neon(code: Code, total: Val, weight: Val, row: Val) -> Val:
    """Signed bytes; unsigned ones of at most 127 are the same."""
    quad = vector(I32, 4)
    parts = []
    for part in range(4):
        lanes = range(16 * part, 16 * part + 16)
        sums = code.shuffle(total, total, range(4 * part, 4 * part + 4))
        one, two = (code.shuffle(value, value, lanes) for value in (weight, row))
        parts.append(code.intrinsic("llvm.aarch64.neon.sdot.v4i32.v16i8", quad, sums, one, two))
    low = code.shuffle(parts[0], parts[1], range(8))
    high = code.shuffle(parts[2], parts[3], range(8))
    return code.shuffle(low, high, range(16))


def _portable(code: Code, total: Val, weight: Val, row: Val, *, signed: bool = False) -> Val:
    weights, rows = weight.bits(I32V), row.bits(I32V)
    for byte in range(4):
        shifted = weights << (24 - 8 * byte)
        one = shifted.sar(24) if signed else shifted >> 24
        total = total + one * (rows << (24 - 8 * byte)).sar(24)
    return total


_QUADS: dict[str, Callable[[Code, Val, Val, Val], Val]] = {
    "vnni": _vnni,
    "neon": _neon,
    "portable": _portable,
}
