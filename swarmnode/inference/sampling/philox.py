"""Philox4x32-10, a counter-based random function: equal inputs give equal numbers, everywhere.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). Tested
against the known answers that its authors publish with Random123.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int64]

ROUNDS = 10
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
#: 26 bits from each of two words, and a half so that neither 0 nor 1 comes: float64 holds all 53.
BITS = 26
_DROPPED = np.uint64(32 - BITS)
_UNIT = 2.0 ** -(2 * BITS)
#: Ids that are drawn for together: six arrays of so many words still lie in a core's cache.
BLOCK = 16384


def philox4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, ...]:
    """Four words of 32 bits for each counter of four words; all as uint64 arrays of one shape."""
    words = tuple(word.copy() for word in counter)
    _run(words, (np.empty_like(words[0]), np.empty_like(words[0])), key)
    return words


def _run(words: Sequence[Words], products: Sequence[Words], key: tuple[int, int]) -> None:
    """All rounds in place, because memory is what costs."""
    c0, c1, c2, c3 = words
    product0, product1 = products
    for turn in range(ROUNDS):
        np.multiply(c0, _MULTIPLIERS[0], out=product0)
        np.multiply(c2, _MULTIPLIERS[1], out=product1)
        _mix(product1, c1, key[0] + turn * _WEYL[0], c0)
        np.bitwise_and(product1, _LOW, out=c1)
        _mix(product0, c3, key[1] + turn * _WEYL[1], c2)
        np.bitwise_and(product0, _LOW, out=c3)


def _mix(product: Words, word: Words, key: int, out: Words) -> None:
    """The high half of the product, xor a word, xor the low half of a key."""
    np.right_shift(product, _SHIFT, out=out)
    np.bitwise_xor(out, word, out=out)
    np.bitwise_xor(out, np.uint64(key & 0xFFFFFFFF), out=out)


class _Scratch(threading.local):
    """Six arrays of `BLOCK` words for each thread: new pages for each block cost a third of the time."""

    def __init__(self) -> None:
        self.rows = np.empty((6, BLOCK), np.uint64)


_scratch = _Scratch()


def block_words(seed: int, choice: int, position: int, ids: Ids) -> tuple[Words, Words]:
    """The first two words for each of at most `BLOCK` token ids: uint64 [ids] below 2**32 each. They
    lie in memory that this thread's next call uses again.

    The key is the 64-bit seed; the counter is (token id, position, choice, 0).
    """
    rows = _scratch.rows[:, : len(ids)]
    rows[0] = ids
    for row, word in zip(rows[1:4], (position, choice, 0), strict=True):
        row.fill(word & 0xFFFFFFFF)
    _run(list(rows[:4]), list(rows[4:]), (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    return rows[0], rows[1]


def units(high: Words, low: Words) -> npt.NDArray[np.float64]:
    """Numbers strictly between 0 and 1 from two words each: float64 of the same shape."""
    whole = ((high >> _DROPPED) << np.uint64(BITS)) + (low >> _DROPPED)
    return (whole.astype(np.float64) + 0.5) * _UNIT


def gumbel_of(uniform: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise from uniform numbers strictly between 0 and 1 (arXiv 1611.01144)."""
    return -np.log(-np.log(uniform))


def uniforms(seed: int, choice: int, position: int, ids: Ids) -> npt.NDArray[np.float64]:
    """One number strictly between 0 and 1 for each token id: float64 [ids]."""
    found = np.empty(len(ids))
    for start in range(0, len(ids), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = units(*block_words(seed, choice, position, ids[part]))
    return found


def gumbels(seed: int, choice: int, position: int, ids: Ids) -> npt.NDArray[np.float64]:
    """Standard Gumbel noise for each token id: float64 [ids]."""
    return gumbel_of(uniforms(seed, choice, position, ids))
