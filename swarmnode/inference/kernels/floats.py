"""Float arithmetic that no instruction gives: the same bits on every processor.

Only additions, multiplications, divisions, square roots and fused multiply-adds are used, each rounded as
IEEE 754 says.
"""

from __future__ import annotations

from llvmlite import ir

from swarmnode.inference.kernels.code import F16, F32V, I16, I32V, LANES, Code, Val, vector
from swarmnode.inference.kernels.targets import Target

F16V, I16V16 = vector(F16, LANES), vector(I16, LANES)

_LOG2_E = 1.44269504088896341
#: ln 2 in two parts: the first has few bits, so that its product with a whole number is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
#: exp(r) - 1 - r over r**2 on |r| <= ln(2)/2, highest power first (Cephes' expf, S. Moshier).
_EXP = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_MAGIC, _ONE_BITS = 12582912.0, 0x3F800000
_EXP_LOWEST, _EXP_HIGHEST = -87.0, 88.0


def exp(code: Code, value: Val) -> Val:
    """e**value, to about one unit in the last place; below -87 as if it were -87, above 88 likewise.

    float32 x 16. What is no number stays none.
    """
    clipped = code.select(value < _EXP_LOWEST, _EXP_LOWEST, value)
    clipped = code.select(clipped > _EXP_HIGHEST, _EXP_HIGHEST, clipped)
    # Adding 1.5 * 2**23 rounds to a whole number and leaves it in the low bits of the sum.
    shifted = code.fma(clipped, _LOG2_E, _MAGIC)
    power = shifted - _MAGIC
    rest = code.fma(power, -_LN2_HIGH, clipped)
    rest = code.fma(power, -_LN2_LOW, rest)
    series = code.const(value.type, _EXP[0])
    for factor in _EXP[1:]:
        series = code.fma(series, rest, factor)
    series = code.fma(series, rest * rest, rest) + 1.0
    return series * ((shifted.bits(I32V) << 23) + _ONE_BITS).bits(F32V)


def sigmoid(code: Code, value: Val) -> Val:
    """1 / (1 + e**-value)."""
    return 1.0 / (exp(code, value * -1.0) + 1.0)


def tanh(code: Code, value: Val) -> Val:
    """Hyperbolic tangent, to about 1e-7."""
    return 1.0 - 2.0 / (exp(code, value * 2.0) + 1.0)


def gelu(code: Code, value: Val) -> Val:
    """The usual approximation by tanh (arXiv 1606.08415)."""
    inner = value * code.fma(value * value, 0.044715, 1.0) * 0.7978845608028654
    return value * 0.5 * (tanh(code, inner) + 1.0)


def silu(code: Code, value: Val) -> Val:
    """value * sigmoid(value) (arXiv 1702.03118)."""
    return value / (exp(code, value * -1.0) + 1.0)


def widen_half(code: Code, target: Target, bits: Val) -> Val:
    """float16 bits (i16 x n) as float32 x n; exact."""
    lanes = bits.type.count
    wide, ints = ir.VectorType(F32V.element, lanes), ir.VectorType(I32V.element, lanes)
    if target.halves:
        return Val(code, code.builder.fpext(bits.bits(vector(F16, lanes)).ir, wide))
    whole = bits.unsigned(ints)
    sign = (whole & 0x8000) << 16
    rest = (whole & 0x7FFF) << 13
    # Multiplying by 2**112 mends the exponent, of subnormal numbers too; infinity is mended after.
    scaled = (rest.bits(wide) * 2.0**112).bits(ints)
    large = (whole & 0x7C00).eq(0x7C00)
    scaled = code.select(large, rest | 0x7F800000, scaled)
    return (scaled | sign).bits(wide)


def narrow_half(code: Code, target: Target, value: Val) -> Val:
    """float32 x n rounded to float16, ties to even; the bits as i16 x n."""
    lanes = value.type.count
    halves, ints = vector(F16, lanes), ir.VectorType(I32V.element, lanes)
    if target.halves:
        return Val(code, code.builder.fptrunc(value.ir, halves)).bits(vector(I16, lanes))
    bits = value.bits(ints)
    sign = (bits >> 16) & 0x8000
    size = bits & 0x7FFFFFFF
    odd = (size >> 13) & 1
    normal = (size - (112 << 23) + 0xFFF + odd) >> 13
    small = (size.bits(value.type) + 0.5).bits(ints) - 0x3F000000
    result = code.select(size < (113 << 23), small, normal)
    result = code.select(size >= (143 << 23), 0x7C00, result)
    result = code.select(size > 0x7F800000, code.like(result, 0x7E00), result)
    return (result | sign).narrow(vector(I16, lanes))


def load_half(code: Code, target: Target, address: Val, offset: Val | int = 0, lanes: int = LANES) -> Val:
    """`lanes` float16 numbers from memory as float32."""
    return widen_half(code, target, code.load(vector(I16, lanes), address, offset))


def widen_bfloat(code: Code, bits: Val) -> Val:
    """bfloat16 bits (i16 x 16) as float32 x 16."""
    return (bits.unsigned(I32V) << 16).bits(F32V)
