"""The constants of the families, as their headers and their papers have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnode.inference.stage.shape import Shape, read_shape
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model


def shape_of(folder: Path, model: RandomModel, **metadata: Any) -> Shape:
    with GgufFile(write_random_model(folder / "m.gguf", model, **metadata)) as gguf:
        return read_shape(gguf, read_facts(gguf))


def test_a_plain_family(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, RandomModel(layers=2))
    assert shape.query_scale == np.float32(0.25) and shape.embedding_scale == 1
    assert (shape.attention_softcap, shape.final_softcap, shape.rope_factor) == (0, 0, 1)
    assert shape.windows == (0, 0) and shape.ropes[0] is shape.ropes[1]
    assert (shape.experts, shape.experts_used, shape.expert_feed_forward) == (0, 0, 0)
    assert (shape.query_size, shape.kv_size) == (64, 32)


def test_caps_of_gemma2_where_the_header_is_silent_and_where_not(tmp_path: Path) -> None:
    model = RandomModel(architecture="gemma2", layers=2)
    shape = shape_of(tmp_path, model)
    assert (shape.attention_softcap, shape.final_softcap) == (50, 30)
    assert shape.embedding_scale == 8
    caps = {"attn_logit_softcapping": 7.0, "final_logit_softcapping": 0.0}
    shape = shape_of(tmp_path, model, **caps)
    assert (shape.attention_softcap, shape.final_softcap) == (7, 0)
    with pytest.raises(BadModelFile, match="attn_logit_softcapping is nan"):
        shape_of(tmp_path, model, attn_logit_softcapping=float("nan"))


@pytest.mark.parametrize(("architecture", "layers"), [("gemma2", 46), ("gemma3", 62)])
def test_the_largest_of_some_families_share_the_width_among_the_heads(
    tmp_path: Path, architecture: str, layers: int
) -> None:
    model = RandomModel(architecture=architecture, layers=layers, head_dim=8)
    assert shape_of(tmp_path, model).query_scale == np.float32(16**-0.5)
    fewer = RandomModel(architecture=architecture, layers=layers - 1, head_dim=8)
    assert shape_of(tmp_path, fewer).query_scale == np.float32(8**-0.5)


def test_layers_with_a_window_turn_at_a_speed_of_their_own(tmp_path: Path) -> None:
    model = RandomModel(architecture="gemma3", layers=12, window=32)
    shape = shape_of(tmp_path, model, rope__freq_base=1e6)
    assert shape.windows == (32, 32, 32, 32, 32, 0) * 2
    np.testing.assert_allclose(shape.ropes[0], 1e4 ** (-np.arange(0, 16, 2) / 16))
    np.testing.assert_allclose(shape.ropes[5], 1e6 ** (-np.arange(0, 16, 2) / 16))
    assert shape.ropes[0] is shape.ropes[6] and shape.ropes[5] is shape.ropes[11]


def test_experts(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, RandomModel(experts=8, experts_used=3, expert_feed_forward=48))
    assert (shape.experts, shape.experts_used, shape.expert_feed_forward) == (8, 3, 48)
    with pytest.raises(BadModelFile, match=r"lack qwen3moe\.expert_count"):
        shape_of(tmp_path, RandomModel(architecture="qwen3moe"))


def test_the_epsilon_of_layer_norms(tmp_path: Path) -> None:
    model = RandomModel(architecture="starcoder2")
    assert shape_of(tmp_path, model, attention__layer_norm_epsilon=0.5).epsilon == 0.5
    assert shape_of(tmp_path, RandomModel(), attention__layer_norm_rms_epsilon=0.25).epsilon == 0.25
