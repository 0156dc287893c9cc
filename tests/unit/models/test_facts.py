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


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"general__architecture": "mamba"}, "the architecture 'mamba'"),
        ({"expert_count": 8}, "mixture of experts"),
        ({"attention__sliding_window": 128}, "sliding window of 128"),
    ],
)
def test_what_is_not_built_is_refused_with_what_is(
    gguf: GgufFile, values: dict[str, object], said: str
) -> None:
    with pytest.raises(Refused, match=said) as caught:
        read_facts(changed(gguf, **values))
    assert caught.value.code == "unsupported_architecture"
    assert "llama, qwen2, qwen3" in caught.value.hint


def test_a_window_as_wide_as_the_context_is_none(gguf: GgufFile) -> None:
    assert read_facts(changed(gguf, attention__sliding_window=512)).layers == 3


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
