"""Random weights written straight as packed blocks: valid, finite, of a given spread, no quantiser needed.

The layouts are those of ggml-common.h. Every block of 16 or 32 weights is centred on zero, as trained
weights nearly are, so that products lose as little to cancellation as those of a real model.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.models.gguf import GGML_TYPES

Bytes = npt.NDArray[np.uint8]

_BLOCKS = {name: (elements, size) for name, elements, size in GGML_TYPES.values()}

#: Scales of sub-blocks (6 bits in Q4_K and Q5_K, 8 with a sign in Q6_K): the upper part of their range.
SIX_BITS = (40, 64)
EIGHT_BITS = (64, 128)


def packed_bytes(kind: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of that ggml type and shape."""
    elements, size = _BLOCKS[kind]
    count = int(np.prod(shape))
    if shape[-1] % elements:
        raise ValueError(f"rows of {shape[-1]} numbers do not divide into {kind} blocks of {elements}")
    return count // elements * size


def random_tensor(kind: str, shape: tuple[int, ...], spread: float, rng: np.random.Generator) -> Bytes:
    """Random weights with mean 0 and standard deviation `spread`: uint8 [..., bytes a row].

    kind: F32, F16, Q8_0, Q4_K, Q5_K or Q6_K. Raises `ValueError` for rows that are no whole blocks.
    """
    total = packed_bytes(kind, shape)
    if kind == "F32":
        data: npt.NDArray[Any] = rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)
        return data.astype(np.float32, copy=False).view(np.uint8)
    if kind == "F16":
        return _random_halves(shape, spread, rng).view(np.uint8)
    blocks = _random_bytes(total, rng).reshape(-1, _BLOCKS[kind][1])
    {"Q8_0": _scale_q8_0, "Q4_K": _scale_q4_k, "Q5_K": _scale_q5_k, "Q6_K": _scale_q6_k}[kind](
        blocks, spread, rng
    )
    return blocks.reshape(*shape[:-1], -1)


def _random_bytes(count: int, rng: np.random.Generator) -> Bytes:
    words = rng.integers(0, 1 << 64, -(-count // 8), dtype=np.uint64)
    return words.view(np.uint8)[:count]


def _random_halves(
    shape: tuple[int, ...], spread: float, rng: np.random.Generator
) -> npt.NDArray[np.float16]:
    """Normal float16 numbers out of a table of 4096 quantiles: drawing them one by one takes minutes."""
    normal = NormalDist(0.0, spread)
    table = np.array([normal.inv_cdf((i + 0.5) / 4096) for i in range(4096)], np.float16)
    places = _random_bytes(2 * int(np.prod(shape)), rng).view(np.uint16)
    places &= np.uint16(4095)
    return table[places].reshape(shape)


def _put_half(blocks: Bytes, place: int, value: float) -> None:
    blocks[:, place : place + 2] = np.array([value], np.float16).view(np.uint8)


def _spread_of_scales(low: int, high: int) -> float:
    """The root of the mean square of whole numbers drawn from low to high - 1."""
    return float(np.sqrt(np.mean(np.arange(low, high, dtype=np.float64) ** 2)))


def _scale_q8_0(blocks: Bytes, spread: float, _rng: np.random.Generator) -> None:
    """d (f16), 32 int8."""
    numbers = blocks[:, 2:]
    numbers[numbers == 0x80] = 0  # -128 never comes out of a quantiser
    _put_half(blocks, 0, spread / _spread_of_scales(-127, 128))


def _scale_k(blocks: Bytes, spread: float, rng: np.random.Generator, levels: int) -> None:
    """d, dmin (f16), 12 bytes of eight 6-bit scales and minima: minimum = scale, so that
    d * scale * q - dmin * scale is centred."""
    scales = rng.integers(*SIX_BITS, (len(blocks), 8), dtype=np.uint8)
    low, high = scales[:, :4], scales[:, 4:]
    blocks[:, 4:8] = blocks[:, 8:12] = low | ((high >> 4) << 6)
    blocks[:, 12:16] = (high & 15) | ((high & 15) << 4)
    quants = float(np.std(np.arange(levels)))
    d = spread / (_spread_of_scales(*SIX_BITS) * quants)
    _put_half(blocks, 0, d)
    _put_half(blocks, 2, d * (levels - 1) / 2)


def _scale_q4_k(blocks: Bytes, spread: float, rng: np.random.Generator) -> None:
    _scale_k(blocks, spread, rng, 16)


def _scale_q5_k(blocks: Bytes, spread: float, rng: np.random.Generator) -> None:
    _scale_k(blocks, spread, rng, 32)


def _scale_q6_k(blocks: Bytes, spread: float, rng: np.random.Generator) -> None:
    """128 + 64 bytes of quants (offset 32), 16 int8 scales of both signs, d (f16)."""
    scales = rng.integers(*EIGHT_BITS, (len(blocks), 16), dtype=np.int16)
    scales *= rng.choice(np.array([-1, 1], np.int16), scales.shape)
    blocks[:, 192:208] = scales.astype(np.int8).view(np.uint8)
    quants = float(np.sqrt(np.mean((np.arange(64) - 32.0) ** 2)))
    _put_half(blocks, 208, spread / (_spread_of_scales(*EIGHT_BITS) * quants))
