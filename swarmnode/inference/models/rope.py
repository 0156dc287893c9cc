"""Rotary positions: how fast each pair of numbers turns, and the turning itself.

Source: arXiv 2104.09864 (RoPE); for what makes long texts turn slower see `rope_scaling`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

import numpy as np
import numpy.typing as npt

from swarmnode.inference.models.rope_scaling import EXACT_DIGITS, read_factors, scaled
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys

MAX_BASE = 1e12
LOCAL_BASE = "rope.freq_base_swa"


@dataclass(frozen=True, slots=True, eq=False)
class Speeds:
    """Radians a position for each pair, float64 [rope_dim / 2]: in layers that see everything, and in
    those with a window (the same array where they turn alike). factor: of all sines and cosines."""

    everywhere: npt.NDArray[np.float64]
    local: npt.NDArray[np.float64]
    factor: float = 1.0


def read_speeds(gguf: GgufFile, keys: Keys, head_dim: int, local_base: float | None = None) -> Speeds:
    """The speeds of a model, by `rope.*` of the header and the tensors `rope_freqs`, `rope_factors_*`.

    local_base: the family's base for layers with a window, which are not scaled. Raises `Refused` for
    scalings that are not supported, `BadModelFile` for absurd numbers.
    """
    size = keys.integer("rope.dimension_count", 2, head_dim, default=head_dim)
    if size % 2:
        raise BadModelFile(gguf.path, f"rotary positions over an odd number ({size}) of dimensions")
    base = keys.number("rope.freq_base", 1.0, MAX_BASE, default=10000.0)
    plain = plain_speeds(size, base) / read_factors(gguf, keys, size // 2)
    everywhere, factor = scaled(plain, base, gguf, keys)
    if local_base is None and not keys.has(LOCAL_BASE):
        return Speeds(everywhere, everywhere, factor)
    local = plain_speeds(size, keys.number(LOCAL_BASE, 1.0, MAX_BASE, default=local_base))
    return Speeds(everywhere, local, factor)


def plain_speeds(size: int, base: float) -> npt.NDArray[np.float64]:
    """The speeds of rotary positions over `size` dimensions, not scaled: float64 [size / 2].

    base ** (-i / size), rounded rightly: powers of the C library differ in their last bit between machines.
    """
    with localcontext(Context(prec=EXACT_DIGITS)):
        logarithm = Decimal(base).ln()
        return np.array([float((logarithm * -index / size).exp()) for index in range(0, size, 2)])


class Rotation:
    """The sines and cosines of some positions, ready to turn the heads of those rows.

    factor: what both are multiplied by (some scalings lengthen queries and keys).
    """

    def __init__(
        self,
        positions: npt.NDArray[np.int64],
        speeds: npt.NDArray[np.float64],
        pairs: bool,
        factor: float = 1.0,
    ) -> None:
        angles = positions[:, None] * speeds
        self._cos = (factor * np.cos(angles)).astype(np.float32)[:, None, :]
        self._sin = (factor * np.sin(angles)).astype(np.float32)[:, None, :]
        self._pairs = pairs
        self._size = 2 * speeds.size

    def turn(self, heads: npt.NDArray[np.float32]) -> None:
        """Turn `heads` in place: float32 [rows, heads, head_dim]."""
        size = self._size
        if self._pairs:
            first, second = heads[..., 0:size:2], heads[..., 1:size:2]
        else:
            first, second = heads[..., : size // 2], heads[..., size // 2 : size]
        turned = first * self._cos
        turned -= second * self._sin
        second *= self._cos
        second += first * self._sin
        first[...] = turned
