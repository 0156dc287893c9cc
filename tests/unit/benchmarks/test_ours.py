"""Our half of a measurement, on a small model."""

from __future__ import annotations

import pytest

from benchmarks import ours
from benchmarks.models import write_model
from benchmarks.shapes import ACCURACY

STAGE = "swarmnode.inference.stage.numpy_stage:load_stage"
LOAD = {"max_dequantised_bytes": 1 << 26}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_model(tmp_path_factory.mktemp("model") / "small.gguf", ACCURACY["llama"], "Q8_0"))


@pytest.mark.parametrize("prompt", [1, 128, 130])
def test_the_answer_has_what_a_half_reports(model: str, prompt: int) -> None:
    answer = ours.run(model, prompt, 3, 1, stage=STAGE, load=LOAD)
    assert answer["pp_tok_s"] > 0 and answer["tg_tok_s"] > 0
    assert (answer["prompt_tokens"], answer["max_tokens"]) == (prompt, 3)
    assert answer["profile"].startswith("numpy-1")


def test_a_stage_is_loaded_once_for_all_repeats(model: str) -> None:
    ours.run(model, 4, 1, 1, stage=STAGE, load=LOAD)
    loaded = ours._loaded.cache_info().misses
    ours.run(model, 4, 1, 1, stage=STAGE, load=LOAD)
    assert ours._loaded.cache_info().misses == loaded
