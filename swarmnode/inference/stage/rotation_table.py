"""Cosines and sines of rotary positions, the same bits on every machine.

The C library's and numpy's own functions differ in their last bit between versions and processors; here
only additions and multiplications of float64 are used, each rounded as IEEE 754 says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

_TWO_OVER_PI = 0.6366197723675814
#: pi / 2 in three parts of at most 33 bits, so that products with whole numbers below 2**20 are exact.
_PARTS = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624879595063154e-21)
#: Taylor's series of (sin x - x) / x**3 and (cos x - 1) / x**2 in x**2 on |x| <= pi / 4, highest power first.
_SINE = (
    -1 / 1307674368000,
    1 / 6227020800,
    -1 / 39916800,
    1 / 362880,
    -1 / 5040,
    1 / 120,
    -1 / 6,
)
_COSINE = (
    1 / 20922789888000,
    -1 / 87178291200,
    1 / 479001600,
    -1 / 3628800,
    1 / 40320,
    -1 / 720,
    1 / 24,
    -1 / 2,
)


#: Positions worked out at a time: temporaries are a dozen times the size of the result.
_CHUNK = 4096


def rotation_table(speeds: Doubles, positions: int, factor: float) -> npt.NDArray[np.float32]:
    """float32 [positions, 2, pairs]: cosines, then sines, of position * speed, times `factor`.

    speeds: radians a position, float64 [pairs].
    """
    table = np.empty((positions, 2, len(speeds)), np.float32)
    for first in range(0, positions, _CHUNK):
        last = min(first + _CHUNK, positions)
        table[first:last] = _rotations(speeds, np.arange(first, last, dtype=np.float64), factor)
    return table


def _rotations(speeds: Doubles, positions: Doubles, factor: float) -> npt.NDArray[np.float32]:
    angles = positions[:, None] * speeds
    quarter = np.rint(angles * _TWO_OVER_PI)
    rest = angles
    for part in _PARTS:
        rest = rest - quarter * part
    square = rest * rest
    sine = _series(_SINE, square) * square * rest + rest
    cosine = _series(_COSINE, square) * square + 1.0
    turn = quarter.astype(np.int64) & 3
    swap = (turn & 1).astype(bool)
    cos = np.where(swap, sine, cosine) * np.where((turn == 1) | (turn == 2), -1.0, 1.0)
    sin = np.where(swap, cosine, sine) * np.where(turn >= 2, -1.0, 1.0)
    return (np.stack([cos, sin], axis=1) * factor).astype(np.float32)


def _series(factors: tuple[float, ...], square: Doubles) -> Doubles:
    total = np.full_like(square, factors[0])
    for factor in factors[1:]:
        total = total * square + factor
    return total
