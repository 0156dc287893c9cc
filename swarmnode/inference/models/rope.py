"""Rotary positions: how fast each pair of numbers turns, and the turning itself.

Sources: arXiv 2104.09864 (RoPE), arXiv 2306.15595 (linear interpolation), the Llama 3.1 model card
and its reference code (frequency-dependent scaling).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
import numpy.typing as npt

from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.models.keys import Keys
from swarmnode.values.errors import Refused

MAX_BASE = 1e12
LOCAL_BASE = "rope.freq_base_swa"
FACTORS_TENSOR = "rope_freqs.weight"
SCALING_KINDS = ("none", "linear", "llama3")
LATER_SCALING_KINDS = ("yarn", "longrope", "dynamic")


@dataclass(frozen=True, slots=True, eq=False)
class Speeds:
    """Radians a position for each pair, float64 [rope_dim / 2]: in layers that see everything, and in
    those with a window (the same array where they turn alike). factor: of all sines and cosines."""

    everywhere: npt.NDArray[np.float64]
    local: npt.NDArray[np.float64]
    factor: float = 1.0


def read_speeds(gguf: GgufFile, keys: Keys, head_dim: int, local_base: float | None = None) -> Speeds:
    """The speeds of a model, by `rope.*` of the header and the tensor `rope_freqs.weight`.

    local_base: the family's base for layers with a window, which are not scaled. Raises `Refused` for
    scalings that are not supported, `BadModelFile` for absurd numbers.
    """
    everywhere, factor = _scaled(gguf, keys, head_dim)
    if local_base is None and not keys.has(LOCAL_BASE):
        return Speeds(everywhere, everywhere, factor)
    base = keys.number(LOCAL_BASE, 1.0, MAX_BASE, default=local_base)
    return Speeds(everywhere, plain_speeds(2 * everywhere.size, base), factor)


def plain_speeds(size: int, base: float) -> npt.NDArray[np.float64]:
    """The speeds of rotary positions over `size` dimensions, not scaled: float64 [size / 2]."""
    return base ** (-np.arange(0, size, 2, dtype=np.float64) / size)


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


def _scaled(gguf: GgufFile, keys: Keys, head_dim: int) -> tuple[npt.NDArray[np.float64], float]:
    """Speeds with all scaling, and the factor of sines and cosines."""
    size = keys.integer("rope.dimension_count", 2, head_dim, default=head_dim)
    if size % 2:
        raise BadModelFile(gguf.path, f"rotary positions over an odd number ({size}) of dimensions")
    base = keys.number("rope.freq_base", 1.0, MAX_BASE, default=10000.0)
    plain = plain_speeds(size, base) / _factors(gguf, size // 2)
    kind = keys.text("rope.scaling.type", SCALING_KINDS + LATER_SCALING_KINDS, default="linear")
    if kind in LATER_SCALING_KINDS:
        raise Refused(
            f"{gguf.path.name}: rotary positions scaled by {kind!r} are not supported yet",
            code="unsupported_rope_scaling",
            hint="Choose a file whose positions are not scaled, or scaled as Llama 3 or linearly.",
        )
    if kind == "none":
        return plain, 1.0
    if kind == "llama3":
        return llama3_scaled(
            plain,
            factor=_factor(keys),
            low=keys.number("rope.scaling.low_freq_factor", 1e-3, 1e6, default=1.0),
            high=keys.number("rope.scaling.high_freq_factor", 1e-3, 1e6, default=4.0),
            original=keys.integer("rope.scaling.original_context_length", 1, 1 << 30, default=8192),
        ), 1.0
    return plain / _factor(keys), 1.0


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
