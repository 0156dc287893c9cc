"""Philox4x32-10, a counter-based random function: equal inputs give equal numbers, everywhere.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Tested
against the known answers that its authors publish with Random123.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
#: 26 bits from each of two words, and a half so that neither 0 nor 1 comes: float64 holds all 53.
_UNIT = 2.0**-52


def philox4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, ...]:
    """Four words of 32 bits for each counter of four words; all as uint64 arrays of one shape."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0 = c0 * _MULTIPLIERS[0]
        product1 = c2 * _MULTIPLIERS[1]
        c0 = (product1 >> _SHIFT) ^ c1 ^ np.uint64(k0)
        c1 = product1 & _LOW
        c2 = (product0 >> _SHIFT) ^ c3 ^ np.uint64(k1)
        c3 = product0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def uniforms(seed: int, choice: int, position: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """One number strictly between 0 and 1 for each token id: float64 [ids].

    The key is the 64-bit seed; the counter is (token id, position, choice, 0).
    """
    words = ids.astype(np.uint64)
    second, third, fourth = (np.full_like(words, n & 0xFFFFFFFF) for n in (position, choice, 0))
    high, low, _, _ = philox4x32((words, second, third, fourth), (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    whole = (high >> np.uint64(6)) * np.uint64(1 << 26) + (low >> np.uint64(6))
    return (whole.astype(np.float64) + 0.5) * _UNIT


def gumbels(seed: int, choice: int, position: int, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise for each token id: float64 [ids]."""
    return -np.log(-np.log(uniforms(seed, choice, position, ids)))
