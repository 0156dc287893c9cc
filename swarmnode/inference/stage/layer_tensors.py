"""Which tensors one decoder layer is made of, whoever computes with them; nothing unexpected is let by.

Names are those of llama.cpp's converter. Only vectors are unpacked here; matrices stay where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.models.family import Presence
from swarmnode.inference.stage.shape import Shape
from swarmnode.inference.stage.weights import tensor_of, vector_of
from swarmnode.models.gguf import GgufFile, TensorInfo
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import Refused

Floats = npt.NDArray[np.float32]

#: Tensors of old converters that say nothing that the metadata do not.
IGNORED = frozenset({"attn_rot_embd.weight"})
EMBEDDING, HEAD, OUTPUT_NORM = "token_embd.weight", "output.weight", "output_norm"


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """RMSNorm (bias None) or LayerNorm, as the family says: float32 [n] each."""

    weight: Floats
    bias: Floats | None = None

    @property
    def bytes(self) -> int:
        return self.weight.nbytes + (0 if self.bias is None else self.bias.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class LayerTensors:
    """One layer. All matrices are [rows, width], for products with rows of that width.

    qkv: query, key and value projections, to be stacked in this order, or one tensor that is the
    stack; qkv_bias: float32 [query_size + 2 * kv_size]. query_norm, key_norm: float32 [head_dim], of
    every head. output: the attention's output projection. post_attention_norm,
    post_feed_forward_norm: of what is then added to the residual stream.
    gate_up: gate and up of the feed-forward network, or one tensor whose first half is the gate, or
    up alone where there is no gate; () with experts, and down is None. gate_up_bias: their biases in
    the same order.
    router: [experts, hidden]; expert_gate, expert_up: [experts, expert_feed_forward, hidden];
    expert_down: [experts, hidden, expert_feed_forward]; None without experts.
    """

    attention_norm: Norm
    qkv: tuple[TensorInfo, ...]
    qkv_bias: Floats | None
    query_norm: Floats | None
    key_norm: Floats | None
    output: TensorInfo
    output_bias: Floats | None
    post_attention_norm: Norm | None
    feed_forward_norm: Norm
    gate_up: tuple[TensorInfo, ...]
    gate_up_bias: Floats | None
    down: TensorInfo | None
    down_bias: Floats | None
    post_feed_forward_norm: Norm | None
    router: TensorInfo | None = None
    expert_gate: TensorInfo | None = None
    expert_up: TensorInfo | None = None
    expert_down: TensorInfo | None = None


@dataclass(frozen=True, slots=True)
class _FeedForward:
    """The part of `LayerTensors` that is the feed-forward network or the experts."""

    gate_up: tuple[TensorInfo, ...] = ()
    gate_up_bias: Floats | None = None
    down: TensorInfo | None = None
    down_bias: Floats | None = None
    router: TensorInfo | None = None
    expert_gate: TensorInfo | None = None
    expert_up: TensorInfo | None = None
    expert_down: TensorInfo | None = None


class _Names:
    """The tensors of one layer by short name, and which of them were asked for."""

    def __init__(self, gguf: GgufFile, layer: int) -> None:
        self._gguf = gguf
        self._prefix = f"blk.{layer}."
        self._left = {name[len(self._prefix) :] for name in gguf.tensors if name.startswith(self._prefix)}
        self._left -= IGNORED

    def has(self, name: str) -> bool:
        return self._prefix + name in self._gguf.tensors

    def tensor(self, name: str, *shape: int) -> TensorInfo:
        self._left.discard(name)
        return tensor_of(self._gguf, self._prefix + name, shape)

    def vector(self, name: str, size: int) -> Floats:
        self._left.discard(name)
        return vector_of(self._gguf, self._prefix + name, size)

    def vectors(self, presence: Presence, *parts: tuple[str, int]) -> Floats | None:
        """The named vectors end to end; None where they need not be and the first is not."""
        if presence == "none" or (presence == "optional" and not self.has(parts[0][0])):
            return None
        return np.concatenate([self.vector(name, size) for name, size in parts])

    def norm(self, name: str, shape: Shape) -> Norm:
        bias = f"{name}.bias" if shape.family.norm == "layer" else None
        weight = self.vector(f"{name}.weight", shape.hidden)
        return Norm(weight, None if bias is None else self.vector(bias, shape.hidden))

    def check_all_used(self) -> None:
        if self._left:
            raise Refused(
                f"{self._gguf.path.name}: the tensor {self._prefix}{min(self._left)} is not part of "
                f"any model family that is supported",
                code="unsupported_tensor",
                hint="This variant of the architecture is not supported; choose another file.",
            )


def find_layer(gguf: GgufFile, layer: int, shape: Shape) -> LayerTensors:
    """The tensors of a layer, their shapes checked.

    Raises `BadModelFile` for missing tensors and wrong shapes, `Refused` for unexpected ones.
    """
    names, family = _Names(gguf, layer), shape.family
    qkv, qkv_bias = _projections(names, shape)
    head_norm: Presence = "required" if family.head_norm else "none"
    feed_forward = _experts(names, shape) if shape.experts else _feed_forward(names, shape)
    found = LayerTensors(
        attention_norm=names.norm("attn_norm", shape),
        qkv=qkv,
        qkv_bias=qkv_bias,
        query_norm=names.vectors(head_norm, ("attn_q_norm.weight", shape.head_dim)),
        key_norm=names.vectors(head_norm, ("attn_k_norm.weight", shape.head_dim)),
        output=names.tensor("attn_output.weight", shape.hidden, shape.query_size),
        output_bias=names.vectors(family.output_bias, ("attn_output.bias", shape.hidden)),
        post_attention_norm=names.norm("post_attention_norm", shape) if family.post_norms else None,
        feed_forward_norm=names.norm("ffn_norm", shape),
        gate_up=feed_forward.gate_up,
        gate_up_bias=feed_forward.gate_up_bias,
        down=feed_forward.down,
        down_bias=feed_forward.down_bias,
        post_feed_forward_norm=names.norm("post_ffw_norm", shape) if family.post_norms else None,
        router=feed_forward.router,
        expert_gate=feed_forward.expert_gate,
        expert_up=feed_forward.expert_up,
        expert_down=feed_forward.expert_down,
    )
    names.check_all_used()
    return found


def find_embedding(gguf: GgufFile, facts: ModelFacts) -> TensorInfo:
    """The embedding, [vocab, hidden]. Raises `BadModelFile`."""
    return tensor_of(gguf, EMBEDDING, (facts.vocab, facts.hidden))


def find_head(gguf: GgufFile, facts: ModelFacts) -> TensorInfo:
    """The output head, [vocab, hidden]: the embedding where they are tied. Raises `BadModelFile`."""
    return tensor_of(gguf, EMBEDDING if facts.tied else HEAD, (facts.vocab, facts.hidden))


def find_output_norm(gguf: GgufFile, shape: Shape) -> Norm:
    """The norm before the output head. Raises `BadModelFile`."""
    weight = vector_of(gguf, f"{OUTPUT_NORM}.weight", shape.hidden)
    if shape.family.norm != "layer":
        return Norm(weight)
    return Norm(weight, vector_of(gguf, f"{OUTPUT_NORM}.bias", shape.hidden))


def expert_of(tensor: TensorInfo, expert: int) -> TensorInfo:
    """The matrix of one expert, in place: a part of a tensor of three dimensions."""
    experts, *matrix = tensor.shape
    size = tensor.nbytes // experts
    return TensorInfo(
        tensor.name, tensor.type_name, tuple(matrix), tensor.offset + expert * size, size, tensor.part
    )


def _projections(names: _Names, shape: Shape) -> tuple[tuple[TensorInfo, ...], Floats | None]:
    """Query, key and value: the matrices, and the biases end to end."""
    query, key, wanted = shape.query_size, shape.kv_size, shape.family.projection_bias
    if shape.family.fused_qkv and names.has("attn_qkv.weight"):
        rows = query + 2 * key
        fused = names.tensor("attn_qkv.weight", rows, shape.hidden)
        return (fused,), names.vectors(wanted, ("attn_qkv.bias", rows))
    parts = (("attn_q", query), ("attn_k", key), ("attn_v", key))
    matrices = tuple(names.tensor(f"{name}.weight", rows, shape.hidden) for name, rows in parts)
    return matrices, names.vectors(wanted, *((f"{name}.bias", rows) for name, rows in parts))


def _feed_forward(names: _Names, shape: Shape) -> _FeedForward:
    family, hidden, inner = shape.family, shape.hidden, shape.feed_forward
    parts: tuple[tuple[str, int], ...] = (("ffn_gate", inner), ("ffn_up", inner))
    if family.fused_gate:
        parts = (("ffn_up", 2 * inner),)
    elif not family.gated:
        parts = (("ffn_up", inner),)
    biases = ((f"{name}.bias", rows) for name, rows in parts)
    return _FeedForward(
        gate_up=tuple(names.tensor(f"{name}.weight", rows, hidden) for name, rows in parts),
        gate_up_bias=names.vectors(family.feed_forward_bias, *biases),
        down=names.tensor("ffn_down.weight", hidden, inner),
        down_bias=names.vectors(family.feed_forward_bias, ("ffn_down.bias", hidden)),
    )


def _experts(names: _Names, shape: Shape) -> _FeedForward:
    experts, hidden, inner = shape.experts, shape.hidden, shape.expert_feed_forward
    return _FeedForward(
        router=names.tensor("ffn_gate_inp.weight", experts, hidden),
        expert_gate=names.tensor("ffn_gate_exps.weight", experts, inner, hidden),
        expert_up=names.tensor("ffn_up_exps.weight", experts, inner, hidden),
        expert_down=names.tensor("ffn_down_exps.weight", experts, hidden, inner),
    )
