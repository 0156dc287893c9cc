"""The compiled stage: profile `cpu-1`, the same bits on every processor that can run it (DESIGN 6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swarmnode.inference.cache.block_store import BlockLimits
from swarmnode.inference.cache.snapshots import shape_of
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.selection import Selection
from swarmnode.inference.kernels.targets import Target
from swarmnode.inference.kernels.team import Team
from swarmnode.inference.stage.batch_check import wanted_rows
from swarmnode.inference.stage.compiled_model import HEAD_ROWS, STEP_ROWS, build_model
from swarmnode.inference.stage.layer_tensors import find_embedding
from swarmnode.inference.stage.packed_weights import format_of
from swarmnode.inference.stage.paged_sessions import PagedSessions
from swarmnode.inference.stage.paged_snapshots import export_pages, restore_pages
from swarmnode.inference.stage.residual import round_q8_0
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.inference.stage.session_stage import SessionStage, range_of, residual_of
from swarmnode.inference.stage.shape import read_shape
from swarmnode.inference.stage.weights import Table
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused
from swarmnode.values.layers import KvType, LayerRange, NumericsProfile, ResidualType

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

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
    layers = range_of(gguf, facts, layers)
    profile = NumericsProfile(KERNEL, kv, residual_of(gguf, residual))
    jit = Jit(target, cache) if target else Selection(_formats(gguf), kv, cache).choose()
    return CompiledStage(gguf, layers, profile, jit, threads, kv_bytes, blocks, context, progress)


def _formats(gguf: GgufFile) -> frozenset[str]:
    """The packed types of the model's matrices."""
    shapes = [(info.type_name, info.shape) for info in gguf.tensors.values() if len(info.shape) > 1]
    return frozenset(format_of(type_name, shape[-1]).name for type_name, shape in shapes)


class CompiledStage(SessionStage):
    """See `swarmnode.inference.stage.seam.Stage`. `progress` grows while a step is computed, for liveness."""

    _sessions: PagedSessions

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
        facts = read_facts(gguf)
        self._context = min(context or facts.context_length, facts.context_length)
        if layers.start == 0:
            self._embedding = Table(gguf, find_embedding(gguf, facts))
        shape = read_shape(gguf, facts)
        self._team = team = Team(jit, threads)
        try:
            self._model = build_model(
                gguf,
                facts,
                shape,
                layers,
                profile,
                jit=jit,
                team=team,
                context=self._context,
                progress=progress,
            )
        except BaseException:
            team.close()  # nobody will be there to shut the stage
            raise
        self._work = self._model.work
        sessions = PagedSessions(len(layers), self._model.layout, kv_bytes, blocks)
        super().__init__(gguf.path.name, facts, layers, profile, sessions)

    @property
    def progress(self) -> int:
        """Grows with every part of a step that is done; never falls."""
        return self._team.done

    @property
    def target(self) -> str:
        """The instruction set in use."""
        return self._team.target

    @property
    def threads(self) -> int:
        """How many threads compute."""
        return self._team.threads

    def open(self, session: int, tokens: int) -> None:
        """As `Stage` says. Raises `Refused` (code `context_length_exceeded`) for more than the context."""
        if tokens > self._context:
            raise Refused(
                f"a session of {tokens} tokens is longer than the {self._context} of this model",
                code="context_length_exceeded",
            )
        super().open(session, tokens)

    def export(self, session: int, position: int) -> bytes:
        """As `Stage` says."""
        shape = shape_of(self.facts, self.layers, self.profile)
        return export_pages(shape, self._sessions, session, position)

    def restore(self, session: int, snapshot: bytes) -> None:
        """As `Stage` says."""
        restore_pages(shape_of(self.facts, self.layers, self.profile), self._sessions, session, snapshot)

    def resident_bytes(self) -> int:
        """Bytes held for weights, buffers, tables and caches (not the mapped file)."""
        return self._model.bytes + self._sessions.pool.bytes

    def shut(self) -> None:
        """End the threads; the stage cannot step any more."""
        self._team.close()

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

    def _rows(self, batch: Batch, first: int, last: int, positions: Ints, tables: Ints) -> None:
        """Rows first .. last - 1 of the batch through the layers; the result lies in the work's `hidden`."""
        work, count = self._work, last - first
        hidden = work.array("hidden")[:count]
        work.count[0] = count
        work.positions[:count] = positions[first:last]
        work.tables[:count] = tables[first:last]
        # A step that failed may have left no number in the padding, where norms would find it for ever.
        hidden[:, self.facts.hidden :] = 0
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
        self._team.run(self._model.body, self._threads_for(count))
        if not np.isfinite(hidden).all():
            raise FloatingPointError("the residual stream is not finite")

    def _logits(self, chosen: Ints, out: Floats) -> None:
        work = self._work
        for begin in range(0, len(chosen), HEAD_ROWS):
            part = chosen[begin : begin + HEAD_ROWS]
            work.head_count[0] = len(part)
            work.chosen_rows[: len(part)] = part
            self._team.run(self._model.head, self._threads_for(len(part)))
            out[begin : begin + len(part)] = work.array("logits")[: len(part), : self.facts.vocab]
        if not np.isfinite(out).all():
            raise FloatingPointError("the logits are not finite")

    def _threads_for(self, rows: int) -> int:
        small = self._model.weights.bytes * (1 + rows / 8) < SMALL_STEP_BYTES
        return 1 if small else self._team.threads
