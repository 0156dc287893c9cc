"""How weights are packed: panels of rows side by side, so that a vector holds the same k of many rows.

A panel of quantised weights has 16 rows and is a run of blocks along k; every number that a block needs lies
within it. Float weights have panels of 32 rows, k after k. Rows that fill up the last panel are zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Activation = Literal["k256", "k32", "f32"]


@dataclass(frozen=True, slots=True)
class Format:
    """One packed type.

    name: the ggml type's. rows: rows of a panel. block: numbers along k that a block holds. size: bytes of a
    block of a panel. activation: how the rows that are multiplied with it are quantised.
    """

    name: str
    rows: int
    block: int
    size: int
    activation: Activation

    def panels(self, rows: int) -> int:
        return -(-rows // self.rows)

    def panel_bytes(self, width: int) -> int:
        """Bytes of one panel of rows of `width` numbers (a multiple of `block`)."""
        return width // self.block * self.size

    def bytes(self, rows: int, width: int) -> int:
        """Bytes of a matrix."""
        return self.panels(rows) * self.panel_bytes(width)


#: 16 rows of a superblock of 256: 4 bits of each number, 6-bit scales and minima of the 8 sub-blocks, and the
#: two float16 factors of each row.
Q4_K = Format("Q4_K", 16, 256, 2048 + 128 + 128 + 64, "k256")
#: The same and the fifth bits.
Q5_K = Format("Q5_K", 16, 256, 2048 + 512 + 128 + 128 + 64, "k256")
#: 4 bits, 2 bits more, 16 signed scales, one float16 factor.
Q6_K = Format("Q6_K", 16, 256, 2048 + 1024 + 256 + 32, "k256")
Q8_0 = Format("Q8_0", 16, 32, 512 + 32, "k32")
Q4_0 = Format("Q4_0", 16, 32, 256 + 32, "k32")
F16 = Format("F16", 32, 1, 64, "f32")
BF16 = Format("BF16", 32, 1, 64, "f32")
F32 = Format("F32", 32, 1, 128, "f32")

FORMATS = {one.name: one for one in (Q4_K, Q5_K, Q6_K, Q8_0, Q4_0, F16, BF16, F32)}

#: A block of activations for superblocks of 256 is 8 groups of 32: int8 [32], their sums over 16 (i16 [2]),
#: their factor (f32), the factor times the sum of all (f32), and 4 bytes of padding.
SUB_SUM16, SUB_SCALE, SUB_SHARE, SUB_BYTES = 32, 36, 40, 48
K256_BYTES = 8 * SUB_BYTES
#: A block for blocks of 32: int8 [32], and for each 16 of them the sum (i32 [2]) and the factor (f32 [2]).
K32_SUM16, K32_SCALES, K32_BYTES = 32, 40, 48
#: Activations that share a factor, by kind: half as many as in llama.cpp or fewer, for less noise.
SHARING = {"k256": 32, "k32": 16}

#: Outputs of a product are padded to whole panels of any format.
PANEL = 32


def row_bytes(activation: Activation, width: int) -> int:
    """Bytes of a row of activations of `width` numbers, for the kind of weights."""
    if activation == "k256":
        return width // 256 * K256_BYTES
    if activation == "k32":
        return width // 32 * K32_BYTES
    return 4 * padded(width)


def padded(width: int) -> int:
    """Numbers that a row of outputs takes."""
    return -(-width // PANEL) * PANEL
