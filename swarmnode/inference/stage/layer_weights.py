"""The weights of one decoder layer, ready for products: what its tensors say, unpacked where held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.stage.layer_tensors import LayerTensors, Norm, expert_of, find_layer
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.shape import Shape
from swarmnode.inference.stage.weights import Matrix
from swarmnode.models.gguf import GgufFile, TensorInfo

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A feed-forward network, or one expert. gate_up: both inner projections stacked, or up alone."""

    gate_up: Matrix
    gate_up_bias: Floats | None
    down: Matrix
    down_bias: Floats | None

    @property
    def bytes(self) -> int:
        return self.gate_up.bytes + self.down.bytes + _bytes(self.gate_up_bias, self.down_bias)


@dataclass(frozen=True, slots=True, eq=False)
class LayerWeights:
    """One layer. qkv: query, key and value projections stacked; head_norm: [heads + kv_heads,
    head_dim]; networks: the feed-forward network, or with a router (one row an expert) all experts."""

    attention_norm: Norm
    qkv: Matrix
    qkv_bias: Floats | None
    head_norm: Floats | None
    output: Matrix
    output_bias: Floats | None
    post_attention_norm: Norm | None
    feed_forward_norm: Norm
    router: Matrix | None
    networks: tuple[Network, ...]
    post_feed_forward_norm: Norm | None

    @property
    def bytes(self) -> int:
        """Bytes of memory held (the mapped file not counted)."""
        matrices = (self.qkv, self.output, self.router, *self.networks)
        norms = (
            self.attention_norm,
            self.post_attention_norm,
            self.feed_forward_norm,
            self.post_feed_forward_norm,
        )
        held = sum(part.bytes for part in (*matrices, *norms) if part is not None)
        return held + _bytes(self.qkv_bias, self.head_norm, self.output_bias)


def _bytes(*vectors: Floats | None) -> int:
    return sum(vector.nbytes for vector in vectors if vector is not None)


def read_layer(gguf: GgufFile, layer: int, shape: Shape, held: bool, scratch: Scratch) -> LayerWeights:
    """Find (and where `held`, unpack) the weights of a layer.

    Raises `BadModelFile` for missing tensors and wrong shapes, `Refused` for unexpected ones.
    """
    found = find_layer(gguf, layer, shape)

    def matrix(*tensors: TensorInfo) -> Matrix:
        return Matrix(gguf, tensors, held, scratch)

    def network(gate_up: Sequence[TensorInfo], down: TensorInfo) -> Network:
        return Network(matrix(*gate_up), found.gate_up_bias, matrix(down), found.down_bias)

    return LayerWeights(
        attention_norm=found.attention_norm,
        qkv=matrix(*found.qkv),
        qkv_bias=found.qkv_bias,
        head_norm=_head_norm(found, shape),
        output=matrix(found.output),
        output_bias=found.output_bias,
        post_attention_norm=found.post_attention_norm,
        feed_forward_norm=found.feed_forward_norm,
        router=None if found.router is None else matrix(found.router),
        networks=tuple(network(gate_up, down) for gate_up, down in _networks(found, shape)),
        post_feed_forward_norm=found.post_feed_forward_norm,
    )


def _networks(found: LayerTensors, shape: Shape) -> list[tuple[tuple[TensorInfo, ...], TensorInfo]]:
    """(gate and up, down) of the feed-forward network, or of every expert."""
    if found.expert_gate is None or found.expert_up is None or found.expert_down is None:
        assert found.down is not None  # a layer without experts has a feed-forward network
        return [(found.gate_up, found.down)]
    gate, up, down = found.expert_gate, found.expert_up, found.expert_down
    return [
        ((expert_of(gate, expert), expert_of(up, expert)), expert_of(down, expert))
        for expert in range(shape.experts)
    ]


def _head_norm(found: LayerTensors, shape: Shape) -> Floats | None:
    if found.query_norm is None or found.key_norm is None:
        return None
    parts = (np.tile(found.query_norm, (shape.heads, 1)), np.tile(found.key_norm, (shape.kv_heads, 1)))
    return np.concatenate(parts)
