"""Every weight type of GGUF in the compiled stage: against weights that the gguf package has unpacked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from swarmnode.inference.stage.compiled_stage import load_compiled_stage
from swarmnode.inference.stage.numpy_stage import load_stage
from swarmnode.inference.stage.seam import Batch, Slice, Stage
from swarmnode.models.gguf import GgufFile
from swarmnode.testing import random_model
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.testing.random_weights import WEIGHT_TYPES, random_matrix

#: Types whose rows meet activations of 8 bits; the others are unpacked to float32 (F16, BF16: at each use).
INT8_TYPES = ("Q4_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
#: A prompt of more than one block of the cache.
IDS = np.random.default_rng(5).integers(0, 320, 70).astype(np.int32)
#: Logits here have a spread of 1. Sums of 256 float32 products in another order differ by some 1e-5, and
#: 8 bits for activations by some 0.03 of the spread; what is unpacked wrongly differs by the spread itself.
FLOAT_BOUND, INT8_BOUND = 5e-5, 0.05

Make = Callable[[str, bool], GgufFile]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """make(type, unpacked): a small model, as it is or with the gguf package's float32 for its weights."""

    def unpacked_matrix(kind: str, shape: Any, spread: float, rng: Any) -> tuple[Any, Any]:
        packed, dtype = random_matrix(kind, shape, spread, rng)
        values = packed if dtype is None else gguf.quants.dequantize(packed, dtype)
        return values.astype(np.float32), None

    def made(kind: str, unpacked: bool) -> GgufFile:
        monkeypatch.setattr(random_model, "random_matrix", unpacked_matrix if unpacked else random_matrix)
        model = RandomModel(weights=kind, hidden=256, feed_forward=256, head_dim=64, layers=2)
        return GgufFile(write_random_model(tmp_path / f"{kind}-{unpacked}.gguf", model))

    return made


def compiled(gguf_file: GgufFile, cache: Path) -> np.ndarray:
    stage = load_compiled_stage(gguf_file, kv="f32", residual="f32", cache=cache)
    try:
        return logits(stage)
    finally:
        stage.shut()


def logits(stage: Stage) -> np.ndarray:
    stage.open(1, len(IDS))
    found = stage.step(Batch((Slice(1, 0, len(IDS), "all"),), IDS)).logits
    assert found is not None
    return found


@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_the_logits_are_those_of_the_unpacked_weights(kind: str, make: Make, kernel_cache: Path) -> None:
    with make(kind, True) as unpacked, make(kind, False) as packed:
        assert kind in {tensor.type_name for tensor in packed.tensors.values()}
        wanted = logits(load_stage(unpacked, kv="f32", residual="f32", max_dequantised_bytes=1 << 28))
        got = compiled(packed, kernel_cache)
    assert 0.5 < wanted.std() < 2
    if kind in INT8_TYPES:
        assert np.sqrt(np.mean((got - wanted) ** 2)) < INT8_BOUND * wanted.std()
    else:
        np.testing.assert_allclose(got, wanted, rtol=0, atol=FLOAT_BOUND)


@pytest.mark.parametrize("kind", [kind for kind in WEIGHT_TYPES if kind not in INT8_TYPES])
def test_what_is_computed_in_float32_has_the_bits_of_a_float32_file(
    kind: str, make: Make, kernel_cache: Path
) -> None:
    with make(kind, True) as unpacked, make(kind, False) as packed:
        np.testing.assert_array_equal(compiled(packed, kernel_cache), compiled(unpacked, kernel_cache))
