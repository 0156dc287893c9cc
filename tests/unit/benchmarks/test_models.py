"""Model files that the writer makes, read back."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from benchmarks.models import bytes_a_token, spread_of, write_model
from benchmarks.shapes import ACCURACY, tensors_of
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile


@pytest.mark.parametrize("family", ACCURACY)
def test_our_reader_finds_every_tensor(tmp_path: Path, family: str) -> None:
    shape = ACCURACY[family]
    path = write_model(tmp_path / "model.gguf", shape, "Q4_K_M")
    with GgufFile(path) as file:
        facts = read_facts(file)
        found = {name: (info.shape, info.type_name) for name, info in file.tensors.items()}
    assert found == {name: (size, kind) for name, size, kind in tensors_of(shape, "Q4_K_M")}
    assert (facts.layers, facts.hidden, facts.vocab) == (shape.layers, shape.hidden, shape.vocab)
    assert facts.quantization == "Q4_K_M"


def test_the_unpacked_file_holds_the_dequantised_numbers(tmp_path: Path) -> None:
    packed = write_model(tmp_path / "packed.gguf", ACCURACY["llama"], "Q5_K_M")
    plain = write_model(tmp_path / "plain.gguf", ACCURACY["llama"], "Q5_K_M", unpacked=True)
    with GgufFile(packed) as file, GgufFile(plain) as other:
        for name, info in file.tensors.items():
            kind = gguf.GGMLQuantizationType[info.type_name]
            expected = gguf.quants.dequantize(np.frombuffer(file.data(info), np.uint8), kind)
            assert np.array_equal(expected, np.frombuffer(other.data(other.tensors[name]), np.float32))


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    one = write_model(tmp_path / "one.gguf", ACCURACY["llama"], "Q8_0", 5)
    other = write_model(tmp_path / "other.gguf", ACCURACY["llama"], "Q8_0", 5)
    assert one.read_bytes() == other.read_bytes()


def test_a_token_reads_all_but_the_embedding(tmp_path: Path) -> None:
    shape = ACCURACY["llama"]
    path = write_model(tmp_path / "model.gguf", shape, "Q8_0")
    with GgufFile(path) as file:
        total = sum(info.nbytes for info in file.tensors.values())
    row = shape.hidden // 32 * 34
    assert bytes_a_token(path) == total - (shape.vocab - 1) * row


def test_a_token_reads_the_experts_it_uses(tmp_path: Path) -> None:
    shape = ACCURACY["mixtral"]
    path = write_model(tmp_path / "model.gguf", shape, "Q8_0")
    with GgufFile(path) as file:
        sizes = {name: info.nbytes for name, info in file.tensors.items()}
    experts = sum(size for name, size in sizes.items() if "_exps" in name)
    table = sizes["token_embd.weight"]
    assert bytes_a_token(path) == sum(sizes.values()) - table + table // shape.vocab - experts // 2


def test_only_embeddings_and_routers_are_unlike_the_rest() -> None:
    assert spread_of("blk.0.attn_q.weight", (64, 256), False) == 1 / 16
    assert spread_of("token_embd.weight", (64, 256), False) == 1.0
    assert spread_of("token_embd.weight", (64, 256), True) == 1 / 16
    assert spread_of("blk.0.ffn_gate_inp.weight", (4, 256), False) == 1 / 2
