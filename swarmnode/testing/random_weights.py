"""Random numbers in every packed weight type of GGUF: quantised where the gguf package can, else
random bits in valid blocks with scales that give about the wanted spread."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.models.gguf import GGML_TYPES

#: Types that `gguf.quants` writes itself.
QUANTISED = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0", "MXFP4", "BF16")
#: Where the float16 scales of a packed block lie (byte), and by what the wanted spread is divided to
#: get each: the typical size of what it multiplies. Layouts: ggml-common.h.
_SCALES: dict[str, tuple[tuple[int, float], ...]] = {
    "Q2_K": ((80, 14.0), (82, 9.3)),
    "Q3_K": ((108, 43.0),),
    "Q4_K": ((0, 258.0), (2, 34.0)),
    "Q5_K": ((0, 526.0), (2, 34.0)),
    "Q6_K": ((208, 1300.0),),
    "IQ1_S": ((0, 7.0),),
    "IQ2_XXS": ((0, 60.0),),
    "IQ2_XS": ((0, 60.0),),
    "IQ2_S": ((0, 60.0),),
    "IQ3_XXS": ((0, 130.0),),
    "IQ3_S": ((0, 150.0),),
    "IQ4_NL": ((0, 70.0),),
    "IQ4_XS": ((0, 1300.0),),
}
#: IQ1_M has no scale of its own place: its 16 bits are the upper four of the block's last four words.
_IQ1_M_WORDS, _IQ1_M_DIVISOR = 48, 7.0

PACKED_TYPES = (*QUANTISED, *_SCALES, "IQ1_M")
#: All types that weights may have.
WEIGHT_TYPES = ("F32", "F16", *PACKED_TYPES)


def random_matrix(
    kind: str, shape: tuple[int, ...], spread: float, rng: np.random.Generator
) -> tuple[npt.NDArray[Any], Any]:
    """Numbers of about that standard deviation, as `GGUFWriter.add_tensor` takes them: the array
    (packed as uint8 [..., bytes a row]) and its type. The width must be whole blocks of the type."""
    import gguf

    dtype = gguf.GGMLQuantizationType[kind]
    if kind in _SCALES or kind == "IQ1_M":
        return _random_blocks(kind, shape, spread, rng), dtype
    values = (rng.standard_normal(shape, dtype=np.float32) * spread).astype(np.float32)
    if kind == "F32":
        return values, None
    if kind == "F16":
        return values.astype(np.float16), None
    return gguf.quants.quantize(values, dtype), dtype


def _random_blocks(
    kind: str, shape: tuple[int, ...], spread: float, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    elements, size = next((e, s) for name, e, s in GGML_TYPES.values() if name == kind)
    data = rng.integers(0, 256, (prod(shape) // elements, size), dtype=np.uint8)
    if kind == "IQ1_M":
        _scale_iq1_m(data, spread / _IQ1_M_DIVISOR)
    else:
        for place, divisor in _SCALES[kind]:
            scale = np.full((len(data), 1), spread / divisor, np.float16)
            data[:, place : place + 2] = scale.view(np.uint8)
    return data.reshape(*shape[:-1], -1)


def _scale_iq1_m(data: npt.NDArray[np.uint8], scale: float) -> None:
    bits = int(np.float16(scale).view(np.uint16))
    words = np.ascontiguousarray(data[:, _IQ1_M_WORDS:]).view(np.uint16)
    for place in range(4):
        words[:, place] &= 0x0FFF
        words[:, place] |= (bits >> (4 * place) & 15) << 12
    data[:, _IQ1_M_WORDS:] = words.view(np.uint8)
