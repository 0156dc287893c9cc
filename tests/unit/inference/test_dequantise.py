"""Dequantisers against gguf's own, bit for bit, on random bytes."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.inference.dequantise import dequantise
from swarmnode.models.gguf import GGML_TYPES
from swarmnode.values.errors import Refused

OWN = ("F32", "F16", "BF16", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
OTHERS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS", "MXFP4")
SHAPES = {name: (elements, size) for name, elements, size in GGML_TYPES.values()}
#: Where the float16 scales of a block lie; random bytes there would be infinities.
SCALES = {"Q8_0": (0,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}


def random_blocks(type_name: str, blocks: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    elements, size = SHAPES[type_name]
    data = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
    for start in SCALES.get(type_name, ()):
        data[:, start : start + 2] = rng.standard_normal((blocks, 1)).astype(np.float16).view(np.uint8)
    if type_name == "F32":
        data = rng.standard_normal((blocks, 1)).astype(np.float32).view(np.uint8)
    return data


@pytest.mark.parametrize("type_name", OWN)
@settings(max_examples=25, deadline=None)
@given(blocks=st.integers(1, 40), seed=st.integers(0, 2**32 - 1))
def test_equals_gguf_bit_for_bit(type_name: str, blocks: int, seed: int) -> None:
    data = random_blocks(type_name, blocks, seed)
    out = np.full(blocks * SHAPES[type_name][0], np.nan, np.float32)
    with np.errstate(all="ignore"):
        dequantise(type_name, data, out)
        expected = quants.dequantize(data, GGMLQuantizationType[type_name]).reshape(-1)
    same = (out.view(np.uint32) == expected.view(np.uint32)) | (np.isnan(out) & np.isnan(expected))
    assert same.all()


@pytest.mark.parametrize("type_name", OTHERS)
def test_other_types_go_through_the_package(type_name: str) -> None:
    data = random_blocks(type_name, 3, 1)
    out = np.empty((3, SHAPES[type_name][0]), np.float32)
    with np.errstate(all="ignore"):
        dequantise(type_name, data, out)
        expected = quants.dequantize(data, GGMLQuantizationType[type_name])
    np.testing.assert_array_equal(out, expected)


def test_a_type_nobody_unpacks_is_named() -> None:
    with pytest.raises(Refused, match="Q8_K") as caught:
        dequantise("Q8_K", np.zeros(292, np.uint8), np.empty(256, np.float32))
    assert "Q4_K_M" in caught.value.hint
