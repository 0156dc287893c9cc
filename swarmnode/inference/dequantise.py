"""Packed GGUF weights to float32, for every type in common files.

The layouts are those of ggml-common.h; results equal `gguf.quants.dequantize` bit for bit (tested).
Types without a function of their own here go through that package.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from swarmnode.models.gguf import GGML_TYPES
from swarmnode.values.errors import Refused

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_BLOCKS = {name: (elements, size) for name, elements, size in GGML_TYPES.values()}


def dequantise(type_name: str, packed: memoryview | Bytes, out: Floats) -> None:
    """Unpack whole blocks into `out`, float32 and contiguous, of as many elements.

    Raises `Refused` for types that cannot be unpacked.
    """
    data = np.frombuffer(packed, np.uint8)
    unpack = _UNPACKERS.get(type_name)
    if unpack is None:
        _by_package(type_name, data, out)
        return
    elements, size = _BLOCKS[type_name]
    unpack(data.reshape(-1, size), out.reshape(-1, elements))


def _by_package(type_name: str, data: Bytes, out: Floats) -> None:
    from gguf import GGMLQuantizationType, quants

    try:
        values = quants.dequantize(data, GGMLQuantizationType[type_name])
    except (KeyError, NotImplementedError) as error:
        raise Refused(
            f"weights of the type {type_name} cannot be unpacked",
            code="unsupported_weight_type",
            hint="Choose a file with Q4_K_M, Q5_K_M, Q6_K, Q8_0, F16, BF16 or F32 weights.",
        ) from error
    out[...] = values.reshape(out.shape)


def _halves(columns: Bytes) -> Floats:
    """float16 numbers in the columns of blocks, as float32 [blocks, columns / 2]."""
    return np.ascontiguousarray(columns).view(np.float16).astype(np.float32)


def _f32(blocks: Bytes, out: Floats) -> None:
    out[...] = blocks.view(np.float32)


def _f16(blocks: Bytes, out: Floats) -> None:
    out[...] = blocks.view(np.float16)


def _bf16(blocks: Bytes, out: Floats) -> None:
    bits = out.view(np.uint32)
    bits[...] = blocks.view(np.uint16)
    bits <<= np.uint32(16)


def _q8_0(blocks: Bytes, out: Floats) -> None:
    out[...] = blocks[:, 2:].view(np.int8)
    out *= _halves(blocks[:, :2])


def _scales_k(packed: Bytes) -> tuple[Floats, Floats]:
    """The eight 6-bit scales and minima of Q4_K and Q5_K: 12 bytes -> two float32 [blocks, 8]."""
    low, middle, high = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    minima = np.concatenate([middle & 63, (high >> 4) | ((middle >> 6) << 4)], axis=1)
    return scales.astype(np.float32), minima.astype(np.float32)


def _scale_and_shift(blocks: Bytes, out: Floats) -> None:
    """out = d * scale * q - dmin * minimum, for sub-blocks of 32 (Q4_K, Q5_K)."""
    scales, minima = _scales_k(blocks[:, 4:16])
    deltas = _halves(blocks[:, 0:4])
    parts = out.reshape(-1, 8, 32)
    parts *= (deltas[:, 0:1] * scales)[:, :, None]
    parts -= (deltas[:, 1:2] * minima)[:, :, None]


def _q4_k(blocks: Bytes, out: Floats) -> None:
    nibbles = blocks[:, 16:144].reshape(-1, 4, 32)
    parts = out.reshape(-1, 4, 2, 32)
    parts[:, :, 0] = nibbles & 15
    parts[:, :, 1] = nibbles >> 4
    _scale_and_shift(blocks, out)


def _q5_k(blocks: Bytes, out: Floats) -> None:
    nibbles = blocks[:, 48:176].reshape(-1, 4, 32)
    parts = out.reshape(-1, 4, 2, 32)
    fifth = blocks[:, 16:48]
    for pair in range(4):
        parts[:, pair, 0] = (nibbles[:, pair] & 15) | (((fifth >> (2 * pair)) & 1) << 4)
        parts[:, pair, 1] = (nibbles[:, pair] >> 4) | (((fifth >> (2 * pair + 1)) & 1) << 4)
    _scale_and_shift(blocks, out)


def _q6_k(blocks: Bytes, out: Floats) -> None:
    low = blocks[:, 0:128].reshape(-1, 2, 2, 32)
    high = blocks[:, 128:192].reshape(-1, 2, 32)
    parts = out.reshape(-1, 2, 4, 32)
    for part in range(4):
        nibble = low[:, :, part] & 15 if part < 2 else low[:, :, part - 2] >> 4
        parts[:, :, part] = nibble | (((high >> (2 * part)) & 3) << 4)
    parts -= np.float32(32)
    scales = _halves(blocks[:, 208:210]) * blocks[:, 192:208].view(np.int8).astype(np.float32)
    sixteens = out.reshape(-1, 16, 16)
    sixteens *= scales[:, :, None]


_UNPACKERS: dict[str, Callable[[Bytes, Floats], None]] = {
    "F32": _f32,
    "F16": _f16,
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
