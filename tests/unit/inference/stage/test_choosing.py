"""Which stage a back end's name stands for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.kernels.team import physical_cores
from swarmnode.inference.stage.choosing import load_named_stage, load_spec_stage, shut
from swarmnode.inference.stage.compiled_stage import CompiledStage
from swarmnode.inference.stage.numpy_stage import NumpyStage
from swarmnode.inference.stage.seam import Batch, Slice
from swarmnode.models.gguf import GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GgufFile]:
    with GgufFile(write_random_model(tmp_path_factory.mktemp("m") / "m.gguf", RandomModel())) as file:
        yield file


def test_the_default_is_the_compiled_stage_with_what_the_spec_says(
    gguf: GgufFile, kernel_cache: Path
) -> None:
    told: list[tuple[int, int]] = []
    spec = LoadSpec("m", "", layers=LayerRange(1, 3), kv="q8_0", residual="q8_0", context=100)
    stage = load_spec_stage(gguf, spec, kernel_cache, lambda done, total: told.append((done, total)))
    assert isinstance(stage, CompiledStage)
    assert str(stage.profile) == "cpu-1:kv=q8_0:residual=q8_0"
    assert (stage.layers, stage.threads) == (LayerRange(1, 3), physical_cores())
    assert told[-1] == (stage._model.weights.bytes, stage._model.weights.bytes)
    with pytest.raises(Refused, match="101 tokens is longer than the 100"):
        stage.open(1, 101)
    shut(stage)


def test_never_more_threads_than_cores(gguf: GgufFile, kernel_cache: Path) -> None:
    for asked, used in ((1, 1), (1000, physical_cores())):
        stage = load_named_stage(gguf, "cpu", threads=asked, cache=kernel_cache)
        assert isinstance(stage, CompiledStage) and stage.threads == used
        shut(stage)


def test_the_reference_by_its_name(gguf: GgufFile) -> None:
    stage = load_spec_stage(gguf, LoadSpec("m", "", backend="numpy"), None)
    assert isinstance(stage, NumpyStage) and stage.profile.kernel.startswith("numpy-1/")
    shut(stage)
    with pytest.raises(Refused, match="q8_0"):
        load_spec_stage(gguf, LoadSpec("m", "", backend="numpy", kv="q8_0"), None)


def test_without_llvm_the_reference_stands_in_and_says_so(
    gguf: GgufFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "swarmnode.inference.stage.compiled_stage", None)
    stage = load_spec_stage(gguf, LoadSpec("m", ""), None)
    assert isinstance(stage, NumpyStage)
    stage.open(1, 5)
    logits = stage.step(Batch((Slice(1, 0, 5),), np.arange(5, dtype=np.int32))).logits
    assert logits is not None and np.isfinite(logits).all()
    assert "llvmlite" in capsys.readouterr().err


def test_other_names_are_refused(gguf: GgufFile) -> None:
    with pytest.raises(Refused, match="'gpu' is not known") as caught:
        load_named_stage(gguf, "gpu")
    assert caught.value.code == "backend_missing"
