"""The reference stage: plain numpy, every row computed alone (DESIGN 6, profile `numpy-1`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.cache.snapshots import shape_of
from swarmnode.inference.models.rope import Rotation
from swarmnode.inference.stage.batch_check import wanted_rows
from swarmnode.inference.stage.blas import hold_to_one_thread
from swarmnode.inference.stage.elementwise import apply_norm, soft_cap
from swarmnode.inference.stage.layer import Layer, Span
from swarmnode.inference.stage.layer_tensors import find_embedding, find_head, find_output_norm
from swarmnode.inference.stage.layer_weights import read_layer
from swarmnode.inference.stage.residual import round_f16, round_q8_0
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.inference.stage.session_snapshots import export_session, restore_session
from swarmnode.inference.stage.session_stage import SessionStage, range_of, residual_of
from swarmnode.inference.stage.sessions import Sessions
from swarmnode.inference.stage.shape import read_shape
from swarmnode.inference.stage.weights import Matrix, Table
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy.memory import held_bytes
from swarmnode.values.cards import ModelFacts
from swarmnode.values.layers import KvType, LayerRange, NumericsProfile, ResidualType

Floats = npt.NDArray[np.float32]

KERNEL = "numpy-1"


def load_stage(
    gguf: GgufFile,
    *,
    layers: LayerRange | None = None,
    kv: KvType = "f16",
    residual: ResidualType | None = None,
    max_dequantised_bytes: int = 0,
    kv_bytes: int | None = None,
    blocks: BlockLimits | None = None,
) -> NumpyStage:
    """A stage over a range of the model's layers (None: all of them).

    residual None: `f16` where any weight of the model is quantised, else `f32`.
    max_dequantised_bytes: weights are unpacked once and held as float32 if all of the range's fit,
    else a block at a time at each use; the results are the same. kv_bytes: room for the keys and
    values of all sessions; None is no limit. blocks: of the shared blocks; None for none.
    `gguf` must stay open as long as the stage is used. Raises `BadModelFile` and `Refused` for files
    and ranges that cannot be run.
    """
    core = hold_to_one_thread()
    facts = read_facts(gguf)
    layers = range_of(gguf, facts, layers)
    profile = NumericsProfile(f"{KERNEL}/{core}", kv, residual_of(gguf, residual))
    held = held_bytes(facts, layers) <= max_dequantised_bytes
    return NumpyStage(gguf, facts, layers, profile, held, kv_bytes, blocks)


class NumpyStage(SessionStage):
    """See `swarmnode.inference.stage.seam.Stage`. `progress` counts layers done, for liveness."""

    _sessions: Sessions

    def __init__(
        self,
        gguf: GgufFile,
        facts: ModelFacts,
        layers: LayerRange,
        profile: NumericsProfile,
        held: bool,
        kv_bytes: int | None,
        blocks: BlockLimits | None = None,
    ) -> None:
        shape = self._shape = read_shape(gguf, facts)
        sessions = Sessions(len(layers), shape, profile.kv, kv_bytes, blocks)
        super().__init__(gguf.path.name, facts, layers, profile, sessions)
        self.progress = 0
        scratch = self._scratch = Scratch()
        self._layers = [
            Layer(read_layer(gguf, index, shape, held, scratch), shape, scratch)
            for index in range(layers.start, layers.end)
        ]
        if self.embeds:
            self._embedding = Table(gguf, find_embedding(gguf, facts))
        if self.has_head:
            self._head_norm = find_output_norm(gguf, shape)
            self._head = Matrix(gguf, [find_head(gguf, facts)], held, scratch)

    def export(self, session: int, position: int) -> bytes:
        """As `Stage` says."""
        shape = shape_of(self.facts, self.layers, self.profile)
        return export_session(shape, self._sessions.get(session), position)

    def restore(self, session: int, snapshot: bytes) -> None:
        """As `Stage` says."""
        shape = shape_of(self.facts, self.layers, self.profile)
        restore_session(shape, self._sessions.empty(session), snapshot)

    def resident_bytes(self) -> int:
        """Bytes held for weights, buffers and caches (not the mapped file)."""
        weights = sum(layer.weights.bytes for layer in self._layers)
        if self.has_head:
            weights += self._head.bytes + self._head_norm.bytes
        return weights + self._scratch.bytes + self._sessions.bytes

    def _computed(self, batch: Batch) -> StepResult:
        hidden = self._start(batch)
        positions = np.concatenate([np.arange(s.first, s.first + s.count) for s in batch.slices])
        rotations = self._rotations(positions)
        for index, layer in enumerate(self._layers):
            number = self.layers.start + index
            rotation = rotations[id(self._shape.ropes[number])]
            layer.run(hidden, rotation, self._shape.windows[number], self._spans(batch, index))
            if self.profile.residual == "f16":
                round_f16(hidden)
            self.progress += 1
        if not np.isfinite(hidden).all():
            raise FloatingPointError("the residual stream is not finite")
        return (
            StepResult(logits=self._logits(batch, hidden)) if self.has_head else StepResult(self._cut(hidden))
        )

    def _rotations(self, positions: npt.NDArray[np.int64]) -> dict[int, Rotation]:
        """One for each array of speeds that these layers have, by its `id`."""
        shape = self._shape
        mine = {id(speeds): speeds for speeds in shape.ropes[self.layers.start : self.layers.end]}
        pairs = shape.family.rope == "pairs"
        return {key: Rotation(positions, speeds, pairs, shape.rope_factor) for key, speeds in mine.items()}

    def _start(self, batch: Batch) -> Floats:
        if batch.hidden is not None:
            return np.array(batch.hidden, np.float32)
        assert batch.tokens is not None  # checked with the batch
        hidden = np.empty((len(batch.tokens), self.facts.hidden), np.float32)
        self._embedding.look_up(batch.tokens, hidden)
        hidden *= self._shape.embedding_scale
        if self.profile.residual == "f16":
            round_f16(hidden)  # rows embedded elsewhere come rounded: these must be the same
        return hidden

    def _spans(self, batch: Batch, layer: int) -> list[Span]:
        spans, start = [], 0
        for part in batch.slices:
            cache = self._sessions.get(part.session).caches[layer]
            spans.append(Span(start, start + part.count, part.first, cache))
            start += part.count
        return spans

    def _cut(self, hidden: Floats) -> Floats:
        if self.profile.residual == "q8_0":
            round_q8_0(hidden)
        return hidden

    def _logits(self, batch: Batch, hidden: Floats) -> Floats:
        rows = wanted_rows(batch)
        logits = np.empty((len(rows), self.facts.vocab), np.float32)
        if len(rows):
            normed = np.empty((len(rows), self.facts.hidden), np.float32)
            apply_norm(hidden[rows], self._head_norm, self._shape.epsilon, normed)
            self._head.multiply(normed, logits)
            soft_cap(logits, self._shape.final_softcap)
            if not np.isfinite(logits).all():
                raise FloatingPointError("the logits are not finite")
        return logits
