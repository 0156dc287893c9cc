"""The tensors of a layer: all of them found, none left over, none of another shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnode.inference.dequantise import dequantise
from swarmnode.inference.stage.layer_tensors import LayerTensors, expert_of, find_layer, find_output_norm
from swarmnode.inference.stage.shape import Shape, read_shape
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import BadModelFile, GgufFile, TensorInfo
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused


def opened(folder: Path, **model: Any) -> tuple[GgufFile, Shape]:
    gguf = GgufFile(write_random_model(folder / "m.gguf", RandomModel(**model)))
    return gguf, read_shape(gguf, read_facts(gguf))


def names(tensors: tuple[TensorInfo | None, ...]) -> list[str]:
    return [tensor.name.removeprefix("blk.1.") for tensor in tensors if tensor is not None]


def matrices(found: LayerTensors) -> list[str]:
    experts = (found.router, found.expert_gate, found.expert_up, found.expert_down)
    return names((*found.qkv, found.output, *found.gate_up, found.down, *experts))


SEPARATE = ["attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight"]
GATED = ["ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"]
EXPERTS = [f"ffn_{part}.weight" for part in ("gate_inp", "gate_exps", "up_exps", "down_exps")]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({}, SEPARATE + GATED),
        ({"experts": 4}, SEPARATE + EXPERTS),
        ({"architecture": "qwen3moe", "experts": 4}, SEPARATE + EXPERTS),
        ({"architecture": "starcoder2"}, SEPARATE + GATED[1:]),
        ({"architecture": "glm4", "fused": False}, SEPARATE + GATED[1:]),
        ({"architecture": "phi3"}, ["attn_qkv.weight", "attn_output.weight", *GATED[1:]]),
    ],
)
def test_matrices(tmp_path: Path, model: dict[str, Any], expected: list[str]) -> None:
    assert matrices(find_layer(*_layer(tmp_path, model))) == expected


def _layer(folder: Path, model: dict[str, Any]) -> tuple[GgufFile, int, Shape]:
    gguf, shape = opened(folder, **model)
    return gguf, 1, shape


def test_biases_end_to_end(tmp_path: Path) -> None:
    gguf, layer, shape = _layer(tmp_path, {"architecture": "starcoder2"})
    found = find_layer(gguf, layer, shape)

    def read(name: str) -> np.ndarray:
        return np.frombuffer(gguf.data(f"blk.1.{name}"), np.float32)

    parts = [read(f"attn_{part}.bias") for part in "qkv"]
    np.testing.assert_array_equal(found.qkv_bias, np.concatenate(parts))
    np.testing.assert_array_equal(found.output_bias, read("attn_output.bias"))
    np.testing.assert_array_equal(found.gate_up_bias, read("ffn_up.bias"))
    np.testing.assert_array_equal(found.down_bias, read("ffn_down.bias"))
    np.testing.assert_array_equal(found.attention_norm.bias, read("attn_norm.bias"))
    np.testing.assert_array_equal(found.feed_forward_norm.bias, read("ffn_norm.bias"))
    norm = find_output_norm(gguf, shape)
    assert norm.bias is not None and norm.bytes == 2 * 4 * 64


def test_norms_of_heads_and_after(tmp_path: Path) -> None:
    gguf, layer, shape = _layer(tmp_path, {"architecture": "gemma3"})
    found = find_layer(gguf, layer, shape)
    assert found.query_norm is not None and found.query_norm.shape == (16,)
    assert found.key_norm is not None and not np.array_equal(found.key_norm, found.query_norm)
    assert found.post_attention_norm is not None and found.post_attention_norm.bias is None
    after = np.frombuffer(gguf.data("blk.1.post_ffw_norm.weight"), np.float32)
    assert found.post_feed_forward_norm is not None
    np.testing.assert_array_equal(found.post_feed_forward_norm.weight, after)
    assert find_output_norm(gguf, shape).bias is None


def test_a_plain_layer_has_neither(tmp_path: Path) -> None:
    found = find_layer(*_layer(tmp_path, {}))
    assert found.qkv_bias is found.output_bias is found.gate_up_bias is found.down_bias is None
    assert found.query_norm is found.key_norm is None
    assert found.post_attention_norm is found.post_feed_forward_norm is None


def test_biases_that_a_llama_may_have(tmp_path: Path) -> None:
    gguf, layer, shape = _layer(tmp_path, {})
    row = gguf.tensors["blk.1.ffn_norm.weight"]
    for name, size in (("attn_output", 64), ("ffn_gate", 96), ("ffn_up", 96), ("ffn_down", 64)):
        gguf.tensors[f"blk.1.{name}.bias"] = TensorInfo(name, "F32", (size,), row.offset, 4 * size)
    found = find_layer(gguf, layer, shape)
    assert found.output_bias is not None and found.down_bias is not None
    assert found.gate_up_bias is not None and found.gate_up_bias.shape == (192,)
    del gguf.tensors["blk.1.ffn_up.bias"]
    with pytest.raises(BadModelFile, match=r"no tensor blk\.1\.ffn_up\.bias"):
        find_layer(gguf, layer, shape)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_one_expert_is_a_part_of_all(tmp_path: Path, kind: str) -> None:
    gguf, layer, shape = _layer(tmp_path, {"experts": 3, "weights": kind})
    down = find_layer(gguf, layer, shape).expert_down
    assert down is not None and down.shape == (3, 64, 32)
    everything = np.empty(down.shape, np.float32)
    dequantise(kind, gguf.data(down), everything.reshape(-1))
    for expert in range(3):
        info, one = expert_of(down, expert), np.empty((64, 32), np.float32)
        assert info.shape == one.shape
        dequantise(kind, gguf.data(info), one.reshape(-1))
        np.testing.assert_array_equal(one, everything[expert])


@pytest.mark.parametrize(
    ("model", "strange"),
    [
        ({}, "attn_qkv.weight"),
        ({}, "ffn_gate_inp.weight"),
        ({"experts": 4}, "ffn_gate_shexp.weight"),
        ({"experts": 4}, "ffn_up.weight"),
        ({}, "post_attention_norm.weight"),
        ({"architecture": "qwen3"}, "attn_q.bias"),
        ({"architecture": "phi3"}, "attn_q.weight"),
        ({"architecture": "gemma"}, "attn_norm.bias"),
        ({"architecture": "starcoder2"}, "ffn_gate.weight"),
    ],
)
def test_what_a_family_does_not_have_is_refused(tmp_path: Path, model: dict[str, Any], strange: str) -> None:
    gguf, layer, shape = _layer(tmp_path, model)
    gguf.tensors[f"blk.1.{strange}"] = TensorInfo(strange, "F32", (4,), 0, 16)
    with pytest.raises(Refused, match=rf"blk\.1\.{strange}") as caught:
        find_layer(gguf, layer, shape)
    assert caught.value.code == "unsupported_tensor"


@pytest.mark.parametrize(
    ("model", "name", "said"),
    [
        ({"experts": 4}, "ffn_up_exps.weight", r"\(96, 64\), not \(4, 32, 64\)"),
        ({"architecture": "phi3"}, "attn_qkv.weight", r"\(96, 64\), not \(128, 64\)"),
        ({"architecture": "gemma2"}, "post_ffw_norm.weight", r"\(96, 64\), not \(64,\)"),
    ],
)
def test_other_shapes_and_missing_tensors_are_named(
    tmp_path: Path, model: dict[str, Any], name: str, said: str
) -> None:
    gguf, layer, shape = _layer(tmp_path, model)
    gguf.tensors[f"blk.1.{name}"] = TensorInfo(name, "F32", (96, 64), 0, 4 * 96 * 64)
    with pytest.raises(BadModelFile, match=said):
        find_layer(gguf, layer, shape)
    del gguf.tensors[f"blk.1.{name}"]
    with pytest.raises(BadModelFile, match="has no tensor"):
        find_layer(gguf, layer, shape)
