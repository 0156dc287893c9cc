"""The reference stage: plain numpy, every row computed alone (DESIGN 6, profile `numpy-1`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockCounts, BlockLimits
from swarmnode.inference.cache.snapshots import shape_of
from swarmnode.inference.models.rope import Rotation
from swarmnode.inference.stage.batch_check import check_batch, wanted_rows
from swarmnode.inference.stage.blas import hold_to_one_thread
from swarmnode.inference.stage.elementwise import apply_norm, soft_cap
from swarmnode.inference.stage.layer import Layer, Span
from swarmnode.inference.stage.layer_tensors import find_output_norm
from swarmnode.inference.stage.layer_weights import read_layer
from swarmnode.inference.stage.residual import round_f16, round_q8_0
from swarmnode.inference.stage.scratch import Scratch
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.inference.stage.session_snapshots import export_session, restore_session
from swarmnode.inference.stage.sessions import Sessions
from swarmnode.inference.stage.shape import Shape, read_shape
from swarmnode.inference.stage.weights import Matrix, Table, tensor_of
from swarmnode.models.facts import is_quantised, layer_of, read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy.memory import held_bytes
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.layers import KvType, LayerRange, NumericsProfile, ResidualType

Floats = npt.NDArray[np.float32]

KERNEL = "numpy-1"
EMBEDDING, HEAD = "token_embd.weight", "output.weight"


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
    layers = layers or LayerRange(0, facts.layers)
    if layers.end > facts.layers:
        raise Refused(
            f"layers {layers} of {gguf.path.name} do not exist: it has layers 0-{facts.layers - 1}",
            code="bad_layer_range",
        )
    if residual is None:
        residual = "f16" if _weights_are_quantised(gguf) else "f32"
    profile = NumericsProfile(f"{KERNEL}/{core}", kv, residual)
    held = held_bytes(facts, layers) <= max_dequantised_bytes
    return NumpyStage(gguf, facts, layers, profile, held, kv_bytes, blocks)


def _weights_are_quantised(gguf: GgufFile) -> bool:
    """Looks at all layers, so that every stage of a model decides alike."""
    return is_quantised(info for info in gguf.tensors.values() if layer_of(info.name) is not None)


class NumpyStage:
    """See `swarmnode.inference.stage.seam.Stage`. `progress` counts layers done, for liveness."""

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
        self.facts, self.layers, self.profile = facts, layers, profile
        self._file = gguf.path.name
        self.embeds, self.has_head = layers.start == 0, layers.end == facts.layers
        self.progress = 0
        self._scratch = Scratch()
        self._shape: Shape = read_shape(gguf, facts)
        self._sessions = Sessions(len(layers), self._shape, profile.kv, kv_bytes, blocks)
        self._layers = [
            Layer(read_layer(gguf, index, self._shape, held, self._scratch), self._shape, self._scratch)
            for index in range(layers.start, layers.end)
        ]
        embedding = tensor_of(gguf, EMBEDDING, (facts.vocab, facts.hidden))
        if self.embeds:
            self._embedding = Table(gguf, embedding)
        if self.has_head:
            head = embedding if facts.tied else tensor_of(gguf, HEAD, embedding.shape)
            self._head_norm = find_output_norm(gguf, self._shape)
            self._head = Matrix(gguf, [head], held, self._scratch)

    def open(self, session: int, tokens: int) -> None:
        """Reserve room for a session; an open one keeps what it holds."""
        self._sessions.open(session, tokens)

    def fit(self, session: int) -> None:
        """As `Stage` says."""
        self._sessions.fit(session)

    def length(self, session: int) -> int:
        return self._sessions.get(session).length

    def truncate(self, session: int, position: int) -> None:
        self._sessions.get(session).truncate(position)

    def close(self, session: int) -> None:
        self._sessions.close(session)

    def adopt(self, session: int, keys: Sequence[bytes]) -> int:
        return self._sessions.adopt(session, keys)

    def publish(self, session: int, keys: Sequence[bytes]) -> None:
        self._sessions.publish(session, keys)

    def export(self, session: int, position: int) -> bytes:
        shape = shape_of(self.facts, self.layers, self.profile)
        return export_session(shape, self._sessions.get(session), position)

    def restore(self, session: int, snapshot: bytes) -> None:
        shape = shape_of(self.facts, self.layers, self.profile)
        restore_session(shape, self._sessions.empty(session), snapshot)

    def forget_blocks(self) -> None:
        self._sessions.blocks.clear()

    def expire(self, now: float) -> None:
        self._sessions.blocks.expire(now)

    def block_counts(self) -> BlockCounts:
        return self._sessions.blocks.counts()

    def reserved_bytes(self) -> int:
        """As `Stage` says."""
        return self._sessions.all_reserved_bytes

    def resident_bytes(self) -> int:
        """Bytes held for weights, buffers and caches (not the mapped file)."""
        weights = sum(layer.weights.bytes for layer in self._layers)
        if self.has_head:
            weights += self._head.bytes + self._head_norm.bytes
        return weights + self._scratch.bytes + self._sessions.bytes

    def step(self, batch: Batch) -> StepResult:
        """Compute the rows of a batch. On any error its sessions are cut back to where they were
        to begin, so that the step may be sent again."""
        check_batch(batch, self)
        sessions = [self._sessions.get(part.session) for part in batch.slices]
        for part, session in zip(batch.slices, sessions, strict=True):
            session.truncate(part.first)
        try:
            with np.errstate(all="ignore"):
                return self._computed(batch)
        except FloatingPointError as error:
            self._undo(batch)
            raise self._not_finite(str(error)) from error
        except BaseException:
            self._undo(batch)
            raise

    def _undo(self, batch: Batch) -> None:
        for part in batch.slices:
            self._sessions.get(part.session).truncate(part.first)

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

    def _not_finite(self, fault: str) -> LocalFault:
        return LocalFault(
            f"{self._file}, layers {self.layers}: {fault}",
            code="not_finite",
            hint="The model file may be damaged: compare its checksum, or choose another file.",
        )
