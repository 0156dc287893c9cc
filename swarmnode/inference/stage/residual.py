"""Rounding of the residual stream: what makes a cut between two layers invisible (DESIGN 6).

`f16`: each row becomes float16 numbers times one power of two of its own, so that its largest
number uses the range well. `q8_0`: blocks of 32 as in ggml's Q8_0. Both are idempotent: packing a
rounded row again changes nothing, so the sender rounds and the wire carries it without loss.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: A row is scaled so that its largest number lies in [2**14, 2**15): below float16's largest.
TARGET_EXPONENT = 15
#: Rows whose largest number is smaller than 2**(LOWEST-1) are scaled as if it were that.
LOWEST_EXPONENT = -100
Q8_BLOCK = 32


def pack_f16(rows: Floats) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int16]]:
    """float32 [rows, width] -> float16 [rows, width] and int16 [rows]: row = halves * 2**exponent."""
    exponents = _exponents(rows)
    halves = (rows * np.ldexp(np.float32(1), TARGET_EXPONENT - exponents)[:, None]).astype(np.float16)
    return halves, (exponents - TARGET_EXPONENT).astype(np.int16)


def unpack_f16(halves: npt.NDArray[np.float16], exponents: npt.NDArray[np.int16]) -> Floats:
    """The inverse of `pack_f16`."""
    rows = halves.astype(np.float32)
    rows *= np.ldexp(np.float32(1), exponents.astype(np.int32))[:, None]
    return rows


def _exponents(rows: Floats) -> npt.NDArray[np.int32]:
    """The e of each row with max|x| < 2**e after rounding to float16's 11 bits."""
    largest = np.maximum.reduce(np.abs(rows), axis=1)
    fraction, exponents = np.frexp(largest)
    exponents += fraction.astype(np.float16) == 1  # the largest number rounds up to the next power
    return np.maximum(exponents, LOWEST_EXPONENT)


def round_f16(rows: Floats) -> None:
    """Round `rows` (float32 [rows, width]) in place as `pack_f16` would."""
    rows[...] = unpack_f16(*pack_f16(rows))


def pack_q8_0(rows: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """float32 [rows, width] -> int8 [rows, blocks, 32] (the last block padded with zeros) and their
    scales, float16 [rows, blocks]."""
    count, width = rows.shape
    blocks = -(-width // Q8_BLOCK)
    padded = np.zeros((count, blocks * Q8_BLOCK), np.float32)
    padded[:, :width] = rows
    values = padded.reshape(count, blocks, Q8_BLOCK)
    scales = np.maximum.reduce(np.abs(values), axis=2) / np.float32(127)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = np.where(scales > 0, 1 / scales, np.float32(0)).astype(np.float32)
        numbers = np.clip(np.rint(values * inverse[:, :, None]), -127, 127)
        return np.nan_to_num(numbers).astype(np.int8), scales.astype(np.float16)


def unpack_q8_0(numbers: npt.NDArray[np.int8], scales: npt.NDArray[np.float16], width: int) -> Floats:
    """The inverse of `pack_q8_0`: float32 [rows, width]."""
    values = numbers.astype(np.float32)
    values *= scales.astype(np.float32)[:, :, None]
    return np.ascontiguousarray(values.reshape(len(values), -1)[:, :width])


def round_q8_0(rows: Floats) -> None:
    """Round `rows` (float32 [rows, width]) in place as `pack_q8_0` would."""
    rows[...] = unpack_q8_0(*pack_q8_0(rows), rows.shape[1])
