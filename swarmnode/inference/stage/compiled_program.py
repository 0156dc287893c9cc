"""What a compiled stage runs: its layers and its head as entries of a program (`kernels.runtime`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels import experts, rounding, rows
from swarmnode.inference.kernels.append import append
from swarmnode.inference.kernels.attention import attend
from swarmnode.inference.kernels.formats import padded, row_bytes
from swarmnode.inference.kernels.jit import Build, Jit
from swarmnode.inference.kernels.matmul import matmul
from swarmnode.inference.kernels.page_layout import PageLayout
from swarmnode.inference.kernels.program import Program, address_of, float_bits
from swarmnode.inference.stage.layer_matrices import LayerMatrices
from swarmnode.inference.stage.layer_tensors import LayerTensors, Norm
from swarmnode.inference.stage.packed_weights import PackedMatrix, PackedWeights
from swarmnode.inference.stage.shape import Shape
from swarmnode.inference.stage.workspace import Buffer, Workspace

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows of a product: their counts and starts by group, where they come from, where they go."""

    counts: Ints
    starts: Ints
    sources: Ints
    targets: Ints


class LayerWriter:
    """Writes entries for layers, then for the head. `kept` are the vectors and tables that kernels read: they
    live as long as the writer."""

    def __init__(
        self, jit: Jit, shape: Shape, work: Workspace, weights: PackedWeights, layout: PageLayout, half: bool
    ) -> None:
        self.program = Program(jit)
        self.kept: list[npt.NDArray[np.generic]] = []
        self._target = jit.target
        self._shape, self._work, self._weights, self._layout = shape, work, weights, layout
        self._half = half
        self._epsilon = float_bits(float(shape.epsilon))

    @property
    def bytes(self) -> int:
        """Bytes of the vectors and tables."""
        return sum(array.nbytes for array in self.kept)

    # Pieces.

    def _vector(self, values: Floats) -> int:
        """The address of a copy that is padded with zeros."""
        copy = np.zeros(padded(len(values)), np.float32)
        copy[: len(values)] = values
        return self._keep(copy)

    def _keep(self, array: npt.NDArray[np.generic]) -> int:
        """The address of an array that lives as long as the writer."""
        if not any(one is array for one in self.kept):
            self.kept.append(array)
        return address_of(array)

    def _chain(
        self,
        kernel: tuple[str, Build],
        arguments: Sequence[int],
        items: int = 1,
        counter: Ints | None = None,
    ) -> None:
        self.program.chain(kernel, arguments, items, self._work.count if counter is None else counter)

    def _norm(self, source: Buffer, norm: Norm, target: Buffer, counter: Ints | None = None) -> None:
        kernel = rows.layer_norm() if norm.bias is not None else rows.rms_norm()
        bias = self._vector(norm.bias) if norm.bias is not None else 0
        arguments = [source.address, source.row_bytes, source.width, target.address, target.row_bytes]
        self._chain(kernel, [*arguments, self._vector(norm.weight), bias, self._epsilon], counter=counter)

    def _quantise(
        self,
        source: Buffer,
        users: Sequence[PackedMatrix],
        place: str,
        items: int = 1,
        counter: Ints | None = None,
    ) -> None:
        """The source's rows in each way that the matrices want them."""
        for kind in sorted({matrix.format.activation for matrix in users} - {"f32"}):
            kernel = rounding.quantise_256() if kind == "k256" else rounding.quantise_32()
            size = row_bytes(kind, source.width)
            arguments = [source.address, source.row_bytes, source.width]
            target = self._work.place(f"{kind} {place}")
            self._chain(kernel, [*arguments, target, size], items, counter)

    def _multiply(
        self, matrix: PackedMatrix, source: Buffer, place: str, target: Buffer, groups: Groups, *, waits: bool
    ) -> None:
        kind, format = matrix.format.activation, matrix.format
        at = source.address if kind == "f32" else self._work.place(f"{kind} {place}")
        size = source.row_bytes if kind == "f32" else row_bytes(kind, matrix.width)
        panels = format.panels(matrix.rows)
        arguments = [
            self._weights.address(matrix),
            panels,
            matrix.group_bytes,
            matrix.width // format.block,
            at,
            size,
            target.address,
            target.row_bytes,
            address_of(groups.counts),
            address_of(groups.starts),
            address_of(groups.sources),
            address_of(groups.targets),
        ]
        self.program.add(matmul(format, self._target), arguments, panels * matrix.groups, waits=waits)

    def _add_vector(self, target: Buffer, values: Floats | None, items: int = 1) -> None:
        if values is not None:
            arguments = [target.address, target.row_bytes, len(values), self._vector(values)]
            self._chain(rows.add_vector(), arguments, items)

    def _add_to_hidden(self, delta: Buffer, bias: Floats | None, norm: Norm | None) -> None:
        hidden = self._work.buffer("hidden")
        self._add_vector(delta, bias)
        if norm is not None:
            self._norm(delta, norm, delta)
        arguments = [hidden.address, hidden.row_bytes, hidden.width, delta.address, delta.row_bytes]
        self._chain(rows.add_rows(), arguments)

    @property
    def _all_rows(self) -> Groups:
        work = self._work
        return Groups(work.count, work.zero, work.numbers, work.numbers)

    # A layer.

    def layer(
        self,
        index: int,
        tensors: LayerTensors,
        matrices: LayerMatrices,
        rotation: Floats,
        window: int,
    ) -> None:
        """Append the entries of layer `index` (of this stage). rotation: float32 [positions, 2, pairs]."""
        work = self._work
        hidden, normed = work.buffer("hidden"), work.buffer("normed")
        projections = (matrices.query, matrices.key, matrices.value)
        self._norm(hidden, tensors.attention_norm, normed)
        self._quantise(normed, projections, "rows")
        for number, (matrix, name) in enumerate(zip(projections, ("query", "key", "value"), strict=True)):
            self._multiply(matrix, normed, "rows", work.buffer(name), self._all_rows, waits=number == 0)
        self._attention(index, tensors, matrices, rotation, window)
        delta = work.buffer("delta")
        self._multiply(matrices.output, work.buffer("attended"), "rows", delta, self._all_rows, waits=True)
        self._add_to_hidden(delta, tensors.output_bias, tensors.post_attention_norm)
        self._norm(hidden, tensors.feed_forward_norm, normed)
        if matrices.router is not None:
            self._experts(matrices, matrices.router)
        else:
            self._feed_forward(tensors, matrices)
        self._add_to_hidden(delta, tensors.down_bias, tensors.post_feed_forward_norm)
        if self._half:
            arguments = [hidden.address, hidden.row_bytes, hidden.width]
            self._chain(rounding.round_half(self._target), arguments)

    def _attention(
        self, index: int, tensors: LayerTensors, matrices: LayerMatrices, rotation: Floats, window: int
    ) -> None:
        shape, work, layout = self._shape, self._work, self._layout
        query, key, value = (work.buffer(name) for name in ("query", "key", "value"))
        if tensors.qkv_bias is not None:
            parts = np.split(tensors.qkv_bias, [shape.query_size, shape.query_size + shape.kv_size])
            for buffer, bias in zip((query, key, value), parts, strict=True):
                self._add_vector(buffer, bias)
        turned = ((query, tensors.query_norm, shape.heads), (key, tensors.key_norm, shape.kv_heads))
        for buffer, norm, heads in turned:
            place = [buffer.address, buffer.row_bytes, heads, shape.head_dim]
            if norm is not None:
                self._chain(rows.head_norm(), [*place, self._vector(norm), self._epsilon])
            turn = [rotation.shape[2], self._keep(rotation), address_of(work.positions)]
            self._chain(rows.rotate(pairs=shape.family.rope == "pairs"), [*place, *turn])
        layer, sessions = index * layout.layer_bytes, [address_of(work.positions), address_of(work.tables)]
        places = [key.address, key.row_bytes, value.address, value.row_bytes]
        self._chain(append(layout, self._target), [*places, layer, *sessions])
        attended, capped = work.buffer("attended"), shape.attention_softcap > 0
        self.program.add(
            attend(layout, shape.heads // shape.kv_heads, self._target, softcap=capped),
            [
                query.address,
                query.row_bytes,
                attended.address,
                attended.row_bytes,
                layer,
                *sessions,
                window,
                float_bits(float(shape.query_scale)),
                float_bits(shape.attention_softcap),
            ],
            shape.kv_heads,
            work.count,
        )
        self._quantise(attended, (matrices.output,), "rows")

    def _activate(self, items: int) -> None:
        gate, up = self._work.buffer("gate"), self._work.buffer("up")
        family = self._shape.family
        kernel = rows.activate(family.activation, gated=family.gated)
        target = gate if family.gated else up
        arguments = [target.address, target.row_bytes, target.width, up.address, up.row_bytes]
        self._chain(kernel, arguments, items)

    def _feed_forward(self, tensors: LayerTensors, matrices: LayerMatrices) -> None:
        work = self._work
        normed, up, delta = work.buffer("normed"), work.buffer("up"), work.buffer("delta")
        inner = tuple(one for one in (matrices.gate, matrices.up) if one is not None)
        self._quantise(normed, inner, "rows")
        targets = [work.buffer("gate"), up] if matrices.gate else [up]
        for number, (matrix, target) in enumerate(zip(inner, targets, strict=True)):
            self._multiply(matrix, normed, "rows", target, self._all_rows, waits=number == 0)
        if tensors.gate_up_bias is not None:
            for target, bias in zip(targets, np.split(tensors.gate_up_bias, len(targets)), strict=True):
                self._add_vector(target, bias)
        self._activate(1)
        self._quantise(targets[0], (matrices.down,), "inner")
        self._multiply(matrices.down, targets[0], "inner", delta, self._all_rows, waits=True)

    def _experts(self, matrices: LayerMatrices, router: PackedMatrix) -> None:
        """Route the rows, run each expert on its own, and add up what comes back."""
        work, used = self._work, self._shape.experts_used
        assert matrices.gate is not None
        normed, scores, results = (work.buffer(name) for name in ("normed", "scores", "results"))
        gate, up, delta = (work.buffer(name) for name in ("gate", "up", "delta"))
        self._quantise(normed, (router, matrices.gate, matrices.up), "rows")
        self._multiply(router, normed, "rows", scores, self._all_rows, waits=True)
        lists = [work.expert_counts, work.expert_starts, work.pair_rows, work.pair_numbers]
        addresses = [address_of(one) for one in (*lists, work.chosen_experts)]
        addresses.append(address_of(work.expert_weights))
        head = [scores.address, scores.row_bytes, scores.width, used, address_of(work.count)]
        self.program.add(experts.route(), [*head, *addresses], 1)
        outward = Groups(work.expert_counts, work.expert_starts, work.pair_rows, work.pair_numbers)
        self._multiply(matrices.gate, normed, "rows", gate, outward, waits=True)
        self._multiply(matrices.up, normed, "rows", up, outward, waits=False)
        self._activate(used)
        self._quantise(gate, (matrices.down,), "inner", used)
        back = Groups(work.expert_counts, work.expert_starts, work.pair_numbers, work.pair_numbers)
        self._multiply(matrices.down, gate, "inner", results, back, waits=True)
        self._chain(
            experts.combine(),
            [
                results.address,
                results.row_bytes,
                results.width,
                delta.address,
                delta.row_bytes,
                address_of(work.expert_weights),
                used,
            ],
        )

    # Before the first layer and after the last.

    def round_hidden(self) -> None:
        """The rounding of rows that were just embedded."""
        hidden = self._work.buffer("hidden")
        if self._half:
            self._chain(rounding.round_half(self._target), [hidden.address, hidden.row_bytes, hidden.width])

    def head(self, norm: Norm, matrix: PackedMatrix) -> None:
        """Append the entries that make logits of the chosen rows."""
        work = self._work
        hidden, chosen, logits = (work.buffer(name) for name in ("hidden", "chosen", "logits"))
        self.program.end_chain()
        gather = [hidden.address, hidden.row_bytes, hidden.width, chosen.address, chosen.row_bytes]
        self._chain(rows.gather_rows(), [*gather, address_of(work.chosen_rows)], counter=work.head_count)
        self._norm(chosen, norm, chosen, work.head_count)
        self._quantise(chosen, (matrix,), "rows", counter=work.head_count)
        groups = Groups(work.head_count, work.zero, work.numbers, work.numbers)
        self._multiply(matrix, chosen, "rows", logits, groups, waits=True)
        if cap := self._shape.final_softcap:
            arguments = [logits.address, logits.row_bytes, logits.width, float_bits(cap)]
            self._chain(rows.softcap_rows(), arguments, counter=work.head_count)
