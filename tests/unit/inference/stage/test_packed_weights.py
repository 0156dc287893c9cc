"""Packing in batches: the same bytes, told of as they come, with little of the file mapped in at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.stage import packed_weights
from swarmnode.inference.stage.compiled_stage import load_compiled_stage
from swarmnode.models.gguf import GgufFile, TensorInfo
from swarmnode.testing.random_model import RandomModel, write_random_model

MODELS = {
    "packed": RandomModel(weights="Q8_0", layers=1, vocab=5000),
    "as float32": RandomModel(weights="Q5_0", layers=1, vocab=5000),
    "experts": RandomModel(weights="Q8_0", layers=1, experts=4, vocab=5000),
    "parts of one tensor": RandomModel("phi3", weights="F16", layers=1, vocab=5000),
}


class Packed:
    """What came of loading."""

    def __init__(self, path: Path, kernels: Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int) -> None:
        self.told: list[tuple[int, int]] = []
        self.released: list[str] = []
        monkeypatch.setattr(packed_weights, "BATCH_BYTES", batch_bytes)
        with GgufFile(path) as gguf:
            release = gguf.release

            def noted(tensor: TensorInfo) -> None:
                self.released.append(tensor.name)
                release(tensor)

            monkeypatch.setattr(gguf, "release", noted)
            stage = load_compiled_stage(
                gguf, cache=kernels, progress=lambda done, total: self.told.append((done, total))
            )
            memory = stage._model.weights._memory
            assert memory is not None
            self.bytes = np.array(memory.bytes)
            stage.shut()


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_batches_do_not_change_what_is_packed(
    model: RandomModel, tmp_path: Path, kernel_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_random_model(tmp_path / "m.gguf", model)
    whole = Packed(path, kernel_cache, monkeypatch, 1 << 30)
    batches = Packed(path, kernel_cache, monkeypatch, 1)
    np.testing.assert_array_equal(whole.bytes, batches.bytes)
    assert batches.released.count("output.weight") > whole.released.count("output.weight") == 1
    for told in (whole.told, batches.told):
        done = [part for part, _total in told]
        total = {total for _part, total in told}
        assert done == sorted(done) and total == {done[-1]}
    assert len(batches.told) > len(whole.told)
