"""Small model files with random weights: numbers without sense, in every type and family."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.inference.models.registry import family_of
from swarmnode.testing.random_weights import random_matrix

#: LongRoPE's tensors and the factor of the first pair in each; it grows by an eighth a pair.
FIRST_FACTORS = {"rope_factors_short.weight": 2.0, "rope_factors_long.weight": 3.0}


@dataclass(frozen=True, slots=True)
class RandomModel:
    """What to write. weights: one ggml type name for all matrices, or `Q4_K_M` for its usual mix.

    Packed types need widths (hidden, feed_forward, expert_feed_forward, heads * head_dim) of whole
    blocks: multiples of 32, of 256 for those with a K or I in their names.
    rope_dim: numbers of a head that turn, 0 for all. window: of the layers that have one; 0: none.
    experts: 0 for a dense model. fused: query, key and value as one tensor, where the family may.
    long_factors: LongRoPE's tensors, short factors from 2, long ones from 3.
    """

    architecture: str = "llama"
    weights: str = "F32"
    layers: int = 3
    hidden: int = 64
    feed_forward: int = 96
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    vocab: int = 320
    context: int = 512
    tied: bool = False
    rope_dim: int = 0
    window: int = 0
    experts: int = 0
    experts_used: int = 2
    expert_feed_forward: int = 32
    fused: bool = True
    long_factors: bool = False
    seed: int = 1


def write_random_model(path: str | os.PathLike[str], model: RandomModel, **metadata: Any) -> Path:
    """Write a GGUF. metadata: further keys, without the architecture's prefix, dots as `__`, of
    whole or other numbers or texts. Returns the path."""
    import gguf

    writer = gguf.GGUFWriter(str(path), model.architecture)
    _write_metadata(writer, model)
    for name, value in metadata.items():
        adders: dict[type, Any] = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
        adders[type(value)](f"{model.architecture}.{name.replace('__', '.')}", value)
    _write_vocabulary(writer, model.vocab)
    rng = np.random.default_rng(model.seed)
    for name, shape, kind in _tensors(model):
        if len(shape) == 1:
            writer.add_tensor(name, _vector(name, shape[0], rng))
        else:
            packed, dtype = random_matrix(kind, shape, shape[-1] ** -0.5, rng)
            writer.add_tensor(name, packed, raw_dtype=dtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Path(path)


def _write_metadata(writer: Any, model: RandomModel) -> None:
    writer.add_name("random")
    writer.add_block_count(model.layers)
    writer.add_context_length(model.context)
    writer.add_embedding_length(model.hidden)
    writer.add_feed_forward_length(model.feed_forward)
    writer.add_head_count(model.heads)
    writer.add_head_count_kv(model.kv_heads)
    writer.add_key_length(model.head_dim)
    writer.add_value_length(model.head_dim)
    writer.add_rope_dimension_count(model.rope_dim or model.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_layer_norm_eps(1e-5)
    if model.window:
        writer.add_sliding_window(model.window)
    if model.experts:
        writer.add_expert_count(model.experts)
        writer.add_expert_used_count(model.experts_used)
        writer.add_expert_feed_forward_length(model.expert_feed_forward)


def _write_vocabulary(writer: Any, size: int) -> None:
    """A SentencePiece vocabulary of control tokens, bytes and made-up words (sizes from 259 on)."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [2, 3, 3] + [6] * 256
    words = [f"\u2581w{number}" for number in range(max(size - len(tokens), 0))]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list((tokens + words)[:size])
    writer.add_token_scores([-float(i) for i in range(size)])
    writer.add_token_types((types + [1] * len(words))[:size])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _tensors(model: RandomModel) -> list[tuple[str, tuple[int, ...], str]]:
    """(name, shape, type) of every tensor."""
    mixed = model.weights == "Q4_K_M"
    usual, better = ("Q4_K", "Q6_K") if mixed else (model.weights, model.weights)
    tensors: list[tuple[str, tuple[int, ...], str]] = [
        ("token_embd.weight", (model.vocab, model.hidden), usual),
        *((name, shape, "F32") for name, shape in _norm("output_norm", model)),
    ]
    if model.long_factors:
        pairs = (model.rope_dim or model.head_dim) // 2
        tensors += [(name, (pairs,), "F32") for name in FIRST_FACTORS]
    if not model.tied:
        tensors.append(("output.weight", (model.vocab, model.hidden), better))
    parts = [*_attention(model), *(_experts(model) if model.experts else _feed_forward(model))]
    for layer in range(model.layers):
        for name, shape in parts:
            kind = better if name in ("attn_v.weight", "ffn_down.weight") else usual
            kind = "F32" if name == "ffn_gate_inp.weight" else kind  # as converters leave it
            tensors.append((f"blk.{layer}.{name}", shape, kind))
    return tensors


_Parts = list[tuple[str, tuple[int, ...]]]


def _norm(name: str, model: RandomModel) -> _Parts:
    parts: _Parts = [(f"{name}.weight", (model.hidden,))]
    if family_of(model.architecture).norm == "layer":
        parts.append((f"{name}.bias", (model.hidden,)))
    return parts


def _attention(model: RandomModel) -> _Parts:
    family, hidden = family_of(model.architecture), model.hidden
    query, key = model.heads * model.head_dim, model.kv_heads * model.head_dim
    rows = [("attn_q", query), ("attn_k", key), ("attn_v", key)]
    if family.fused_qkv and model.fused:
        rows = [("attn_qkv", query + 2 * key)]
    parts = _norm("attn_norm", model)
    parts += [(f"{name}.weight", (count, hidden)) for name, count in rows]
    if family.projection_bias == "required":
        parts += [(f"{name}.bias", (count,)) for name, count in rows]
    if family.head_norm:
        parts += [("attn_q_norm.weight", (model.head_dim,)), ("attn_k_norm.weight", (model.head_dim,))]
    parts.append(("attn_output.weight", (hidden, query)))
    if family.output_bias == "required":
        parts.append(("attn_output.bias", (hidden,)))
    if family.post_norms:
        parts += [*_norm("post_attention_norm", model), *_norm("post_ffw_norm", model)]
    return parts + _norm("ffn_norm", model)


def _feed_forward(model: RandomModel) -> _Parts:
    family, hidden, inner = family_of(model.architecture), model.hidden, model.feed_forward
    rows = [("ffn_up", 2 * inner if family.fused_gate else inner)]
    if family.gated and not family.fused_gate:
        rows.insert(0, ("ffn_gate", inner))
    parts: _Parts = [(f"{name}.weight", (count, hidden)) for name, count in rows]
    parts.append(("ffn_down.weight", (hidden, inner)))
    if family.feed_forward_bias == "required":
        parts += [(f"{name}.bias", (count,)) for name, count in [*rows, ("ffn_down", hidden)]]
    return parts


def _experts(model: RandomModel) -> _Parts:
    experts, hidden, inner = model.experts, model.hidden, model.expert_feed_forward
    return [
        ("ffn_gate_inp.weight", (experts, hidden)),
        ("ffn_gate_exps.weight", (experts, inner, hidden)),
        ("ffn_up_exps.weight", (experts, inner, hidden)),
        ("ffn_down_exps.weight", (experts, hidden, inner)),
    ]


def _vector(name: str, size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    if name in FIRST_FACTORS:
        return (FIRST_FACTORS[name] + np.arange(size) / 8).astype(np.float32)
    centre = 0.0 if name.endswith("bias") else 1.0
    return (centre + 0.1 * rng.standard_normal(size)).astype(np.float32)
