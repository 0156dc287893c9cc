"""The packed matrices of one layer: which parts of which tensors play which part."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.inference.stage.layer_tensors import LayerTensors
from swarmnode.inference.stage.packed_weights import PackedMatrix, PackedWeights
from swarmnode.inference.stage.shape import Shape


@dataclass(frozen=True, slots=True)
class LayerMatrices:
    """The packed matrices of one layer, by role; None where a family has none."""

    query: PackedMatrix
    key: PackedMatrix
    value: PackedMatrix
    output: PackedMatrix
    gate: PackedMatrix | None
    up: PackedMatrix
    down: PackedMatrix
    router: PackedMatrix | None = None

    @property
    def all(self) -> tuple[PackedMatrix, ...]:
        """Those that there are, in no order that matters."""
        optional = tuple(one for one in (self.gate, self.router) if one is not None)
        return (self.query, self.key, self.value, self.output, self.up, self.down, *optional)


def collect(weights: PackedWeights, tensors: LayerTensors, shape: Shape) -> LayerMatrices:
    """Note which parts of a layer's tensors are to be packed."""
    if len(tensors.qkv) == 1:
        fused, query, key = tensors.qkv[0], shape.query_size, shape.kv_size
        ranges = ((0, query), (query, key), (query + key, key))
        qkv = [weights.add(fused, first, count) for first, count in ranges]
    else:
        qkv = [weights.add(tensor) for tensor in tensors.qkv]
    attention = (qkv[0], qkv[1], qkv[2], weights.add(tensors.output))
    if tensors.router is not None:
        assert tensors.expert_gate and tensors.expert_up and tensors.expert_down  # all or none
        gate, up = weights.add(tensors.expert_gate), weights.add(tensors.expert_up)
        down = weights.add(tensors.expert_down)
        return LayerMatrices(*attention, gate, up, down, weights.add(tensors.router))
    assert tensors.down is not None
    inner = shape.feed_forward
    if not shape.family.gated:
        return LayerMatrices(*attention, None, weights.add(tensors.gate_up[0]), weights.add(tensors.down))
    if len(tensors.gate_up) == 1:
        fused = tensors.gate_up[0]
        gate, up = weights.add(fused, 0, inner), weights.add(fused, inner, inner)
    else:
        gate, up = (weights.add(tensor) for tensor in tensors.gate_up)
    return LayerMatrices(*attention, gate, up, weights.add(tensors.down))
