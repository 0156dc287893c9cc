"""Random models: every type holds numbers of the wanted size, every family can be run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from swarmnode.inference.dequantise import dequantise
from swarmnode.inference.models.registry import FAMILIES
from swarmnode.inference.stage.numpy_stage import load_stage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import GGML_TYPES, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.testing.random_weights import WEIGHT_TYPES, random_matrix

#: Types of whole numbers, of double precision, and those that only activations have.
NOT_WEIGHTS = {"I8", "I16", "I32", "I64", "F64", "Q8_1", "Q8_K"}
SPREAD = 0.05


def test_every_type_that_weights_may_have_can_be_written() -> None:
    assert {name for name, _, _ in GGML_TYPES.values()} - NOT_WEIGHTS == set(WEIGHT_TYPES)


@pytest.mark.parametrize("shape", [(24, 512), (3, 8, 256)])
@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_numbers_of_every_type(kind: str, shape: tuple[int, ...]) -> None:
    packed, _ = random_matrix(kind, shape, SPREAD, np.random.default_rng(1))
    values = np.empty(shape, np.float32)
    dequantise(kind, np.ascontiguousarray(packed).view(np.uint8).reshape(-1), values.reshape(-1))
    theirs = quants.dequantize(packed, GGMLQuantizationType[kind])
    np.testing.assert_array_equal(values.view(np.uint32), theirs.reshape(shape).view(np.uint32))
    assert np.isfinite(values).all()
    assert 0.6 * SPREAD < values.std() < 1.6 * SPREAD
    assert abs(values.mean()) < 0.3 * SPREAD
    assert len(np.unique(values)) > 2


DENSE = [(name, 0) for name, family in FAMILIES.items() if family.experts != "required"]
SPARSE = [(name, 4) for name, family in FAMILIES.items() if family.experts != "none"]


@pytest.mark.parametrize(("architecture", "experts"), DENSE + SPARSE)
def test_every_family_can_be_run(tmp_path: Path, architecture: str, experts: int) -> None:
    model = RandomModel(architecture=architecture, experts=experts)
    ids = np.arange(300, 310, dtype=np.int32)
    with GgufFile(write_random_model(tmp_path / "m.gguf", model)) as gguf:
        stage = load_stage(gguf, kv="f32")
        stage.open(1, len(ids))
        logits = stage.step(Batch((Slice(1, 0, len(ids), "all"),), ids)).logits
        del stage
    assert logits is not None and np.isfinite(logits).all()
    assert 0.1 < logits.std() < 10
    assert len(np.unique(logits.argmax(axis=1))) > 3
