"""The tensors of the benchmark models."""

from __future__ import annotations

from benchmarks.blocks import packed_bytes
from benchmarks.shapes import ACCURACY, MIXES, SPEED, gets_more_bits, tensors_of


def size(name: str, weights: str) -> int:
    return sum(packed_bytes(kind, shape) for _name, shape, kind in tensors_of(SPEED[name], weights))


def test_the_layers_with_more_bits_are_llama_cpps() -> None:
    """Of the published TinyLlama-1.1B Q4_K_M, whose attn_v and ffn_down are Q6_K in these."""
    chosen = [layer for layer in range(22) if gets_more_bits(layer, 22)]
    assert chosen == [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]


def test_sizes_are_those_of_the_published_files() -> None:
    """TinyLlama-1.1B: 1,100,048,384 weights; its Q4_K_M and Q8_0 files have 668,788,096 and 1,170,781,568
    bytes, of which at most 2 MiB are not tensors."""
    elements = 0
    for _name, shape, _kind in tensors_of(SPEED["tinyllama"], "F16"):
        count = 1
        for dimension in shape:
            count *= dimension
        elements += count
    assert elements == 1_100_048_384
    assert 0 < 668_788_096 - size("tinyllama", "Q4_K_M") < 2 << 20
    assert 0 < 1_170_781_568 - size("tinyllama", "Q8_0") < 2 << 20


def test_a_mixture_of_eight_keeps_its_attention_better() -> None:
    kinds = {name: kind for name, _shape, kind in tensors_of(SPEED["mixture"], "Q4_K_M")}
    assert kinds["blk.5.attn_k.weight"] == kinds["blk.5.attn_v.weight"] == "Q8_0"
    assert kinds["blk.5.attn_output.weight"] == "Q5_K"
    assert kinds["blk.5.ffn_gate_inp.weight"] == "F32"
    assert size("mixture", "Q4_K_M") < 1 << 30


def test_every_small_model_packs_in_every_type() -> None:
    for shape in ACCURACY.values():
        for weights in MIXES:
            tensors = list(tensors_of(shape, weights))
            assert all(packed_bytes(kind, size) > 0 for _name, size, kind in tensors)
            assert len({name for name, _size, _kind in tensors}) == len(tensors)


def test_a_tied_head_has_the_better_type() -> None:
    kinds = {name: kind for name, _shape, kind in tensors_of(ACCURACY["gemma2"], "Q4_K_M")}
    assert kinds["token_embd.weight"] == "Q6_K" and "output.weight" not in kinds
