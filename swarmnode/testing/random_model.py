"""Small model files with random weights: numbers without sense, in every type and family."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Where the float16 scales of a packed block lie, and by what the wanted spread is divided to get
#: each: the typical size of what it multiplies.
_SCALES: dict[str, tuple[tuple[int, float], ...]] = {
    "Q4_K": ((0, 150.0), (2, 20.0)),
    "Q5_K": ((0, 300.0), (2, 20.0)),
    "Q6_K": ((208, 1300.0),),
}


@dataclass(frozen=True, slots=True)
class RandomModel:
    """What to write. weights: one ggml type name for all matrices, or `Q4_K_M` for its usual mix.

    K-quants need widths (hidden, feed_forward, heads * head_dim) that are multiples of 256.
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
            packed, dtype = _matrix(kind, shape, rng)
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
    writer.add_rope_dimension_count(model.head_dim)
    writer.add_layer_norm_rms_eps(1e-5)


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
        ("output_norm.weight", (model.hidden,), "F32"),
    ]
    if not model.tied:
        tensors.append(("output.weight", (model.vocab, model.hidden), better))
    for layer in range(model.layers):
        for name, shape in _layer(model):
            kind = better if name in ("attn_v.weight", "ffn_down.weight") else usual
            tensors.append((f"blk.{layer}.{name}", shape, kind))
    return tensors


def _layer(model: RandomModel) -> list[tuple[str, tuple[int, ...]]]:
    hidden, inner = model.hidden, model.feed_forward
    query, key = model.heads * model.head_dim, model.kv_heads * model.head_dim
    parts: list[tuple[str, tuple[int, ...]]] = [
        ("attn_norm.weight", (hidden,)),
        ("attn_q.weight", (query, hidden)),
        ("attn_k.weight", (key, hidden)),
        ("attn_v.weight", (key, hidden)),
        ("attn_output.weight", (hidden, query)),
        ("ffn_norm.weight", (hidden,)),
        ("ffn_gate.weight", (inner, hidden)),
        ("ffn_up.weight", (inner, hidden)),
        ("ffn_down.weight", (hidden, inner)),
    ]
    if model.architecture == "qwen2":
        parts += [("attn_q.bias", (query,)), ("attn_k.bias", (key,)), ("attn_v.bias", (key,))]
    if model.architecture == "qwen3":
        parts += [("attn_q_norm.weight", (model.head_dim,)), ("attn_k_norm.weight", (model.head_dim,))]
    return parts


def _vector(name: str, size: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    centre = 0.0 if name.endswith("bias") else 1.0
    return (centre + 0.1 * rng.standard_normal(size)).astype(np.float32)


def _matrix(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[npt.NDArray[Any], Any]:
    import gguf

    dtype = gguf.GGMLQuantizationType[kind]
    spread = shape[-1] ** -0.5
    if kind in _SCALES:
        return _random_blocks(kind, shape, spread, rng), dtype
    values = (rng.standard_normal(shape, dtype=np.float32) * spread).astype(np.float32)
    if kind == "F32":
        return values, None
    if kind == "F16":
        return values.astype(np.float16), None
    return gguf.quants.quantize(values, dtype), dtype


def _random_blocks(
    kind: str, shape: tuple[int, ...], spread: float, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Packed K-quant blocks of random bits with scales that give about the wanted spread."""
    from swarmnode.models.gguf import GGML_TYPES

    elements, size = next((e, s) for name, e, s in GGML_TYPES.values() if name == kind)
    rows, width = shape
    data = rng.integers(0, 256, (rows * width // elements, size), dtype=np.uint8)
    for place, divisor in _SCALES[kind]:
        scale = np.full((len(data), 1), spread / divisor, np.float16)
        data[:, place : place + 2] = scale.view(np.uint8)
    return data.reshape(rows, -1)
