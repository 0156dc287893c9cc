"""Rotary positions: how fast each pair of numbers turns, and the turning itself.

Sources: arXiv 2104.09864 (RoPE), arXiv 2306.15595 (linear interpolation), the Llama 3.1 model card
and its reference code (frequency-dependent scaling).
"""

from __future__ import annotations

from math import pi

import numpy as np
import numpy.typing as npt

from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys
from swarmnode.values.errors import Refused

MAX_BASE = 1e12
FACTORS_TENSOR = "rope_freqs.weight"
SCALING_KINDS = ("none", "linear", "llama3")
LATER_SCALING_KINDS = ("yarn", "longrope", "dynamic")


def frequencies(gguf: GgufFile, keys: Keys, head_dim: int) -> npt.NDArray[np.float64]:
    """Radians a position for each pair: float64 [rope_dim / 2].

    Takes `rope.freq_base`, `rope.scaling.*` and the tensor `rope_freqs.weight` into account. Raises
    `Refused` for scalings that are not supported, `BadModelFile` for absurd numbers.
    """
    size = keys.integer("rope.dimension_count", 2, head_dim, default=head_dim)
    if size % 2:
        raise BadModelFile(gguf.path, f"rotary positions over an odd number ({size}) of dimensions")
    base = keys.number("rope.freq_base", 1.0, MAX_BASE, default=10000.0)
    plain = base ** (-np.arange(0, size, 2, dtype=np.float64) / size)
    return _scaled(plain, keys, gguf) / _factors(gguf, size // 2)


def _factors(gguf: GgufFile, pairs: int) -> npt.NDArray[np.float64]:
    tensor = gguf.tensors.get(FACTORS_TENSOR)
    if tensor is None:
        return np.ones(pairs)
    if tensor.type_name != "F32" or tensor.shape != (pairs,):
        raise BadModelFile(gguf.path, f"{FACTORS_TENSOR} is not {pairs} numbers of type F32")
    factors = np.frombuffer(gguf.data(tensor), np.float32).astype(np.float64)
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise BadModelFile(gguf.path, f"{FACTORS_TENSOR} holds numbers that are not positive")
    return factors


def _scaled(plain: npt.NDArray[np.float64], keys: Keys, gguf: GgufFile) -> npt.NDArray[np.float64]:
    kind = keys.text("rope.scaling.type", SCALING_KINDS + LATER_SCALING_KINDS, default="linear")
    if kind in LATER_SCALING_KINDS:
        raise Refused(
            f"{gguf.path.name}: rotary positions scaled by {kind!r} are not supported yet",
            code="unsupported_rope_scaling",
            hint="Choose a file whose positions are not scaled, or scaled as Llama 3 or linearly.",
        )
    if kind == "none":
        return plain
    factor = _factor(keys)
    if kind == "llama3":
        return llama3_scaled(
            plain,
            factor=factor,
            low=keys.number("rope.scaling.low_freq_factor", 1e-3, 1e6, default=1.0),
            high=keys.number("rope.scaling.high_freq_factor", 1e-3, 1e6, default=4.0),
            original=keys.integer("rope.scaling.original_context_length", 1, 1 << 30, default=8192),
        )
    return plain / factor


def _factor(keys: Keys) -> float:
    """The scaling factor; 0 stands for none in files of old converters."""
    for name in ("rope.scaling.factor", "rope.scale_linear"):
        if keys.has(name):
            return keys.number(name, 0.0, 1e6) or 1.0
    return 1.0


def llama3_scaled(
    plain: npt.NDArray[np.float64], *, factor: float, low: float, high: float, original: int
) -> npt.NDArray[np.float64]:
    """Long waves are slowed by `factor`, short ones kept, those between blended."""
    wavelength = 2 * pi / plain
    kept = (original / wavelength - low) / max(high - low, 1e-9)
    kept = np.clip(kept, 0.0, 1.0)
    return (1 - kept) * plain / factor + kept * plain


class Rotation:
    """The sines and cosines of some positions, ready to turn the heads of those rows."""

    def __init__(self, positions: npt.NDArray[np.int64], speeds: npt.NDArray[np.float64], pairs: bool):
        angles = positions[:, None] * speeds
        self._cos = np.cos(angles).astype(np.float32)[:, None, :]
        self._sin = np.sin(angles).astype(np.float32)[:, None, :]
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
