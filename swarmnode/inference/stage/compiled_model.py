"""A range of layers ready to run: packed weights, the memory that steps work in, three programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.page_layout import PageLayout
from swarmnode.inference.kernels.team import Team
from swarmnode.inference.stage.compiled_program import LayerWriter
from swarmnode.inference.stage.layer_matrices import LayerMatrices, collect
from swarmnode.inference.stage.layer_tensors import (
    LayerTensors,
    Norm,
    find_head,
    find_layer,
    find_output_norm,
)
from swarmnode.inference.stage.packed_weights import PackedMatrix, PackedWeights
from swarmnode.inference.stage.rotation_table import rotation_table
from swarmnode.inference.stage.shape import Shape
from swarmnode.inference.stage.workspace import Workspace
from swarmnode.models.gguf import GgufFile
from swarmnode.values.cards import ModelFacts
from swarmnode.values.layers import LayerRange, NumericsProfile

Ints = npt.NDArray[np.int64]
Told = Callable[[int, int], None]

#: Rows that are computed at a time: a longer step is taken in parts, with the same result.
STEP_ROWS = 256
#: Rows whose logits are computed at a time.
HEAD_ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class CompiledModel:
    """embed: what is done to rows just looked up; body: all layers; head: the logits of chosen rows (i64
    [entries, 8] each, see `kernels.runtime`). writers keep alive what the programs point to."""

    shape: Shape
    layout: PageLayout
    weights: PackedWeights
    work: Workspace
    embed: Ints
    body: Ints
    head: Ints
    writers: tuple[LayerWriter, ...]

    @property
    def bytes(self) -> int:
        """Bytes of weights, of what steps work in, and of tables."""
        return self.weights.bytes + self.work.bytes + sum(writer.bytes for writer in self.writers)


@dataclass(frozen=True, slots=True, eq=False)
class _Head:
    norm: Norm
    matrix: PackedMatrix


def build_model(
    gguf: GgufFile,
    facts: ModelFacts,
    shape: Shape,
    layers: LayerRange,
    profile: NumericsProfile,
    *,
    jit: Jit,
    team: Team,
    context: int,
    progress: Told,
) -> CompiledModel:
    """Pack the weights of a range and write its programs.

    team: the threads that pack the weights. context: positions that rotations are worked out for.
    progress(bytes packed, bytes in all) is called from any thread. Raises `BadModelFile` and `Refused` for
    files that cannot be run.
    """
    weights = PackedWeights(gguf, jit, team)
    tensors = [find_layer(gguf, index, shape) for index in range(layers.start, layers.end)]
    matrices = [collect(weights, one, shape) for one in tensors]
    head = _head(gguf, facts, shape, weights) if layers.end == facts.layers else None
    used = [matrix for one in matrices for matrix in one.all] + ([head.matrix] if head else [])
    kinds = {matrix.format.activation for matrix in used}
    work = Workspace(shape, kinds, STEP_ROWS, HEAD_ROWS, facts.vocab if head else 0)
    layout = PageLayout(shape.kv_heads, shape.head_dim, profile.kv)
    weights.load(progress)
    half = profile.residual == "f16"
    writers = tuple(LayerWriter(jit, shape, work, weights, layout, half) for _ in range(3))
    embed, body, last = writers
    embed.round_hidden()
    _write_layers(body, shape, layers, tensors, matrices, context)
    if head is not None:
        last.head(head.norm, head.matrix)
    return CompiledModel(
        shape=shape,
        layout=layout,
        weights=weights,
        work=work,
        embed=embed.program.finish(),
        body=body.program.finish(),
        head=last.program.finish(),
        writers=writers,
    )


def _head(gguf: GgufFile, facts: ModelFacts, shape: Shape, weights: PackedWeights) -> _Head:
    return _Head(find_output_norm(gguf, shape), weights.add(find_head(gguf, facts)))


def _write_layers(
    writer: LayerWriter,
    shape: Shape,
    layers: LayerRange,
    tensors: list[LayerTensors],
    matrices: list[LayerMatrices],
    context: int,
) -> None:
    """All layers; those that turn alike share one table."""
    tables: dict[int, npt.NDArray[np.float32]] = {}
    for number, (one, mine) in enumerate(zip(tensors, matrices, strict=True)):
        index = layers.start + number
        speeds = shape.ropes[index]
        if id(speeds) not in tables:
            tables[id(speeds)] = rotation_table(speeds, context, shape.rope_factor)
        writer.layer(number, one, mine, tables[id(speeds)], shape.windows[index])
