"""The weights of one decoder layer, found by name; a tensor nobody expects is an error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.shape import Shape
from swarmnode.inference.stage.weights import Matrix, tensor_of, vector_of
from swarmnode.models.gguf import GgufFile, TensorInfo
from swarmnode.values.errors import Refused

Floats = npt.NDArray[np.float32]

#: Tensors of old converters that say nothing that the metadata do not.
IGNORED = frozenset({"attn_rot_embd.weight"})


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """One layer. qkv: query, key and value projections stacked; gate_up: both inner projections of
    the feed-forward network stacked; head_norm: [heads + kv_heads, head_dim]."""

    attention_norm: Floats
    qkv: Matrix
    qkv_bias: Floats | None
    head_norm: Floats | None
    output: Matrix
    output_bias: Floats | None
    feed_forward_norm: Floats
    gate_up: Matrix
    down: Matrix

    @property
    def bytes(self) -> int:
        parts = (self.qkv, self.output, self.gate_up, self.down)
        vectors = (
            self.attention_norm,
            self.feed_forward_norm,
            self.qkv_bias,
            self.head_norm,
            self.output_bias,
        )
        return sum(part.bytes for part in parts) + sum(v.nbytes for v in vectors if v is not None)


class _Names:
    """The tensors of one layer by short name, and which of them were asked for."""

    def __init__(self, gguf: GgufFile, layer: int) -> None:
        self._gguf = gguf
        self._prefix = f"blk.{layer}."
        self._left = {name[len(self._prefix) :] for name in gguf.tensors if name.startswith(self._prefix)}
        self._left -= IGNORED

    def has(self, name: str) -> bool:
        return self._prefix + name in self._gguf.tensors

    def matrix(self, name: str, rows: int, width: int) -> TensorInfo:
        self._left.discard(name)
        return tensor_of(self._gguf, self._prefix + name, (rows, width))

    def vector(self, name: str, size: int) -> Floats:
        self._left.discard(name)
        return vector_of(self._gguf, self._prefix + name, size)

    def check_all_used(self) -> None:
        if self._left:
            raise Refused(
                f"{self._gguf.path.name}: the tensor {self._prefix}{min(self._left)} is not part of "
                f"any model family that is supported",
                code="unsupported_tensor",
                hint="This variant of the architecture is not supported; choose another file.",
            )


def read_layer(gguf: GgufFile, layer: int, shape: Shape, held: bool, scratch: Scratch) -> LayerWeights:
    """Find (and where `held`, unpack) the weights of a layer.

    Raises `BadModelFile` for missing tensors and wrong shapes, `Refused` for unexpected ones.
    """
    names, hidden, inner = _Names(gguf, layer), shape.hidden, shape.feed_forward

    def stack(*tensors: TensorInfo) -> Callable[[], Matrix]:
        return lambda: Matrix(gguf, tensors, held, scratch)

    qkv = stack(
        names.matrix("attn_q.weight", shape.query_size, hidden),
        names.matrix("attn_k.weight", shape.kv_size, hidden),
        names.matrix("attn_v.weight", shape.kv_size, hidden),
    )
    output = stack(names.matrix("attn_output.weight", hidden, shape.query_size))
    gate_up = stack(
        names.matrix("ffn_gate.weight", inner, hidden),
        names.matrix("ffn_up.weight", inner, hidden),
    )
    down = stack(names.matrix("ffn_down.weight", hidden, inner))
    vectors = (
        names.vector("attn_norm.weight", hidden),
        names.vector("ffn_norm.weight", hidden),
        _projection_bias(names, shape),
        _head_norm(names, shape),
        names.vector("attn_output.bias", hidden) if _optional(names, shape, "attn_output.bias") else None,
    )
    names.check_all_used()
    return LayerWeights(
        attention_norm=vectors[0],
        qkv=qkv(),
        qkv_bias=vectors[2],
        head_norm=vectors[3],
        output=output(),
        output_bias=vectors[4],
        feed_forward_norm=vectors[1],
        gate_up=gate_up(),
        down=down(),
    )


def _optional(names: _Names, shape: Shape, name: str) -> bool:
    return shape.family.projection_bias == "optional" and names.has(name)


def _projection_bias(names: _Names, shape: Shape) -> Floats | None:
    wanted = shape.family.projection_bias
    if wanted == "none" or (wanted == "optional" and not names.has("attn_q.bias")):
        return None
    return np.concatenate(
        [
            names.vector("attn_q.bias", shape.query_size),
            names.vector("attn_k.bias", shape.kv_size),
            names.vector("attn_v.bias", shape.kv_size),
        ]
    )


def _head_norm(names: _Names, shape: Shape) -> Floats | None:
    if not shape.family.head_norm:
        return None
    query = names.vector("attn_q_norm.weight", shape.head_dim)
    key = names.vector("attn_k_norm.weight", shape.head_dim)
    return np.concatenate([np.tile(query, (shape.heads, 1)), np.tile(key, (shape.kv_heads, 1))])
