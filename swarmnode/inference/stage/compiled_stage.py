"""The compiled stage: profile `cpu-1`, the same bits on every processor that can run it (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockCounts, BlockLimits
from swarmnode.inference.cache.snapshots import shape_of
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.selection import Selection
from swarmnode.inference.kernels.targets import Target
from swarmnode.inference.stage.batch_check import check_batch, wanted_rows
from swarmnode.inference.stage.compiled_model import EMBEDDING, HEAD_ROWS, STEP_ROWS, build_model
from swarmnode.inference.stage.packed_weights import format_of
from swarmnode.inference.stage.paged_sessions import PagedSessions
from swarmnode.inference.stage.paged_snapshots import export_pages, restore_pages
from swarmnode.inference.stage.residual import round_q8_0
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.inference.stage.shape import read_shape
from swarmnode.inference.stage.weights import Table, tensor_of
from swarmnode.models.facts import is_quantised, layer_of, read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.layers import KvType, LayerRange, NumericsProfile, ResidualType

Floats = npt.NDArray[np.float32]

KERNEL = "cpu-1"
#: Bytes of weights read for which more than one thread is worth waking.
SMALL_STEP_BYTES = 3 << 20


def load_compiled_stage(
    gguf: GgufFile,
    *,
    layers: LayerRange | None = None,
    kv: KvType = "f16",
    residual: ResidualType | None = None,
    kv_bytes: int | None = None,
    blocks: BlockLimits | None = None,
    context: int | None = None,
    threads: int = 1,
    target: Target | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> CompiledStage:
    """A stage over a range of the model's layers (None: all of them), its weights packed.

    residual None: `f16` where any weight of the model is quantised, else `f32`. kv_bytes: room for the keys
    and values of all sessions; None is no limit. blocks: of the shared blocks; None for none. context:
    positions a session may have; None for what the model was trained for. threads: at most the physical
    cores. target: the instruction set; None for the best that computes the right bits (`kernels.selection`).
    cache: where machine code is kept. progress(bytes packed, bytes in all) is called from any thread. Raises
    `BadModelFile` and `Refused` for files and ranges that cannot be run.
    """
    facts = read_facts(gguf)
    layers = layers or LayerRange(0, facts.layers)
    if layers.end > facts.layers:
        raise Refused(
            f"layers {layers} of {gguf.path.name} do not exist: it has layers 0-{facts.layers - 1}",
            code="bad_layer_range",
        )
    if residual is None:
        quantised = is_quantised(info for info in gguf.tensors.values() if layer_of(info.name) is not None)
        residual = "f16" if quantised else "f32"
    jit = Jit(target, cache) if target else Selection(_formats(gguf), kv, cache).choose()
    profile = NumericsProfile(KERNEL, kv, residual)
    return CompiledStage(gguf, layers, profile, jit, threads, kv_bytes, blocks, context, progress)


def _formats(gguf: GgufFile) -> frozenset[str]:
    """The packed types of the model's matrices."""
    shapes = [(info.type_name, info.shape) for info in gguf.tensors.values() if len(info.shape) > 1]
    return frozenset(format_of(type_name, shape[-1]).name for type_name, shape in shapes)


class CompiledStage:
    """See `swarmnode.inference.stage.seam.Stage`. `progress` grows while a step is computed, for liveness."""

    def __init__(
        self,
        gguf: GgufFile,
        layers: LayerRange,
        profile: NumericsProfile,
        jit: Jit,
        threads: int,
        kv_bytes: int | None,
        blocks: BlockLimits | None,
        context: int | None,
        progress: Callable[[int, int], None],
    ) -> None:
        self.facts = facts = read_facts(gguf)
        self.layers, self.profile, self._file = layers, profile, gguf.path.name
        self.embeds, self.has_head = layers.start == 0, layers.end == facts.layers
        self._steps = 0
        self._context = min(context or facts.context_length, facts.context_length)
        shape = read_shape(gguf, facts)
        if self.embeds:
            self._embedding = Table(gguf, tensor_of(gguf, EMBEDDING, (facts.vocab, facts.hidden)))
        self._model = model = build_model(
            gguf,
            facts,
            shape,
            layers,
            profile,
            jit=jit,
            threads=threads,
            context=self._context,
            progress=progress,
        )
        self._team, self._work = model.team, model.work
        self._sessions = PagedSessions(len(layers), model.layout, kv_bytes, blocks)

    @property
    def progress(self) -> int:
        """Grows with every part of a step that is done."""
        return self._steps + self._team.done

    @property
    def target(self) -> str:
        """The instruction set in use."""
        return self._team.target

    @property
    def threads(self) -> int:
        return self._team.threads

    # Sessions.

    def open(self, session: int, tokens: int) -> None:
        """As `Stage` says."""
        if tokens > self._context:
            raise Refused(
                f"a session of {tokens} tokens is longer than the {self._context} of this model",
                code="context_length_exceeded",
            )
        self._sessions.open(session, tokens)

    def fit(self, session: int) -> None:
        """As `Stage` says."""
        self._sessions.fit(session)

    def length(self, session: int) -> int:
        return self._sessions.get(session).length

    def truncate(self, session: int, position: int) -> None:
        self._sessions.truncate(session, min(position, self.length(session)))

    def close(self, session: int) -> None:
        self._sessions.close(session)

    def adopt(self, session: int, keys: Sequence[bytes]) -> int:
        """As `Stage` says."""
        return self._sessions.adopt(session, keys)

    def publish(self, session: int, keys: Sequence[bytes]) -> None:
        """As `Stage` says."""
        self._sessions.publish(session, keys)

    def export(self, session: int, position: int) -> bytes:
        """As `Stage` says."""
        shape = shape_of(self.facts, self.layers, self.profile)
        return export_pages(shape, self._sessions, session, position)

    def restore(self, session: int, snapshot: bytes) -> None:
        """As `Stage` says."""
        restore_pages(shape_of(self.facts, self.layers, self.profile), self._sessions, session, snapshot)

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
        return self._model.weights.bytes + self._work.bytes + self._sessions.pool.bytes

    def shut(self) -> None:
        """End the threads."""
        self._team.close()

    # Steps.

    def step(self, batch: Batch) -> StepResult:
        """Compute the rows of a batch. On any error its sessions are cut back to where they were to begin, so
        that the step may be sent again."""
        check_batch(batch, self)
        for part in batch.slices:
            self._sessions.truncate(part.session, part.first)
        try:
            return self._computed(batch)
        except BaseException:
            for part in batch.slices:
                self._sessions.truncate(part.session, part.first)
            raise

    def _computed(self, batch: Batch) -> StepResult:
        rows = sum(part.count for part in batch.slices)
        positions, tables = np.empty(rows, np.int64), np.empty(rows, np.int64)
        start = 0
        for part in batch.slices:
            session = self._sessions.prepare(part.session, part.first, part.count)
            end = start + part.count
            positions[start:end] = np.arange(part.first, part.first + part.count)
            tables[start:end] = session.table_address
            start = end
        wanted = wanted_rows(batch) if self.has_head else np.empty(0, np.int64)
        hidden = None if self.has_head else np.empty((rows, self.facts.hidden), np.float32)
        logits = np.empty((len(wanted), self.facts.vocab), np.float32) if self.has_head else None
        for first in range(0, rows, STEP_ROWS):
            last = min(first + STEP_ROWS, rows)
            self._rows(batch, first, last, positions, tables)
            if hidden is not None:
                hidden[first:last] = self._work.array("hidden")[: last - first, : self.facts.hidden]
            if logits is not None:
                begin, end = np.searchsorted(wanted, (first, last))
                self._logits(wanted[begin:end] - first, logits[begin:end])
        for part in batch.slices:
            self._sessions.get(part.session).length = part.first + part.count
        if hidden is not None and self.profile.residual == "q8_0":
            round_q8_0(hidden)
        return StepResult(hidden=hidden, logits=logits)

    def _rows(
        self,
        batch: Batch,
        first: int,
        last: int,
        positions: npt.NDArray[np.int64],
        tables: npt.NDArray[np.int64],
    ) -> None:
        """Rows first .. last - 1 of the batch through the layers; the result lies in the work's `hidden`."""
        work, count = self._work, last - first
        hidden = work.array("hidden")[:count]
        work.count[0] = count
        work.positions[:count] = positions[first:last]
        work.tables[:count] = tables[first:last]
        threads = self._threads_for(count)
        if batch.hidden is not None:
            hidden[:, : self.facts.hidden] = batch.hidden[first:last]
        else:
            assert batch.tokens is not None  # checked with the batch
            rows = np.empty((count, self.facts.hidden), np.float32)
            self._embedding.look_up(batch.tokens[first:last], rows)
            if self._model.shape.embedding_scale != 1:
                rows *= self._model.shape.embedding_scale
            hidden[:, : self.facts.hidden] = rows
            if len(self._model.embed):
                self._team.run(self._model.embed, 1)
        self._team.run(self._model.body, threads)
        self._steps += len(self._model.body)
        if not np.isfinite(hidden).all():
            raise self._not_finite("the residual stream is not finite")

    def _logits(self, chosen: npt.NDArray[np.int64], out: Floats) -> None:
        work = self._work
        for begin in range(0, len(chosen), HEAD_ROWS):
            part = chosen[begin : begin + HEAD_ROWS]
            work.head_count[0] = len(part)
            work.chosen_rows[: len(part)] = part
            self._team.run(self._model.head, self._threads_for(len(part)))
            out[begin : begin + len(part)] = work.array("logits")[: len(part), : self.facts.vocab]
        if not np.isfinite(out).all():
            raise self._not_finite("the logits are not finite")

    def _threads_for(self, rows: int) -> int:
        small = self._model.weights.bytes * (1 + rows / 8) < SMALL_STEP_BYTES
        return 1 if small else self._team.threads

    def _not_finite(self, fault: str) -> LocalFault:
        return LocalFault(
            f"{self._file}, layers {self.layers}: {fault}",
            code="not_finite",
            hint="The model file may be damaged: compare its checksum, or choose another file.",
        )
