"""Shapes of models and the types of their tensors: TinyLlama's, a small mixture of experts, and a tiny one
of each family for accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

#: (name, shape with the row length last, ggml type)
Tensor = tuple[str, tuple[int, ...], str]

#: Names of `--weights`: the usual type, the better one of the mixes, and llama.h's llama_ftype.
MIXES: dict[str, tuple[str, str, int]] = {
    "F32": ("F32", "F32", 0),
    "F16": ("F16", "F16", 1),
    "Q8_0": ("Q8_0", "Q8_0", 7),
    "Q4_K_M": ("Q4_K", "Q6_K", 15),
    "Q5_K_M": ("Q5_K", "Q6_K", 17),
    "Q6_K": ("Q6_K", "Q6_K", 18),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder model. experts: 0 for a dense one, else how many each layer has (`used` of them a token).

    settings: further metadata without the architecture's prefix. tied: no tensor of its own for the head.
    """

    architecture: str
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    experts: int = 0
    used: int = 0
    tied: bool = False
    settings: tuple[tuple[str, int | float], ...] = ()


TINYLLAMA = Shape("llama", 22, 2048, 5632, 32, 4, 64, 32000, 8192)
#: Mixtral's plan, small: 8 experts, 2 a token.
MIXTURE = Shape("llama", 16, 1024, 2816, 16, 4, 64, 32000, 8192, experts=8, used=2)

SPEED: dict[str, Shape] = {"tinyllama": TINYLLAMA, "mixture": MIXTURE}

_SMALL = Shape("llama", 4, 256, 512, 8, 2, 32, 1024, 512)

#: One small model a family: every row divides into K-quant blocks.
ACCURACY: dict[str, Shape] = {
    "llama": _SMALL,
    "qwen2": replace(_SMALL, architecture="qwen2"),
    "qwen3": replace(_SMALL, architecture="qwen3"),
    "gemma2": replace(
        _SMALL,
        architecture="gemma2",
        tied=True,
        settings=(
            ("attn_logit_softcapping", 50.0),
            ("final_logit_softcapping", 30.0),
            ("attention.sliding_window", 128),
        ),
    ),
    "phi3": replace(
        _SMALL,
        architecture="phi3",
        settings=(("rope.scaling.original_context_length", 512), ("attention.sliding_window", 0)),
    ),
    "mixtral": replace(_SMALL, experts=4, used=2),
}


def gets_more_bits(layer: int, layers: int) -> bool:
    """llama.cpp's choice of the layers whose attn_v and ffn_down get the better type in the mixes
    (`use_more_bits` in llama-quant.cpp): the first and last eighth, and every third between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def tensors_of(shape: Shape, weights: str) -> Iterator[Tensor]:
    """Every tensor of the model, in the order of the file."""
    usual, better, _ftype = MIXES[weights]
    yield "token_embd.weight", (shape.vocab, shape.hidden), better if shape.tied else usual
    yield "output_norm.weight", (shape.hidden,), "F32"
    if not shape.tied:
        yield "output.weight", (shape.vocab, shape.hidden), better
    for layer in range(shape.layers):
        for name, size in _layer(shape):
            yield f"blk.{layer}.{name}", size, _type_of(name, len(size), layer, shape, weights)


def _type_of(name: str, dimensions: int, layer: int, shape: Shape, weights: str) -> str:
    """As llama.cpp's quantiser chooses (llama-quant.cpp): biases, norms and routers stay float32."""
    usual, better, _ftype = MIXES[weights]
    if dimensions == 1 or name == "ffn_gate_inp.weight":
        return "F32"
    mixed = usual != better
    if mixed and shape.experts == 8:
        if name in ("attn_k.weight", "attn_v.weight"):
            return "Q8_0"
        if name == "attn_output.weight":
            return "Q5_K"
    if mixed and name.startswith(("attn_v.", "ffn_down")):
        return better if gets_more_bits(layer, shape.layers) else usual
    if mixed and name == "attn_qkv.weight":
        return "Q5_K" if weights == "Q4_K_M" else "Q6_K"
    return usual


def _layer(shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    return [*_attention(shape), *_feed_forward(shape)]


def _attention(shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    hidden = shape.hidden
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    parts: list[tuple[str, tuple[int, ...]]] = [("attn_norm.weight", (hidden,))]
    if shape.architecture == "phi3":
        parts.append(("attn_qkv.weight", (query + 2 * key, hidden)))
    else:
        parts += [
            ("attn_q.weight", (query, hidden)),
            ("attn_k.weight", (key, hidden)),
            ("attn_v.weight", (key, hidden)),
        ]
    if shape.architecture == "qwen2":
        parts += [("attn_q.bias", (query,)), ("attn_k.bias", (key,)), ("attn_v.bias", (key,))]
    if shape.architecture == "qwen3":
        parts += [("attn_q_norm.weight", (shape.head_dim,)), ("attn_k_norm.weight", (shape.head_dim,))]
    parts.append(("attn_output.weight", (hidden, query)))
    if shape.architecture == "gemma2":
        parts.append(("post_attention_norm.weight", (hidden,)))
    return parts


def _feed_forward(shape: Shape) -> list[tuple[str, tuple[int, ...]]]:
    hidden, inner, experts = shape.hidden, shape.feed_forward, shape.experts
    parts: list[tuple[str, tuple[int, ...]]] = [("ffn_norm.weight", (hidden,))]
    if experts:
        parts += [
            ("ffn_gate_inp.weight", (experts, hidden)),
            ("ffn_gate_exps.weight", (experts, inner, hidden)),
            ("ffn_up_exps.weight", (experts, inner, hidden)),
            ("ffn_down_exps.weight", (experts, hidden, inner)),
        ]
    elif shape.architecture == "phi3":
        parts += [("ffn_up.weight", (2 * inner, hidden)), ("ffn_down.weight", (hidden, inner))]
    else:
        parts += [
            ("ffn_gate.weight", (inner, hidden)),
            ("ffn_up.weight", (inner, hidden)),
            ("ffn_down.weight", (hidden, inner)),
        ]
    if shape.architecture == "gemma2":
        parts.append(("post_ffw_norm.weight", (hidden,)))
    return parts
