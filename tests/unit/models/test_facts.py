"""Facts from headers: right for real files, and every absurdity refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import BadModelFile, GgufFile, TensorInfo
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused

MODEL = RandomModel(layers=3)


@pytest.fixture
def gguf(tmp_path: Path) -> GgufFile:
    return GgufFile(write_random_model(tmp_path / "m.gguf", MODEL))


def changed(gguf: GgufFile, **values: object) -> GgufFile:
    """The file with some metadata replaced (None: taken away); dots are written as `__`."""
    for name, value in values.items():
        key = name.replace("__", ".")
        key = key if key.startswith("general.") else f"llama.{key}"
        gguf.metadata._values[key] = value
        if value is None:
            del gguf.metadata._values[key]
    return gguf


def test_facts_of_a_file_written_for_the_purpose(gguf: GgufFile) -> None:
    facts = read_facts(gguf)
    assert (facts.architecture, facts.layers, facts.hidden, facts.feed_forward) == ("llama", 3, 64, 96)
    assert (facts.heads, facts.kv_heads, facts.head_dim) == (4, 2, 16)
    assert (facts.vocab, facts.context_length, facts.tied, facts.quantization) == (320, 512, False, "F32")
    elements = 64 * 64 * 2 + 32 * 64 * 2 + 3 * 64 * 96 + 2 * 64
    assert facts.layer_elements == (elements,) * 3
    assert facts.layer_bytes == (4 * elements,) * 3
    assert facts.shared_bytes == 4 * (2 * 320 * 64 + 64)
    assert facts.weight_bytes == sum(facts.layer_bytes) + facts.shared_bytes
    assert facts.largest_tensor_elements == 320 * 64


def test_facts_of_a_published_file(shared: Path) -> None:
    with GgufFile(shared / "data/stories260K/stories260K.f32.gguf") as file:
        facts = read_facts(file)
    assert (facts.layers, facts.hidden, facts.feed_forward, facts.vocab) == (5, 64, 172, 512)
    assert (facts.heads, facts.kv_heads, facts.head_dim, facts.context_length) == (8, 4, 8, 512)
    assert facts.tied and facts.quantization == "F32"


def test_quantisation_by_file_type_or_by_what_most_weights_are(gguf: GgufFile, tmp_path: Path) -> None:
    assert read_facts(changed(gguf, general__file_type=15)).quantization == "Q4_K_M"
    packed = write_random_model(tmp_path / "q.gguf", RandomModel(weights="Q8_0"))
    assert read_facts(GgufFile(packed)).quantization == "Q8_0"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"block_count": None}, "lack llama.block_count"),
        ({"block_count": 0}, "llama.block_count is 0"),
        ({"block_count": 1 << 31}, "llama.block_count is"),
        ({"block_count": 4}, "no tensors for layer 3 of 4"),
        ({"block_count": 2}, "'blk.2.attn_norm.weight', but only 2 layers"),
        ({"block_count": "3"}, "not a whole number"),
        ({"block_count": True}, "not a whole number"),
        ({"embedding_length": 65}, "token_embd.weight has the shape"),
        ({"embedding_length": None}, "lack llama.embedding_length"),
        ({"attention__head_count": 0}, "llama.attention.head_count is 0"),
        ({"attention__head_count": [4, 4, 2]}, "not a whole number"),
        ({"attention__head_count_kv": 3}, "4 heads do not divide among 3"),
        ({"attention__head_count_kv": 5}, "from 1 to 4"),
        ({"attention__key_length": 15, "attention__value_length": 15}, "keys of 15"),
        ({"attention__value_length": 8}, "values of 8"),
        ({"context_length": -1}, "llama.context_length is -1"),
        ({"feed_forward_length": None}, "lack llama.feed_forward_length"),
        ({"general__architecture": None}, "lack general.architecture"),
        ({"general__architecture": 7}, "lack general.architecture"),
    ],
)
def test_absurd_metadata_are_named(gguf: GgufFile, values: dict[str, object], said: str) -> None:
    with pytest.raises(BadModelFile) as caught:
        read_facts(changed(gguf, **values))
    assert said in caught.value.message and "m.gguf" in caught.value.message


def test_a_list_of_equal_numbers_is_that_number(gguf: GgufFile) -> None:
    assert read_facts(changed(gguf, attention__head_count=[4, 4, 4])).heads == 4


def test_heads_without_a_size_share_the_width(gguf: GgufFile) -> None:
    changed(gguf, attention__key_length=None, attention__value_length=None)
    assert read_facts(gguf).head_dim == 16
    with pytest.raises(BadModelFile, match="64 does not divide among 6 heads"):
        read_facts(changed(gguf, attention__head_count=6))


@pytest.mark.parametrize("architecture", ["mamba", "deepseek2", "qwen2moe", "llama4"])
def test_families_that_are_not_built_are_refused_with_those_that_are(
    gguf: GgufFile, architecture: str
) -> None:
    changed(gguf, general__architecture=architecture)
    gguf.tensors.clear()  # nothing of them is looked at
    with pytest.raises(Refused, match=f"the architecture '{architecture}'") as caught:
        read_facts(gguf)
    assert caught.value.code == "unsupported_architecture"
    assert "llama, qwen2, qwen3, qwen3moe, gemma, gemma2, gemma3, phi3, glm4, st" in caught.value.hint


def test_experts_in_a_family_that_has_none(tmp_path: Path) -> None:
    path = write_random_model(tmp_path / "m.gguf", RandomModel(architecture="qwen2"), expert_count=8)
    with pytest.raises(Refused, match="a mixture of experts of the architecture 'qwen2'") as caught:
        read_facts(GgufFile(path))
    assert caught.value.code == "unsupported_architecture"


def test_facts_of_experts(gguf: GgufFile) -> None:
    facts = read_facts(changed(gguf, expert_count=8, expert_used_count=2))
    assert (facts.experts, facts.experts_used, facts.expert_feed_forward) == (8, 2, 96)
    assert read_facts(changed(gguf, expert_feed_forward_length=32)).expert_feed_forward == 32


def test_no_experts(gguf: GgufFile) -> None:
    facts = read_facts(changed(gguf, expert_count=0))
    assert (facts.experts, facts.experts_used, facts.expert_feed_forward) == (0, 0, 0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"expert_count": 513, "expert_used_count": 1}, "llama.expert_count is 513"),
        ({"expert_count": 4}, "lack llama.expert_used_count"),
        ({"expert_count": 4, "expert_used_count": 5}, "llama.expert_used_count is 5"),
        ({"expert_count": 4, "expert_used_count": 0}, "llama.expert_used_count is 0"),
        (
            {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 0},
            "llama.expert_feed_forward_length is 0",
        ),
    ],
)
def test_absurd_experts_are_named(gguf: GgufFile, values: dict[str, object], said: str) -> None:
    with pytest.raises(BadModelFile, match=said):
        read_facts(changed(gguf, **values))


@pytest.mark.parametrize("window", [128, 512])
def test_a_window_is_no_reason_to_refuse(gguf: GgufFile, window: int) -> None:
    assert read_facts(changed(gguf, attention__sliding_window=window)).layers == 3


def test_a_file_without_tensors_or_embedding(gguf: GgufFile) -> None:
    del gguf.tensors["token_embd.weight"]
    with pytest.raises(BadModelFile, match=r"no tensor token_embd\.weight"):
        read_facts(gguf)
    gguf.tensors.clear()
    with pytest.raises(BadModelFile, match="no tensors for layer 0"):
        read_facts(gguf)


def test_huge_layer_numbers_in_names(gguf: GgufFile) -> None:
    gguf.tensors["blk.999999.x"] = TensorInfo("blk.999999.x", "F32", (1,), 0, 4)
    with pytest.raises(BadModelFile, match="only 3 layers"):
        read_facts(gguf)


def test_reading_facts_needs_no_numpy() -> None:
    code = "import sys, swarmnode.models.facts, swarmnode.policy.memory; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
